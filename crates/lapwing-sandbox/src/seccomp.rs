//! The system calls that commands inside cannot make. Namespaces and missing capabilities stand behind most of
//! them already; the filter takes away what those leave open, and keeps new kernel surface out of reach.

use libc::{c_long, sock_filter};

use crate::sys::socket;

#[cfg(target_arch = "x86_64")]
pub(crate) const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURE: u32 = 0xC000_00B7;

/// `SYS_setrlimit`, which the C library's crate does not know everywhere.
#[cfg(target_arch = "x86_64")]
const SETRLIMIT: c_long = 160;
#[cfg(target_arch = "aarch64")]
const SETRLIMIT: c_long = 164;

/// The newest call that was looked at, the same number everywhere. Those above it, which include all of the x32 interface
/// of x86-64, do not exist inside.
const NEWEST: u32 = libc::SYS_mseal as u32;

/// Calls that fail with EPERM.
const REFUSED: &[c_long] = &[
    // File systems and mounts.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_fanotify_init,
    // Namespaces.
    libc::SYS_setns,
    // Ways round the network namespace and round this filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Kernel surface that no command here needs.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_lookup_dcookie,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_vhangup,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
];

/// Calls that fail with ENOSYS, for which programs have a way round: they make what neither a limit on memory nor the
/// manifest covers.
const ABSENT: &[c_long] = &[
    // Arguments in memory, where a filter cannot look; libraries fall back to clone.
    libc::SYS_clone3,
    // Files on no disk. Those of /dev/shm count.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    // Semaphores and messages in kernel memory, gigabytes of them, which outlive their processes.
    libc::SYS_semget,
    libc::SYS_msgget,
];

const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWTIME;

/// `RLIMIT_CORE`, whose type differs between C libraries.
const CORE: u32 = 4;

/// Calls that fail with EOPNOTSUPP, as on file systems that lack them: extended attributes hold what no manifest shows.
const UNSUPPORTED: &[c_long] = &[libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr];

/// Others may load a module into the kernel.
const INTERNET_PROTOCOLS: [i32; 5] =
    [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6];

// Offsets in `struct seccomp_data`. Arguments are 64 bits wide; both architectures are little-endian.
pub(crate) const NUMBER: u32 = 0;
pub(crate) const ARCH: u32 = 4;
pub(crate) const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// So many rules at most that a jump over a block of them reaches, however long they are.
const RULES_IN_BLOCK: usize = 8;

const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;
pub(crate) const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
pub(crate) const IF_ANY_BIT: u16 = 0x45;

/// Loads 32 bits of `struct seccomp_data`.
pub(crate) fn load(offset: u32) -> sock_filter {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
}

/// Ends with this result.
pub(crate) fn give(result: u32) -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: result }
}

/// The call returns 0 and nothing is done.
const DONE: u32 = libc::SECCOMP_RET_ERRNO;

fn error(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()
}

/// Skips `then` instructions if the test holds, else `otherwise`.
pub(crate) fn test(code: u16, value: u32, then: u8, otherwise: u8) -> sock_filter {
    sock_filter { code, jt: then, jf: otherwise, k: value }
}

