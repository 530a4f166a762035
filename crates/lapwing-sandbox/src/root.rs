//! The file system of a sandbox: an allow-list of the host's programs, read-only, over one tmpfs that holds
//! everything writable. Nothing else of the host is there.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lapwing_core::Network;

use crate::protocol::{Creation, Step};
use crate::sink;
use crate::sys::mount::{self, Access, Tree};

/// Where the tree is put together before it becomes the root. Any directory that every host has would do.
pub(crate) const NEW_ROOT: &str = "/tmp";
/// The program that stands behind every name of `SandboxSpec::programs`.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/client"));

pub(crate) const DIRECTORIES: [(&str, u32); 26] = [
    ("usr", 0o755),
    ("usr/local", 0o755),
    ("usr/local/bin", 0o755),
    ("usr/local/etc", 0o755),
    ("usr/local/games", 0o755),
    ("usr/local/include", 0o755),
    ("usr/local/lib", 0o755),
    ("usr/local/sbin", 0o755),
    ("usr/local/share", 0o755),
    ("usr/local/src", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("home/agent", 0o755),
    ("root", 0o700),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
    ("run", 0o755),
    ("workspace", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("dev", 0o755),
    ("dev/pts", 0o755),
    ("dev/shm", 0o1777),
];

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Directories of programs that are links into `/usr` on most hosts and directories of their own on others.
const PROGRAM_DIRECTORIES: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Files of `/proc` that tell about the host or reach into its kernel.
const MASKED: [&str; 21] = [
    "bootconfig",
    "cmdline",
    "config.gz",
    "interrupts",
    "iomem",
    "ioports",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "kpagecount",
    "latency_stats",
    "mdstat",
    "modules",
    "sched_debug",
    "schedstat",
    "softirqs",
    "swaps",
    "sysrq-trigger",
    "timer_list",
];

/// Directories of `/proc` that tell about the host's hardware and file systems.
const MASKED_DIRECTORIES: [&str; 9] =
    ["acpi", "asound", "bus", "driver", "dynamic_debug", "fs", "irq", "scsi", "tty"];

/// Pseudo-terminals of a sandbox. Without a limit of its own it could take all that the host has left.
const TERMINALS: u32 = 256;

/// Builds the tree and makes it the root of the calling process, which is pid 1 of the new namespaces.
pub(crate) fn build(creation: &Creation) -> Result<(), (Step, io::Error)> {
    let at = |step: Step| move |error| (step, error);
    let root = Path::new(NEW_ROOT);
    mount::make_private().map_err(at(Step::PrivateMounts))?;
    // Copied before anything is mounted over the paths that lead to them.
    let host = host_trees().map_err(at(Step::HostPrograms))?;
    let devices = device_trees().map_err(at(Step::Devices))?;
    writable_tree(root, creation).map_err(at(Step::WritableTree))?;
    attach_programs(root, host).map_err(at(Step::HostPrograms))?;
    attach_devices(root, devices).map_err(at(Step::Devices))?;
    own_proc(root).map_err(at(Step::Proc))?;
    system_files(root, creation).map_err(at(Step::SystemFiles))?;
    std::env::set_current_dir(root)
        .and_then(|()| mount::pivot_here())
        .and_then(|()| std::env::set_current_dir("/"))
        .map_err(at(Step::Pivot))
}

/// What is shown of the host.
pub(crate) struct HostTrees {
    pub(crate) trees: Vec<(&'static str, Tree)>,
    links: Vec<(&'static str, PathBuf)>,
}

/// Copies of the host's programs.
pub(crate) fn host_trees() -> io::Result<HostTrees> {
    let mut host = HostTrees { trees: Vec::new(), links: Vec::new() };
    host.trees.push(("usr", Tree::copy(Path::new("/usr"), Access::ReadOnly)?));
    for name in PROGRAM_DIRECTORIES {
        let path = Path::new("/").join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => host.links.push((name, fs::read_link(&path)?)),
            Ok(_) => host.trees.push((name, Tree::copy(&path, Access::ReadOnly)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
    }
    // Debian resolves many commands, `awk` for one, through this directory.
    let alternatives = Path::new("/etc/alternatives");
    if alternatives.is_dir() {
        host.trees.push(("etc/alternatives", Tree::copy(alternatives, Access::ReadOnly)?));
    }
    Ok(host)
}

/// Copies of the host's devices.
pub(crate) fn device_trees() -> io::Result<Vec<(&'static str, Tree)>> {
    let copy = |name| Ok((name, Tree::copy(&Path::new("/dev").join(name), Access::Device)?));
    DEVICES.into_iter().map(copy).collect()
}

/// Mounts the tmpfs that holds everything writable.
pub(crate) fn writable(root: &Path, creation: &Creation) -> io::Result<()> {
    let limits = &creation.limits;
    let options = format!("mode=755,size={},nr_inodes={}", limits.disk_bytes, limits.files);
    mount::mount_new("tmpfs", root, libc::MS_NODEV, &options)
}

fn writable_tree(root: &Path, creation: &Creation) -> io::Result<()> {
    writable(root, creation)?;
    for (path, mode) in DIRECTORIES {
        let path = root.join(path);
        fs::DirBuilder::new().mode(mode).create(&path)?;
        if mode & 0o1022 != 0 {
            // The umask took bits away.
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

fn attach_programs(root: &Path, host: HostTrees) -> io::Result<()> {
    // The host's /usr/local holds private tools: an empty one of the tmpfs is laid over it.
    let local = Tree::copy(&root.join("usr/local"), Access::Same)?;
    for (name, tree) in host.trees {
        let target = root.join(name);
        if !target.exists() {
            fs::create_dir(&target)?;
        }
        tree.attach(&target)?;
    }
    local.attach(&root.join("usr/local"))?;
    for (name, target) in host.links {
        symlink(target, root.join(name))?;
    }
    Ok(())
}

/// Makes `dev` below `root` what it is in every sandbox.
pub(crate) fn attach_devices(root: &Path, devices: Vec<(&'static str, Tree)>) -> io::Result<()> {
    let directory = root.join("dev");
    for (name, tree) in devices {
        let target = directory.join(name);
        fs::File::create(&target)?;
        tree.attach(&target)?;
    }
    for (name, target) in DEVICE_LINKS {
        symlink(target, directory.join(name))?;
    }
    let options = format!("newinstance,ptmxmode=0666,mode=0620,max={TERMINALS}");
    mount::mount_new("devpts", &directory.join("pts"), libc::MS_NOEXEC, &options)
}

/// Mounts `proc` below `root`, with what tells about the host masked by what is in `dev`.
pub(crate) fn own_proc(root: &Path) -> io::Result<()> {
    let proc = root.join("proc");
    mount::mount_new("proc", &proc, libc::MS_NODEV | libc::MS_NOEXEC, "")?;
    let null = root.join("dev/null");
    let entries = fs::read_dir(&proc)?.map(|entry| Ok(entry?.file_name()));
    let there: BTreeSet<OsString> = entries.collect::<io::Result<_>>()?;
    for name in MASKED.into_iter().filter(|name| there.contains(OsStr::new(name))) {
        Tree::copy(&null, Access::Same)?.attach(&proc.join(name))?;
    }
    // A directory that is removed stays where it is mounted: empty, and nothing can be made in it.
    let empty = root.join("empty");
    fs::create_dir(&empty)?;
    for name in MASKED_DIRECTORIES.into_iter().filter(|name| there.contains(OsStr::new(name))) {
        Tree::copy(&empty, Access::ReadOnly)?.attach(&proc.join(name))?;
    }
    fs::remove_dir(&empty)
}

/// The line of the one user.
pub(crate) const AGENT: &str = "agent:x:1000:1000:agent:/home/agent:/bin/bash\n";
/// The line of its group.
pub(crate) const AGENT_GROUP: &str = "agent:x:1000:\n";

/// Files of `/etc` that tell where the sandbox is.
pub(crate) fn network_files(creation: &Creation) -> [(&'static str, String); 3] {
    let hostname = &creation.hostname;
    let names = [&[String::new()][..], &creation.names].concat().join("\n127.0.0.1 ");
    let server = match creation.network {
        Network::Loopback => Ipv4Addr::LOCALHOST,
        Network::Sinkhole => sink::SERVER,
    };
    [
        ("hosts", format!("127.0.0.1 localhost {hostname}\n::1 localhost{names}\n")),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", format!("nameserver {server}\n")),
    ]
}

fn system_files(root: &Path, creation: &Creation) -> io::Result<()> {
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\n{AGENT}nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
    let group = format!("root:x:0:\n{AGENT_GROUP}nogroup:x:65534:\n");
    let nsswitch = "passwd: files\ngroup: files\nhosts: files dns\n";
    let etc = root.join("etc");
    for (name, text) in [("passwd", passwd), ("group", group), ("nsswitch.conf", nsswitch.into())]
        .into_iter()
        .chain(network_files(creation))
    {
        fs::write(etc.join(name), text)?;
    }
    match fs::read("/etc/ld.so.cache") {
        Ok(cache) => fs::write(etc.join("ld.so.cache"), cache),
        // Without one the loader searches the default directories.
        Err(_) => Ok(()),
    }
}

/// Puts the programs into `/usr/local/bin`. After [`build`].
pub(crate) fn install_programs(names: &[String]) -> io::Result<()> {
    for name in names {
        let path = Path::new("/usr/local/bin").join(name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o755).open(path)?;
        io::Write::write_all(&mut file, PROGRAM)?;
    }
    Ok(())
}
