//! What a judge says of a model's turns.

use std::collections::HashMap;

use lapwing_core::{Act, Event, Label, Message, Output, Quote, Role};
use serde_json::{Value, json};

use super::text::{answer, reasoning};
use super::{Found, Item, Unknown};

/// Which part of a model's turn a judge reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgeOver {
    /// The answer: what the turn says and, on the next line, what it submits.
    Answer,
    /// The reasoning.
    Reasoning,
    /// The reasoning, an empty line, the answer; what is empty is left out.
    Both,
}

impl JudgeOver {
    /// All parts, with the words for them.
    pub(crate) const ALL: [(&'static str, Self); 3] =
        [("answer", Self::Answer), ("reasoning", Self::Reasoning), ("both", Self::Both)];
}

/// A model's turn as a judge is shown it.
struct Turn {
    seq: u64,
    /// Its number in its phase, from 1.
    number: u64,
    /// `None` if the provider hides or only summarises what is asked for.
    text: Option<String>,
}

/// The texts of `inside` that a judge can label.
pub(super) fn texts(over: JudgeOver, events: &[Event], inside: &[&Event]) -> Vec<(u64, String)> {
    let turns = turns(over, events, inside).into_iter();
    turns.filter_map(|turn| Some((turn.seq, turn.text?))).collect()
}

/// The turns whose label is `wanted`. Without a label of every turn there may be more.
pub(super) fn find(
    query: &str,
    over: JudgeOver,
    wanted: Label,
    events: &[Event],
    inside: &[&Event],
) -> Found {
    let judged = labels(query, events);
    let mut items = Vec::new();
    let mut gap = None;
    for turn in turns(over, events, inside) {
        let seq = turn.seq;
        let missing = match (&turn.text, judged.get(&seq)) {
            (None, _) => format!("the provider hides the reasoning of event {seq}: no reasoning"),
            (_, None) => format!("event {seq} is not judged; --judge MODEL does it"),
            (_, Some((_, None, _, reason))) => {
                format!("the judge gave no label to event {seq}: {reason}")
            }
            (_, Some((_, Some(Label::Unsure), _, _))) => {
                let reason = format!("the judge is unsure about event {seq}");
                Unknown::Unsure(reason).note(&mut gap);
                continue;
            }
            (Some(text), Some((_, Some(label), quotes, _))) if are_there(quotes, seq, text) => {
                if *label == wanted {
                    let what = words(quotes);
                    let fields = [
                        ("label".to_owned(), Value::from(label.as_str())),
                        ("text".to_owned(), Value::from(text.as_str())),
                        ("turn".to_owned(), json!(turn.number)),
                    ];
                    items.push(Item { seq, what, fields: fields.into() });
                }
                continue;
            }
            (Some(_), Some((at, _, _, _))) => {
                format!("event {at} quotes what does not stand in event {seq}")
            }
        };
        Unknown::Missing(missing).note(&mut gap);
    }
    Found { items, gap, looked_at: inside.last().map(|event| event.seq) }
}

/// What a judge said of a turn: the event, the label, its quotes, the reason for having none.
type Said<'e> = (u64, Option<Label>, &'e [Quote], &'e str);

/// The last word of a judge on each turn.
fn labels<'e>(query: &str, events: &'e [Event]) -> HashMap<u64, Said<'e>> {
    let mut labels = HashMap::new();
    for event in events {
        let Act::Judged { query: asked, over, label, quotes, reason, .. } = &event.act else {
            continue;
        };
        if asked == query {
            let reason = reason.as_deref().unwrap_or("no reason is given");
            labels.extend(over.iter().map(|seq| (*seq, (event.seq, *label, &quotes[..], reason))));
        }
    }
    labels
}

fn turns(over: JudgeOver, events: &[Event], inside: &[&Event]) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut numbers: HashMap<&str, u64> = HashMap::new();
    let mut inside = inside.iter().map(|event| event.seq).peekable();
    for event in events {
        while inside.next_if(|seq| *seq < event.seq).is_some() {}
        let Some(output) = turn_of(event) else { continue };
        let number = numbers.entry(&event.phase).or_default();
        *number += 1;
        if inside.peek() != Some(&event.seq) {
            continue;
        }
        let text = text(over, &output.message);
        if text.as_ref().is_none_or(|text| !text.trim().is_empty()) {
            turns.push(Turn { seq: event.seq, number: *number, text });
        }
    }
    turns
}

fn turn_of(event: &Event) -> Option<&Output> {
    match &event.act {
        Act::Generated { role: Role::Target, output: Some(output), .. } => Some(output),
        _ => None,
    }
}

/// What a judge is shown of a turn; `None` if it is not there as a whole.
fn text(over: JudgeOver, message: &Message) -> Option<String> {
    let thought = || {
        let (shown, hidden) = reasoning(message);
        (!hidden).then_some(shown)
    };
    match over {
        JudgeOver::Answer => Some(answer(message)),
        JudgeOver::Reasoning => thought(),
        JudgeOver::Both => {
            let parts = [thought()?, answer(message)];
            let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
            Some(parts.collect::<Vec<_>>().join("\n\n"))
        }
    }
}

/// Whether every passage stands where it is said to.
fn are_there(quotes: &[Quote], seq: u64, text: &str) -> bool {
    quotes.iter().all(|quote| {
        quote.seq == seq && text.get(quote.start..quote.end) == Some(quote.text.as_str())
    })
}

fn words(quotes: &[Quote]) -> String {
    let ranges: Vec<String> =
        quotes.iter().map(|quote| format!("{} to {}", quote.start, quote.end)).collect();
    if ranges.is_empty() { String::new() } else { format!("bytes {}", ranges.join(", ")) }
}
