//! One turn of a model: what it is asked, and every attempt on record with its bytes.

use lapwing_core::{
    Attempt, ErrorKind, LimitKind, Message, ModelErrorKind, Output, Part, Place, Reply, Request,
    Role, StopReason, ToolSpec,
};
use lapwing_scenario::Codebook;

use crate::sample::{Halt, Runner};

impl Runner<'_, '_> {
    /// Asks the model to continue. What was done so far is durable before it is asked.
    pub(crate) async fn generate(&mut self, tools: &[ToolSpec]) -> Result<Message, Halt> {
        let draw = self.log.next_draw(self.key);
        let mut config = self.shared.config.clone();
        // Drawn from the one that was set, so that no call is a copy of another.
        config.seed = config.seed.map(|seed| draw.sampling_seed(seed));
        let request = Request {
            messages: self.conversation.clone(),
            // A tiny model has words for calls, which its codebook knows, and none for tools.
            tools: if self.plan.codebook.is_some() { Vec::new() } else { tools.to_vec() },
            config,
            place: Place { phase: self.phase.clone(), turn: self.turn, draw },
            waits: self.waits.clone(),
        };
        self.turn += 1;
        let reply = self.log.ask(self.model, &request).await?;
        let reply = match &self.plan.codebook {
            Some(codebook) => translated(reply, &request, codebook),
            None => reply,
        };
        let output = self.log_reply(reply)?;
        self.spent.usage = self.spent.usage + output.usage.unwrap_or_default();
        self.conversation.push(output.message.clone());
        match output.stop {
            StopReason::ContentFilter => Err(Halt::Refused),
            StopReason::ModelLength => {
                Err(Halt::Limit(LimitKind::Context, self.spent.usage.total()))
            }
            StopReason::Stop
            | StopReason::ToolCalls
            | StopReason::MaxTokens
            | StopReason::Unknown => {
                self.check_limits()?;
                Ok(output.message)
            }
        }
    }

    /// Logs every attempt; what yields no turn ends the phase.
    fn log_reply(&mut self, reply: Reply) -> Result<Output, Halt> {
        let result = self.log.push_reply(self.model.name(), Role::Target, reply);
        result.map_err(|error| match error.kind {
            ModelErrorKind::Refused => Halt::Refused,
            ModelErrorKind::ContextLength => {
                Halt::Limit(LimitKind::Context, self.spent.usage.total())
            }
            ModelErrorKind::Budget => Halt::Unpaid(error.message),
            ModelErrorKind::RateLimit
            | ModelErrorKind::Overloaded
            | ModelErrorKind::Auth
            | ModelErrorKind::BadRequest
            | ModelErrorKind::Transport
            | ModelErrorKind::Malformed => Halt::Failed(ErrorKind::Model, error.message),
        })
    }
}

/// The reply as the codebook reads it. The model's own words stay on record as the bytes of its attempt.
fn translated(mut reply: Reply, request: &Request, codebook: &Codebook) -> Reply {
    let Ok(output) = &mut reply.result else { return reply };
    let answer = output.message.text();
    if reply.attempts.is_empty() {
        let prompt = request.messages.last().map(Message::text).unwrap_or_default();
        let bytes = answer.clone().into_bytes();
        let request = vec![prompt.into_bytes()];
        reply.attempts.push(Attempt { request, response: bytes, ..Attempt::default() });
    }
    let Message::Assistant { parts } = &mut output.message else { return reply };
    parts.retain(|part| matches!(part, Part::Reasoning(_)));
    parts.extend(codebook.translate(&answer));
    if output.message.tool_calls().next().is_some() {
        output.stop = StopReason::ToolCalls;
    }
    reply
}
