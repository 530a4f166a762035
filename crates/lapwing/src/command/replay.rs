//! `lapwing replay`: a run again, from its record.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::eprintln;
use lapwing_core::{Draw, Event, GenerateConfig, Model, Role};
use lapwing_eval::{Admission, Eval, Judge, Planned, Stop, Target, via_codebook};
use lapwing_model::{Asked, Replay, Then};
use lapwing_scenario::Scenario;
use lapwing_store::{Run, RunSpec, SampleRow, SampleState};
use serde::Serialize;

use super::endpoint::{Connector, Wishes};
use super::machine::{Machine, most_live};
use super::{Global, judge, print_json, recorded, score, start};
use crate::args;
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::Meter;
use crate::render::{BOLD, count};

/// What a replay came to, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    run: String,
    replay_of: String,
    replayed: usize,
    /// Samples of the record that never ended, so that there is nothing to compare.
    left_out: usize,
    differences: Vec<Difference>,
}

/// Where a sample first differs from its record, in normal form.
#[derive(Serialize)]
struct Difference {
    sample: u64,
    event: u64,
    was: String,
    is: String,
}

pub(crate) fn run(args: &args::Replay, global: &Global) -> Result<ExitCode, Failure> {
    let run = global.runs.find(&args.run)?;
    let scenario = score::recorded(&run)?;
    let native = start::isolation()?;
    let (spec, rows) = (run.spec()?, run.samples()?);
    let wanted = |row: &SampleRow| match args.from {
        Some((sample, _)) => row.number == sample,
        None => row.state == SampleState::Done,
    };
    let n_rows = rows.len();
    let rows: Vec<SampleRow> = rows.into_iter().filter(wanted).collect();
    if let (Some((sample, _)), true) = (args.from, rows.is_empty()) {
        let message = format!("--from {sample}@..: {} has samples 1 to {n_rows}", run.id());
        return Err(Failure::new(Failure::USAGE, message));
    }
    let events: BTreeMap<u64, Vec<Event>> = rows
        .iter()
        .map(|row| Ok::<_, Failure>((row.number, run.events(row.number)?)))
        .collect::<Result<_, _>>()?;
    let config = Config::load()?;
    let connector = connector(args, config, &spec)?;
    let record = Record { run: &run, spec: &spec, rows: &rows, events: &events };
    let runtime = start::runtime()?;
    let then = match args.from {
        Some((_, from)) => {
            let name = args.model.as_ref().or(spec.models.first());
            let then = runtime.block_on(then(args, from, name, &connector))?;
            record.is_asked_alike(&rows[0], &then, &scenario)?;
            Some(then)
        }
        None => None,
    };
    let goes_on = then.is_some();
    let samples = (1..).zip(record.samples(then)?).collect();
    let judge = match spec.settings.get("judge") {
        Some(name) if name.starts_with("test") => {
            Some(runtime.block_on(judge::named(name, &connector))?)
        }
        Some(name) => Some(Judge::Model(Arc::new(record.judge(name)?))),
        None => None,
    };
    let mut settings = spec.settings.clone();
    settings.insert("replay_of".to_owned(), run.id());
    if let Some((sample, from)) = args.from {
        settings.insert("replay_from".to_owned(), format!("{sample}@{from}"));
    }
    settings.extend(connector.recorded());
    let new = RunSpec { settings, started_ms: start::now_ms(), ..spec.clone() };
    let machine = runtime.block_on(Machine::prepare_again(&scenario, &native, &spec))?;
    let eval = Eval {
        provider: Arc::new(native),
        roots: machine.roots,
        admission: Admission::new(most_live(&scenario, None)),
        samples,
        limits: recorded::limits(&spec),
        config: connector.generate().clone(),
        optional: recorded::optional(&spec),
        // What is said from there on was never judged.
        judge: judge.filter(|_| !goes_on),
        max_samples: 16,
        has_room: Box::new(|_, _| true),
        scenario,
    };
    let line = format!("{}{} of {} again", BOLD, count(rows.len(), "sample"), run.id());
    let meter = Meter::new(rows.len(), false, goes_on.then(|| Arc::new(connector)));
    let stop = Stop::default();
    let (again, _) = runtime.block_on(start::make(
        eval,
        start::Begin::New(new),
        &anstream::adapter::strip_str(&line).to_string(),
        &global.runs,
        &stop,
        meter,
    ))?;
    if goes_on {
        eprintln!("  lapwing show {} 1", again.id());
        return Ok(ExitCode::SUCCESS);
    }
    let report = record.compare(&again, n_rows)?;
    print(&report, global)
}

