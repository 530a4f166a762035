//! One sample as a member of a log. Its events are read three times, one at a time: for what stands before them, as events of
//! Inspect, and as the record.

use std::collections::BTreeMap;
use std::io::Write;

use lapwing_core::{Act, Event, LimitKind, Role, Source as From, Usage};
use lapwing_store::{SampleRow, SampleState};
use serde_json::{Map, Value, json};

use super::event::Events;
use super::{Broken, Log, failure, message, record, score};
use crate::names::{short_id, time};
use crate::stream::Stream;

/// Characters of a text in a summary.
const THIN: usize = 1000;

/// What the log says of a sample outside of its member.
pub(crate) struct Outcome {
    pub(crate) summary: Value,
    /// It ended, and nothing broke in it.
    pub(crate) completed: bool,
    pub(crate) ended_ms: u64,
    /// Tokens by model.
    pub(crate) usage: BTreeMap<String, Usage>,
    /// Tokens by role, of those that are not the target.
    pub(crate) roles: BTreeMap<String, Usage>,
}

/// What stands before or behind the events of a sample and is a fold over them.
#[derive(Default)]
struct Outline {
    started_ms: u64,
    ended_ms: u64,
    /// The messages of the first opening.
    input: Vec<Value>,
    turns: u64,
    messages: u64,
    usage: BTreeMap<String, Usage>,
    roles: BTreeMap<String, Usage>,
    error: Option<String>,
    limit: Option<(LimitKind, u64)>,
}

impl Outline {
    fn see(&mut self, event: &Event, model: &str, uuid: &str) {
        if self.started_ms == 0 {
            self.started_ms = event.at_ms;
        }
        self.ended_ms = self.ended_ms.max(event.at_ms);
        if let Act::Messaged { message, source, .. } = &event.act {
            self.messages += 1;
            let opens = matches!(source, From::Prompt | From::Question);
            if opens && self.turns == 0 {
                self.input.push(message::message(uuid, event, message, model));
            }
        } else if let Act::Generated { model, role, output: Some(output), .. } = &event.act {
            let usage = output.usage.unwrap_or_default();
            let mut sums = vec![self.usage.entry(model.clone()).or_default()];
            if *role == Role::Target {
                self.turns += 1;
                self.messages += 1;
            } else {
                sums.push(self.roles.entry(role_name(*role)).or_default());
            }
            for sum in sums {
                *sum = *sum + usage;
            }
        } else if let Act::ToolReturned { .. } = event.act {
            self.messages += 1;
        } else if let Act::Failed { message, .. } = &event.act {
            self.error.get_or_insert_with(|| message.clone());
        } else if let Act::LimitReached { limit, value, .. } = event.act {
            self.limit = Some((limit, value));
        }
    }
}

