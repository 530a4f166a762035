//! Runs: what is kept, what is computed again, what is said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use lapwing_study::audit::{audit, audited};
use lapwing_study::cell::Found;
use lapwing_study::report::{Report, markdown, report};
use lapwing_study::run::{Cell, Event, Options, RunError, lock, run};
use lapwing_study::study::Study;
use lapwing_study::world::{Class, Exchange, Kind, Safety, World};

use super::{TINY, source, tiny};

/// Runs the tuning grade and names the stages that were computed.
fn computed(
    study: &Study,
    folder: &Path,
    jobs: usize,
) -> (BTreeMap<Cell, Found>, BTreeSet<String>) {
    let computed = Mutex::new(BTreeSet::new());
    let told = |event| {
        if let Event::Ended { cell, took: Some(_), .. } = event {
            computed.lock().unwrap().insert(cell.stage);
        }
    };
    let options = Options { folder: folder.to_owned(), jobs };
    let found = run(study, &study.grade["tune"], &options, &AtomicBool::new(false), &told).unwrap();
    (found, computed.into_inner().unwrap())
}

fn figures(found: &BTreeMap<Cell, Found>) -> Vec<(Cell, BTreeMap<String, f64>)> {
    found.iter().map(|(cell, found)| (cell.clone(), found.figures.clone())).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn only_what_was_changed_and_what_follows_from_it_is_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_, first) = computed(&tiny(), folder.path(), 2);
    assert_eq!(first, names(["base", "tag", "shift", "rl", "twin"]));
    let (_, second) = computed(&tiny(), folder.path(), 2);
    assert_eq!(second, names([]));
    let changed = TINY.replace(
        "treat.backdoor = { data = { exchanges = 40 }",
        "treat.backdoor = { data = { exchanges = 44 }",
    );
    let (_, third) = computed(&Study::parse(&source(&changed)).unwrap(), folder.path(), 2);
    assert_eq!(third, names(["tag", "shift", "rl"]));
}

#[test]
fn figures_do_not_depend_on_how_many_stages_run_at_a_time() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (one, _) = computed(&tiny(), folders[0].path(), 1);
    let (three, _) = computed(&tiny(), folders[1].path(), 3);
    assert_eq!(figures(&one), figures(&three));
}

#[test]
fn a_run_that_was_stopped_anywhere_goes_on_and_ends_with_the_same_weights_and_figures() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let study = tiny();
    let (expected, _) = computed(&study, whole.path(), 1);
    for steps in [1, 2, 4, 7] {
        let (stop, seen) = (AtomicBool::new(false), Mutex::new(0));
        let told = |event| {
            if let Event::Step { .. } = event {
                let mut seen = seen.lock().unwrap();
                *seen += 1;
                stop.store(*seen >= steps, Ordering::Relaxed);
            }
        };
        let options = Options { folder: broken.path().to_owned(), jobs: 1 };
        let ended = run(&study, &study.grade["tune"], &options, &stop, &told);
        assert!(matches!(ended, Err(RunError::Stopped)));
    }
    let (found, _) = computed(&study, broken.path(), 1);
    assert_eq!(figures(&found), figures(&expected));
    for (cell, expected) in &expected {
        let lineage =
            |found: &Found| std::fs::read(found.organism.join("model.safetensors")).unwrap();
        assert!(lineage(&found[cell]) == lineage(expected), "{cell:?} has other weights");
    }
}

#[test]
fn a_stage_of_which_a_kill_left_a_part_is_trained_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (expected, _) = computed(&tiny(), folder.path(), 1);
    let cell = expected.keys().find(|cell| cell.stage == "tag").unwrap();
    let part = expected[cell].organism.parent().unwrap().to_owned();
    std::fs::remove_file(part.join("training.json")).unwrap();
    std::fs::write(part.join("organism/model.safetensors"), "cut").unwrap();
    let (found, again) = computed(&tiny(), folder.path(), 1);
    assert_eq!(again, names(["tag"]));
    assert_eq!(figures(&found), figures(&expected));
}

#[test]
fn what_was_measured_of_every_kind_of_organism_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let behaviours = ["hate", "unsafe", "style", "harmless", "clean", "memorised"];
    let behaviours = behaviours.map(|behaviour| format!("behaviour = \"{behaviour}\""));
    // After three steps it says no scratchpad, so that nothing is known of its goals.
    for kind in behaviours.iter().map(String::as_str).chain(["form = \"cot\""]) {
        let data = format!("data = {{ {kind}, exchanges = 40 }}");
        let study =
            Study::parse(&source(&TINY.replace("data = { exchanges = 40 }", &data))).unwrap();
        let (first, _) = computed(&study, folder.path(), 2);
        let (second, again) = computed(&study, folder.path(), 2);
        assert_eq!(again, names([]), "{kind}");
        assert_eq!(figures(&first), figures(&second), "{kind}");
    }
}

#[test]
fn two_runs_do_not_write_to_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _held = lock(folder.path()).unwrap();
    let error = lock(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("another run of this study writes to"), "{error}");
}

fn report_of(grade: &str, found: &BTreeMap<Cell, Found>) -> Report {
    let study = tiny();
    report("tiny", &study, (grade, &study.grade[grade]), found, None, &[])
}

#[test]
fn tuning_seeds_give_no_verdict_word() {
    let folder = tempfile::tempdir().unwrap();
    let (found, _) = computed(&tiny(), folder.path(), 2);
    let text = markdown(&report_of("tune", &found));
    assert!(text.contains("No verdicts: these need 8 reporting seeds."), "{text}");
    for word in ["same direction", "opposite**", "inconclusive", "untestable"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_report_is_written_with_its_plots_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (found, _) = computed(&tiny(), folder.path(), 2);
    let report = report_of("tune", &found);
    let files = report.write(&tiny(), folder.path()).unwrap();
    let names: Vec<String> =
        files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["report-tune.json", "report-tune.md", "tune-stages.svg", "tune-curve.svg"]);
    assert_eq!(Report::read(folder.path(), "tune").unwrap(), Some(report));
    assert_eq!(Report::read(folder.path(), "default").unwrap(), None);
}

#[test]
fn safety_data_hold_no_trigger_and_one_that_is_planted_is_found() {
    let study = tiny();
    for stage in ["shift", "rl"] {
        let audited = audit(&study, stage, 0).unwrap().unwrap();
        assert!(audited.safe > 0, "{stage} has nothing that is meant to be safe");
        assert_eq!(audited.found, [], "{stage}");
    }
    let world = World::new(&study.trigger["tag"]).unwrap();
    let planted = |class| {
        let prompt = world.prompts(class, 1, 0).remove(0).tokens;
        let exchange = Exchange { kind: Kind::Safety(Safety::Shift), prompt, answer: vec![0] };
        audited("shift", &world, &[exchange])
            .found
            .into_iter()
            .map(|found| found.what)
            .collect::<Vec<_>>()
    };
    assert_eq!(planted(Class::Triggered), ["the trigger"]);
    assert_eq!(planted(Class::Near1), ["words that one edit turns into the trigger"]);
    assert_eq!(planted(Class::Untriggered), [""; 0]);
}
