//! Who made something that outlives a process on this machine: named so that the next harness can tell what nobody owns.

use std::fmt;
use std::fs;
use std::io;
use std::str::FromStr;

/// A process, told apart from later ones of the same id. Written `PID-START`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: u32,
    /// When it was started, in the kernel's ticks.
    start: u64,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> io::Result<Self> {
        let pid = std::process::id();
        let start = start_time(pid).ok_or_else(|| io::Error::other("/proc is not readable"))?;
        Ok(Self { pid, start })
    }

    /// Whether it has not ended.
    pub(crate) fn lives(&self) -> bool {
        start_time(self.pid) == Some(self.start)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid, self.start)
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (pid, start) = text.split_once('-').ok_or(())?;
        Ok(Self { pid: pid.parse().map_err(drop)?, start: start.parse().map_err(drop)? })
    }
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything, come the state and 18 numbers.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_had_its_id_before_does_not() {
        let own = Owner::this().unwrap();
        assert!(own.lives());
        assert_eq!(own.to_string().parse(), Ok(own.clone()));
        assert!(!Owner { start: own.start + 1, ..own }.lives());
        assert_eq!("7".parse::<Owner>(), Err(()));
    }
}
