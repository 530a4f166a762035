//! A person as the model: plays a scenario in the terminal, and is recorded like any model.

use std::io::{BufRead as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use anstream::println;
use lapwing_core::{
    BoxFuture, Message, Model, Output, Part, Reasoning, Reply, Request, StopReason, ToolCall,
};
use lapwing_eval::Stop;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use crate::render::{BOLD, DIM};
use crate::transcript::harmless;

const HELP: &str = "Write what you say. A line that begins with `$ ` is a command, if you have bash. An empty line ends your turn.
/think TEXT    thinks
/submit ANSWER hands in an answer and ends your turn
/help          shows this
/quit          leaves
With the tools of their names:
/bash_start COMMAND      starts a command that goes on beside others
/bash_read ID [SECONDS]  shows what it has written since, after SECONDS if that is nothing
/bash_write ID TEXT      writes a line to it; without TEXT its input ends
/bash_stop ID            ends it";

/// Reads turns from standard input.
pub(crate) struct Human {
    lines: Mutex<mpsc::UnboundedReceiver<String>>,
    stop: Stop,
    /// Messages of the conversation that were shown.
    shown: AtomicUsize,
    n_calls: AtomicUsize,
}

impl Human {
    /// Begins to read. `stop` is told when the person leaves.
    pub(crate) fn new(stop: Stop) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        // A thread of its own: nothing waits for it when the program ends while a line is awaited.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let count = AtomicUsize::default;
        Self { lines: Mutex::new(lines), stop, shown: count(), n_calls: count() }
    }

    /// Shows what is new since the last turn.
    fn show(&self, request: &Request) {
        let before = self.shown.swap(request.messages.len() + 1, Ordering::Relaxed);
        let before = if request.messages.len() < before { 0 } else { before };
        for message in &request.messages[before..] {
            let role = match message {
                Message::System { .. } => "system",
                Message::User { .. } => "user",
                Message::Tool { .. } => "tool",
                Message::Assistant { .. } => continue,
            };
            println!("\n{BOLD}{role}{BOLD:#}");
            for line in message.text().lines() {
                println!("  {}", harmless(line));
            }
        }
        let tools: Vec<&str> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
        let tools = if tools.is_empty() { "no tools".to_owned() } else { tools.join(", ") };
        println!("\n{DIM}your turn ({tools}); an empty line ends it, /help tells more{DIM:#}");
        // Whether it can be seen does not matter to the record.
        let _ = std::io::stdout().flush();
    }

    fn call(&self, name: &str, arguments: &Value) -> Part {
        let number = self.n_calls.fetch_add(1, Ordering::Relaxed) + 1;
        let (id, name, arguments) =
            (format!("call_{number}"), name.to_owned(), arguments.to_string());
        Part::ToolCall(ToolCall { id, name, arguments })
    }

    async fn turn(&self) -> Vec<Part> {
        let mut lines = self.lines.lock().await;
        let (mut said, mut parts) = (Vec::new(), Vec::new());
        // The end of the input ends the turn too, and every turn after it.
        while let Some(line) = lines.recv().await {
            if let Some((tool, arguments)) = called(&line) {
                parts.push(self.call(tool, &arguments));
            } else if let Some(thought) = line.strip_prefix("/think ") {
                let text = thought.to_owned();
                parts.push(Part::Reasoning(Reasoning::Full { text, opaque: None }));
            } else if let Some(answer) = line.strip_prefix("/submit ") {
                parts.push(self.call("submit", &json!({ "answer": answer })));
                break;
            } else if line == "/help" {
                println!("{HELP}");
            } else if line == "/quit" {
                self.stop.drain.cancel();
                self.stop.now.cancel();
                break;
            } else if line.is_empty() {
                break;
            } else {
                said.push(line);
            }
        }
        if !said.is_empty() {
            parts.insert(0, Part::Text { text: said.join("\n") });
        }
        parts
    }
}

/// The tool that a line calls, and its arguments.
fn called(line: &str) -> Option<(&'static str, Value)> {
    let (word, rest) = line.split_once(' ')?;
    let (id, more) = rest.split_once(' ').map_or((rest, None), |(id, more)| (id, Some(more)));
    let call = match word {
        "$" => ("bash", json!({ "command": rest })),
        "/bash_start" => ("bash_start", json!({ "command": rest })),
        "/bash_read" => {
            // What is no number is told so by the tool, as it is to a model.
            let number = |text: &str| text.parse::<f64>().map_or_else(|_| json!(text), Value::from);
            ("bash_read", json!({ "id": id, "seconds": more.map(number) }))
        }
        "/bash_write" => match more {
            None => ("bash_write", json!({ "id": id, "text": "", "end": true })),
            Some(text) => ("bash_write", json!({ "id": id, "text": format!("{text}\n") })),
        },
        "/bash_stop" => ("bash_stop", json!({ "id": rest })),
        _ => return None,
    };
    Some(call)
}

impl Model for Human {
    fn name(&self) -> &'static str {
        "human"
    }

    fn generate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            self.show(request);
            let parts = self.turn().await;
            let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
            let output = Output {
                message: Message::Assistant { parts },
                stop: if calls { StopReason::ToolCalls } else { StopReason::Stop },
                usage: None,
                snapshot: None,
                fingerprint: None,
                tokens: None,
            };
            Reply { attempts: Vec::new(), result: Ok(output) }
        })
    }
}
