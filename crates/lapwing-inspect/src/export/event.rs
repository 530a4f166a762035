//! Events as Inspect has them, one of ours at a time.
//!
//! Each bears the number of ours in its metadata, so that a citation `#12` can be followed. Where one of ours has no counterpart it
//! is an `info` event with its own fields as data.

mod tool;
mod wire;

use std::io;

use lapwing_core::{Act, ChangeKind, Digest, Event, ExitStatus, LimitKind, Output, Role};
use lapwing_eval::{tool_spec, via_codebook};
use lapwing_scenario::{PhaseKind, PhasePlan};
use lapwing_store::SampleRow;
use serde_json::{Map, Value, json};

use super::conversation::{Conversation, Texts, ranges};
use super::message::{message, output};
use super::sample::{About, limit, role_name};
use super::{Broken, Log, failure, score};
use crate::names::time;
use crate::spill::{Keyed, Spill};
use crate::stream::Stream;
use tool::OpenCall;
use wire::Wire;

const SOURCE: &str = "lapwing";
/// Spans of Inspect's own names: its viewer makes of the first the transcript, of the second the scores.
const SOLVERS: &str = "solvers";
const SCORERS: &str = "scorers";
const RECORD: &str = "record";
/// How the id of a phase's span begins.
const PHASE: &str = "phase-";

/// Writes the events of one sample into the open array of `out`.
pub(crate) struct Events<'a, 'o> {
    log: &'a Log<'a>,
    out: Stream<'o>,
    phases: Vec<PhasePlan>,
    /// Whether the model was told of the tools of its phase, and did not only have words for calls.
    offers_tools: bool,
    texts: Texts,
    conversation: Conversation,
    calls: Keyed<Digest>,
    uuid: String,
    started_ms: u64,
    n_written: u64,
    /// When the last event of ours happened.
    last_ms: u64,
    /// The spans that are open, the innermost last; calls of tools are not among them.
    spans: Vec<String>,
    open: Option<OpenCall>,
    last_output: Option<Value>,
    sample: Value,
}

/// What is written behind the events.
pub(crate) struct Rest<'o> {
    pub(crate) out: Stream<'o>,
    texts: Texts,
    conversation: Conversation,
    calls: Keyed<Digest>,
    output: Option<Value>,
}

impl<'a, 'o> Events<'a, 'o> {
    pub(crate) fn new(
        log: &'a Log<'a>,
        sample: &SampleRow,
        about: &About,
        started_ms: u64,
        out: Stream<'o>,
    ) -> Result<Self, Broken> {
        let (scenario, key) = (&log.source.scenario, &sample.key);
        let is_via_codebook = via_codebook(&log.source.spec).contains(&key.model);
        // What an imported log was run with is not known here.
        let plan = match scenario.imported() {
            Some(_) => None,
            None if is_via_codebook => {
                scenario.organism_plan(&key.condition, key.seed).ok().flatten()
            }
            None => scenario.plan(&key.condition, key.seed).ok(),
        };
        Ok(Self {
            log,
            out,
            phases: plan.map(|plan| plan.phases).unwrap_or_default(),
            offers_tools: !is_via_codebook,
            texts: Texts::new()?,
            conversation: Conversation::new()?,
            calls: Keyed::new()?,
            uuid: about.uuid.clone(),
            started_ms,
            n_written: 0,
            last_ms: started_ms,
            spans: Vec::new(),
            open: None,
            last_output: None,
            sample: json!({
                "id": about.id, "input": about.input, "target": about.target,
                "metadata": about.metadata,
            }),
        })
    }

