//! Attempts to keep from the harness what happened.

use lapwing_core::Command;
use lapwing_sandbox::Native;

use crate::abuse::{all_fail, calls};
use crate::{Suite, output, sandbox};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("killing_and_stopping_every_helper_denies_no_evidence", helpers);
    suite.test("nothing_hides_behind_the_process_id_of_a_shim", hidden);
    suite.test("extended_attributes_cannot_hide_anything", attributes);
}

async fn helpers(native: Native) {
    for signal in ["KILL", "STOP"] {
        let sandbox = sandbox(&native).await;
        output(&*sandbox, "echo evidence > note").await;
        let script = format!("$| = 1; print 'on'; while (1) {{ kill {signal} => -1 }}");
        let mut hunter = sandbox.open(Command::new(["perl", "-e", &script])).await.unwrap();
        assert_eq!(hunter.receive().await.unwrap(), b"on");
        for _ in 0..3 {
            let entries = sandbox.manifest().await.unwrap().entries;
            assert!(entries.contains_key("/home/agent/note"), "{signal}");
            let note = sandbox.get("/home/agent/note", 99).await.unwrap();
            assert_eq!(note.unwrap(), b"evidence\n", "{signal}");
            let hunted = sandbox.processes().await.unwrap();
            assert!(hunted.iter().any(|row| row.command.starts_with("perl")), "{signal}");
        }
    }
}

async fn hidden(native: Native) {
    let sandbox = sandbox(&native).await;
    // The first 300 ids are given only once.
    let first = "for (1..320) { $p = fork; defined $p or die; $p or exit; waitpid $p, 0 }";
    assert!(sandbox.exec(Command::new(["perl", "-e", first])).await.unwrap().status.success());
    // Kills its shim and forks until a child has the id that is free now.
    let script = "$| = 1; $shim = getppid; kill 'KILL', $shim; 1 while kill 0, $shim; while (1) { \
                  $p = fork; defined $p or exit 1; if (!$p) { $$ == $shim or exit; print \"$$ $shim\\n\"; sleep 1000 } \
                  last if $p == $shim; waitpid $p, 0 } sleep 1000";
    let mut session = sandbox.open(Command::new(["perl", "-e", script])).await.unwrap();
    let told = String::from_utf8(session.receive().await.unwrap()).unwrap();
    let (own, shim) = told.trim().split_once(' ').unwrap();
    assert_eq!(own, shim);
    let seen: Vec<String> =
        sandbox.processes().await.unwrap().iter().map(|row| row.pid.to_string()).collect();
    assert!(seen.iter().any(|pid| pid == own), "{own} is not among {seen:?}");
}

async fn attributes(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "echo text > file; echo text > copied").await;
    let list = [
        ("setxattr", libc::SYS_setxattr, "$f, $n, $v, 6, 0"),
        ("lsetxattr", libc::SYS_lsetxattr, "$f, $n, $v, 6, 0"),
        ("fsetxattr", libc::SYS_fsetxattr, "0, $n, $v, 6, 0"),
    ];
    let mut command = calls(&list);
    command.argv[2].insert_str(0, "$f = 'file'; $n = 'user.note'; $v = 'hidden';");
    let captured = sandbox.exec(command).await.unwrap();
    assert_eq!(String::from_utf8(captured.stdout).unwrap(), all_fail(&list, libc::EOPNOTSUPP));
    // Tools that keep attributes where they can go on without.
    output(
        &*sandbox,
        "cp -a file copied && mv copied /tmp/moved && tar -cf a.tar file && tar -xf a.tar",
    )
    .await;
}
