//! The table of processes, read from the sandbox's own `/proc`.

use std::fs::{self, File};
use std::io::{self, Read};

use lapwing_core::Process;

/// Of each process this many bytes of arguments are told: all of them together could fill the harness's memory.
const COMMAND_BYTES: u64 = 4096;

/// More than most files of `/proc` have, so that one call reads them.
const FILE_BYTES: usize = 4096;

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) zombie: bool,
    /// Processor time, also that of children that it has waited for, in ticks.
    pub(crate) ticks: u64,
}

/// All processes, by pid.
pub(crate) fn table() -> Vec<Row> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<i32> = pids.collect();
    pids.sort_unstable();
    pids.into_iter()
        .filter_map(|pid| parse_stat(read(&format!("/proc/{pid}/stat")).ok()?.as_bytes()))
        .collect()
}

/// All of a file of `/proc`, whose size nobody can tell before. Bytes that are no text are replaced.
pub(crate) fn read(path: &str) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads `PID (NAME) STATE PARENT ...`, where NAME may hold anything.
fn parse_stat(stat: &[u8]) -> Option<Row> {
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    let end_of_pid = stat.iter().position(|byte| *byte == b' ')?;
    let pid = std::str::from_utf8(&stat[..end_of_pid]).ok()?;
    let rest = std::str::from_utf8(stat.get(end_of_name + 1..)?).ok()?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // `utime`, `stime`, `cutime` and `cstime`, the 14th field and those behind it.
    let ticks = fields.skip(9).take(4).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(Row { pid: pid.parse().ok()?, parent, zombie: matches!(state, "Z" | "X"), ticks })
}

/// The live descendants of `ancestor`.
pub(crate) fn descendants(table: &[Row], ancestor: i32) -> Vec<i32> {
    let mut family = vec![ancestor];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        let children = table.iter().filter(|row| row.parent == parent && row.pid != parent);
        for row in children {
            if !family.contains(&row.pid) {
                family.push(row.pid);
            }
        }
        next += 1;
    }
    let live = |pid: &i32| table.iter().any(|row| row.pid == *pid && !row.zombie);
    family.into_iter().skip(1).filter(live).collect()
}

/// What the harness is told: every live process but pid 1 and `ours`, whose children count as children of pid 1.
pub(crate) fn visible(ours: &[i32]) -> Vec<Process> {
    let shown = |row: &Row| row.pid != 1 && !row.zombie && !ours.contains(&row.pid);
    let rows = table().into_iter().filter(shown);
    rows.map(|row| Process {
        pid: row.pid.unsigned_abs(),
        parent: if ours.contains(&row.parent) { 1 } else { row.parent.unsigned_abs() },
        command: command_line(row.pid),
    })
    .collect()
}

fn command_line(pid: i32) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/cmdline")) {
        // What is read before the process ends counts.
        let _ = file.take(COMMAND_BYTES).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_name_of_a_process_moves_the_fields_behind_it(name: Vec<u8>, pid in 1..4_000_000, parent in 1..4_000_000) {
            let stat = [format!("{pid} (").as_bytes(), &name, format!(") S {parent} 1 1 0").as_bytes()].concat();
            prop_assert_eq!(parse_stat(&stat), Some(row(pid, parent)));
            parse_stat(&name);
        }
    }

    fn row(pid: i32, parent: i32) -> Row {
        Row { pid, parent, zombie: false, ticks: 0 }
    }

    #[test]
    fn a_name_with_brackets_spaces_and_bad_bytes_does_not_confuse_the_parser() {
        let stat = b"7 (a) R 1 \xff) S 3 7 7 0";
        assert_eq!(parse_stat(stat), Some(row(7, 3)));
        assert_eq!(parse_stat(b"7 (x) Z 3 7"), Some(Row { zombie: true, ..row(7, 3) }));
        assert_eq!(parse_stat(b"7 (x"), None);
        let times = b"7 (x) R 3 4 5 6 7 8 9 10 11 12 100 20 3 4 99";
        assert_eq!(parse_stat(times), Some(Row { ticks: 127, ..row(7, 3) }));
    }

    #[test]
    fn descendants_are_found_in_any_order_and_without_zombies() {
        let table = [
            row(2, 9),
            row(3, 2),
            row(9, 1),
            row(10, 1),
            Row { zombie: true, ..row(4, 3) },
            row(5, 4),
        ];
        assert_eq!(descendants(&table, 9), [2, 3, 5]);
        assert!(descendants(&table, 10).is_empty());
    }
}
