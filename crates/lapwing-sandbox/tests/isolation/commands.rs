//! Commands, sessions and services.

use std::collections::BTreeMap;
use std::time::Duration;

use lapwing_core::{Command, ExitStatus, Limits, SandboxError};
use lapwing_sandbox::Native;
use tokio::time::timeout;

use crate::{Suite, bash, limited, output, run, sandbox};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("exec_returns_both_outputs_and_the_exit_code", both_outputs);
    suite.test("exec_tells_a_signal_from_an_exit_code", signal);
    suite.test("cwd_env_and_stdin_reach_the_command", surroundings);
    suite.test("a_command_that_cannot_be_run_is_a_result_as_in_a_shell", not_found);
    suite.test("output_is_kept_at_both_ends_and_counted", capped);
    suite.test("a_command_larger_than_a_packet_arrives_whole", large_command);
    suite.test("the_time_limit_kills_orphaned_descendants_and_the_next_exec_works", time_limit);
    suite.test("a_background_process_lives_on_and_may_still_write", background);
    suite.test("dropping_an_exec_ends_its_command", dropped_exec);
    suite.test("commands_run_side_by_side", side_by_side);
    suite.test("a_session_is_a_conversation", session);
    suite.test("a_session_past_its_limit_is_ended", session_limit);
    suite.test("a_killed_service_is_reported_as_signal_and_a_running_one_as_none", services);
    suite.test("waiting_for_a_service_is_woken_by_its_end", wait_wakes);
    suite.test("processes_lists_commands_and_services_only", processes);
    suite.test("a_fork_bomb_is_held_and_the_sandbox_survives", fork_bomb);
    suite.test("the_time_limit_holds_where_something_stops_every_new_process", stopped);
    suite.test("nothing_inside_can_lay_out_the_standard_input_of_others", without_dev);
    suite.test("killing_everything_leaves_pid_1_and_the_status_exact", kill_all);
}

