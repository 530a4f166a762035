//! Adapters in the layout of PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::tensors::{Precision, read_tensors, write_tensors};
use super::{CheckpointError, write_folder};
use crate::nn::{Adapter, Lora, Network, Projection};
use crate::parallel::cut;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

#[derive(Deserialize)]
struct Raw {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    target_modules: Vec<String>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
}

/// Saves the adapters of a network as a folder that PEFT loads. `base` names the model that they belong to.
pub fn save_adapters(network: &Network, base: &str, folder: &Path) -> Result<(), CheckpointError> {
    write_folder(folder, |folder| write_adapters(network, base, folder))
}

/// Writes the two files into a folder that is there.
pub(crate) fn write_adapters(
    network: &Network,
    base: &str,
    folder: &Path,
) -> Result<(), CheckpointError> {
    let lora = network.lora.as_ref().ok_or(CheckpointError::NoAdapters)?;
    let mut targets: Vec<&str> = lora.adapters.iter().map(|one| one.projection.name()).collect();
    targets.sort_unstable();
    targets.dedup();
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "target_modules": targets,
    });
    let path = folder.join(CONFIG);
    fs::write(&path, format!("{config:#}\n")).map_err(CheckpointError::io("write", path))?;
    let shapes: Vec<_> = lora.adapters.iter().map(|one| shapes(one, lora.rank)).collect();
    let out = lora.adapters.iter().zip(&shapes).flat_map(|(one, [a, b])| {
        [
            (name(one, "A"), &a[..], one.a.of(&lora.weights)),
            (name(one, "B"), &b[..], one.b.of(&lora.weights)),
        ]
    });
    write_tensors(&folder.join(WEIGHTS), Precision::F32, out)
}

/// Loads the adapters of a folder onto a network, in place of any that it has.
pub fn load_adapters(network: &mut Network, folder: &Path) -> Result<(), CheckpointError> {
    let path = folder.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(CheckpointError::io("read", &path))?;
    let raw: Raw = serde_json::from_str(&text).map_err(CheckpointError::json(&path))?;
    let unsupported = |key, value: &str, knows| CheckpointError::Unsupported {
        path: path.clone(),
        key,
        value: value.to_owned(),
        knows,
    };
    if raw.peft_type != "LORA" {
        return Err(unsupported("peft_type", &raw.peft_type, "LORA"));
    }
    for (key, value) in [("use_rslora", raw.use_rslora), ("use_dora", raw.use_dora)] {
        if value {
            return Err(unsupported(key, "true", "false"));
        }
    }
    let projection = |name: &String| {
        let known = Projection::ALL.into_iter().find(|projection| projection.name() == name);
        known.ok_or_else(|| unsupported("target_modules", name, "the seven projections of Llama"))
    };
    let projections: Vec<_> =
        raw.target_modules.iter().map(projection).collect::<Result<_, _>>()?;
    let mut lora = Lora::new(&network.config, raw.r, raw.lora_alpha, &projections, 0)
        .map_err(|source| CheckpointError::Adapters { path: path.clone(), source })?;

    let path = folder.join(WEIGHTS);
    let lengths = lora.adapters.iter().flat_map(|one| [one.a.len, one.b.len]);
    let mut pieces = cut(&mut lora.weights, lengths).into_iter();
    let mut waiting = BTreeMap::new();
    for one in &lora.adapters {
        for (which, shape) in ["A", "B"].into_iter().zip(shapes(one, lora.rank)) {
            waiting.insert(name(one, which), (shape, pieces.next()));
        }
    }
    read_tensors(&path, |name, found| {
        let Some((expected, values)) = waiting.remove(name) else {
            return Err(CheckpointError::UnknownTensor {
                path: path.clone(),
                name: name.to_owned(),
            });
        };
        if expected != found {
            return Err(CheckpointError::Shape {
                path: path.clone(),
                name: name.to_owned(),
                expected: expected.to_vec(),
                found: found.to_vec(),
            });
        }
        Ok(values)
    })?;
    if let Some(name) = waiting.keys().next() {
        return Err(CheckpointError::MissingTensor { path, name: name.clone() });
    }
    network.lora = Some(lora);
    Ok(())
}

/// PEFT's name of an adapter's half.
fn name(adapter: &Adapter, which: &str) -> String {
    let Adapter { layer, projection, .. } = adapter;
    let (block, module) = (projection.block(), projection.name());
    format!("base_model.model.model.layers.{layer}.{block}.{module}.lora_{which}.weight")
}

/// The shapes of A and B.
fn shapes(adapter: &Adapter, rank: usize) -> [[usize; 2]; 2] {
    [[rank, adapter.n_in], [adapter.n_out, rank]]
}
