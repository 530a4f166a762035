//! A root file system of layers: folders of the host, read-only, below a writable one on the sandbox's own tmpfs.
//!
//! What is in the layers was written by others. Their paths are looked up only after they have become the root, where a link
//! can lead nowhere else.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::protocol::{Creation, Layers, ProgramsFrom, Step};
use crate::root;
use crate::sys::mount::{self, Access, Tree};

/// Opens the folders. Before the user is changed, while they can be reached.
pub(crate) fn open(layers: &Layers) -> io::Result<Vec<OwnedFd>> {
    let open = |folder: &std::path::PathBuf| {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(folder);
        opened
            .map(OwnedFd::from)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
    };
    layers.folders.iter().map(open).collect()
}

/// Builds the tree and makes it the root of the calling process, which is pid 1 of the new namespaces. Returns the folder
/// in which what is written lies.
pub(crate) fn build(
    creation: &Creation,
    folders: &[OwnedFd],
) -> Result<OwnedFd, (Step, io::Error)> {
    let at = |step: Step| move |error| (step, error);
    let Some(layers) = &creation.layers else {
        return Err((Step::Layers, io::Error::other("there are none")));
    };
    let base = Path::new(root::NEW_ROOT);
    mount::make_private().map_err(at(Step::PrivateMounts))?;
    let host = match layers.programs {
        ProgramsFrom::Host => Some(root::host_trees().map_err(at(Step::HostPrograms))?),
        ProgramsFrom::Layers => None,
    };
    let devices = root::device_trees().map_err(at(Step::Devices))?;
    // Before the tmpfs hides what may lie below its place.
    let folders = folders.iter().map(|folder| Tree::copy_of(folder.as_fd(), Access::ReadOnly));
    let folders = folders.collect::<io::Result<Vec<_>>>().map_err(at(Step::Layers))?;
    root::writable(base, creation).map_err(at(Step::WritableTree))?;
    let upper = overlay(base, folders).map_err(at(Step::Layers))?;
    let made = |path: &str, mode| make_directory(&base.join(path), mode);
    made("dev", 0o755)
        .and_then(|()| made("dev/pts", 0o755))
        .and_then(|()| made("dev/shm", 0o1777))
        .and_then(|()| made("proc", 0o555))
        .and_then(|()| root::attach_devices(base, devices))
        .map_err(at(Step::Devices))?;
    // While the host's is there to be seen, without which there is no new one.
    root::own_proc(base).map_err(at(Step::Proc))?;
    let devices = Tree::copy(&base.join("dev"), Access::Same).map_err(at(Step::Devices))?;
    let proc = Tree::copy(&base.join("proc"), Access::Same).map_err(at(Step::Proc))?;
    std::env::set_current_dir(base.join("root"))
        .and_then(|()| mount::pivot_here())
        .and_then(|()| std::env::set_current_dir("/"))
        .map_err(at(Step::Pivot))?;

    furnish(creation, layers).map_err(at(Step::SystemFiles))?;
    devices.attach(Path::new("/dev")).map_err(at(Step::Devices))?;
    proc.attach(Path::new("/proc")).map_err(at(Step::Proc))?;
    if let Some(host) = host {
        attach_programs(host).map_err(at(Step::HostPrograms))?;
    }
    Ok(upper)
}

/// Mounts the host's programs where the layers have folders for them. Links to them are in the layers.
fn attach_programs(host: root::HostTrees) -> io::Result<()> {
    let local = Tree::copy(Path::new("/usr/local"), Access::Same)?;
    for (name, tree) in host.trees {
        let target = Path::new("/").join(name);
        if fs::symlink_metadata(&target).is_ok_and(|found| found.is_dir()) {
            tree.attach(&target)?;
        }
    }
    local.attach(Path::new("/usr/local"))
}

/// Lays `folders` and a writable one over each other at `root` below `base`. Returns the writable one.
fn overlay(base: &Path, folders: Vec<Tree>) -> io::Result<OwnedFd> {
    let mut names = Vec::new();
    for (number, folder) in folders.into_iter().enumerate() {
        let path = base.join(format!("lower{number}"));
        make_directory(&path, 0o755)?;
        folder.attach(&path)?;
        names.push(path.display().to_string());
    }
    let [upper, work, root] = ["upper", "work", "root"].map(|name| base.join(name));
    for path in [&upper, &work, &root] {
        make_directory(path, 0o755)?;
    }
    let folder = File::open(&upper)?;
    // Folders that hide what is below them are told by such an attribute; without them the tree would show what was removed.
    rustix::fs::fsetxattr(&folder, MARK, b"n", rustix::fs::XattrFlags::empty())?;
    rustix::fs::fremovexattr(&folder, MARK)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        names.join(":"),
        upper.display(),
        work.display()
    );
    mount::mount_new("overlay", &root, libc::MS_NODEV, &options)?;
    Ok(folder.into())
}

/// The attribute of a folder that hides what the layers below have in it.
pub(crate) const MARK: &str = "user.overlay.opaque";

/// Makes what every sandbox has. The root is the new one.
fn furnish(creation: &Creation, layers: &Layers) -> io::Result<()> {
    for (path, mode) in root::DIRECTORIES {
        let path = Path::new("/").join(path);
        // Below what is mounted later.
        if path.parent() == Some(Path::new("/dev")) {
            continue;
        }
        let found = fs::symlink_metadata(&path);
        let is_mount = path == Path::new("/dev") || path == Path::new("/proc");
        // What somebody has removed stays so in a branch.
        if layers.furnished && !is_mount {
            continue;
        }
        match found {
            Ok(found) if found.is_dir() => {}
            // A link to a folder serves as well as a folder, but for what is mounted there.
            Ok(_) if !is_mount && path.is_dir() => {}
            Ok(_) => {
                fs::remove_file(&path)?;
                make_directory(&path, mode)?;
            }
            Err(_) => make_directory(&path, mode)?,
        }
    }
    if layers.furnished {
        return Ok(());
    }
    fs::set_permissions("/tmp", Permissions::from_mode(0o1777))?;
    let etc = Path::new("/etc");
    for (name, text) in root::network_files(&creation.hostname) {
        write_new(&etc.join(name), text.as_bytes())?;
    }
    for (name, line) in [("passwd", root::AGENT), ("group", root::AGENT_GROUP)] {
        let path = etc.join(name);
        let is_plain = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
        let text = if is_plain { fs::read(&path)? } else { Vec::new() };
        let known = text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"agent:"));
        if !known {
            // In front: programs take the first line with the id.
            write_new(&path, &[line.as_bytes(), &text].concat())?;
        }
    }
    Ok(())
}

/// Writes a file in the place of whatever is there.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(bytes)
}

/// A path is made with `mode`, also with bits that the umask takes away.
fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().mode(mode).create(path)?;
    if mode & 0o1022 != 0 {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Whether the folder `near`, which lies in a writable layer, hides what is below it.
pub(crate) fn is_opaque(near: &Path) -> bool {
    let mut value = [0; 4];
    let found = rustix::fs::getxattr(near, MARK, &mut value[..]);
    matches!(found, Ok(1)) && value[0] == b'y'
}

/// Whether a file of this kind and device in a writable layer stands for one that was removed.
pub(crate) fn is_whiteout(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    found.file_type().is_char_device() && found.rdev() == 0
}
