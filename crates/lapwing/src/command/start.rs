//! What `eval` and `scenario check` share: from a design to a sealed run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anstream::eprintln;
use lapwing_core::{Condition, Digest, GenerateConfig, Provider, SandboxSpec};
use lapwing_eval::{
    Admission, Design, Eval, HasRoom, Judge, Planned, SampleLimits, Stop, Target, dispatch,
    note_codebook,
};
use lapwing_model::{Budget, Spent, Usd};
use lapwing_sandbox::Native;
use lapwing_scenario::{DesignChoice, Scenario};
use lapwing_store::{Ending, Resume, Run, RunSpec, Runs, SampleState};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::endpoint::Connector;
use super::estimate::{Estimate, short};
use super::machine::{Machine, most_live};
use crate::failure::Failure;
use crate::library;
use crate::progress::Meter;
use crate::render::say;

/// A run that is about to be made.
pub(crate) struct Start {
    pub(crate) scenario: Scenario,
    pub(crate) chosen: BTreeMap<String, Vec<String>>,
    pub(crate) design: DesignChoice,
    pub(crate) targets: Vec<Target>,
    pub(crate) instrument_check: bool,
    pub(crate) seeds: u64,
    pub(crate) epochs: u32,
    /// A further policy and its number of seeds, in the first condition only.
    pub(crate) drawn: Option<(String, u64)>,
    pub(crate) max_samples: usize,
    /// Sandboxes that live at a time, where that is told.
    pub(crate) max_sandboxes: Option<u64>,
    pub(crate) limits: SampleLimits,
    pub(crate) config: GenerateConfig,
    pub(crate) optional: BTreeSet<String>,
    pub(crate) judge: Option<Judge>,
    pub(crate) stop: Stop,
    /// A person plays: the terminal is theirs, and controls are left out.
    pub(crate) person: bool,
    /// The run that is gone on with, instead of a new one.
    pub(crate) resume: Option<Remainder>,
    /// What the models share: accounts, books.
    pub(crate) connector: Arc<Connector>,
    /// What all samples are expected to use.
    pub(crate) expected: Estimate,
}

/// What is left of a run, or added to it.
pub(crate) struct Remainder {
    pub(crate) run: Run,
    pub(crate) resume: Resume,
    /// By number.
    pub(crate) samples: Vec<(u64, Planned)>,
    /// What is said of it.
    pub(crate) line: String,
}

/// Reads `-f factor=level,...` arguments.
pub(crate) fn choices(factors: &[String]) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut chosen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for argument in factors {
        let Some((factor, levels)) = argument.split_once('=') else {
            return Err(Failure::new(
                Failure::USAGE,
                format!("-f {argument}: there is no `=` in it"),
            )
            .help("write -f factor=level or -f factor=level,level"));
        };
        let levels = levels.split(',').map(|level| level.trim().to_owned());
        chosen.entry(factor.trim().to_owned()).or_default().extend(levels);
    }
    Ok(chosen)
}

/// All policies of a scenario.
pub(crate) fn policies(scenario: &Scenario) -> Vec<Target> {
    scenario.policies().iter().map(|policy| Target::Policy(policy.name.clone())).collect()
}

/// Isolation, started before anything else in this process. A run shows first that it works, if its scenario needs it.
pub(crate) fn isolation() -> Result<Native, Failure> {
    Ok(Native::start()?)
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Failure::ENVIRONMENT, format!("no threads: {error}")))
}

impl Start {
    /// Makes the run: expands the design, tries isolation and endpoints, runs every sample, seals the file.
    pub(crate) async fn run(
        mut self,
        native: Native,
        runs: &Runs,
    ) -> Result<(Run, Ending), Failure> {
        let machine = match &self.resume {
            Some(old) => Machine::prepare_again(&self.scenario, &native, &old.run.spec()?).await?,
            None => Machine::prepare(&self.scenario, &native).await?,
        };
        let most_live = most_live(&self.scenario, self.max_sandboxes);
        let mut settings = machine.settings(&self.scenario, native.enforced());
        settings.push(("max_sandboxes".to_owned(), most_live.to_string()));
        let (begin, line, samples) = if let Some(remainder) = self.resume.take() {
            let Remainder { run, resume, samples, line } = remainder;
            (Begin::Old(run, Box::new(resume)), line, samples)
        } else {
            if let Some(screen) = self.scenario.screen(&self.chosen, self.design)? {
                eprintln!("  {}", screen.to_string().replace('\n', "\n  "));
            }
            let samples = self.samples()?;
            let line = self.describe(samples.len())?;
            (Begin::New(self.spec(settings)), line, (1..).zip(samples).collect())
        };
        let books = (!self.instrument_check).then(|| Arc::clone(&self.connector));
        let has_room = has_room(Arc::clone(&self.connector), self.expected, samples.len());
        let meter = Meter::new(samples.len(), self.person, books);
        let eval = Eval {
            scenario: self.scenario,
            provider: Arc::new(native),
            samples,
            limits: self.limits,
            config: self.config,
            optional: self.optional,
            judge: self.judge,
            max_samples: self.max_samples,
            has_room,
            roots: machine.roots,
            admission: Admission::new(most_live),
        };
        let done = make(eval, begin, &line, runs, &self.stop, meter).await?;
        if let Some(used) = used(&self.connector) {
            say(&used);
        }
        Ok(done)
    }

