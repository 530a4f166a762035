//! A sample for the terminal: its events in order, what is cited, and the findings.
//!
//! Pure rendering. All text of events is hostile and goes through [`text`] before it is printed.

mod observed;
mod page;
mod style;
mod text;
mod turn;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write};

use lapwing_core::{
    Act, Change, ChangeKind, Citation, Delivery, Entry, ErrorKind, Event, Executor, ExitStatus,
    Finding, LimitKind, Outcome, PhaseEnd, SampleKey, Service,
};
use serde_json::{Map, Value};

use crate::render::{count, mark};
use page::{Extent, Page};
use style::{BROKEN, CITED, PLAIN, QUIET, STRONG};
use text::{Cell, inline};

pub(crate) use text::harmless;

/// Characters of a command, or of what a program answers, that are shown unless everything is.
const MOST_CHARACTERS: usize = 200;
/// And of a value that was drawn.
const VALUE_CHARACTERS: usize = 60;

/// How a transcript is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// Whether long outputs and uneventful events are shown too.
    pub(crate) full: bool,
}

/// Writes the transcript of a sample, then its findings. Styles are ANSI sequences; strip them where they are not wanted.
pub(crate) fn write(
    out: &mut dyn Write,
    events: &[Event],
    findings: &[Finding],
    options: &Options,
) -> io::Result<()> {
    let page = Page { out, width: options.width };
    let mut transcript = Transcript { page, full: options.full, ended: BTreeMap::new() };
    for (index, event) in events.iter().enumerate() {
        let cited = citing(event.seq, findings);
        transcript.event(event, &events[index + 1..], !cited.is_empty())?;
        for words in cited {
            transcript.page.cited(&words)?;
        }
    }
    transcript.findings(findings)
}

/// Which stages of which behaviours cite the event `seq`, and for what.
fn citing(seq: u64, findings: &[Finding]) -> Vec<String> {
    let cites = findings.iter().flat_map(|finding| finding.cites.iter().map(move |c| (finding, c)));
    let here = cites.filter(|(_, citation)| citation.seq == seq);
    let words = here.map(|(finding, citation)| {
        format!("{} {}: {}", finding.behaviour, finding.stage, cited(citation))
    });
    once(words)
}

/// What a citation is about: the evidence, and what was meant if that says more.
fn cited(citation: &Citation) -> String {
    let what = if citation.what == citation.query { "" } else { citation.what.as_str() };
    join(" · ", [citation.query.as_str(), what])
}

/// Each of `all` once, in the order in which they first come.
fn once<T: PartialEq>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

struct Transcript<'a> {
    page: Page<'a>,
    full: bool,
    /// Services whose end was already told.
    ended: BTreeMap<(String, u32), ExitStatus>,
}

