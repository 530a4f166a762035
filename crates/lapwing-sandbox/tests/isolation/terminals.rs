//! Commands in terminals: keys, size, signals, hanging up.

use lapwing_core::{Command, ExitStatus, Sandbox, Terminal, TerminalSize};
use lapwing_sandbox::Native;

use crate::{Suite, bash, output, sandbox};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("a_command_in_a_terminal_has_one_of_the_size_told", size);
    suite.test("keys_are_echoed_and_control_c_interrupts", keys);
    suite.test("a_terminal_that_hangs_up_ends_all_that_ran_in_it", hang_up);
    suite.test("what_is_typed_faster_than_it_is_read_arrives", flood);
    suite.test("a_daemon_does_not_keep_a_terminal_from_ending", daemon);
    suite.test("a_laid_out_terminal_folder_is_not_opened", laid_out);
}

const SIZE: TerminalSize = TerminalSize { rows: 33, columns: 101 };

async fn open(sandbox: &dyn Sandbox, script: &str) -> Box<dyn Terminal> {
    sandbox.terminal(bash(script), SIZE).await.unwrap()
}

/// Reads until `wanted` was written.
async fn until(terminal: &mut Box<dyn Terminal>, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let bytes = terminal.receive().await.unwrap();
        assert!(!bytes.is_empty(), "it ended without {wanted:?}: {text:?}");
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    text
}

async fn rest(mut terminal: Box<dyn Terminal>) -> (String, ExitStatus) {
    let mut text = String::new();
    loop {
        let bytes = terminal.receive().await.unwrap();
        if bytes.is_empty() {
            return (text, terminal.finish().await.unwrap());
        }
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
}

async fn size(native: Native) {
    let sandbox = sandbox(&native).await;
    let script =
        "tty; stty size; trap 'stty size; exit 7' WINCH; echo ready; while :; do read -t 1; done";
    let mut terminal = open(&*sandbox, script).await;
    let first = until(&mut terminal, "ready\r\n").await;
    assert_eq!(first, "/dev/pts/0\r\n33 101\r\nready\r\n");
    terminal.resize(TerminalSize { rows: 20, columns: 50 }).unwrap();
    let (text, status) = rest(terminal).await;
    assert_eq!((text.as_str(), status), ("20 50\r\n", ExitStatus::Exit { code: 7 }));
}

async fn keys(native: Native) {
    let sandbox = sandbox(&native).await;
    // In a builtin, wherever it is: between two programs a shell may miss the key.
    let script = "trap 'echo caught; exit 3' INT; read x; echo got $x; while :; do read -t 1; done";
    let mut terminal = open(&*sandbox, script).await;
    terminal.send(b"hi\n").await.unwrap();
    let text = until(&mut terminal, "got hi\r\n").await;
    assert_eq!(text, "hi\r\ngot hi\r\n");
    terminal.send(&[3]).await.unwrap();
    let (text, status) = rest(terminal).await;
    assert_eq!((text.as_str(), status), ("^Ccaught\r\n", ExitStatus::Exit { code: 3 }));
}

async fn hang_up(native: Native) {
    let sandbox = sandbox(&native).await;
    let script =
        "trap '' HUP; (setsid sleep 1234 &); sleep 1235 & echo ready; while :; do sleep 1236; done";
    let mut terminal = open(&*sandbox, script).await;
    until(&mut terminal, "ready").await;
    drop(terminal);
    // Those who ignore it are killed, and so are those who left the session.
    while sandbox.processes().await.unwrap().iter().any(|process| process.command.contains("123")) {
        tokio::task::yield_now().await;
    }
    assert_eq!(output(&*sandbox, "echo alive").await, "alive");
    let mut terminal = open(&*sandbox, "echo ready; exec sleep 1237").await;
    until(&mut terminal, "ready").await;
    assert_eq!(terminal.finish().await.unwrap(), ExitStatus::Signal { signal: 1 });
}

async fn flood(native: Native) {
    let sandbox = sandbox(&native).await;
    let mut terminal = open(&*sandbox, "stty raw -echo; echo ready; exec cat").await;
    until(&mut terminal, "ready\n").await;
    // Each time more than a terminal holds in either direction, while nobody reads.
    let text = "0123456789".repeat(3_000).into_bytes();
    for round in 1..=10 {
        terminal.send(&text).await.unwrap();
        let mut echoed = Vec::new();
        while echoed.len() < text.len() {
            let bytes = terminal.receive().await.unwrap();
            assert!(!bytes.is_empty(), "{} bytes of round {round} came back", echoed.len());
            echoed.extend(bytes);
        }
        assert!(echoed == text, "round {round} came back otherwise");
    }
    assert_eq!(terminal.finish().await.unwrap(), ExitStatus::Signal { signal: 1 });
}

async fn daemon(native: Native) {
    let sandbox = sandbox(&native).await;
    let terminal = open(&*sandbox, "sleep 1000 & echo done").await;
    assert_eq!(rest(terminal).await, ("done\r\n".to_owned(), ExitStatus::Exit { code: 0 }));
}

async fn laid_out(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "mv /dev /dev2; mkdir -p /dev/pts; mkfifo /dev/pts/ptmx").await;
    let mut terminal = sandbox.terminal(Command::new(["/bin/echo", "hi"]), SIZE).await.unwrap();
    assert_eq!(until(&mut terminal, "hi\r\n").await, "hi\r\n");
}
