//! Gzip members inside other bytes.

use std::io::Read as _;

use flate2::read::GzDecoder;

/// What every member begins with: two magic bytes and the only method that exists.
pub(super) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// Members that are looked for in one input.
const MAX_MEMBERS: usize = 16;

/// Bytes that one member may unfold to; the rest is left out.
const MAX_UNFOLDED: usize = 1 << 20;

/// The contents of the members in `bytes`, at most `left` bytes each. Of a member that is cut or damaged, what can be read.
pub(super) fn members(bytes: &[u8], left: usize) -> Vec<Vec<u8>> {
    let starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
    let unfolded = starts.take(MAX_MEMBERS).map(|(start, _)| {
        let mut unfolded = Vec::new();
        let mut member = GzDecoder::new(&bytes[start..]).take(left.min(MAX_UNFOLDED) as u64);
        // What was read before a mistake stands.
        member.read_to_end(&mut unfolded).ok();
        unfolded
    });
    unfolded.filter(|unfolded| !unfolded.is_empty()).collect()
}
