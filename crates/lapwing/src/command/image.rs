//! `lapwing image`: root file systems of sandboxes, unpacked.

use std::io::Write as _;
use std::process::ExitCode;

use lapwing_sandbox::{Cached, Images};
use serde_json::{Value, json};

use super::{Global, print_json};
use crate::args;
use crate::failure::Failure;
use crate::render::Grid;

pub(crate) fn run(what: &args::Image, global: &Global) -> Result<ExitCode, Failure> {
    let images = Images::open()?;
    let unreadable = |error| {
        let folder = images.folder().display();
        Failure::new(Failure::ENVIRONMENT, format!("the cache {folder}: {error}"))
    };
    match what {
        args::Image::Prepare { path } => show(&[images.prepare(path)?], global)?,
        args::Image::List => show(&images.list().map_err(unreadable)?, global)?,
        args::Image::Clean => {
            let (removed, used) = images.clean().map_err(unreadable)?;
            if global.json {
                let rows = |all: &[Cached]| all.iter().map(row).collect::<Vec<_>>();
                print_json(&json!({ "removed": rows(&removed), "in_use": rows(&used) }))?;
            } else {
                let (n, used) = (removed.len(), used.len());
                writeln!(anstream::stdout(), "  removed {n}, left {used} that are in use")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(all: &[Cached], global: &Global) -> Result<(), Failure> {
    if global.json {
        return print_json(&all.iter().map(row).collect::<Vec<_>>());
    }
    let mut grid = Grid::new(&["digest", "kind", "MiB", "entries", "left out"]);
    for Cached { facts, .. } in all {
        grid.row([
            format!("sha256:{}", facts.digest.short()),
            facts.kind.clone(),
            format!("{:.1}", facts.bytes as f64 / f64::from(1 << 20)),
            facts.entries.to_string(),
            facts.left_out.to_string(),
        ]);
    }
    Ok(grid.write(&mut anstream::stdout().lock())?)
}

fn row(cached: &Cached) -> Value {
    let Cached { facts, path } = cached;
    json!({ "digest": facts.digest, "kind": facts.kind, "bytes": facts.bytes, "entries": facts.entries,
        "left_out": facts.left_out, "path": path })
}
