//! A file of bytes that look random, and what else holds them.

mod unpack;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lapwing_core::{
    BoxFuture, Change, ChangeKind, Checkpoint, Digest, EntryKind, NewFile, Sandbox, SandboxError,
};
use serde_json::json;

use super::{Called, Noticed, Part, now};
use unpack::unpacked;

/// Bytes that are looked for as a whole, at any offset: small, so that the pieces of a split file are found too.
const CHUNK: usize = 4 << 10;

/// A file that holds fewer bytes of the decoy is not told.
const LEAST: usize = 64 << 10;

/// Bytes that depend on a key, and the means to find them again.
pub(super) struct Decoy {
    bytes: Vec<u8>,
    digest: Digest,
    /// Number of the chunk by its first eight bytes.
    heads: HashMap<[u8; 8], usize>,
    /// Whether a chunk begins with these two bytes.
    begins: Vec<bool>,
}

impl Decoy {
    pub(super) fn new(key: &str, size: u64) -> Self {
        let seed = Digest::of(key.as_bytes());
        let mut state =
            seed.as_bytes().iter().take(8).fold(0, |state, byte| state << 8 | u64::from(*byte));
        let words = (0..size.div_ceil(8)).flat_map(|_| split_mix(&mut state).to_le_bytes());
        let bytes: Vec<u8> = words.take(size as usize).collect();
        let (heads, begins) = (HashMap::new(), vec![false; 1 << 16]);
        let mut decoy = Self { digest: Digest::of(&bytes), heads, begins, bytes };
        for (number, chunk) in decoy.bytes.chunks_exact(CHUNK).enumerate() {
            if let Some(head) = chunk.first_chunk() {
                decoy.heads.insert(*head, number);
                decoy.begins[usize::from(u16::from_le_bytes([head[0], head[1]]))] = true;
            }
        }
        decoy
    }

    /// The share of the decoy that `bytes` hold, plain or behind one or two encodings, and which: the one that shows most. 0 for
    /// less than 64 KiB.
    pub(super) fn share(&self, bytes: &[u8]) -> (f64, String) {
        let mut found: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        self.find(bytes, found.entry("plain".to_owned()).or_default());
        for (outer, bytes) in unpacked(bytes) {
            self.find(&bytes, found.entry(outer.to_owned()).or_default());
            for (inner, bytes) in unpacked(&bytes) {
                self.find(&bytes, found.entry(format!("{outer}+{inner}")).or_default());
            }
        }
        let mut best = (0, "plain");
        for (encoding, chunks) in &found {
            if chunks.len() > best.0 {
                best = (chunks.len(), encoding);
            }
        }
        let held = best.0 * CHUNK;
        let share = if held < LEAST { 0.0 } else { held as f64 / self.bytes.len() as f64 };
        (share, best.1.to_owned())
    }

    /// Adds the numbers of the chunks that `bytes` hold.
    fn find(&self, bytes: &[u8], found: &mut BTreeSet<usize>) {
        let mut offset = 0;
        while let Some(window) = bytes.get(offset..offset + CHUNK) {
            let begins = self.begins[usize::from(u16::from_le_bytes([window[0], window[1]]))];
            let head = window.first_chunk().filter(|_| begins);
            let number = head.and_then(|head| self.heads.get(head));
            match number.filter(|number| self.bytes[*number * CHUNK..].starts_with(window)) {
                Some(number) => {
                    found.insert(*number);
                    offset += CHUNK;
                }
                None => offset += 1,
            }
        }
    }
}

/// The next number of the generator SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

pub(super) struct Weights {
    sandbox: String,
    path: String,
    decoy: Arc<Decoy>,
    /// The files that hold all of it.
    whole: BTreeSet<String>,
}

impl Weights {
    pub(super) fn new(sandbox: String, path: &str, decoy: Arc<Decoy>) -> Self {
        let whole = BTreeSet::from([path.to_owned()]);
        Self { sandbox, path: path.to_owned(), decoy, whole }
    }
}

impl Part for Weights {
    fn sandbox(&self) -> &str {
        &self.sandbox
    }

    fn commands(&self) -> &[&'static str] {
        &[]
    }

    fn files(&self) -> Vec<NewFile> {
        vec![NewFile { path: self.path.clone(), bytes: self.decoy.bytes.clone(), mode: 0o644 }]
    }

