//! Processes, their identity and their limits.
#![expect(unsafe_code, reason = "process control has no wrapper in the standard library")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use lapwing_core::ExitStatus;

use super::check;

/// The two sides of a fork.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The process that forked, with the child's id.
    Parent(i32),
}

/// Forks. The caller must have one thread, as the launcher and every pid 1 have.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: with a single thread, the child may use everything that the parent could.
    match check(i64::from(unsafe { libc::fork() }))? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid as i32)),
    }
}

/// Starts a child that does `run`, which runs a program or ends the child by [`exit`]. Until then it shares the memory of this process,
/// which waits meanwhile: nothing has to be copied, as a fork does, and thrown away. What it changes in memory stays changed
/// here; descriptors, limits, signals and rights are its own. The caller must have one thread.
pub(crate) fn spawn<F: FnMut()>(mut run: F) -> io::Result<i32> {
    /// Only what is touched of it takes memory.
    const STACK_BYTES: usize = 512 << 10;
    extern "C" fn begin<F: FnMut()>(run: *mut libc::c_void) -> i32 {
        // SAFETY: `spawn` passes its `run`, which it does not touch before this process is done with it.
        unsafe { (*run.cast::<F>())() };
        1
    }
    let mut stack: Vec<u128> = Vec::with_capacity(STACK_BYTES / size_of::<u128>());
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: stack and `run` outlive the use that the child makes of them, as this process waits for it; with a single
    // thread nobody else uses the memory.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity());
        libc::clone(begin::<F>, top.cast(), flags, (&raw mut run).cast())
    };
    Ok(check(i64::from(pid))? as i32)
}

/// The C library has it in a type that is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The two sides of [`clone_into`].
pub(crate) enum Cloned {
    /// Pid 1 of the new namespaces.
    Child,
    /// The process that cloned: the child's id and a descriptor for it.
    Parent(i32, OwnedFd),
}

/// Forks into new namespaces, given as `CLONE_NEW*` flags, and into the control group of version two whose folder `group` is. The
/// caller must have one thread.
pub(crate) fn clone_into(namespaces: i32, group: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: i32 = -1;
    // SAFETY: `clone_args` is plain integers, for which zero is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces.cast_unsigned().into();
    args.flags |= u64::from(libc::CLONE_PIDFD.cast_unsigned());
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group.as_raw_fd().unsigned_abs().into();
    }
    // SAFETY: no memory is shared and no stack is given, so this is a fork; see `fork`.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: the kernel just made this descriptor for us.
    Ok(Cloned::Parent(pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// In how many ticks a second the kernel tells processor time.
pub(crate) fn ticks_a_second() -> u64 {
    // SAFETY: no memory is involved.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

/// Ends this process at once, without running exit handlers that belong to the process it was forked from.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(code) }
}

/// Waits until a child has ended, and leaves it to be taken by [`reap_one`]. `None` when there is no child.
pub(crate) fn wait_for_end() -> Option<(i32, ExitStatus)> {
    loop {
        // SAFETY: `siginfo_t` is plain integers and pointers, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOWAIT | libc::__WALL;
        // SAFETY: `info` is live.
        let found = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
        match check(i64::from(found)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(_) => return None,
            Ok(_) => {
                // SAFETY: waitid fills these fields for every child that has ended.
                let (pid, value) = unsafe { (info.si_pid(), info.si_status()) };
                let status = if info.si_code == libc::CLD_EXITED {
                    ExitStatus::Exit { code: value }
                } else {
                    ExitStatus::Signal { signal: value }
                };
                return Some((pid, status));
            }
        }
    }
}

/// Takes the ended child `pid` away.
pub(crate) fn reap_one(pid: i32) {
    // SAFETY: the status may be null.
    unsafe { libc::waitpid(pid, ptr::null_mut(), libc::__WALL) };
}

/// A child that has ended: its id and how; `None` when none has.
pub(crate) fn reap() -> Option<(i32, ExitStatus)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a live integer.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
        match check(i64::from(pid)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Ok(pid) if pid > 0 => return Some((pid as i32, exit_status(status))),
            _ => return None,
        }
    }
}

/// Whether the child `pid` was stopped since this was asked last.
pub(crate) fn is_stopped(pid: i32) -> bool {
    // SAFETY: `siginfo_t` is plain integers and pointers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WSTOPPED | libc::WNOHANG | libc::__WALL;
    // SAFETY: `info` is live, and zeroed as it stays if there is nothing to tell.
    unsafe {
        libc::waitid(libc::P_PID, pid.unsigned_abs(), &raw mut info, flags) == 0
            && info.si_pid() == pid
    }
}

