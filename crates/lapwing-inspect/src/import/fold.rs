//! Events of Inspect, one after another, as ours.

mod turn;

use std::collections::BTreeSet;

use lapwing_core::{
    Act, Condition, Digest, ErrorKind, Event, Executor, ExitStatus, LimitKind, Message, PhaseEnd,
    Role, SampleKey, Source, StopReason, ToolCall,
};
use serde_json::{Map, Value, json};

use super::message::{call, calls, message, text};
use super::pools::Pools;
use super::scores;
use crate::InspectError;
use crate::names::at_ms;

/// The only phase of an imported sample.
pub(crate) const PHASE: &str = "transcript";
/// The event that every imported sample has.
pub(crate) const IMPORTED: &str = "imported";
const INSPECT: &str = "inspect";
/// Levels of nesting that are kept in an event.
const MAX_DEPTH: usize = 60;

/// What became of one event: events of ours, and bytes that they name.
#[derive(Default)]
pub(crate) struct Folded {
    pub(crate) events: Vec<Event>,
    pub(crate) blobs: Vec<Vec<u8>>,
}

/// A sample under way.
pub(crate) struct Fold<'p> {
    pub(crate) pools: &'p mut Pools,
    model: String,
    seq: u64,
    at_ms: u64,
    phase: &'static str,
    out: Folded,
    /// What the model under test sees, as digests.
    conversation: Vec<Digest>,
    told: BTreeSet<Digest>,
    returned: BTreeSet<String>,
    /// Spans that are open, and whether scorers are at work in them.
    spans: Vec<(String, bool)>,
    last_stop: Option<StopReason>,
    n_events: u64,
}

impl<'p> Fold<'p> {
    pub(crate) fn new(pools: &'p mut Pools, model: &str) -> Self {
        Self {
            pools,
            model: model.to_owned(),
            seq: 0,
            at_ms: 0,
            phase: "",
            out: Folded::default(),
            conversation: Vec::new(),
            told: BTreeSet::new(),
            returned: BTreeSet::new(),
            spans: Vec::new(),
            last_stop: None,
            n_events: 0,
        }
    }

    /// Takes what came of the events so far.
    pub(crate) fn take(&mut self) -> Folded {
        std::mem::take(&mut self.out)
    }

    /// Events and blobs that were not taken yet; a long one counts for many.
    pub(crate) fn pending(&self) -> usize {
        let bytes: usize = self.out.blobs.iter().map(Vec::len).sum();
        self.out.events.len() + self.out.blobs.len() + bytes / 4096
    }

    /// Whether the log had any event of the sample.
    pub(crate) fn is_empty(&self) -> bool {
        self.n_events == 0
    }

    fn push(&mut self, act: Act) {
        self.seq += 1;
        let event = Event { seq: self.seq, phase: self.phase.to_owned(), at_ms: self.at_ms, act };
        self.out.events.push(event);
    }

    fn emit(&mut self, program: &str, name: &str, fields: Map<String, Value>) {
        let fields = fields.into_iter().map(|(key, value)| (key, shallow(value, 0))).collect();
        self.push(Act::Emitted { program: program.to_owned(), name: name.to_owned(), fields });
    }

    /// The sample begins. `head` is what the log says of it outside of its events.
    pub(crate) fn begin(
        &mut self,
        scenario: Digest,
        seed: u64,
        epoch: u32,
        head: &Map<String, Value>,
    ) {
        let started = head.get("started_at").and_then(Value::as_str).and_then(at_ms);
        self.at_ms = started.unwrap_or_default();
        let key =
            SampleKey { model: self.model.clone(), condition: Condition::default(), seed, epoch };
        let known = ["id", "target", "metadata", "choices"].into_iter();
        let known = known.filter_map(|name| Some((name.to_owned(), head.get(name)?.clone())));
        let values: Map<String, Value> =
            known.map(|(name, value)| (name, shallow(value, 0))).collect();
        self.push(Act::SampleStarted { scenario, key, values: values.clone() });
        self.phase = PHASE;
        self.push(Act::PhaseStarted { id: PHASE.to_owned() });
        let id = values.into_iter().filter(|(name, _)| name == "id").collect();
        self.emit(INSPECT, IMPORTED, id);
    }

