//! Branches of a sandbox: the same files at first, and ways of their own from then on.

use std::fs;

use lapwing_core::{Change, ChangeKind, Command, Limits, Provider as _, Sandbox, SandboxSpec};
use lapwing_sandbox::Native;

use crate::image_files::Place;
use crate::{Suite, output, refusal, run, spec};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("a_branch_has_every_kind_of_file_as_it_was", kinds);
    suite.test("what_a_branch_writes_no_other_sees", apart);
    suite.test("the_manifest_of_a_branch_goes_on_where_its_parent_was", manifests);
    suite.test("a_branch_over_an_image_keeps_what_was_removed_from_it", over_an_image);
    suite.test("a_branch_of_a_branch_has_both_histories", twice);
    suite.test("protected_paths_are_protected_in_branches", protected);
    suite.test("processes_stay_behind_and_programs_answer", left_behind);
    suite.test("names_and_holes_made_to_confuse_come_over_or_are_refused", hostile);
    suite.test("nothing_is_left_of_branches", nothing_left);
}

fn native_in(place: &Place, native: &Native) -> Native {
    native.clone().with_images(place.images())
}

async fn parent(place: &Place, native: &Native) -> Box<dyn Sandbox> {
    native_in(place, native).create(spec()).await.unwrap()
}

async fn branch(parent: &dyn Sandbox) -> Box<dyn Sandbox> {
    parent.snapshot().await.unwrap().branch().await.unwrap()
}

fn told(changes: &[Change]) -> Vec<(&str, &[ChangeKind])> {
    changes.iter().map(|change| (change.path.as_str(), change.kinds.as_slice())).collect()
}

async fn kinds(native: Native) {
    let place = Place::new();
    let parent = parent(&place, &native).await;
    let script = "echo text > plain; printf '#!/bin/sh\necho ran' > program; chmod 751 program; ln -s /etc/hostname link; \
                  ln -s nowhere dangling; ln plain second; mkdir -p deep/er; chmod 1770 deep; : > 'new\nline'; \
                  echo x > $'by\\xfftes'; chmod 000 second; mkdir closed; echo y > closed/in; chmod 555 closed; \
                  truncate -s 3M hole; echo tool > /usr/local/bin/tool; echo w > /workspace/w; rmdir /opt; head -c 700000 /dev/urandom > big";
    output(&*parent, script).await;
    let look = "cat program link closed/in $'by\\xfftes' /usr/local/bin/tool /workspace/w; readlink dangling; ls; ls /opt; \
                stat -c '%n %a %h %s' plain program second hole; stat -c '%n %a' deep closed; md5sum big; echo >> program; echo >> closed/in; ./program; awk 'BEGIN { print 7 }'";
    let first = branch(&*parent).await;
    let expected = run(&*parent, look).await;
    let found = run(&*first, look).await;
    assert_eq!(String::from_utf8_lossy(&found.stdout), String::from_utf8_lossy(&expected.stdout));
    assert_eq!(String::from_utf8_lossy(&found.stderr), String::from_utf8_lossy(&expected.stderr));
}

async fn apart(native: Native) {
    let place = Place::new();
    let parent = parent(&place, &native).await;
    output(&*parent, "echo 0 > a; echo 0 > b; mkdir d; echo 0 > d/x").await;
    let snapshot = parent.snapshot().await.unwrap();
    output(&*parent, "echo parent > a").await;
    let (one, two) = (snapshot.branch().await.unwrap(), snapshot.branch().await.unwrap());
    output(&*one, "echo one > a; rm b; rm -r d; mkdir d").await;
    let look = "cat a; ls d; ls b 2>/dev/null; true";
    assert_eq!(output(&*one, look).await, "one");
    assert_eq!(output(&*two, look).await, "0\nx\nb");
    assert_eq!(output(&*parent, look).await, "parent\nx\nb");
    // A later branch still begins where the snapshot was taken, also when the parent is gone.
    parent.destroy().await.unwrap();
    drop(parent);
    assert_eq!(output(&*snapshot.branch().await.unwrap(), look).await, "0\nx\nb");
}

async fn manifests(native: Native) {
    let place = Place::new();
    let parent = parent(&place, &native).await;
    output(&*parent, "echo 0 > a; echo 0 > b; mkdir d; echo 0 > d/x").await;
    let before = parent.manifest().await.unwrap();
    let child = branch(&*parent).await;
    let begun = child.manifest().await.unwrap();
    assert_eq!(told(&before.changes_to(&begun)), []);
    output(&*child, "echo 1 > a; rm b; rm -r d; echo n > n").await;
    let after = child.manifest().await.unwrap();
    let changes = before.changes_to(&after);
    let home = |name: &str| format!("/home/agent/{name}");
    let names = ["a", "b", "d", "d/x", "n"].map(home);
    let (removed, created) = (ChangeKind::Removed, ChangeKind::Created);
    let kinds = [ChangeKind::Content, removed, removed, removed, created];
    let expected: Vec<(&str, &[ChangeKind])> =
        names.iter().map(String::as_str).zip(kinds.iter().map(std::slice::from_ref)).collect();
    assert_eq!(told(&changes), expected);
}

