//! What events of a sample name and what stands behind them: texts, messages, messages of the wire.

use std::collections::HashMap;
use std::io;

use lapwing_core::Digest;
use serde_json::Value;

use crate::spill::{Keyed, Spill};

/// In a temporary file, of one sample at a time.
pub(crate) struct Pools {
    texts: Keyed<String>,
    messages: Spill,
    calls: Spill,
    /// The digests of pooled messages that were asked for.
    digests: HashMap<usize, Digest>,
}

/// Which of the two pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    Messages,
    Calls,
}

impl Pools {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            texts: Keyed::new()?,
            messages: Spill::new()?,
            calls: Spill::new()?,
            digests: HashMap::new(),
        })
    }

    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.digests.clear();
        self.texts.clear()?;
        self.messages.clear()?;
        self.calls.clear()
    }

    pub(crate) fn keep_text(&mut self, key: String, text: &str) -> io::Result<()> {
        self.texts.keep(key, text.as_bytes()).map(|_| ())
    }

    pub(crate) fn push(&mut self, pool: Pool, value: &Value) -> io::Result<()> {
        let bytes = value.to_string();
        self.of(pool).push(bytes.as_bytes()).map(|_| ())
    }

    fn of(&mut self, pool: Pool) -> &mut Spill {
        match pool {
            Pool::Messages => &mut self.messages,
            Pool::Calls => &mut self.calls,
        }
    }

    /// A value of a pool with its texts; `None` if the log does not have it.
    pub(crate) fn get(&mut self, pool: Pool, number: usize) -> io::Result<Option<Value>> {
        let Some(bytes) = self.of(pool).get(number)? else { return Ok(None) };
        let mut parser = serde_json::Deserializer::from_slice(&bytes);
        parser.disable_recursion_limit();
        let mut value: Value = serde::Deserialize::deserialize(&mut parser)?;
        self.resolve(&mut value)?;
        Ok(Some(value))
    }

    /// What tells pooled messages apart, without their ids.
    pub(crate) fn digest(&mut self, number: usize) -> io::Result<Option<Digest>> {
        if let Some(digest) = self.digests.get(&number) {
            return Ok(Some(*digest));
        }
        let Some(message) = self.get(Pool::Messages, number)? else { return Ok(None) };
        let digest = super::message::digest(&message);
        self.digests.insert(number, digest);
        Ok(Some(digest))
    }

    /// The numbers of a list of ranges, each with its first and the one behind its last, as far as the pool has them.
    pub(crate) fn numbers(&self, pool: Pool, refs: &Value) -> Vec<usize> {
        let length = match pool {
            Pool::Messages => self.messages.len(),
            Pool::Calls => self.calls.len(),
        };
        let ranges = refs.as_array().into_iter().flatten();
        let numbers = ranges.flat_map(|range| {
            let end = |place: usize| range[place].as_u64().map_or(0, |number| number as usize);
            end(0)..end(1).min(length)
        });
        numbers.collect()
    }

    /// Puts texts where their keys stand. A key that the log does not have stays as it is.
    pub(crate) fn resolve(&mut self, value: &mut Value) -> io::Result<()> {
        match value {
            Value::String(text) => {
                let key = text.strip_prefix("attachment://").or_else(|| text.strip_prefix("tc://"));
                let Some(key) = key else { return Ok(()) };
                if let Some(bytes) = self.texts.get(key)? {
                    *text = String::from_utf8(bytes).map_err(io::Error::other)?;
                }
                Ok(())
            }
            Value::Array(values) => values.iter_mut().try_for_each(|value| self.resolve(value)),
            Value::Object(fields) => fields.values_mut().try_for_each(|value| self.resolve(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
}
