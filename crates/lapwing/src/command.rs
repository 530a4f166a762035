//! One module a command. Each reads its arguments, does its work through the libraries, and prints.

mod chat;
mod check;
mod compare;
mod config;
mod detect;
mod doctor;
mod endpoint;
mod estimate;
mod eval;
mod experiments;
mod export;
mod image;
mod import;
mod judge;
mod local;
mod machine;
mod models;
mod new;
mod organism;
mod recorded;
mod render;
mod replay;
mod resume;
mod runs;
mod sample;
mod scenario;
mod score;
mod serve;
mod shell;
mod show;
mod start;
mod study;

use std::io::Write;
use std::process::ExitCode;

pub(crate) use endpoint::Connector;
pub(crate) use estimate::short;
use lapwing_store::Runs;
use serde::Serialize;
#[cfg(test)]
pub(crate) use study::names as study_names;

use crate::args::{Args, Command, Config, Detect, Export, Judge, Models, Scenario, Study};
use crate::failure::Failure;

/// What every command needs of the global arguments.
pub(crate) struct Global {
    pub(crate) runs: Runs,
    pub(crate) json: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let global = Global { runs: Runs::new(args.runs), json: args.json };
    match args.command {
        Command::Eval(args) => eval::run(&args, &global),
        Command::Runs => runs::run(&global),
        Command::Show(args) => show::run(&args, &global),
        Command::Compare(args) => compare::run(&args, &global),
        Command::Score(args) => score::run(&args, &global),
        Command::Replay(args) => replay::run(&args, &global),
        Command::Export(Export::Eval(args)) => export::eval(&args, &global),
        Command::Export(Export::Scenario(args)) => export::scenario(&args, &global),
        Command::Import(args) => import::run(&args, &global),
        Command::Doctor => doctor::run(&global),
        Command::Models(Models::Check(args)) => models::check(&args, &global),
        Command::Organism(what) => organism::run(&what, &global),
        Command::Chat(args) => chat::run(&args),
        Command::Sample(args) => sample::run(&args, &global),
        Command::Serve(args) => serve::run(&args, &global),
        Command::Config(Config::Show) => config::show(&global),
        Command::Judge(Judge::Check(args)) => judge::check(&args, &global),
        Command::Experiments { wanted } => experiments::run(wanted.as_deref(), &global),
        Command::Scenario(Scenario::List) => scenario::list(&global),
        Command::Scenario(Scenario::Schema) => scenario::schema(),
        Command::Scenario(Scenario::Show { scenario }) => scenario::show(&scenario, &global),
        Command::Scenario(Scenario::Render(args)) => render::run(&args, &global),
        Command::Scenario(Scenario::Shell(args)) => shell::run(&args),
        Command::Image(what) => image::run(&what, &global),
        Command::Scenario(Scenario::Check(args)) => check::run(&args, &global),
        Command::Scenario(Scenario::New { name, path }) => new::run(&name, &path, &global),
        Command::Study(Study::List(results)) => study::list(&results, &global),
        Command::Study(Study::Run(args)) => study::run(&args, &global),
        Command::Study(Study::Show(args)) => study::show(&args, &global),
        Command::Study(Study::Audit(args)) => study::audit(&args, &global),
        Command::Study(Study::Export(args)) => study::export(&args, &global),
        Command::Study(Study::Clean(args)) => study::clean(&args, &global),
        Command::Detect(Detect::Probe(args)) => detect::probe(&args, &global),
    }
}

/// Prints `value` as JSON on standard output.
fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(writeln!(anstream::stdout(), "{text}")?)
}