    /// Every sample of the design.
    pub(crate) fn samples(&self) -> Result<Vec<Planned>, Failure> {
        let conditions = self.conditions()?;
        let first = conditions.first().cloned().into_iter().collect();
        let design = Design {
            targets: self.targets.clone(),
            conditions,
            seeds: self.seeds,
            epochs: self.epochs,
        };
        let mut samples = design.expand(&self.scenario)?;
        if samples.is_empty() {
            let message = "no chosen condition has a mapping to the words of the model";
            return Err(Failure::new(Failure::USAGE, message).help(
                "choose other conditions; `organism.prompt` of the scenario has the mapping",
            ));
        }
        if let Some((policy, seeds)) = &self.drawn {
            let targets = vec![Target::Policy(policy.clone())];
            let design = Design { targets, conditions: first, seeds: *seeds, epochs: 1 };
            samples.extend(design.expand(&self.scenario)?);
        }
        Ok(samples)
    }

    /// The conditions of the design. A person plays no controls, and only the base unless others are chosen.
    fn conditions(&self) -> Result<Vec<Condition>, Failure> {
        let mut conditions = self.scenario.conditions(&self.chosen, self.design)?;
        if self.person {
            conditions.retain(|condition| condition.control.is_none());
            conditions.truncate(if self.chosen.is_empty() { 1 } else { usize::MAX });
        }
        Ok(conditions)
    }

    /// The design in a line: what is crossed, and how many samples it makes.
    pub(crate) fn describe(&self, n_samples: usize) -> Result<String, Failure> {
        let count = crate::render::count;
        let noun = match (self.person, self.instrument_check) {
            (true, _) => "person",
            (false, true) => "policy",
            (false, false) => "model",
        };
        let targets = count(self.targets.len(), noun);
        let left_out = match (self.person, self.chosen.is_empty()) {
            (true, true) => "; -f chooses other conditions, controls are left out",
            (true, false) => "; controls are left out",
            (false, _) => "",
        };
        let unmapped = self.unmapped()?;
        let epochs =
            if self.epochs > 1 { format!(" x {} epochs", self.epochs) } else { String::new() };
        let drawn = self.drawn.as_ref();
        let drawn = drawn.map(|(policy, seeds)| format!(" + {seeds} seeds of {policy}"));
        Ok(format!(
            "{} x {} x {targets}{epochs}{} = {}{left_out}{unmapped}",
            count(self.conditions()?.len(), "condition"),
            count(self.seeds as usize, "seed"),
            drawn.unwrap_or_default(),
            count(n_samples, "sample"),
        ))
    }

    /// The conditions that cannot be put into the words of a model, for the line that describes the run.
    fn unmapped(&self) -> Result<String, Failure> {
        let mut without = Vec::new();
        for condition in self.conditions()? {
            for target in &self.targets {
                if !target.has_words_for(&self.scenario, &condition, 0)? {
                    let condition = self.scenario.describe(&condition);
                    without.push(format!("{condition} for {}", target.name()));
                }
            }
        }
        Ok(match without.as_slice() {
            [] => String::new(),
            without => format!("; not run, because there is no mapping: {}", without.join(", ")),
        })
    }

