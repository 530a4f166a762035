//! One turn of a model: what it is asked, and every attempt on record with its bytes.

use lapwing_core::{
    Digest, ErrorKind, GenerateConfig, LimitKind, Message, ModelErrorKind, Output, Place, Reply,
    Request, Role, StopReason, ToolSpec,
};

use crate::sample::{Halt, Runner};

impl Runner<'_, '_> {
    /// Asks the model to continue. What was done so far is durable before it is asked.
    pub(crate) async fn generate(&mut self, tools: &[ToolSpec]) -> Result<Message, Halt> {
        let request = Request {
            messages: self.conversation.clone(),
            tools: tools.to_vec(),
            config: self.config(),
            place: Place {
                phase: self.phase.clone(),
                turn: self.turn,
                draw: self.log.next_draw(self.key),
            },
            waits: self.waits.clone(),
        };
        self.turn += 1;
        let reply = self.log.ask(self.model, &request).await?;
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

    /// How to sample. The provider's seed is drawn from the one that was set, so that repeats are not copies of each other.
    fn config(&self) -> GenerateConfig {
        let mut config = self.shared.config.clone();
        config.seed = config.seed.map(|seed| {
            let drawn =
                Digest::of(format!("{seed} {} {}", self.key.seed, self.key.epoch).as_bytes());
            let [a, b, c, d, ..] = *drawn.as_bytes();
            u64::from(u32::from_le_bytes([a, b, c, d]) >> 1)
        });
        config
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
