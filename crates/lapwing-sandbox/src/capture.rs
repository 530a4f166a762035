//! Output that is counted to its end, of which the first and the last part are kept.

use std::collections::VecDeque;

/// What was written to one stream.
pub(crate) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_max: usize,
    tail_max: usize,
    total: u64,
}

impl Capture {
    /// Keeps at most `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        let tail_max = max / 2;
        let head_max = max - tail_max;
        Self { head: Vec::new(), tail: VecDeque::new(), head_max, tail_max, total: 0 }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(self.head_max - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.tail_max)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.tail_max);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The bytes kept and the number of bytes written.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u64) {
        self.head.extend(self.tail);
        (self.head, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_division_into_pieces_keeps_the_same_first_and_last_half() {
        let bytes: Vec<u8> = (0..=99).collect();
        for max in [0, 1, 2, 7, 10, 99, 100, 200] {
            let expected = if max >= 100 {
                bytes.clone()
            } else {
                [&bytes[..max - max / 2], &bytes[100 - max / 2..]].concat()
            };
            for piece in [1, 3, 50, 100] {
                let mut capture = Capture::new(max);
                bytes.chunks(piece).for_each(|piece| capture.push(piece));
                assert_eq!(capture.finish(), (expected.clone(), 100), "max {max}, piece {piece}");
            }
        }
    }
}
