//! Files put, read, listed and protected.

use lapwing_core::{
    ChangeKind, Command, Digest, EntryKind, Limits, NewFile, Sandbox, SandboxError,
};
use lapwing_sandbox::Native;

use crate::{Suite, limited, output, refusal, run, sandbox};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("bytes_survive_put_and_get", round_trip);
    suite.test("put_sets_modes_replaces_files_and_makes_parents", put_modes);
    suite.test("put_says_which_file_failed_and_leaves_no_piece", put_fails);
    suite.test("put_never_writes_through_a_link_or_waits_for_a_fifo", put_traps);
    suite.test("get_refuses_what_is_no_small_regular_file", get_refuses);
    suite.test("many_files_are_read_at_once_whatever_each_of_them_is", get_all);
    suite.test("manifest_sees_every_kind_of_change", changes);
    suite.test("manifest_and_get_are_not_stopped_by_permission_bits", unreadable);
    suite.test("manifest_covers_every_writable_directory", whole_tree);
    suite.test("manifest_and_get_agree_on_names_that_are_no_text", odd_names);
    suite.test("manifest_reaches_below_the_longest_path", deep_tree);
    suite.test("manifest_of_endless_holes_ends", holes);
    suite.test("manifest_counts_the_targets_of_links", long_links);
    suite.test("a_protected_file_cannot_be_changed_moved_or_removed", protected_file);
    suite.test("protection_holds_for_processes_that_were_there_before", protected_from_old);
    suite.test("protect_refuses_links_and_files_with_two_names", protect_refuses);
}

fn file(path: &str, bytes: &[u8], mode: u32) -> NewFile {
    NewFile { path: path.to_owned(), bytes: bytes.to_vec(), mode }
}

async fn round_trip(native: Native) {
    let sandbox = sandbox(&native).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let files = [("/tmp/empty", &[][..]), ("/workspace/large", &large), ("/run/x", b"\0\xff\n")];
    let new = files.iter().map(|(path, bytes)| file(path, bytes, 0o644)).collect();
    sandbox.put(new).await.unwrap();
    for (path, bytes) in files {
        assert_eq!(sandbox.get(path, 5_000_000).await.unwrap().unwrap(), bytes, "{path}");
    }
    let sum = output(&*sandbox, "sha256sum < /workspace/large").await;
    assert!(sum.starts_with(&Digest::of(&large).to_string()));
}

async fn put_modes(native: Native) {
    let sandbox = sandbox(&native).await;
    let tool = file("/usr/local/bin/tool", b"#!/bin/sh\necho one\n", 0o755);
    sandbox.put(vec![tool, file("/home/agent/a/b/c", b"", 0o400)]).await.unwrap();
    assert_eq!(output(&*sandbox, "tool; stat -c %a a a/b a/b/c").await, "one\n755\n755\n400");
    sandbox.put(vec![file("/usr/local/bin/tool", b"#!/bin/sh\necho two\n", 0o700)]).await.unwrap();
    assert_eq!(output(&*sandbox, "tool; stat -c %a $(command -v tool)").await, "two\n700");
}

async fn put_fails(native: Native) {
    let sandbox = limited(&native, Limits { disk_bytes: 2 << 20, ..Limits::default() }).await;
    let big = vec![0; 3 << 20];
    for (path, bytes) in
        [("/usr/bin/x", &[][..]), ("/tmp", &[]), ("relative", &[]), ("/tmp/big", &big)]
    {
        let error = sandbox.put(vec![file(path, bytes, 0o644)]).await.unwrap_err();
        let SandboxError::Failed { cause, .. } = error else { unreachable!("{error}") };
        assert!(cause.starts_with(&format!("{path}: ")), "{cause}");
    }
    assert_eq!(output(&*sandbox, "ls -A /tmp /home/agent").await, "/home/agent:\n\n/tmp:");
}

async fn put_traps(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "echo old > target; ln -s target link; mkfifo pipe").await;
    let files = ["link", "pipe"].map(|name| file(&format!("/home/agent/{name}"), b"new", 0o644));
    sandbox.put(files.to_vec()).await.unwrap();
    assert_eq!(output(&*sandbox, "cat target link pipe").await, "old\nnewnew");
}

async fn get_refuses(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "mkfifo pipe; ln -s /etc/passwd link; mkdir folder; echo 12345 > file; \
                  perl -e 'socket(S, 1, 1, 0); bind(S, pack(\"S a*\", 1, \"socket\")) or die'";
    output(&*sandbox, script).await;
    for name in ["pipe", "link", "folder", "socket", "none", "file/x"] {
        let path = format!("/home/agent/{name}");
        assert_eq!(sandbox.get(&path, 100).await.unwrap(), None, "{name}");
    }
    assert_eq!(sandbox.get("/dev/zero", 100).await.unwrap(), None);
    assert_eq!(sandbox.get("/home/agent/file", 5).await.unwrap(), None);
    assert_eq!(sandbox.get("/home/agent/file", 6).await.unwrap().unwrap(), b"12345\n");
}

