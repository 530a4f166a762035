use lapwing_core::SampleKey;
use lapwing_scenario::Folder;

use super::*;

/// A scenario with one behaviour and one measure.
fn scenario() -> Scenario {
    let text = r#"
        format = 1
        title = "t"
        description = "d"
        factor.motive = ["none", "goal"]
        sandbox.a = {}
        phase = [{ id = "act", agent = "a", user = "user.md", tools = ["bash"] }]
        exposed = "seen"
        evidence.event.seen = { name = "seen" }
        behaviour.it = { success = "seen" }
        measure.score = { value = "count(seen)" }
    "#;
    let policies = r#"
        never = { expect = {}, turns = [{ say = "0" }] }
        idle = { expect = "unexposed", turns = [{ say = "1" }] }
        a = { expect = { it = "success" }, turns = [{ say = "2" }] }
        b = { expect = { it = "success" }, turns = [{ say = "3" }] }
        c = { expect = { it = "success" }, turns = [{ say = "4" }], measures = { score = 1 } }
    "#;
    let files = [("scenario.toml", text), ("policies.toml", policies), ("user.md", "Hello.")];
    let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
    Scenario::load("test", Folder::from_files(files.into())).unwrap()
}

struct Run {
    samples: Vec<SampleRow>,
    findings: BTreeMap<u64, Vec<Finding>>,
    measured: BTreeMap<u64, Vec<Measured>>,
}

/// Samples in the base condition: seed, epoch, outcome, score.
fn run(rows: &[(u64, u32, Outcome, Option<f64>)]) -> Run {
    let condition =
        || Condition { control: None, levels: [("motive".to_owned(), "none".to_owned())].into() };
    let numbered = || rows.iter().zip(1..);
    let sample = |(&(seed, epoch, _, _), number): (&(u64, u32, Outcome, Option<f64>), u64)| {
        let key = SampleKey { model: "m".to_owned(), condition: condition(), seed, epoch };
        SampleRow { number, key, planted: None, state: SampleState::Done }
    };
    let finding = |outcome| Finding {
        behaviour: "it".to_owned(),
        stage: Stage::Success,
        outcome,
        cites: Vec::new(),
        reason: None,
    };
    let measured =
        |value| Measured { measure: "score".to_owned(), value, cites: Vec::new(), reason: None };
    Run {
        samples: numbered().map(sample).collect(),
        findings: numbered().map(|(row, number)| (number, vec![finding(row.2)])).collect(),
        measured: numbered().map(|(row, number)| (number, vec![measured(row.3)])).collect(),
    }
}

fn compare(first: &Run, second: &Run) -> Compared {
    let sides = [first, second].map(|Run { samples, findings, measured }| Side {
        model: "m",
        samples,
        findings,
        measured,
    });
    Compared::new(&scenario(), sides)
}

fn outcomes(outcomes: &[Outcome]) -> Run {
    let rows: Vec<_> = outcomes.iter().zip(0..).map(|(it, seed)| (seed, 1, *it, None)).collect();
    run(&rows)
}

use Outcome::{Absent, Error, Present, Refused, Unexposed};

#[test]
fn one_sample_a_seed_is_compared_in_pairs_and_what_lacks_a_partner_is_counted() {
    let first = outcomes(&[Present, Present, Absent, Absent, Present, Unexposed, Refused]);
    let second = outcomes(&[Present, Absent, Absent, Absent, Error, Present, Absent, Present]);
    let row = compare(&first, &second).rates.remove(0);
    assert_eq!((row.pairs, row.unpaired, row.method), ([1, 1, 0, 3], 3, Method::Pairs));
    let table = FourWay { both: 1, first: 1, second: 0, neither: 3 };
    let expected = newcombe_paired(table, LEVEL).unwrap();
    assert_eq!(row.difference, Some(-0.2));
    assert_eq!(row.interval, Some((expected.interval.low, expected.interval.high)));
    assert_eq!((row.p, row.adjusted_p), (Some(mcnemar(table)), Some(mcnemar(table))));
    // First: 3 present, 1 excluded of 7. Second: 3 present, 1 excluded of 8.
    let bounds = (3.0 / 8.0 - 4.0 / 7.0, 4.0 / 8.0 - 3.0 / 7.0);
    assert_eq!(row.bounds, bounds);
}

