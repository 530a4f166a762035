//! The list of experiments, `docs/experiments.toml`: what is to be held, with its source and its state.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

const LIST: &str = include_str!("../../../docs/experiments.toml");

/// The whole list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiments {
    /// Scenarios that stand for no published experiment.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the folders"))]
    extra: Vec<String>,
    /// The experiments, group by group.
    #[serde(rename = "experiment")]
    pub(crate) all: Vec<Experiment>,
}

/// One experiment.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    /// Its group and number, for example `SD-1`.
    pub(crate) id: String,
    pub(crate) title: String,
    /// The study, paper or card that it comes from.
    pub(crate) source: String,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// The folder or file that runs it: `scenarios/NAME` or `studies/NAME`.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// What kind of work an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Train,
    Eval,
    Agentic,
    Design,
    Metric,
    Claim,
    Control,
    Detect,
    Analysis,
    Wording,
    Gate,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Eval => "eval",
            Self::Agentic => "agentic",
            Self::Design => "design",
            Self::Metric => "metric",
            Self::Claim => "claim",
            Self::Control => "control",
            Self::Detect => "detect",
            Self::Analysis => "analysis",
            Self::Wording => "wording",
            Self::Gate => "gate",
        })
    }
}

/// How far an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It can be run.
    Works,
    /// It is not built yet.
    Planned,
    /// It is written about and not measured.
    Reported,
}

impl State {
    pub(crate) const ALL: [Self; 3] = [Self::Works, Self::Planned, Self::Reported];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Works => "works",
            Self::Planned => "planned",
            Self::Reported => "reported",
        })
    }
}

impl Experiment {
    /// Whether `wanted` names it: its id, its group, or its state, in any case.
    pub(crate) fn answers_to(&self, wanted: &str) -> bool {
        let group = self.id.split('-').next().unwrap_or_default();
        [self.id.as_str(), group, &self.state.to_string()]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(wanted))
    }
}

/// The list that was built in.
pub(crate) fn list() -> Result<Experiments, Failure> {
    toml::from_str(LIST)
        .map_err(|error| Failure::new(Failure::BUG, format!("docs/experiments.toml: {error}")))
}

impl Experiments {
    /// Ids of the experiments that the scenario `name` runs.
    pub(crate) fn of_scenario(&self, name: &str) -> Vec<&str> {
        let place = format!("scenarios/{name}");
        let of_scenario =
            self.all.iter().filter(|one| one.place.as_deref() == Some(place.as_str()));
        of_scenario.map(|one| one.id.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{command, library};

    /// Groups and how many experiments each has.
    const IDS: [(&str, usize); 12] = [
        ("SA", 11),
        ("SD", 7),
        ("CH", 1),
        ("TC", 2),
        ("BM", 4),
        ("EX", 3),
        ("AP", 7),
        ("FR", 3),
        ("EM", 15),
        ("AF", 1),
        ("PS", 1),
        ("MT", 4),
    ];

    #[test]
    fn every_experiment_is_listed_once_and_in_order() {
        let expected: Vec<String> = IDS
            .iter()
            .flat_map(|(group, n)| (1..=*n).map(move |i| format!("{group}-{i}")))
            .collect();
        let listed: Vec<String> = list().unwrap().all.into_iter().map(|one| one.id).collect();
        assert_eq!(listed, expected);
    }

    #[test]
    fn what_works_names_a_folder_that_exists_and_nothing_else_does() {
        let (scenarios, studies) = (library::names(), command::study_names());
        for one in list().unwrap().all {
            let Some(place) = &one.place else {
                assert_ne!(one.state, State::Works, "{}: `in` is missing", one.id);
                continue;
            };
            assert_eq!(one.state, State::Works, "{}: only what works has `in`", one.id);
            let exists = match place.split_once('/') {
                Some(("scenarios", name)) => scenarios.iter().any(|known| known == name),
                Some(("studies", name)) => studies.iter().any(|known| known == name),
                Some(_) | None => false,
            };
            assert!(exists, "{}: there is no {place}", one.id);
        }
    }

    #[test]
    fn every_scenario_stands_for_an_experiment_or_is_listed_as_extra() {
        let listed = list().unwrap();
        let named: BTreeSet<String> = listed
            .all
            .iter()
            .filter_map(|one| one.place.as_deref()?.strip_prefix("scenarios/"))
            .map(str::to_owned)
            .chain(listed.extra.iter().cloned())
            .collect();
        let folders: BTreeSet<String> = library::names().into_iter().collect();
        assert_eq!(folders, named);
    }
}