    pub(crate) fn see(&mut self, event: &Event) -> Result<(), Broken> {
        let (seq, at_ms) = (event.seq, event.at_ms);
        self.last_ms = self.last_ms.max(at_ms);
        match &event.act {
            Act::SampleStarted { values, .. } => {
                let mut sample = std::mem::take(&mut self.sample);
                self.texts.shorten(&mut sample["input"])?;
                let mut state = json!({ "values": values });
                self.texts.shorten(&mut state)?;
                self.write(event, "sample_init", json!({ "sample": sample, "state": state }))?;
                self.begin(SOLVERS, SOLVERS, at_ms)?;
            }
            Act::PhaseStarted { id, .. } => {
                if self.starts_fresh(id) {
                    self.conversation.clear();
                }
                let span = format!("{PHASE}{seq}");
                let body = json!({ "id": span, "name": id, "type": "solver" });
                let body = self.inside(body);
                self.spans.push(span);
                self.write(event, "span_begin", body)?;
            }
            Act::PhaseEnded { .. } => {
                self.close_call(at_ms)?;
                self.info(event)?;
                // A phase that was left out never began.
                let is_open = |span: &&String| span.starts_with(PHASE);
                if let Some(span) = self.spans.last().filter(is_open).cloned() {
                    self.write(event, "span_end", json!({ "id": span }))?;
                    self.spans.pop();
                }
            }
            Act::Messaged { message: said, .. } => {
                let said = message(&self.uuid, event, said, self.log.model);
                self.conversation.push(&said, &mut self.texts)?;
                self.info(event)?;
            }
            Act::Generated { model, role, request, response, output, error, millis, .. } => {
                let mut wire = self.wire(request, *response, *role)?;
                if let Some(wire) = &mut wire {
                    wire.value["time"] = json!(*millis as f64 / 1000.0);
                    if error.is_some() {
                        wire.value["error"] = Value::from(true);
                    }
                }
                let (role, output) = (*role, output.as_deref());
                let error = error.as_ref().map(|(_, error)| error.as_str());
                self.generated(event, Asked { model, role, output, wire, error, millis: *millis })?;
            }
            Act::ToolCalled { call } => {
                self.close_call(at_ms)?;
                let span = format!("tool-{seq}");
                let body = self.inside(json!({ "id": span, "name": call.name, "type": "tool" }));
                self.open = Some(OpenCall { seq, at_ms, call: call.clone() });
                self.write(event, "span_begin", body)?;
            }
            Act::ToolReturned { call_id, text, error, dropped_bytes, .. } => {
                self.returned(event, call_id, text, error.as_deref(), *dropped_bytes)?;
            }
            Act::Executed { sandbox, by, argv, status, output, .. } => {
                let mut options = json!({ "sandbox": sandbox, "by": by, "status": status });
                self.texts.shorten(&mut options)?;
                let result = match status {
                    ExitStatus::Exit { code } | ExitStatus::DiskFull { code } => *code,
                    ExitStatus::Signal { signal } => 128 + *signal,
                    ExitStatus::OutOfMemory | ExitStatus::ProcessorTime => 137,
                    ExitStatus::TimeLimit => 124,
                };
                let body = json!({
                    "action": "exec", "cmd": argv.join(" "), "options": options, "result": result,
                    "output": output,
                });
                self.write(event, "sandbox", body)?;
            }
            Act::Checkpointed { sandbox, changes, .. } => {
                if !changes.is_empty() {
                    let changes = changes.iter().map(|change| {
                        let path = change.path.replace('~', "~0").replace('/', "~1");
                        let op = match change.kinds.first() {
                            Some(ChangeKind::Created) => "add",
                            Some(ChangeKind::Removed) => "remove",
                            Some(ChangeKind::Content | ChangeKind::Mode) | None => "replace",
                        };
                        json!({
                            "op": op, "path": format!("/{sandbox}/{path}"), "value": change.after,
                            "replaced": change.before,
                        })
                    });
                    let mut changes: Value = changes.collect();
                    self.texts.shorten(&mut changes)?;
                    self.write(event, "state", json!({ "changes": changes }))?;
                }
            }
            Act::Judged { query, label, quotes, reason, .. } => {
                let score = score::of_label(*label, quotes, reason.as_deref());
                let body = json!({ "score": score, "scorer": query, "intermediate": true });
                self.bare(event, "score", body)?;
            }
            Act::LimitReached { limit: kind, value, .. } => {
                let (name, value) = limit(*kind, *value);
                // Inspect has no limit on memory or processor time, and no event for a full context.
                let (kind, words) = match kind {
                    LimitKind::Memory => ("custom", "memory"),
                    LimitKind::ProcessorTime => ("custom", "processor time"),
                    LimitKind::Context => ("custom", name),
                    LimitKind::Turns
                    | LimitKind::Tokens
                    | LimitKind::ToolTime
                    | LimitKind::WallTime => (name, name),
                };
                let text = format!("the limit of {value} was reached ({words})");
                self.write(
                    event,
                    "sample_limit",
                    json!({ "type": kind, "message": text, "limit": value }),
                )?;
            }
            Act::Failed { message, .. } => {
                self.write(event, "error", json!({ "error": failure(message) }))?;
            }
            Act::ProgramCalled { .. }
            | Act::Emitted { .. }
            | Act::ProgramAnswered { .. }
            | Act::Listed { .. }
            | Act::Backgrounded { .. }
            | Act::Injected { .. }
            | Act::Watched { .. }
            | Act::Spawned { .. }
            | Act::Connected { .. }
            | Act::SampleEnded => self.info(event)?,
        }
        Ok(())
    }

