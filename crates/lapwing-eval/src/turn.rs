//! One turn of a model: what it is asked, and every attempt on record with its bytes.

use lapwing_core::{
    Act, Attempt, ErrorKind, LimitKind, Message, ModelErrorKind, Output, Place, Reply, Request,
    Role, StopReason, ToolSpec,
};

use crate::sample::{Halt, Runner};

impl Runner<'_, '_> {
    /// Asks the model to continue. What was done so far is durable before it is asked.
    pub(crate) async fn generate(&mut self, tools: &[ToolSpec]) -> Result<Message, Halt> {
        self.log.commit().await?;
        let request = Request {
            messages: self.conversation.clone(),
            tools: tools.to_vec(),
            config: self.shared.config.clone(),
            place: Place { phase: self.phase.clone(), turn: self.turn },
        };
        self.turn += 1;
        let reply = self.model.generate(&request).await;
        let result = self.log_reply(reply);
        self.log.commit().await?;
        let output = result?;
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

    /// Logs every attempt with its bytes; the last one carries the result.
    fn log_reply(&mut self, reply: Reply) -> Result<Output, Halt> {
        let Reply { mut attempts, result } = reply;
        let last = attempts.pop().unwrap_or_default();
        for attempt in attempts {
            let error = attempt.error.clone().map(|error| (error.kind, error.message));
            self.log_attempt(attempt, None, error);
        }
        match result {
            Ok(output) => {
                self.log_attempt(last, Some(output.clone()), None);
                Ok(output)
            }
            Err(error) => {
                self.log_attempt(last, None, Some((error.kind, error.message.clone())));
                Err(match error.kind {
                    ModelErrorKind::Refused => Halt::Refused,
                    ModelErrorKind::ContextLength => {
                        Halt::Limit(LimitKind::Context, self.spent.usage.total())
                    }
                    ModelErrorKind::RateLimit
                    | ModelErrorKind::Overloaded
                    | ModelErrorKind::Auth
                    | ModelErrorKind::BadRequest
                    | ModelErrorKind::Transport
                    | ModelErrorKind::Malformed => Halt::Failed(ErrorKind::Model, error.message),
                })
            }
        }
    }

    fn log_attempt(
        &mut self,
        attempt: Attempt,
        output: Option<Output>,
        error: Option<(ModelErrorKind, String)>,
    ) {
        let recorder = self.log.recorder();
        let request = attempt.request.into_iter().map(|segment| recorder.keep(segment)).collect();
        let response = (!attempt.response.is_empty()).then(|| recorder.keep(attempt.response));
        self.log.push(Act::Generated {
            role: Role::Target,
            model: self.model.name().to_owned(),
            request,
            response,
            status: attempt.status,
            output: output.map(Box::new),
            error,
            millis: attempt.millis,
        });
    }
}