async fn both_outputs(native: Native) {
    let sandbox = sandbox(&native).await;
    let captured = run(&*sandbox, "echo out; echo err >&2; exit 3").await;
    assert_eq!(captured.status, ExitStatus::Exit { code: 3 });
    assert_eq!((captured.stdout, captured.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert_eq!((captured.stdout_bytes, captured.stderr_bytes), (4, 4));
}

async fn signal(native: Native) {
    let sandbox = sandbox(&native).await;
    let captured = run(&*sandbox, "kill -TERM $$").await;
    assert_eq!(captured.status, ExitStatus::Signal { signal: 15 });
}

async fn surroundings(native: Native) {
    let sandbox = sandbox(&native).await;
    let captured = sandbox
        .exec(Command {
            cwd: "/tmp".to_owned(),
            env: BTreeMap::from([("COLOUR".to_owned(), "green = 1".to_owned())]),
            stdin: b"a\0b\xff".to_vec(),
            ..bash("pwd; echo $COLOUR $HOME $USER $LANG $PATH; cat; echo; cat /dev/stdin | wc -c")
        })
        .await
        .unwrap();
    let mut expected =
        b"/tmp\ngreen = 1 /home/agent agent C.UTF-8 /usr/local/bin:/usr/bin:/bin\na\0b\xff\n4\n"
            .to_vec();
    assert_eq!(captured.stdout, expected);
    let nothing = sandbox.exec(Command::new(["cat"])).await.unwrap();
    expected.clear();
    assert_eq!((nothing.stdout, nothing.status), (expected, ExitStatus::Exit { code: 0 }));
}

async fn not_found(native: Native) {
    let sandbox = sandbox(&native).await;
    let run = async |argv: &[&str], cwd: &str| {
        let command = Command { cwd: cwd.to_owned(), ..Command::new(argv.iter().copied()) };
        let captured = sandbox.exec(command).await.unwrap();
        (captured.status, String::from_utf8(captured.stderr).unwrap())
    };
    let (missing, refused) = (ExitStatus::Exit { code: 127 }, ExitStatus::Exit { code: 126 });
    assert_eq!(run(&["nix"], "/").await, (missing, "nix: command not found\n".to_owned()));
    assert_eq!(run(&["/no"], "/").await, (missing, "/no: No such file or directory\n".to_owned()));
    assert_eq!(run(&["/tmp"], "/").await, (refused, "/tmp: Permission denied\n".to_owned()));
    assert_eq!(
        run(&["true"], "/no").await,
        (refused, "/no: No such file or directory\n".to_owned())
    );
    assert_eq!(run(&[], "/").await.0, missing);
}

async fn capped(native: Native) {
    let sandbox = sandbox(&native).await;
    let command = Command { output_bytes: 10, ..bash("seq 1 200000; printf 0123456789 >&2") };
    let captured = sandbox.exec(command).await.unwrap();
    assert_eq!(captured.stdout, b"1\n2\n30000\n");
    assert_eq!(captured.stdout_bytes, 1_288_895);
    assert_eq!((captured.stderr, captured.stderr_bytes), (b"0123456789".to_vec(), 10));
}

async fn large_command(native: Native) {
    let sandbox = sandbox(&native).await;
    let (text, input) = ("é".repeat(40_000), vec![7; 3_000_000]);
    let command = Command {
        env: BTreeMap::from([("TEXT".to_owned(), text.clone())]),
        stdin: input,
        ..bash("printf %s \"$TEXT\"; wc -c >&2")
    };
    let captured = sandbox.exec(command).await.unwrap();
    assert_eq!(String::from_utf8(captured.stdout).unwrap(), text);
    assert_eq!(captured.stderr, b"3000000\n");
}

async fn time_limit(native: Native) {
    let sandbox = sandbox(&native).await;
    // The orphan leaves its session and its parent, so only pid 1 can still tell whose it is.
    let script = "(setsid bash -c 'sleep 1000 & sleep 1001' &) ; setsid sleep 1002 & sleep 1003";
    let command = Command { limit_ms: 300, ..bash(script) };
    let captured = sandbox.exec(command).await.unwrap();
    assert_eq!(captured.status, ExitStatus::TimeLimit);
    assert_eq!(sandbox.processes().await.unwrap(), []);
    assert_eq!(output(&*sandbox, "echo on").await, "on");
}

async fn background(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "mkfifo go; (read < go; echo noise; echo noise; echo lived > done) & echo started";
    assert_eq!(output(&*sandbox, script).await, "started");
    assert_eq!(sandbox.processes().await.unwrap().len(), 1);
    let lived = output(&*sandbox, "echo > go; until test -s done; do :; done; cat done").await;
    assert_eq!(lived, "lived");
}

async fn dropped_exec(native: Native) {
    let sandbox = sandbox(&native).await;
    let wait = bash("mkfifo started held; echo > started; sleep 1000 | cat");
    tokio::select! {
        _ = sandbox.exec(wait) => unreachable!("the command sleeps"),
        _ = run(&*sandbox, "until test -p started; do :; done; read < started") => (),
    }
    output(&*sandbox, "while pgrep sleep; do :; done >/dev/null").await;
}

async fn side_by_side(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "mkfifo a b").await;
    let (first, second) = tokio::join!(
        output(&*sandbox, "echo one > a; cat b"),
        output(&*sandbox, "cat a; echo two > b"),
    );
    assert_eq!((first.as_str(), second.as_str()), ("two", "one"));
}

async fn session(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "while read line; do echo \"heard $line\"; echo aside >&2; done; exit 4";
    let mut session = sandbox.open(bash(script)).await.unwrap();
    let mut heard = Vec::new();
    for word in ["one", "two"] {
        session.send(format!("{word}\n").as_bytes()).await.unwrap();
        while !heard.ends_with(b"aside\n") {
            heard.extend(session.receive().await.unwrap());
        }
        assert_eq!(heard, format!("heard {word}\naside\n").into_bytes());
        heard.clear();
    }
    assert_eq!(session.finish().await.unwrap(), ExitStatus::Exit { code: 4 });

    let mut ended = sandbox.open(bash("echo last")).await.unwrap();
    assert_eq!(ended.receive().await.unwrap(), b"last\n");
    assert_eq!(ended.receive().await.unwrap(), b"");
    // More than a pipe holds, to nobody.
    ended.send(&vec![b'x'; 1 << 20]).await.unwrap();
    assert_eq!(ended.finish().await.unwrap(), ExitStatus::Exit { code: 0 });
}

async fn session_limit(native: Native) {
    let sandbox = sandbox(&native).await;
    let command = Command { limit_ms: 200, ..bash("trap '' TERM; while :; do :; done") };
    let mut session = sandbox.open(command).await.unwrap();
    assert_eq!(session.receive().await.unwrap(), b"");
    assert_eq!(session.finish().await.unwrap(), ExitStatus::TimeLimit);
}

async fn services(native: Native) {
    let sandbox = sandbox(&native).await;
    for name in ["worker", "idle"] {
        sandbox.start(name, Command::new(["sleep", "1000"])).await.unwrap();
    }
    sandbox.start("short", bash("exit 5")).await.unwrap();
    let listed = sandbox.services().await.unwrap();
    let names: Vec<&str> = listed.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["worker", "idle", "short"]);

    output(&*sandbox, &format!("kill -9 {}", listed[0].pid)).await;
    assert_eq!(
        sandbox.wait("worker", 60_000).await.unwrap(),
        Some(ExitStatus::Signal { signal: 9 })
    );
    assert_eq!(sandbox.wait("short", 60_000).await.unwrap(), Some(ExitStatus::Exit { code: 5 }));
    assert_eq!(sandbox.wait("idle", 10).await.unwrap(), None);
    let statuses: Vec<_> =
        sandbox.services().await.unwrap().iter().map(|service| service.status).collect();
    let (killed, ended) = (ExitStatus::Signal { signal: 9 }, ExitStatus::Exit { code: 5 });
    assert_eq!(statuses, [Some(killed), None, Some(ended)]);
    let unknown = sandbox.wait("nobody", 10).await.unwrap_err();
    assert!(matches!(&unknown, SandboxError::Failed { cause, .. } if cause.contains("nobody")));
}

