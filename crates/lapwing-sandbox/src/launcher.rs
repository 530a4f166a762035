//! The launcher: a small process with one thread and a clean environment, started before any secret is read, whose
//! forks become pid 1 of each sandbox. It takes one message per sandbox and answers on that sandbox's own socket.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use crate::cgroup;
use crate::channel;
use crate::init;
use crate::network;
use crate::protocol::{Carried, Event, Order, Reply, SET_UP, Step};
use crate::sys::process::{self, Cloned};
use crate::sys::socket::{self, Wait};

/// The only argument of the launcher and therefore of every pid 1: anyone inside can read it.
pub(crate) const NAME: &str = "init";
/// User and group of every process inside.
pub(crate) const INSIDE_ID: u32 = 1000;
/// Where root's sandboxes live outside: no system gives this id to an account by itself.
const PREFERRED_OUTSIDE_ID: u32 = 200_000;

type Namespaces = [(Step, i32)];

const NAMESPACES: [(Step, i32); 6] = [
    (Step::UserNamespace, libc::CLONE_NEWUSER),
    (Step::NetworkNamespace, libc::CLONE_NEWNET),
    (Step::PidNamespace, libc::CLONE_NEWPID),
    (Step::MountNamespace, libc::CLONE_NEWNS),
    (Step::IpcNamespace, libc::CLONE_NEWIPC),
    (Step::UtsNamespace, libc::CLONE_NEWUTS),
];

/// Becomes the launcher and never returns, if this process was started as one.
pub(crate) fn enter() {
    let mut arguments = std::env::args_os();
    let named = arguments.next().is_some_and(|name| name == NAME) && arguments.next().is_none();
    if named && socket::is_packet_socket(io::stdin().as_fd()) {
        // A failure shows at the other end as a closed socket.
        let _ = run();
        process::exit(0);
    }
}

fn run() -> io::Result<()> {
    process::close_inherited()?;
    process::set_name(c"init")?;
    // Away from the terminal: an interrupt there is for the harness, which may want to end its samples first.
    process::new_session()?;
    process::die_with_parent()?;
    process::reset_signals();
    process::ignore_children();
    // Where the host's memory runs out all the same, the kernel ends commands before the harness. Not everywhere allowed,
    // and nothing that holds depends on it.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    std::env::set_current_dir("/")?;
    process::leave_groups()?;
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    process::replace_stdin(File::open("/dev/null")?.as_fd())?;

    serve(control)
}

/// Takes orders until nobody can give any. A process that an order makes goes on from here as what it is: a holder, which
/// keeps a network and takes orders for sandboxes on it, or pid 1 of a sandbox.
fn serve(mut control: OwnedFd) -> io::Result<()> {
    let mut home = Home::Host;
    loop {
        let Some((order, fds)) = channel::receive::<Order>(control.as_fd(), Wait::Block)? else {
            return Ok(());
        };
        let mut fds = fds.into_iter();
        let Some(socket) = fds.next() else { continue };
        let (namespaces, users, carried) = match &order {
            Order::Sandbox { carried, .. } => {
                (home.of_sandbox(), Users::Inside, carried.as_slice())
            }
            Order::Network(_) => (&NAMESPACES[..2], Users::InsideAndOwn, &[][..]),
        };
        let (ways_in, files) = Files::sort(carried, fds);
        let go = match create(namespaces, users, socket.as_fd(), ways_in) {
            Ok(Some(go)) => go,
            Ok(None) => continue,
            Err((step, error)) => {
                report(socket.as_fd(), step, &error);
                continue;
            }
        };
        control = socket;
        let mut answer = [0];
        if File::from(go).read(&mut answer)? != 1 {
            return Ok(());
        }
        match order {
            Order::Sandbox { creation, .. } => {
                init::run(&creation, home, control, files);
                return Ok(());
            }
            Order::Network(outside) => match network::hold(outside) {
                Ok(()) => {
                    home = Home::Network;
                    let done = Event::Reply { id: SET_UP, reply: Reply::Done };
                    channel::send(control.as_fd(), &done, &[], Wait::Block)?;
                }
                Err((step, error)) => {
                    report(control.as_fd(), step, &error);
                    return Ok(());
                }
            },
        }
    }
}