/// The program for `seccomp(2)`.
pub(crate) fn filter() -> Vec<sock_filter> {
    let allow = give(libc::SECCOMP_RET_ALLOW);
    let mut program = vec![
        load(ARCH),
        test(IF_EQUAL, ARCHITECTURE, 1, 0),
        give(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
        test(IF_AT_LEAST, NEWEST + 1, 0, 1),
        give(error(libc::ENOSYS)),
    ];
    let mut rules = rules();
    rules.sort_by_key(|(number, _)| *number);
    // When a filter is installed, which is done for every command, the kernel tries it with every call that there is. So that
    // few rules are looked at, those for larger numbers than the call's are left out, block by block.
    for block in rules.chunks(RULES_IN_BLOCK) {
        let last = block.last().map_or(0, |(number, _)| *number as u32);
        let rules = block.iter().flat_map(|(number, body)| on(*number, body)).chain([allow]);
        let rules: Vec<sock_filter> = rules.collect();
        program.push(test(IF_AT_LEAST, last + 1, rules.len() as u8, 0));
        program.extend(rules);
    }
    program.push(allow);
    program
}

/// Calls that are not simply allowed, each with the instructions that decide about it.
fn rules() -> Vec<(c_long, Vec<sock_filter>)> {
    let allow = give(libc::SECCOMP_RET_ALLOW);
    let refuse = give(error(libc::EPERM));
    let mut rules = Vec::new();
    for (calls, errno) in
        [(ABSENT, libc::ENOSYS), (UNSUPPORTED, libc::EOPNOTSUPP), (REFUSED, libc::EPERM)]
    {
        rules.extend(calls.iter().map(|number| (*number, vec![give(error(errno))])));
    }
    for number in [libc::SYS_clone, libc::SYS_unshare] {
        let namespaces = NAMESPACES.cast_unsigned();
        let body = vec![load(argument(0)), test(IF_ANY_BIT, namespaces, 0, 1), refuse, allow];
        rules.push((number, body));
    }
    let terminal_input = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| request as u32);
    rules.push((
        libc::SYS_ioctl,
        vec![
            load(argument(1)),
            test(IF_EQUAL, terminal_input[0], 1, 0),
            test(IF_EQUAL, terminal_input[1], 0, 1),
            refuse,
            allow,
        ],
    ));
    // What marks the messages of pid 1, which are not watched.
    let own = socket::OWN_SEND.cast_unsigned();
    for (number, flags) in [(libc::SYS_sendmsg, 2), (libc::SYS_sendto, 3)] {
        let invalid = give(error(libc::EINVAL));
        let body = vec![load(argument(flags)), test(IF_ANY_BIT, own, 0, 1), invalid, allow];
        rules.push((number, body));
    }
    for number in [libc::SYS_socket, libc::SYS_socketpair] {
        rules.push((number, families()));
    }
    rules.push((libc::SYS_prlimit64, limits().to_vec()));
    let core = vec![load(argument(0)), test(IF_EQUAL, CORE, 0, 1), give(DONE), allow];
    rules.push((SETRLIMIT, core));
    rules
}

/// Allows to set limits of the caller only. Pid 1 and the shims have the commands' uid, so that anyone inside could else
/// take their descriptors or have the kernel kill them. The limit on core dumps stays, whoever believes to have set it:
/// at 0 a crash would start the host's handler, where it has one.
fn limits() -> [sock_filter; 12] {
    let allow = give(libc::SECCOMP_RET_ALLOW);
    [
        // The pointer to the new limit; null only asks.
        load(argument(2)),
        test(IF_EQUAL, 0, 0, 3),
        load(argument(2) + 4),
        test(IF_EQUAL, 0, 0, 1),
        allow,
        load(argument(0)),
        test(IF_EQUAL, 0, 1, 0),
        give(error(libc::EPERM)),
        load(argument(1)),
        test(IF_EQUAL, CORE, 0, 1),
        give(DONE),
        allow,
    ]
}

/// Allows the families that a network namespace contains. AF_VSOCK, for one, reaches the machine outside from any.
fn families() -> Vec<sock_filter> {
    let allow = give(libc::SECCOMP_RET_ALLOW);
    let mut internet = vec![load(argument(2))];
    for protocol in INTERNET_PROTOCOLS {
        internet.extend([test(IF_EQUAL, protocol.cast_unsigned(), 0, 1), allow]);
    }
    internet.push(give(error(libc::EPROTONOSUPPORT)));
    // Of netlink only what `getaddrinfo` and `ip` ask: routes.
    let netlink = vec![
        load(argument(2)),
        test(IF_EQUAL, libc::NETLINK_ROUTE.cast_unsigned(), 0, 1),
        allow,
        give(error(libc::EAFNOSUPPORT)),
    ];
    let mut body = vec![load(argument(0))];
    for (family, rule) in [
        (libc::AF_UNIX, vec![allow]),
        (libc::AF_INET, internet.clone()),
        (libc::AF_INET6, internet),
        (libc::AF_NETLINK, netlink),
    ] {
        body.push(test(IF_EQUAL, family.cast_unsigned(), 0, rule.len() as u8));
        body.extend(rule);
    }
    body.push(give(error(libc::EAFNOSUPPORT)));
    body
}

