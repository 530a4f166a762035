//! A server that nobody here wrote, as the model under test: `transformers serve` with a tiny checkpoint of random weights. Outside
//! `ci`, because its packages take gigabytes.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::ci::{built, finish, say};

const PACKAGES: &str = "torch 'transformers[serving]'";

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_mins(3);

/// Runs a scenario against the server; `LAPWING_PYTHON` names the Python that has the packages.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let python = PathBuf::from(std::env::var("LAPWING_PYTHON").unwrap_or("python3".to_owned()));
    let lapwing = built(root, &["build", "--package", "lapwing"], "lapwing")?;
    let place = root.join("target/interop/server");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    let model = place.join("model");
    let script = root.join("xtask/interop/tiny_model.py");
    finish(Command::new(&python).arg(script).arg(&model)).with_context(|| {
        format!(
            "{} lacks {PACKAGES}; install them in an environment outside the repository and name its Python in LAPWING_PYTHON",
            python.display()
        )
    })?;
    let server = Server::start(&python, &model, &place)?;
    let name = format!("openai/{}", model.display());
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&lapwing);
        command.args(arguments).args(["--base-url", &server.url]).current_dir(&place);
        command
    };
    // What it says is noise, so that it cannot use tools; that it answers, streams and counts tokens is what is checked.
    let check = ask(&["models", "check", &name, "--json"]).output()?;
    let report: String = String::from_utf8_lossy(&check.stdout).into_owned();
    for part in ["\"usage\": true", "\"streaming\""] {
        ensure!(report.contains(part), "lapwing models check: no {part} in\n{report}");
    }
    let run =
        ["eval", "denial", "--model", &name, "--seeds", "1", "--max-tokens", "24", "--turns", "2"];
    finish(&mut ask(&run))?;
    say("a run against a server of others has ended, and every answer is on record")
}

/// The server; it ends with this value.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(python: &Path, model: &Path, place: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = File::create(place.join("server.log"))?;
        let child = Command::new(python.with_file_name("transformers"))
            .arg("serve")
            .arg(model)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .env("HF_HUB_OFFLINE", "1")
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("no `transformers` beside {}", python.display()))?;
        let mut server = Self { child, url: format!("http://127.0.0.1:{port}/v1") };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                bail!("the server does not start: {}", place.join("server.log").display());
            }
            sleep(Duration::from_millis(200));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
