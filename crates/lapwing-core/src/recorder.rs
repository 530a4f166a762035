//! Where events go.

use crate::{BoxFuture, Digest, Event};

/// Keeps, or discards, what happens. One sample is written by one task; samples may write at the same time.
pub trait Recorder: Send + Sync {
    /// Appends events to sample number `sample`: they are handed on at once, and durable when the future resolves.
    ///
    /// # Errors
    /// The store cannot take them (full disk, lost file). The record is the result, so the sample must stop.
    fn record(&self, sample: u64, events: Vec<Event>) -> BoxFuture<'_, Result<(), RecordError>>;

    /// Keeps `bytes` under their digest. They are durable once a later `record` of the same sample resolves.
    fn keep(&self, bytes: Vec<u8>) -> Digest;
}

/// Where the bytes are that were kept of a sample.
pub trait Blobs {
    /// The bytes under `digest`; `None` if they were not kept or cannot be read.
    fn blob(&self, digest: Digest) -> Option<Vec<u8>>;
}

/// An event could not be kept.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the record could not be written: {0}")]
pub struct RecordError(pub String);

/// A recorder that keeps nothing, for rollouts whose events are folded as they come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Blobs for Discard {
    fn blob(&self, _digest: Digest) -> Option<Vec<u8>> {
        None
    }
}

impl Recorder for Discard {
    fn record(&self, _sample: u64, _events: Vec<Event>) -> BoxFuture<'_, Result<(), RecordError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep(&self, bytes: Vec<u8>) -> Digest {
        Digest::of(&bytes)
    }
}
