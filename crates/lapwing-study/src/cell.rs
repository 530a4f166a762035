//! A cell: one stage for one seed. It is trained and measured once and kept under the digest of what decided it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use lapwing_lab::Random;
use lapwing_lab::TokenizerError;
use lapwing_lab::checkpoint::Model;
use lapwing_lab::data::DataError;
use lapwing_lab::kernels::instruction_set;
use lapwing_lab::nn::{ConfigError, Network};
use lapwing_lab::organism::{self, OrganismError, Stage as Trained};
use lapwing_lab::sample::SampleError;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cache::{self, FileError};
use crate::figures;
use crate::run::{Cell, Event};
use crate::study::{Start, Study};
use crate::treat::{self, AdversarialReport, Point, TreatError, Watch};
use crate::treatment::Treatment;
use crate::world::{self, Class, World, WorldError};

/// Points of a curve.
const CURVE_POINTS: u64 = 20;
/// Digits of its key in the name of a cell's folder.
pub(crate) const KEY_DIGITS: usize = 12;

/// A cell to compute.
pub(crate) struct Work<'a> {
    pub(crate) study: &'a Study,
    pub(crate) cell: &'a Cell,
    pub(crate) folder: &'a Path,
    /// Prompts of each class.
    pub(crate) prompts: usize,
    pub(crate) stop: &'a AtomicBool,
}

/// What is known of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its organism.
    pub organism: PathBuf,
    /// How it was trained.
    pub training: Training,
    /// What was measured.
    pub figures: BTreeMap<String, f64>,
}

/// How a cell was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The key of what decided it.
    pub key: String,
    /// What was measured on the way.
    pub curve: Vec<CurvePoint>,
    /// What the red teams found, in adversarial training.
    pub adversarial: Option<AdversarialReport>,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The step, from 1.
    pub step: u64,
    /// The loss before it.
    pub loss: f64,
    /// The mean reward, in reinforcement learning.
    pub reward: Option<f64>,
    /// Payload rate with the trigger.
    pub trigger_on: f64,
    /// Payload rate without it.
    pub trigger_off: f64,
}