/// `body`, which always returns, for the call `number` only.
pub(crate) fn on(number: c_long, body: &[sock_filter]) -> Vec<sock_filter> {
    let skip = test(IF_EQUAL, number as u32, 0, body.len() as u8);
    [&[skip], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;

    /// What the kernel would make of a call.
    fn verdict(architecture: u32, number: c_long, arguments: [u64; 3]) -> u32 {
        let mut data = vec![number as u32, architecture, 0, 0];
        data.extend(arguments.iter().flat_map(|value| [*value as u32, (value >> 32) as u32]));
        let program = filter();
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program[at];
            let holds = match step.code {
                LOAD => {
                    loaded = data[step.k as usize / 4];
                    at += 1;
                    continue;
                }
                RETURN => return step.k,
                IF_EQUAL => loaded == step.k,
                IF_AT_LEAST => loaded >= step.k,
                IF_ANY_BIT => loaded & step.k != 0,
                code => unreachable!("no instruction has code {code}"),
            };
            at += 1 + usize::from(if holds { step.jt } else { step.jf });
        }
    }

    fn call(number: c_long, arguments: [u64; 3]) -> u32 {
        verdict(ARCHITECTURE, number, arguments)
    }

    #[test]
    fn every_refused_call_fails_and_ordinary_ones_do_not() {
        for number in REFUSED {
            assert_eq!(call(*number, [0; 3]), error(libc::EPERM), "{number}");
        }
        for number in UNSUPPORTED {
            assert_eq!(call(*number, [0; 3]), error(libc::EOPNOTSUPP), "{number}");
        }
        for number in ABSENT {
            assert_eq!(call(*number, [0; 3]), error(libc::ENOSYS), "{number}");
        }
        for number in [libc::SYS_read, libc::SYS_execve, libc::SYS_ptrace, libc::SYS_shmget] {
            assert_eq!(call(number, [0; 3]), ALLOWED, "{number}");
        }
    }

    #[test]
    fn other_interfaces_to_the_kernel_are_closed() {
        assert_eq!(verdict(0x4000_0003, libc::SYS_read, [0; 3]), libc::SECCOMP_RET_KILL_PROCESS);
        for number in [0x4000_0000 + libc::SYS_read, c_long::from(NEWEST) + 1] {
            assert_eq!(call(number, [0; 3]), error(libc::ENOSYS), "{number}");
        }
        assert_eq!(call(c_long::from(NEWEST), [0; 3]), ALLOWED);
    }

    #[test]
    fn arguments_decide_about_namespaces_terminals_sockets_and_limits() {
        let (refused, no_family) = (error(libc::EPERM), error(libc::EAFNOSUPPORT));
        let no_protocol = error(libc::EPROTONOSUPPORT);
        let (core, files) = (u64::from(CORE), 7);
        let flags = |flags: i32| u64::from(flags.cast_unsigned());
        let (family, vsock) = (flags(libc::AF_INET6), flags(libc::AF_VSOCK));
        let netlink = flags(libc::AF_NETLINK);
        for (number, arguments, expected) in [
            (libc::SYS_clone, [flags(libc::CLONE_VM | libc::SIGCHLD), 0, 0], ALLOWED),
            (libc::SYS_clone, [flags(libc::CLONE_NEWUSER | libc::SIGCHLD), 0, 0], refused),
            (libc::SYS_unshare, [flags(libc::CLONE_FILES), 0, 0], ALLOWED),
            (libc::SYS_unshare, [flags(libc::CLONE_NEWNET), 0, 0], refused),
            (libc::SYS_ioctl, [1, libc::TCGETS, 0], ALLOWED),
            (libc::SYS_ioctl, [1, libc::TIOCSTI, 0], refused),
            (libc::SYS_ioctl, [1, libc::TIOCLINUX, 0], refused),
            (libc::SYS_socket, [family, 1, 0], ALLOWED),
            (libc::SYS_socket, [vsock, 1, 0], no_family),
            (libc::SYS_socketpair, [vsock, 1, 0], no_family),
            (libc::SYS_socket, [netlink, 3, flags(libc::NETLINK_ROUTE)], ALLOWED),
            (libc::SYS_socket, [netlink, 3, flags(libc::NETLINK_AUDIT)], no_family),
            (libc::SYS_socket, [family, 1, flags(libc::IPPROTO_MPTCP)], no_protocol),
            (libc::SYS_sendmsg, [3, 1, flags(libc::MSG_NOSIGNAL)], ALLOWED),
            (libc::SYS_sendmsg, [3, 1, flags(socket::OWN_SEND)], error(libc::EINVAL)),
            (SETRLIMIT, [files, 1, 0], ALLOWED),
            (SETRLIMIT, [core, 1, 0], DONE),
            (libc::SYS_prlimit64, [0, files, 1], ALLOWED),
            (libc::SYS_prlimit64, [0, core, 1], DONE),
            (libc::SYS_prlimit64, [1, files, 0], ALLOWED),
            (libc::SYS_prlimit64, [1, files, 1], refused),
            (libc::SYS_prlimit64, [1, files, 1 << 32], refused),
        ] {
            assert_eq!(call(number, arguments), expected, "{number} {arguments:?}");
        }
    }
}
