//! Why isolation is missing here, and what mends it.

use std::fs;
use std::io;

use lapwing_core::{
    Command, Enforced, Enforcement, Provider as _, Sandbox, SandboxError, SandboxSpec,
};

use crate::native::Native;
use crate::protocol::{Event, Step};

mod optional;

/// One thing that isolation needs, or that some scenarios use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it is.
    pub name: String,
    /// Whether it is there.
    pub ok: bool,
    /// Whether nothing can be isolated without it. What is not needed is told where some scenarios use it.
    pub needed: bool,
    /// What was found, or why it is missing.
    pub detail: String,
    /// The command or setting that mends it; always told where something is missing.
    pub mend: Option<String>,
}

/// Why a sandbox was not created.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A step of setting up failed.
    Step { step: Step, errno: i32, cause: String },
    /// The launcher or pid 1 ended without a word.
    Vanished,
    /// The harness's own side failed.
    Host(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

impl Failure {
    /// What `event` says, where it is not the one that was expected.
    pub(crate) fn from_event(event: Event) -> Self {
        match event {
            Event::Stillborn { step, errno, cause } => Self::Step { step, errno, cause },
            Event::Born | Event::Reply { .. } | Event::Call { .. } | Event::CallGone { .. } => {
                Self::Vanished
            }
        }
    }

    /// The failure with what mends it.
    pub(crate) fn diagnose(self) -> SandboxError {
        let create = "create a sandbox".to_owned();
        match self {
            Self::Step { step, errno, cause } => match mend(step, errno, Settings::read()) {
                Some(mend) => {
                    let reason = format!("this machine refuses the {step} ({cause})");
                    SandboxError::Unavailable { reason, mend }
                }
                None => SandboxError::Failed { step: format!("{create}: {step}"), cause },
            },
            Self::Vanished => SandboxError::Failed {
                step: create,
                cause: "its pid 1 or the launcher has ended".to_owned(),
            },
            Self::Host(error) => SandboxError::Failed { step: create, cause: error.to_string() },
        }
    }
}

/// Settings of this machine that forbid user namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Settings {
    /// Ubuntu: only programs with an AppArmor profile that says so may use them.
    restricted_by_apparmor: bool,
    /// Older Debian: only root may.
    restricted_by_debian: bool,
    /// How many there may be.
    max_user_namespaces: Option<u64>,
}

impl Settings {
    fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let kernel = |name: &str| read(&format!("/proc/sys/kernel/{name}"));
        Self {
            restricted_by_apparmor: kernel("apparmor_restrict_unprivileged_userns") == Some(1),
            restricted_by_debian: kernel("unprivileged_userns_clone") == Some(0),
            max_user_namespaces: read("/proc/sys/user/max_user_namespaces"),
        }
    }
}

/// What mends the failure of `step`; `None` where it is no missing isolation.
fn mend(step: Step, errno: i32, settings: Settings) -> Option<String> {
    let apparmor = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
    let container = "inside a container, start it with `--security-opt seccomp=unconfined --security-opt \
                     systempaths=unconfined`; otherwise ask who runs this machine to allow user namespaces";
    let text = match step {
        Step::UserNamespace if settings.restricted_by_debian => {
            "sudo sysctl -w kernel.unprivileged_userns_clone=1"
        }
        Step::UserNamespace if settings.max_user_namespaces == Some(0) || errno == libc::ENOSPC => {
            "sudo sysctl -w user.max_user_namespaces=10000"
        }
        // AppArmor lets the namespace be made and then takes its capabilities away: a later step shows it.
        Step::UserNamespace
        | Step::PidNamespace
        | Step::NetworkNamespace
        | Step::MountNamespace
        | Step::IpcNamespace
        | Step::UtsNamespace
        | Step::CgroupNamespace
        | Step::IdMap
        | Step::Identity
        | Step::PrivateMounts
        | Step::WritableTree
            if settings.restricted_by_apparmor =>
        {
            apparmor
        }
        Step::UserNamespace if errno == libc::EINVAL || errno == libc::ENOSYS => {
            "use a kernel with user namespaces (CONFIG_USER_NS), version 5.12 or later"
        }
        Step::PidNamespace
        | Step::NetworkNamespace
        | Step::MountNamespace
        | Step::IpcNamespace
        | Step::UtsNamespace
        | Step::CgroupNamespace
            if errno == libc::ENOSPC =>
        {
            return Some(format!(
                "raise the limit on this kind of namespace: `sysctl user` lists it, failed: {step}"
            ));
        }
        Step::UserNamespace
        | Step::PidNamespace
        | Step::NetworkNamespace
        | Step::MountNamespace
        | Step::IpcNamespace
        | Step::UtsNamespace
        | Step::CgroupNamespace
        | Step::Identity
        | Step::PrivateMounts
        | Step::Loopback
        | Step::NestedNamespaces => container,
        Step::IdMap => {
            "map more than root's id into this container or user namespace, or run as an ordinary user"
        }
        Step::HostPrograms | Step::Devices if errno == libc::ENOSYS || errno == libc::EINVAL => {
            "use a kernel with mount_setattr, version 5.12 or later"
        }
        Step::Sinkhole => {
            "leave `network = \"sinkhole\"` out, or use a kernel with IPv4 and IPv6 in each network namespace"
        }
        Step::Watch => {
            "leave `observe` and `network` out, or use a kernel of version 5.5 or later; nothing else may watch system calls here"
        }
        Step::Proc => {
            "/proc is masked, as in a container: start it with `--security-opt systempaths=unconfined`"
        }
        Step::Layers => {
            "use a kernel of version 6.6 or later, which lays one file system over another for everybody, or `root = \"host\"`"
        }
        Step::ControlGroup
        | Step::WritableTree
        | Step::HostPrograms
        | Step::Devices
        | Step::SystemFiles
        | Step::Pivot
        | Step::HostName
        | Step::Programs
        | Step::Supervisor => return None,
    };
    Some(text.to_owned())
}

