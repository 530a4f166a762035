//! What a scenario is made of, after its folder was read and found sound.

use std::collections::BTreeMap;

use lapwing_core::{Condition, Label, Limits, Network, Observe, Stage};

use crate::evidence::{JudgeOver, Query, QueryKind};
use crate::expr::Expr;
use crate::measure::Measures;
use crate::template::Template;
use crate::world::PartDefinition;
use crate::{CarryPlan, Demand, Diagnostic, Gold, Rubric, RunPlace};

/// One thing that the design varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Its name, also in templates.
    pub name: String,
    /// Its levels; the first is the base.
    pub levels: Vec<String>,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Its name.
    pub name: String,
    /// Its stages with the source text of their rules, in the order attempt, success, effect.
    pub stages: Vec<(Stage, String)>,
    /// Where a stage cannot happen by construction.
    pub impossible: Vec<Impossible>,
    /// What readers should know about the definition.
    pub note: Option<String>,
}

/// A stage that cannot happen under some levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The levels; factors that are not named have any level.
    pub condition: BTreeMap<String, String>,
    /// The stage; later ones are impossible with it.
    pub stage: Stage,
    /// The reason, in words.
    pub why: String,
}

/// A published figure, shown as context beside a measured one.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The behaviour.
    pub behaviour: String,
    /// Its stage.
    pub stage: Stage,
    /// The level of every factor; those that the file does not name have their base level.
    pub condition: BTreeMap<String, String>,
    /// The model as the source calls it.
    pub model: String,
    /// The figure.
    pub figure: Figure,
    /// Where it was published.
    pub source: String,
    /// How it was checked: `P` in the publication itself, `S` in secondary sources.
    pub status: String,
    /// `original` if the publication's own wording was used here, `different` otherwise.
    pub wording: String,
}

/// A rate as its source prints it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// `k` of `n` samples.
    Count {
        /// How often it happened.
        k: u64,
        /// How many samples there were.
        n: u64,
    },
    /// Per cent of samples, where their number is not printed.
    Percent(f64),
}

impl Figure {
    /// The rate, from 0 to 1.
    pub fn rate(self) -> f64 {
        match self {
            Self::Count { k, n } => k as f64 / n as f64,
            Self::Percent(percent) => percent / 100.0,
        }
    }
}

/// Evidence that a judge gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgeQuery {
    /// The name of the evidence.
    pub name: String,
    /// What the judge is asked.
    pub rubric: Rubric,
    /// The part of each turn that it reads.
    pub over: JudgeOver,
    /// The label that makes a turn an item.
    pub label: Label,
}

impl JudgeQuery {
    /// The queries that ask a judge, in the order in which they are answered.
    pub(crate) fn of(queries: &[Query], rubrics: &BTreeMap<String, Rubric>) -> Vec<Self> {
        let judges = queries.iter().filter_map(|query| {
            let QueryKind::Judge { over, rubric, label } = &query.kind else { return None };
            let rubric = rubrics.get(rubric)?.clone();
            Some(Self { name: query.name.clone(), rubric, over: *over, label: *label })
        });
        judges.collect()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) title: String,
    pub(crate) description: String,
    /// Where its samples were recorded, if elsewhere: then nothing of it is ever run.
    pub(crate) imported: Option<String>,
    pub(crate) factors: Vec<Factor>,
    pub(crate) design: Design,
    pub(crate) vary: Vec<Vary>,
    /// Texts that templates can name like values.
    pub(crate) texts: Vec<(String, Template)>,
    pub(crate) lists: BTreeMap<String, Vec<String>>,
    pub(crate) sandboxes: Vec<SandboxDefinition>,
    pub(crate) services: Vec<ServiceDefinition>,
    pub(crate) programs: Vec<ProgramDefinition>,
    /// The files of `programs/`.
    pub(crate) backstage: Vec<FileDefinition>,
    pub(crate) world: Vec<PartDefinition>,
    pub(crate) phases: Vec<PhaseDefinition>,
    pub(crate) injections: Vec<InjectionDefinition>,
    pub(crate) organism: Option<OrganismView>,
    pub(crate) exposed: Expr,
    /// Each behind those that it names.
    pub(crate) queries: Vec<Query>,
    pub(crate) behaviours: Vec<Behaviour>,
    /// Of each behaviour the rules of its stages.
    pub(crate) rules: Vec<Vec<Expr>>,
    pub(crate) published: Vec<Published>,
    /// Names of the evidence that a judge finds.
    pub(crate) judged: Vec<String>,
    pub(crate) measures: Measures,
    pub(crate) judges: Vec<JudgeQuery>,
    pub(crate) gold: Vec<Gold>,
    /// What is declared and not used.
    pub(crate) notes: Vec<Diagnostic>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Design {
    pub(crate) kind: DesignKind,
    /// The conditions of a [`DesignKind::List`].
    pub(crate) list: Vec<BTreeMap<String, String>>,
    pub(crate) also: Vec<BTreeMap<String, String>>,
    pub(crate) exclude: Vec<BTreeMap<String, String>>,
    /// In the order of the file, with the level of every factor.
    pub(crate) controls: Vec<Condition>,
}

/// Which conditions are run unless others are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DesignKind {
    /// The base and each other level alone.
    #[default]
    Star,
    /// All combinations.
    Full,
    /// Those of [`Design::list`].
    List,
    /// A two-level fraction of this many conditions.
    Screen(usize),
}