/// What pid 1 of a sandbox reads and writes outside.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) verdict: Option<File>,
    pub(crate) kills: Option<File>,
    pub(crate) time: Option<File>,
}

/// By what a process enters its control groups.
#[derive(Default)]
struct WaysIn {
    entries: Vec<File>,
    group: Option<File>,
}

impl Files {
    fn sort(carried: &[Carried], fds: impl Iterator<Item = OwnedFd>) -> (WaysIn, Self) {
        let (mut ways_in, mut files) = (WaysIn::default(), Self::default());
        for (kind, file) in carried.iter().zip(fds.map(File::from)) {
            match kind {
                Carried::Verdict => files.verdict = Some(file),
                Carried::Kills => files.kills = Some(file),
                Carried::Time => files.time = Some(file),
                Carried::Entry => ways_in.entries.push(file),
                Carried::Group => ways_in.group = Some(file),
            }
        }
        (ways_in, files)
    }
}

/// Where sandboxes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// On the host: each has a network of its own.
    Host,
    /// In the network of a holder.
    Network,
}

impl Home {
    fn of_sandbox(self) -> &'static Namespaces {
        match self {
            Self::Host => &NAMESPACES,
            Self::Network => {
                const BESIDE: [(Step, i32); 5] =
                    [NAMESPACES[0], NAMESPACES[2], NAMESPACES[3], NAMESPACES[4], NAMESPACES[5]];
                &BESIDE
            }
        }
    }
}

/// Who exists in a user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Users {
    /// Only the user of commands.
    Inside,
    /// Also that of the launcher, where it is another one: who is nobody cannot make further namespaces.
    InsideAndOwn,
}

/// Tells the harness that `step` failed. If it is gone, so is the need to tell.
pub(crate) fn report(socket: BorrowedFd<'_>, step: Step, error: &io::Error) {
    let errno = error.raw_os_error().unwrap_or(0);
    let event = Event::Stillborn { step, errno, cause: error.to_string() };
    let _ = channel::send(socket, &event, &[], Wait::Block);
}

/// Clones a process into new `namespaces`, and into its control groups. In the child: the pipe that says when
/// all that concerns it from outside is done. In the launcher: nothing.
fn create(
    namespaces: &Namespaces,
    users: Users,
    socket: BorrowedFd<'_>,
    ways_in: WaysIn,
) -> Result<Option<OwnedFd>, (Step, io::Error)> {
    let supervisor = |error| (Step::Supervisor, error);
    let (mapped, go) = socket::pipe().map_err(supervisor)?;
    let all = namespaces.iter().fold(0, |flags, (_, flag)| flags | flag);
    let WaysIn { entries, group } = ways_in;
    let into_group = |group: &File| process::clone_into(all, Some(group.as_fd())).ok();
    let (cloned, group) = match group.as_ref().and_then(into_group) {
        Some(cloned) => (Ok(cloned), None),
        // Also where the kernel clones into no group: then it is moved.
        None => (process::clone_into(all, None), group),
    };
    match cloned.map_err(|error| (missing_namespace(namespaces), error))? {
        Cloned::Child => Ok(Some(mapped)),
        Cloned::Parent(pid, pidfd) => {
            let entries = entries.into_iter().map(Ok).chain(group.iter().map(entry));
            let entered = entries.into_iter().try_for_each(|entry| write!(entry?, "{pid}"));
            let mapped = entered
                .map_err(|error| (Step::ControlGroup, error))
                .and_then(|()| map_identity(pid, users).map_err(|error| (Step::IdMap, error)));
            let begun = mapped.and_then(|()| {
                channel::send(socket, &Event::Born, &[pidfd.as_fd()], Wait::Block)
                    .and_then(|()| File::from(go).write_all(&[1]))
                    .map_err(supervisor)
            });
            if begun.is_err() {
                process::kill_pidfd(pidfd.as_fd());
            }
            begun.map(|()| None)
        }
    }
}