impl Native {
    /// Tries out everything that isolation needs, in a sandbox that is made for it and destroyed.
    pub async fn probe(&self) -> Vec<Probe> {
        let spec = SandboxSpec { hostname: "probe".to_owned(), ..SandboxSpec::default() };
        let system = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut probes = vec![found("Linux", system.trim())];
        let works = |step: Step| found(&step.to_string(), "works");
        // Both are tried apart: nothing that is made here depends on them.
        let needed = || Step::ALL.into_iter().filter(|step| !OPTIONAL.contains(step));
        match self.create_isolated(&spec).await {
            Ok(isolated) => {
                probes.push(found("launcher", "answers"));
                probes.extend(needed().map(works));
                let optional = optional::of(&isolated).await;
                probes.extend(inside(Box::new(isolated)).await);
                probes.extend(optional);
            }
            Err(Failure::Step { step, errno, cause }) => {
                probes.push(found("launcher", "answers"));
                let before = needed().filter(|earlier| *earlier < step);
                probes.extend(before.map(works));
                let mend = mend(step, errno, Settings::read());
                let mend = mend.unwrap_or_else(|| advice(step, errno).to_owned());
                probes.push(missing(&step.to_string(), &cause, &mend));
                let after = needed().filter(|later| *later > step);
                let untried = format!("not tried, as it needs: {step}");
                let first = format!("mend first: {step}");
                probes.extend(after.map(|step| missing(&step.to_string(), &untried, &first)));
            }
            Err(failure @ (Failure::Vanished | Failure::Host(_))) => {
                let mend = "mount /proc, and give this user room for more processes and descriptors: `ulimit -u`, `ulimit -n`";
                probes.push(missing("launcher", &failure.diagnose().to_string(), mend));
            }
        }
        probes.push(optional::groups(self));
        probes.extend(limits(self.enforced()));
        probes
    }
}

/// What holds each limit, in words.
fn limits(enforced: Enforced) -> [Probe; 6] {
    let Enforced { memory, disk, files, processes, processors, processor_time } = enforced;
    let by = |enforcement| match enforcement {
        Enforcement::Kernel => "held by the kernel",
        Enforcement::Watchdog => "held by a watchdog that looks ten times a second",

        Enforcement::None => {
            "not limited; commands run only while nothing more urgent does (nice 10)"
        }
    };
    [
        ("limit on memory", memory),
        ("limit on disk", disk),
        ("limit on files", files),
        ("limit on processes", processes),
        ("limit on processors", processors),
        ("limit on processor time", processor_time),
    ]
    .map(|(name, enforcement)| found(name, by(enforcement)))
}

fn found(name: &str, detail: &str) -> Probe {
    Probe { name: name.to_owned(), ok: true, needed: true, detail: detail.to_owned(), mend: None }
}

fn missing(name: &str, detail: &str, mend: &str) -> Probe {
    Probe { ok: false, mend: Some(mend.to_owned()), ..found(name, detail) }
}

/// Something that only some scenarios use is missing.
fn absent(name: &str, detail: &str, mend: &str) -> Probe {
    Probe { needed: false, ..missing(name, detail, mend) }
}

/// Steps that are not part of every sandbox.
const OPTIONAL: [Step; 2] = [Step::ControlGroup, Step::Layers];

/// What helps where `step` failed for another reason than missing isolation.
fn advice(step: Step, errno: i32) -> &'static str {
    match step {
        Step::WritableTree | Step::HostPrograms | Step::Devices if errno == libc::ENOSPC => {
            "allow more mounts: sudo sysctl -w fs.mount-max=100000"
        }
        Step::WritableTree => "use a kernel with tmpfs (CONFIG_TMPFS), and leave it some memory",
        Step::HostPrograms => {
            "have programs below /usr, and let this user read /usr and /etc/alternatives"
        }
        Step::Devices => "have null, zero, full, random, urandom and tty in /dev",
        Step::SystemFiles | Step::Programs => {
            "give the sandbox more disk and files: `disk` and `files` in the scenario"
        }
        Step::Pivot => {
            "run from a root file system on a disk or in a container; one in the initial memory disk cannot be left"
        }
        Step::ControlGroup => {
            "unset LAPWING_CGROUP, or have it name a control group from which this user may move processes"
        }
        Step::HostName => "name the sandbox with at most 64 bytes",
        Step::UserNamespace
        | Step::PidNamespace
        | Step::NetworkNamespace
        | Step::MountNamespace
        | Step::IpcNamespace
        | Step::UtsNamespace
        | Step::CgroupNamespace
        | Step::IdMap
        | Step::Identity
        | Step::PrivateMounts
        | Step::Layers
        | Step::Proc
        | Step::Loopback
        | Step::Sinkhole
        | Step::NestedNamespaces
        | Step::Supervisor
        | Step::Watch => {
            "give this user room for more processes and descriptors: `ulimit -u`, `ulimit -n`; if it stays, report it"
        }
    }
}