/// A value that is drawn anew for every seed.
#[derive(Clone, Debug)]
pub(crate) struct Vary {
    pub(crate) name: String,
    pub(crate) list: String,
    /// How many distinct entries; `None` for one entry that is not in a list.
    pub(crate) n: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct SandboxDefinition {
    pub(crate) name: String,
    pub(crate) hostname: Template,
    pub(crate) files: Vec<FileDefinition>,
    pub(crate) setup: Option<Template>,
    pub(crate) carry: Vec<CarryPlan>,
    pub(crate) read_only: Vec<Template>,
    pub(crate) limits: Limits,
    /// The sandbox on whose network it is.
    pub(crate) beside: Option<String>,
    pub(crate) names: Vec<Template>,
    pub(crate) network: Network,
    pub(crate) observe: Observe,
    pub(crate) demand: Demand,
}

/// A file of a folder that is copied.
#[derive(Clone, Debug)]
pub(crate) struct FileDefinition {
    /// Relative to that folder, without the suffix of a template.
    pub(crate) path: String,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    Template(Template),
}

#[derive(Clone, Debug)]
pub(crate) struct ServiceDefinition {
    pub(crate) name: String,
    pub(crate) sandbox: String,
    pub(crate) argv: Vec<Template>,
}

#[derive(Clone, Debug)]
pub(crate) struct ProgramDefinition {
    pub(crate) name: String,
    pub(crate) sandbox: String,
    /// Relative to `programs/`.
    pub(crate) run: String,
}

#[derive(Clone, Debug)]
pub(crate) struct PhaseDefinition {
    pub(crate) id: String,
    pub(crate) optional: bool,
    /// It is left out unless this is known to be true.
    pub(crate) when: Option<Expr>,
    pub(crate) kind: PhaseDefinitionKind,
}

#[derive(Clone, Debug)]
pub(crate) enum PhaseDefinitionKind {
    Agent(Box<AgentDefinition>),
    Ask(Box<AskDefinition>),
    Run {
        /// Relative to `programs/`.
        program: String,
        place: RunPlace,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct AgentDefinition {
    pub(crate) sandbox: String,
    pub(crate) system: Option<Template>,
    pub(crate) user: Template,
    pub(crate) tools: Vec<String>,
    pub(crate) nudge: Option<Template>,
    pub(crate) turns: u32,
    pub(crate) end: Option<Expr>,
}

#[derive(Clone, Debug)]
pub(crate) struct AskDefinition {
    pub(crate) questions: Vec<Template>,
    pub(crate) fresh: bool,
    pub(crate) times: u32,
    pub(crate) until: Option<Expr>,
}

/// Something that is delivered in mid-run.
#[derive(Clone, Debug)]
pub(crate) struct InjectionDefinition {
    pub(crate) name: String,
    pub(crate) when: Expr,
    pub(crate) deliver: DeliveryDefinition,
    pub(crate) text: Template,
}

#[derive(Clone, Debug)]
pub(crate) enum DeliveryDefinition {
    User,
    Mail,
    File { sandbox: String, path: Template },
}

/// The scenario in the words of a tiny model.
#[derive(Clone, Debug)]
pub(crate) struct OrganismView {
    /// What it is asked; renders to nothing where a condition has no mapping.
    pub(crate) prompt: Template,
    pub(crate) codebook: Vec<CodebookEntry>,
}

/// What some words of its answer mean.
#[derive(Clone, Debug)]
pub(crate) struct CodebookEntry {
    /// The words; an entry that renders to none does not stand in the codebook.
    pub(crate) words: Template,
    pub(crate) meaning: Meaning,
}

#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    Said(Template),
    Called {
        tool: &'static str,
        /// The name of the tool's only argument.
        argument: &'static str,
        text: Template,
    },
}
