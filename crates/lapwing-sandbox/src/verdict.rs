//! Why pid 1 ended its sandbox, in a file in memory that it shares with the harness.
//!
//! Pid 1 writes it down and only then ends, and all else inside ends with it. The harness reads it whenever it has found a sandbox
//! gone. So whatever shows the end first, a closed socket, a reply that does not come or a request that cannot be sent, tells the
//! same reason.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use lapwing_core::Loss;
use serde::{Deserialize, Serialize};

use crate::sys::socket;

/// More than any verdict takes.
const BYTES: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// For programs.
    pub(crate) loss: Loss,
    /// In words.
    pub(crate) cause: String,
}

impl Verdict {
    /// The file for one.
    pub(crate) fn file() -> io::Result<File> {
        socket::memory_file(c"verdict")
    }

    pub(crate) fn write(&self, file: &File) -> io::Result<()> {
        file.write_all_at(&serde_json::to_vec(self)?, 0)
    }

    /// The one that was written, if one was.
    pub(crate) fn read(file: &File) -> Option<Self> {
        let mut bytes = [0; BYTES];
        let length = file.read_at(&mut bytes, 0).ok()?;
        Self::decode(&bytes[..length])
    }

    /// The one in these bytes. What is looked at while it is written is none, and never another one.
    fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_is_not_there_whole_is_none() {
        let verdict = Verdict { loss: Loss::HostMemory, cause: "memory \"a\" ran out".to_owned() };
        let bytes = serde_json::to_vec(&verdict).unwrap();
        for length in 0..bytes.len() {
            // As far as it was written, and what a file is before: empty or zeros.
            let mut seen = bytes[..length].to_vec();
            assert_eq!(Verdict::decode(&seen), None, "{length}");
            seen.resize(bytes.len(), 0);
            assert_eq!(Verdict::decode(&seen), None, "{length}");
        }
        assert_eq!(Verdict::decode(&bytes), Some(verdict));
    }

    #[test]
    #[cfg_attr(miri, ignore = "memory files are the kernel's")]
    fn a_verdict_is_there_once_it_was_written_and_stays() {
        let file = Verdict::file().unwrap();
        assert_eq!(Verdict::read(&file), None);
        let verdict = Verdict { loss: Loss::HostMemory, cause: "x".repeat(200) };
        verdict.write(&file).unwrap();
        for _ in 0..2 {
            assert_eq!(Verdict::read(&file).as_ref(), Some(&verdict));
        }
    }
}
