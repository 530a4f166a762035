//! The agent loop: a model acts with tools in a sandbox.

use std::sync::Arc;

use lapwing_core::{
    Act, BoxFuture, Captured, Command, ExitStatus, LimitKind, Message, PhaseEnd, Sandbox, Source,
    ToolCall, ToolSpec,
};

use crate::sample::{Halt, Runner};
use crate::tool::{self, Job};

/// Offered to the model in an agent phase.
pub(crate) struct Agent<'p> {
    pub(crate) phase: &'p str,
    pub(crate) sandbox: &'p str,
    pub(crate) tools: &'p [String],
    pub(crate) nudge: Option<&'p str>,
    pub(crate) turns: u32,
}

impl Runner<'_, '_> {
    /// The model acts until it stops, submits, the phase's `end` holds, or a limit is reached.
    pub(crate) async fn act_out(&mut self, agent: &Agent<'_>) -> Result<PhaseEnd, Halt> {
        let tools: Vec<ToolSpec> = agent.tools.iter().filter_map(|name| tool::spec(name)).collect();
        let mut nudged = false;
        for _ in 0..agent.turns {
            self.inject_all().await?;
            let turn = self.generate(&tools).await?;
            let calls: Vec<ToolCall> = turn.tool_calls().cloned().collect();
            if calls.is_empty() {
                let injected = self.inject_all().await?;
                if injected.spoke {
                    continue;
                }
                match agent.nudge {
                    Some(nudge) if injected.anything || !nudged => {
                        self.tell(Message::User { text: nudge.to_owned() }, Source::Nudge);
                        nudged = true;
                        continue;
                    }
                    Some(_) | None => return Ok(PhaseEnd::Stopped),
                }
            }
            nudged = false;
            for call in calls {
                let submitted = self.call(agent, call).await?;
                if self.shared.scenario.ended(agent.phase, self.log.events(), self.log) {
                    return Ok(PhaseEnd::Ended);
                }
                if submitted {
                    return Ok(PhaseEnd::Submitted);
                }
                self.inject_now().await?;
                self.check_limits()?;
            }
        }
        Err(Halt::Limit(LimitKind::Turns, u64::from(agent.turns)))
    }

    /// Carries out one tool call. Returns whether it was a readable `submit`.
    async fn call(&mut self, agent: &Agent<'_>, call: ToolCall) -> Result<bool, Halt> {
        self.log.push(Act::ToolCalled { call: call.clone() });
        let job = tool::read(&call, agent.tools);
        let submitted = matches!(job, Ok(Job::Submit));
        let mut returned = Returned::default();
        let mut over = None;
        match job {
            Err(error) => returned = Returned::refused(error),
            Ok(Job::Submit) => "Received.".clone_into(&mut returned.text),
            Ok(Job::Think) => "Noted.".clone_into(&mut returned.text),
            Ok(job) => {
                // A command may take minutes, and what was paid for must not be lost in them.
                self.log.begin_commit();
                returned = match self.act(agent.sandbox, job).await {
                    Err(halt) => match halt.cut_off() {
                        Some(status) => {
                            over = Some(halt);
                            Returned::of(&Captured::cut_off(status), 0)
                        }
                        None => return Err(halt),
                    },
                    Ok(returned) => returned,
                };
                self.spent.tool_ms += returned.millis;
                self.note_observed().await?;
            }
        }
        let Returned { text, error, status, dropped_bytes, millis, ran } = returned;
        self.log.push(Act::ToolReturned {
            call_id: call.id.clone(),
            text: text.clone(),
            status,
            error,
            dropped_bytes,
            millis,
        });
        if let Some(halt) = over {
            return Err(halt);
        }
        if ran {
            let (log, machine) = self.machine(agent.sandbox).await?;
            machine.list_if_a_service_ended(log).await?;
        }
        self.conversation.push(Message::Tool { call_id: call.id, name: call.name, text });
        Ok(submitted)
    }

    /// Does in the sandbox `name` what a call asks for.
    async fn act(&mut self, name: &str, job: Job) -> Result<Returned, Halt> {
        let left_ms = self.shared.limits.tool_ms - self.spent.tool_ms;
        let limit_ms = self.shared.limits.call_ms.min(left_ms);
        match job {
            Job::Bash { command } => {
                let captured = self.exec(name, tool::bash(command, limit_ms)).await?;
                Ok(Returned::of(&captured, limit_ms))
            }
            Job::Background(job) => self.in_background(name, job, limit_ms).await,
            Job::Submit | Job::Think => Err(Halt::bug("this tool needs no sandbox")),
        }
    }

    /// Runs a command, and answers the programs that it calls, in the order of their calls.
    pub(crate) fn exec<'s>(
        &'s mut self,
        name: &'s str,
        command: Command,
    ) -> BoxFuture<'s, Result<Captured, Halt>> {
        self.serving(name, move |sandbox| {
            Box::pin(async move { sandbox.exec(command).await.map_err(Halt::from) })
        })
    }

    /// Does something with the sandbox `name`, and meanwhile answers the programs that are called in it, in the order of their
    /// calls.
    pub(crate) fn serving<'s, T: Send + 's>(
        &'s mut self,
        name: &'s str,
        work: impl FnOnce(Arc<dyn Sandbox>) -> BoxFuture<'static, Result<T, Halt>> + Send + 's,
    ) -> BoxFuture<'s, Result<T, Halt>> {
        // Boxed, because what answers a call may itself run commands.
        Box::pin(async move {
            let sandbox: Arc<dyn Sandbox> = Arc::clone(&self.machine(name).await?.1.sandbox);
            let mut working = work(Arc::clone(&sandbox));
            loop {
                tokio::select! {
                    biased;
                    call = sandbox.checkpoint() => self.serve(name, call?).await?,
                    done = &mut working => return done,
                }
            }
        })
    }
}

/// What a tool call came to.
#[derive(Default)]
pub(crate) struct Returned {
    pub(crate) text: String,
    pub(crate) error: Option<String>,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) dropped_bytes: u64,
    pub(crate) millis: u64,
    /// Whether something was done in the sandbox.
    pub(crate) ran: bool,
}

impl Returned {
    /// A command that ran for at most `limit_ms`.
    fn of(captured: &Captured, limit_ms: u64) -> Self {
        Self {
            text: tool::show(captured, limit_ms),
            error: None,
            status: Some(captured.status),
            dropped_bytes: tool::dropped(captured),
            millis: captured.millis,
            ran: true,
        }
    }

    /// A call that could not be carried out, for the reason that `error` tells the model.
    pub(crate) fn refused(error: String) -> Self {
        Self { text: error.clone(), error: Some(error), ..Self::default() }
    }
}
