//! What the kernel tells about processes and memory.

use std::collections::BTreeSet;
use std::fs;

/// Lines of `/proc/meminfo` that grow with sandboxes and little with anything else, together in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Kernel(u64);

impl Kernel {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string("/proc/meminfo").unwrap();
        let names = ["Slab:", "KernelStack:", "PageTables:", "Percpu:", "Shmem:"];
        Self(names.iter().map(|name| field(&text, name)).sum::<u64>() * 1024)
    }

    pub(crate) fn since(self, before: Self) -> u64 {
        self.0.saturating_sub(before.0)
    }
}

/// KiB of the line `name`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The most memory that this process ever had, in KiB.
pub(crate) fn peak_kib() -> u64 {
    field(&fs::read_to_string("/proc/self/status").unwrap(), "VmHWM:")
}

/// The memory that this process has now, in KiB.
pub(crate) fn resident_kib() -> u64 {
    field(&fs::read_to_string("/proc/self/status").unwrap(), "VmRSS:")
}

/// KiB of memory without a file behind it that one process of this harness's sandboxes takes, at the median: all of it, which
/// includes pages that it shares with the launcher, and its proportional part, which only root is told.
pub(crate) fn anonymous_kib() -> (u64, Option<u64>) {
    let pids = descendants(std::process::id());
    let median = |file: &str, name: &str| {
        let sizes = pids.iter().filter_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
            text.contains(name).then(|| field(&text, name))
        });
        let mut sizes: Vec<u64> = sizes.collect();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied()
    };
    (median("status", "RssAnon:").unwrap(), median("smaps_rollup", "Pss_Anon:"))
}

/// Processes below `ancestor`.
pub(crate) fn descendants(ancestor: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut pending = vec![ancestor];
    while let Some(parent) = pending.pop() {
        let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
            pending.extend(children.filter(|pid| found.insert(*pid)));
        }
    }
    found
}

/// A process, told apart from later ones with the same id by the time of its start.
pub(crate) type Identity = (u32, String);

/// All processes that have not ended, with their pid namespaces as far as this user may know.
pub(crate) fn processes() -> Vec<(Identity, Option<String>)> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let namespace = |pid| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let process = |pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `PID (NAME) STATE ..`, where Z is the state of one that has ended and that nobody has asked about.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let live = !matches!(fields[0], "Z" | "X");
        let name = namespace(pid).map(|name| name.to_string_lossy().into_owned());
        live.then(|| ((pid, fields[19].to_owned()), name))
    };
    pids.filter_map(process).collect()
}