fn connector(args: &args::Replay, config: Config, spec: &RunSpec) -> Result<Connector, Failure> {
    let recorded = recorded::config(spec);
    // What the record set stands unless a flag changes it; lapwing.toml is not asked, it may have changed since.
    let flags = Config::default().generate(&args.sampling);
    let generate = GenerateConfig {
        temperature: flags.temperature.or(recorded.temperature),
        top_p: flags.top_p.or(recorded.top_p),
        max_tokens: flags.max_tokens.or(recorded.max_tokens),
        seed: flags.seed.or(recorded.seed),
        stop: if flags.stop.is_empty() { recorded.stop } else { flags.stop },
        reasoning_effort: flags.reasoning_effort.or(recorded.reasoning_effort),
        logprobs: flags.logprobs || recorded.logprobs,
        reasoning_tokens: flags.reasoning_tokens.or(recorded.reasoning_tokens),
    };
    let wishes = Wishes {
        base_url: args.connection.base_url.clone(),
        organisms: args.connection.organisms.dir.clone(),
        max_connections: config.max_connections(&args.connection),
        generate,
        ..Wishes::default()
    };
    Connector::new(config, wishes)
}

/// Who is asked from the event `from` on.
async fn then(
    args: &args::Replay,
    from: u64,
    name: Option<&String>,
    connector: &Connector,
) -> Result<Then, Failure> {
    let name = name.filter(|name| !name.starts_with("policy/") && *name != "human");
    let Some(name) = name else {
        let message = "--from needs a model that can be asked";
        return Err(Failure::new(Failure::USAGE, message).help("name one: --model PROVIDER/NAME"));
    };
    let read = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Failure::USAGE, format!("--system {}: {error}", path.display()))
        })
    };
    let system = args.system.as_ref().map(read).transpose()?;
    Ok(Then { from, model: connector.target(name).await?, system })
}

/// A run as it was recorded.
struct Record<'a> {
    run: &'a Run,
    spec: &'a RunSpec,
    rows: &'a [SampleRow],
    events: &'a BTreeMap<u64, Vec<Event>>,
}

