//! Texts and values that are many and come back once: kept in a temporary file, found by number or by key.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;

/// Pieces of bytes in a temporary file that vanishes with this value.
pub(crate) struct Spill {
    out: BufWriter<File>,
    /// Where each piece ends.
    ends: Vec<u64>,
}

impl Spill {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { out: BufWriter::new(tempfile::tempfile()?), ends: Vec::new() })
    }

    /// Keeps a piece and returns its number, from 0.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        let end = self.ends.last().copied().unwrap_or_default() + bytes.len() as u64;
        self.ends.push(end);
        Ok(self.ends.len() - 1)
    }

    /// How many pieces there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The piece of that number; `None` if there is none.
    pub(crate) fn get(&mut self, number: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(end) = self.ends.get(number).copied() else { return Ok(None) };
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.out.flush()?;
        let mut bytes = vec![0; (end - start) as usize];
        self.out.get_ref().read_exact_at(&mut bytes, start)?;
        Ok(Some(bytes))
    }

    /// Forgets every piece.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_mut().set_len(0)?;
        self.out.get_mut().rewind()?;
        self.ends.clear();
        Ok(())
    }
}

/// A spill whose pieces have keys.
pub(crate) struct Keyed<K> {
    spill: Spill,
    numbers: HashMap<K, usize>,
}

impl<K: std::hash::Hash + Eq> Keyed<K> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { spill: Spill::new()?, numbers: HashMap::new() })
    }

    /// Keeps `bytes` under `key`, unless there is something already, and returns its number.
    pub(crate) fn keep(&mut self, key: K, bytes: &[u8]) -> io::Result<usize> {
        if let Some(number) = self.numbers.get(&key) {
            return Ok(*number);
        }
        let number = self.spill.push(bytes)?;
        self.numbers.insert(key, number);
        Ok(number)
    }

    pub(crate) fn get<Q>(&mut self, key: &Q) -> io::Result<Option<Vec<u8>>>
    where
        K: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        match self.numbers.get(key) {
            Some(number) => self.spill.get(*number),
            None => Ok(None),
        }
    }

    /// The pieces by number.
    pub(crate) fn pieces(&mut self) -> &mut Spill {
        &mut self.spill
    }

    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.numbers.clear();
        self.spill.clear()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_by_number_and_key_also_between_writes() {
        let mut keyed: Keyed<String> = Keyed::new().unwrap();
        assert_eq!(keyed.keep("a".to_owned(), b"one").unwrap(), 0);
        assert_eq!(keyed.get("a").unwrap().unwrap(), b"one");
        assert_eq!(keyed.keep("b".to_owned(), b"").unwrap(), 1);
        assert_eq!(keyed.keep("a".to_owned(), b"other").unwrap(), 0);
        assert_eq!(keyed.pieces().get(1).unwrap().unwrap(), b"");
        assert_eq!(keyed.pieces().get(2).unwrap(), None);
        keyed.clear().unwrap();
        assert_eq!(keyed.get("a").unwrap(), None);
        keyed.keep("c".to_owned(), b"two").unwrap();
        assert_eq!(keyed.get("c").unwrap().unwrap(), b"two");
    }
}