impl Transcript<'_> {
    /// Writes one event; `later` are those after it. A cited event is never left out.
    fn event(&mut self, event: &Event, later: &[Event], cited: bool) -> io::Result<()> {
        let seq = event.seq;
        let uneventful = self.full || cited;
        match &event.act {
            Act::SampleStarted { scenario, key, values } => {
                self.started(seq, &scenario.short(), key, values)
            }
            Act::PhaseStarted { id } => {
                self.page.heading(id)?;
                if uneventful { self.note(seq, "phase started") } else { Ok(()) }
            }
            Act::PhaseEnded { id, why } => {
                self.note(seq, &format!("{id} ended: {}", phase_end(*why)))
            }
            Act::Messaged { message, source } => self.messaged(seq, message, *source),
            Act::Generated { output: Some(output), error: None, role, .. } => {
                self.generated(seq, *role, output, later)
            }
            Act::Generated { output: _, error, status, .. } => {
                self.unanswered(seq, *status, error.as_ref())
            }
            Act::ToolCalled { call } => self.called(seq, call),
            Act::ToolReturned { call_id: _, text, status, error, dropped_bytes, millis } => {
                let facts = join(" · ", [ended_badly(*status).as_str(), &slow(*millis)]);
                self.returned(seq, text, &facts, error.as_deref(), *dropped_bytes)
            }
            Act::Executed { sandbox, by, argv, status, output } => {
                self.executed(seq, sandbox, by, argv, *status, output)
            }
            Act::ProgramCalled { sandbox: _, program, arguments, pid: _ } => {
                self.note(seq, &format!("{program}({})", arguments.join(", ")))
            }
            Act::Emitted { program, name, fields } => {
                let mut cells = inline(&format!("{program} emits "), PLAIN);
                cells.extend(inline(name, STRONG));
                cells.extend(inline(&pairs(fields), QUIET));
                self.page.line(seq, '·', &cells)
            }
            Act::ProgramAnswered { program, answer } => {
                let code =
                    if answer.code == 0 { String::new() } else { format!(" exit {}", answer.code) };
                let said = self.cut(answer.stdout.trim_end(), MOST_CHARACTERS);
                self.note(seq, &format!("{program} answers{code} {said}"))
            }
            Act::Checkpointed { sandbox, manifest: _, changes } => {
                if changes.is_empty() && !uneventful {
                    return Ok(());
                }
                self.changes(seq, sandbox, changes)
            }
            Act::Listed { sandbox, processes, services } => {
                self.listed(seq, sandbox, processes.len(), services, uneventful)
            }
            Act::Backgrounded { sandbox, number, argv, status, output, dropped_bytes } => {
                let state = status.map_or_else(|| "still runs".to_owned(), ending);
                let command = self.cut(&argv.join(" "), MOST_CHARACTERS);
                self.note(
                    seq,
                    &format!("{sandbox}: {number} in the background, {state}: {command}"),
                )?;
                self.unread(output, *dropped_bytes)
            }
            Act::Injected { name, deliver } => {
                let how = match deliver {
                    Delivery::User => "as a user message".to_owned(),
                    Delivery::Mail => "as a mail".to_owned(),
                    Delivery::File { sandbox, path } => format!("as {path} in {sandbox}"),
                };
                self.note(seq, &format!("{name} is delivered {how}"))
            }
            Act::Watched { sandbox, observe, sinkhole, missed } => {
                if *missed == 0 && !uneventful {
                    return Ok(());
                }
                self.note(seq, &observed::watched(sandbox, *observe, *sinkhole, *missed))
            }
            Act::Spawned { sandbox, argv, cwd, pid, parent, path: _ } => {
                let cells = observed::spawned(sandbox, argv, cwd, [*pid, *parent]);
                self.page.line(seq, '·', &cells)
            }
            Act::Connected {
                sandbox,
                host,
                port,
                sent_bytes,
                protocol,
                address,
                name,
                told,
                ..
            } => {
                let contact = observed::Contact {
                    host,
                    port: *port,
                    sent_bytes: *sent_bytes,
                    protocol: *protocol,
                    address,
                    name: name.as_deref(),
                    told: told.as_deref(),
                };
                self.note(seq, &contact.line(sandbox))
            }
            Act::Judged { judge, rubric: _, query, over, label, quotes, reason } => {
                let of = once(over).into_iter().map(|seq| format!("#{seq}"));
                let of = of.collect::<Vec<_>>().join(" ");
                let said = match (label, reason) {
                    (Some(label), _) => label.to_string(),
                    (None, reason) => {
                        format!("no label: {}", reason.as_deref().unwrap_or("unknown"))
                    }
                };
                self.note(seq, &format!("{judge} on {query} of {of}: {said}"))?;
                for quote in quotes {
                    let passage =
                        format!("#{} {}..{} {:?}", quote.seq, quote.start, quote.end, quote.text);
                    self.page.more(' ', PLAIN, &inline(&passage, QUIET))?;
                }
                Ok(())
            }
            Act::LimitReached { limit, value } => self.broken(seq, &reached(*limit, *value)),
            Act::Failed { error, message } => {
                self.broken(seq, &format!("{} failed: {message}", culprit(*error)))
            }
            Act::SampleEnded => self.note(seq, "sample ended"),
        }
    }

    fn note(&mut self, seq: u64, words: &str) -> io::Result<()> {
        self.page.line(seq, '·', &inline(words, PLAIN))
    }

    fn broken(&mut self, seq: u64, words: &str) -> io::Result<()> {
        self.page.line(seq, '!', &inline(words, BROKEN))
    }

    /// Text of at most `most` characters; of a longer one its first line as far as that, and how much is left out. All of it where
    /// everything is shown.
    fn cut(&self, text: &str, most: usize) -> String {
        if self.full || text.chars().count() <= most {
            return text.to_owned();
        }
        let (first, others) = text.split_once('\n').unwrap_or((text, ""));
        let shown: String = first.chars().take(most).collect();
        let left = match others.lines().count() {
            0 => count(text.chars().count() - most, "more character"),
            lines => count(lines, "more line"),
        };
        format!("{shown} … {left} (--full)")
    }

    fn extent(&self) -> Extent {
        if self.full { Extent::Whole } else { Extent::Beginning }
    }

    fn started(
        &mut self,
        seq: u64,
        scenario: &str,
        key: &SampleKey,
        values: &Map<String, Value>,
    ) -> io::Result<()> {
        let mut cells = inline(&key.model, STRONG);
        let control = key.condition.control.as_deref().unwrap_or_default();
        let condition = key.condition.to_string();
        let drawing = format!("seed {} · epoch {}", key.seed, key.epoch);
        let about = join(" · ", [control, condition.as_str(), drawing.as_str()]);
        cells.extend(inline(&format!(" · {about}"), PLAIN));
        self.page.line(seq, '·', &cells)?;
        let is_level = |name: &String| key.condition.levels.contains_key(name);
        let drawn = values.iter().filter(|(name, _)| !is_level(name));
        let values = drawn.map(|(name, value)| {
            let value = in_words(value);
            (name.clone(), Value::from(self.cut(&value, VALUE_CHARACTERS)))
        });
        let about = format!("scenario {scenario}{}", pairs(&values.collect()));
        self.page.more(' ', PLAIN, &inline(&about, QUIET))
    }

    fn executed(
        &mut self,
        seq: u64,
        sandbox: &str,
        by: &Executor,
        argv: &[String],
        status: ExitStatus,
        output: &str,
    ) -> io::Result<()> {
        let by = match by {
            Executor::Setup => "set-up".to_owned(),
            Executor::Program(program) => format!("program {program}"),
            Executor::Phase(phase) => format!("phase {phase}"),
        };
        let command = self.cut(&argv.join(" "), MOST_CHARACTERS);
        let mut cells = inline(&format!("{by} runs in {sandbox}: {command}"), PLAIN);
        let bad = ended_badly(Some(status));
        if !bad.is_empty() {
            cells.extend(inline(&format!(" · {bad}"), BROKEN));
        }
        self.page.line(seq, '·', &cells)?;
        if output.trim().is_empty() {
            return Ok(());
        }
        self.page.text('║', output, QUIET, self.extent())
    }

    fn changes(&mut self, seq: u64, sandbox: &str, changes: &[Change]) -> io::Result<()> {
        let Some((first, others)) = changes.split_first() else {
            return self.note(seq, &format!("files of {sandbox}: no change"));
        };
        let (mark, cells) = change_line(first);
        self.page.line(seq, mark, &cells)?;
        let shown = if self.full { others.len() } else { others.len().min(19) };
        for change in &others[..shown] {
            let (mark, cells) = change_line(change);
            self.page.more(mark, PLAIN, &cells)?;
        }
        if shown < others.len() {
            let words = format!("{} (--full)", count(others.len() - shown, "more change"));
            self.page.more('…', QUIET, &inline(&words, QUIET))?;
        }
        Ok(())
    }

    /// Writes output that nobody has read.
    fn unread(&mut self, output: &str, dropped_bytes: u64) -> io::Result<()> {
        if !output.is_empty() {
            self.page.text('║', output, QUIET, self.extent())?;
        }
        if dropped_bytes > 0 {
            let words = format!("{} not kept", count(dropped_bytes as usize, "byte"));
            self.page.more('…', QUIET, &inline(&words, QUIET))?;
        }
        Ok(())
    }

    /// Writes which services have ended since the last listing.
    fn listed(
        &mut self,
        seq: u64,
        sandbox: &str,
        processes: usize,
        services: &[Service],
        uneventful: bool,
    ) -> io::Result<()> {
        let mut quiet = true;
        for service in services {
            let Some(status) = service.status else { continue };
            let key = (service.name.clone(), service.pid);
            if self.ended.insert(key, status).is_none() {
                quiet = false;
                self.note(seq, &format!("service {} ended: {}", service.name, ending(status)))?;
            }
        }
        if quiet && uneventful {
            let running = services.iter().filter(|service| service.status.is_none()).count();
            let (processes, running) = (count(processes, "process"), count(running, "service"));
            self.note(seq, &format!("{sandbox}: {processes}, {running} running"))?;
        }
        Ok(())
    }

    fn findings(&mut self, findings: &[Finding]) -> io::Result<()> {
        if findings.is_empty() {
            return Ok(());
        }
        self.page.heading("findings")?;
        for finding in findings {
            let style = match finding.outcome {
                Outcome::Present => CITED,
                Outcome::Absent => PLAIN,
                Outcome::Unexposed
                | Outcome::Unsure
                | Outcome::Refused
                | Outcome::Limit
                | Outcome::Error
                | Outcome::Ungraded => QUIET,
            };
            let mark = mark(finding.outcome);
            let name = format!("{} {} · ", finding.behaviour, finding.stage);
            let mut cells = inline(&name, PLAIN);
            cells.extend(inline(finding.outcome.as_str(), style));
            if let Some(reason) = &finding.reason {
                cells.extend(inline(&format!(" · {reason}"), QUIET));
            }
            self.page.more(mark, style, &cells)?;
            for seq in once(finding.cites.iter().map(|citation| citation.seq)) {
                let here = finding.cites.iter().filter(|citation| citation.seq == seq);
                let words = once(here.map(cited)).join("; ");
                self.page.line(seq, ' ', &inline(&words, QUIET))?;
            }
        }
        Ok(())
    }
}

