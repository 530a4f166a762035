//! Bytes behind the encodings that carry whole files: gzip, hexadecimal and base64.
//!
//! The decoders of the scenario format look for short hidden texts. Here a run is megabytes long, and binary.

use std::io::Read as _;

use flate2::read::GzDecoder;

/// A shorter run cannot hold what is looked for.
const LEAST_RUN: usize = 64 << 10;

/// Bytes that a gzip file may unfold to.
const MAX_UNFOLDED: u64 = 32 << 20;

/// Everything long that `bytes` hold behind one encoding, with its name.
pub(super) fn unpacked(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unfolded = Vec::new();
        // Of a damaged file, what can be read stands.
        GzDecoder::new(bytes).take(MAX_UNFOLDED).read_to_end(&mut unfolded).ok();
        all.push(("gzip", unfolded));
    }
    for (name, bits, value) in [("hex", 4, hex as fn(u8) -> Option<u8>), ("base64", 6, base64)] {
        for run in runs(bytes, value) {
            // Letters before the data may belong to the run: where it begins is tried.
            let starts = if bits == 4 { 2 } else { 4 };
            all.extend((0..starts).map(|start| (name, packed(&run[start..], bits))));
        }
    }
    all
}

/// The values of all long runs of one alphabet, white space left out.
fn runs(bytes: &[u8], value: fn(u8) -> Option<u8>) -> Vec<Vec<u8>> {
    let foreign = |byte: &u8| value(*byte).is_none() && !byte.is_ascii_whitespace();
    let long = bytes.split(foreign).filter(|run| run.len() >= LEAST_RUN);
    let values = long.map(|run| run.iter().filter_map(|byte| value(*byte)).collect());
    values.filter(|values: &Vec<u8>| values.len() >= LEAST_RUN).collect()
}

/// `bits` of every value, the highest first.
fn packed(values: &[u8], bits: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len());
    let (mut held, mut n_held) = (0_u32, 0);
    for value in values {
        held = held << bits | u32::from(*value);
        n_held += bits;
        if n_held >= 8 {
            n_held -= 8;
            bytes.push((held >> n_held) as u8);
        }
    }
    bytes
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn base64(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