async fn wait_wakes(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "mkfifo end").await;
    sandbox.start("worker", bash("read < end; exit 6")).await.unwrap();
    // Were it not woken, the test would run into its time limit of ten minutes.
    let (status, ()) = tokio::join!(sandbox.wait("worker", 600_000), async {
        output(&*sandbox, "echo > end").await;
    });
    assert_eq!(status.unwrap(), Some(ExitStatus::Exit { code: 6 }));
}

async fn processes(native: Native) {
    let sandbox = sandbox(&native).await;
    sandbox.start("worker", Command::new(["sleep", "1000"])).await.unwrap();
    let pid = sandbox.services().await.unwrap()[0].pid;
    // It is the service from its start, and its program from a moment later.
    output(&*sandbox, &format!("until grep -q sleep /proc/{pid}/cmdline; do :; done")).await;
    let mut session = sandbox.open(bash("echo $$; exec cat")).await.unwrap();
    let shell: u32 =
        String::from_utf8(session.receive().await.unwrap()).unwrap().trim().parse().unwrap();
    session.send(b"replaced\n").await.unwrap();
    session.receive().await.unwrap();
    let listed = sandbox.processes().await.unwrap();
    let listed: Vec<_> =
        listed.iter().map(|row| (row.pid, row.parent, row.command.as_str())).collect();
    assert_eq!(listed, [(pid, 1, "sleep 1000"), (shell, 1, "cat")]);
}

async fn fork_bomb(native: Native) {
    let sandbox = limited(&native, Limits { processes: 40, ..Limits::default() }).await;
    let bomb = Command { limit_ms: 1500, ..Command::new(["perl", "-e", "while (1) { fork }"]) };
    let (bombed, most) = tokio::join!(sandbox.exec(bomb), async {
        let mut most = 0;
        while most < 30 {
            most = sandbox.processes().await.unwrap().len();
        }
        assert_eq!(output(&*sandbox, "echo alive").await, "alive");
        most.max(sandbox.processes().await.unwrap().len())
    });
    assert_eq!(bombed.unwrap().status, ExitStatus::TimeLimit);
    assert!((30..=40).contains(&most), "{most}");
    assert_eq!(sandbox.processes().await.unwrap(), []);
    assert_eq!(output(&*sandbox, "echo $(echo forks)").await, "forks");
}

async fn kill_all(native: Native) {
    let sandbox = sandbox(&native).await;
    sandbox.start("worker", Command::new(["sleep", "1000"])).await.unwrap();
    // Kills its shim and the service too; what is left is the shell itself and pid 1.
    let captured = run(&*sandbox, "kill -9 1; kill -STOP 1; kill -9 -1; echo on; exit 7").await;
    assert_eq!(captured.status, ExitStatus::Exit { code: 7 });
    assert_eq!(captured.stdout, b"on\n");
    assert_eq!(
        sandbox.wait("worker", 60_000).await.unwrap(),
        Some(ExitStatus::Signal { signal: 9 })
    );
    assert_eq!(output(&*sandbox, "echo alive").await, "alive");
}

async fn stopped(native: Native) {
    let sandbox = sandbox(&native).await;
    let stopper = Command::new(["perl", "-e", "while (1) { kill STOP => -1 }"]);
    sandbox.start("stopper", stopper).await.unwrap();
    let limited = || sandbox.exec(Command { limit_ms: 50, ..bash("sleep 1000") });
    for _ in 0..20 {
        // Were the limit lost, this would wait for ever.
        let captured = timeout(Duration::from_mins(1), limited()).await.unwrap().unwrap();
        assert_eq!(captured.status, ExitStatus::TimeLimit);
    }
}

async fn without_dev(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "mv /dev /tmp/dev && mkdir /dev && echo mine > /dev/null").await;
    let captured = sandbox.exec(Command::new(["cat"])).await.unwrap();
    assert_eq!(
        (captured.status, captured.stdout.as_slice()),
        (ExitStatus::Exit { code: 0 }, &[][..])
    );
    sandbox.start("worker", bash("echo said; exit 3")).await.unwrap();
    assert_eq!(sandbox.wait("worker", 60_000).await.unwrap(), Some(ExitStatus::Exit { code: 3 }));
    assert_eq!(output(&*sandbox, "cat /dev/null").await, "mine");
}
