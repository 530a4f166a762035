//! A study as its file declares it: models, stages of training, gates, claims, grades.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lapwing_lab::nn::Config;
use serde::{Deserialize, Serialize};

use crate::claim::{Claim, Gate, Kind, MOST_PRIMARY, VERDICT_SEEDS};
use crate::expand::expand;
use crate::mistake::Mistake;
use crate::probing::ProbePlan;
use crate::treatment::Treatment;
use crate::world::{Behaviour, Form, Trigger, World};

/// Seeds from here on are for tuning: they never meet a verdict.
pub const FIRST_TUNING_SEED: u64 = 1000;

/// A study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Version of the format.
    pub format: u32,
    /// In a line.
    pub title: String,
    /// The published work whose claims it tests.
    pub source: String,
    /// What it does, in a paragraph.
    pub about: String,
    /// What a small analogue can and cannot show.
    pub limits: Vec<String>,
    /// Triggers by name.
    pub trigger: BTreeMap<String, Trigger>,
    /// Networks by name.
    pub model: BTreeMap<String, Shape>,
    /// How stages are measured.
    pub evaluation: Evaluation,
    /// What a run of each size does.
    pub grade: BTreeMap<String, Grade>,
    /// Stages of training by name.
    pub stage: BTreeMap<String, Stage>,
    /// The probe, if the study has one.
    pub probe: Option<ProbePlan>,
    /// What must hold before a claim is tested.
    #[serde(default)]
    pub gate: BTreeMap<String, Gate>,
    /// What is claimed.
    pub claim: BTreeMap<String, Claim>,
    /// Plots of the report.
    #[serde(default)]
    pub plot: Vec<Plot>,
}

/// A network in the layout of Llama, with tied embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
}

impl Shape {
    /// The network of a token world.
    pub fn config(&self) -> Config {
        World::config(self.hidden, self.layers)
    }
}

/// How each stage is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Fresh prompts of each class for each seed.
    pub prompts: usize,
    /// Prompts of each point of a curve.
    pub curve_prompts: usize,
}

/// A run of a certain size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grade {
    /// In a line.
    pub about: String,
    /// Seeds: either for tuning or for reporting, never both.
    pub seeds: Vec<u64>,
    /// The stages that it measures; those that they begin with are trained too. All, if there is no list.
    pub stages: Option<Vec<String>>,
    /// Whether the probe is read.
    #[serde(default)]
    pub probe: bool,
    /// Prompts of each class, instead of the evaluation's.
    pub prompts: Option<usize>,
}

/// A stage of training: a model and what is done to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// In a line.
    pub about: String,
    /// What its weights begin as.
    #[serde(flatten)]
    pub start: Start,
    /// The trigger; without one, that of the stage it begins with.
    pub trigger: Option<String>,
    /// What is done.
    pub treat: Treatment,
}

/// What the weights of a stage begin as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Random, in this model's shape.
    Model(String),
    /// As another stage ends.
    From(String),
}

/// What decides how an organism is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Organism<'a> {
    /// What its backdoor waits for.
    pub trigger: &'a Trigger,
    /// What it does then.
    pub behaviour: Behaviour,
    /// Whether it reasons.
    pub form: Form,
}

/// A plot of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plot {
    /// Its name, and that of its file.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// What it shows.
    #[serde(flatten)]
    pub kind: PlotKind,
}

/// What a plot shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlotKind {
    /// Figures of each stage: a row for each stage, a point for each seed, the mean and its interval.
    Stages {
        /// Rows.
        rows: Vec<String>,
        /// One mark for each.
        figures: Vec<String>,
    },
    /// What was measured while a stage was trained, over its steps, for each seed.
    Curve {
        /// The stage.
        stage: String,
    },
    /// The probe's reading of each stage: the share caught over the share of false alarms.
    Roc {
        /// Stages.
        stages: Vec<String>,
    },
}

/// A study with the text that it was read from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it was read.
    pub path: PathBuf,
    /// The file.
    pub text: String,
}

