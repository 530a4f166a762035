//! One sample: its phases, the loop in which a model acts, and what ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lapwing_core::{
    Act, BoxFuture, Captured, Command, ErrorKind, GenerateConfig, LimitKind, Message, Model,
    ModelErrorKind, NewFile, Output, PhaseEnd, Place, Provider, RecordError, Reply, Request, Role,
    Sandbox, SandboxError, SandboxSpec, Source, StopReason, ToolCall, ToolSpec,
};
use lapwing_scenario::{PhaseKind, PhasePlan, Plan, Scenario};
use tokio::time::{Instant, timeout_at};

use crate::limits::{SampleLimits, Spent};
use crate::log::Log;
use crate::machine::Machine;
use crate::program;
use crate::tool::{self, Job};

/// What every sample of a run shares.
pub(crate) struct Shared<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) provider: &'a dyn Provider,
    pub(crate) limits: SampleLimits,
    pub(crate) config: &'a GenerateConfig,
    pub(crate) optional: &'a BTreeSet<String>,
}

/// A sample under way.
pub(crate) struct Runner<'a, 'r> {
    shared: &'a Shared<'a>,
    pub(crate) plan: &'a Plan,
    model: &'a dyn Model,
    pub(crate) log: &'a mut Log<'r>,
    machines: BTreeMap<String, Machine>,
    backstage: Option<Box<dyn Sandbox>>,
    conversation: Vec<Message>,
    spent: Spent,
    pub(crate) n_calls: u64,
    /// The phase that runs, and the turns that the model has had in it.
    phase: String,
    turn: u32,
}

/// Why a phase cannot go on.
pub(crate) enum Halt {
    Limit(LimitKind, u64),
    Refused,
    Failed(ErrorKind, String),
    Record(RecordError),
}

impl Halt {
    pub(crate) fn scenario(message: String) -> Self {
        Self::Failed(ErrorKind::Scenario, message)
    }

    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::Failed(ErrorKind::Internal, message.into())
    }
}

impl From<SandboxError> for Halt {
    fn from(error: SandboxError) -> Self {
        Self::Failed(ErrorKind::Sandbox, error.to_string())
    }
}

impl From<RecordError> for Halt {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Offered to the model in an agent phase.
struct Agent<'p> {
    phase: &'p str,
    sandbox: &'p str,
    tools: &'p [String],
    nudge: Option<&'p str>,
    turns: u32,
}

impl<'a, 'r> Runner<'a, 'r> {
    pub(crate) fn new(
        shared: &'a Shared<'a>,
        plan: &'a Plan,
        model: &'a dyn Model,
        log: &'a mut Log<'r>,
    ) -> Self {
        Self {
            shared,
            plan,
            model,
            log,
            machines: BTreeMap::new(),
            backstage: None,
            conversation: Vec::new(),
            spent: Spent::default(),
            n_calls: 0,
            phase: String::new(),
            turn: 0,
        }
    }

    /// Runs every phase. What breaks inside is an event of the sample; only a failed record is an error.
    pub(crate) async fn run(&mut self) -> Result<(), RecordError> {
        let deadline = Instant::now() + Duration::from_millis(self.shared.limits.wall_ms);
        for phase in &self.plan.phases {
            if phase.optional && !self.shared.optional.contains(&phase.id) {
                continue;
            }
            let why = self.phase(phase, deadline).await?;
            if matches!(why, PhaseEnd::Limit | PhaseEnd::Refused | PhaseEnd::Failed) {
                break;
            }
        }
        self.destroy().await;
        Ok(())
    }

