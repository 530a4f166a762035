//! One sample: its phases, the loop in which a model acts, and what ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lapwing_core::{
    Act, Blobs, BoxFuture, Digest, ErrorKind, Event, GenerateConfig, LimitKind, Loss, Message,
    Model, NewFile, PhaseEnd, Provider, RecordError, Sandbox, SandboxError, Source,
};
use lapwing_scenario::{Glob, PhaseKind, PhasePlan, Plan, SandboxPlan, Scenario};
use tokio::time::{Instant, timeout_at};

use crate::agent::Agent;
use crate::inject::Ready;
use crate::limits::{SampleLimits, Spent};
use crate::log::Log;
use crate::machine::{Extra, Machine};
use crate::world::{Noticed, World};

/// What every sample of a run shares.
pub(crate) struct Shared<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) provider: &'a dyn Provider,
    pub(crate) limits: SampleLimits,
    pub(crate) config: &'a GenerateConfig,
    pub(crate) optional: &'a BTreeSet<String>,
    /// Root file systems that are ready, as scenarios name them.
    pub(crate) roots: &'a BTreeMap<String, Digest>,
}

impl Shared<'_> {
    /// The root file system of a sandbox; `None` for the programs of the host.
    pub(crate) fn root_of(&self, sandbox: &SandboxPlan) -> Option<Digest> {
        self.roots.get(sandbox.root.as_ref()?).copied()
    }
}

/// A sample under way.
pub(crate) struct Runner<'a, 'r> {
    pub(crate) shared: &'a Shared<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) model: &'a dyn Model,
    pub(crate) log: &'a mut Log<'r>,
    pub(crate) world: World,
    machines: BTreeMap<String, Machine>,
    /// Where programs run.
    backstage: Option<Box<dyn Sandbox>>,
    pub(crate) conversation: Vec<Message>,
    pub(crate) ready: Ready,
    pub(crate) spent: Spent,
    /// Calls of programs so far.
    pub(crate) n_calls: u64,
    /// The phase that runs, and the turns that the model has had in it.
    pub(crate) phase: String,
    pub(crate) turn: u32,
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

impl Halt {
    /// What a fault of a sandbox that the model has no part in comes to.
    pub(crate) fn backstage(error: SandboxError) -> Self {
        let whose = "the sandbox in which programs of the scenario run";
        match error {
            SandboxError::Lost { loss: Loss::Memory { .. }, cause } => {
                Self::scenario(format!("{whose} is gone: {cause}"))
            }
            error => Self::Failed(ErrorKind::Sandbox, error.to_string()),
        }
    }
}

impl From<SandboxError> for Halt {
    /// What a fault of a sandbox in which the model acts comes to: memory is a limit that it ran into.
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Lost { loss: Loss::Memory { limit_bytes }, .. } => {
                Self::Limit(LimitKind::Memory, limit_bytes)
            }
            error => Self::Failed(ErrorKind::Sandbox, error.to_string()),
        }
    }
}

impl From<RecordError> for Halt {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl<'a, 'r> Runner<'a, 'r> {
    pub(crate) fn new(
        shared: &'a Shared<'a>,
        plan: &'a Plan,
        model: &'a dyn Model,
        log: &'a mut Log<'r>,
    ) -> Self {
        if shared.scenario.reads_files() || !plan.world.is_empty() {
            log.remember_files();
        }
        Self {
            shared,
            plan,
            model,
            log,
            world: World::new(&plan.world),
            machines: BTreeMap::new(),
            backstage: None,
            conversation: Vec::new(),
            ready: Ready::new(plan.injections.len()),
            spent: Spent::default(),
            n_calls: 0,
            phase: String::new(),
            turn: 0,
        }
    }

    /// Runs every phase. What breaks inside is an event of the sample; only a failed record is an error.
    pub(crate) async fn run(&mut self) -> Result<(), RecordError> {
        let deadline = Instant::now() + Duration::from_millis(self.shared.limits.wall_ms);
        let mut limited = false;
        for phase in &self.plan.phases {
            let is_wanted = !phase.optional || self.shared.optional.contains(&phase.id);
            // After a limit the model does nothing more, but what it left behind is looked at.
            let is_run = matches!(phase.kind, PhaseKind::Run { .. });
            if !is_wanted || (limited && !is_run) {
                continue;
            }
            let rule = self.shared.scenario.wanted(&phase.id, self.log.events(), self.log);
            if rule != Ok(true) {
                self.skip(&phase.id, rule.is_ok());
                continue;
            }
            match self.phase(phase, deadline).await? {
                PhaseEnd::Limit => limited = true,
                PhaseEnd::Refused | PhaseEnd::Failed => break,
                PhaseEnd::Stopped
                | PhaseEnd::Submitted
                | PhaseEnd::Ended
                | PhaseEnd::Asked
                | PhaseEnd::Skipped => {}
            }
        }
        self.destroy().await;
        Ok(())
    }

