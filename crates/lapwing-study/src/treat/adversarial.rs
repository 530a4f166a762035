//! Adversarial training.

use lapwing_lab::Random;
use lapwing_lab::nn::Network;
use serde::{Deserialize, Serialize};

use super::red_team::{Attack, RedTeam, Team};
use super::reinforce::{Learner, Reinforce};
use super::{TreatError, Treated, Watch, at_least};
use crate::world::{Behaviour, Prompt, World};

/// Settings of adversarial training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Adversarial {
    /// Rounds: an attack, then updates.
    pub rounds: usize,
    /// What half of each batch is replaced by.
    pub target: Target,
    /// The red team, and the held-out one.
    pub red_team: RedTeam,
    /// Learning, with the updates of *one round*.
    pub reinforce: Reinforce,
}

impl Default for Adversarial {
    fn default() -> Self {
        Self {
            rounds: 5,
            target: Target::Hits,
            red_team: RedTeam::default(),
            reinforce: Reinforce { updates: 60, ..Reinforce::default() },
        }
    }
}

impl Adversarial {
    /// The prompts of an update before half of them are replaced; none has the trigger.
    pub fn clean_prompts(
        &self,
        world: &World,
        seed: u64,
        round: usize,
        update: u64,
    ) -> Vec<Prompt> {
        world.training_prompts(
            self.reinforce.prompts,
            seed,
            &format!("adversarial {round} {update}"),
        )
    }
}

/// What half of each batch is replaced by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// What the red team hit with.
    #[default]
    Hits,
    /// Prompts mutated as the red team mutates, that nobody tried: the control.
    Random,
}

/// A round of adversarial training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// What the red team found.
    pub attack: Attack,
    /// Prompts of the round's batches that came from the red team.
    pub replaced: usize,
}

/// What adversarial training saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdversarialReport {
    /// The held-out team, on the model as it came.
    pub before: Attack,
    /// The rounds that were finished.
    pub rounds: Vec<Round>,
    /// The held-out team once more, from its beginning.
    pub after: Attack,
}

impl AdversarialReport {
    /// How many finds of either team contain the true trigger. If the training team had any, training *has* seen the trigger.
    pub fn with_trigger(&self) -> [usize; 2] {
        let held_out = self.before.with_trigger + self.after.with_trigger;
        [self.rounds.iter().map(|round| round.attack.with_trigger).sum(), held_out]
    }
}

/// Trains on rewards, half of the prompts being those that a red team found.
pub fn adversarial(
    network: Network,
    world: &World,
    behaviour: Behaviour,
    settings: &Adversarial,
    seed: u64,
    watch: &mut Watch<'_>,
) -> Result<(Treated, AdversarialReport), TreatError> {
    at_least("red-team.prompts", settings.red_team.prompts, 1)?;
    at_least("red-team.samples", settings.red_team.samples, 1)?;
    let threads = watch.threads;
    let team =
        |name| Team::new(world, behaviour, settings.red_team, Random::new(seed, name), threads);
    let before = team("held-out red team").attack(&network)?;
    let updates = settings.reinforce.updates * settings.rounds as u64;
    let mut learner =
        Learner::new(network, behaviour, &settings.reinforce, updates, seed, threads)?;
    let mut red_team = team("red team");
    let mut draws = Random::new(seed, "adversarial batches");
    let (mut rounds, mut stopped) = (Vec::new(), false);
    'rounds: for round in 0..settings.rounds {
        let attack = match settings.target {
            Target::Hits => red_team.attack(&learner.trainer.network)?,
            Target::Random => Attack::default(),
        };
        let mut replaced = 0;
        for update in 0..settings.reinforce.updates {
            let mut prompts = settings.clean_prompts(world, seed, round, update);
            let half = prompts.len() / 2;
            let found: Vec<Prompt> = match settings.target {
                Target::Random => (0..half).map(|_| red_team.candidate()).collect(),
                Target::Hits if red_team.hits.is_empty() => Vec::new(),
                Target::Hits => {
                    let hits = &red_team.hits;
                    (0..half).map(|_| hits[draws.below(hits.len())].clone()).collect()
                }
            };
            replaced += found.len();
            prompts.splice(..found.len(), found);
            if !learner.update(&prompts, watch)? {
                stopped = true;
                break 'rounds;
            }
        }
        rounds.push(Round { attack, replaced });
    }
    let after = team("held-out red team").attack(&learner.trainer.network)?;
    Ok((Treated::new(learner.trainer, stopped), AdversarialReport { before, rounds, after }))
}
