//! Where an instrument check differs from what was planted, one line a policy and condition.

use std::fmt;
use std::io::{self, Write};

use lapwing_core::Outcome;
use lapwing_eval::Check;
use lapwing_scenario::Scenario;
use lapwing_store::SampleRow;

use crate::render::{count, fault, note};

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
    reasons: Vec<String>,
}

pub(super) fn write(
    out: &mut dyn Write,
    run: &str,
    scenario: &Scenario,
    check: &Check,
    samples: &[SampleRow],
) -> io::Result<()> {
    let groups = groups(scenario, check, samples);
    for group in groups.iter().take(LISTED) {
        fault(out, "differs:", &group.to_string())?;
    }
    let more = groups.len().saturating_sub(LISTED);
    if more > 0 {
        writeln!(out, "  and {} like these", count(more, "more line"))?;
    }
    if groups.is_empty() {
        return Ok(());
    }
    note(out, &format!("the evidence of a sample: lapwing show {run} SAMPLE"))
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, condition, sample, differences, reasons } = self;
        write!(f, "{policy}, {condition}: {}", differences.join("; "))?;
        for reason in reasons {
            write!(f, " ({reason})")?;
        }
        write!(f, ", sample {sample}")
    }
}

/// Differences by policy and condition, in the order of the samples.
fn groups(scenario: &Scenario, check: &Check, samples: &[SampleRow]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for sample in samples {
        let condition = scenario.describe(&sample.key.condition);
        for (difference, reason) in differences(check, sample.number) {
            let is_of_sample =
                |group: &Group| group.policy == sample.key.model && group.condition == condition;
            let index = groups.iter().position(is_of_sample).unwrap_or_else(|| {
                groups.push(Group {
                    policy: sample.key.model.clone(),
                    condition: condition.clone(),
                    sample: sample.number,
                    differences: Vec::new(),
                    reasons: Vec::new(),
                });
                groups.len() - 1
            });
            let group = &mut groups[index];
            if !group.differences.contains(&difference) {
                group.differences.push(difference);
            }
            group.reasons.extend(reason.filter(|reason| !group.reasons.contains(reason)));
        }
    }
    groups
}

/// What differs in a sample, findings first, each with the reason that is given.
fn differences(check: &Check, sample: u64) -> Vec<(String, Option<String>)> {
    let findings = check.mismatches.iter().filter(|mismatch| mismatch.sample == sample);
    let findings = findings.map(|mismatch| {
        let found = mismatch.found.map_or("nothing", Outcome::as_str);
        let (behaviour, stage, planted) = (&mismatch.behaviour, mismatch.stage, mismatch.planted);
        let words = format!("{behaviour} {stage} planted {planted}, found {found}");
        (words, mismatch.reason.clone())
    });
    let measures = check.measures.iter().filter(|mismatch| mismatch.sample == sample);
    let measures = measures.map(|mismatch| {
        let found = mismatch.found.map_or_else(|| "nothing".to_owned(), number);
        let (measure, planted) = (&mismatch.measure, number(mismatch.planted));
        (format!("measure {measure} planted {planted}, found {found}"), mismatch.reason.clone())
    });
    findings.chain(measures).collect()
}