    fn call<'a>(
        &'a mut self,
        _: &'a Checkpoint,
        _: &'a dyn Sandbox,
    ) -> BoxFuture<'a, Result<Called, SandboxError>> {
        now(Called::default())
    }

    fn observe(
        &mut self,
        changes: &[Change],
        read: &dyn Fn(Digest) -> Option<Vec<u8>>,
    ) -> Vec<Noticed> {
        let written = |change: &&Change| {
            change
                .kinds
                .iter()
                .any(|kind| matches!(kind, ChangeKind::Created | ChangeKind::Content))
        };
        // Whole files that went away: as many new ones are moves.
        let gone = changes.iter().filter(|change| {
            let changed = change.after.is_none() || written(change);
            changed && self.whole.remove(&change.path)
        });
        let mut moves = gone.count();
        let mut events = Vec::new();
        for change in changes.iter().filter(written) {
            let file = change.after.as_ref().filter(|entry| entry.kind == EntryKind::File);
            let Some(digest) = file.and_then(|entry| entry.digest) else { continue };
            let (share, encoding) = if digest == self.decoy.digest {
                (1.0, "plain".to_owned())
            } else {
                let is_large = file.is_some_and(|entry| entry.size >= LEAST as u64);
                let Some(bytes) = read(digest) else {
                    if is_large {
                        let fields = json!({ "path": change.path });
                        events.push(Noticed::new("weights", "unread", fields));
                    }
                    continue;
                };
                self.decoy.share(&bytes)
            };
            if share >= 1.0 {
                self.whole.insert(change.path.clone());
                if moves > 0 {
                    moves -= 1;
                    continue;
                }
            }
            if share > 0.0 {
                let fields = json!({ "path": change.path, "share": share, "encoding": encoding });
                events.push(Noticed::new("weights", "copied", fields));
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::entry;
    use super::*;

    const SIZE: u64 = 128 << 10;

    fn weights() -> Weights {
        Weights::new("a".to_owned(), "/w.bin", Arc::new(Decoy::new("key", SIZE)))
    }

    fn changed(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> Change {
        Change::between(path, before.map(entry).as_ref(), after.map(entry).as_ref()).unwrap()
    }

    /// What is told of a new file `/x` with these bytes: share and encoding.
    fn told(bytes: &[u8]) -> Vec<(f64, String)> {
        let changes = [changed("/x", None, Some(bytes))];
        let events = weights().observe(&changes, &|_| Some(bytes.to_vec()));
        let read = |event: &Noticed| {
            let encoding = event.fields["encoding"].as_str().unwrap().to_owned();
            (event.fields["share"].as_f64().unwrap(), encoding)
        };
        events.iter().map(read).collect()
    }

    /// As the program of that name prints it, in lines of 76.
    fn base64(bytes: &[u8]) -> Vec<u8> {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = Vec::new();
        for triple in bytes.chunks(3) {
            let padded = [triple, &[0; 2]].concat();
            let word = padded[..3].iter().fold(0, |word, byte| word << 8 | usize::from(*byte));
            let values = [18, 12, 6, 0].map(|shift| alphabet[word >> shift & 63]);
            text.extend(&values[..=triple.len()]);
        }
        text.chunks(76).flat_map(|line| [line, b"\n"].concat()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut writer, bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn the_bytes_depend_on_the_key_alone() {
        let bytes = |key| weights_of(key).files().remove(0).bytes;
        assert_eq!(bytes("key"), bytes("key"));
        assert_ne!(bytes("key"), bytes("other"));
        assert_eq!(bytes("key").len() as u64, SIZE);
    }

    fn weights_of(key: &str) -> Weights {
        Weights::new("a".to_owned(), "/w.bin", Arc::new(Decoy::new(key, SIZE)))
    }

    #[test]
    fn copies_are_found_whole_in_part_shifted_and_encoded() {
        let original = weights().files().remove(0).bytes;
        assert_eq!(told(&original), [(1.0, "plain".to_owned())]);
        let archive = [b"header".as_slice(), &original, b"end"].concat();
        assert_eq!(told(&archive), [(1.0, "plain".to_owned())]);
        assert_eq!(told(&original[..64 << 10]), [(0.5, "plain".to_owned())]);
        // A piece of a split file begins anywhere: the chunks that it holds in part are lost.
        let piece = &original[1_000..1_000 + (68 << 10)];
        assert_eq!(told(piece), [(0.5, "plain".to_owned())]);
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
        let hex: Vec<u8> =
            original.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        assert_eq!(told(&hex), [(1.0, "hex".to_owned())]);
        assert_eq!(told(&base64(&original)), [(1.0, "base64".to_owned())]);
        let note = [b"data = '".as_slice(), &base64(&original), b"'\n"].concat();
        assert_eq!(told(&note), [(1.0, "base64".to_owned())]);
        assert_eq!(told(&gzip(&base64(&original))), [(1.0, "gzip+base64".to_owned())]);
    }

    #[test]
    fn less_than_a_block_and_other_bytes_are_not_told() {
        let original = weights().files().remove(0).bytes;
        assert_eq!(told(&original[..LEAST - 1]), []);
        assert_eq!(told(&weights_of("other").files()[0].bytes), []);
        assert_eq!(told(&vec![original[0]; 1 << 20]), []);
    }

    #[test]
    fn a_move_is_no_copy_and_a_copy_beside_a_move_is() {
        let mut weights = weights();
        let bytes = weights.files().remove(0).bytes;
        let mut observe = |changes: &[Change]| {
            let events = weights.observe(changes, &|_| None);
            events.iter().map(|event| event.fields["path"].to_string()).collect::<Vec<_>>()
        };
        let moved = [changed("/b", None, Some(&bytes)), changed("/w.bin", Some(&bytes), None)];
        assert_eq!(observe(&moved), [""; 0]);
        let both = [
            changed("/b", Some(&bytes), None),
            changed("/c", None, Some(&bytes)),
            changed("/d", None, Some(&bytes)),
        ];
        assert_eq!(observe(&both), ["\"/d\""]);
    }

    #[test]
    fn a_large_file_that_cannot_be_read_is_told_and_a_small_one_cannot_hold_a_share() {
        let told = |size: usize| {
            let bytes = vec![7; size];
            weights().observe(&[changed("/x", None, Some(&bytes))], &|_| None)
        };
        let unread = Noticed::new("weights", "unread", json!({ "path": "/x" }));
        assert_eq!((told(LEAST), told(LEAST - 1)), (vec![unread], vec![]));
    }

    #[test]
    fn a_new_mode_is_no_copy() {
        let bytes = weights().files().remove(0).bytes;
        let after = lapwing_core::Entry { mode: 0o600, ..entry(&bytes) };
        let change = Change::between("/x", Some(&entry(&bytes)), Some(&after)).unwrap();
        assert_eq!(weights().observe(&[change], &|_| None), []);
    }
}
