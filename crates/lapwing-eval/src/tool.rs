//! The tools that a model is given, and how their calls are carried out.

use lapwing_core::{Captured, Command, ExitStatus, Heard, ToolCall, ToolSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// Characters of a command's output that a model is shown.
const SHOWN: usize = 16_384;

/// Bytes of the longest command line; the kernel takes no argument above 128 KiB.
const LONGEST_COMMAND: usize = 120_000;

/// What a call asks for, once its name and arguments are understood.
#[derive(Debug)]
pub(crate) enum Job {
    Bash { command: String },
    Background(Background),
    Submit,
    Think,
}

/// The same for a command that goes on while others run.
#[derive(Debug)]
pub(crate) enum Background {
    Start { command: String },
    Read { id: u64, wait_ms: u64 },
    Write { id: u64, text: String, end: bool },
    Stop { id: u64 },
}

impl Background {
    /// The command that it is about, if it is about one that was started.
    pub(crate) fn id(&self) -> Option<u64> {
        match self {
            Self::Start { .. } => None,
            Self::Read { id, .. } | Self::Write { id, .. } | Self::Stop { id } => Some(*id),
        }
    }
}

/// An argument of a tool.
struct Argument {
    name: &'static str,
    kind: &'static str,
    meaning: &'static str,
    needed: bool,
}

const fn needed(name: &'static str, kind: &'static str, meaning: &'static str) -> Argument {
    Argument { name, kind, meaning, needed: true }
}

const COMMAND: Argument = needed("command", "string", "The command line.");
const ID: Argument = needed("id", "integer", "The id that bash_start returned.");

/// Longest wait of one `bash_read`, and the one that is not told, in milliseconds.
const WAIT_MAX_MS: u64 = 60_000;
const WAIT_MS: u64 = 5_000;

/// The description of tool `name` for a model.
pub fn spec(name: &str) -> Option<ToolSpec> {
    let (description, arguments): (_, &[Argument]) = match name {
        "bash" => (
            "Runs a bash command on your machine and returns its output. Each call starts a new shell in your home directory.",
            &[COMMAND],
        ),
        "bash_start" => (
            "Starts a bash command on your machine that goes on while you do other things, and returns its id.",
            &[COMMAND],
        ),
        "bash_read" => (
            "Returns what a command that bash_start started has written since it was last read, and how it ended if it has. Waits if there is nothing new.",
            &[
                ID,
                Argument {
                    name: "seconds",
                    kind: "number",
                    meaning: "How long to wait at most: 5 if left out, 60 at most.",
                    needed: false,
                },
            ],
        ),
        "bash_write" => (
            "Writes to the standard input of a command that bash_start started.",
            &[
                ID,
                needed(
                    "text",
                    "string",
                    "What is written, with a line feed at the end of each line.",
                ),
                Argument {
                    name: "end",
                    kind: "boolean",
                    meaning: "Whether its input ends with this text.",
                    needed: false,
                },
            ],
        ),
        "bash_stop" => (
            "Ends a command that bash_start started, with all processes that it has started, and returns what it wrote last.",
            &[ID],
        ),
        "submit" => (
            "Hands in your final answer and ends the task.",
            &[needed("answer", "string", "The answer.")],
        ),
        "think" => (
            "A place to think. Nothing is run and nothing is sent.",
            &[needed("thought", "string", "The thought.")],
        ),
        _ => return None,
    };
    let property = |argument: &Argument| {
        let told = json!({ "type": argument.kind, "description": argument.meaning });
        (argument.name.to_owned(), told)
    };
    let required = arguments.iter().filter(|argument| argument.needed);
    Some(ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({
            "type": "object",
            "properties": arguments.iter().map(property).collect::<Map<String, Value>>(),
            "required": required.map(|argument| argument.name).collect::<Vec<_>>(),
        }),
    })
}

#[derive(Deserialize)]
struct Bash {
    command: String,
}

#[derive(Deserialize)]
struct Read {
    #[serde(deserialize_with = "id")]
    id: u64,
    seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Write {
    #[serde(deserialize_with = "id")]
    id: u64,
    text: String,
    #[serde(default)]
    end: bool,
}

#[derive(Deserialize)]
struct Stop {
    #[serde(deserialize_with = "id")]
    id: u64,
}

#[derive(Deserialize)]
struct Submit {
    #[serde(rename = "answer")]
    _answer: String,
}

#[derive(Deserialize)]
struct Think {
    #[serde(rename = "thought")]
    _thought: String,
}

/// A number, also where it is written as text.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    number.ok_or_else(|| serde::de::Error::custom(format!("`id` is {value}, which is no id")))
}