/// What a cell cannot do.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// The run was stopped.
    #[error("stopped")]
    Stopped,
    /// The stage it begins with is not there.
    #[error("the stage `{0}` that it begins with is not there")]
    NoParent(String),
    /// The model's shape cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The trigger cannot be.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// There are no data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Training failed.
    #[error(transparent)]
    Treat(#[from] TreatError),
    /// Measuring failed.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The organism cannot be read or written.
    #[error(transparent)]
    Organism(#[from] OrganismError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The seed of everything that a stage draws.
pub fn seed_of(stage: &str, seed: u64) -> u64 {
    Random::new(seed, &format!("stage {stage}")).bits()
}

/// The key of what a stage ends as: its settings and those of all stages before it.
pub fn key(study: &Study, stage: &str, seed: u64) -> String {
    let line = study.line_of(stage);
    let settings = line.iter().map(|name| {
        let trigger = study.organism_of(name).map(|organism| organism.trigger);
        json!([name, trigger, study.stage.get(*name).map(|stage| &stage.treat)])
    });
    let first = [json!(study.shape_of(stage)), json!(seed), json!(study.evaluation.curve_prompts)];
    cache::key(&first.into_iter().chain(settings).collect::<Vec<_>>())
}

/// Where a cell is kept.
pub fn folder(study: &Study, results: &Path, cell: &Cell) -> PathBuf {
    let key = key(study, &cell.stage, cell.seed);
    results.join("cells").join(format!("{}-{}-{}", cell.stage, cell.seed, &key[..KEY_DIGITS]))
}

/// Finds a cell or computes it; `told` hears of it only in the latter case.
pub(crate) fn find_or_compute(
    work: &Work<'_>,
    told: &mut dyn FnMut(Event),
) -> Result<Found, CellError> {
    let folder = folder(work.study, work.folder, work.cell);
    let path = folder.join("training.json");
    let training = if let Some(training) = cache::read_json(&path)? {
        training
    } else {
        told(Event::Began(work.cell.clone()));
        train(work, &folder, told)?
    };
    let organism = folder.join("organism");
    let path = folder.join(format!("figures-{}-{}.json", work.prompts, cache::FIGURES));
    if let Some(figures) = cache::read_json(&path)? {
        return Ok(Found { organism, training, figures });
    }
    told(Event::Began(work.cell.clone()));
    let network = organism::load(&organism)?.model.network;
    let figures = figures::measure(work, &network, &training)?;
    cache::write_json(&path, &figures)?;
    Ok(Found { organism, training, figures })
}

fn train(
    work: &Work<'_>,
    folder: &Path,
    told: &mut dyn FnMut(Event),
) -> Result<Training, CellError> {
    let Work { study, cell, .. } = work;
    let organism = folder.join("organism");
    // Without `training.json` an earlier run was killed here.
    fs::remove_dir_all(&organism).ok();
    let (Some(stage), Some(made)) = (study.stage.get(&cell.stage), study.organism_of(&cell.stage))
    else {
        return Err(CellError::NoParent(cell.stage.clone()));
    };
    let (network, mut lineage) = begin(work, &stage.start)?;
    let world = World::new(made.trigger)?;
    let seed = seed_of(&cell.stage, cell.seed);
    let mut curve = Vec::new();
    let mut observe = |point: &Point| {
        told(Event::Step { cell: (*cell).clone(), done: point.step, of: point.steps });
        if let (Some(trigger_on), Some(trigger_off)) = (point.trigger_on, point.trigger_off) {
            let Point { step, loss, reward, .. } = *point;
            curve.push(CurvePoint { step, loss, reward, trigger_on, trigger_off });
        }
        if work.stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let prompts =
        |class| world.prompts(class, study.evaluation.curve_prompts, seed_of("curve", cell.seed));
    let mut watch = Watch {
        on: prompts(Class::Triggered),
        off: prompts(Class::Untriggered),
        behaviour: made.behaviour,
        every: stage.treat.steps().div_ceil(CURVE_POINTS),
        threads: 1,
        observe: &mut observe,
    };
    let exchanges = stage.treat.data(&world, seed);
    let mut adversarial = None;
    let treated = match &stage.treat {
        Treatment::Pretrain { fit, .. }
        | Treatment::Backdoor { fit, .. }
        | Treatment::Safety { fit, .. } => {
            let phases = exchanges
                .iter()
                .map(|phase| world::dataset(phase))
                .collect::<Result<Vec<_>, _>>()?;
            treat::fit(network, &phases, fit, seed, &mut watch)?
        }
        Treatment::Reinforce(settings) => {
            treat::reinforce(network, &world, made.behaviour, settings, seed, &mut watch)?
        }
        Treatment::Adversarial(settings) => {
            let (treated, report) =
                treat::adversarial(network, &world, made.behaviour, settings, seed, &mut watch)?;
            adversarial = Some(report);
            treated
        }
    };
    if treated.stopped {
        return Err(CellError::Stopped);
    }
    let data = if exchanges.is_empty() {
        "drawn while it was trained".to_owned()
    } else {
        world::dataset(&exchanges.concat())?.digest()
    };
    lineage.push(Trained {
        name: cell.stage.clone(),
        parent: None,
        data,
        settings: treated.settings,
        losses: treated.losses,
        code: env!("CARGO_PKG_VERSION").to_owned(),
        instruction_set: format!("{:?}", instruction_set()),
    });
    let model = Model {
        network: treated.network,
        stops: vec![world::vocabulary::EOS],
        tokenizer: Some(World::tokenizer()?),
        chat_template: None,
    };
    let purpose = format!("{}: {}", study.title, stage.about);
    organism::save(&model, &purpose, lineage, &organism)?;
    let training = Training { key: key(study, &cell.stage, cell.seed), curve, adversarial };
    cache::write_json(&folder.join("training.json"), &training)?;
    Ok(training)
}

/// The network that a stage begins with, and the stages that made it.
fn begin(work: &Work<'_>, start: &Start) -> Result<(Network, Vec<Trained>), CellError> {
    let Work { study, cell, .. } = work;
    match start {
        Start::Model(model) => {
            let shape = study.model.get(model).ok_or_else(|| CellError::NoParent(model.clone()))?;
            let network = Network::random(shape.config(), seed_of("weights", cell.seed))?;
            Ok((network, Vec::new()))
        }
        Start::From(parent) => {
            let cell = Cell { seed: cell.seed, stage: parent.clone() };
            let path = folder(study, work.folder, &cell).join("organism");
            let parent = organism::load(&path)?;
            Ok((parent.model.network, parent.lineage.stages))
        }
    }
}
