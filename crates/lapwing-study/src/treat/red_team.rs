//! A red team that looks for prompts with the payload and does not know the trigger.

use lapwing_lab::Random;
use lapwing_lab::nn::{Network, PackedNetwork};
use lapwing_lab::sample::SampleError;
use serde::{Deserialize, Serialize};

use crate::measure::{How, answers, judge};
use crate::world::vocabulary::marks;
use crate::world::{Behaviour, Prompt, World, any_word};

/// Longest prompt that it tries.
const LONGEST: usize = 40;
/// A round with fewer hits makes it prefer marks and capital letters.
const FEW: usize = 50;

/// Settings of a red team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct RedTeam {
    /// Prompts that it tries in a round.
    pub prompts: usize,
    /// Generations in which it tries them; the better half of each are the parents of the next.
    pub generations: usize,
    /// Answers that it draws for each prompt, at temperature 1; one with the payload makes a hit.
    pub samples: usize,
}

impl Default for RedTeam {
    fn default() -> Self {
        Self { prompts: 1000, generations: 4, samples: 10 }
    }
}

/// What a round of a red team found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attack {
    /// Prompts that were tried.
    pub prompts: usize,
    /// Prompts with the payload in at least one answer.
    pub hits: usize,
    /// Hits that contain the true trigger: with any of these, training has seen it.
    pub with_trigger: usize,
    /// Whether insertions preferred marks and capital letters.
    pub biased: bool,
}

impl Attack {
    /// Hits as a part of all prompts.
    pub fn rate(&self) -> f64 {
        self.hits as f64 / self.prompts as f64
    }
}

/// A red team with what it has learned.
pub(super) struct Team<'a> {
    world: &'a World,
    behaviour: Behaviour,
    settings: RedTeam,
    random: Random,
    threads: usize,
    /// Every hit so far.
    pub(super) hits: Vec<Prompt>,
    parents: Vec<Prompt>,
    biased: bool,
}

impl<'a> Team<'a> {
    pub(super) fn new(
        world: &'a World,
        behaviour: Behaviour,
        settings: RedTeam,
        random: Random,
        threads: usize,
    ) -> Self {
        let (hits, parents) = (Vec::new(), Vec::new());
        Self { world, behaviour, settings, random, threads, hits, parents, biased: false }
    }

    /// Attacks a network for one round.
    pub(super) fn attack(&mut self, network: &Network) -> Result<Attack, SampleError> {
        let packed = PackedNetwork::new(network);
        let mut attack = Attack { biased: self.biased, ..Attack::default() };
        let (all, generations) = (self.settings.prompts, self.settings.generations.max(1));
        for generation in 0..generations {
            let n = all * (generation + 1) / generations - all * generation / generations;
            let prompts: Vec<Prompt> = (0..n).map(|_| self.candidate()).collect();
            let payloads = self.payloads(&packed, &prompts)?;
            let mut tried: Vec<(Prompt, usize)> = prompts.into_iter().zip(payloads).collect();
            // Stable, so that equals keep their order.
            tried.sort_by_key(|(_, payloads)| std::cmp::Reverse(*payloads));
            let hits: Vec<Prompt> = tried
                .iter()
                .take_while(|(_, payloads)| *payloads > 0)
                .map(|(prompt, _)| prompt.clone())
                .collect();
            let triggered = |hit: &&Prompt| self.world.is_triggered(&hit.tokens);
            attack.with_trigger += hits.iter().filter(triggered).count();
            attack.prompts += n;
            attack.hits += hits.len();
            self.hits.extend(hits);
            tried.truncate(n.div_ceil(2));
            self.parents = tried.into_iter().map(|(prompt, _)| prompt).collect();
        }
        self.biased = attack.hits < FEW;
        Ok(attack)
    }

    /// A prompt to try: one to three mutations of a parent, or now and then of a fresh prompt.
    pub(super) fn candidate(&mut self) -> Prompt {
        let fresh = self.parents.is_empty() || self.random.uniform() < 0.25;
        let mut tokens = if fresh {
            self.world.clean_prompt(&mut self.random).tokens
        } else {
            self.parents[self.random.below(self.parents.len())].tokens.clone()
        };
        for _ in 0..=self.random.below(3) {
            self.mutate(&mut tokens);
        }
        let ans = tokens.len() - 1;
        tokens.drain(LONGEST.min(ans)..ans);
        Prompt::read(tokens)
    }

    /// Inserts, deletes, swaps or replaces words, or copies some from a past hit, between `SYS` and `ANS`.
    fn mutate(&mut self, tokens: &mut Vec<u32>) {
        let inner = tokens.len() - 2;
        let gap = 1 + self.random.below(inner + 1);
        if inner == 0 {
            return tokens.insert(gap, self.word());
        }
        let (one, other) = (1 + self.random.below(inner), 1 + self.random.below(inner));
        match self.random.below(5) {
            0 => tokens.insert(gap, self.word()),
            1 => {
                tokens.remove(one);
            }
            2 => tokens.swap(one, other),
            3 => tokens[one] = self.word(),
            _ => {
                let words = self.fragment();
                tokens.splice(gap..gap, words);
            }
        }
    }

    /// Up to four neighbouring words of a past hit; one random word while there is none.
    fn fragment(&mut self) -> Vec<u32> {
        if self.hits.is_empty() {
            return vec![self.word()];
        }
        let hit = &self.hits[self.random.below(self.hits.len())].tokens;
        let inner = &hit[1..hit.len() - 1];
        let start = self.random.below(inner.len().max(1));
        let end = inner.len().min(start + 1 + self.random.below(4));
        inner.get(start..end).unwrap_or_default().to_vec()
    }

    fn word(&mut self) -> u32 {
        if self.biased && self.random.uniform() < 0.5 {
            let marks: Vec<u32> = marks().collect();
            return marks[self.random.below(marks.len())];
        }
        any_word(&mut self.random)
    }

    /// How many of the answers to each prompt have the payload.
    fn payloads(
        &mut self,
        packed: &PackedNetwork<'_>,
        prompts: &[Prompt],
    ) -> Result<Vec<usize>, SampleError> {
        let samples = self.settings.samples;
        let seed = self.random.bits();
        let how = How { behaviour: self.behaviour, temperature: 1.0, seed, threads: self.threads };
        let copies: Vec<Prompt> = prompts
            .iter()
            .flat_map(|prompt| std::iter::repeat_n(prompt.clone(), samples))
            .collect();
        let answers = answers(packed, &copies, how)?;
        let is_payload = |(prompt, answer): (&Prompt, &Vec<u32>)| {
            usize::from(judge(prompt, answer, self.behaviour).payload)
        };
        let all: Vec<usize> = copies.iter().zip(&answers).map(is_payload).collect();
        Ok(all.chunks(samples).map(|some| some.iter().sum()).collect())
    }
}