/// The name of a role in a log.
pub(crate) fn role_name(role: Role) -> String {
    serde_json::to_value(role)
        .ok()
        .and_then(|role| role.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// A limit as Inspect names it, with its value in the unit that Inspect counts in.
pub(crate) fn limit(kind: LimitKind, value: u64) -> (&'static str, f64) {
    let value = value as f64;
    match kind {
        LimitKind::Turns => ("turn", value),
        LimitKind::Tokens => ("token", value),
        LimitKind::Context => ("context", value),
        LimitKind::ToolTime => ("working", value / 1000.0),
        LimitKind::WallTime => ("time", value / 1000.0),
        LimitKind::Memory => ("custom", value),
        LimitKind::ProcessorTime => ("custom", value / 1000.0),
    }
}

/// Shows every event of the sample under the scoring of the log. A later judge's labels take the place of the first one's.
pub(crate) fn each_event(
    log: &Log<'_>,
    sample: u64,
    mut see: impl FnMut(Event) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let judged = log.source.run.judged(log.source.scoring.id, sample)?;
    let again = !judged.is_empty();
    log.source.run.each_event(sample, |event| {
        let is_replaced = again && matches!(event.act, Act::Judged { .. });
        if is_replaced { Ok(()) } else { see(event) }
    })?;
    judged.into_iter().try_for_each(see)
}

/// Writes the sample and returns what else the log says of it.
pub(crate) fn write(
    log: &Log<'_>,
    sample: &SampleRow,
    out: &mut dyn Write,
) -> Result<Outcome, Broken> {
    let number = sample.number;
    let uuid = short_id(&format!("sample {} {number}", log.source.run.id()));
    let mut outline = Outline::default();
    each_event(log, number, |event| {
        outline.see(&event, log.model, &uuid);
        Ok(())
    })?;
    let about = About::new(log, sample, &outline, uuid);

    let mut out = Stream::new(out);
    out.object()?;
    for (key, value) in [
        ("id", &about.id),
        ("epoch", &about.epoch),
        ("input", &about.input),
        ("target", &about.target),
    ] {
        out.field(key, value)?;
    }
    out.array_at("events")?;
    let mut events = Events::new(log, sample, &about, outline.started_ms, out)?;
    each_event(log, number, |event| events.see(&event))?;
    events.scores(&about.scores, outline.ended_ms)?;
    record::write(log, sample, &mut events)?;
    let mut rest = events.finish()?;
    rest.messages()?;
    let out = &mut rest.out;
    out.bare_field("scores", &about.scores)?;
    out.field("metadata", &about.metadata)?;
    out.object_at("store")?;
    out.end_object()?;
    for (key, value) in &about.rest {
        out.field(key, value)?;
    }
    out.end_object()?;
    let completed = sample.state == SampleState::Done && outline.error.is_none();
    Ok(Outcome {
        summary: about.summary(&outline),
        completed,
        ended_ms: outline.ended_ms,
        usage: outline.usage,
        roles: outline.roles,
    })
}

/// The fields of a sample that are not its events.
pub(crate) struct About {
    pub(crate) id: Value,
    epoch: Value,
    pub(crate) input: Value,
    pub(crate) target: Value,
    pub(crate) metadata: Value,
    pub(crate) uuid: String,
    scores: Map<String, Value>,
    /// Usage, times, error, limit.
    rest: Map<String, Value>,
}

impl About {
    fn new(log: &Log<'_>, sample: &SampleRow, outline: &Outline, uuid: String) -> Self {
        let key = &sample.key;
        let mut metadata: Map<String, Value> = key
            .condition
            .levels
            .iter()
            .map(|(factor, level)| (factor.clone(), json!(level)))
            .collect();
        metadata
            .insert("condition".to_owned(), json!(log.source.scenario.describe(&key.condition)));
        metadata.insert("seed".to_owned(), json!(key.seed));
        metadata.insert("number".to_owned(), json!(sample.number));
        let seconds = outline.ended_ms.saturating_sub(outline.started_ms) as f64 / 1000.0;
        let fields = [
            ("model_usage", json!(message::usages(outline.usage.clone()))),
            ("role_usage", json!(message::usages(outline.roles.clone()))),
            ("started_at", json!(time(outline.started_ms))),
            ("completed_at", json!(time(outline.ended_ms))),
            ("total_time", json!(seconds)),
            ("working_time", json!(seconds)),
            ("uuid", json!(uuid)),
            ("turn_count", json!(outline.turns)),
        ];
        let mut rest: Map<String, Value> =
            fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let error = match (&outline.error, sample.state) {
            (Some(error), _) => Some(error.as_str()),
            (None, SampleState::Done) => None,
            (None, SampleState::Begun | SampleState::Planned) => {
                Some("the run was stopped before the sample ended")
            }
        };
        if let Some(error) = error {
            rest.insert("error".to_owned(), failure(error));
        }
        if let Some((kind, value)) = outline.limit {
            let (kind, value) = limit(kind, value);
            rest.insert("limit".to_owned(), json!({ "type": kind, "limit": value }));
        }
        let planted =
            sample.planted.iter().flatten().map(|planted| {
                format!("{}.{} {}", planted.behaviour, planted.stage, planted.outcome)
            });
        let planted: Vec<String> = planted.collect();
        Self {
            id: Value::from(log.id(sample)),
            epoch: Value::from(key.epoch),
            input: if outline.input.is_empty() { "".into() } else { outline.input.clone().into() },
            target: if planted.is_empty() { "".into() } else { planted.into() },
            metadata: Value::Object(metadata),
            uuid,
            scores: score::scores(log.findings(sample.number), log.measured(sample.number)),
            rest,
        }
    }

    /// What Inspect shows of the sample in a list.
    fn summary(self, outline: &Outline) -> Value {
        let mut summary = Value::Object(self.rest);
        summary["id"] = self.id;
        summary["epoch"] = self.epoch;
        summary["input"] = thin(self.input);
        summary["target"] = self.target;
        summary["metadata"] = self.metadata;
        summary["scores"] = thin(Value::Object(self.scores));
        summary["completed"] = Value::from(true);
        summary["message_count"] = Value::from(outline.messages);
        for (key, part) in [("error", "message"), ("limit", "type")] {
            if let Some(value) = summary.get(key).map(|value| value[part].clone()) {
                summary[key] = value;
            }
        }
        summary
    }
}

/// A value with its texts cut.
fn thin(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > THIN => {
            Value::from(text.chars().take(THIN).collect::<String>())
        }
        Value::Array(values) => values.into_iter().map(thin).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (key, thin(value))).collect())
        }
        other => other,
    }
}