    /// The sample ends: its scores, and what ended it.
    pub(crate) fn end(&mut self, head: &Map<String, Value>) {
        let completed = head.get("completed_at").and_then(Value::as_str).and_then(at_ms);
        self.at_ms = self.at_ms.max(completed.unwrap_or_default());
        for scores::Scored { name, fields } in scores::of_sample(head) {
            self.emit(scores::SCORER, &name, fields);
        }
        let mut why = match self.last_stop {
            Some(StopReason::ContentFilter) => PhaseEnd::Refused,
            Some(_) | None => PhaseEnd::Stopped,
        };
        if let Some(limit) = head.get("limit").filter(|limit| !limit.is_null()) {
            why = PhaseEnd::Limit;
            let (limit, value) = limit_of(limit);
            self.push(Act::LimitReached { limit, value });
        }
        if let Some(error) = head.get("error").filter(|error| !error.is_null()) {
            why = PhaseEnd::Failed;
            // A summary has the message alone.
            let message =
                error["message"].as_str().or(error.as_str()).unwrap_or("unknown").to_owned();
            self.push(Act::Failed { error: ErrorKind::Internal, message });
        }
        self.push(Act::PhaseEnded { id: PHASE.to_owned(), why });
        self.phase = "";
        self.push(Act::SampleEnded);
    }

    /// An event of the log.
    pub(crate) fn event(&mut self, mut event: Value) -> Result<(), InspectError> {
        self.n_events += 1;
        if !event.is_object() {
            self.emit(INSPECT, "event", Map::from_iter([("data".to_owned(), event)]));
            return Ok(());
        }
        self.pools.resolve(&mut event).map_err(|error| InspectError::temporary(&error))?;
        let time = event["timestamp"].as_str().and_then(at_ms);
        self.at_ms = time.unwrap_or(self.at_ms);
        match event["event"].as_str().unwrap_or_default() {
            // Its sample is what the log says of it anyway.
            "sample_init" => Ok(()),
            // So are the final scores.
            "score" if event["intermediate"] != true => Ok(()),
            "model" => self.model_event(event),
            "tool" => self.tool_event(event),
            "sandbox" if event["action"] == "exec" => {
                self.executed(&event);
                Ok(())
            }
            tag => {
                let tag = tag.to_owned();
                self.note_span(&tag, &event);
                let program = match (tag.as_str(), event["source"].as_str()) {
                    ("info", Some(source)) => source.to_owned(),
                    (_, _) => INSPECT.to_owned(),
                };
                self.emit(&program, &tag, body(event));
                Ok(())
            }
        }
    }

    /// A message of the sample, where the log has no events.
    pub(crate) fn message(&mut self, mut value: Value) -> Result<(), InspectError> {
        self.pools.resolve(&mut value).map_err(|error| InspectError::temporary(&error))?;
        let Some(said) = message(&value) else { return Ok(()) };
        match said {
            Message::Assistant { .. } => {
                let stop = if calls(&value).is_empty() { "stop" } else { "tool_calls" };
                let turn = json!({ "choices": [{ "message": value, "stop_reason": stop }] });
                self.generated(Role::Target, &turn, Vec::new(), None, None, 0);
            }
            Message::Tool { call_id, name, text } => {
                let arguments = "{}".to_owned();
                self.push(Act::ToolCalled {
                    call: ToolCall { id: call_id.clone(), name, arguments },
                });
                self.return_tool(call_id, text, value["error"]["message"].as_str(), 0);
            }
            said @ (Message::System { .. } | Message::User { .. }) => self.tell(said),
        }
        Ok(())
    }

    fn tell(&mut self, message: Message) {
        let source = if self.last_stop.is_none() { Source::Prompt } else { Source::Injection };
        self.push(Act::Messaged { message, source });
    }