/// The file by which processes enter `group`.
fn entry(group: &File) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}/{}", group.as_raw_fd(), cgroup::PROCESSES);
    fs::OpenOptions::new().write(true).open(path)
}

/// The first kind of namespace that cannot be had; called when all of them together could not.
fn missing_namespace(namespaces: &Namespaces) -> Step {
    let refused = namespaces.iter().find(|(_, flag)| {
        match process::clone_into(libc::CLONE_NEWUSER | flag, None) {
            Ok(Cloned::Child) => process::exit(0),
            Ok(Cloned::Parent(..)) => false,
            Err(_) => true,
        }
    });
    refused.map_or(Step::Supervisor, |(step, _)| *step)
}

/// User and group outside of what runs in sandboxes.
pub(crate) fn outside_ids() -> io::Result<(u32, u32)> {
    let (uid, gid) = process::effective_ids();
    let user = outside_id(uid, &fs::read_to_string("/proc/self/uid_map")?)?;
    let group = outside_id(gid, &fs::read_to_string("/proc/self/gid_map")?)?;
    Ok((user, group))
}

/// Maps users and groups into the namespace of `pid`.
fn map_identity(pid: i32, users: Users) -> io::Result<()> {
    let (uid, gid) = process::effective_ids();
    let (user, group) = outside_ids()?;
    let write = |file: &str, text: String| fs::write(format!("/proc/{pid}/{file}"), text);
    write("setgroups", "deny".to_owned())?;
    write("gid_map", id_map(group, gid, users))?;
    write("uid_map", id_map(user, uid, users))
}

/// The id map in which `outside` stands behind the id inside; `own` is the launcher's.
fn id_map(outside: u32, own: u32, users: Users) -> String {
    let inside = format!("{INSIDE_ID} {outside} 1");
    match users {
        Users::InsideAndOwn if own == 0 => format!("{inside}\n0 0 1"),
        Users::Inside | Users::InsideAndOwn => inside,
    }
}

/// The id outside that stands behind the one inside: `own`, except for root. Root's would switch off the limit on
/// processes, so an id that belongs to nobody takes its place; `map` is the id map that this process lives in.
fn outside_id(own: u32, map: &str) -> io::Result<u32> {
    if own != 0 {
        return Ok(own);
    }
    let ranges = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let (first, _, count) = (numbers.next()?.ok()?, numbers.next()?, numbers.next()?.ok()?);
        Some(first..first.saturating_add(count))
    });
    let ranges: Vec<_> = ranges.collect();
    if ranges.iter().any(|range| range.contains(&PREFERRED_OUTSIDE_ID)) {
        return Ok(PREFERRED_OUTSIDE_ID);
    }
    // Inside another namespace, as in a container: the last id that is neither root nor nobody.
    let candidates =
        ranges.iter().flat_map(|range| [range.end.saturating_sub(1), range.end.saturating_sub(3)]);
    let best = candidates.filter(|id| !matches!(id, 0 | 65_534 | 65_535)).max();
    best.ok_or_else(|| io::Error::other("only root is mapped here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_never_mapped_to_root() {
        let whole = "         0          0 4294967295\n";
        assert_eq!(outside_id(0, whole).unwrap(), 200_000);
        assert_eq!(outside_id(0, "0 100000 65536").unwrap(), 65_533);
        assert_eq!(outside_id(0, "0 1000 1\n1 100000 1000").unwrap(), 1000);
        assert!(outside_id(0, "0 1000 1").is_err());
        assert_eq!(outside_id(1234, "").unwrap(), 1234);
        // In the namespace of a holder.
        let users = id_map(200_000, 0, Users::InsideAndOwn);
        assert_eq!(users, "1000 200000 1\n0 0 1");
        assert_eq!(outside_id(0, &users.replace("200000", "1000")).unwrap(), 1000);
        assert_eq!(id_map(200_000, 0, Users::Inside), "1000 200000 1");
        assert_eq!(id_map(1234, 1234, Users::InsideAndOwn), "1000 1234 1");
    }
}
