//! `lapwing organism`: what organisms there are, and what is in them.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use lapwing_lab::checkpoint::{CheckpointError, Model, write_folder};
use lapwing_lab::organism::{Lineage, OrganismError, verify};
use serde_json::json;

use super::local::{folder, wanted};
use super::{Global, print_json};
use crate::args::{Named, Organism};
use crate::failure::Failure;
use crate::render::{BOLD, Grid, paragraph, say};

const LINEAGE: &str = "lineage.json";

pub(crate) fn run(what: &Organism, global: &Global) -> Result<ExitCode, Failure> {
    match what {
        Organism::List { organisms } => list(&organisms.dir, global),
        Organism::Show { model } => show(model, global),
        Organism::Export { model, output } => export(model, output, global),
    }
}

fn list(organisms: &Path, global: &Global) -> Result<ExitCode, Failure> {
    let found = lapwing_local::list(organisms);
    if global.json {
        let entry = |found: &lapwing_local::Found| match &found.lineage {
            Some(Ok(lineage)) => json!({
                "name": found.name, "folder": found.folder, "address": lineage.address(), "lineage": lineage,
            }),
            Some(Err(error)) => {
                json!({ "name": found.name, "folder": found.folder, "error": error.to_string() })
            }
            None => json!({ "name": found.name, "folder": found.folder }),
        };
        print_json(&found.iter().map(entry).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        say(&format!("no models are in {}; --organisms names another folder", organisms.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut grid = Grid::new(&["name", "address", "stages", "purpose"]);
    for found in found {
        grid.row(match found.lineage {
            Some(Ok(lineage)) => {
                let stages = lineage.stages.iter().map(|stage| stage.name.as_str());
                let stages = stages.collect::<Vec<_>>().join(", ");
                [found.name, lineage.address()[..12].to_owned(), stages, lineage.purpose]
            }
            Some(Err(error)) => [found.name, "–".to_owned(), "–".to_owned(), error.to_string()],
            None => [
                found.name,
                "–".to_owned(),
                "–".to_owned(),
                "a checkpoint without lineage".to_owned(),
            ],
        });
    }
    grid.write(&mut anstream::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

/// The folder of an organism, and its lineage, against which every file was held.
fn verified(model: &Named) -> Result<(std::path::PathBuf, Lineage), Failure> {
    let folder = folder(model)?;
    if !folder.join(LINEAGE).exists() {
        let message = format!("{} is no organism: it has no {LINEAGE}", folder.display());
        return Err(Failure::new(Failure::USAGE, message));
    }
    let lineage = verify(&folder)?;
    Ok((folder, lineage))
}

fn show(model: &Named, global: &Global) -> Result<ExitCode, Failure> {
    let (folder, lineage) = verified(model)?;
    let network = Model::load(&folder)?.network;
    let n_parameters = network.weights.len();
    if global.json {
        print_json(&json!({
            "name": wanted(&model.name),
            "folder": folder,
            "address": lineage.address(),
            "parameters": n_parameters,
            "lineage": lineage,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = &network.config;
    let mut out = anstream::stdout().lock();
    writeln!(out, "{BOLD}{}{BOLD:#}", crate::transcript::harmless(wanted(&model.name)))?;
    paragraph(&mut out, 2, &lineage.purpose)?;
    let mut grid = Grid::new(&["", ""]);
    let rows = [
        ("address", lineage.address()),
        ("files", format!("{}, as the lineage says", lineage.files.len())),
        (
            "network",
            format!(
                "{n_parameters} parameters: {} layers of width {}, {} heads, vocabulary {}, context {}",
                config.n_layers,
                config.hidden_size,
                config.n_heads,
                config.vocab_size,
                config.max_positions
            ),
        ),
    ];
    for (name, value) in rows {
        grid.row([name.to_owned(), value]);
    }
    grid.write(&mut out)?;
    let mut grid = Grid::new(&["stage", "steps", "seed", "last loss", "data", "from"]);
    for stage in &lineage.stages {
        let last = stage.losses.last().map_or_else(|| "–".to_owned(), |loss| format!("{loss:.4}"));
        grid.row([
            stage.name.clone(),
            stage.settings.steps.to_string(),
            stage.settings.seed.to_string(),
            last,
            short(&stage.data),
            stage.parent.as_deref().map_or_else(|| "–".to_owned(), short),
        ]);
    }
    writeln!(out)?;
    grid.write(&mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn short(address: &str) -> String {
    address.chars().take(12).collect()
}

fn export(model: &Named, output: &Path, global: &Global) -> Result<ExitCode, Failure> {
    let (folder, lineage) = verified(model)?;
    write_folder(output, |copy| {
        for name in lineage.files.keys().map(String::as_str).chain([LINEAGE]) {
            let copied = fs::copy(folder.join(name), copy.join(name));
            copied.map_err(|source| CheckpointError::Io {
                action: "write",
                path: copy.join(name),
                source,
            })?;
        }
        Ok::<(), CheckpointError>(())
    })?;
    if global.json {
        print_json(&json!({ "folder": output, "address": lineage.address() }))?;
    } else {
        say(&format!("{} is a copy of {}", output.display(), wanted(&model.name)));
    }
    Ok(ExitCode::SUCCESS)
}

impl From<OrganismError> for Failure {
    fn from(error: OrganismError) -> Self {
        Self::new(Self::ENVIRONMENT, error.to_string())
    }
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        let is_usage = matches!(error, CheckpointError::Exists(_));
        let code = if is_usage { Self::USAGE } else { Self::ENVIRONMENT };
        Self::new(code, error.to_string())
    }
}
