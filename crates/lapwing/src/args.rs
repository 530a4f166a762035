//! The command line.

mod local;
mod logs;
mod scenario;
mod study;

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};
use lapwing_core::Effort;
use lapwing_model::Budget;
use lapwing_scenario::DesignChoice;
pub(crate) use local::{Chat, Drawing, Named, Organism, Organisms, Sample, Serve};
pub(crate) use logs::{Export, ExportEval, ExportScenario, Import};
pub(crate) use scenario::{Image, Render, Scenario, Shell};
pub(crate) use study::{
    Detect, Results, Study, StudyAudit, StudyClean, StudyExport, StudyOf, StudyRun,
};

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
    Eval(Box<Eval>),
    /// List runs
    Runs,
    /// Show a run's samples and findings, or one sample's transcript
    Show(Show),
    /// Compare two runs, or two models of one: pairs by seed, the difference and its interval, what came out otherwise
    Compare(Compare),
    /// Fold a run's events into findings again; without --judge no model is used, and never a sandbox
    Score(Score),
    /// Run a recorded run again without asking its models, and compare; or go on from one of its events with something changed
    Replay(Replay),
    /// Write a run for other tools
    #[command(subcommand)]
    Export(Export),
    /// Make a run of an Inspect log
    Import(Import),
    /// Check what this machine can isolate, and say what mends it
    Doctor,
    /// Work with models
    #[command(subcommand)]
    Models(Models),
    /// Work with organisms
    #[command(subcommand)]
    Organism(Organism),
    /// Talk with an organism or a checkpoint
    Chat(Chat),
    /// Draw answers of an organism or a checkpoint
    Sample(Sample),
    /// Offer an organism or a checkpoint as an OpenAI-compatible endpoint on the loopback
    Serve(Serve),
    /// Show what lapwing.toml and the environment set
    #[command(subcommand)]
    Config(Config),
    /// Work with judges
    #[command(subcommand)]
    Judge(Judge),
    /// Work with scenarios
    #[command(subcommand)]
    Scenario(Scenario),
    /// Train small organisms with known misbehaviour, treat them, and measure what is left
    #[command(subcommand)]
    Study(Study),
    /// Detect misbehaviour in what a model computes
    #[command(subcommand)]
    Detect(Detect),
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
    after_help = "Examples:\n  lapwing eval shutdown\n  lapwing eval shutdown --model openai/NAME -f instruction=none,allow --seeds 50\n  lapwing eval shutdown --model policy/p=0.3 --seeds 20\n  lapwing eval --resume latest --seeds 100"
)]
pub(crate) struct Eval {
    /// A scenario's name, or the path of a scenario folder
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) scenario: Option<String>,

    /// Go on with this run: what is finished stays, what was begun is run again; --seeds, --epochs and --model can add to it
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<String>,

    /// With --resume: run samples again that ended in an error
    #[arg(long, requires = "resume", conflicts_with = "scenario")]
    pub(crate) retry_errors: bool,

    /// PROVIDER/NAME, policy/NAME, local/NAME for an organism, local/./FOLDER for a checkpoint, or human to play yourself; may be
    /// given several times. Providers: openai, openai-responses, anthropic, openrouter, azure, ollama, vllm, llama-cpp, lmstudio,
    /// and those of lapwing.toml
    #[arg(long = "model", short = 'm', value_name = "MODEL")]
    pub(crate) models: Vec<String>,

    /// Who labels what only reading can show: PROVIDER/NAME or test [default: none; test for the instrument check]
    #[arg(long, value_name = "JUDGE", conflicts_with = "resume")]
    pub(crate) judge: Option<String>,

    #[command(flatten)]
    pub(crate) design: Design,

    /// Say how many samples and about how many tokens it would be, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Repeats of each seed [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) epochs: Option<u32>,

    /// Also run this optional phase
    #[arg(long = "with", value_name = "PHASE", conflicts_with = "resume")]
    pub(crate) optional: Vec<String>,

    /// Limit: model turns in a phase, instead of the scenario's
    #[arg(long, value_name = "N", conflicts_with = "resume", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) turns: Option<u32>,

    /// Limit: tokens of a sample
    #[arg(long, value_name = "N", conflicts_with = "resume", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tokens: Option<u64>,

    /// Limit: seconds of all tool calls of a sample
    #[arg(long, value_name = "SECONDS", conflicts_with = "resume", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) tool_time: u64,

    /// Limit: seconds of a sample
    #[arg(long, value_name = "SECONDS", conflicts_with = "resume", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) wall_time: u64,

    #[command(flatten)]
    pub(crate) sampling: Sampling,

    #[command(flatten)]
    pub(crate) connection: Connection,

    /// Most that the run may use, for example 20usd or 2Mtok; samples beyond it are not begun
    #[arg(long, value_name = "AMOUNT", help_heading = "Models")]
    pub(crate) budget: Option<Budget>,

    /// Keep answers and take those of earlier runs, draw by draw [default folder: cache]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "cache", help_heading = "Models")]
    pub(crate) cache: Option<PathBuf>,
}

/// How models sample.
#[derive(Group, Default, PartialEq)]
#[command(next_help_heading = "Models")]
pub(crate) struct Sampling {
    /// Sampling temperature
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f64>,

    /// Nucleus sampling mass
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f64>,

    /// Most tokens of one model call, reasoning included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) max_tokens: Option<u64>,

    /// How much to reason: none, minimal, low, medium, high, xhigh, max; providers know some of these
    #[arg(long, value_name = "EFFORT", value_parser = effort)]
    pub(crate) reasoning_effort: Option<Effort>,