    /// Whether the model begins the phase in a fresh conversation.
    fn starts_fresh(&self, phase: &str) -> bool {
        let phase = self.phases.iter().find(|known| known.id == phase);
        match phase.map(|phase| &phase.kind) {
            Some(PhaseKind::Agent { .. } | PhaseKind::Ask { fresh: true, .. }) => true,
            Some(PhaseKind::Ask { fresh: false, .. } | PhaseKind::Run { .. }) | None => false,
        }
    }

    fn tools(&self, phase: &str) -> Vec<Value> {
        let phase = self.phases.iter().find(|known| known.id == phase);
        let kind = phase.filter(|_| self.offers_tools).map(|phase| &phase.kind);
        let Some(PhaseKind::Agent { tools, .. }) = kind else { return Vec::new() };
        let specs = tools.iter().filter_map(|name| tool_spec(name));
        let infos = specs.map(|spec| {
            json!({ "name": spec.name, "description": spec.description, "parameters": spec.parameters })
        });
        infos.collect()
    }

    fn generated(&mut self, event: &Event, asked: Asked<'_>) -> io::Result<()> {
        let Asked { model, role, output: returned, wire, error, millis } = asked;
        let is_target = role == Role::Target;
        let seconds = millis as f64 / 1000.0;
        let mut body = json!({
            "model": model,
            "input": [],
            "input_refs": if is_target { self.conversation.refs() } else { Vec::new() },
            "tools": if is_target { self.tools(&event.phase) } else { Vec::new() },
            "tool_choice": "auto",
            "config": if is_target { self.log.config() } else { Map::new() },
            "completed": time(event.at_ms),
            "working_time": seconds,
        });
        if !is_target {
            body["role"] = Value::from(role_name(role));
        }
        if let Some(wire) = wire {
            if !is_target {
                body["input_refs"] = json!(ranges(wire.asked.into_iter()));
            }
            body["call"] = wire.value;
        }
        let turn = returned.map(|returned| message(&self.uuid, event, &returned.message, model));
        let mut out = match (returned, &turn) {
            (Some(returned), Some(turn)) => output(model, returned, turn, seconds),
            (_, _) => json!({ "model": model, "choices": [], "completion": "", "time": seconds }),
        };
        if let Some(error) = error {
            body["error"] = Value::from(error);
            out["error"] = Value::from(error);
        }
        body["output"] = out.clone();
        for choice in body["output"]["choices"].as_array_mut().into_iter().flatten() {
            self.texts.shorten(&mut choice["message"]["content"])?;
        }
        let value = self.value(event, "model", body, event.at_ms.saturating_sub(millis));
        self.out.element(&value)?;
        if let (true, Some(turn)) = (is_target, turn) {
            self.conversation.push(&turn, &mut self.texts)?;
            self.last_output = Some(out);
        }
        Ok(())
    }

    /// The scores of the sample, each as Inspect's scorers leave it.
    pub(crate) fn scores(&mut self, scores: &Map<String, Value>, at_ms: u64) -> io::Result<()> {
        self.close_call(at_ms)?;
        while !self.spans.is_empty() {
            self.end(at_ms)?;
        }
        self.begin(SCORERS, SCORERS, at_ms)?;
        for (name, score) in scores {
            let body = json!({ "score": score, "scorer": name, "intermediate": false });
            let value = self.unnumbered("score", body, at_ms);
            self.out.bare_element(&value)?;
        }
        self.end(at_ms)
    }

    pub(crate) fn open_record(&mut self) -> io::Result<()> {
        self.begin(RECORD, SOURCE, self.last_ms)
    }

