//! Checkpoints of a training run: a model folder with the state of the optimiser beside it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Settings, TrainError, Trainer};
use crate::checkpoint::{
    CheckpointError, Model, Precision, SaveOptions, load_adapters, read_tensors, write_adapters,
    write_folder, write_network, write_tensors,
};
use crate::data::Dataset;

const STATE: &str = "training.json";
const MEANS: &str = "optimiser.safetensors";

/// Where checkpoints of a run go.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The folder that they lie in, each as `step-00000100`.
    pub folder: PathBuf,
    /// Steps from one to the next; at least 1.
    pub every: u64,
    /// The newest that are kept.
    pub keep: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    format: u32,
    data: String,
    settings: Settings,
    steps_done: u64,
    losses: Vec<f64>,
}

impl Trainer {
    /// Writes a checkpoint, whole or not at all, and removes those beyond `keep`.
    pub(super) fn save(&mut self, checkpoints: &Checkpoints, data: &str) -> Result<(), TrainError> {
        let folder = checkpoints.folder.join(format!("step-{:08}", self.steps_done));
        if folder.exists() {
            // An interrupted run went this far before; the bits are the same.
            fs::remove_dir_all(&folder).map_err(CheckpointError::io("remove", &folder))?;
        }
        write_folder(&folder, |folder| self.write(folder, data))?;
        self.last_good = Some(folder);
        let mut steps = steps(&checkpoints.folder)?;
        steps.truncate(steps.len().saturating_sub(checkpoints.keep.max(1)));
        for old in steps {
            fs::remove_dir_all(&old).map_err(CheckpointError::io("remove", &old))?;
        }
        Ok(())
    }

    fn write(&self, folder: &Path, data: &str) -> Result<(), CheckpointError> {
        write_network(folder, &self.network, &self.network.weights, &[], SaveOptions::default())?;
        if self.network.lora.is_some() {
            write_adapters(&self.network, ".", folder)?;
        }
        let shape = [self.means[0].len()];
        let means = ["m", "v"].into_iter().zip(&self.means);
        let means = means.map(|(name, values)| (name.to_owned(), &shape[..], values.as_slice()));
        write_tensors(&folder.join(MEANS), Precision::F32, means)?;
        let state = State {
            format: 1,
            data: data.to_owned(),
            settings: self.settings.clone(),
            steps_done: self.steps_done,
            losses: self.losses.clone(),
        };
        let path = folder.join(STATE);
        let text = serde_json::to_string_pretty(&state).map_err(CheckpointError::json(&path))?;
        fs::write(&path, text).map_err(CheckpointError::io("write", path))
    }

    /// Goes on from the newest checkpoint of a folder, or begins if there is none: what follows is what an uninterrupted run would
    /// have done, to the bit. Settings come from the checkpoint.
    pub fn resume(folder: &Path, data: &Dataset) -> Result<Option<Self>, TrainError> {
        let Some(folder) = steps(folder)?.pop() else { return Ok(None) };
        let path = folder.join(STATE);
        let text = fs::read_to_string(&path).map_err(CheckpointError::io("read", &path))?;
        let state: State = serde_json::from_str(&text).map_err(CheckpointError::json(&path))?;
        let found = data.digest();
        if state.data != found {
            return Err(TrainError::OtherData { expected: state.data, found });
        }
        let mut network = Model::load(&folder)?.network;
        if folder.join("adapter_config.json").exists() {
            load_adapters(&mut network, &folder)?;
        }
        let mut trainer = Self::new(network, state.settings)?;
        read_means(&folder.join(MEANS), &mut trainer.means)?;
        trainer.steps_done = state.steps_done;
        trainer.losses = state.losses;
        trainer.last_good = Some(folder);
        Ok(Some(trainer))
    }
}

fn read_means(path: &Path, means: &mut [Vec<f32>; 2]) -> Result<(), CheckpointError> {
    let len = means[0].len();
    let [m, v] = means;
    let mut waiting = [("m", Some(m)), ("v", Some(v))];
    read_tensors(path, |name, found| {
        let slot = waiting.iter_mut().find(|(known, _)| *known == name);
        let Some(values) = slot.and_then(|(_, values)| values.take()) else {
            return Err(CheckpointError::UnknownTensor {
                path: path.to_owned(),
                name: name.to_owned(),
            });
        };
        if found != [len] {
            return Err(CheckpointError::Shape {
                path: path.to_owned(),
                name: name.to_owned(),
                expected: vec![len],
                found: found.to_vec(),
            });
        }
        Ok(Some(values.as_mut_slice()))
    })?;
    match waiting.iter().find(|(_, values)| values.is_some()) {
        Some((name, _)) => {
            Err(CheckpointError::MissingTensor { path: path.to_owned(), name: (*name).to_owned() })
        }
        None => Ok(()),
    }
}

/// The checkpoints of a folder, the oldest first.
fn steps(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let io = || CheckpointError::io("list", folder);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    for entry in fs::read_dir(folder).map_err(io())? {
        let entry = entry.map_err(io())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(digits) = name.strip_prefix("step-")
            && digits.len() == 8
            && digits.bytes().all(|byte| byte.is_ascii_digit())
        {
            steps.push(entry.path());
        }
    }
    steps.sort();
    Ok(steps)
}