async fn get_all(native: Native) {
    let sandbox = sandbox(&native).await;
    output(
        &*sandbox,
        "mkfifo pipe; mkdir folder; printf 12345 > five; printf 123456 > six; : > empty",
    )
    .await;
    output(&*sandbox, "for i in 1 2 3; do head -c 1500000 /dev/zero > large$i; done").await;
    let got = async |names: &[&str], max_bytes| {
        let paths: Vec<String> = names.iter().map(|name| format!("/home/agent/{name}")).collect();
        sandbox.get_all(&paths, max_bytes).await.unwrap()
    };
    let small = got(&["six", "pipe", "five", "none", "empty", "folder"], 5).await;
    assert_eq!(small, [None, None, Some(b"12345".to_vec()), None, Some(Vec::new()), None]);
    let large = got(&["large1", "five", "large2", "none", "large3", "empty"], 1_500_000).await;
    let sizes: Vec<Option<usize>> = large.iter().map(|file| file.as_ref().map(Vec::len)).collect();
    let whole = Some(1_500_000);
    assert_eq!(sizes, [whole, Some(5), whole, None, whole, Some(0)]);
    assert_eq!(got(&[], 5).await, [] as [Option<Vec<u8>>; 0]);
}

async fn changed(sandbox: &dyn Sandbox, script: &str) -> Vec<(String, Vec<ChangeKind>)> {
    let before = sandbox.manifest().await.unwrap();
    output(sandbox, script).await;
    let changes = before.changes_to(&sandbox.manifest().await.unwrap());
    changes.into_iter().map(|change| (change.path, change.kinds)).collect()
}

async fn changes(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "echo a > content; echo a > mode; echo a > gone; ln -s a link; mkdir d")
        .await;
    assert_eq!(changed(&*sandbox, "true").await, []);
    let script = "echo b > content; chmod 600 mode; rm gone; ln -sf b link; echo > new; mkfifo pipe; \
                  chmod 700 d; echo > /usr/local/bin/tool; ln content second";
    let (created, content, mode) =
        (vec![ChangeKind::Created], vec![ChangeKind::Content], vec![ChangeKind::Mode]);
    let expected = [
        ("/home/agent/content", content.clone()),
        ("/home/agent/d", mode.clone()),
        ("/home/agent/gone", vec![ChangeKind::Removed]),
        ("/home/agent/link", content),
        ("/home/agent/mode", mode),
        ("/home/agent/new", created.clone()),
        ("/home/agent/pipe", created.clone()),
        ("/home/agent/second", created.clone()),
        ("/usr/local/bin/tool", created),
    ];
    assert_eq!(
        changed(&*sandbox, script).await,
        expected.map(|(path, kinds)| (path.to_owned(), kinds))
    );

    let entries = sandbox.manifest().await.unwrap().entries;
    let content = &entries["/home/agent/content"];
    assert_eq!((content.kind, content.mode, content.size), (EntryKind::File, 0o644, 2));
    assert_eq!(content.digest, Some(Digest::of(b"b\n")));
    assert_eq!(entries["/home/agent/link"].target.as_deref(), Some("b"));
    assert_eq!(entries["/home/agent/pipe"].kind, EntryKind::Special);
    assert_eq!(entries["/tmp"].mode, 0o1777);
}

async fn unreadable(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "mkdir -p a/b; echo hidden > a/b/c; chmod 000 a/b/c a/b a").await;
    refusal(&*sandbox, "cat a/b/c").await;
    let entries = sandbox.manifest().await.unwrap().entries;
    assert_eq!(entries["/home/agent/a/b/c"].digest, Some(Digest::of(b"hidden\n")));
    assert_eq!(sandbox.get("/home/agent/a/b/c", 100).await.unwrap().unwrap(), b"hidden\n");
}

async fn whole_tree(native: Native) {
    let sandbox = sandbox(&native).await;
    // Every directory that a command can write to, whatever file system it is on.
    let script = "find / -path /proc -prune -o -type d -writable -print 2>/dev/null | \
                  while read d; do touch \"$d/mark\" 2>/dev/null && echo \"$d/mark\"; done | sed s,^//,/,";
    let marks = output(&*sandbox, script).await;
    let entries = sandbox.manifest().await.unwrap().entries;
    let missing: Vec<&str> = marks.lines().filter(|mark| !entries.contains_key(*mark)).collect();
    assert_eq!(missing, [] as [&str; 0]);
    for mark in
        ["/mark", "/dev/shm/mark", "/dev/mark", "/usr/local/bin/mark", "/etc/mark", "/var/tmp/mark"]
    {
        assert!(marks.lines().any(|line| line == mark), "{mark}");
    }
    assert!(
        entries.keys().all(|path| !path.starts_with("/proc/") && !path.starts_with("/usr/bin"))
    );
}