    fn note_span(&mut self, tag: &str, event: &Value) {
        let word = |name: &str| event[name].as_str().unwrap_or_default();
        let scores = |kind: &str| matches!(kind, "scorer" | "scorers");
        let inside = self.spans.last().is_some_and(|(_, scores)| *scores);
        match tag {
            "span_begin" => {
                self.spans.push((word("id").to_owned(), inside || scores(word("type"))));
            }
            "step" if word("action") == "begin" => {
                self.spans.push((word("name").to_owned(), inside || scores(word("type"))));
            }
            "span_end" => self.spans.retain(|(id, _)| id != word("id")),
            "step" => self.spans.retain(|(name, _)| name != word("name")),
            _ => {}
        }
    }

    fn tool_event(&mut self, mut event: Value) -> Result<(), InspectError> {
        let call = call(&event);
        let id = call.id.clone();
        self.push(Act::ToolCalled { call });
        // Old logs have what happened inside of a call inside of its event.
        if let Value::Array(inside) = event["events"].take() {
            inside.into_iter().try_for_each(|event| self.event(event))?;
        }
        let mut shown = text(&event["result"]);
        let error = event["error"]["message"].as_str();
        if let Some(error) = error.filter(|_| shown.is_empty()) {
            error.clone_into(&mut shown);
        }
        let error = error.map(str::to_owned);
        let millis = (event["working_time"].as_f64().unwrap_or_default() * 1000.0) as u64;
        let ended = event["completed"].as_str().and_then(at_ms);
        self.at_ms = ended.unwrap_or(self.at_ms);
        self.return_tool(id, shown, error.as_deref(), millis);
        Ok(())
    }

    fn return_tool(&mut self, call_id: String, text: String, error: Option<&str>, millis: u64) {
        self.returned.insert(call_id.clone());
        self.push(Act::ToolReturned {
            call_id,
            text,
            status: None,
            error: error.map(str::to_owned),
            dropped_bytes: 0,
            millis,
        });
    }

    fn executed(&mut self, event: &Value) {
        let code = event["result"].as_i64().and_then(|code| i32::try_from(code).ok());
        self.push(Act::Executed {
            sandbox: "sandbox".to_owned(),
            by: Executor::Phase(PHASE.to_owned()),
            argv: vec![text(&event["cmd"])],
            status: ExitStatus::Exit { code: code.unwrap_or_default() },
            output: text(&event["output"]),
        });
    }
}

/// An event without what all events have, ids of Inspect's own, and a trace in colours.
fn body(mut event: Value) -> Map<String, Value> {
    if let Some(error) = event["error"].as_object_mut() {
        error.remove("traceback_ansi");
    }
    let left_out = [
        "event",
        "uuid",
        "timestamp",
        "working_start",
        "pending",
        "source",
        "span_id",
        "parent_id",
        "id",
    ];
    let Value::Object(fields) = event else { return Map::new() };
    let is_said =
        |(key, value): &(String, Value)| !value.is_null() && !left_out.contains(&key.as_str());
    fields.into_iter().filter(is_said).collect()
}

/// The limit that ended a sample. Of those that we do not count the nearest: messages are turns, money and others are tokens.
fn limit_of(limit: &Value) -> (LimitKind, u64) {
    let value = limit["limit"].as_f64().unwrap_or_default();
    // A summary has the kind alone.
    let kind = limit["type"].as_str().or(limit.as_str()).unwrap_or_default();
    match kind {
        "time" => (LimitKind::WallTime, (value * 1000.0) as u64),
        "working" => (LimitKind::ToolTime, (value * 1000.0) as u64),
        "context" => (LimitKind::Context, value as u64),
        "message" | "turn" => (LimitKind::Turns, value as u64),
        _ => (LimitKind::Tokens, value as u64),
    }
}

/// A value whose deepest levels are text: what reads a run file does not read any depth.
pub(crate) fn shallow(value: Value, depth: usize) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if depth == MAX_DEPTH => Value::from(value.to_string()),
        Value::Array(values) => values.into_iter().map(|value| shallow(value, depth + 1)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, shallow(value, depth + 1)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}
