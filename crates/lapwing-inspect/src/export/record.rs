//! The record: a span at the end of a sample that holds every event as it is, and the bytes that events name.
//!
//! It stands in `info` events of the source `lapwing`, whose data Inspect carries through reading and writing unchanged, with long
//! texts as attachments, whichever way it resolves them; of the metadata of events it does not resolve attachments.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lapwing_core::Digest;
use lapwing_store::{SampleRow, SampleState};
use serde_json::{Map, Value, json};

use super::event::Events;
use super::sample::each_event;
use super::{Broken, Log};

/// Events, or blobs, of one `info` event.
const AT_ONCE: usize = 100;
/// Bytes of blobs of one `info` event, a last one not counted.
const MANY_BYTES: usize = 1 << 20;
const DIGEST: usize = 64;

pub(crate) fn write(
    log: &Log<'_>,
    sample: &SampleRow,
    events: &mut Events<'_, '_>,
) -> Result<(), Broken> {
    events.open_record()?;
    let state = match sample.state {
        SampleState::Done => "done",
        SampleState::Begun | SampleState::Planned => "begun",
    };
    events.record(json!({ "sample": {
        "number": sample.number, "key": sample.key, "planted": sample.planted, "state": state,
        "findings": log.findings(sample.number),
    } }))?;
    let mut acts: Vec<Value> = Vec::new();
    let mut named: BTreeSet<Digest> = BTreeSet::new();
    each_event(log, sample.number, |event| {
        let event = serde_json::to_value(&event).map_err(std::io::Error::from)?;
        named.extend(digests(event.to_string().as_bytes()));
        acts.push(event);
        if acts.len() == AT_ONCE {
            events.record(json!({ "events": std::mem::take(&mut acts) }))?;
        }
        Ok(())
    })?;
    events.record(json!({ "events": acts }))?;
    blobs(log, named, events)?;
    events.close_record()?;
    Ok(())
}

/// Writes the bytes that are kept under these digests, and under those that they name in turn, as a manifest does.
fn blobs(
    log: &Log<'_>,
    named: BTreeSet<Digest>,
    events: &mut Events<'_, '_>,
) -> Result<(), Broken> {
    let mut waiting: Vec<Digest> = named.iter().copied().collect();
    let mut seen = named;
    let mut kept = Map::new();
    let mut n_bytes = 0;
    while let Some(digest) = waiting.pop() {
        let Some(bytes) = log.source.run.blob(digest)? else { continue };
        waiting.extend(digests(&bytes).into_iter().filter(|digest| seen.insert(*digest)));
        n_bytes += bytes.len();
        let blob = match String::from_utf8(bytes) {
            Ok(text) => json!({ "text": text }),
            Err(error) => json!({ "base64": BASE64_STANDARD.encode(error.as_bytes()) }),
        };
        kept.insert(digest.to_string(), blob);
        if kept.len() == AT_ONCE || n_bytes > MANY_BYTES {
            events.record(json!({ "kept": std::mem::take(&mut kept) }))?;
            n_bytes = 0;
        }
    }
    if kept.is_empty() { Ok(()) } else { Ok(events.record(json!({ "kept": kept }))?) }
}

/// Everything in quotes that could be a digest.
fn digests(json: &[u8]) -> Vec<Digest> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(quote) = json[at..].iter().position(|byte| *byte == b'"') {
        at += quote + 1;
        let Some(digits) = json.get(at..at + DIGEST) else { break };
        if json.get(at + DIGEST) == Some(&b'"') {
            let digest = std::str::from_utf8(digits).map(str::parse::<Digest>);
            found.extend(digest.into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_wherever_they_stand_in_quotes() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let text =
            format!("{{\"x\":\"{a}\",\"y\":[\"{b}\",\"{a}0\"],\"z\":\"{}\"}}", &a.to_string()[1..]);
        assert_eq!(digests(text.as_bytes()), [a, b]);
        assert_eq!(digests(b"\"\""), []);
    }
}