    async fn phase(
        &mut self,
        phase: &PhasePlan,
        deadline: Instant,
    ) -> Result<PhaseEnd, RecordError> {
        self.phase.clone_from(&phase.id);
        self.turn = 0;
        self.log.set_phase(&phase.id);
        self.log.push(Act::PhaseStarted { id: phase.id.clone() });
        let out_of_time = Halt::Limit(LimitKind::WallTime, self.shared.limits.wall_ms);
        let done = timeout_at(deadline, self.body(phase)).await.unwrap_or(Err(out_of_time));
        let mut why = match done {
            Ok(why) => why,
            Err(halt) => self.log_halt(halt)?,
        };
        if let Err(halt) = self.take_state().await {
            why = self.log_halt(halt)?;
        }
        self.log.push(Act::PhaseEnded { id: phase.id.clone(), why });
        self.log.set_phase("");
        self.log.commit().await?;
        Ok(why)
    }

    fn log_halt(&mut self, halt: Halt) -> Result<PhaseEnd, RecordError> {
        match halt {
            Halt::Limit(limit, value) => {
                self.log.push(Act::LimitReached { limit, value });
                Ok(PhaseEnd::Limit)
            }
            Halt::Refused => Ok(PhaseEnd::Refused),
            Halt::Failed(error, message) => {
                self.log.push(Act::Failed { error, message });
                Ok(PhaseEnd::Failed)
            }
            Halt::Record(error) => Err(error),
        }
    }

    /// Takes the state in which a phase leaves its sandboxes, also when something broke in it.
    async fn take_state(&mut self) -> Result<(), Halt> {
        for machine in self.machines.values_mut() {
            machine.list(self.log).await?;
            machine.checkpoint(self.log).await?;
        }
        Ok(())
    }

    async fn body(&mut self, phase: &PhasePlan) -> Result<PhaseEnd, Halt> {
        match &phase.kind {
            PhaseKind::Agent { sandbox, system, user, tools, nudge, turns } => {
                self.conversation.clear();
                if let Some(text) = system {
                    self.tell(Message::System { text: text.clone() }, Source::Prompt);
                }
                self.tell(Message::User { text: user.clone() }, Source::Prompt);
                self.machine(sandbox).await?;
                let turns = self.shared.limits.turns.unwrap_or(*turns);
                let phase = phase.id.as_str();
                self.act_out(&Agent { phase, sandbox, tools, nudge: nudge.as_deref(), turns }).await
            }
            PhaseKind::Ask { questions, fresh, times } => {
                if *fresh {
                    self.conversation.clear();
                }
                for _ in 0..*times {
                    for question in questions {
                        self.tell(Message::User { text: question.clone() }, Source::Question);
                        self.generate(&[]).await?;
                    }
                }
                Ok(PhaseEnd::Asked)
            }
            PhaseKind::Run { .. } => Err(Halt::bug("`run` phases are not yet run")),
        }
    }

