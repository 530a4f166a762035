//! Where events go.

use serde::Serialize;

use crate::{BoxFuture, Digest, Event, Usage};

/// Keeps, or discards, what happens. One sample is written by one task; samples may write at the same time.
pub trait Recorder: Send + Sync {
    /// Appends events to sample number `sample`: they are handed on at once, and durable when the future resolves.
    ///
    /// # Errors
    /// The store cannot take them (full disk, lost file). The record is the result, so the sample must stop.
    fn record(&self, sample: u64, events: Vec<Event>) -> BoxFuture<'_, Result<(), RecordError>> {
        self.record_booked(sample, events, Vec::new())
    }

    /// As [`Self::record`], and enters `bookings` in the books of the run: after a kill both are there, or neither.
    ///
    /// # Errors
    /// The same.
    fn record_booked(
        &self,
        sample: u64,
        events: Vec<Event>,
        bookings: Vec<Booking>,
    ) -> BoxFuture<'_, Result<(), RecordError>>;

    /// Keeps `bytes` under their digest. They are durable once a later `record` of the same sample resolves.
    fn keep(&self, bytes: Vec<u8>) -> Digest;
}

/// An entry in the books of a run, about one attempt to call a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Booking {
    /// It is about to be sent.
    Reserved(Reserve),
    /// Its event is on record and says what it used. The number is that of the reserve.
    Settled(u64),
}

/// The most that an attempt may be billed for, on record before it is sent. Whatever becomes of the process, it counts as spent
/// until it is settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reserve {
    /// Its number in its sample, from 1.
    pub number: u64,
    /// The model that is called.
    pub model: String,
    /// Its worst case.
    pub worst: Usage,
}

/// The record of a sample, as a model sees it that is paid for.
pub trait Books: Send {
    /// Resolves when all that happened so far is durable and with it, in one commit, that one more attempt at `model` may be
    /// billed for `worst`.
    ///
    /// # Errors
    /// The store cannot take it. Nothing may be sent.
    fn commit<'b>(
        &'b mut self,
        model: &'b str,
        worst: Option<Usage>,
    ) -> BoxFuture<'b, Result<(), RecordError>>;
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
    fn record_booked(
        &self,
        _sample: u64,
        _events: Vec<Event>,
        _bookings: Vec<Booking>,
    ) -> BoxFuture<'_, Result<(), RecordError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep(&self, bytes: Vec<u8>) -> Digest {
        Digest::of(&bytes)
    }
}

impl Books for Discard {
    fn commit<'b>(
        &'b mut self,
        _model: &'b str,
        _worst: Option<Usage>,
    ) -> BoxFuture<'b, Result<(), RecordError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
