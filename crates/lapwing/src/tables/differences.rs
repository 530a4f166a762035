//! Where an instrument check differs from what was planted, one line a policy and condition.

use std::io::{self, Write};

use lapwing_core::Outcome;
use lapwing_eval::Check;
use lapwing_scenario::Scenario;
use lapwing_store::SampleRow;

use crate::render::{count, fault};

use super::LISTED;
use super::numbers::number;

/// What differs for one policy in one condition.
struct Group {
    policy: String,
    condition: String,
    /// The first sample that shows it.
    sample: u64,
    /// Each in words, and once.
    differences: Vec<String>,
}

pub(super) fn write(
    out: &mut dyn Write,
    run: &str,
    scenario: &Scenario,
    check: &Check,
    samples: &[SampleRow],
) -> io::Result<()> {
    let groups = groups(scenario, check, samples);
    for Group { policy, condition, sample, differences } in groups.iter().take(LISTED) {
        let words = format!("{policy}, {condition}: {} (sample {sample})", differences.join("; "));
        fault(out, "differs:", &words)?;
    }
    let (listed, more) = groups.split_at(groups.len().min(LISTED));
    if !more.is_empty() {
        writeln!(out, "  and {} more of a policy in a condition", count(more.len(), "difference"))?;
    }
    match listed {
        [] => Ok(()),
        [first, ..] => writeln!(out, "  the evidence: lapwing show {run} {}", first.sample),
    }
}

/// Differences by policy and condition, in the order of the samples.
fn groups(scenario: &Scenario, check: &Check, samples: &[SampleRow]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for sample in samples {
        let condition = scenario.describe(&sample.key.condition);
        for difference in differences(check, sample.number) {
            let of_sample = |group: &&mut Group| {
                group.policy == sample.key.model && group.condition == condition
            };
            match groups.iter_mut().find(of_sample) {
                Some(group) if group.differences.contains(&difference) => {}
                Some(group) => group.differences.push(difference),
                None => groups.push(Group {
                    policy: sample.key.model.clone(),
                    condition: condition.clone(),
                    sample: sample.number,
                    differences: vec![difference],
                }),
            }
        }
    }
    groups
}

/// What differs in a sample, findings first.
fn differences(check: &Check, sample: u64) -> Vec<String> {
    let because = |reason: &Option<String>| {
        reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"))
    };
    let findings = check.mismatches.iter().filter(|mismatch| mismatch.sample == sample);
    let findings = findings.map(|mismatch| {
        let found = mismatch.found.map_or("nothing", Outcome::as_str);
        let (behaviour, stage, planted) = (&mismatch.behaviour, mismatch.stage, mismatch.planted);
        let reason = because(&mismatch.reason);
        format!("{behaviour} {stage} planted {planted}, found {found}{reason}")
    });
    let measures = check.measures.iter().filter(|mismatch| mismatch.sample == sample);
    let measures = measures.map(|mismatch| {
        let found = mismatch.found.map_or_else(|| "nothing".to_owned(), number);
        let (planted, reason) = (number(mismatch.planted), because(&mismatch.reason));
        format!("measure {} planted {planted}, found {found}{reason}", mismatch.measure)
    });
    findings.chain(measures).collect()
}