    /// Most tokens of reasoning, for models that take a number
    #[arg(long, value_name = "N")]
    pub(crate) reasoning_tokens: Option<u64>,

    /// The provider's sampling seed; every sample gets its own, drawn from it
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Ask for log-probabilities of the generated tokens; kept where token ids come with them, as from vLLM
    #[arg(long)]
    pub(crate) logprobs: bool,

    /// Text at which generation stops; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
}

/// Where models are reached.
#[derive(Group, Default)]
#[command(next_help_heading = "Models")]
pub(crate) struct Connection {
    /// Address of the API instead of the provider's own, up to and with /v1
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,

    /// Most calls at a time of one account; below it the number is found out [default: 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) max_connections: Option<u64>,

    #[command(flatten)]
    pub(crate) organisms: Organisms,
}

/// What judges may use, where nothing else is asked.
#[derive(Group, Default)]
#[command(next_help_heading = "Models")]
pub(crate) struct Judging {
    /// Most that the judge may use now, for example 20usd or 2Mtok; what is labelled until then is kept
    #[arg(long, value_name = "AMOUNT", requires = "judge")]
    pub(crate) budget: Option<Budget>,

    /// With --budget: most tokens of one answer, reasoning included
    #[arg(long, value_name = "N", requires = "budget", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
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

    /// Of a sample, show the events from this number on
    #[arg(long, value_name = "EVENT", requires = "sample")]
    pub(crate) from: Option<u64>,

    /// Of a sample, show the events up to this number
    #[arg(long, value_name = "EVENT", requires = "sample")]
    pub(crate) to: Option<u64>,

    /// Of a sample, show the last N events
    #[arg(long, value_name = "N", requires = "sample", conflicts_with_all = ["from", "to"])]
    pub(crate) last: Option<u64>,

    /// The number of a scoring, instead of the newest
    #[arg(long, value_name = "N")]
    pub(crate) scoring: Option<i64>,
}

#[derive(Group)]
#[command(
    after_help = "RUN is a run's id, a prefix of it, the path of a run file, or `latest`. Where a run has several models, RUN@MODEL names one.\nExamples:\n  lapwing compare shutdown-abc shutdown-xyz\n  lapwing compare latest@openai/A latest@openai/B"
)]
pub(crate) struct Compare {
    /// What is compared with: RUN or RUN@MODEL
    #[arg(value_name = "A")]
    pub(crate) first: String,

    /// What is compared: RUN or RUN@MODEL; differences are B less A
    #[arg(value_name = "B")]
    pub(crate) second: String,
}

#[derive(Subcommand)]
pub(crate) enum Judge {
    /// Let a judge label texts whose labels are known, and say how often it is right
    Check(JudgeCheck),
}

#[derive(Group)]
#[command(
    after_help = "Examples:\n  lapwing replay latest\n  lapwing replay latest --from 3@57 --model anthropic/NAME\n  lapwing replay latest --from 3@57 --system other.md"
)]
pub(crate) struct Replay {
    /// A run's id, a prefix of it, the path of a run file, or `latest`
    pub(crate) run: String,

    /// Replay this sample up to this event and ask a model from there on
    #[arg(long, value_name = "SAMPLE@EVENT", value_parser = place)]
    pub(crate) from: Option<(u64, u64)>,

    /// With --from: who is asked, instead of the model of the run
    #[arg(long, short = 'm', value_name = "MODEL", requires = "from")]
    pub(crate) model: Option<String>,

    /// With --from: a file whose text takes the place of the system's message from there on
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) system: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) sampling: Sampling,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Subcommand)]
pub(crate) enum Models {
    /// Ask a model two or three small questions, and say what works and what they cost
    Check(ModelsCheck),
}

#[derive(Group)]
#[command(
    after_help = "Example:\n  lapwing models check anthropic/claude-haiku-4-5 --max-tokens 512"
)]
pub(crate) struct ModelsCheck {
    /// PROVIDER/NAME
    pub(crate) model: String,

    #[command(flatten)]
    pub(crate) sampling: Sampling,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Subcommand)]
pub(crate) enum Config {
    /// Show every setting, where it comes from, and which providers have a key
    Show,
}

#[derive(Group)]
pub(crate) struct JudgeCheck {
    /// A scenario's name, or the path of a scenario folder
    pub(crate) scenario: String,

    /// PROVIDER/NAME or test
    #[arg(long, value_name = "JUDGE")]
    pub(crate) judge: String,

    #[command(flatten)]
    pub(crate) judging: Judging,

    #[command(flatten)]
    pub(crate) connection: Connection,

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

    /// Let this judge label the run again: PROVIDER/NAME or test; its labels belong to the new scoring
    #[arg(long, value_name = "JUDGE")]
    pub(crate) judge: Option<String>,

    #[command(flatten)]
    pub(crate) judging: Judging,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Reads the argument of `--from`.
fn place(argument: &str) -> Result<(u64, u64), String> {
    let place = argument.split_once('@');
    let place = place.and_then(|(sample, event)| Some((sample.parse().ok()?, event.parse().ok()?)));
    place.ok_or_else(|| {
        "write SAMPLE@EVENT, for example 3@57, as `lapwing show RUN 3` numbers them".to_owned()
    })
}

/// Reads the argument of `--reasoning-effort`.
fn effort(argument: &str) -> Result<Effort, String> {
    let known = || Effort::ALL.map(Effort::word).join(", ");
    Effort::ALL
        .into_iter()
        .find(|effort| effort.word() == argument)
        .ok_or_else(|| format!("write one of {}", known()))
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
