//! `lapwing serve` under the official client, held against transformers. Outside `ci`, because their packages take gigabytes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::ci::{built, finish, say};

const PACKAGES: &str = "torch transformers openai";

/// Serves a tiny checkpoint and asks it; `LAPWING_PYTHON` names the Python that has the packages.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let python = PathBuf::from(std::env::var("LAPWING_PYTHON").unwrap_or("python3".to_owned()));
    let lapwing = built(root, &["build", "--package", "lapwing"], "lapwing")?;
    let place = root.join("target/interop/serve");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    let model = place.join("model");
    let script = |name: &str| root.join("xtask/interop").join(name);
    finish(Command::new(&python).arg(script("tiny_model.py")).arg(&model)).with_context(|| {
        format!(
            "{} lacks {PACKAGES}; install them in an environment outside the repository and name its Python in LAPWING_PYTHON",
            python.display()
        )
    })?;
    let (server, url) = serve(&lapwing, &model)?;
    finish(Command::new(&python).arg(script("check_serve.py")).arg(&url).arg(&model))?;
    drop(server);
    say("the official client is served, and what it is told is what transformers computes")
}

/// The server; it ends with this value.
struct Server(Child);

fn serve(lapwing: &Path, model: &Path) -> anyhow::Result<(Server, String)> {
    let mut child = Command::new(lapwing)
        .args(["serve", &format!("local/{}", model.display()), "--port", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .context("lapwing serve cannot be run")?;
    let out = child.stdout.take().context("lapwing serve has no output")?;
    let server = Server(child);
    let mut url = String::new();
    BufReader::new(out).read_line(&mut url)?;
    ensure!(url.starts_with("http://127.0.0.1:"), "lapwing serve told no address");
    Ok((server, url.trim_end().to_owned()))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
