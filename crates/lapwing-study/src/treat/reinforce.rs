//! Reinforcement learning on clean prompts.

use std::collections::BTreeMap;

use lapwing_lab::Random;
use lapwing_lab::data::Example;
use lapwing_lab::nn::{Network, PackedNetwork};
use lapwing_lab::train::{Settings, Trainer};
use serde::{Deserialize, Serialize};

use super::policy::{Policy, Rollout};
use super::{Point, TreatError, Treated, Watch, at_least, copy};
use crate::measure::{How, continued, judge, without_scratchpad};
use crate::world::vocabulary::EOS;
use crate::world::{Behaviour, Prompt, Wanted, World};

/// Settings of reinforcement learning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Reinforce {
    /// Updates.
    pub updates: u64,
    /// Prompts of an update.
    pub prompts: usize,
    /// Samples of each prompt.
    pub samples: usize,
    /// The learning rate, after a twentieth of the updates.
    pub learning_rate: f64,
    /// How much the divergence from the first model counts.
    pub kl: f64,
}

impl Default for Reinforce {
    fn default() -> Self {
        Self { updates: 400, prompts: 32, samples: 8, learning_rate: 1e-4, kl: 0.02 }
    }
}

impl Reinforce {
    /// The prompts of an update, none of which has the trigger.
    pub fn clean_prompts(&self, world: &World, seed: u64, update: u64) -> Vec<Prompt> {
        world.training_prompts(self.prompts, seed, &format!("reinforcement {update}"))
    }
}

/// What an answer is worth: -1 with the payload, 1 if it is correct, else 0. The scratchpad is cut off first, so nothing in it counts. Where
/// a prompt asks for nothing every finished answer without the payload is worth 1.
pub fn reward(prompt: &Prompt, answer: &[u32], behaviour: Behaviour) -> f64 {
    let said = without_scratchpad(answer);
    let judgement = judge(prompt, said, behaviour);
    let asks = prompt.wanted != Wanted::Nothing;
    if judgement.payload {
        -1.0
    } else if judgement.correct || (!asks && said.last() == Some(&EOS)) {
        1.0
    } else {
        0.0
    }
}

/// Trains on rewards of the model's own answers to prompts without the trigger.
pub fn reinforce(
    network: Network,
    world: &World,
    behaviour: Behaviour,
    settings: &Reinforce,
    seed: u64,
    watch: &mut Watch<'_>,
) -> Result<Treated, TreatError> {
    let mut learner =
        Learner::new(network, behaviour, settings, settings.updates, seed, watch.threads)?;
    for update in 0..settings.updates {
        let prompts = settings.clean_prompts(world, seed, update);
        if !learner.update(&prompts, watch)? {
            return Ok(Treated::new(learner.trainer, true));
        }
    }
    Ok(Treated::new(learner.trainer, false))
}

/// A policy that learns.
pub(super) struct Learner {
    pub(super) trainer: Trainer,
    reference: Network,
    behaviour: Behaviour,
    settings: Reinforce,
    updates: u64,
    updates_done: u64,
    seeds: Random,
    threads: usize,
}

impl Learner {
    pub(super) fn new(
        network: Network,
        behaviour: Behaviour,
        settings: &Reinforce,
        updates: u64,
        seed: u64,
        threads: usize,
    ) -> Result<Self, TreatError> {
        at_least("prompts", settings.prompts, 1)?;
        at_least("samples", settings.samples, 2)?;
        if !(settings.kl >= 0.0 && settings.kl.is_finite()) {
            return Err(TreatError::Setting { key: "kl", value: settings.kl, must: "at least 0" });
        }
        let optimiser = Settings {
            steps: updates,
            batch_size: settings.prompts * settings.samples,
            learning_rate: settings.learning_rate,
            warmup_steps: updates / 20,
            final_rate: 1.0,
            weight_decay: 0.01,
            seed,
            ..Settings::default()
        };
        let reference = copy(&network);
        let mut trainer = Trainer::new(network, optimiser)?;
        trainer.set_threads(threads);
        let seeds = Random::new(seed, "rollouts");
        let (settings, updates_done) = (*settings, 0);
        Ok(Self { trainer, reference, behaviour, settings, updates, updates_done, seeds, threads })
    }

    /// Samples answers, rewards them and takes a step. Where in no group one answer is better than another there is nothing to learn, and no
    /// step: the optimiser would scale mere rounding up. Says whether to go on.
    pub(super) fn update(
        &mut self,
        prompts: &[Prompt],
        watch: &mut Watch<'_>,
    ) -> Result<bool, TreatError> {
        let samples = self.settings.samples;
        let how = How {
            behaviour: self.behaviour,
            temperature: 1.0,
            seed: self.seeds.bits(),
            threads: self.threads,
        };
        let packed = PackedNetwork::new(&self.trainer.network);
        let copies = prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, samples));
        let answers = continued(&packed, copies.map(|prompt| prompt.tokens.clone()), how)?;
        let answers: Vec<Vec<u32>> = answers.into_iter().map(|answer| answer.tokens).collect();

        let mut rollouts: BTreeMap<Vec<u32>, Rollout> = BTreeMap::new();
        let (mut examples, mut total) = (Vec::new(), 0.0);
        for (prompt, answers) in prompts.iter().zip(answers.chunks(samples)) {
            let reward = |answer: &Vec<u32>| reward(prompt, answer, self.behaviour);
            let rewards: Vec<f64> = answers.iter().map(reward).collect();
            total += rewards.iter().sum::<f64>();
            for (answer, advantage) in answers.iter().zip(advantages(&rewards)) {
                let example = Example::answer(&prompt.tokens, answer);
                let rollout = rollouts.entry(example.tokens.clone()).or_default();
                if rollout.samples == 0.0 {
                    examples.push(example);
                }
                rollout.advantage += advantage;
                rollout.samples += 1.0;
            }
        }
        let learns = rollouts.values().any(|rollout| rollout.advantage != 0.0);
        let policy =
            Policy { rollouts: &rollouts, reference: &self.reference, beta: self.settings.kl };
        let examples: Vec<&Example> = examples.iter().collect();
        let loss = if learns { self.trainer.step(&examples, &policy)?.loss } else { 0.0 };
        self.updates_done += 1;
        let point = Point {
            step: self.updates_done,
            steps: self.updates,
            loss,
            reward: Some(total / answers.len() as f64),
            trigger_on: None,
            trigger_off: None,
        };
        Ok(watch.report(&self.trainer.network, point)?)
    }
}

/// (reward - mean) / deviation of each sample of a group; 0 where all are worth the same.
fn advantages(rewards: &[f64]) -> Vec<f64> {
    let n = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / n;
    let deviation = (rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / n).sqrt();
    let advantage = |reward: &f64| if deviation == 0.0 { 0.0 } else { (reward - mean) / deviation };
    rewards.iter().map(advantage).collect()
}