    /// Leaves a phase out. Where its rule is known to be false that is on record: then it is known that nothing happened in it.
    fn skip(&mut self, phase: &str, is_known: bool) {
        if is_known {
            self.log.set_phase(phase);
            let why = PhaseEnd::Skipped;
            self.log.push(Act::PhaseEnded { id: phase.to_owned(), why });
            self.log.set_phase("");
        }
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
        let done = match &phase.kind {
            // It has a limit of its own, so that it can look at a sample whose time is up.
            PhaseKind::Run { program, place } => self.run_program(&phase.id, program, place).await,
            PhaseKind::Agent { .. } | PhaseKind::Ask { .. } => {
                let out_of_time = Halt::Limit(LimitKind::WallTime, self.shared.limits.wall_ms);
                timeout_at(deadline, self.body(phase)).await.unwrap_or(Err(out_of_time))
            }
        };
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
                // A sandbox that is gone for want of memory is met again by whoever looks for it.
                let known = |event: &Event| event.act == Act::LimitReached { limit, value };
                if limit != LimitKind::Memory || !self.log.events().iter().any(known) {
                    self.log.push(Act::LimitReached { limit, value });
                }
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

    /// Takes the state in which a phase leaves its sandboxes, also when something broke in it or one of them is gone.
    async fn take_state(&mut self) -> Result<(), Halt> {
        let names: Vec<String> = self.machines.keys().cloned().collect();
        let mut taken = Ok(());
        for name in names {
            taken = taken.and(self.take_state_of(&name).await);
        }
        taken
    }

    async fn take_state_of(&mut self, name: &str) -> Result<(), Halt> {
        let (log, machine) = self.machine(name).await?;
        machine.list(log).await?;
        self.checkpoint(name).await
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
                self.ask(&phase.id, questions, *times).await
            }
            PhaseKind::Run { .. } => Err(Halt::bug("a `run` phase is not the model's")),
        }
    }

    /// Asks the whole list up to `times`, until the phase's `until` is known to be true.
    async fn ask(
        &mut self,
        phase: &str,
        questions: &[String],
        times: u32,
    ) -> Result<PhaseEnd, Halt> {
        for _ in 0..times {
            for question in questions {
                self.tell(Message::User { text: question.clone() }, Source::Question);
                self.generate(&[]).await?;
                if self.shared.scenario.ended(phase, self.log.events(), self.log) {
                    return Ok(PhaseEnd::Ended);
                }
            }
        }
        Ok(PhaseEnd::Asked)
    }

    pub(crate) fn check_limits(&self) -> Result<(), Halt> {
        match self.spent.exceeds(&self.shared.limits) {
            Some((limit, value)) => Err(Halt::Limit(limit, value)),
            None => Ok(()),
        }
    }

    /// Puts a message before the model.
    pub(crate) fn tell(&mut self, message: Message, source: Source) {
        self.conversation.push(message.clone());
        self.log.push(Act::Messaged { message, source });
    }

    /// Logs what happened in parts of the world.
    pub(crate) fn emit(&mut self, noticed: Vec<Noticed>) {
        for Noticed { part, name, fields } in noticed {
            self.log.push(Act::Emitted { program: part.to_owned(), name, fields });
        }
    }

    /// Takes the state of the sandbox `name`, and lets the parts of the world look at what changed in it.
    pub(crate) async fn checkpoint(&mut self, name: &str) -> Result<(), Halt> {
        let (log, machine) = self.machine(name).await?;
        let taken = machine.checkpoint(log).await?;
        let log: &dyn Blobs = self.log;
        let read = |digest| taken.large.get(&digest).cloned().or_else(|| log.blob(digest));
        let noticed = self.world.observe(name, &taken.changes, &read);
        self.emit(noticed);
        Ok(())
    }

    /// The sandbox `name`, made on first use, and the log to write about it.
    pub(crate) async fn machine(
        &mut self,
        name: &str,
    ) -> Result<(&mut Log<'r>, &mut Machine), Halt> {
        if !self.machines.contains_key(name) {
            self.make(name).await?;
        }
        match self.machines.get_mut(name) {
            Some(machine) => Ok((self.log, machine)),
            None => Err(Halt::bug("a sandbox vanished")),
        }
    }

    async fn make(&mut self, name: &str) -> Result<(), Halt> {
        let plan = self.plan;
        let mut extra =
            Extra { commands: self.world.commands(name), files: self.world.files(name) };
        for carry in plan.sandboxes.get(name).into_iter().flat_map(|sandbox| &sandbox.carry) {
            let copies = self.copies(&carry.from, &carry.paths).await?;
            extra.files.extend(copies.map_err(Halt::scenario)?);
        }
        let machine = Machine::create(name, plan, extra, self.shared, self.log).await?;
        self.machines.insert(name.to_owned(), machine);
        Ok(())
    }

    /// Copies of files of the sandbox `name`, or in words why they cannot be had.
    pub(crate) fn copies<'s>(
        &'s mut self,
        name: &'s str,
        paths: &'s [Glob],
    ) -> BoxFuture<'s, Result<Result<Vec<NewFile>, String>, Halt>> {
        // Boxed, because a sandbox that carries files over is made while another one is.
        Box::pin(async move {
            let (log, machine) = self.machine(name).await?;
            Ok(machine.copies(paths, log).await?)
        })
    }

    /// The sandbox in which programs run, out of the agent's reach.
    pub(crate) async fn backstage(&mut self) -> Result<&dyn Sandbox, Halt> {
        if self.backstage.is_none() {
            self.backstage = Some(self.open_backstage(Vec::new()).await?);
        }
        self.backstage.as_deref().ok_or_else(|| Halt::bug("the backstage sandbox vanished"))
    }

    pub(crate) async fn destroy(&mut self) {
        for machine in self.machines.values() {
            // A sandbox that is already gone is what is wanted.
            let _ = machine.sandbox.destroy().await;
        }
        if let Some(backstage) = &self.backstage {
            let _ = backstage.destroy().await;
        }
    }
}
