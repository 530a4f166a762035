//! Where this process may make control groups: in a tree of version two that was delegated to it, else in those of version
//! one that it may write to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Groups;
use super::tree::Tree;
use crate::protocol::Grouped;

/// The group of its own into which this process moves, so that its former one can have others below it.
const LEAF: &str = "lapwing";

/// A tree of control groups that is mounted here, and where in it this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mounted {
    /// `None` for version two, else the controllers.
    controllers: Option<Vec<String>>,
    own: PathBuf,
}

/// The groups that can be used, and in words what was found and cannot be.
pub(crate) fn detect() -> (Option<Arc<Groups>>, Vec<String>) {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mounted = mounted(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    let mut refused = Vec::new();
    let mut trees: Vec<Tree> = Vec::new();
    for found in &mounted {
        let held = trees.iter().map(Tree::holds).collect::<Vec<_>>();
        let open = match &found.controllers {
            None => delegated(&found.own),
            Some(names) if is_wanted(names, &held) => Tree::open(&found.own),
            Some(_) => continue,
        };
        match open {
            // Its folder is gone already.
            Ok(tree) if tree.holds() == Grouped::default() => {}
            Ok(tree) => trees.push(tree),
            Err(error) => refused.push(format!("{}: {error}", found.own.display())),
        }
    }
    if trees.is_empty() {
        return (None, refused);
    }
    match Groups::of(trees) {
        Ok(groups) => (Some(groups), refused),
        Err(error) => {
            refused.push(error.to_string());
            (None, refused)
        }
    }
}

/// Whether a tree of version one has something that no tree before it holds.
fn is_wanted(controllers: &[String], held: &[Grouped]) -> bool {
    controllers.iter().any(|name| match name.as_str() {
        "memory" => !held.iter().any(|held| held.memory),
        "pids" => !held.iter().any(|held| held.processes),
        "cpu" => !held.iter().any(|held| held.processors),
        _ => false,
    })
}

/// A tree of version two in which this process may make groups. Only a group without processes has limited ones below it,
/// so this process moves into one of its own first, if it is alone.
fn delegated(own: &Path) -> io::Result<Tree> {
    let controllers = fs::read_to_string(own.join("cgroup.controllers"))?;
    let is_useful = |name: &str| matches!(name, "memory" | "pids" | "cpu");
    if !controllers.split_whitespace().any(is_useful) {
        return Err(io::Error::other("it limits neither memory nor processes nor processors"));
    }
    let processes = fs::read_to_string(own.join("cgroup.procs"))?;
    let this = std::process::id().to_string();
    if processes.lines().any(|pid| pid != this) {
        let mend = "start lapwing in one of its own: systemd-run --user --scope -p Delegate=yes lapwing ..";
        return Err(io::Error::other(format!("other processes are in it too; {mend}")));
    }
    let leaf = own.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => fs::write(leaf.join("cgroup.procs"), this)?,
    }
    Tree::open(own)
}

/// The trees that are mounted, that of version two first.
fn mounted(mountinfo: &str, cgroup: &str) -> Vec<Mounted> {
    let own_path = |wanted: &str| {
        cgroup.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            (controllers == wanted || controllers.split(',').any(|name| name == wanted))
                .then(|| path.to_owned())
        })
    };
    let trees = mountinfo.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, target) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let kind = file_system.next()?;
        let names: Vec<String> = file_system.nth(1)?.split(',').map(str::to_owned).collect();
        let (controllers, path) = match kind {
            "cgroup2" => (None, own_path("")?),
            "cgroup" => {
                let path = names.iter().find_map(|name| own_path(name))?;
                (Some(names), path)
            }
            _ => return None,
        };
        // Of a tree of which only a part is mounted, that part is what there is.
        let below = Path::new(&path).strip_prefix(root).unwrap_or(Path::new(""));
        Some(Mounted { controllers, own: Path::new(target).join(below) })
    });
    let mut trees: Vec<Mounted> = trees.collect();
    trees.sort_by_key(|tree| tree.controllers.is_some());
    trees
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_two_comes_first_and_own_groups_are_found_below_their_mounts() {
        let mountinfo = "30 29 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                         31 29 0:27 /box /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                         32 29 0:28 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n\
                         33 29 0:29 / /tmp rw - tmpfs tmpfs rw\n";
        let cgroup = "4:memory:/box/a\n1:cpu,cpuacct:/\n0::/user.slice/me\n";
        let found: Vec<_> = mounted(mountinfo, cgroup).into_iter().map(|tree| tree.own).collect();
        let expected = [
            "/sys/fs/cgroup/unified/user.slice/me",
            "/sys/fs/cgroup/cpu/",
            "/sys/fs/cgroup/memory/a",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn a_delegated_group_with_others_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), "memory pids\n").unwrap();
        fs::write(folder.path().join("cgroup.procs"), "1\n").unwrap();
        let error = delegated(folder.path()).err().unwrap();
        assert!(error.to_string().contains("systemd-run"), "{error}");
        fs::write(folder.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
        assert!(delegated(folder.path()).is_err());
        assert!(!folder.path().join(LEAF).exists());
    }
}
