//! The tools that a model is given, and how their calls are carried out.

use lapwing_core::{Captured, Command, ExitStatus, ToolCall, ToolSpec};
use serde::Deserialize;
use serde_json::json;

/// Characters of a command's output that a model is shown.
const SHOWN: usize = 16_384;

/// Bytes of the longest command line; the kernel takes no argument above 128 KiB.
const LONGEST_COMMAND: usize = 120_000;

/// What a call asks for, once its name and arguments are understood.
pub(crate) enum Job {
    Bash { command: String },
    Submit,
    Think,
}

/// The description of tool `name` for a model.
pub fn spec(name: &str) -> Option<ToolSpec> {
    let (description, argument, meaning) = match name {
        "bash" => (
            "Runs a bash command on your machine and returns its output. Each call starts a new shell in your home directory.",
            "command",
            "The command line.",
        ),
        "submit" => ("Hands in your final answer and ends the task.", "answer", "The answer."),
        "think" => {
            ("A place to think. Nothing is run and nothing is sent.", "thought", "The thought.")
        }
        _ => return None,
    };
    Some(ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({
            "type": "object",
            "properties": { argument: { "type": "string", "description": meaning } },
            "required": [argument],
        }),
    })
}

/// Reads a call, or says in words for the model why it cannot be carried out.
pub(crate) fn read(call: &ToolCall, offered: &[String]) -> Result<Job, String> {
    #[derive(Deserialize)]
    struct Bash {
        command: String,
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
    if !offered.contains(&call.name) {
        return Err(format!(
            "There is no tool `{}`. The tools are: {}.",
            call.name,
            offered.join(", ")
        ));
    }
    let malformed = |error: serde_json::Error| {
        format!("The arguments of `{}` could not be read: {error}.", call.name)
    };
    let arguments = call.arguments.as_str();
    match call.name.as_str() {
        "bash" => {
            let Bash { command } = serde_json::from_str(arguments).map_err(malformed)?;
            if command.len() > LONGEST_COMMAND {
                return Err(format!(
                    "The command has {} bytes; at most {LONGEST_COMMAND} can be run at once.",
                    command.len()
                ));
            }
            if command.contains('\0') {
                return Err("The command has a zero byte in it and cannot be run.".to_owned());
            }
            Ok(Job::Bash { command })
        }
        "submit" => {
            serde_json::from_str(arguments).map(|Submit { .. }| Job::Submit).map_err(malformed)
        }
        _ => serde_json::from_str(arguments).map(|Think { .. }| Job::Think).map_err(malformed),
    }
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
    let note = match captured.status {
        ExitStatus::Exit { code: 0 } if text.is_empty() => "[no output]".to_owned(),
        ExitStatus::Exit { code: 0 } => return text,
        ExitStatus::Exit { code } => format!("[exit code {code}]"),
        ExitStatus::Signal { signal } => format!("[ended by signal {signal}]"),
        ExitStatus::TimeLimit => format!("[stopped after {} s]", limit_ms / 1000),
        ExitStatus::OutOfMemory => "[ended: out of memory]".to_owned(),
        ExitStatus::DiskFull { code } => format!("[exit code {code}; the disk is full]"),
    };
    if text.is_empty() { note } else { format!("{text}\n{note}") }
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
        let full = ExitStatus::DiskFull { code: 1 };
        assert_eq!(shown("a", "", full), "a\n[exit code 1; the disk is full]");
    }

    #[test]
    fn long_output_keeps_its_beginning_and_its_end() {
        assert_eq!(cut("äbcdefghij", 4), "äb\n[6 characters left out]\nij");
        assert_eq!(cut("äbcd", 4), "äbcd");
    }
}