#[test]
fn unfinished_samples_widen_the_bounds() {
    let (first, mut second) = (outcomes(&[Absent, Absent]), outcomes(&[Absent, Absent]));
    second.samples[1].state = SampleState::Begun;
    second.findings.remove(&2);
    assert_eq!(compare(&first, &second).rates[0].bounds, (0.0, 0.5));
}

#[test]
fn flips_come_first_and_name_both_samples() {
    let first = outcomes(&[Absent, Present, Absent]);
    let second = outcomes(&[Error, Present, Present]);
    let flips = compare(&first, &second).flips;
    let seeds: Vec<(u64, [Outcome; 2])> =
        flips.iter().map(|flip| (flip.seed, flip.outcomes)).collect();
    assert_eq!(seeds, [(2, [Absent, Present]), (0, [Absent, Error])]);
    assert_eq!(flips[0].samples, [3, 3]);
    assert!(flips[0].is_change() && !flips[1].is_change());
}

#[test]
fn repeated_seeds_are_one_pair_each() {
    let rows = |hits: u64| -> Vec<_> {
        let of_seed = |seed| [(seed, 1, if seed < hits { Present } else { Absent }, None)];
        let again = |seed| [(seed, 2, Absent, None)];
        (0..6).flat_map(|seed| of_seed(seed).into_iter().chain(again(seed))).collect()
    };
    let row = compare(&run(&rows(2)), &run(&rows(5))).rates.remove(0);
    assert_eq!((row.method, row.p), (Method::Seeds, None));
    assert_eq!(row.difference, Some(0.25));
    let expected = paired(&[0.0, 0.0, 0.5, 0.5, 0.5, 0.0], LEVEL).unwrap().interval.unwrap();
    assert_eq!(row.interval, Some((expected.low, expected.high)));
}

#[test]
fn without_a_common_seed_the_rates_are_independent() {
    let shifted = |outcomes: &[Outcome]| {
        let rows = outcomes.iter().zip(100..).map(|(it, seed)| (seed, 1, *it, None));
        run(&rows.collect::<Vec<_>>())
    };
    let row = compare(&outcomes(&[Absent; 10]), &shifted(&[Present; 10])).rates.remove(0);
    assert_eq!((row.method, row.pairs, row.unpaired), (Method::Independent, [0; 4], 20));
    assert_eq!(row.p, Some(fisher((0, 10), (10, 10))));
    let (low, high) = row.interval.unwrap();
    assert!(low > 0.5 && high >= 1.0, "{low} {high}");
}

#[test]
fn a_side_without_a_counted_sample_has_no_difference() {
    let row = compare(&outcomes(&[Error]), &outcomes(&[Present])).rates.remove(0);
    assert_eq!((row.method, row.difference), (Method::None, None));
    assert_eq!(row.reason.as_deref(), Some("one side has no sample that counts"));
    assert_eq!(row.bounds, (0.0, 1.0));
}

#[test]
fn measures_are_paired_by_seed_and_epochs_averaged() {
    let first = run(&[(0, 1, Absent, Some(1.0)), (0, 2, Absent, Some(3.0)), (1, 1, Absent, None)]);
    let second = run(&[(0, 1, Absent, Some(5.0)), (1, 1, Absent, Some(7.0))]);
    let row = compare(&first, &second).measures.remove(0);
    assert_eq!((row.pairs, row.unpaired), (1, 1));
    assert_eq!((row.means, row.difference), (Some((2.0, 5.0)), Some(3.0)));
    assert_eq!(row.reason.as_deref(), Some("an interval needs at least 5 pairs, got 1"));
}

#[test]
fn conditions_of_one_side_alone_are_named() {
    let (first, mut second) = (outcomes(&[Present]), outcomes(&[Present]));
    second.samples[0].key.condition.levels.insert("motive".to_owned(), "goal".to_owned());
    let compared = compare(&first, &second);
    assert!(compared.rates.is_empty());
    assert_eq!(compared.only, [vec!["base".to_owned()], vec!["motive=goal".to_owned()]]);
}
