//! What `eval` and `scenario check` share: from a design to a sealed run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anstream::eprintln;
use lapwing_core::{Condition, Digest, GenerateConfig, Provider, SandboxSpec};
use lapwing_eval::{Admission, Design, Eval, Judge, Planned, SampleLimits, Stop, Target, dispatch};
use lapwing_sandbox::Native;
use lapwing_scenario::{DesignChoice, Scenario};
use lapwing_store::{Ending, Run, RunSpec, Runs};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::machine::{Machine, most_live};
use crate::failure::Failure;
use crate::library;
use crate::progress::Meter;

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

/// Isolation, started before anything else in this process and shown to work, if the scenario needs it.
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
    pub(crate) async fn run(self, native: Native, runs: &Runs) -> Result<(Run, Ending), Failure> {
        if let Some(screen) = self.scenario.screen(&self.chosen, self.design)? {
            eprintln!("  {}", screen.to_string().replace('\n', "\n  "));
        }
        let samples = self.samples()?;
        let provider: Arc<dyn Provider> = Arc::new(native);
        let machine = Machine::prepare(&self.scenario, provider.as_ref()).await?;
        provider.create(SandboxSpec::default()).await?.destroy().await?;

        let most_live = most_live(&self.scenario, self.max_sandboxes);
        let mut settings = machine.settings(provider.enforced());
        settings.push(("max_sandboxes".to_owned(), most_live.to_string()));

        let signals = Signals::listen()?;
        let writer = Arc::new(runs.create(
            &tag()?,
            &self.spec(settings),
            self.scenario.folder().files(),
            &keys(&samples),
        )?);
        crate::render::say(&format!("{}, run {}", self.describe(samples.len())?, writer.id()));
        let meter = Meter::new(samples.len(), self.person, self.instrument_check);
        let stop = self.stop;
        let signals = tokio::spawn(signals.obey(stop.clone()));
        let eval = Eval {
            scenario: self.scenario,
            provider,
            samples,
            limits: self.limits,
            config: self.config,
            optional: self.optional,
            judge: self.judge,
            max_samples: self.max_samples,
            roots: machine.roots,
            admission: Admission::new(most_live),
        };
        let done = dispatch(Arc::new(eval), &writer, &stop, |progress| meter.see(&progress)).await;
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
        let epochs =
            if self.epochs > 1 { format!(" x {} epochs", self.epochs) } else { String::new() };
        let drawn = self.drawn.as_ref();
        let drawn = drawn.map(|(policy, seeds)| format!(" + {seeds} seeds of {policy}"));
        Ok(format!(
            "{} x {} x {targets}{epochs}{} = {}{left_out}",
            count(self.conditions()?.len(), "condition"),
            count(self.seeds as usize, "seed"),
            drawn.unwrap_or_default(),
            count(n_samples, "sample"),
        ))
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
        let optional = [
            ("design", design),
            ("judge", self.judge.as_ref().map(Judge::name)),
            ("turns", limits.turns.map(|n| n.to_string())),
            ("tokens", limits.tokens.map(|n| n.to_string())),
            ("temperature", self.config.temperature.map(|n| n.to_string())),
            ("top_p", self.config.top_p.map(|n| n.to_string())),
            ("max_tokens", self.config.max_tokens.map(|n| n.to_string())),
        ];
        for (name, value) in optional {
            settings.extend(value.map(|value| (name.to_owned(), value)));
        }
        RunSpec {
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
        }
    }
}

/// Exit code of a run that was stopped before its end.
pub(crate) fn stopped(run: &Run) -> ExitCode {
    eprintln!("  stopped: finished samples are kept, `lapwing show {}` lists them", run.id());
    ExitCode::from(Failure::CHECK)
}

fn keys(samples: &[Planned]) -> Vec<(lapwing_core::SampleKey, Option<Vec<lapwing_core::Planted>>)> {
    samples.iter().map(|sample| (sample.key.clone(), sample.planted.clone())).collect()
}

/// Interrupts and requests to terminate, from the moment that they are listened for.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
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

    async fn next(&mut self) {
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
fn tag() -> Result<String, Failure> {
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

/// A scenario's name or path, loaded.
pub(crate) fn scenario(wanted: &str) -> Result<Scenario, Failure> {
    library::load(wanted)
}
