//! Commands in the background.

use lapwing_core::{Background, Command, ExitStatus, Heard, Running, Sandbox, SandboxError};
use lapwing_sandbox::Native;

use crate::{Suite, bash, output, run, sandbox};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("output_in_the_background_is_told_once_and_the_end_with_it", told_once);
    suite.test("what_is_fed_to_a_command_reaches_it_until_its_input_is_closed", fed);
    suite.test("a_command_that_does_not_read_takes_what_its_pipe_holds", unread);
    suite.test("a_command_that_is_killed_takes_its_daemons_along", killed);
    suite.test("what_a_command_leaves_behind_is_counted_and_lives_on", left_behind);
    suite.test("of_a_flood_of_output_both_ends_are_kept_and_all_is_counted", flood);
    suite.test("commands_in_the_background_end_with_the_sandbox", destroyed);
    suite.test("each_end_in_the_background_is_told_apart", ends);
    suite.test("numbers_of_no_command_are_refused", unknown);
}

/// Longer than any test takes.
const LONG_MS: u64 = 600_000;

fn of(sandbox: &dyn Sandbox) -> &dyn Background {
    sandbox.background().unwrap()
}

async fn spawn(sandbox: &dyn Sandbox, script: &str) -> u64 {
    of(sandbox).spawn(Command { limit_ms: LONG_MS, ..bash(script) }).await.unwrap()
}

/// All output until `is_enough`.
async fn hear(sandbox: &dyn Sandbox, number: u64, is_enough: impl Fn(&Heard) -> bool) -> Heard {
    let mut all = Heard::default();
    while !is_enough(&all) {
        let Heard { output, output_bytes, status, orphans } =
            of(sandbox).poll(number, LONG_MS).await.unwrap();
        all.output.extend(output);
        all.output_bytes += output_bytes;
        (all.status, all.orphans) = (status, orphans);
    }
    all
}

async fn hear_all(sandbox: &dyn Sandbox, number: u64) -> Heard {
    hear(sandbox, number, |heard| heard.status.is_some()).await
}

async fn told_once(native: Native) {
    let sandbox = sandbox(&native).await;
    let number = spawn(&*sandbox, "echo one; echo two >&2; read; echo three; exit 4").await;
    assert_eq!(number, 1);
    let first = hear(&*sandbox, number, |heard| heard.output.ends_with(b"two\n")).await;
    assert_eq!(String::from_utf8(first.output).unwrap(), "one\ntwo\n");
    assert_eq!(first.status, None);
    let quiet = of(&*sandbox).poll(number, 0).await.unwrap();
    assert_eq!(quiet, Heard::default());
    assert_eq!(of(&*sandbox).feed(number, b"\n", false, LONG_MS).await.unwrap(), 1);
    let rest = hear_all(&*sandbox, number).await;
    let exit = Some(ExitStatus::Exit { code: 4 });
    let expected = Heard { output: b"three\n".to_vec(), output_bytes: 6, status: exit, orphans: 0 };
    assert_eq!(rest, expected);
    // It stays known, and there is nothing new about it.
    let again = of(&*sandbox).poll(number, 1).await.unwrap();
    assert_eq!(again, Heard { status: exit, ..Heard::default() });
    let argv = ["bash", "-c", "echo one; echo two >&2; read; echo three; exit 4"];
    let known =
        Running { number, argv: argv.map(str::to_owned).to_vec(), status: exit, news: false };
    assert_eq!(of(&*sandbox).list(), [known]);
}

async fn fed(native: Native) {
    let sandbox = sandbox(&native).await;
    let command = Command { stdin: b"first ".to_vec(), limit_ms: LONG_MS, ..Command::new(["cat"]) };
    let number = of(&*sandbox).spawn(command).await.unwrap();
    hear(&*sandbox, number, |heard| heard.output == b"first ").await;
    let bytes = [0, 255, b'x', b'\n'];
    assert_eq!(of(&*sandbox).feed(number, &bytes, true, LONG_MS).await.unwrap(), bytes.len());
    let heard = hear_all(&*sandbox, number).await;
    assert_eq!(heard.output, bytes);
    assert_eq!(heard.status, Some(ExitStatus::Exit { code: 0 }));
    // Nobody is there any more who could take it.
    assert_eq!(of(&*sandbox).feed(number, b"more", true, LONG_MS).await.unwrap(), 0);
}

