//! Reads a sample as a stream: what is long comes piece by piece, what is short as a whole.

use std::fmt;
use std::io::Read;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::pools::Pool;
use crate::InspectError;
use crate::lenient::Meter;

/// Takes the pieces of a sample.
pub(crate) trait Sink {
    /// Whether pieces of this kind are wanted; others are passed over.
    fn wants(&self, piece: Piece) -> bool;
    /// An event, or a message of the sample.
    fn value(&mut self, piece: Piece, value: Value) -> Result<(), InspectError>;
    /// A text that others name.
    fn text(&mut self, key: String, text: &str) -> Result<(), InspectError>;
}

/// Kinds of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Event,
    Message,
    Pooled(Pool),
    Text,
}

/// Why a sample could not be read: its JSON, or what was made of it.
pub(crate) enum Unread {
    Json(serde_json::Error),
    Sink(InspectError),
}

/// Reads a sample, its pieces into `sink`, and returns its other fields.
pub(crate) fn read(
    reader: impl Read,
    meter: &Meter,
    sink: &mut dyn Sink,
) -> Result<Map<String, Value>, Unread> {
    let mut context = Context { sink, meter, head: Map::new(), failed: None };
    let mut parser = serde_json::Deserializer::from_reader(reader);
    parser.disable_recursion_limit();
    let done = Fields { context: &mut context, level: Level::Sample }.deserialize(&mut parser);
    let done = done.and_then(|()| parser.end());
    match (context.failed, done) {
        (Some(error), _) => Err(Unread::Sink(error)),
        (None, Err(error)) => Err(Unread::Json(error)),
        (None, Ok(())) => Ok(context.head),
    }
}

struct Context<'s> {
    sink: &'s mut dyn Sink,
    meter: &'s Meter,
    head: Map<String, Value>,
    failed: Option<InspectError>,
}

impl Context<'_> {
    fn keep<E: serde::de::Error>(&mut self, result: Result<(), InspectError>) -> Result<(), E> {
        result.map_err(|error| {
            self.failed = Some(error);
            E::custom("stopped")
        })
    }
}

/// Which object is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Sample,
    /// `transcript` of old logs.
    Transcript,
    /// `events_data`.
    Pools,
    /// `attachments`, or `content` of old logs.
    Texts,
}

enum Field {
    Pieces(Piece),
    Inside(Level),
    Head,
    Other,
}

fn field(level: Level, key: &str) -> Field {
    match (level, key) {
        (Level::Sample | Level::Transcript, "events") => Field::Pieces(Piece::Event),
        (Level::Sample, "messages") => Field::Pieces(Piece::Message),
        (Level::Sample, "attachments") | (Level::Transcript, "content") => {
            Field::Inside(Level::Texts)
        }
        (Level::Sample, "events_data") => Field::Inside(Level::Pools),
        (Level::Sample, "transcript") => Field::Inside(Level::Transcript),
        (Level::Pools, "messages") => Field::Pieces(Piece::Pooled(Pool::Messages)),
        (Level::Pools, "calls") => Field::Pieces(Piece::Pooled(Pool::Calls)),
        (Level::Sample, "store" | "timelines" | "error_retries")
        | (Level::Transcript | Level::Pools | Level::Texts, _) => Field::Other,
        (Level::Sample, _) => Field::Head,
    }
}

struct Fields<'c, 's> {
    context: &'c mut Context<'s>,
    level: Level,
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { context, level } = self;
        while let Some(key) = map.next_key::<String>()? {
            context.meter.reset();
            if level == Level::Texts {
                if context.sink.wants(Piece::Text) {
                    let text: String = map.next_value()?;
                    let kept = context.sink.text(key, &text);
                    context.keep(kept)?;
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
                continue;
            }
            match field(level, &key) {
                Field::Pieces(piece) if context.sink.wants(piece) => {
                    map.next_value_seed(Each { context: &mut *context, piece })?;
                }
                Field::Inside(level) => {
                    map.next_value_seed(Fields { context: &mut *context, level })?;
                }
                Field::Head => {
                    let value = map.next_value()?;
                    context.head.insert(key, value);
                }
                Field::Pieces(_) | Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Each<'c, 's> {
    context: &'c mut Context<'s>,
    piece: Piece,
}

impl<'de> DeserializeSeed<'de> for Each<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Each<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(value) = seq.next_element()? {
            self.context.meter.reset();
            let taken = self.context.sink.value(self.piece, value);
            self.context.keep(taken)?;
        }
        Ok(())
    }
}
