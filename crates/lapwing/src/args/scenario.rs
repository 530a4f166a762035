//! The arguments of `scenario` and `image`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

use super::Check;

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