async fn unread(native: Native) {
    let sandbox = sandbox(&native).await;
    let number = spawn(&*sandbox, "exec sleep 1000").await;
    let bytes = vec![b'x'; 1 << 20];
    let taken = of(&*sandbox).feed(number, &bytes, true, 50).await.unwrap();
    assert!(taken < bytes.len(), "{taken}");
    assert_eq!(output(&*sandbox, "echo alive").await, "alive");
}

async fn killed(native: Native) {
    let sandbox = sandbox(&native).await;
    let daemons = "(setsid sleep 1000 &) ; (setsid sleep 1001 &) ; echo up; sleep 1002";
    let number = spawn(&*sandbox, daemons).await;
    hear(&*sandbox, number, |heard| heard.output == b"up\n").await;
    of(&*sandbox).kill(number).await.unwrap();
    let heard = of(&*sandbox).poll(number, 0).await.unwrap();
    assert_eq!(heard.status, Some(ExitStatus::Signal { signal: libc::SIGKILL }));
    assert_eq!(heard.orphans, 0);
    assert_eq!(sandbox.processes().await.unwrap(), []);
    of(&*sandbox).kill(number).await.unwrap();
    assert_eq!(output(&*sandbox, "echo alive").await, "alive");
}

async fn left_behind(native: Native) {
    let sandbox = sandbox(&native).await;
    // Both are there before the command ends: a shell that has started a process knows its id.
    let number = spawn(&*sandbox, "sleep 1000 & (sleep 1001 &) ; exit 3").await;
    let heard = hear_all(&*sandbox, number).await;
    assert_eq!((heard.status, heard.orphans), (Some(ExitStatus::Exit { code: 3 }), 2));
    assert_eq!(sandbox.processes().await.unwrap().len(), 2);
}

async fn flood(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "printf begin; head -c 3000000 /dev/zero; printf end";
    let command = Command { output_bytes: 10, limit_ms: LONG_MS, ..bash(script) };
    let number = of(&*sandbox).spawn(command).await.unwrap();
    // Nobody listens until it has ended.
    while of(&*sandbox).list()[0].status.is_none() {
        run(&*sandbox, "true").await;
    }
    let mut heard = Heard::default();
    while heard.output_bytes < 3_000_008 {
        let more = of(&*sandbox).poll(number, LONG_MS).await.unwrap();
        heard.output.extend(more.output);
        heard.output_bytes += more.output_bytes;
    }
    assert_eq!(heard.output_bytes, 3_000_008);
    assert!(heard.output.starts_with(b"begin") && heard.output.ends_with(b"end"));
}

async fn destroyed(native: Native) {
    let sandbox = sandbox(&native).await;
    let number = spawn(&*sandbox, "echo up; exec sleep 1000").await;
    hear(&*sandbox, number, |heard| heard.output == b"up\n").await;
    sandbox.destroy().await.unwrap();
    let Err(SandboxError::Lost { loss, .. }) = of(&*sandbox).poll(number, LONG_MS).await else {
        unreachable!("it answers")
    };
    assert_eq!(loss, lapwing_core::Loss::Destroyed);
}

async fn ends(native: Native) {
    let sandbox = sandbox(&native).await;
    let signal = |signal| ExitStatus::Signal { signal };
    for (script, expected) in [
        ("exit 9", ExitStatus::Exit { code: 9 }),
        ("kill -TERM $$", signal(libc::SIGTERM)),
        ("kill -9 $$", signal(libc::SIGKILL)),
    ] {
        let number = spawn(&*sandbox, script).await;
        assert_eq!(hear_all(&*sandbox, number).await.status, Some(expected), "{script}");
    }
    let late = Command { limit_ms: 50, ..bash("trap '' TERM; sleep 1000") };
    let number = of(&*sandbox).spawn(late).await.unwrap();
    assert_eq!(hear_all(&*sandbox, number).await.status, Some(ExitStatus::TimeLimit));
    assert_eq!(sandbox.processes().await.unwrap(), []);
}

async fn unknown(native: Native) {
    let sandbox = sandbox(&native).await;
    spawn(&*sandbox, "true").await;
    for number in [0, 2, u64::MAX] {
        let Err(SandboxError::Failed { cause, .. }) = of(&*sandbox).poll(number, 0).await else {
            unreachable!("{number} is known")
        };
        assert_eq!(cause, format!("none has the number {number}"));
        assert!(of(&*sandbox).kill(number).await.is_err());
        assert!(of(&*sandbox).feed(number, b"x", false, 0).await.is_err());
    }
}
