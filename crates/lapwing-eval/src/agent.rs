//! The agent loop: a model acts with tools in a sandbox.

use std::sync::Arc;

use lapwing_core::{
    Act, BoxFuture, Captured, Command, LimitKind, Message, PhaseEnd, Sandbox, Source, ToolCall,
    ToolSpec,
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
            // A tiny model has one turn: it has no words for what tools return.
            if self.plan.codebook.is_some() {
                return Ok(PhaseEnd::Stopped);
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
            Err(error) => {
                returned.text.clone_from(&error);
                returned.error = Some(error);
            }
            Ok(Job::Submit) => "Received.".clone_into(&mut returned.text),
            Ok(Job::Think) => "Noted.".clone_into(&mut returned.text),
            Ok(Job::Bash { command }) => {
                // A command may take minutes, and what was paid for must not be lost in them.
                self.log.begin_commit();
                let left_ms = self.shared.limits.tool_ms - self.spent.tool_ms;
                let limit_ms = self.shared.limits.call_ms.min(left_ms);
                let captured = match self.exec(agent.sandbox, tool::bash(command, limit_ms)).await {
                    Err(halt @ Halt::Limit(LimitKind::Memory, _)) => {
                        over = Some(halt);
                        Captured::out_of_memory()
                    }
                    captured => captured?,
                };
                self.spent.tool_ms += captured.millis;
                returned.text = tool::show(&captured, limit_ms);
                returned.captured = Some(captured);
            }
        }
        let captured = returned.captured;
        if captured.is_some() {
            self.note_observed().await?;
        }
        self.log.push(Act::ToolReturned {
            call_id: call.id.clone(),
            text: returned.text.clone(),
            status: captured.as_ref().map(|captured| captured.status),
            error: returned.error,
            dropped_bytes: captured.as_ref().map_or(0, tool::dropped),
            millis: captured.as_ref().map_or(0, |captured| captured.millis),
        });
        if let Some(halt) = over {
            return Err(halt);
        }
        if captured.is_some() {
            let (log, machine) = self.machine(agent.sandbox).await?;
            machine.list_if_a_service_ended(log).await?;
        }
        self.conversation.push(Message::Tool {
            call_id: call.id,
            name: call.name,
            text: returned.text,
        });
        Ok(submitted)
    }

    /// Runs a command, and answers the programs that it calls, in the order of their calls.
    pub(crate) fn exec<'s>(
        &'s mut self,
        name: &'s str,
        command: Command,
    ) -> BoxFuture<'s, Result<Captured, Halt>> {
        // Boxed, because what answers a call may itself run commands.
        Box::pin(async move {
            let sandbox: Arc<dyn Sandbox> = Arc::clone(&self.machine(name).await?.1.sandbox);
            let mut running: BoxFuture<'_, _> = sandbox.exec(command);
            loop {
                tokio::select! {
                    biased;
                    call = sandbox.checkpoint() => self.serve(name, call?).await?,
                    captured = &mut running => return Ok(captured?),
                }
            }
        })
    }
}

/// What a tool call came to.
#[derive(Default)]
struct Returned {
    text: String,
    error: Option<String>,
    captured: Option<Captured>,
}
