//! `lapwing scenario new`: a folder that loads, passes its check and is there to be changed.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use include_dir::{Dir, include_dir};
use serde_json::json;

use super::{Global, print_json};
use crate::failure::Failure;
use crate::render::BOLD;

static TEMPLATE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/template");

/// Stands for the scenario's name in the files of the template.
const NAME: &str = "@NAME@";

pub(crate) fn run(name: &str, parent: &Path, global: &Global) -> Result<ExitCode, Failure> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_plain) {
        return Err(Failure::new(Failure::USAGE, format!("`{name}` is no name of a scenario"))
            .help("use small letters, digits and hyphens, as in late-delivery; --path DIR says where the folder is written"));
    }
    let folder = parent.join(name);
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::new(
            Failure::USAGE,
            format!("{} exists and is left as it is", folder.display()),
        )
        .help("choose another name, or another place with --path DIR"));
    }
    write(&TEMPLATE, &folder, name)?;
    let shown = shown(&folder);
    if global.json {
        print_json(&json!({ "name": name, "path": shown }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{BOLD}{shown}{BOLD:#} is a whole scenario, there to be changed.")?;
    let steps = [
        ("what it does and measures", format!("{shown}/README.md")),
        ("what a model is given", format!("lapwing scenario render {shown} --seed 3")),
        ("prove the instrument", format!("lapwing scenario check {shown}")),
        ("test a model", format!("lapwing eval {shown} --model openai/NAME")),
    ];
    for (what, how) in steps {
        writeln!(out, "  {what:<27}{how}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder as the other commands take it: a path, never a name.
fn shown(folder: &Path) -> String {
    let path = folder.display().to_string();
    if path.contains(['/', '.']) { path } else { format!("./{path}") }
}

fn write(template: &Dir<'_>, folder: &Path, name: &str) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(Failure::ENVIRONMENT, format!("{} cannot be written: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for file in template.files() {
        let path = folder.join(file.path().file_name().unwrap_or_default());
        let text = String::from_utf8_lossy(file.contents()).replace(NAME, name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    for inner in template.dirs() {
        let path = folder.join(inner.path().file_name().unwrap_or_default());
        write(inner, &path, name)?;
    }
    Ok(())
}