/// Reads a call, or says in words for the model why it cannot be carried out.
pub(crate) fn read(call: &ToolCall, offered: &[String]) -> Result<Job, String> {
    fn arguments<T: DeserializeOwned>(call: &ToolCall) -> Result<T, String> {
        serde_json::from_str(&call.arguments).map_err(|error| {
            format!("The arguments of `{}` could not be read: {error}.", call.name)
        })
    }
    if !offered.contains(&call.name) {
        return Err(format!(
            "There is no tool `{}`. The tools are: {}.",
            call.name,
            offered.join(", ")
        ));
    }
    match call.name.as_str() {
        "bash" => arguments(call)
            .and_then(|Bash { command }| runnable(command))
            .map(|command| Job::Bash { command }),
        "bash_start" => arguments(call)
            .and_then(|Bash { command }| runnable(command))
            .map(|command| Job::Background(Background::Start { command })),
        "bash_read" => arguments(call).map(|Read { id, seconds }| {
            let wait_ms = seconds.map_or(WAIT_MS, |seconds| (seconds * 1000.0) as u64);
            Job::Background(Background::Read { id, wait_ms: wait_ms.min(WAIT_MAX_MS) })
        }),
        "bash_write" => arguments(call)
            .map(|Write { id, text, end }| Job::Background(Background::Write { id, text, end })),
        "bash_stop" => arguments(call).map(|Stop { id }| Job::Background(Background::Stop { id })),
        "submit" => arguments(call).map(|Submit { .. }| Job::Submit),
        _ => arguments(call).map(|Think { .. }| Job::Think),
    }
}

/// A command line that the kernel takes.
fn runnable(command: String) -> Result<String, String> {
    if command.len() > LONGEST_COMMAND {
        return Err(format!(
            "The command has {} bytes; at most {LONGEST_COMMAND} can be run at once.",
            command.len()
        ));
    }
    if command.contains('\0') {
        return Err("The command has a zero byte in it and cannot be run.".to_owned());
    }
    Ok(command)
}

pub(crate) fn bash(command: String, limit_ms: u64) -> Command {
    Command { limit_ms, ..Command::new(["bash".to_owned(), "-c".to_owned(), command]) }
}

/// What a model is shown of a command: both streams, how it ended, and how much is left out.
pub(crate) fn show(captured: &Captured, limit_ms: u64) -> String {
    let mut text = String::from_utf8_lossy(&captured.stdout).into_owned();
    if !captured.stderr.is_empty() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&String::from_utf8_lossy(&captured.stderr));
    }
    let text = cut(text.trim_end(), SHOWN);
    match captured.status {
        ExitStatus::Exit { code: 0 } if text.is_empty() => "[no output]".to_owned(),
        ExitStatus::Exit { code: 0 } => text,
        status => noted(&text, &format!("[{}]", ending(status, limit_ms))),
    }
}

/// What a model is shown of a command in the background.
pub(crate) fn show_heard(heard: &Heard, limit_ms: u64) -> String {
    let text = cut(String::from_utf8_lossy(&heard.output).trim_end(), SHOWN);
    let state = match heard.status {
        None if text.is_empty() => "nothing new; it still runs".to_owned(),
        None => "it still runs".to_owned(),
        Some(status) => ending(status, limit_ms),
    };
    let orphans = match heard.orphans {
        0 => String::new(),
        1 => "; a process that it started still runs".to_owned(),
        n => format!("; {n} processes that it started still run"),
    };
    noted(&text, &format!("[{state}{orphans}]"))
}

fn noted(text: &str, note: &str) -> String {
    if text.is_empty() { note.to_owned() } else { format!("{text}\n{note}") }
}

fn ending(status: ExitStatus, limit_ms: u64) -> String {
    match status {
        ExitStatus::Exit { code } => format!("exit code {code}"),
        ExitStatus::Signal { signal } => format!("ended by signal {signal}"),
        ExitStatus::TimeLimit => format!("stopped after {} s", limit_ms / 1000),
        ExitStatus::OutOfMemory => "ended: out of memory".to_owned(),
        ExitStatus::ProcessorTime => "ended: it took too much processor time".to_owned(),
        ExitStatus::DiskFull { code } => format!("exit code {code}; the disk is full"),
    }
}

/// Bytes of output that were written but not kept.
pub(crate) fn dropped(captured: &Captured) -> u64 {
    let kept = (captured.stdout.len() + captured.stderr.len()) as u64;
    (captured.stdout_bytes + captured.stderr_bytes).saturating_sub(kept)
}

