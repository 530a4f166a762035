//! The arguments of `export` and `import`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Export {
    /// An Inspect log (.eval), one a model
    Eval(ExportEval),
    /// The scenario folder that is kept in a run
    Scenario(ExportScenario),
}

#[derive(Group)]
#[command(
    after_help = "Examples:\n  lapwing export eval latest --output logs/\n  inspect view --log-dir logs"
)]
pub(crate) struct ExportEval {
    /// A run's id, a prefix of it, the path of a run file, or `latest`
    pub(crate) run: String,

    /// The file, NAME.eval, or a folder: then files are named as Inspect names them
    #[arg(long, short = 'o', value_name = "PATH")]
    pub(crate) output: PathBuf,

    /// Only this model, as `lapwing show RUN` names it; may be given several times
    #[arg(long = "model", short = 'm', value_name = "MODEL")]
    pub(crate) models: Vec<String>,

    /// The number of a scoring, instead of the newest
    #[arg(long, value_name = "N")]
    pub(crate) scoring: Option<i64>,
}

#[derive(Group)]
pub(crate) struct ExportScenario {
    /// A run's id, a prefix of it, the path of a run file, or `latest`
    pub(crate) run: String,

    /// The folder, which must not be there yet
    #[arg(long, short = 'o', value_name = "DIR")]
    pub(crate) output: PathBuf,
}

#[derive(Group)]
#[command(
    after_help = "Examples:\n  lapwing import logs/2026-09-22T10-00-00_task_x.eval --name mine\n  lapwing show mine"
)]
pub(crate) struct Import {
    /// The log, NAME.eval
    pub(crate) file: PathBuf,

    /// The id of the run [default: the name of the task, and six characters]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}