    fn spec(&self, more: Vec<(String, String)>) -> RunSpec {
        let limits = &self.limits;
        let mut settings = BTreeMap::from([
            ("max_samples".to_owned(), self.max_samples.to_string()),
            ("tool_time_ms".to_owned(), limits.tool_ms.to_string()),
            ("wall_time_ms".to_owned(), limits.wall_ms.to_string()),
            ("root_file_system".to_owned(), host_release()),
        ]);
        settings.extend(more);
        let design = match self.design {
            DesignChoice::Default => None,
            DesignChoice::Star => Some("star".to_owned()),
            DesignChoice::Full => Some("full".to_owned()),
            DesignChoice::Screen(runs) => Some(format!("screen={runs}")),
        };
        let phases = self.optional.iter().cloned().collect::<Vec<_>>().join(",");
        let optional = [
            ("design", design),
            ("with", (!phases.is_empty()).then_some(phases)),
            ("judge", self.judge.as_ref().map(Judge::name)),
            ("turns", limits.turns.map(|n| n.to_string())),
            ("tokens", limits.tokens.map(|n| n.to_string())),
            ("temperature", self.config.temperature.map(|n| n.to_string())),
            ("top_p", self.config.top_p.map(|n| n.to_string())),
            ("max_tokens", self.config.max_tokens.map(|n| n.to_string())),
            ("seed", self.config.seed.map(|n| n.to_string())),
            ("reasoning_effort", self.config.reasoning_effort.map(|e| e.word().to_owned())),
            ("logprobs", self.config.logprobs.then(|| "true".to_owned())),
            ("reasoning_tokens", self.config.reasoning_tokens.map(|n| n.to_string())),
            ("budget", self.connector.ledger().budget().map(|budget| budget.to_string())),
        ];
        let stops = self.config.stop.iter().enumerate();
        settings.extend(stops.map(|(index, stop)| (format!("stop {}", index + 1), stop.clone())));
        settings.extend(self.connector.recorded());
        for (name, value) in optional {
            settings.extend(value.map(|value| (name.to_owned(), value)));
        }
        let mut spec = RunSpec {
            scenario: self.scenario.name().to_owned(),
            digest: self.scenario.digest(),
            models: self.targets.iter().map(Target::name).collect(),
            instrument_check: self.instrument_check,
            chosen: self.chosen.clone(),
            seeds: self.seeds,
            epochs: self.epochs,
            settings,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: now_ms(),
        };
        note_codebook(&mut spec, &self.scenario, &self.targets);
        spec
    }
}

/// The run that is made.
pub(crate) enum Begin {
    /// A new one.
    New(RunSpec),
    /// One that is gone on with.
    Old(Run, Box<Resume>),
}

/// Makes a run: tries isolation, runs every sample, seals the file. `line` describes it.
pub(crate) async fn make(
    eval: Eval,
    begin: Begin,
    line: &str,
    runs: &Runs,
    stop: &Stop,
    meter: Meter,
) -> Result<(Run, Ending), Failure> {
    if eval.scenario.needs_sandbox() {
        eval.provider.create(SandboxSpec::default()).await?.destroy().await?;
    }
    let signals = Signals::listen()?;
    let writer = Arc::new(match begin {
        Begin::New(spec) => {
            let files = eval.scenario.folder().files();
            runs.create(&tag()?, &spec, files, &keys(&eval.samples))?
        }
        Begin::Old(run, resume) => Runs::resume(run, &resume)?,
    });
    say(&format!("{line}, run {}", writer.id()));
    let signals = tokio::spawn(signals.obey(stop.clone()));
    let done = dispatch(Arc::new(eval), &writer, stop, |progress| meter.see(&progress)).await;
    meter.finish();
    signals.abort();
    let ending = done?;
    let id = writer.id().to_owned();
    let Some(writer) = Arc::into_inner(writer) else {
        return Err(Failure::new(Failure::BUG, "a sample outlived its run"));
    };
    writer.seal(ending, now_ms()).await?;
    Ok((runs.find(&id)?, ending))
}

/// Whether the budget has room for another sample, by what finished ones used and, before any did, by the estimate.
fn has_room(connector: Arc<Connector>, expected: Estimate, n_samples: usize) -> HasRoom {
    // What was spent before says nothing about the samples of now.
    let before = connector.ledger().share();
    Box::new(move |n_running, n_finished| {
        let ledger = connector.ledger();
        let expected = match ledger.budget() {
            None => return true,
            Some(_) if n_running + n_finished == 0 => return true,
            Some(_) if n_finished > 0 => (ledger.share() - before) / n_finished as f64,
            Some(Budget::Usd(budget)) => {
                expected.cost_usd.unwrap_or(0.0) / n_samples as f64 / budget.dollars()
            }
            Some(Budget::Tokens(budget)) => {
                (expected.tokens_in + expected.tokens_out) as f64 / n_samples as f64 / budget as f64
            }
        };
        let has_room = ledger.share() + (n_running + 1) as f64 * expected <= 1.0;
        connector.note_room(has_room);
        has_room
    })
}

