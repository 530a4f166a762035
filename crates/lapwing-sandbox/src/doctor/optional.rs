//! What only some scenarios use: other root file systems, terminals, limits that the kernel holds.

use lapwing_core::{Command, Sandbox, SandboxError, TerminalSize};

use super::{Probe, Settings, absent, found};
use crate::isolated::Isolated;
use crate::native::Native;

/// Tries what a sandbox offers beside what every scenario needs.
pub(super) async fn of(sandbox: &Isolated) -> Vec<Probe> {
    vec![layers(sandbox).await, terminal(sandbox).await, settings(Settings::read())]
}

/// A branch of a sandbox takes all that another root file system does.
async fn layers(sandbox: &Isolated) -> Probe {
    let name = "overlay of file systems";
    let tried = async {
        let branch = sandbox.snapshot().await?.branch().await?;
        let script = "rm /etc/hostname && mkdir -p /run/a && ! [ -e /etc/hostname ]";
        let done = branch.exec(Command::new(["sh", "-c", script])).await?;
        branch.destroy().await?;
        Ok::<_, SandboxError>(done.status.success())
    };
    let mend = "use a kernel of version 6.6 or later, and a LAPWING_CACHE on a disk file system with extended \
                attributes; without it `root` of a sandbox is refused but for `host`";
    match tried.await {
        Ok(true) => found(name, "works, for `root` of a sandbox and for branches"),
        Ok(false) => absent(name, "files over others cannot be removed", mend),
        Err(SandboxError::Unavailable { reason, mend }) => absent(name, &reason, &mend),
        Err(error) => absent(name, &error.to_string(), mend),
    }
}

async fn terminal(sandbox: &Isolated) -> Probe {
    let name = "terminals";
    let size = TerminalSize { rows: 7, columns: 9 };
    let tried = async {
        let mut terminal = sandbox.terminal(Command::new(["stty", "size"]), size).await?;
        let said = terminal.receive().await?;
        Ok::<_, SandboxError>(String::from_utf8_lossy(&said).trim().to_owned())
    };
    let mend = "use a kernel with pseudo-terminals (CONFIG_UNIX98_PTYS); without them `lapwing scenario shell` fails";
    match tried.await {
        Ok(said) if said == "7 9" => found(name, "work"),
        Ok(said) => absent(name, &format!("`stty size` says {said:?}"), mend),
        Err(error) => absent(name, &error.to_string(), mend),
    }
}

/// Settings that forbid user namespaces elsewhere. That one was made shows that none of them does here.
fn settings(settings: Settings) -> Probe {
    let most = settings.max_user_namespaces.map_or("unknown".to_owned(), |most| most.to_string());
    let apparmor =
        if settings.restricted_by_apparmor { "restricts them" } else { "does not restrict them" };
    found("settings of user namespaces", &format!("at most {most}; AppArmor {apparmor}"))
}

/// Control groups that are used, or those that were found and cannot be.
pub(super) fn groups(native: &Native) -> Probe {
    let name = "control groups";
    let mend = "systemd-run --user --scope -p Delegate=yes lapwing .., or LAPWING_CGROUP=FOLDER of one that was handed \
                over; root needs nothing more where groups can be written to";
    let used: Vec<String> =
        native.group_folders().iter().map(|folder| folder.display().to_string()).collect();
    if !used.is_empty() {
        return found(name, &used.join(", "));
    }
    let unused = native.unused_groups();
    let why = if unused.is_empty() { String::new() } else { format!(": {}", unused.join("; ")) };
    absent(name, &format!("none can be used, a watchdog holds the memory{why}"), mend)
}