    /// A piece of the record.
    pub(crate) fn record(&mut self, mut piece: Value) -> io::Result<()> {
        self.texts.shorten(&mut piece)?;
        let body = json!({ "source": SOURCE, "data": { "record": piece } });
        let value = self.unnumbered("info", body, self.last_ms);
        self.out.element(&value)
    }

    pub(crate) fn close_record(&mut self) -> io::Result<()> {
        self.end(self.last_ms)
    }

    /// Ends the array of events.
    pub(crate) fn finish(mut self) -> io::Result<Rest<'o>> {
        self.out.end_array()?;
        Ok(Rest {
            out: self.out,
            texts: self.texts,
            conversation: self.conversation,
            calls: self.calls,
            output: self.last_output,
        })
    }

    fn begin(&mut self, span: &str, kind: &str, at_ms: u64) -> io::Result<()> {
        let body = self.inside(json!({ "id": span, "name": span, "type": kind }));
        self.spans.push(span.to_owned());
        let value = self.unnumbered("span_begin", body, at_ms);
        self.out.element(&value)
    }

    /// Ends the innermost span.
    fn end(&mut self, at_ms: u64) -> io::Result<()> {
        let Some(span) = self.spans.last().cloned() else { return Ok(()) };
        let value = self.unnumbered("span_end", json!({ "id": span }), at_ms);
        self.spans.pop();
        self.out.element(&value)
    }

    /// The beginning of a span inside of the innermost one.
    fn inside(&self, mut body: Value) -> Value {
        if let Some(parent) = self.spans.last() {
            body["parent_id"] = Value::from(parent.as_str());
        }
        body
    }

    /// One of ours as it is.
    fn info(&mut self, event: &Event) -> io::Result<()> {
        let mut data = serde_json::to_value(&event.act)?;
        self.texts.shorten(&mut data)?;
        self.write(event, "info", json!({ "source": SOURCE, "data": data }))
    }

    fn write(&mut self, event: &Event, tag: &str, body: Value) -> io::Result<()> {
        let value = self.value(event, tag, body, event.at_ms);
        self.out.element(&value)
    }

    fn bare(&mut self, event: &Event, tag: &str, body: Value) -> io::Result<()> {
        let value = self.value(event, tag, body, event.at_ms);
        self.out.bare_element(&value)
    }

    fn value(&mut self, event: &Event, tag: &str, body: Value, at_ms: u64) -> Value {
        let mut value = self.unnumbered(tag, body, at_ms);
        value["metadata"] = json!({ "lapwing": { "seq": event.seq } });
        value
    }

    fn unnumbered(&mut self, tag: &str, mut value: Value, at_ms: u64) -> Value {
        self.n_written += 1;
        value["event"] = Value::from(tag);
        value["uuid"] = Value::from(format!("{}{}", self.uuid, self.n_written));
        value["timestamp"] = Value::from(time(at_ms));
        value["working_start"] = json!(at_ms.saturating_sub(self.started_ms) as f64 / 1000.0);
        let span = match &self.open {
            Some(open) => Some(format!("tool-{}", open.seq)),
            None => self.spans.last().cloned(),
        };
        if let Some(span) = span {
            value["span_id"] = Value::from(span);
        }
        value
    }
}

/// A model that was asked.
struct Asked<'e> {
    model: &'e str,
    role: Role,
    output: Option<&'e Output>,
    wire: Option<Wire>,
    error: Option<&'e str>,
    millis: u64,
}

impl Rest<'_> {
    /// What stands behind the events of a sample: its messages, its last output, the pools and the texts.
    pub(crate) fn messages(&mut self) -> io::Result<()> {
        copy(&mut self.out, "messages", self.conversation.whole())?;
        match &self.output {
            Some(output) => self.out.field("output", output)?,
            None => self.out.field("output", &json!({ "choices": [] }))?,
        }
        self.out.object_at("events_data")?;
        copy(&mut self.out, "messages", self.conversation.pool())?;
        copy(&mut self.out, "calls", self.calls.pieces())?;
        self.out.end_object()?;
        self.out.object_at("attachments")?;
        self.texts.each(|key, text| self.out.field(key, &text))?;
        self.out.end_object()
    }
}

fn copy(out: &mut Stream<'_>, key: &str, pieces: &mut Spill) -> io::Result<()> {
    out.array_at(key)?;
    for number in 0..pieces.len() {
        out.raw_element(&pieces.get(number)?.unwrap_or_default())?;
    }
    out.end_array()
}