async fn over_an_image(native: Native) {
    let place = Place::new();
    let native = native_in(&place, &native);
    let root = Some(native.prepare(&place.root()).await.unwrap().digest);
    let parent = native.create(SandboxSpec { root, ..spec() }).await.unwrap();
    output(&*parent, "cd /opt/data; rm a; echo B > b; rm -r deep; mkdir deep; echo n > deep/n")
        .await;
    let before = parent.manifest().await.unwrap();
    let child = branch(&*parent).await;
    assert_eq!(output(&*child, "cd /opt/data; ls; ls deep; cat b").await, "b\ndeep\nn\nB");
    assert_eq!(told(&before.changes_to(&child.manifest().await.unwrap())), []);
    output(&*child, "cd /opt/data; echo A > a; rm b").await;
    let changes = before.changes_to(&child.manifest().await.unwrap());
    let expected: [(&str, &[ChangeKind]); 2] =
        [("/opt/data/a", &[ChangeKind::Created]), ("/opt/data/b", &[ChangeKind::Removed])];
    assert_eq!(told(&changes), expected);
    assert_eq!(output(&*parent, "cat /opt/data/b; ls /opt/data").await, "B\nb\ndeep");
}

async fn twice(native: Native) {
    let place = Place::new();
    let first = parent(&place, &native).await;
    output(&*first, "echo 1 > a; echo 1 > b; echo 1 > c").await;
    let second = branch(&*first).await;
    output(&*second, "echo 2 > b; rm c; mkdir d").await;
    let third = branch(&*second).await;
    output(&*third, "echo 3 > d/x; rm a").await;
    let fourth = branch(&*third).await;
    assert_eq!(output(&*fourth, "ls; cat b d/x").await, "b\nd\n2\n3");
    let changes = third.manifest().await.unwrap().changes_to(&fourth.manifest().await.unwrap());
    assert_eq!(told(&changes), []);
}

async fn protected(native: Native) {
    let place = Place::new();
    let parent = parent(&place, &native).await;
    output(&*parent, "mkdir keep; echo 0 > keep/a; echo 0 > free").await;
    parent.protect(&["/home/agent/keep".to_owned()]).await.unwrap();
    let child = branch(&*parent).await;
    assert!(refusal(&*child, "echo 1 > keep/a").await.contains("Read-only"));
    refusal(&*child, "mv keep other || mv /home /h || rm -rf keep").await;
    assert_eq!(output(&*child, "cat keep/a; echo 1 > free; cat free").await, "0\n1");
}

async fn left_behind(native: Native) {
    let place = Place::new();
    let native = native_in(&place, &native);
    let spec = SandboxSpec { programs: vec!["ask".to_owned()], ..spec() };
    let parent = native.create(spec).await.unwrap();
    parent.start("worker", Command::new(["sleep", "1000"])).await.unwrap();
    output(&*parent, "mkfifo pipe; echo x > /dev/shm/segment").await;
    let child = branch(&*parent).await;
    assert_eq!(child.processes().await.unwrap(), []);
    assert_eq!(child.services().await.unwrap(), []);
    assert_eq!(output(&*child, "ls; ls /dev/shm; id -un; hostname").await, "agent\nworkstation");
    let asked = child.exec(Command::new(["ask", "who"]));
    let (asked, ()) = tokio::join!(asked, async {
        let call = child.checkpoint().await.unwrap();
        assert_eq!((call.program.as_str(), call.arguments), ("ask", vec!["who".to_owned()]));
        let answer = lapwing_core::Answer { stdout: "you".to_owned(), code: 0 };
        child.answer(call.id, answer).await.unwrap();
    });
    assert_eq!(asked.unwrap().stdout, b"you");
}

async fn hostile(native: Native) {
    let place = Place::new();
    let limits = Limits { disk_bytes: 16 << 20, ..Limits::default() };
    let native = native_in(&place, &native);
    let parent = native.create(SandboxSpec { limits, ..spec() }).await.unwrap();
    let script = "cd /tmp; echo k > kept; echo x > .wh.kept; mkdir d; echo x > d/.wh..wh..opq; echo y > d/y; \
                  ln -s /etc/passwd link; ln -s / root; mkdir -p \"$(printf 'n%.0s' $(seq 200))\"; \
                  d=$(printf 'q%.0s' $(seq 250)); for i in 1 2 3 4 5 6; do mkdir $d; cd $d; done; echo deep > deep";
    output(&*parent, script).await;
    let child = branch(&*parent).await;
    let look =
        "cd /tmp; cat kept .wh.kept d/y; ls -a d; find . -name deep -exec cat {} +; readlink root";
    assert_eq!(output(&*child, look).await, output(&*parent, look).await);
    // Holes of any size: as much is copied as the limit on the disk allows, several times over, and no more.
    output(&*parent, "for i in 1 2 3 4 5; do truncate -s 15M /tmp/hole$i; done").await;
    let error = parent.snapshot().await.err().unwrap().to_string();
    assert!(error.contains("too large to be copied"), "{error}");
    assert_eq!(output(&*parent, "echo alive").await, "alive");
}

async fn nothing_left(native: Native) {
    let place = Place::new();
    let parent = parent(&place, &native).await;
    output(&*parent, "mkdir closed; echo x > closed/x; chmod 0 closed").await;
    let snapshot = parent.snapshot().await.unwrap();
    let child = snapshot.branch().await.unwrap();
    let left = || fs::read_dir(place.path("cache")).unwrap().count();
    assert_eq!(left(), 1);
    drop(snapshot);
    assert_eq!(output(&*child, "chmod 700 closed; cat closed/x").await, "x");
    drop(child);
    assert_eq!(left(), 0);
}
