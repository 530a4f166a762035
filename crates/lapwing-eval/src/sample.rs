//! One sample: its phases, the loop in which a model acts, and what ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lapwing_core::{
    Act, Blobs, BoxFuture, Digest, ErrorKind, Event, ExitStatus, GenerateConfig, LimitKind,
    Message, Model, NewFile, PhaseEnd, Provider, RecordError, SampleKey, Sandbox, SandboxError,
    Source, Waits,
};
use lapwing_scenario::{Glob, PhaseKind, PhasePlan, Plan, SandboxPlan, Scenario};
use tokio::time::{Instant, sleep_until};

use crate::agent::Agent;
use crate::inject::Ready;
use crate::limits::{SampleLimits, Spent};
use crate::log::Log;
use crate::machine::{Extra, Machine};
use crate::watched;
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
    pub(crate) key: &'a SampleKey,
    pub(crate) plan: &'a Plan,
    pub(crate) model: &'a dyn Model,
    pub(crate) log: &'a mut Log<'r>,
    pub(crate) world: World,
    machines: BTreeMap<String, Machine>,
    /// Sandboxes that are being made.
    making: BTreeSet<String>,
    /// Networks of sandboxes beside each other, by the sandbox that has it.
    networks: BTreeMap<String, Arc<dyn Provider>>,
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
    /// Time in which the model waits for its provider's leave.
    pub(crate) waits: Waits,
}

/// Why a sample ends without findings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Abort {
    /// What happens can no longer be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The run's budget holds no further call.
    #[error("{0}")]
    Unpaid(String),
}

/// Why a phase cannot go on.
pub(crate) enum Halt {
    Limit(LimitKind, u64),
    Refused,
    Failed(ErrorKind, String),
    Unpaid(String),
    Record(RecordError),
}

impl Halt {
    pub(crate) fn scenario(message: String) -> Self {
        Self::Failed(ErrorKind::Scenario, message)
    }

    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::Failed(ErrorKind::Internal, message.into())
    }

    /// How commands ended with their sandbox, where it was ended at a limit.
    pub(crate) fn cut_off(&self) -> Option<ExitStatus> {
        match self {
            Self::Limit(LimitKind::Memory, _) => Some(ExitStatus::OutOfMemory),
            Self::Limit(LimitKind::ProcessorTime, _) => Some(ExitStatus::ProcessorTime),
            Self::Limit(..)
            | Self::Refused
            | Self::Failed(..)
            | Self::Unpaid(_)
            | Self::Record(_) => None,
        }
    }
}

impl Halt {
    /// What a fault of a sandbox that the model has no part in comes to.
    pub(crate) fn backstage(error: SandboxError) -> Self {
        let whose = "the sandbox in which programs of the scenario run";
        match error {
            SandboxError::Lost { loss, cause } if loss.limit().is_some() => {
                Self::scenario(format!("{whose} is gone: {cause}"))
            }
            error => Self::Failed(ErrorKind::Sandbox, error.to_string()),
        }
    }
}

impl From<SandboxError> for Halt {
    /// What a fault of a sandbox in which the model acts comes to: a limit, if it ran into one.
    fn from(error: SandboxError) -> Self {
        let limit = match &error {
            SandboxError::Lost { loss, .. } => loss.limit(),
            SandboxError::Unavailable { .. } | SandboxError::Failed { .. } => None,
        };
        match limit {
            Some((kind, value, _)) => Self::Limit(kind, value),
            None => Self::Failed(ErrorKind::Sandbox, error.to_string()),
        }
    }
}

impl From<RecordError> for Halt {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Who makes a sandbox.
enum ProviderOf<'a> {
    Run(&'a dyn Provider),
    Network(Arc<dyn Provider>),
}

impl<'a> Deref for ProviderOf<'a> {
    type Target = dyn Provider + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Run(provider) => *provider,
            Self::Network(provider) => &**provider,
        }
    }
}

impl<'a, 'r> Runner<'a, 'r> {
    pub(crate) fn new(
        shared: &'a Shared<'a>,
        key: &'a SampleKey,
        plan: &'a Plan,
        model: &'a dyn Model,
        log: &'a mut Log<'r>,
    ) -> Self {
        if shared.scenario.reads_files() || !plan.world.is_empty() {
            log.remember_files();
        }
        Self {
            shared,
            key,
            plan,
            model,
            log,
            world: World::new(&plan.world),
            machines: BTreeMap::new(),
            making: BTreeSet::new(),
            networks: BTreeMap::new(),
            backstage: None,
            conversation: Vec::new(),
            ready: Ready::new(plan.injections.len()),
            spent: Spent::default(),
            n_calls: 0,
            phase: String::new(),
            turn: 0,
            waits: Waits::default(),
        }
    }

    /// Runs every phase. What breaks inside is an event of the sample; only a failed record and a spent budget are errors.
    pub(crate) async fn run(&mut self) -> Result<(), Abort> {
        let done = self.phases(Instant::now()).await;
        self.destroy().await;
        done
    }

    async fn phases(&mut self, begun: Instant) -> Result<(), Abort> {
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
            match self.phase(phase, begun).await? {
                PhaseEnd::Limit => limited = true,
                PhaseEnd::Refused | PhaseEnd::Failed => break,
                PhaseEnd::Stopped
                | PhaseEnd::Submitted
                | PhaseEnd::Ended
                | PhaseEnd::Asked
                | PhaseEnd::Skipped => {}
            }
        }
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

