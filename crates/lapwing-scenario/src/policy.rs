//! Scripted policies: stand-ins for a model that plant a known act, so that an instrument can be checked sample by sample.

mod parse;
mod planting;
mod script;

use std::collections::{BTreeMap, BTreeSet};

use lapwing_core::{Condition, Outcome, Planted, Stage};

use crate::Diagnostic;
use crate::design::is_part;
use crate::draw::Stream;
use crate::schema::{Behaviour, Definition};
use crate::template::Template;

pub(crate) use parse::{CALLS, policies};
pub use script::Script;
pub(crate) use script::script;

/// A scripted stand-in for a model.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name, without `policy/`.
    pub name: String,
    pub(crate) planting: Planting,
    /// What it does in each phase that it has a script for.
    pub(crate) phases: BTreeMap<String, Vec<Turn>>,
}

/// What a policy says that it plants.
#[derive(Clone, Debug)]
pub(crate) struct Planting {
    pub(crate) expect: Expectation,
    /// The value of measures.
    pub(crate) measures: BTreeMap<String, f64>,
    /// Judge evidence that is really there.
    pub(crate) judged: BTreeSet<String>,
    /// What is different in some conditions; the first that fits stands.
    pub(crate) when: Vec<Exception>,
}

/// What is different where `condition` holds; `None` is as everywhere else.
#[derive(Clone, Debug)]
pub(crate) struct Exception {
    pub(crate) condition: BTreeMap<String, String>,
    pub(crate) expect: Option<Expectation>,
    pub(crate) measures: Option<BTreeMap<String, f64>>,
    pub(crate) judged: Option<BTreeSet<String>>,
}

/// What the stages of the behaviours come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// It never reaches the situation.
    Unexposed,
    /// It reaches the situation in a way that nothing can be decided about.
    Ungraded,
    /// The last stage that happens, by behaviour; what is not named does not happen.
    Stages(BTreeMap<String, Stage>),
}

/// A turn, before it is rendered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) say: Option<Template>,
    pub(crate) calls: Vec<PlannedCall>,
}

/// A tool call, before it is rendered.
#[derive(Clone, Debug)]
pub(crate) enum PlannedCall {
    /// A well-formed call: the tool, the name of its only argument, the argument.
    Proper(&'static str, &'static str, Template),
    /// A call with its arguments exactly as they are written.
    Raw { tool: String, arguments: String },
}

impl Policy {
    /// What every stage of every behaviour must come to in `condition`.
    fn planted(&self, definition: &Definition, condition: &Condition) -> Vec<Planted> {
        let planting = &self.planting;
        let special = planting.special(condition).and_then(|exception| exception.expect.as_ref());
        let expectation = special.unwrap_or(&planting.expect);
        let stages = definition.behaviours.iter().flat_map(|behaviour| {
            behaviour.stages.iter().map(move |(stage, _)| (behaviour, *stage))
        });
        let planted = stages.map(|(behaviour, stage)| Planted {
            behaviour: behaviour.name.clone(),
            stage,
            outcome: expectation.outcome(behaviour, stage, condition),
        });
        planted.collect()
    }
}

impl Planting {
    fn special(&self, condition: &Condition) -> Option<&Exception> {
        self.when.iter().find(|exception| is_part(&exception.condition, &condition.levels))
    }

    /// The values that measures must have in `condition`.
    pub(crate) fn measures_in(&self, condition: &Condition) -> &BTreeMap<String, f64> {
        let special = self.special(condition);
        special.and_then(|exception| exception.measures.as_ref()).unwrap_or(&self.measures)
    }

    /// The judge evidence that is really there in `condition`.
    pub(crate) fn judged_in(&self, condition: &Condition) -> &BTreeSet<String> {
        let special = self.special(condition);
        special.and_then(|exception| exception.judged.as_ref()).unwrap_or(&self.judged)
    }
}

impl Expectation {
    fn outcome(&self, behaviour: &Behaviour, stage: Stage, condition: &Condition) -> Outcome {
        let stages = match self {
            Self::Unexposed => return Outcome::Unexposed,
            Self::Ungraded => return Outcome::Ungraded,
            Self::Stages(stages) => stages,
        };
        let happens = stages.get(&behaviour.name).is_some_and(|last| stage <= *last);
        let impossible = behaviour.impossible.iter().any(|impossible| {
            stage >= impossible.stage && is_part(&impossible.condition, &condition.levels)
        });
        if happens && !impossible { Outcome::Present } else { Outcome::Absent }
    }
}

/// The policy that `name` stands for: itself, or what `p=X` draws for the seed.
pub(crate) fn drawn(name: &str, seed: u64) -> Result<&str, Diagnostic> {
    let Some(text) = name.strip_prefix("p=") else { return Ok(name) };
    let probability = text.parse().ok().filter(|p: &f64| (0.0..=1.0).contains(p));
    let Some(probability) = probability else {
        return Err(Diagnostic::new(format!("`{text}` is not a probability"))
            .help("write a number from 0 to 1: `policy/p=0.3`"));
    };
    let always = Stream::new(seed, "policy").unit() < probability;
    Ok(if always { "always" } else { "never" })
}

/// Names of all the tools that well-formed calls use.
fn tools_of<'a>(turns: impl Iterator<Item = &'a Turn>) -> BTreeSet<&'static str> {
    let calls = turns.flat_map(|turn| &turn.calls);
    let tools = calls.filter_map(|call| match call {
        PlannedCall::Proper(tool, _, _) => Some(*tool),
        PlannedCall::Raw { .. } => None,
    });
    tools.collect()
}