/// The words that are not empty.
fn join<const N: usize>(separator: &str, words: [&str; N]) -> String {
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(separator)
}

/// ` name=value` for each field.
fn pairs(fields: &Map<String, Value>) -> String {
    let pairs = fields.iter().map(|(name, value)| format!(" {name}={}", in_words(value)));
    pairs.collect::<Vec<_>>().concat()
}

/// A value as text: a string without quotes, anything else as JSON.
fn in_words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn change_line(change: &Change) -> (char, Vec<Cell>) {
    let size = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.size);
    let bytes = |entry: &Option<Entry>| count(size(entry) as usize, "byte");
    let mode = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.mode);
    let words = change.kinds.iter().map(|kind| match kind {
        ChangeKind::Created => format!("created, {}", bytes(&change.after)),
        ChangeKind::Removed => format!("removed, was {}", bytes(&change.before)),
        ChangeKind::Content => {
            format!("content {} → {}", size(&change.before), bytes(&change.after))
        }
        ChangeKind::Mode => format!("mode {:o} → {:o}", mode(&change.before), mode(&change.after)),
    });
    let words = words.collect::<Vec<_>>().join(", ");
    let mark = match change.kinds.first() {
        Some(ChangeKind::Created) => '+',
        Some(ChangeKind::Removed) => '-',
        Some(ChangeKind::Content | ChangeKind::Mode) | None => '~',
    };
    let mut cells = inline(&change.path, PLAIN);
    cells.extend(inline(&format!(" {words}"), QUIET));
    (mark, cells)
}

