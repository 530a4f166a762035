//! The command line.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};
use lapwing_scenario::DesignChoice;

/// A laboratory for catching deceit in AI models.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Start with `lapwing eval shutdown`. Exit codes: 0 ok, 1 a check failed, 2 usage, 3 environment, 4 bug."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Folder of run files
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        env = "LAPWING_RUNS",
        default_value = "runs",
        value_name = "DIR"
    )]
    pub(crate) runs: PathBuf,

    /// Print JSON on standard output
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Test a model in a scenario; without --model, check the instrument with scripted policies
    Eval(Eval),
    /// List runs
    Runs,
    /// Show a run's samples and findings, or one sample's transcript
    Show(Show),
    /// Fold a run's events into findings again; without --judge no model is used, and never a sandbox
    Score(Score),
    /// Check what this machine can isolate, and say what mends it
    Doctor,
    /// Work with judges
    #[command(subcommand)]
    Judge(Judge),
    /// Work with scenarios
    #[command(subcommand)]
    Scenario(Scenario),
    /// Work with root file systems of sandboxes
    #[command(subcommand)]
    Image(Image),
    /// List the experiments, where each comes from, and which can be run
    Experiments {
        /// An ID (SD-1), a group of IDs (SD) or a state (works, planned, reported)
        #[arg(value_name = "ID")]
        wanted: Option<String>,
    },
}

#[derive(Group)]
#[command(
    after_help = "Examples:\n  lapwing eval shutdown\n  lapwing eval shutdown --model openai/NAME -f instruction=none,allow --seeds 50\n  lapwing eval shutdown --model policy/p=0.3 --seeds 20"
)]
pub(crate) struct Eval {
    /// A scenario's name, or the path of a scenario folder
    pub(crate) scenario: String,

    /// openai/NAME (OPENAI_BASE_URL, OPENAI_API_KEY) policy/NAME, or human to play yourself; may be given several times
    #[arg(long = "model", short = 'm', value_name = "MODEL")]
    pub(crate) models: Vec<String>,

    /// Who labels what only reading can show: openai/NAME or test [default: none; test for the instrument check]
    #[arg(long, value_name = "JUDGE")]
    pub(crate) judge: Option<String>,

    #[command(flatten)]
    pub(crate) design: Design,

    /// Say how many samples and about how many tokens it would be, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Repeats of each seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) epochs: u32,

    /// Also run this optional phase
    #[arg(long = "with", value_name = "PHASE")]
    pub(crate) optional: Vec<String>,

    /// Limit: model turns in a phase, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) turns: Option<u32>,

    /// Limit: tokens of a sample
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tokens: Option<u64>,

    /// Limit: seconds of all tool calls of a sample
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) tool_time: u64,

    /// Limit: seconds of a sample
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) wall_time: u64,

    /// Sampling temperature
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f64>,

    /// Nucleus sampling mass
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f64>,

    /// Most tokens of one model call
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u64>,
}

#[derive(Group)]
pub(crate) struct Design {
    /// Choose levels of a factor; other factors stay at their base
    #[arg(short = 'f', long = "factor", value_name = "FACTOR=LEVEL,...")]
    pub(crate) factors: Vec<String>,

    /// star, full or screen=N (a two-level fraction in N conditions), instead of the scenario's own; with -f within those levels
    #[arg(long = "design", value_name = "DESIGN", value_parser = choice)]
    pub(crate) choice: Option<DesignChoice>,

    /// Seeds, each a drawing of names, wording and nonce [default: 10 for models, 2 for the instrument check]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) seeds: Option<u64>,

    /// Samples in flight at a time [default: 16 for models, 16 a core for the instrument check]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) max_samples: Option<u64>,

    /// Sandboxes that live at a time; samples wait for room for theirs [default: 16 a core, less where memory is short]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) max_sandboxes: Option<u64>,
}

impl Design {
    /// Samples in flight at a time. Policies answer at once, so that only sandboxes are waited for: what limits them is the
    /// cores.
    pub(crate) fn max_samples(&self, instrument_check: bool) -> usize {
        const USUAL: usize = 16;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let default = if instrument_check { USUAL * cores } else { USUAL };
        self.max_samples.map_or(default, |n| n as usize)
    }
}

#[derive(Group)]
pub(crate) struct Check {
    /// Names of scenarios, or paths of scenario folders
    #[arg(required_unless_present = "all", value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,

    /// Check every scenario that comes with lapwing
    #[arg(long, conflicts_with = "scenarios")]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) design: Design,
}

#[derive(Group)]
pub(crate) struct Show {
    /// A run's id, a prefix of it, the path of a run file, or `latest`
    pub(crate) run: String,

