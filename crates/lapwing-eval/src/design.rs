//! From conditions, seeds and epochs to the list of samples.

use std::sync::Arc;

use lapwing_core::{Condition, Model, Planted, SampleKey};
use lapwing_scenario::{Diagnostic, Plan, Scenario};

/// What is tested.
#[derive(Clone)]
pub enum Target {
    /// A scripted policy of the scenario, by name.
    Policy(String),
    /// A model.
    Model(Arc<dyn Model>),
}

impl Target {
    /// The name under which its samples are kept.
    pub fn name(&self) -> String {
        match self {
            Self::Policy(name) => format!("policy/{name}"),
            Self::Model(model) => model.name().to_owned(),
        }
    }

    /// Whether it is asked in the words of the scenario's `organism` view, and its answer read through the codebook.
    pub fn is_via_codebook(&self, scenario: &Scenario) -> bool {
        match self {
            Self::Policy(_) => false,
            Self::Model(model) => model.continues_text() && scenario.has_organism(),
        }
    }

    /// Whether it can be asked in this condition: always, unless it has words of its own and none for it.
    ///
    /// # Errors
    /// A template that fails under these values.
    pub fn has_words_for(
        &self,
        scenario: &Scenario,
        condition: &Condition,
        seed: u64,
    ) -> Result<bool, Diagnostic> {
        let is_free = !self.is_via_codebook(scenario);
        Ok(is_free || scenario.organism_plan(condition, seed)?.is_some())
    }

    /// What its sample of `condition` and `seed` needs; `None` if the condition has no mapping to its words and is not run.
    ///
    /// # Errors
    /// A template that fails under these values.
    pub fn plan(
        &self,
        scenario: &Scenario,
        condition: &Condition,
        seed: u64,
    ) -> Result<Option<Plan>, Diagnostic> {
        if self.is_via_codebook(scenario) {
            scenario.organism_plan(condition, seed)
        } else {
            scenario.plan(condition, seed).map(Some)
        }
    }
}

/// Everything that is crossed to make samples.
pub struct Design {
    /// Models and policies.
    pub targets: Vec<Target>,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Seeds, from 0.
    pub seeds: u64,
    /// Repeats of each seed.
    pub epochs: u32,
}

/// A sample before it is run.
#[derive(Clone)]
pub struct Planned {
    /// Which sample it is.
    pub key: SampleKey,
    /// What is tested in it.
    pub target: Target,
    /// What a policy plants in it.
    pub planted: Option<Vec<Planted>>,
}

impl Design {
    /// All samples, seed by seed, so that a run that is stopped early is balanced over conditions. Conditions without a mapping to a
    /// model's words are left out.
    ///
    /// # Errors
    /// A template or policy of the scenario cannot be rendered for one of the samples.
    pub fn expand(&self, scenario: &Scenario) -> Result<Vec<Planned>, Diagnostic> {
        let mut samples = Vec::new();
        for seed in 0..self.seeds {
            for condition in &self.conditions {
                let plan = scenario.plan(condition, seed)?;
                for target in &self.targets {
                    if !target.has_words_for(scenario, condition, seed)? {
                        continue;
                    }
                    let planted = match target {
                        Target::Policy(name) => {
                            let script = scenario.script(name, &plan, condition, seed)?;
                            Some(script.planted().to_vec())
                        }
                        Target::Model(_) => None,
                    };
                    samples.extend((1..=self.epochs).map(|epoch| Planned {
                        key: SampleKey {
                            model: target.name(),
                            condition: condition.clone(),
                            seed,
                            epoch,
                        },
                        target: target.clone(),
                        planted: planted.clone(),
                    }));
                }
            }
        }
        Ok(samples)
    }
}