impl Record<'_> {
    /// The samples, each with the model that says again what it said in it.
    fn samples(&self, then: Option<Then>) -> Result<Vec<Planned>, Failure> {
        let mut then = then;
        let mut models: BTreeMap<&str, Replay> = BTreeMap::new();
        let via_codebook = via_codebook(self.spec);
        for row in self.rows.iter().filter(|row| !row.key.model.starts_with("policy/")) {
            let name = row.key.model.as_str();
            if !models.contains_key(name) {
                let model = Replay::new(name, self.asked(name)?, then.take());
                let is_via_codebook = via_codebook.contains(name);
                models.insert(name, if is_via_codebook { model.via_codebook() } else { model });
            }
            if let Some(model) = models.get_mut(name) {
                self.add(model, row, Role::Target);
            }
        }
        let models: BTreeMap<&str, Arc<dyn Model>> =
            models.into_iter().map(|(name, model)| (name, Arc::new(model) as _)).collect();
        let planned = |row: &SampleRow| Planned {
            key: row.key.clone(),
            target: match models.get(row.key.model.as_str()) {
                Some(model) => Target::Model(Arc::clone(model)),
                None => Target::Policy(row.key.model.trim_start_matches("policy/").to_owned()),
            },
            planted: row.planted.clone(),
        };
        Ok(self.rows.iter().map(planned).collect())
    }

    /// Who goes on must be asked in the words that the sample began with: those of the scenario, or those of its view for tiny models.
    fn is_asked_alike(
        &self,
        row: &SampleRow,
        then: &Then,
        scenario: &Scenario,
    ) -> Result<(), Failure> {
        let (was, is) = (row.key.model.as_str(), then.model.name());
        let was_via_codebook = via_codebook(self.spec).contains(was);
        let target = Target::Model(Arc::clone(&then.model));
        if target.is_via_codebook(scenario) == was_via_codebook {
            return Ok(());
        }
        let (has, has_not) = if was_via_codebook { (was, is) } else { (is, was) };
        let message = format!(
            "{is} cannot go on for {was}: {has} only continues a text and is read through the scenario's codebook, {has_not} is not"
        );
        Err(Failure::new(Failure::USAGE, message).help("name another model with --model"))
    }

    fn judge(&self, name: &str) -> Result<Replay, Failure> {
        let mut judge = Replay::new(name, self.asked(name)?, None);
        self.rows.iter().for_each(|row| self.add(&mut judge, row, Role::Judge));
        Ok(judge)
    }

    fn add(&self, model: &mut Replay, row: &SampleRow, role: Role) {
        let events = self.events.get(&row.number).map_or(&[][..], Vec::as_slice);
        let blob = |digest| self.run.blob(digest).ok().flatten();
        model.add(&Draw::new(&row.key, 0), role, events, blob);
    }

    /// How the model was asked; `None` if it was behind no API, or in a run from before that was recorded.
    fn asked(&self, name: &str) -> Result<Option<Asked>, Failure> {
        let kept = self.spec.settings.get(&format!("endpoint {name}"));
        kept.map(|kept| serde_json::from_str(kept)).transpose().map_err(|error| {
            let message =
                format!("{}: the endpoint of {name} cannot be read: {error}", self.run.id());
            Failure::new(Failure::ENVIRONMENT, message)
        })
    }

    fn compare(&self, again: &Run, n_rows: usize) -> Result<Report, Failure> {
        let mut differences = Vec::new();
        for (number, row) in (1..).zip(self.rows) {
            let (was, is) = (&self.events[&row.number], again.events(number)?);
            let form = |event: Option<&Event>| {
                event.map_or_else(|| "nothing".to_owned(), |event| event.normal_form().to_string())
            };
            let length = was.len().max(is.len());
            let pairs = (0..length).map(|index| (form(was.get(index)), form(is.get(index))));
            let first = pairs.enumerate().find(|(_, (was, is))| was != is);
            if let Some((index, (was, is))) = first {
                differences.push(Difference {
                    sample: row.number,
                    event: index as u64 + 1,
                    was,
                    is,
                });
            }
        }
        Ok(Report {
            run: again.id(),
            replay_of: self.run.id(),
            replayed: self.rows.len(),
            left_out: n_rows - self.rows.len(),
            differences,
        })
    }
}

fn print(report: &Report, global: &Global) -> Result<ExitCode, Failure> {
    /// Characters of an event that are shown.
    const SHOWN: usize = 300;
    let code = if report.differences.is_empty() { 0 } else { Failure::CHECK };
    if global.json {
        print_json(report)?;
        return Ok(ExitCode::from(code));
    }
    let mut out = anstream::stdout().lock();
    let equal = report.replayed - report.differences.len();
    let mut text = format!(
        "{equal} of {} are equal to {} in normal form",
        count(report.replayed, "sample"),
        report.replay_of
    );
    if report.left_out > 0 {
        text = format!("{text}; {} that never ended were left out", report.left_out);
    }
    crate::render::paragraph(&mut out, 2, &text)?;
    for Difference { sample, event, was, is } in &report.differences {
        let cut = |text: &str| text.chars().take(SHOWN).collect::<String>();
        let line = format!("sample {sample} differs from event {event} on");
        crate::render::paragraph(&mut out, 2, &line)?;
        crate::render::paragraph(&mut out, 4, &format!("was: {}", cut(was)))?;
        crate::render::paragraph(&mut out, 4, &format!("is:  {}", cut(is)))?;
    }
    Ok(ExitCode::from(code))
}