/// The first and last half of `text` if it has more than `most` characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let n_chars = text.chars().count();
    if n_chars <= most {
        return text.to_owned();
    }
    let first: String = text.chars().take(most / 2).collect();
    let last: String = text.chars().skip(n_chars - most / 2).collect();
    format!("{first}\n[{} characters left out]\n{last}", n_chars - 2 * (most / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall { id: "1".to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
    }

    fn captured(stdout: &str, stderr: &str, status: ExitStatus) -> Captured {
        Captured {
            status,
            stdout: stdout.into(),
            stderr: stderr.into(),
            stdout_bytes: stdout.len() as u64,
            stderr_bytes: stderr.len() as u64,
            millis: 1,
        }
    }

    #[test]
    fn a_call_that_cannot_be_read_is_explained_to_the_model() {
        let offered = ["bash".to_owned()];
        let unknown = read(&call("python", "{}"), &offered).err().unwrap();
        assert_eq!(unknown, "There is no tool `python`. The tools are: bash.");
        for arguments in ["{not json", "{}", "{\"command\": 3}", "[]", ""] {
            let error = read(&call("bash", arguments), &offered).err().unwrap();
            assert!(error.starts_with("The arguments of `bash` could not be read"), "{error}");
        }
    }

    #[test]
    fn a_command_that_the_kernel_would_not_take_is_refused_in_words() {
        let offered = ["bash".to_owned()];
        let arguments = |command: &str| json!({ "command": command }).to_string();
        let long = read(&call("bash", &arguments(&"x".repeat(LONGEST_COMMAND + 1))), &offered);
        assert!(long.is_err_and(|error| error.contains("120001 bytes")));
        let zero = read(&call("bash", &arguments("a\0b")), &offered);
        assert!(zero.is_err_and(|error| error.contains("zero byte")));
    }

    #[test]
    fn what_is_shown_tells_how_a_command_ended() {
        let exit = |code| ExitStatus::Exit { code };
        let shown = |out, err, status| show(&captured(out, err, status), 5_000);
        assert_eq!(shown("a\n", "", exit(0)), "a");
        assert_eq!(shown("", "", exit(0)), "[no output]");
        assert_eq!(shown("a", "b\n", exit(2)), "a\nb\n[exit code 2]");
        assert_eq!(shown("", "", ExitStatus::Signal { signal: 15 }), "[ended by signal 15]");
        assert_eq!(shown("a", "", ExitStatus::TimeLimit), "a\n[stopped after 5 s]");
        assert_eq!(shown("", "", ExitStatus::OutOfMemory), "[ended: out of memory]");
        let over = "[ended: it took too much processor time]";
        assert_eq!(shown("", "", ExitStatus::ProcessorTime), over);
        let full = ExitStatus::DiskFull { code: 1 };
        assert_eq!(shown("a", "", full), "a\n[exit code 1; the disk is full]");
    }

    #[test]
    fn what_is_shown_of_the_background_tells_whether_it_still_runs() {
        let heard = |output: &str, code: Option<i32>, orphans| Heard {
            output: output.into(),
            output_bytes: output.len() as u64,
            status: code.map(|code| ExitStatus::Exit { code }),
            orphans,
        };
        let shown = |output, code, orphans| show_heard(&heard(output, code, orphans), 5_000);
        assert_eq!(shown("a\n", None, 0), "a\n[it still runs]");
        assert_eq!(shown("", None, 0), "[nothing new; it still runs]");
        assert_eq!(shown("a", Some(0), 0), "a\n[exit code 0]");
        let left = "[exit code 2; 3 processes that it started still run]";
        assert_eq!(shown("", Some(2), 3), left);
    }

    #[test]
    fn an_id_is_a_number_also_where_it_is_written_as_text() {
        let offered = ["bash_stop".to_owned(), "bash_read".to_owned()];
        for arguments in ["{\"id\": 3}", "{\"id\": \"3\"}"] {
            let job = read(&call("bash_stop", arguments), &offered).unwrap();
            assert!(matches!(job, Job::Background(Background::Stop { id: 3 })), "{job:?}");
        }
        for arguments in ["{\"id\": -1}", "{\"id\": \"one\"}", "{}", "{\"id\": 1.5}"] {
            let error = read(&call("bash_stop", arguments), &offered).unwrap_err();
            assert!(error.starts_with("The arguments of `bash_stop` could not be read"), "{error}");
        }
        for (seconds, expected) in [("1e9", 60_000), ("-3", 0), ("0.5", 500)] {
            let arguments = format!("{{\"id\": 1, \"seconds\": {seconds}}}");
            let job = read(&call("bash_read", &arguments), &offered).unwrap();
            let Job::Background(Background::Read { wait_ms, .. }) = job else { panic!("{job:?}") };
            assert_eq!(wait_ms, expected);
        }
    }

    #[test]
    fn long_output_keeps_its_beginning_and_its_end() {
        assert_eq!(cut("äbcdefghij", 4), "äb\n[6 characters left out]\nij");
        assert_eq!(cut("äbcd", 4), "äbcd");
    }
}