/// What the models of a run used, in a line; `None` if none was asked.
pub(crate) fn used(connector: &Connector) -> Option<String> {
    let spent = connector.ledger().spent();
    if spent.tokens() + spent.n_kept == 0 {
        return None;
    }
    let Spent { usage, cost, presumed, unpriced, n_kept } = spent;
    let cached = match usage.cache_read {
        0 => String::new(),
        cached => format!(" ({} of them from the provider's cache)", short(cached)),
    };
    let price = match (unpriced, cost) {
        (0, cost) => format!(", {cost}"),
        (_, cost) if cost == Usd::default() => String::new(),
        (unpriced, cost) => {
            format!(", {cost} and {} tokens of unknown price", short(unpriced))
        }
    };
    let presumed = match presumed {
        0 => String::new(),
        presumed => format!(
            "; up to {} tokens of attempts that broke off are counted in, which may not be billed",
            short(presumed)
        ),
    };
    let kept = match n_kept {
        0 => String::new(),
        n_kept => format!("; {n_kept} answers came from the cache and cost nothing"),
    };
    let read = short(usage.input + usage.cache_read + usage.cache_write);
    Some(format!(
        "used {read} tokens in{cached}, {} out{price}{presumed}{kept}",
        short(usage.output)
    ))
}

/// Says why a run was stopped before its end, and what is left of it. Returns the exit code.
pub(crate) fn stopped(run: &Run, connector: &Connector) -> Result<ExitCode, Failure> {
    let samples = run.samples()?;
    let count = |state| samples.iter().filter(|sample| sample.state == state).count();
    let left = format!(
        "{} of {} samples are finished and kept, {} were begun, {} not; lapwing eval --resume {} goes on",
        count(SampleState::Done),
        samples.len(),
        count(SampleState::Begun),
        count(SampleState::Planned),
        run.id()
    );
    let why = spent_budget(connector).unwrap_or_else(|| "stopped".to_owned());
    say(&format!("{why}: {left}"));
    Ok(ExitCode::from(Failure::CHECK))
}

/// That the budget was too small, in words, if it was.
pub(crate) fn spent_budget(connector: &Connector) -> Option<String> {
    let ledger = connector.ledger();
    let budget = ledger.budget().filter(|_| ledger.is_exhausted() || !connector.has_room())?;
    let percent = ledger.share() * 100.0;
    Some(format!("the budget of {budget} has no room for another sample ({percent:.0} % is spent)"))
}

fn keys(
    samples: &[(u64, Planned)],
) -> Vec<(lapwing_core::SampleKey, Option<Vec<lapwing_core::Planted>>)> {
    samples.iter().map(|(_, sample)| (sample.key.clone(), sample.planted.clone())).collect()
}

/// Interrupts and requests to terminate, from the moment that they are listened for.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Failure::ENVIRONMENT, format!("no signals can be heard: {error}"))
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// First signal: no new samples. Second: give up those in flight. Third: exit at once; sandboxes die with us, and
    /// what is committed is safe.
    async fn obey(mut self, stop: Stop) {
        self.next().await;
        stop.drain.cancel();
        eprintln!("\n  no new samples are started; interrupt again to give up those in flight");
        self.next().await;
        stop.now.cancel();
        eprintln!("\n  giving up the samples in flight; interrupt again to exit at once");
        self.next().await;
        std::process::exit(130);
    }
}

/// Six characters that make a run's id unique and easy to type.
pub(crate) fn tag() -> Result<String, Failure> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Failure::ENVIRONMENT, format!("no random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte % 32)])).collect())
}

/// Results depend on the host's `/usr`, so the record names it.
fn host_release() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.unwrap_or("unknown release").trim_matches('"');
    format!("host /usr, {name}, release sha256:{}", Digest::of(release.as_bytes()))
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A scenario's name or path, loaded to be run.
pub(crate) fn scenario(wanted: &str) -> Result<Scenario, Failure> {
    let scenario = library::load(wanted)?;
    match scenario.imported() {
        None => Ok(scenario),
        Some(from) => Err(Failure::new(
            Failure::USAGE,
            format!("{wanted} cannot be run: its samples were imported from {from}"),
        )
        .help(format!("`lapwing score RUN --with {wanted}` scores them"))),
    }
}