    async fn phase(&mut self, phase: &PhasePlan, begun: Instant) -> Result<PhaseEnd, Abort> {
        self.phase.clone_from(&phase.id);
        self.turn = 0;
        self.log.set_phase(&phase.id);
        self.log.push(Act::PhaseStarted { id: phase.id.clone() });
        let done = match &phase.kind {
            // It has a limit of its own, so that it can look at a sample whose time is up.
            PhaseKind::Run { program, place } => self.run_program(&phase.id, program, place).await,
            PhaseKind::Agent { .. } | PhaseKind::Ask { .. } => {
                let limit_ms = self.shared.limits.wall_ms;
                let waits = self.waits.clone();
                let done = within(begun, limit_ms, &waits, Box::pin(self.body(phase))).await;
                done.unwrap_or(Err(Halt::Limit(LimitKind::WallTime, limit_ms)))
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
        self.log.begin_commit();
        Ok(why)
    }

    fn log_halt(&mut self, halt: Halt) -> Result<PhaseEnd, Abort> {
        match halt {
            Halt::Limit(limit, value) => {
                // A sandbox that was ended is met again by whoever looks for it.
                let known = |event: &Event| event.act == Act::LimitReached { limit, value };
                if halt.cut_off().is_none() || !self.log.events().iter().any(known) {
                    self.log.push(Act::LimitReached { limit, value });
                }
                Ok(PhaseEnd::Limit)
            }
            Halt::Refused => Ok(PhaseEnd::Refused),
            Halt::Failed(error, message) => {
                self.log.push(Act::Failed { error, message });
                Ok(PhaseEnd::Failed)
            }
            Halt::Unpaid(message) => Err(Abort::Unpaid(message)),
            Halt::Record(error) => Err(error.into()),
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
        machine.note_background(log).await?;
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

    /// Makes the sandbox `name` and all on its network, so that what they serve answers from the beginning.
    async fn make(&mut self, name: &str) -> Result<(), Halt> {
        for name in watched::neighbours(name, self.plan) {
            // One that carries files over from another makes that first.
            if !self.machines.contains_key(name) && self.making.insert(name.to_owned()) {
                let made = self.make_one(name).await;
                self.making.remove(name);
                made?;
            }
        }
        Ok(())
    }

    async fn make_one(&mut self, name: &str) -> Result<(), Halt> {
        let plan = self.plan;
        let mut extra =
            Extra { commands: self.world.commands(name), files: self.world.files(name) };
        for carry in plan.sandboxes.get(name).into_iter().flat_map(|sandbox| &sandbox.carry) {
            let copies = self.copies(&carry.from, &carry.paths).await?;
            extra.files.extend(copies.map_err(Halt::scenario)?);
        }
        let provider = self.provider_of(name).await?;
        let machine = Machine::create(name, plan, extra, self.shared, &*provider, self.log).await?;
        self.machines.insert(name.to_owned(), machine);
        Ok(())
    }

    /// Who makes the sandbox `name`: where it stands beside others, the provider of their network.
    async fn provider_of(&mut self, name: &str) -> Result<ProviderOf<'a>, Halt> {
        let neighbours = watched::neighbours(name, self.plan);
        let [owner, _, ..] = neighbours[..] else {
            return Ok(ProviderOf::Run(self.shared.provider));
        };
        if let Some(network) = self.networks.get(owner) {
            return Ok(ProviderOf::Network(Arc::clone(network)));
        }
        let outside = self.plan.sandboxes.get(owner).map(|sandbox| sandbox.network);
        let network = self.shared.provider.beside(outside.unwrap_or_default()).await?;
        self.networks.insert(owner.to_owned(), Arc::clone(&network));
        Ok(ProviderOf::Network(network))
    }

    /// Logs what was recorded in all sandboxes since the last time.
    pub(crate) async fn note_observed(&mut self) -> Result<(), Halt> {
        for machine in self.machines.values() {
            machine.note_observed(self.log).await?;
        }
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

/// What `body` comes to, or `None` when it takes longer than `limit_ms` since `begun`, waits not counted.
async fn within<T>(
    begun: Instant,
    limit_ms: u64,
    waits: &Waits,
    body: impl Future<Output = T>,
) -> Option<T> {
    /// How often a wait that goes on is looked at.
    const GLANCE: Duration = Duration::from_secs(1);
    let mut body = pin!(body);
    loop {
        let counted = waits.millis();
        let deadline = begun + Duration::from_millis(limit_ms.saturating_add(counted));
        let deadline =
            if waits.is_waiting() { deadline.max(Instant::now() + GLANCE) } else { deadline };
        tokio::select! {
            biased;
            done = &mut body => return Some(done),
            () = sleep_until(deadline) => {}
        }
        if !waits.is_waiting() && waits.millis() == counted {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_for_leave_is_not_the_samples_time() {
        let waits = Waits::default();
        let work = |hour: u64| {
            let waits = waits.clone();
            async move {
                waits.begin();
                tokio::time::sleep(Duration::from_secs(hour * 3600)).await;
                waits.end(hour * 3_600_000);
                tokio::time::sleep(Duration::from_millis(900)).await;
            }
        };
        let begun = Instant::now();
        assert_eq!(within(begun, 1000, &waits, work(24)).await, Some(()));
        assert_eq!(within(begun, 1000, &waits, work(1)).await, None);
    }
}
