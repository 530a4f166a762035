//! About how many tokens a run will cost, before it starts.

use std::collections::BTreeSet;

use lapwing_core::Usage;
use lapwing_eval::{Planned, Target, tool_spec};
use lapwing_model::{Price, Usd};
use lapwing_scenario::{PhaseKind, Plan, Scenario, Script};
use serde::Serialize;

use crate::failure::Failure;
use crate::render::count;

/// Characters of a token, as a rule of thumb.
const TOKEN_CHARS: u64 = 4;

/// Tokens of a model's turn.
const TURN: u64 = 250;

/// The policy whose length stands for a model's.
const HONEST: &str = "never";

/// Tokens of a run, if a model takes as many turns as the honest policy and one to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Estimate {
    /// Read by the model. Each turn reads the conversation so far once more.
    pub(crate) tokens_in: u64,
    /// Written by the model.
    pub(crate) tokens_out: u64,
    /// The most turns that a model can take in a sample.
    pub(crate) most_turns: u64,
    /// In US dollars; `None` if the price of a model is not known.
    pub(crate) cost_usd: Option<f64>,
}

/// What the samples of models among `samples` cost. Policies cost nothing.
pub(crate) fn estimate(
    scenario: &Scenario,
    samples: &[Planned],
    optional: &BTreeSet<String>,
    turns: Option<u32>,
    price: impl Fn(&str) -> Option<Price>,
) -> Result<Estimate, Failure> {
    let mut all = Estimate { cost_usd: Some(0.0), ..Estimate::default() };
    for sample in samples.iter().filter(|sample| matches!(sample.target, Target::Model(_))) {
        let (condition, seed) = (&sample.key.condition, sample.key.seed);
        let Some(plan) = sample.target.plan(scenario, condition, seed)? else { continue };
        let honest = scenario.script(HONEST, &plan, condition, seed)?;
        let one = of_sample(&plan, &honest, optional, turns);
        all.tokens_in += one.tokens_in;
        all.tokens_out += one.tokens_out;
        all.most_turns = all.most_turns.max(one.most_turns);
        let usage = Usage { input: one.tokens_in, output: one.tokens_out, ..Usage::default() };
        let cost = price(&sample.key.model).map(|price| price.cost(&usage).dollars());
        all.cost_usd = all.cost_usd.zip(cost).map(|(all, cost)| all + cost);
    }
    Ok(all)
}

fn of_sample(
    plan: &Plan,
    honest: &Script,
    optional: &BTreeSet<String>,
    limit: Option<u32>,
) -> Estimate {
    let mut conversation = Conversation::default();
    for phase in &plan.phases {
        if phase.optional && !optional.contains(&phase.id) {
            continue;
        }
        match &phase.kind {
            PhaseKind::Agent { system, user, tools, turns, .. } => {
                let most = u64::from(limit.unwrap_or(*turns));
                let specs = tools.iter().filter_map(|tool| tool_spec(tool));
                let specs = specs.filter_map(|spec| serde_json::to_string(&spec).ok());
                conversation.begin();
                conversation.add(system.as_deref().unwrap_or_default());
                conversation.add(user);
                specs.for_each(|spec| conversation.add(&spec));
                conversation.spent.most_turns += most;
                for _ in 0..(honest.n_turns(&phase.id) as u64 + 1).min(most) {
                    conversation.turn();
                }
            }
            PhaseKind::Ask { questions, fresh, times } => {
                if *fresh {
                    conversation.begin();
                }
                for question in (0..*times).flat_map(|_| questions) {
                    conversation.add(question);
                    conversation.spent.most_turns += 1;
                    conversation.turn();
                }
            }
            PhaseKind::Run { .. } => {}
        }
    }
    conversation.spent
}

/// A conversation that grows, and what it has cost so far.
#[derive(Default)]
struct Conversation {
    tokens: u64,
    spent: Estimate,
}

impl Conversation {
    fn begin(&mut self) {
        self.tokens = 0;
    }

    fn add(&mut self, text: &str) {
        self.tokens += (text.chars().count() as u64).div_ceil(TOKEN_CHARS);
    }

    fn turn(&mut self) {
        self.spent.tokens_in += self.tokens;
        self.spent.tokens_out += TURN;
        self.tokens += TURN;
    }
}

impl Estimate {
    /// The estimate in a line.
    pub(crate) fn describe(&self) -> String {
        let cost = self.cost_usd.map_or_else(
            || ", at a price that is not known".to_owned(),
            |cost| format!(", {} without any prompt cache", Usd::new(cost)),
        );
        format!(
            "about {} tokens in, {} out{cost} (the honest policy's length; a model can take up to {} a sample)",
            short(self.tokens_in),
            short(self.tokens_out),
            count(self.most_turns as usize, "turn"),
        )
    }
}

/// `950`, `12 k`, `1.2 M`.
pub(crate) fn short(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..999_500 => format!("{:.0} k", n as f64 / 1e3),
        _ => format!("{:.1} M", n as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_reads_the_prompt_and_all_turns_before_it() {
        let mut conversation = Conversation::default();
        conversation.add(&"x".repeat(400));
        for _ in 0..3 {
            conversation.turn();
        }
        let expected = 100 + (100 + 250) + (100 + 500);
        assert_eq!(conversation.spent.tokens_in, expected);
        assert_eq!(conversation.spent.tokens_out, 750);
    }

    #[test]
    fn figures_are_as_exact_as_the_estimate() {
        let said = [950, 12_300, 999_499, 999_500, 1_230_000].map(short);
        assert_eq!(said, ["950", "12 k", "999 k", "1.0 M", "1.2 M"]);
    }
}