async fn odd_names(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "printf bytes > $'/tmp/\\xff\\xc3\\xbc\\\\n\\n'; ln -s $'\\xfe' /tmp/l")
        .await;
    let entries = sandbox.manifest().await.unwrap().entries;
    let path = "/tmp/\\xffü\\x5cn\n";
    assert_eq!(entries[path].digest, Some(Digest::of(b"bytes")));
    assert_eq!(entries["/tmp/l"].target.as_deref(), Some("\\xfe"));
    assert_eq!(sandbox.get(path, 100).await.unwrap().unwrap(), b"bytes");
}

async fn deep_tree(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "perl -e '$n = \"n\" x 200; for (1..40) { mkdir $n; chdir $n } open F, \">\", \"f\"; print F \"deep\"'";
    output(&*sandbox, script).await;
    let entries = sandbox.manifest().await.unwrap().entries;
    let path = format!("/home/agent{}/f", format!("/{}", "n".repeat(200)).repeat(40));
    assert_eq!(entries[&path].digest, Some(Digest::of(b"deep")));

    output(&*sandbox, "perl -e '$n = \"n\" x 200; for (1..100) { mkdir $n; chdir $n }'").await;
    let error = sandbox.manifest().await.unwrap_err();
    assert!(error.to_string().contains("too long to list"), "{error}");
}

async fn holes(native: Native) {
    let sandbox = limited(&native, Limits { disk_bytes: 16 << 20, ..Limits::default() }).await;
    output(&*sandbox, "for i in $(seq 1 3000); do echo $i; done | xargs truncate -s 16M").await;
    let entries = sandbox.manifest().await.unwrap().entries;
    let undigested =
        entries.values().filter(|entry| entry.size == 16 << 20 && entry.digest.is_none());
    assert_eq!(undigested.count(), 3000 - 3);
}

async fn long_links(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "perl -e '$t = \"t\" x 4000; symlink $t, $_ for 1..17000'").await;
    let error = sandbox.manifest().await.err().unwrap();
    assert!(error.to_string().contains("too long to list"), "{error}");
}

async fn protected_file(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "mkdir -p /workspace/a; echo kept > /workspace/a/script; mkdir -p tree/x; echo kept > tree/x/y").await;
    let paths = ["/workspace/a/script", "/home/agent/tree", "/usr/local/bin"].map(str::to_owned);
    sandbox.protect(&paths).await.unwrap();
    for script in [
        "echo x > /workspace/a/script",
        "echo x >> /workspace/a/script",
        "rm -f /workspace/a/script",
        "mv /workspace/a/script /workspace/a/other",
        "chmod 777 /workspace/a/script",
        "ln /workspace/a/script /workspace/a/other",
        "truncate -s 0 /workspace/a/script",
        "echo new > other; mv -f other /workspace/a/script",
        "mv /workspace/a /workspace/b",
        "mv /workspace /elsewhere",
        "rm -rf /workspace/a",
        "umount /workspace/a/script",
        "mount -o remount,rw /workspace/a/script",
        "echo x > tree/x/y",
        "touch tree/new",
        "mv tree other",
        "touch /usr/local/bin/x",
        "mv /usr/local /usr/other",
    ] {
        refusal(&*sandbox, script).await;
    }
    let kept = "cat /workspace/a/script tree/x/y; touch /workspace/a/beside /home/agent/beside";
    assert_eq!(output(&*sandbox, kept).await, "kept\nkept");
    let entries = sandbox.manifest().await.unwrap().entries;
    assert_eq!(entries["/workspace/a/script"].digest, Some(Digest::of(b"kept\n")));
    assert_eq!(entries["/home/agent/tree/x/y"].digest, Some(Digest::of(b"kept\n")));
    let put = sandbox.put(vec![file("/workspace/a/script", b"x", 0o644)]).await;
    assert!(put.is_err());
}

async fn protected_from_old(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "mkdir -p a/b; echo kept > a/b/script; mkfifo go").await;
    let old = "cd a/b; read < ../../go; echo x > script; rm -f script; cd ..; mv b c; cd ..; mv a d; true";
    let mut session = sandbox
        .open(Command {
            cwd: "/home/agent".to_owned(),
            ..crate::bash(&format!("cd a; echo on; cd ..; {old}"))
        })
        .await
        .unwrap();
    assert_eq!(session.receive().await.unwrap(), b"on\n");
    sandbox.protect(&["/home/agent/a/b/script".to_owned()]).await.unwrap();
    output(&*sandbox, "echo > go").await;
    session.finish().await.unwrap();
    assert_eq!(output(&*sandbox, "cat a/b/script").await, "kept");
}

async fn protect_refuses(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "echo x > file; ln -s file link; echo y > one; ln one two").await;
    for path in
        ["/home/agent/link", "/home/agent/one", "/home/agent/none", "relative", "/", "/home/../etc"]
    {
        let error = sandbox.protect(&[path.to_owned()]).await.unwrap_err();
        let SandboxError::Failed { step, cause } = error else { unreachable!("{error}") };
        assert_eq!(step, "protect files");
        assert!(cause.starts_with(&format!("{path}: ")), "{cause}");
    }
    run(&*sandbox, "true").await;
}
