//! What a process cost: wall and processor time, peak memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ticks of the kernel's processor accounting in a second.
const TICKS: f64 = 100.0;

/// What a process cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
}

/// `lapwing` in `dir`.
pub(crate) fn lapwing(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lapwing"));
    command.current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs `command` to its successful end.
pub(crate) fn measure(command: &mut Command) -> Cost {
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak_kib = 0;
    // An ended process that nobody has waited for still tells its times, but no longer its memory.
    let (state, times) = loop {
        let (state, times) = stat(&child);
        if state == 'Z' {
            break (state, times);
        }
        peak_kib = peak(&child).unwrap_or(peak_kib);
        std::thread::sleep(Duration::from_millis(1));
    };
    let wall = begun.elapsed();
    assert!(child.wait().unwrap().success(), "{command:?} failed ({state})");
    Cost { wall, cpu: Duration::from_secs_f64(times as f64 / TICKS), peak_kib }
}

/// The state of a process, and the ticks that it took in user and kernel mode.
fn stat(child: &Child) -> (char, u64) {
    let text = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let (_, fields) = text.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
    (fields[0].chars().next().unwrap(), ticks(11) + ticks(12))
}

fn peak(child: &Child) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Processor time of `command` and of everything that it starts, by a control group of its own; `None` where none can be made.
pub(crate) fn cpu_of_tree(command: &mut Command) -> Option<Duration> {
    let group = Group::make()?;
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", group.path.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &enter]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir()?);
    shell.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(shell.status().unwrap().success(), "{command:?} failed");
    group.cpu()
}

struct Group {
    path: PathBuf,
}

impl Group {
    fn make() -> Option<Self> {
        let name = format!("engine-bench-{}", std::process::id());
        ["/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup"].iter().find_map(|root| {
            let path = Path::new(root).join(&name);
            fs::create_dir(&path).ok()?;
            let group = Self { path };
            group.cpu().map(|_| group)
        })
    }

    fn cpu(&self) -> Option<Duration> {
        if let Ok(text) = fs::read_to_string(self.path.join("cpuacct.usage")) {
            return text.trim().parse().ok().map(Duration::from_nanos);
        }
        let text = fs::read_to_string(self.path.join("cpu.stat")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        line.parse().ok().map(Duration::from_micros)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Processes of sandboxes are gone a moment after the run.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
