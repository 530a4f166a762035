//! A policy with its turns rendered, as a model.

use std::collections::BTreeMap;

use lapwing_core::{
    BoxFuture, Condition, Message, Model, Output, Part, Planted, Reply, Request, StopReason,
    ToolCall,
};
use serde_json::{Map, Value, json};

use super::{PlannedCall, Policy, Turn};
use crate::schema::Definition;
use crate::{Diagnostic, Plan};

/// What a policy says when it has nothing left to do, or is asked where it cannot act.
const CLOSING: &str = "I have nothing to add.";

/// A policy for one sample. It keeps no state: the request says at which turn of which phase it is.
#[derive(Clone, Debug)]
pub struct Script {
    name: String,
    policy: String,
    /// The turns of each phase that it has a script for.
    phases: BTreeMap<String, Vec<Vec<Part>>>,
    planted: Vec<Planted>,
}

impl Script {
    /// What every stage of every behaviour must come to.
    pub fn planted(&self) -> &[Planted] {
        &self.planted
    }

    /// How many turns it has for the phase.
    pub fn n_turns(&self, phase: &str) -> usize {
        self.phases.get(phase).map_or(0, Vec::len)
    }

    /// The policy that is played; for `p=X` the one that was drawn.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    fn turn(&self, request: &Request) -> Vec<Part> {
        let closing = || vec![Part::Text { text: CLOSING.to_owned() }];
        let place = &request.place;
        let turns = self.phases.get(&place.phase).map_or(&[][..], Vec::as_slice);
        let Some(turn) = turns.get(place.turn as usize) else { return closing() };
        let calls = turn.iter().any(|part| matches!(part, Part::ToolCall(_)));
        if calls && request.tools.is_empty() { closing() } else { turn.clone() }
    }
}

impl Model for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn generate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        let parts = self.turn(request);
        let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let output = Output {
            message: Message::Assistant { parts },
            stop: if calls { StopReason::ToolCalls } else { StopReason::Stop },
            usage: None,
            snapshot: None,
            fingerprint: None,
            tokens: None,
        };
        let reply = Reply { attempts: Vec::new(), result: Ok(output) };
        Box::pin(std::future::ready(reply))
    }
}

/// Renders `policy` for one sample; `name` is what it was asked for as.
pub(crate) fn script(
    definition: &Definition,
    name: &str,
    policy: &Policy,
    plan: &Plan,
    condition: &Condition,
) -> Result<Script, Diagnostic> {
    let phases = policy.phases.iter().map(|(phase, turns)| {
        let turns = turns.iter().enumerate();
        let turns = turns.map(|(index, turn)| rendered(index, turn, &plan.values));
        Ok((phase.clone(), turns.collect::<Result<_, Diagnostic>>()?))
    });
    Ok(Script {
        name: format!("policy/{name}"),
        policy: policy.name.clone(),
        phases: phases.collect::<Result<_, Diagnostic>>()?,
        planted: policy.planted(definition, condition),
    })
}

fn rendered(
    turn_index: usize,
    turn: &Turn,
    values: &Map<String, Value>,
) -> Result<Vec<Part>, Diagnostic> {
    let mut parts = Vec::new();
    if let Some(say) = &turn.say {
        parts.push(Part::Text { text: say.render(values)? });
    }
    for (call_index, call) in turn.calls.iter().enumerate() {
        let (tool, arguments) = match call {
            PlannedCall::Proper(tool, argument, text) => {
                ((*tool).to_owned(), json!({ *argument: text.render(values)? }).to_string())
            }
            PlannedCall::Raw { tool, arguments } => (tool.clone(), arguments.clone()),
        };
        let id = format!("call_{}_{}", turn_index + 1, call_index + 1);
        parts.push(Part::ToolCall(ToolCall { id, name: tool, arguments }));
    }
    Ok(parts)
}