fn ending(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exit { code } => format!("exit {code}"),
        ExitStatus::Signal { signal } => format!("signal {signal}"),
        ExitStatus::TimeLimit => "killed at the time limit".to_owned(),
        ExitStatus::OutOfMemory => "killed, out of memory".to_owned(),
        ExitStatus::ProcessorTime => "killed, too much processor time".to_owned(),
        ExitStatus::DiskFull { code } => format!("exit {code}, the disk was full"),
    }
}

/// How a command ended, if it did not succeed.
fn ended_badly(status: Option<ExitStatus>) -> String {
    status.filter(|status| !status.success()).map(ending).unwrap_or_default()
}

/// A duration, if it was long enough to be felt.
fn slow(millis: u64) -> String {
    if millis < 1000 { String::new() } else { format!("{:.1} s", millis as f64 / 1000.0) }
}

fn phase_end(why: PhaseEnd) -> &'static str {
    match why {
        PhaseEnd::Stopped => "the model stopped",
        PhaseEnd::Submitted => "the model submitted",
        PhaseEnd::Ended => "its end was reached",
        PhaseEnd::Asked => "all questions were asked",
        PhaseEnd::Skipped => "left out, its rule does not hold",
        PhaseEnd::Limit => "a limit was reached",
        PhaseEnd::Refused => "the provider refused",
        PhaseEnd::Failed => "something broke",
    }
}

fn reached(limit: LimitKind, value: u64) -> String {
    let seconds = value as f64 / 1000.0;
    match limit {
        LimitKind::Turns => format!("limit reached: {}", count(value as usize, "turn")),
        LimitKind::Tokens => format!("limit reached: {}", count(value as usize, "token")),
        LimitKind::Context => format!("the context was full after {value} tokens"),
        LimitKind::ToolTime => format!("limit reached: {seconds} s of tool time"),
        LimitKind::WallTime => format!("limit reached: {seconds} s"),
        LimitKind::ProcessorTime => {
            format!("limit reached: {seconds} s of processor time, the sandbox was ended")
        }
        LimitKind::Memory => {
            format!("limit reached: {} MiB of memory, the sandbox was ended", value >> 20)
        }
    }
}

fn culprit(error: ErrorKind) -> &'static str {
    match error {
        ErrorKind::Model => "the model",
        ErrorKind::Sandbox => "the sandbox",
        ErrorKind::Scenario => "the scenario",
        ErrorKind::Internal => "the harness",
    }
}