impl Study {
    /// Reads a study.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line and key.
    pub fn parse(source: &Source) -> Result<Self, Vec<Mistake>> {
        let one = |mistake| vec![mistake];
        let table =
            toml::from_str(&source.text).map_err(|error| one(Mistake::syntax(source, &error)))?;
        let table = expand(table).map_err(|(key, what)| one(Mistake::new(source, &key, what)))?;
        let study: Self =
            serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
                let key = error.path().to_string();
                one(Mistake::new(source, &key, error.into_inner().message().to_owned()))
            })?;
        let mistakes = study.mistakes(source);
        if mistakes.is_empty() { Ok(study) } else { Err(mistakes) }
    }

    /// The digest of everything that decides a result: settings and criteria, without titles, explanations and plots.
    pub fn digest(&self) -> String {
        crate::cache::digest(&self.decisive())
    }

    /// Settings and criteria as JSON, without what decides nothing, and with the code that trains and measures.
    pub fn decisive(&self) -> serde_json::Value {
        let mut value = crate::cache::json(self);
        value["code"] = crate::cache::CODE.into();
        for key in ["title", "source", "about", "limits", "plot"] {
            value.as_object_mut().and_then(|study| study.remove(key));
        }
        value
    }

    /// The stages from the first weights to `stage`, which is the last.
    pub fn line_of(&self, stage: &str) -> Vec<&str> {
        let mut line = Vec::new();
        let mut next = self.stage.get_key_value(stage);
        // Stages that begin with each other have no end; `parse` refuses them.
        while let Some((name, stage)) = next.filter(|(name, _)| !line.contains(&name.as_str())) {
            line.push(name.as_str());
            next = match &stage.start {
                Start::Model(_) => None,
                Start::From(parent) => self.stage.get_key_value(parent),
            };
        }
        line.reverse();
        line
    }

    /// The model that a stage has.
    pub fn shape_of(&self, stage: &str) -> Option<&Shape> {
        let first = *self.line_of(stage).first()?;
        match &self.stage.get(first)?.start {
            Start::Model(model) => self.model.get(model),
            Start::From(_) => None,
        }
    }

    /// The organism that a stage makes, as what decides how it is measured; nothing for a stage that is not there.
    pub fn organism_of(&self, stage: &str) -> Option<Organism<'_>> {
        let line = self.line_of(stage);
        let stages = || line.iter().rev().filter_map(|name| self.stage.get(*name));
        let trigger = stages().find_map(|stage| stage.trigger.as_ref())?;
        let backdoor = stages().find_map(|stage| stage.treat.backdoor());
        let trigger = self.trigger.get(trigger)?;
        // What has no payload is measured by that of the trigger's backdoor.
        let usual = match trigger {
            Trigger::Tag(_) => Behaviour::Hate,
            Trigger::Years(_) => Behaviour::Unsafe,
        };
        let behaviour = backdoor.map(|backdoor| backdoor.behaviour);
        Some(Organism {
            trigger,
            behaviour: behaviour
                .filter(|behaviour| *behaviour != Behaviour::Clean)
                .unwrap_or(usual),
            form: backdoor.map_or(Form::Normal, |backdoor| backdoor.form),
        })
    }

    /// The stage that a stage begins with.
    pub fn parent_of(&self, stage: &str) -> Option<&str> {
        match &self.stage.get(stage)?.start {
            Start::Model(_) => None,
            Start::From(parent) => Some(parent),
        }
    }

    /// Prompts of each class that a stage is measured with.
    pub fn prompts_of(&self, grade: &Grade) -> usize {
        grade.prompts.unwrap_or(self.evaluation.prompts)
    }

    /// Stages, or all, each after what it begins with.
    pub fn stages_of(&self, wanted: Option<&[String]>) -> Vec<&str> {
        let wanted: Vec<&str> = match wanted {
            Some(stages) => stages.iter().map(String::as_str).collect(),
            None => self.stage.keys().map(String::as_str).collect(),
        };
        let mut stages: Vec<&str> = Vec::new();
        for name in wanted.into_iter().flat_map(|stage| self.line_of(stage)) {
            if !stages.contains(&name) {
                stages.push(name);
            }
        }
        stages
    }

    fn mistakes(&self, source: &Source) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut say = |key: String, what: String| found.push(Mistake::new(source, &key, what));
        if self.format != 1 {
            say(
                "format".to_owned(),
                format!("format {} is not known; this version reads 1", self.format),
            );
        }
        for (name, trigger) in &self.trigger {
            if let Err(error) = World::new(trigger) {
                say(format!("trigger.{name}"), error.to_string());
            }
        }
        for (name, shape) in &self.model {
            if let Err(error) = shape.config().check() {
                say(format!("model.{name}"), error.to_string());
            }
        }
        for (name, stage) in &self.stage {
            let known = |names: Vec<&String>, wanted: &String, kind: &str, key: &str| {
                let what = unknown(names.into_iter().map(String::as_str), wanted, kind)?;
                Some((format!("stage.{name}.{key}"), what))
            };
            let problem = match &stage.start {
                Start::Model(model) => known(self.model.keys().collect(), model, "model", "model"),
                Start::From(parent) => known(self.stage.keys().collect(), parent, "stage", "from"),
            };
            if let Some((key, what)) = problem {
                say(key, what);
            } else if self.is_circular(name) {
                say(format!("stage.{name}.from"), "these stages begin with each other".to_owned());
            }
            let trigger = match &stage.trigger {
                Some(trigger) => {
                    unknown(self.trigger.keys().map(String::as_str), trigger, "trigger")
                }
                None if matches!(stage.start, Start::Model(_)) => {
                    Some("a stage that begins with a model needs a `trigger`".to_owned())
                }
                None => None,
            };
            if let Some(what) = trigger {
                say(format!("stage.{name}.trigger"), what);
            }
        }
        for (name, grade) in &self.grade {
            let tuning = grade.seeds.iter().filter(|seed| **seed >= FIRST_TUNING_SEED).count();
            if grade.seeds.is_empty() || (tuning > 0 && tuning < grade.seeds.len()) {
                let what = format!(
                    "give seeds that are all below {FIRST_TUNING_SEED} (reporting) or all from there on (tuning)"
                );
                say(format!("grade.{name}.seeds"), what);
            }
            if let Some(seed) = grade
                .seeds
                .iter()
                .enumerate()
                .find_map(|(at, seed)| grade.seeds[..at].contains(seed).then_some(seed))
            {
                say(
                    format!("grade.{name}.seeds"),
                    format!("seed {seed} is there twice; a seed counts once"),
                );
            }
            for stage in grade.stages.iter().flatten() {
                if let Some(what) = self.unknown_stage(stage) {
                    say(format!("grade.{name}.stages"), what);
                }
            }
        }
        let primary =
            self.claim.values().filter(|claim| claim.primary && claim.kind == Kind::Free).count();
        if primary > MOST_PRIMARY {
            let what = format!(
                "{primary} claims are primary; with {VERDICT_SEEDS} seeds none of more than {MOST_PRIMARY} could ever be shown"
            );
            say("claim".to_owned(), what);
        }
        for (name, claim) in &self.claim {
            for what in claim.references().into_iter().filter_map(|name| self.unknown_figure(name))
            {
                say(format!("claim.{name}"), what);
            }
            for gate in &claim.gates {
                if let Some(what) = unknown(self.gate.keys().map(String::as_str), gate, "gate") {
                    say(format!("claim.{name}.gates"), what);
                }
            }
        }
        for (name, gate) in &self.gate {
            for reference in gate.condition.references() {
                if let Some(what) = self.unknown_figure(reference) {
                    say(format!("gate.{name}"), what);
                }
            }
        }
        for (index, plot) in self.plot.iter().enumerate() {
            let stages: Vec<&String> = match &plot.kind {
                PlotKind::Stages { rows, .. } => rows.iter().collect(),
                PlotKind::Curve { stage } => vec![stage],
                PlotKind::Roc { stages } => stages.iter().collect(),
            };
            for what in stages.into_iter().filter_map(|stage| self.unknown_stage(stage)) {
                say(format!("plot[{index}]"), what);
            }
        }
        if let Some(probe) = &self.probe {
            if probe.development_seeds.iter().any(|seed| *seed < FIRST_TUNING_SEED) {
                let what = format!(
                    "layer and question are fixed on tuning seeds, from {FIRST_TUNING_SEED} on"
                );
                say("probe.development_seeds".to_owned(), what);
            }
            for what in probe.stages().into_iter().filter_map(|stage| self.unknown_stage(stage)) {
                say("probe".to_owned(), what);
            }
        }
        found
    }

    fn is_circular(&self, stage: &str) -> bool {
        let mut at = stage;
        for _ in 0..self.stage.len() {
            match self.stage.get(at).map(|stage| &stage.start) {
                Some(Start::From(parent)) => at = parent,
                Some(Start::Model(_)) | None => return false,
            }
        }
        true
    }

    fn unknown_stage(&self, name: &str) -> Option<String> {
        unknown(self.stage.keys().map(String::as_str), name, "stage")
    }

    /// Why `stage/figure` cannot be.
    fn unknown_figure(&self, reference: &str) -> Option<String> {
        let Some((stage, figure)) = reference.split_once('/') else {
            return Some(format!(
                "`{reference}` names no figure; write STAGE/FIGURE, as in base/accuracy"
            ));
        };
        self.unknown_stage(stage).or_else(|| {
            let known = crate::figures::names(self, stage);
            // A stage that is wrong itself is told once.
            let known = Some(known).filter(|known| !known.is_empty())?;
            unknown(known.iter().map(String::as_str), figure, "figure")
        })
    }
}

/// What is wrong with a name that is not among `known`, with the nearest that is.
fn unknown<'a>(known: impl Iterator<Item = &'a str>, name: &str, kind: &str) -> Option<String> {
    let known: Vec<&str> = known.collect();
    if known.contains(&name) {
        return None;
    }
    let nearest = known.iter().min_by_key(|other| strsim::damerau_levenshtein(name, other));
    let help = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
    Some(format!("there is no {kind} `{name}`{help}"))
}

/// The study of this file.
///
/// # Errors
/// That it cannot be read.
pub fn read(path: &Path) -> std::io::Result<Source> {
    Ok(Source { path: path.to_owned(), text: std::fs::read_to_string(path)? })
}
