//! What pid 1 has seen and the harness has not asked for yet, in bounded memory.
//!
//! A connection that is still open when the harness asks is told of with what was sent until then; what follows is a
//! record of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

use lapwing_core::{Contact, Observed, Record};
use serde::{Deserialize, Serialize};

use crate::sys::socket;

/// Records that are kept at a time; more are only counted.
const RECORDS: usize = 20_000;
/// Bytes kept of what is sent over one connection.
const PAYLOAD_BYTES: usize = 1 << 20;
/// Bytes kept of all connections and of the arguments of all programs together.
const ALL_BYTES: usize = 16 << 20;

/// All records since the last look.
#[derive(Default)]
pub(crate) struct Records {
    last: u64,
    slots: BTreeMap<u64, Slot>,
    kept_bytes: usize,
    missed: u64,
}

struct Slot {
    record: Record,
    /// More may be sent.
    open: bool,
    /// It was told of already.
    told: bool,
}

impl Records {
    /// Adds a record of what is over. If there are too many, it is only counted.
    pub(crate) fn add(&mut self, record: Record) -> Option<u64> {
        self.push(record, false)
    }

    /// Adds a connection over which more may be sent, until [`Records::close`].
    pub(crate) fn open(&mut self, contact: Contact) -> Option<u64> {
        self.push(Record::Contact(contact), true)
    }

    fn push(&mut self, record: Record, open: bool) -> Option<u64> {
        let bytes = match &record {
            Record::Contact(contact) => contact.payload.len(),
            Record::Spawn(spawn) => spawn.argv.iter().map(String::len).sum::<usize>(),
        };
        if self.slots.len() >= RECORDS || self.kept_bytes + bytes > ALL_BYTES {
            self.missed += 1;
            return None;
        }
        self.kept_bytes += bytes;
        self.last += 1;
        self.slots.insert(self.last, Slot { record, open, told: false });
        Some(self.last)
    }

    /// Counts something that was not seen.
    pub(crate) fn miss(&mut self) {
        self.missed += 1;
    }

    /// Bytes were sent over the connection `key`.
    pub(crate) fn sent(&mut self, key: Option<u64>, bytes: &[u8]) {
        let left = ALL_BYTES - self.kept_bytes;
        let Some(contact) = self.contact(key) else { return };
        contact.sent_bytes = contact.sent_bytes.map(|sent| sent + bytes.len() as u64);
        let room = (PAYLOAD_BYTES - contact.payload.len()).min(left);
        let kept = &bytes[..bytes.len().min(room)];
        contact.payload.extend_from_slice(kept);
        self.kept_bytes += kept.len();
    }

    /// Some of what was sent over the connection `key` is lost.
    pub(crate) fn lose(&mut self, key: Option<u64>) {
        if let Some(contact) = self.contact(key) {
            contact.sent_bytes = None;
        }
    }

    /// The connection `key`, while it is not over and told of.
    pub(crate) fn contact(&mut self, key: Option<u64>) -> Option<&mut Contact> {
        match &mut self.slots.get_mut(&key?)?.record {
            Record::Contact(contact) => Some(contact),
            Record::Spawn(_) => None,
        }
    }

    /// Nothing more will be sent over the connection `key`.
    pub(crate) fn close(&mut self, key: Option<u64>) {
        if let Some(slot) = key.and_then(|key| self.slots.get_mut(&key)) {
            slot.open = false;
        }
    }

    /// Takes what is new.
    pub(crate) fn collect(&mut self) -> Observed {
        let mut records = Vec::new();
        for slot in self.slots.values_mut() {
            let is_news = match &slot.record {
                Record::Contact(contact) => !slot.told || contact.sent_bytes != Some(0),
                Record::Spawn(_) => true,
            };
            if is_news {
                records.push(slot.record.clone());
            }
            slot.told = true;
            if let Record::Contact(contact) = &mut slot.record {
                contact.payload = Vec::new();
                contact.sent_bytes = Some(0);
            }
        }
        self.slots.retain(|_, slot| slot.open);
        self.kept_bytes = 0;
        Observed { records, missed: std::mem::take(&mut self.missed) }
    }
}

/// The records without the bytes, and how many bytes belong to each.
#[derive(Serialize, Deserialize)]
struct Listing {
    records: Vec<(Record, usize)>,
    missed: u64,
}

/// In a file for the harness: what [`read`] reads.
pub(crate) fn write(observed: Observed) -> io::Result<File> {
    let mut file = io::BufWriter::new(socket::memory_file(c"observed")?);
    encode(observed, &mut file)?;
    Ok(file.into_inner()?)
}

/// The length of a listing, the listing, and the bytes of all connections.
fn encode(observed: Observed, out: &mut impl Write) -> io::Result<()> {
    let mut payloads = Vec::new();
    let records = observed.records.into_iter().map(|mut record| {
        let payload = match &mut record {
            Record::Contact(contact) => std::mem::take(&mut contact.payload),
            Record::Spawn(_) => Vec::new(),
        };
        let len = payload.len();
        payloads.push(payload);
        (record, len)
    });
    let listing = Listing { records: records.collect(), missed: observed.missed };
    let listing = serde_json::to_vec(&listing)?;
    out.write_all(&(listing.len() as u64).to_le_bytes())?;
    out.write_all(&listing)?;
    payloads.iter().try_for_each(|payload| out.write_all(payload))
}