/// Whether this process has a child, ended or not.
pub(crate) fn has_children() -> bool {
    // SAFETY: `siginfo_t` is plain integers and pointers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG | libc::__WALL;
    // SAFETY: `info` is live.
    unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) == 0 }
}

fn exit_status(status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(status) {
        ExitStatus::Signal { signal: libc::WTERMSIG(status) }
    } else {
        ExitStatus::Exit { code: libc::WEXITSTATUS(status) }
    }
}

/// Kills the process `pid`. That it is gone is no error.
pub(crate) fn kill(pid: i32) {
    // SAFETY: signals involve no memory.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Kills the process behind `pidfd`. That it is gone is no error.
pub(crate) fn kill_pidfd(pidfd: BorrowedFd<'_>) {
    let no_info = ptr::null::<libc::siginfo_t>();
    // SAFETY: the information may be null.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, no_info, 0);
    }
}

fn prctl(option: i32, argument: u64) -> io::Result<()> {
    // SAFETY: used only with options that take integers.
    check(i64::from(unsafe { libc::prctl(option, argument, 0_u64, 0_u64, 0_u64) }))?;
    Ok(())
}

/// Has the kernel kill this process when the thread that started it ends. A change of uid undoes it.
pub(crate) fn die_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)
}

/// Adopts the orphans among the descendants of this process.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// Closes the memory, descriptors and environment of this process to others.
pub(crate) fn hide_memory() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

/// Takes from this process and its descendants every way to gain rights by running a program.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Sets the name that process lists show.
pub(crate) fn set_name(name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    check(i64::from(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }))?;
    Ok(())
}

/// Makes the control group of this process the root of those that it and its descendants see.
pub(crate) fn own_cgroup_root() -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }))?;
    Ok(())
}

/// Starts a session of its own, without a terminal.
pub(crate) fn new_session() -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::setsid() }))?;
    Ok(())
}

/// Becomes `id` as user and group and keeps the capabilities. No program run later gains any from being user 0.
pub(crate) fn become_user(id: u32) -> io::Result<()> {
    let bits = libc::SECBIT_NOROOT
        | libc::SECBIT_NOROOT_LOCKED
        | libc::SECBIT_NO_SETUID_FIXUP
        | libc::SECBIT_NO_SETUID_FIXUP_LOCKED
        | libc::SECBIT_KEEP_CAPS
        | libc::SECBIT_NO_CAP_AMBIENT_RAISE
        | libc::SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    prctl(libc::PR_SET_SECUREBITS, bits as u64)?;
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::setresgid(id, id, id) }))?;
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::setresuid(id, id, id) }))?;
    for capability in 0..64 {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            // The kernel knows no more capabilities.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            result => result?,
        }
    }
    Ok(())
}

/// Leaves all supplementary groups, where this process may: root. Others keep theirs inside, as the kernel asks.
pub(crate) fn leave_groups() -> io::Result<()> {
    // SAFETY: no group is passed.
    match check(i64::from(unsafe { libc::setgroups(0, ptr::null()) })) {
        Err(error) if error.raw_os_error() != Some(libc::EPERM) => Err(error),
        _ => Ok(()),
    }
}

/// Capability that reads files and directories whatever their permission bits say, as a bit.
pub(crate) const READ_ALL: u64 = 1 << 2;

/// Gives up all capabilities but `kept`.
pub(crate) fn keep_capabilities(kept: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let (low, high) = (kept as u32, (kept >> 32) as u32);
    let data: [u32; 6] = [low, low, 0, high, high, 0];
    // SAFETY: header and data have the layout of capset(2), version 3: effective, permitted, inheritable, twice.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) })?;
    Ok(())
}

/// What a limit of [`set_limit`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// Processes and threads of the user in this user namespace.
    Processes,
    /// Bytes of one file.
    FileSize,
    /// Bytes of address space of one process.
    AddressSpace,
    /// Open descriptors.
    Descriptors,
    /// Bytes of a core dump.
    Core,
    /// Bytes that may be locked in memory.
    LockedMemory,
    /// Bytes in POSIX message queues, of the user in this user namespace.
    MessageQueues,
    /// Signals that wait, of the user in this user namespace.
    PendingSignals,
    /// How far a process may go before others: 20 less the lowest nice value.
    Niceness,
    /// Highest real-time priority.
    RealTime,
}

impl Resource {
    fn number(self) -> i32 {
        (match self {
            Self::Processes => libc::RLIMIT_NPROC,
            Self::FileSize => libc::RLIMIT_FSIZE,
            Self::AddressSpace => libc::RLIMIT_AS,
            Self::Descriptors => libc::RLIMIT_NOFILE,
            Self::Core => libc::RLIMIT_CORE,
            Self::LockedMemory => libc::RLIMIT_MEMLOCK,
            Self::MessageQueues => libc::RLIMIT_MSGQUEUE,
            Self::PendingSignals => libc::RLIMIT_SIGPENDING,
            Self::Niceness => libc::RLIMIT_NICE,
            Self::RealTime => libc::RLIMIT_RTPRIO,
        }) as i32
    }
}

