//! Turns: what was said to the model, what it said, the tools it called and what they returned.

use std::io;

use lapwing_core::{
    Act, Event, Message, ModelErrorKind, Output, Part, Reasoning, Role, Source, StopReason,
    ToolCall,
};
use serde_json::{Map, Value};

use super::page::Extent;
use super::style::{BROKEN, PLAIN, QUIET, STRONG, THOUGHT};
use super::text::{self, Cell, inline};
use super::{Transcript, in_words, join};

const SYSTEM: char = '┊';
const USER: char = '│';
const ASSISTANT: char = '┃';
const THINKING: char = '╏';
const TOOL: char = '║';

impl Transcript<'_> {
    pub(super) fn messaged(
        &mut self,
        seq: u64,
        message: &Message,
        source: Source,
    ) -> io::Result<()> {
        let (label, rule) = match message {
            Message::System { .. } => ("system", SYSTEM),
            Message::User { .. } => ("user", USER),
            Message::Assistant { .. } => ("assistant", ASSISTANT),
            Message::Tool { .. } => ("tool", TOOL),
        };
        let source = match source {
            Source::Prompt => "",
            Source::Nudge => "nudge",
            Source::Question => "question",
            Source::Injection => "delivered in mid-run",
        };
        self.page.head(seq, &labelled(label, source))?;
        self.page.text(rule, &message.text(), PLAIN, Extent::Whole)
    }

    pub(super) fn generated(
        &mut self,
        seq: u64,
        role: Role,
        output: &Output,
        later: &[Event],
    ) -> io::Result<()> {
        let label = match role {
            Role::Target => "assistant",
            Role::Judge => "judge",
        };
        self.page.head(seq, &labelled(label, stopped(output.stop)))?;
        let Message::Assistant { parts } = &output.message else {
            return self.page.text(ASSISTANT, &output.message.text(), PLAIN, Extent::Whole);
        };
        if parts.is_empty() {
            self.page.text(ASSISTANT, "(nothing)", QUIET, Extent::Whole)?;
        }
        for part in parts {
            match part {
                Part::Text { text } => {
                    self.page.text(ASSISTANT, text, PLAIN, Extent::Whole)?;
                }
                Part::Reasoning(reasoning) => self.reasoning(reasoning)?,
                Part::ToolCall(call) if is_carried_out(call, later) => {}
                Part::ToolCall(call) => {
                    let words = format!("called {}, which was not carried out", call.name);
                    self.page.lines(ASSISTANT, &[inline(&words, BROKEN)], Extent::Whole)?;
                    self.page.lines(ASSISTANT, &command(call), Extent::Whole)?;
                }
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, reasoning: &Reasoning) -> io::Result<()> {
        match reasoning {
            Reasoning::Full { text, .. } => self.page.text(THINKING, text, THOUGHT, Extent::Whole),
            Reasoning::Summary { text, .. } => {
                self.page.text(THINKING, "(the provider's summary)", QUIET, Extent::Whole)?;
                self.page.text(THINKING, text, THOUGHT, Extent::Whole)
            }
            Reasoning::Hidden { .. } => {
                self.page.text(THINKING, "(hidden by the provider)", QUIET, Extent::Whole)
            }
        }
    }

    /// A try that yielded no turn.
    pub(super) fn unanswered(
        &mut self,
        seq: u64,
        status: Option<u16>,
        error: Option<&(ModelErrorKind, String)>,
    ) -> io::Result<()> {
        let status = status.map_or_else(String::new, |status| format!("status {status}"));
        let message = error.map_or("no turn came back", |(_, message)| message);
        self.broken(seq, &join(" · ", ["the model did not answer", &status, message]))
    }

    pub(super) fn called(&mut self, seq: u64, call: &ToolCall) -> io::Result<()> {
        let mut head = inline("calls ", PLAIN);
        head.extend(inline(&call.name, STRONG));
        self.page.head(seq, &head)?;
        self.page.lines(ASSISTANT, &command(call), Extent::Whole)
    }

    pub(super) fn returned(
        &mut self,
        seq: u64,
        output: &str,
        facts: &str,
        error: Option<&str>,
        dropped_bytes: u64,
    ) -> io::Result<()> {
        self.page.head(seq, &labelled("result", facts))?;
        if let Some(error) = error {
            self.page.text(TOOL, error, BROKEN, Extent::Whole)?;
        }
        if output.is_empty() && error.is_none() {
            self.page.text(TOOL, "(no output)", QUIET, Extent::Whole)?;
        } else if !output.is_empty() && error != Some(output) {
            self.page.text(TOOL, output, PLAIN, self.extent())?;
        }
        if dropped_bytes > 0 {
            let words = format!("({dropped_bytes} bytes of output were not kept)");
            self.page.text(TOOL, &words, QUIET, Extent::Whole)?;
        }
        Ok(())
    }
}

fn labelled(label: &str, fact: &str) -> Vec<Cell> {
    let mut cells = inline(label, STRONG);
    if !fact.is_empty() {
        cells.extend(inline(&format!(" · {fact}"), QUIET));
    }
    cells
}

fn stopped(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Stop | StopReason::ToolCalls => "",
        StopReason::MaxTokens => "cut at the token limit",
        StopReason::ModelLength => "cut at the end of the context",
        StopReason::ContentFilter => "refused or filtered by the provider",
        StopReason::Unknown => "stopped for an unknown reason",
    }
}

/// Whether `call` has an event of its own before the next turn.
fn is_carried_out(call: &ToolCall, later: &[Event]) -> bool {
    let turn = later.iter().take_while(|event| !matches!(event.act, Act::Generated { .. }));
    turn.into_iter().any(|event| matches!(&event.act, Act::ToolCalled { call: c } if c == call))
}

/// What tools call the argument that is a command line.
const COMMANDS: [&str; 2] = ["command", "cmd"];

/// The arguments of a call: a command line alone behind a prompt, others each with its name, what cannot be read as it was written.
fn command(call: &ToolCall) -> Vec<Vec<Cell>> {
    let Ok(arguments) = serde_json::from_str::<Map<String, Value>>(&call.arguments) else {
        return text::lines(&call.arguments, PLAIN);
    };
    let mut values = arguments.iter();
    if let (Some((name, Value::String(only))), None) = (values.next(), values.next())
        && COMMANDS.contains(&name.as_str())
    {
        return prompted(only);
    }
    let lines = arguments.iter().map(|(name, value)| format!("{name}: {}", in_words(value)));
    lines.flat_map(|line| text::lines(&line, PLAIN)).collect()
}

/// A command after a prompt, its further lines below its first.
fn prompted(command: &str) -> Vec<Vec<Cell>> {
    let lines = text::lines(command, PLAIN).into_iter().enumerate();
    lines
        .map(|(index, line)| {
            let mut cells = inline(if index == 0 { "$ " } else { "  " }, QUIET);
            cells.extend(line);
            cells
        })
        .collect()
}