/// What [`write`] wrote.
pub(crate) fn read(bytes: &[u8]) -> io::Result<Observed> {
    let cut = || io::Error::new(io::ErrorKind::InvalidData, "records were cut off");
    let (len, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
    let len = u64::from_le_bytes(*len) as usize;
    let (listing, mut payloads) = rest.split_at_checked(len).ok_or_else(cut)?;
    let Listing { records, missed } = serde_json::from_slice(listing)?;
    let mut observed = Observed { records: Vec::new(), missed };
    for (mut record, len) in records {
        let (payload, rest) = payloads.split_at_checked(len).ok_or_else(cut)?;
        payloads = rest;
        if let Record::Contact(contact) = &mut record {
            contact.payload = payload.to_vec();
        }
        observed.records.push(record);
    }
    Ok(observed)
}

#[cfg(test)]
mod tests {
    use lapwing_core::{Protocol, Spawn};

    use super::*;

    fn contact(port: u16) -> Contact {
        Contact {
            pid: 7,
            protocol: Protocol::Tcp,
            address: "198.18.0.9".to_owned(),
            port,
            name: Some("drop.example".to_owned()),
            told: None,
            sent_bytes: Some(0),
            payload: Vec::new(),
        }
    }

    fn spawn() -> Record {
        let argv = vec!["ls".to_owned()];
        Record::Spawn(Spawn { pid: 2, parent: 1, path: "/bin/ls".into(), argv, cwd: "/".into() })
    }

    #[test]
    fn records_arrive_in_the_order_of_their_beginnings_with_their_bytes() {
        let mut records = Records::default();
        let (first, second) = (records.open(contact(1)), records.open(contact(2)));
        records.add(spawn());
        records.sent(second, b"two");
        records.sent(first, b"one");
        records.close(first);
        let mut bytes = Vec::new();
        encode(records.collect(), &mut bytes).unwrap();
        let sent = |port, bytes: &[u8]| {
            let payload = bytes.to_vec();
            Record::Contact(Contact { sent_bytes: Some(3), payload, ..contact(port) })
        };
        let expected = vec![sent(1, b"one"), sent(2, b"two"), spawn()];
        assert_eq!(read(&bytes).unwrap(), Observed { records: expected, missed: 0 });
    }

    #[test]
    fn what_follows_a_look_is_told_of_by_itself_and_once() {
        let mut records = Records::default();
        let key = records.open(contact(1));
        records.sent(key, b"a");
        assert_eq!(records.collect().records.len(), 1);
        assert_eq!(records.collect(), Observed::default());
        records.sent(key, b"bc");
        records.close(key);
        let rest = records.collect().records;
        let payload = b"bc".to_vec();
        assert_eq!(rest, [Record::Contact(Contact { sent_bytes: Some(2), payload, ..contact(1) })]);
        assert_eq!(records.collect(), Observed::default());
    }

    #[test]
    #[cfg_attr(miri, ignore = "it fills 16 MiB")]
    fn too_many_records_and_bytes_are_counted_and_not_kept() {
        let mut records = Records::default();
        for _ in 0..RECORDS {
            records.add(spawn());
        }
        assert_eq!(records.open(contact(1)), None);
        records.sent(None, b"lost");
        let seen = records.collect();
        assert_eq!((seen.records.len(), seen.missed), (RECORDS, 1));
        let keys: Vec<_> = (0..20).map(|port| records.open(contact(port))).collect();
        for key in keys {
            records.sent(key, &vec![0; PAYLOAD_BYTES + 5]);
        }
        let seen = records.collect().records;
        let kept = |record: &Record| match record {
            Record::Contact(contact) => (contact.payload.len(), contact.sent_bytes),
            Record::Spawn(_) => (0, None),
        };
        assert!(seen.iter().all(|record| kept(record).1 == Some(PAYLOAD_BYTES as u64 + 5)));
        assert_eq!(seen.iter().map(|record| kept(record).0).sum::<usize>(), ALL_BYTES);
    }

    #[test]
    fn bytes_that_are_lost_leave_what_was_kept_and_no_count() {
        let mut records = Records::default();
        let key = records.open(contact(1));
        records.sent(key, b"a");
        records.lose(key);
        records.sent(key, b"b");
        let payload = b"ab".to_vec();
        let lost = Record::Contact(Contact { sent_bytes: None, payload, ..contact(1) });
        assert_eq!(records.collect().records, [lost]);
        records.close(key);
        assert_eq!(records.collect(), Observed::default());
    }

    #[test]
    fn records_that_are_cut_off_are_an_error() {
        assert!(read(b"1234").is_err());
        assert!(read(&9_u64.to_le_bytes()).is_err());
    }
}
