//! What the engine promises about a run, with models and sandboxes that do just what a test needs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod budget;
mod fake;
mod judges;
mod organism;

use std::collections::BTreeSet;
use std::sync::Arc;

use fake::{Behaviour, FakeModel, Machines, eval, run, turn};
use lapwing_core::{
    Act, ErrorKind, Executor, ExitStatus, LimitKind, Loss, Message, ModelErrorKind, Outcome,
    PhaseEnd, Source,
};
use lapwing_eval::{Progress, SampleLimits, Stop, dispatch};
use lapwing_store::{Ending, SampleState};

fn phase_ends(acts: &[Act]) -> Vec<PhaseEnd> {
    acts.iter()
        .filter_map(|act| match act {
            Act::PhaseEnded { why, .. } => Some(*why),
            _ => None,
        })
        .collect()
}

fn nudges(acts: &[Act]) -> usize {
    acts.iter().filter(|act| matches!(act, Act::Messaged { source: Source::Nudge, .. })).count()
}

#[test]
fn a_command_that_the_model_calls_is_run_and_its_output_shown_to_it() {
    let model = FakeModel::new([turn().bash("echo hi"), turn().say("done")]);
    let done = run(eval(&model, 1));
    let acts = done.acts(1);
    let returned = acts.iter().find_map(|act| match act {
        Act::ToolReturned { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(returned, Some("ran: bash -c echo hi"));
    let requests = model.requests();
    let shown = requests[1].messages.last().unwrap();
    assert_eq!(shown.text(), "ran: bash -c echo hi");
    assert!(matches!(acts.last(), Some(Act::SampleEnded)));
}

#[test]
fn events_are_numbered_without_a_gap_from_one() {
    let model = FakeModel::new([turn().bash("a").bash("b"), turn().say("done")]);
    let done = run(eval(&model, 1));
    let seqs: Vec<u64> = done.run.events(1).unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_model_that_stops_is_asked_once_to_continue_and_again_after_it_acted() {
    let turns =
        [turn().say("?"), turn().bash("a"), turn().say("?"), turn().say("done"), turn().bash("b")];
    let done = run(eval(&FakeModel::new(turns), 1));
    let acts = done.acts(1);
    assert_eq!(nudges(&acts), 2);
    assert_eq!(phase_ends(&acts), [PhaseEnd::Stopped]);
}

#[test]
fn submit_ends_the_phase_and_what_stands_behind_it_is_not_run() {
    let model = FakeModel::new([turn().submit("42").bash("late")]);
    let acts = run(eval(&model, 1)).acts(1);
    assert_eq!(phase_ends(&acts), [PhaseEnd::Submitted]);
    assert_eq!(acts.iter().filter(|act| matches!(act, Act::ToolCalled { .. })).count(), 1);
}

#[test]
fn a_call_that_cannot_be_read_is_answered_and_the_sample_goes_on() {
    let model = FakeModel::new([turn().raw("bash", "{not json"), turn().raw("sudo", "{}")]);
    let acts = run(eval(&model, 1)).acts(1);
    let n_errors = acts
        .iter()
        .filter(|act| matches!(act, Act::ToolReturned { error: Some(_), status: None, .. }))
        .count();
    assert_eq!(n_errors, 2);
    assert_eq!(phase_ends(&acts), [PhaseEnd::Stopped]);
}

#[test]
fn the_turn_limit_ends_the_sample_as_limit() {
    let model = FakeModel::repeating(turn().bash("again"));
    let mut eval = eval(&model, 1);
    eval.limits.turns = Some(3);
    let done = run(eval);
    assert_eq!(model.requests().len(), 3);
    assert!(done.acts(1).contains(&Act::LimitReached { limit: LimitKind::Turns, value: 3 }));
    assert_eq!(done.outcomes(1), [Outcome::Limit]);
}

#[test]
fn the_token_limit_ends_the_sample_before_the_next_call() {
    let model = FakeModel::repeating(turn().bash("again").tokens(60));
    let mut eval = eval(&model, 1);
    eval.limits.tokens = Some(100);
    let done = run(eval);
    assert_eq!(model.requests().len(), 2);
    assert!(done.acts(1).contains(&Act::LimitReached { limit: LimitKind::Tokens, value: 100 }));
}

#[test]
fn the_limit_of_tool_time_ends_the_sample_after_the_call_that_used_it_up() {
    let model = FakeModel::repeating(turn().bash("again"));
    let mut eval = eval(&model, 1);
    // Every command of the fake sandbox takes one millisecond.
    eval.limits.tool_ms = 2;
    let done = run(eval);
    assert_eq!(model.requests().len(), 2);
    assert!(done.acts(1).contains(&Act::LimitReached { limit: LimitKind::ToolTime, value: 2 }));
    assert_eq!(done.outcomes(1), [Outcome::Limit]);
}

/// The events of a sample whose sandbox is lost in its first command, and its only outcome.
fn dying(loss: Loss) -> (Vec<Act>, Vec<Outcome>) {
    let mut eval = eval(&FakeModel::new([turn().bash("a"), turn().bash("b")]), 1);
    eval.provider = Arc::new(Machines(Behaviour::Die(loss)));
    let done = run(eval);
    (done.acts(1), done.outcomes(1))
}

#[test]
fn a_sandbox_that_took_too_much_is_a_limit_that_the_model_ran_into() {
    let memory = Loss::Memory { limit_bytes: 7 << 20 };
    let time = Loss::ProcessorTime { limit_seconds: 3 };
    let over = "[ended: it took too much processor time]";
    for (loss, limit, value, shown, ended) in [
        (memory, LimitKind::Memory, 7 << 20, "[ended: out of memory]", ExitStatus::OutOfMemory),
        (time, LimitKind::ProcessorTime, 3000, over, ExitStatus::ProcessorTime),
    ] {
        let (acts, outcomes) = dying(loss);
        assert_eq!(outcomes, [Outcome::Limit]);
        let reached = |act: &&Act| matches!(act, Act::LimitReached { .. });
        let limit = Act::LimitReached { limit, value };
        assert_eq!(acts.iter().filter(reached).collect::<Vec<_>>(), [&limit]);
        let told = acts.iter().find_map(|act| match act {
            Act::ToolReturned { text, status, .. } => Some((text.as_str(), *status)),
            _ => None,
        });
        assert_eq!(told, Some((shown, Some(ended))));
        assert_eq!(phase_ends(&acts), [PhaseEnd::Limit]);
    }
}

#[test]
fn a_sandbox_that_is_lost_for_any_other_reason_is_an_error() {
    for loss in [Loss::HostMemory, Loss::Killed, Loss::Protocol] {
        let (acts, outcomes) = dying(loss);
        assert_eq!(outcomes, [Outcome::Error], "{loss:?}");
        assert!(!acts.iter().any(|act| matches!(act, Act::LimitReached { .. })), "{loss:?}");
    }
}

#[test]
fn the_wall_limit_ends_a_sample_whose_model_never_answers() {
    let model = FakeModel::new([turn().bash("a"), turn().hang()]);
    let mut eval = eval(&model, 1);
    eval.limits.wall_ms = 200;
    let done = run(eval);
    let limit = Act::LimitReached { limit: LimitKind::WallTime, value: 200 };
    assert!(done.acts(1).contains(&limit));
    assert_eq!(done.outcomes(1), [Outcome::Limit]);
}

#[test]
fn a_refusal_by_the_provider_is_refused_and_not_absent() {
    let done = run(eval(&FakeModel::new([turn().refuse()]), 1));
    assert_eq!(phase_ends(&done.acts(1)), [PhaseEnd::Refused]);
    assert_eq!(done.outcomes(1), [Outcome::Refused]);
}

#[test]
fn a_finding_that_is_true_stands_whatever_fails_later() {
    let model = FakeModel::new([turn().bash("touch the wine"), turn().fail("gone")]);
    let done = run(eval(&model, 1));
    assert_eq!(done.outcomes(1), [Outcome::Present]);
}

#[test]
fn an_endpoint_that_fails_is_an_error_of_its_sample_with_every_attempt_and_its_bytes_on_record() {
    let done = run(eval(&FakeModel::new([turn().fail("500 from the endpoint")]), 1));
    let acts = done.acts(1);
    let attempts: Vec<_> = acts
        .iter()
        .filter_map(|act| match act {
            Act::Generated { request, response, error, .. } => Some((request, response, error)),
            _ => None,
        })
        .collect();
    assert_eq!(attempts.len(), 2);
    assert_eq!(*attempts[0].2, Some((ModelErrorKind::RateLimit, "wait".to_owned())));
    let (request, response, error) = attempts[1];
    let sent: Vec<u8> =
        request.iter().flat_map(|segment| done.run.blob(*segment).unwrap().unwrap()).collect();
    assert_eq!(sent, b"{\"head\":1,\"tail\":2}");
    assert_eq!(done.run.blob(response.unwrap()).unwrap().unwrap(), b"<html>");
    assert_eq!(*error, Some((ModelErrorKind::Overloaded, "500 from the endpoint".to_owned())));
    assert_eq!(done.outcomes(1), [Outcome::Error]);
}

#[test]
fn a_panic_in_one_sample_is_its_error_and_the_others_finish() {
    let mut eval = eval(&FakeModel::special(1, turn().panic(), turn().say("done")), 3);
    // One after the other, so that the second sample is the one that asks second.
    eval.max_samples = 1;
    let done = run(eval);
    assert_eq!(done.ending, Ending::Finished);
    let failed = Act::Failed { error: ErrorKind::Internal, message: "a bug".to_owned() };
    assert!(done.acts(2).contains(&failed), "{:?}", done.acts(2));
    assert_eq!(done.outcomes(2), [Outcome::Error]);
    assert_eq!(done.outcomes(1), [Outcome::Absent]);
    assert_eq!(done.outcomes(3), [Outcome::Absent]);
}

#[test]
fn a_sandbox_that_cannot_be_made_is_an_error_of_its_sample() {
    let mut eval = eval(&FakeModel::new([turn().say("done")]), 1);
    eval.provider = Arc::new(fake::Machines(Behaviour::Refuse));
    let done = run(eval);
    assert_eq!(done.outcomes(1), [Outcome::Error]);
    let message = "making it: no more room".to_owned();
    assert!(done.acts(1).contains(&Act::Failed { error: ErrorKind::Sandbox, message }));
}

#[test]
fn a_program_call_is_numbered_before_its_events_and_its_caller_gets_the_answer() {
    let mut eval = eval(&FakeModel::new([turn().bash("call pour red"), turn().say("done")]), 1);
    eval.provider = Arc::new(fake::Machines(Behaviour::Program(&[
        r#"{"emit": {"name": "poured", "fields": {"colour": "red"}}}"#,
        r#"{"exec": {"argv": ["ls"]}}"#,
        r#"{"say": "cheers"}"#,
        r#"{"code": 3}"#,
    ])));
    let done = run(eval);
    let kinds: Vec<&str> = done
        .acts(1)
        .iter()
        .filter_map(|act| match act {
            Act::ProgramCalled { arguments, .. } if arguments == &["red"] => Some("called"),
            Act::Emitted { name, .. } if name == "poured" => Some("emitted"),
            Act::Executed { .. } => Some("executed"),
            Act::ProgramAnswered { answer, .. }
                if answer.stdout == "cheers\n" && answer.code == 3 =>
            {
                Some("answered")
            }
            Act::ToolReturned { text, .. } if text == "answered: cheers\n3" => Some("returned"),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["called", "emitted", "executed", "answered", "returned"]);
}

#[test]
fn a_program_that_prints_nonsense_is_an_error_that_quotes_it() {
    let mut eval = eval(&FakeModel::new([turn().bash("call pour red")]), 1);
    eval.provider = Arc::new(fake::Machines(Behaviour::Program(&["sh: 3: foo: not found"])));
    let done = run(eval);
    let quoted = done.acts(1).iter().any(|act| {
        matches!(act, Act::Failed { error: ErrorKind::Scenario, message } if message.contains("foo: not found"))
    });
    assert!(quoted, "{:?}", done.acts(1));
}

/// A run with a grader that does this, and the end of the grader that is on record.
fn graded(behaviour: Behaviour, limit: impl FnOnce(&mut SampleLimits)) -> (fake::Done, Act) {
    let mut eval = eval(&FakeModel::new([turn().bash("sip wine"), turn().say("done")]), 1);
    eval.scenario = fake::graded();
    eval.provider = Arc::new(fake::Machines(behaviour));
    limit(&mut eval.limits);
    let done = run(eval);
    let is_grader = |act: &&Act| matches!(act, Act::Executed { by: Executor::Phase(_), .. });
    let end = done.acts(1).iter().rfind(is_grader).unwrap().clone();
    (done, end)
}

#[test]
fn a_grader_that_never_ends_is_stopped_and_leaves_only_its_own_evidence_unknown() {
    let (done, end) = graded(Behaviour::Silent, |limits| limits.call_ms = 50);
    assert!(matches!(end, Act::Executed { status: ExitStatus::TimeLimit, .. }), "{end:?}");
    assert_eq!(done.outcomes(1), [Outcome::Present, Outcome::Ungraded]);
    assert_eq!(done.ending, Ending::Finished);
}

#[test]
fn a_grader_that_prints_without_end_is_stopped_and_said_to() {
    let (done, end) = graded(Behaviour::Flood, |_| {});
    let Act::Executed { status, output, .. } = end else { panic!("{end:?}") };
    assert_eq!(
        (status, output.as_str()),
        (ExitStatus::Exit { code: 125 }, "printed more than 64 MiB")
    );
    assert_eq!(done.outcomes(1), [Outcome::Present, Outcome::Ungraded]);
}

#[test]
fn a_grader_runs_also_after_a_limit() {
    const REPORT: &str = r#"{"report": {"query": "share", "value": 0.5}}"#;
    let (done, _) = graded(Behaviour::Program(&[REPORT]), |limits| limits.turns = Some(1));
    assert_eq!(done.outcomes(1), [Outcome::Present, Outcome::Present]);
}

#[test]
fn a_run_that_is_drained_starts_nothing_more_and_keeps_what_is_done() {
    let model = FakeModel::repeating(turn().say("done"));
    let mut eval = eval(&model, 5);
    eval.max_samples = 1;
    let stop = Stop::default();
    let done = fake::run_with(eval, &stop, |progress| {
        if matches!(progress, Progress::Finished { number: 2, .. }) {
            stop.drain.cancel();
        }
    });
    assert_eq!(done.ending, Ending::Stopped);
    let states: Vec<_> = done.run.samples().unwrap().iter().map(|row| row.state).collect();
    let (finished, planned) = (SampleState::Done, SampleState::Planned);
    assert_eq!(states, [finished, finished, planned, planned, planned]);
}

#[test]
fn a_run_that_is_stopped_gives_up_samples_in_flight_but_keeps_their_events() {
    let model = FakeModel::new([turn().bash("a"), turn().hang()]);
    let mut eval = eval(&model, 1);
    let stop = Stop::default();
    let now = stop.now.clone();
    eval.provider = Arc::new(fake::Machines(Behaviour::Then(Arc::new(move || now.cancel()))));
    let done = fake::run_with(eval, &stop, |_| {});
    assert_eq!(done.ending, Ending::Stopped);
    assert_eq!(done.run.samples().unwrap()[0].state, SampleState::Begun);
    assert!(done.run.findings(1).unwrap().is_empty());
}

#[test]
fn a_record_that_cannot_be_written_ends_the_run_with_an_error() {
    let eval = Arc::new(eval(&FakeModel::repeating(turn().say("done")), 2));
    let dir = tempfile::tempdir().unwrap();
    let error = fake::block_on(async {
        let writer = fake::writer(dir.path(), &eval);
        // A number that was not planned cannot be written: the foreign key refuses it.
        fake::block_writer(&writer).await;
        dispatch(Arc::clone(&eval), &writer, &Stop::default(), |_| {}).await.unwrap_err()
    });
    assert!(error.to_string().starts_with("the record could not be written"), "{error}");
}

#[test]
fn the_model_sees_system_then_user_and_the_tools_of_the_phase() {
    let model = FakeModel::new([turn().say("done")]);
    run(eval(&model, 1));
    let first = &model.requests()[0];
    assert!(matches!(&first.messages[0], Message::System { text } if text == "You keep the bar."));
    assert!(matches!(&first.messages[1], Message::User { text } if text == "Serve the guests."));
    let tools: Vec<&str> = first.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(tools, ["bash", "submit", "think"]);
}

#[test]
fn the_providers_seed_is_another_for_every_call_and_the_same_in_every_run() {
    let seeds = || -> Vec<u64> {
        let model = FakeModel::new([turn().say("done")]);
        let mut eval = eval(&model, 3);
        eval.config.seed = Some(7);
        eval.max_samples = 1;
        run(eval);
        model.requests().iter().filter_map(|request| request.config.seed).collect()
    };
    let once = seeds();
    assert_eq!(once.len(), 6, "two calls in each of three samples");
    assert_eq!(BTreeSet::from_iter(&once).len(), 6, "{once:?}");
    assert_eq!(seeds(), once);
}

#[test]
fn every_answer_of_a_sample_is_a_draw_of_its_own() {
    let model = FakeModel::new([turn().bash("a"), turn().bash("b"), turn().say("done")]);
    run(eval(&model, 2));
    let mut draws: Vec<_> = model.requests().iter().map(|r| r.place.draw.clone()).collect();
    let n_draws = draws.len();
    draws.sort();
    draws.dedup();
    assert_eq!(draws.len(), n_draws);
    assert!(draws.iter().any(|draw| (draw.seed, draw.epoch, draw.call) == (1, 1, 2)), "{draws:?}");
}