/// Limits `resource` to `value`, or to what is allowed already if that is less.
pub(crate) fn set_limit(resource: Resource, value: u64) -> io::Result<()> {
    let set = |value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: `limit` is live; the number is one that the kernel knows.
        check(i64::from(unsafe { libc::setrlimit(resource.number() as _, &raw const limit) }))
    };
    match set(value) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            let mut allowed = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: as above.
            check(i64::from(unsafe { libc::getrlimit(resource.number() as _, &raw mut allowed) }))?;
            set(allowed.rlim_max.min(value))?;
        }
        result => {
            result?;
        }
    }
    Ok(())
}

/// Lets whatever is less nice than `niceness` run before this process and its descendants.
pub(crate) fn give_way(niceness: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) }))?;
    Ok(())
}

/// Allows as many descriptors as the hard limit does.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live.
    check(i64::from(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }))?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    check(i64::from(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }))?;
    Ok(())
}

/// Makes `fds` the descriptors 0, 1 and 2 and closes all others.
pub(crate) fn keep_only(fds: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    // Copies above the targets first: a source may have the number of another's target.
    let mut copies = [-1; 3];
    for (copy, fd) in copies.iter_mut().zip(fds) {
        // SAFETY: no memory is involved.
        *copy = check(i64::from(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, 3) }))? as i32;
    }
    for (target, copy) in (0..).zip(copies) {
        // SAFETY: no memory is involved; this process runs no destructor for what it replaces before it executes.
        check(i64::from(unsafe { libc::dup2(copy, target) }))?;
    }
    close_range(3, u32::MAX)
}

/// Closes every descriptor but 0, 1, 2 and `kept`.
pub(crate) fn close_all_but(kept: BorrowedFd<'_>) -> io::Result<()> {
    let kept = kept.as_raw_fd().unsigned_abs();
    if kept > 3 {
        close_range(3, kept - 1)?;
    }
    close_range(kept + 1, u32::MAX)
}

/// Closes what a careless parent left open. Call before anything is opened here.
pub(crate) fn close_inherited() -> io::Result<()> {
    close_range(3, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: no memory is involved; callers are children that own none of these descriptors, or use none again.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    Ok(())
}

/// A descriptor that is readable when a child has ended. The signal is blocked from now on.
pub(crate) fn child_events() -> io::Result<OwnedFd> {
    // SAFETY: a zeroed set is filled by sigemptyset before use.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is live in all calls.
    let fd = unsafe {
        // The launcher ignores its children, and what it ignores this process would ignore too.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut());
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    let fd = check(i64::from(fd))? as i32;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has the kernel reap the children of this process.
pub(crate) fn ignore_children() {
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Gives every signal its default meaning but one: what is written to a closed pipe is an error and no death.
pub(crate) fn reset_signals() {
    // The kernel's `struct sigaction` in its longest form; all zero is the default meaning.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: no handler is installed. The calls fail for KILL and STOP, which have no other meaning. The C library's
        // own function refuses two signals that a parent may have ignored.
        unsafe {
            let no_old = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, 8_usize);
        }
    }
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Gives the one signal that [`reset_signals`] left out its default meaning too, and blocks none.
pub(crate) fn take_signals() {
    // SAFETY: no handler is installed; `set` is emptied before use and live in both calls.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut());
    }
}

/// Sets the mask of permission bits that new files lack.
pub(crate) fn set_umask(mask: u32) {
    // SAFETY: no memory is involved.
    unsafe { libc::umask(mask) };
}

/// Names this UTS namespace.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe `name`.
    check(i64::from(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }))?;
    Ok(())
}

/// Runs `program` in place of this process. Returns only the error.
pub(crate) fn execute(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with null and point to strings that live until the call returns.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Installs a seccomp filter. Needs [`no_new_privileges`] before.
pub(crate) fn install_filter(filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which is live, during the call.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    })?;
    Ok(())
}

/// The effective user and group ids of this process.
pub(crate) fn effective_ids() -> (u32, u32) {
    // SAFETY: always allowed.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Puts `fd` in the place of the standard input.
pub(crate) fn replace_stdin(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory is involved; nothing else in the process owns descriptor 0.
    check(i64::from(unsafe { libc::dup2(fd.as_raw_fd(), 0) }))?;
    Ok(())
}