/// What shows only from inside.
async fn inside(sandbox: Box<dyn Sandbox>) -> Vec<Probe> {
    let script = "cat /proc/self/status; echo \"Map: $(cat /proc/self/uid_map)\"";
    let output = sandbox.exec(Command::new(["sh", "-c", script])).await;
    let destroyed = sandbox.destroy().await;
    let shell = "install sh and cat below /usr: sandboxes run the programs of this machine";
    let mut probes = match output {
        Ok(output) if output.status.success() => {
            let mut probes = vec![found("run a command", "works")];
            probes.extend(judge(&String::from_utf8_lossy(&output.stdout)));
            probes
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            vec![missing("run a command", &format!("{:?} {said}", output.status), shell)]
        }
        Err(error) => vec![missing("run a command", &error.to_string(), shell)],
    };
    probes.push(match destroyed {
        Ok(()) => found("destroy", "works"),
        Err(error) => {
            missing("destroy", &error.to_string(), "use a kernel of version 5.12 or later")
        }
    });
    probes
}

/// Judges the status of a process inside.
fn judge(status: &str) -> Vec<Probe> {
    let field = |name: &str| -> Vec<&str> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace().collect()
    };
    let capabilities = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(field).concat();
    let none =
        capabilities.len() == 5 && capabilities.iter().all(|set| set.trim_matches('0').is_empty());
    let map = field("Map");
    let (kernel, escape) = (
        "use a kernel with seccomp filters (CONFIG_SECCOMP_FILTER)",
        "run no scenario here, and report this: what runs inside could get out",
    );
    [
        ("system call filter", field("Seccomp") == ["2"], field("Seccomp"), kernel),
        ("no new privileges", field("NoNewPrivs") == ["1"], field("NoNewPrivs"), escape),
        ("no capabilities", none, capabilities, escape),
        ("not root outside", map.len() == 3 && map[1] != "0" && map[2] == "1", map, escape),
    ]
    .into_iter()
    .map(
        |(name, ok, seen, mend)| {
            if ok { found(name, &seen.join(" ")) } else { missing(name, &seen.join(" "), mend) }
        },
    )
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_user_namespace_names_the_setting_that_blocks_it() {
        let apparmor = Settings { restricted_by_apparmor: true, ..Settings::default() };
        let none = Settings { max_user_namespaces: Some(0), ..Settings::default() };
        let says = |step, errno, settings| mend(step, errno, settings).unwrap();
        assert!(says(Step::UserNamespace, libc::EPERM, apparmor).contains("apparmor_restrict"));
        assert!(says(Step::PrivateMounts, libc::EACCES, apparmor).contains("apparmor_restrict"));
        assert!(says(Step::UserNamespace, libc::ENOSPC, none).contains("max_user_namespaces"));
        assert!(says(Step::Proc, libc::EPERM, Settings::default()).contains("systempaths"));
        assert_eq!(mend(Step::Programs, libc::ENOSPC, Settings::default()), None);
    }

    #[test]
    fn every_step_that_fails_has_a_mend() {
        for step in Step::ALL {
            for errno in [0, libc::EPERM, libc::EINVAL, libc::ENOSPC, libc::ENOENT] {
                let mend = mend(step, errno, Settings::default());
                let said = mend.unwrap_or_else(|| advice(step, errno).to_owned());
                assert!(said.len() > 20, "{step}");
            }
        }
        assert!(judge("").iter().all(|probe| probe.mend.is_some()));
    }

    #[test]
    fn a_process_with_a_capability_or_without_a_filter_is_found_wanting() {
        let zero = "0000000000000000";
        let status = |effective: &str, seccomp: &str, outside: &str| {
            format!(
                "CapInh:\t{zero}\nCapPrm:\t{zero}\nCapEff:\t{effective}\nCapBnd:\t{zero}\nCapAmb:\t{zero}\n\
                 NoNewPrivs:\t1\nSeccomp:\t{seccomp}\nMap:       1000    {outside}  1\n"
            )
        };
        let verdict =
            |status: String| judge(&status).iter().map(|probe| probe.ok).collect::<Vec<_>>();
        assert_eq!(verdict(status(zero, "2", "1000")), [true; 4]);
        assert_eq!(verdict(status("0000000000000001", "0", "0")), [false, true, false, false]);
        assert_eq!(verdict(String::new()), [false; 4]);
    }
}
