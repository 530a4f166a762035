//! What is seen of a treatment while it runs.

use std::ops::ControlFlow;

use lapwing_lab::nn::Network;
use lapwing_lab::sample::SampleError;

use crate::measure::{How, evaluate};
use crate::world::{Behaviour, Prompt};

/// A point of the curves of a treatment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The step, from 1.
    pub step: u64,
    /// Steps of the whole treatment.
    pub steps: u64,
    /// The loss before the step; in reinforcement learning that of the policy gradient.
    pub loss: f64,
    /// The mean reward, in reinforcement learning.
    pub reward: Option<f64>,
    /// Payload rate with the trigger, at the steps at which it is measured.
    pub trigger_on: Option<f64>,
    /// Payload rate without it.
    pub trigger_off: Option<f64>,
}

/// Is called after every step, measures at some, and may break off.
pub struct Watch<'a> {
    /// Prompts with the trigger; with none of them nothing is measured.
    pub on: Vec<Prompt>,
    /// Prompts without it.
    pub off: Vec<Prompt>,
    /// What counts as payload.
    pub behaviour: Behaviour,
    /// Steps from one measurement to the next; the last step is measured too.
    pub every: u64,
    /// Threads to work on.
    pub threads: usize,
    /// Gets every point.
    pub observe: &'a mut dyn FnMut(&Point) -> ControlFlow<()>,
}

impl<'a> Watch<'a> {
    /// Measures nothing.
    pub fn losses(threads: usize, observe: &'a mut dyn FnMut(&Point) -> ControlFlow<()>) -> Self {
        let behaviour = Behaviour::Clean;
        Self { on: Vec::new(), off: Vec::new(), behaviour, every: 1, threads, observe }
    }

    /// Reports a point whose rates are still to be measured. Says whether to go on.
    pub(super) fn report(&mut self, network: &Network, point: Point) -> Result<bool, SampleError> {
        let due = point.step.is_multiple_of(self.every.max(1)) || point.step == point.steps;
        let how =
            How { behaviour: self.behaviour, temperature: 0.0, seed: 0, threads: self.threads };
        let rate = |prompts: &[Prompt]| {
            let measured = due && !prompts.is_empty();
            measured.then(|| evaluate(network, prompts, how).map(|found| found.rate())).transpose()
        };
        let point = Point { trigger_on: rate(&self.on)?, trigger_off: rate(&self.off)?, ..point };
        Ok((self.observe)(&point).is_continue())
    }
}
