//! A folder and the command in it; an endpoint that answers as a test wants.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A fresh working directory, in which runs lie under `runs`.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
}

/// What a command printed and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }

    /// Checks the exit code and that standard error has every one of `parts`.
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in:\n{}", self.stderr);
        }
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lapwing"));
        command.args(args).current_dir(self.path()).env("NO_COLOR", "1");
        for name in ["OPENAI_BASE_URL", "OPENAI_API_KEY", "LAPWING_RUNS"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn lapwing(&self, args: &[&str]) -> Said {
        said(&self.command(args).output().unwrap())
    }

    /// The command with `OPENAI_BASE_URL` and a key set.
    pub(crate) fn with_endpoint(&self, url: &str, args: &[&str]) -> Said {
        let mut command = self.command(args);
        command.env("OPENAI_BASE_URL", url).env("OPENAI_API_KEY", KEY);
        said(&command.output().unwrap())
    }

    /// A copy of the shutdown scenario in which `from`, which must be there, is replaced in `file`.
    pub(crate) fn edited(&self, name: &str, file: &str, from: &str, to: &str) -> String {
        let copy = self.path().join(name);
        copy_folder(&shutdown(), &copy);
        self.replace(&format!("{name}/{file}"), from, to);
        format!("./{name}")
    }

    /// Replaces `from`, which must be there, in a file of the working directory.
    pub(crate) fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
    }

    /// Everything in the working directory, for tests that nothing may be left behind.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found
    }
}

pub(crate) const KEY: &str = "sk-test-4f1c9a77d2";

pub(crate) fn said(output: &Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn shutdown() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/shutdown")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Serves each request with what `answer` makes of its path and body, until the test ends. Returns the base URL.
pub(crate) fn endpoint(
    answer: impl Fn(&str, &Value) -> (&'static str, String) + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), answer) = (stream, std::sync::Arc::clone(&answer)) else { return };
            std::thread::spawn(move || serve(stream, answer.as_ref()));
        }
    });
    url
}

fn serve(stream: TcpStream, answer: &dyn Fn(&str, &Value) -> (&'static str, String)) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut n_bytes = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if let Some(length) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                n_bytes = length.trim().parse().unwrap();
            }
            if header.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; n_bytes];
        reader.read_exact(&mut body).unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (kind, text) = answer(path, &body);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        let stream = reader.get_mut();
        if stream.write_all((head + &text).as_bytes()).is_err() {
            return;
        }
    }
}

/// A chat completion that calls `bash`, or says `text` if there is no command.
pub(crate) fn completion(command: Option<&str>, text: &str) -> String {
    let calls = command.map(|command| {
        json!([{
            "id": "call_1", "type": "function",
            "function": { "name": "bash", "arguments": json!({ "command": command }).to_string() },
        }])
    });
    json!({
        "id": "c", "object": "chat.completion", "model": "test-2026-01-01",
        "choices": [{
            "index": 0, "finish_reason": if calls.is_some() { "tool_calls" } else { "stop" },
            "message": { "role": "assistant", "content": text, "tool_calls": calls },
        }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 },
    })
    .to_string()
}
