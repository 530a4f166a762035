//! Programs: commands inside whose answers come from outside.

use lapwing_core::{Answer, ExitStatus, Provider, Sandbox, SandboxSpec};
use lapwing_sandbox::Native;

use crate::{Suite, output, refusal, run, spec};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("a_call_carries_its_arguments_and_brings_the_answer_back", call);
    suite.test("concurrent_calls_get_their_own_answers", concurrent);
    suite.test("an_answer_larger_than_any_buffer_arrives_whole", large_answer);
    suite.test("a_caller_killed_while_waiting_does_no_harm", killed_caller);
    suite.test("an_answer_ends_while_a_helper_is_at_work", answered_beside_helper);
    suite.test("waiting_for_a_call_can_be_given_up_without_losing_one", cancelled);
    suite.test("a_call_that_is_no_program_or_too_long_fails_inside", refused);
    suite.test("a_program_needs_nothing_beside_itself", bare_environment);
}

async fn with_programs(native: &Native) -> Box<dyn Sandbox> {
    let programs = ["ask", "next_question"].map(str::to_owned).to_vec();
    native.create(SandboxSpec { programs, ..spec() }).await.unwrap()
}

fn answer(stdout: &str, code: i32) -> Answer {
    Answer { stdout: stdout.to_owned(), code }
}

async fn call(native: Native) {
    let sandbox = with_programs(&native).await;
    let script = "next_question one '' 'a  b' $'ü\\n'; echo \"code $?\"; echo $$";
    let (said, call) = tokio::join!(output(&*sandbox, script), async {
        let call = sandbox.checkpoint().await.unwrap();
        let live = sandbox.processes().await.unwrap();
        assert!(
            live.iter().any(|row| row.pid == call.pid && row.command.starts_with("next_question"))
        );
        sandbox.answer(call.id, answer("question\nno line feed", 42)).await.unwrap();
        call
    });
    assert!(said.starts_with("question\nno line feedcode 42\n"), "{said}");
    assert_eq!(call.program, "next_question");
    assert_eq!(call.arguments, ["one", "", "a  b", "ü\n"]);
}

async fn concurrent(native: Native) {
    let sandbox = with_programs(&native).await;
    let (first, second, ()) =
        tokio::join!(output(&*sandbox, "ask first"), output(&*sandbox, "ask second"), async {
            let calls = [sandbox.checkpoint().await.unwrap(), sandbox.checkpoint().await.unwrap()];
            for call in calls.iter().rev() {
                sandbox.answer(call.id, answer(&call.arguments[0], 0)).await.unwrap();
            }
        });
    assert_eq!((first.as_str(), second.as_str()), ("first", "second"));
}

async fn large_answer(native: Native) {
    let sandbox = with_programs(&native).await;
    let text = "0123456789".repeat(300_000);
    let (count, ()) = tokio::join!(output(&*sandbox, "ask | tee /tmp/x | wc -c"), async {
        let call = sandbox.checkpoint().await.unwrap();
        sandbox.answer(call.id, answer(&text, 0)).await.unwrap();
    });
    assert_eq!(count, "3000000");
    assert_eq!(sandbox.get("/tmp/x", 4_000_000).await.unwrap().unwrap(), text.as_bytes());
}

async fn killed_caller(native: Native) {
    let sandbox = with_programs(&native).await;
    output(&*sandbox, "ask lost & echo started").await;
    let lost = sandbox.checkpoint().await.unwrap();
    output(&*sandbox, &format!("kill -9 {}", lost.pid)).await;
    sandbox.answer(lost.id, answer("late", 0)).await.unwrap();
    // Killed while it calls, or while nobody has taken its call yet.
    output(&*sandbox, "for i in 1 2 3 4 5; do ask untaken & kill -9 $!; done; wait; true").await;
    let (said, program) = tokio::join!(output(&*sandbox, "ask live"), async {
        loop {
            let call = sandbox.checkpoint().await.unwrap();
            sandbox.answer(call.id, answer("heard", 0)).await.unwrap();
            if call.arguments == ["live"] {
                break call.program;
            }
        }
    });
    assert_eq!((said.as_str(), program.as_str()), ("heard", "ask"));
}

async fn answered_beside_helper(native: Native) {
    let sandbox = with_programs(&native).await;
    // While the first call waits, a helper is forked, which has much to read. It is stopped, and the second call tells.
    let script = "truncate -s 500M a b c d; ask first > /tmp/first & while :; do for p in /proc/[0-9]*; do \
                  case \"$(cat $p/comm) $(readlink $p/exe) ${p#/proc/}\" in 'init  1' | \"init  $PPID\") ;; \
                  'init  '*) kill -STOP ${p#/proc/} && break 2;; esac; done; done; \
                  ask second > /tmp/second; wait; cat /tmp/first /tmp/second; kill -CONT -1";
    let (said, manifest) = tokio::join!(output(&*sandbox, script), async {
        let first = sandbox.checkpoint().await.unwrap();
        let answers = async {
            let second = sandbox.checkpoint().await.unwrap();
            for call in [second, first] {
                sandbox.answer(call.id, answer(&call.arguments[0], 0)).await.unwrap();
            }
        };
        tokio::join!(sandbox.manifest(), answers).0
    });
    assert!(manifest.is_ok());
    assert_eq!(said, "firstsecond");
}

async fn cancelled(native: Native) {
    let sandbox = with_programs(&native).await;
    let (said, ()) = tokio::join!(output(&*sandbox, "ask a & ask b & wait"), async {
        let mut heard = Vec::new();
        while heard.len() < 2 {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => (),
                call = sandbox.checkpoint() => heard.push(call.unwrap()),
            }
            if let Some(call) = heard.last() {
                sandbox.answer(call.id, answer("x", 0)).await.unwrap();
            }
        }
    });
    assert_eq!(said, "xx");
}

async fn refused(native: Native) {
    let sandbox = with_programs(&native).await;
    let long = "ask $(head -c 70000 /dev/zero | tr '\\0' x)";
    assert_eq!(refusal(&*sandbox, long).await, "argument list too long\n");
    let renamed = "cp /usr/local/bin/ask /tmp/other; /tmp/other";
    assert_eq!(refusal(&*sandbox, renamed).await, "connection lost\n");
    let (said, ()) = tokio::join!(output(&*sandbox, "/usr/local/bin/ask"), async {
        let call = sandbox.checkpoint().await.unwrap();
        assert_eq!((call.program.as_str(), call.arguments.len()), ("ask", 0));
        sandbox.answer(call.id, answer("well", 0)).await.unwrap();
    });
    assert_eq!(said, "well");
}

async fn bare_environment(native: Native) {
    let sandbox = with_programs(&native).await;
    let (captured, ()) =
        tokio::join!(run(&*sandbox, "exec env -i /usr/local/bin/ask 2>&-"), async {
            let call = sandbox.checkpoint().await.unwrap();
            sandbox.answer(call.id, answer("", 255)).await.unwrap();
        });
    assert_eq!(captured.status, ExitStatus::Exit { code: 255 });
}