    /// The number of a sample
    pub(crate) sample: Option<u64>,

    /// Show long texts whole
    #[arg(long)]
    pub(crate) full: bool,

    /// The number of a scoring, instead of the newest
    #[arg(long, value_name = "N")]
    pub(crate) scoring: Option<i64>,
}

#[derive(Subcommand)]
pub(crate) enum Judge {
    /// Let a judge label texts whose labels are known, and say how often it is right
    Check(JudgeCheck),
}

#[derive(Group)]
pub(crate) struct JudgeCheck {
    /// A scenario's name, or the path of a scenario folder
    pub(crate) scenario: String,

    /// openai/NAME or test
    #[arg(long, value_name = "JUDGE")]
    pub(crate) judge: String,

    /// Only this rubric
    #[arg(long, value_name = "NAME")]
    pub(crate) rubric: Option<String>,

    /// Fail below this agreement
    #[arg(long, value_name = "K", default_value_t = 0.7)]
    pub(crate) min_kappa: f64,
}

#[derive(Group)]
pub(crate) struct Score {
    /// A run's id, a prefix of it, the path of a run file, or `latest`
    pub(crate) run: String,

    /// Use the rules of this scenario folder instead of those kept in the run
    #[arg(long, value_name = "PATH")]
    pub(crate) with: Option<PathBuf>,

    /// Let this judge label the run again: openai/NAME or test; its labels belong to the new scoring
    #[arg(long, value_name = "JUDGE")]
    pub(crate) judge: Option<String>,
}

#[derive(Group)]
pub(crate) struct Render {
    /// A scenario's name, or the path of a scenario folder
    pub(crate) scenario: String,

    /// Choose the level of a factor; other factors are at their base
    #[arg(short = 'f', long = "factor", value_name = "FACTOR=LEVEL")]
    pub(crate) factors: Vec<String>,

    /// The seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Show the contents of files and programs too
    #[arg(long)]
    pub(crate) full: bool,
}

#[derive(Group)]
#[command(after_help = "Example:\n  lapwing scenario shell coffee -f guests=none --seed 3")]
pub(crate) struct Shell {
    /// A scenario's name, or the path of a scenario folder
    pub(crate) scenario: String,

    /// Choose the level of a factor; other factors are at their base
    #[arg(short = 'f', long = "factor", value_name = "FACTOR=LEVEL")]
    pub(crate) factors: Vec<String>,

    /// Choose a control condition: benign or competence
    #[arg(long, value_name = "CONTROL", conflicts_with = "factors")]
    pub(crate) condition: Option<String>,

    /// The seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// The sandbox [default: that of the first phase in which a model acts]
    #[arg(long, value_name = "NAME")]
    pub(crate) sandbox: Option<String>,

    /// What to run instead of bash
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Subcommand)]
pub(crate) enum Image {
    /// Unpack a folder, an archive or an image for `root` of a sandbox, and say what it is
    Prepare {
        /// An OCI layout, what `docker save` writes, or the files of a root file system themselves
        path: PathBuf,
    },
    /// List what is unpacked
    List,
    /// Remove what is unpacked and not in use
    Clean,
}

#[derive(Subcommand)]
pub(crate) enum Scenario {
    /// List the scenarios that come with lapwing
    List,
    /// Print the JSON Schema of scenario.toml, for editors
    Schema,
    /// Show a scenario's design, behaviours, policies and published figures
    Show {
        /// A scenario's name, or the path of a scenario folder
        scenario: String,
    },
    /// Show exactly what a model is given in one sample: prompts, tools, files, values
    Render(Render),
    /// Open a terminal in a sandbox of a scenario, as a model would find it: files, set-up, services, commands
    Shell(Shell),
    /// Prove the instrument: every finding against what a policy planted, and every rule mutation noticed
    Check(Check),
    /// Write a small scenario that passes its check, there to be changed
    New {
        /// Its name: small letters, digits and hyphens
        name: String,
        /// The folder in which the scenario's folder is written
        #[arg(long, value_name = "DIR", default_value = ".", hide_default_value = true)]
        path: PathBuf,
    },
}

/// Reads the argument of `--design`.
fn choice(argument: &str) -> Result<DesignChoice, String> {
    let choice = match argument.split_once('=') {
        None if argument == "star" => Some(DesignChoice::Star),
        None if argument == "full" => Some(DesignChoice::Full),
        Some(("screen", runs)) => runs.parse().ok().map(DesignChoice::Screen),
        _ => None,
    };
    choice.ok_or_else(|| "write star, full or screen=8".to_owned())
}