    /// The agent loop: the model acts until it stops, submits, the phase's `end` holds, or a limit is reached.
    async fn act_out(&mut self, agent: &Agent<'_>) -> Result<PhaseEnd, Halt> {
        let tools: Vec<ToolSpec> = agent.tools.iter().filter_map(|name| tool::spec(name)).collect();
        let mut nudged = false;
        for _ in 0..agent.turns {
            let turn = self.generate(&tools).await?;
            let calls: Vec<ToolCall> = turn.tool_calls().cloned().collect();
            if calls.is_empty() {
                match agent.nudge {
                    Some(nudge) if !nudged => {
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
                self.check_limits()?;
            }
        }
        Err(Halt::Limit(LimitKind::Turns, u64::from(agent.turns)))
    }

    fn check_limits(&self) -> Result<(), Halt> {
        match self.spent.exceeds(&self.shared.limits) {
            Some((limit, value)) => Err(Halt::Limit(limit, value)),
            None => Ok(()),
        }
    }

    /// Puts a message before the model.
    fn tell(&mut self, message: Message, source: Source) {
        self.conversation.push(message.clone());
        self.log.push(Act::Messaged { message, source });
    }

    /// Asks the model to continue. What was done so far is durable before it is asked.
    async fn generate(&mut self, tools: &[ToolSpec]) -> Result<Message, Halt> {
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

    /// Logs every attempt; what yields no turn ends the phase.
    fn log_reply(&mut self, reply: Reply) -> Result<Output, Halt> {
        let result = self.log.push_reply(self.model.name(), Role::Target, reply);
        result.map_err(|error| match error.kind {
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

    /// Carries out one tool call. Returns whether it was a readable `submit`.
    async fn call(&mut self, agent: &Agent<'_>, call: ToolCall) -> Result<bool, Halt> {
        self.log.push(Act::ToolCalled { call: call.clone() });
        let job = tool::read(&call, agent.tools);
        let submitted = matches!(job, Ok(Job::Submit));
        let mut returned = Returned::default();
        match job {
            Err(error) => {
                returned.text.clone_from(&error);
                returned.error = Some(error);
            }
            Ok(Job::Submit) => "Received.".clone_into(&mut returned.text),
            Ok(Job::Think) => "Noted.".clone_into(&mut returned.text),
            Ok(Job::Bash { command }) => {
                let left_ms = self.shared.limits.tool_ms - self.spent.tool_ms;
                let limit_ms = self.shared.limits.call_ms.min(left_ms);
                let captured = self.exec(agent.sandbox, tool::bash(command, limit_ms)).await?;
                self.spent.tool_ms += captured.millis;
                returned.text = tool::show(&captured, limit_ms);
                returned.captured = Some(captured);
            }
        }
        let captured = returned.captured;
        self.log.push(Act::ToolReturned {
            call_id: call.id.clone(),
            text: returned.text.clone(),
            status: captured.as_ref().map(|captured| captured.status),
            error: returned.error,
            dropped_bytes: captured.as_ref().map_or(0, tool::dropped),
            millis: captured.as_ref().map_or(0, |captured| captured.millis),
        });
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
    async fn exec(&mut self, name: &str, command: Command) -> Result<Captured, Halt> {
        let sandbox = Arc::clone(&self.machine(name).await?.1.sandbox);
        let mut running: BoxFuture<'_, _> = sandbox.exec(command);
        loop {
            tokio::select! {
                biased;
                call = sandbox.checkpoint() => self.serve(name, call?).await?,
                captured = &mut running => return Ok(captured?),
            }
        }
    }

    /// The sandbox `name`, made on first use, and the log to write about it.
    pub(crate) async fn machine(
        &mut self,
        name: &str,
    ) -> Result<(&mut Log<'r>, &mut Machine), Halt> {
        if !self.machines.contains_key(name) {
            let machine = Machine::create(name, self.plan, self.shared.provider, self.log).await?;
            self.machines.insert(name.to_owned(), machine);
        }
        match self.machines.get_mut(name) {
            Some(machine) => Ok((self.log, machine)),
            None => Err(Halt::bug("a sandbox vanished")),
        }
    }

    /// The sandbox in which programs run, out of the agent's reach.
    pub(crate) async fn backstage(&mut self) -> Result<&dyn Sandbox, Halt> {
        if self.backstage.is_none() {
            let spec = SandboxSpec { hostname: "backstage".to_owned(), ..SandboxSpec::default() };
            let sandbox = self.shared.provider.create(spec).await?;
            let files = self.plan.backstage.iter().map(|file| NewFile {
                path: format!("{}/{}", program::FOLDER, file.path),
                ..file.clone()
            });
            sandbox.put(files.collect()).await?;
            self.backstage = Some(sandbox);
        }
        self.backstage.as_deref().ok_or_else(|| Halt::bug("the backstage sandbox vanished"))
    }

    async fn destroy(&mut self) {
        for machine in self.machines.values() {
            // A sandbox that is already gone is what is wanted.
            let _ = machine.sandbox.destroy().await;
        }
        if let Some(backstage) = &self.backstage {
            let _ = backstage.destroy().await;
        }
    }
}

/// What a tool call came to.
#[derive(Default)]
struct Returned {
    text: String,
    error: Option<String>,
    captured: Option<Captured>,
}
