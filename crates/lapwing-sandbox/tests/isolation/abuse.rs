//! Attempts to get out, to get more, or to hide, each with what contains it. `docs/sandbox.md` has the table.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use lapwing_core::{Command, ExitStatus, Limits};
use lapwing_sandbox::Native;

use crate::{Suite, bash, limited, output, refusal, run, sandbox};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("calls_that_no_command_needs_are_refused", refused_calls);
    suite.test("memory_that_no_limit_covers_cannot_be_had", uncounted_memory);
    suite.test("the_standard_input_cannot_be_written_to", sealed_input);
    suite.test("limits_cannot_be_raised_or_set_for_others", limits);
    suite.test("a_process_has_at_most_1024_open_files", open_files);
    suite.test("pseudo_terminals_and_watches_are_limited", terminals_and_watches);
    suite.test("a_crash_leaves_no_core_and_reaches_no_handler_of_the_host", core);
    suite.test("pid_1_and_shims_cannot_be_traced_slowed_or_robbed", supervisors);
    suite.test("a_chain_of_short_processes_ends_at_its_time_limit", chain);
    suite.test("a_process_can_trace_its_own_child", own_child);
    suite.test("terminal_input_cannot_be_faked", terminal_input);
    suite.test("clocks_are_the_hosts_and_cannot_be_set", clocks);
    suite.test("sockets_of_the_host_are_out_of_reach", host_sockets);
    suite.test("sockets_that_load_modules_or_forge_packets_are_refused", raw_sockets);
    suite.test("what_proc_tells_of_the_host_is_empty", masked);
    suite.test("nothing_of_proc_but_a_process_of_ones_own_can_be_written", proc_writes);
    suite.test("no_name_of_the_hosts_user_or_machine_is_visible", names);
    suite.test("no_way_of_opening_a_path_leads_out", paths);
    suite.test("no_device_but_the_six_can_be_opened", devices);
    suite.test("a_set_uid_program_gains_nothing", set_uid);
    suite.test("a_full_disk_is_freed_by_removing_and_holds_nobody_up", full_disk);
    suite.test("a_spinning_command_ends_at_its_time_limit", spin);
}

const EPERM: i32 = libc::EPERM;
const ENOSYS: i32 = libc::ENOSYS;

/// A program for perl that makes each of `calls`, a name and its arguments, and prints the error number.
pub(crate) fn calls(calls: &[(&str, i64, &str)]) -> Command {
    let list: Vec<String> = calls
        .iter()
        .map(|(name, number, arguments)| format!("['{name}', {number}, {arguments}]"))
        .collect();
    let program = format!(
        "$e = ''; for (({})) {{ my ($name, $number, @a) = @$_; my $r = syscall($number, @a, (0) x (5 - @a)); \
         print $name, ' ', $r < 0 ? $! + 0 : 'allowed', \"\\n\" }}",
        list.join(",")
    );
    Command::new(["perl", "-e", &program])
}

/// What [`calls`] should print if all fail with `errno`.
pub(crate) fn all_fail(list: &[(&str, i64, &str)], errno: i32) -> String {
    let lines: Vec<String> = list.iter().map(|(name, ..)| format!("{name} {errno}\n")).collect();
    lines.concat()
}

async fn refused_calls(native: Native) {
    let sandbox = sandbox(&native).await;
    let list = [
        ("mount", libc::SYS_mount, "$e, $e, $e"),
        ("umount", libc::SYS_umount2, "$e"),
        ("pivot_root", libc::SYS_pivot_root, "$e, $e"),
        ("chroot", libc::SYS_chroot, "$e"),
        ("open_tree", libc::SYS_open_tree, "-100, $e, 1"),
        ("move_mount", libc::SYS_move_mount, "-100, $e, -100, $e"),
        ("fsopen", libc::SYS_fsopen, "$e"),
        ("mount_setattr", libc::SYS_mount_setattr, "-100, $e"),
        ("setns", libc::SYS_setns, "0"),
        ("unshare user", libc::SYS_unshare, &libc::CLONE_NEWUSER.to_string()),
        ("unshare mount", libc::SYS_unshare, &libc::CLONE_NEWNS.to_string()),
        ("unshare time", libc::SYS_unshare, &libc::CLONE_NEWTIME.to_string()),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, "-100, $e"),
        ("quotactl", libc::SYS_quotactl, "0"),
        ("fanotify", libc::SYS_fanotify_init, "0"),
        ("io_uring", libc::SYS_io_uring_setup, "1"),
        ("add_key", libc::SYS_add_key, "$e, $e, $e"),
        ("keyctl", libc::SYS_keyctl, "0, -3, 1"),
        ("bpf", libc::SYS_bpf, "0"),
        ("perf", libc::SYS_perf_event_open, "0"),
        ("userfaultfd", libc::SYS_userfaultfd, "1"),
        ("syslog", libc::SYS_syslog, "3"),
        ("reboot", libc::SYS_reboot, "0"),
        ("kexec", libc::SYS_kexec_load, "0"),
        ("init_module", libc::SYS_init_module, "0"),
        ("swapon", libc::SYS_swapon, "$e"),
        ("acct", libc::SYS_acct, "0"),
        ("sethostname", libc::SYS_sethostname, "$e, 0"),
    ];
    let captured = sandbox.exec(calls(&list)).await.unwrap();
    assert_eq!(String::from_utf8(captured.stdout).unwrap(), all_fail(&list, EPERM));
}

async fn uncounted_memory(native: Native) {
    let sandbox = sandbox(&native).await;
    let list = [
        ("memfd_create", libc::SYS_memfd_create, "$e, 0"),
        ("memfd_secret", libc::SYS_memfd_secret, "0"),
        ("semget", libc::SYS_semget, "0, 32000, 512"),
        ("msgget", libc::SYS_msgget, "0, 512"),
        ("clone3", libc::SYS_clone3, "0"),
        ("a call of the future", libc::SYS_mseal + 1, "0"),
    ];
    let captured = sandbox.exec(calls(&list)).await.unwrap();
    assert_eq!(String::from_utf8(captured.stdout).unwrap(), all_fail(&list, ENOSYS));
    // Message queues of POSIX have a limit instead.
    let queue = |messages: u32| {
        Command::new([
            "perl",
            "-e",
            &format!(
                "$a = pack('q8', 0, {messages}, 8192, 0, 0, 0, 0, 0); $n = 'q{messages}'; \
                 print syscall({}, $n, 66, 384, $a) < 0 ? $! : 'made'",
                libc::SYS_mq_open
            ),
        ])
    };
    let small = sandbox.exec(queue(1)).await.unwrap();
    assert_eq!(String::from_utf8(small.stdout).unwrap(), "made");
    let large = sandbox.exec(queue(10)).await.unwrap();
    assert_eq!(String::from_utf8(large.stdout).unwrap(), "Too many open files");
}

async fn sealed_input(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "cat; { echo more >> /proc/self/fd/0; } 2>/dev/null && exit 1; \
                  truncate -s 1M /proc/self/fd/0 2>/dev/null && exit 2; true";
    let captured =
        sandbox.exec(Command { stdin: b"given".to_vec(), ..bash(script) }).await.unwrap();
    assert_eq!((captured.status, captured.stdout), (ExitStatus::Exit { code: 0 }, b"given".into()));
}

async fn limits(native: Native) {
    let sandbox = sandbox(&native).await;
    let table = "sed -nE 's/^Max (core file size|open files|locked memory|pending signals|msgqueue size|nice priority|\
                 realtime priority) +([^ ]+) +([^ ]+).*/\\1 \\2 \\3/p' /proc/self/limits";
    let expected = "core file size 1 1\nopen files 1024 1024\nlocked memory 1048576 1048576\n\
                    pending signals 1024 1024\nmsgqueue size 65536 65536\nnice priority 0 0\nrealtime priority 0 0";
    assert_eq!(output(&*sandbox, table).await, expected);
    for script in
        ["ulimit -n 65536", "ulimit -u 10000", "ulimit -v unlimited", "ulimit -f unlimited"]
    {
        refusal(&*sandbox, script).await;
    }
    // As programs with secrets do it. They are told that it was done.
    assert_eq!(output(&*sandbox, &format!("ulimit -c 0 && {table}")).await, expected);
    for pid in ["1", "$PPID"] {
        refusal(&*sandbox, &format!("prlimit --pid {pid} --nofile=0")).await;
        refusal(&*sandbox, &format!("prlimit --pid {pid} --cpu=0")).await;
    }
    assert_eq!(output(&*sandbox, "echo alive").await, "alive");
}

async fn open_files(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "while (open(my $f, '<', '/dev/null')) { push @f, $f } printf \"%d %s\", fileno($f[-1]), $!";
    let captured = sandbox.exec(Command::new(["perl", "-e", script])).await.unwrap();
    assert_eq!(String::from_utf8(captured.stdout).unwrap(), "1023 Too many open files");
    // 64 thousand of them, by all processes together, do not keep the sandbox from serving.
    let many = "$| = 1; for (1..64) { next if fork; while (open(my $f, '<', '/dev/null')) { push @f, $f } print 'x'; sleep 1000 }";
    let mut held = sandbox.open(Command::new(["perl", "-e", many])).await.unwrap();
    let mut holders = 0;
    while holders < 64 {
        holders += held.receive().await.unwrap().len();
    }
    assert_eq!(output(&*sandbox, "cat /etc/hostname").await, "workstation");
    assert!(sandbox.manifest().await.is_ok());
}

async fn terminals_and_watches(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "while (open(my $f, '+<', '/dev/ptmx')) { push @f, $f } print scalar @f";
    let terminals = sandbox.exec(Command::new(["perl", "-e", script])).await.unwrap();
    assert_eq!(String::from_utf8(terminals.stdout).unwrap(), "256");
    let script = format!("1 while syscall({}, 0) >= 0 && ++$n; print $n", libc::SYS_inotify_init1);
    let watches = sandbox.exec(Command::new(["perl", "-e", &script])).await.unwrap();
    assert_eq!(String::from_utf8(watches.stdout).unwrap(), "32");
}

async fn core(native: Native) {
    let sandbox = sandbox(&native).await;
    let before = sandbox.manifest().await.unwrap();
    let captured = run(&*sandbox, "ulimit -c 0; ulimit -c unlimited; kill -SEGV $$").await;
    assert_eq!(captured.status, ExitStatus::Signal { signal: libc::SIGSEGV });
    assert_eq!(before.changes_to(&sandbox.manifest().await.unwrap()), []);
}

async fn supervisors(native: Native) {
    let sandbox = sandbox(&native).await;
    for pid in ["1", "$p"] {
        let list = [
            ("ptrace attach", libc::SYS_ptrace, format!("{}, {pid}", libc::PTRACE_ATTACH)),
            ("ptrace seize", libc::SYS_ptrace, format!("{}, {pid}", libc::PTRACE_SEIZE)),
            ("process_vm_readv", libc::SYS_process_vm_readv, format!("{pid}, $v, 1, $v, 1, 0")),
            ("setpriority", libc::SYS_setpriority, format!("0, {pid}, 19")),
            ("sched_setscheduler", libc::SYS_sched_setscheduler, format!("{pid}, 5, $s")),
            ("sched_setaffinity", libc::SYS_sched_setaffinity, format!("{pid}, 8, $m")),
        ];
        let list: Vec<(&str, i64, &str)> = list
            .iter()
            .map(|(name, number, arguments)| (*name, *number, arguments.as_str()))
            .collect();
        let mut command = calls(&list);
        let buffers =
            "$p = getppid; $v = pack('QQ', 4096, 8); $s = pack('L', 0); $m = pack('Q', 1);";
        command.argv[2].insert_str(0, buffers);
        let captured = sandbox.exec(command).await.unwrap();
        assert_eq!(String::from_utf8(captured.stdout).unwrap(), all_fail(&list, EPERM), "{pid}");
    }
    let steal = format!(
        "$f = syscall({}, 1, 0); $f >= 0 or die; syscall({}, $f, 3, 0) < 0 or die; print $! + 0",
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd
    );
    let captured = sandbox.exec(Command::new(["perl", "-e", &steal])).await.unwrap();
    assert_eq!(captured.stdout, EPERM.to_string().as_bytes());
    let script = "cd /proc/1; for f in oom_score_adj autogroup timerslack_ns clear_refs coredump_filter; do \
                  { echo 0 > $f; } 2>/dev/null && echo $f; done; true";
    assert_eq!(output(&*sandbox, script).await, "");
}

async fn chain(native: Native) {
    let sandbox = sandbox(&native).await;
    // There is always one process, and never one that lives long.
    let script = "if (!fork) { while (1) { $p = fork; exit if $p } } sleep 1000";
    let command = Command { limit_ms: 200, ..Command::new(["perl", "-e", script]) };
    // Were it never caught, this would wait for ever.
    let ended =
        tokio::time::timeout(std::time::Duration::from_mins(1), sandbox.exec(command)).await;
    assert_eq!(ended.unwrap().unwrap().status, ExitStatus::TimeLimit);
    assert_eq!(sandbox.processes().await.unwrap(), []);
}

async fn own_child(native: Native) {
    let sandbox = sandbox(&native).await;
    let ptrace = libc::SYS_ptrace;
    let script = format!(
        "$p = fork; if (!$p) {{ syscall({ptrace}, 0, 0, 0, 0); kill 'STOP', $$; exit 3 }} \
         for (1, 2) {{ print waitpid($p, 2) == $p ? 'its ' : 'no ', $?, \"\\n\"; syscall({ptrace}, 7, $p, 0, 0) }}",
    );
    let captured = sandbox.exec(Command::new(["perl", "-e", &script])).await.unwrap();
    // Perl shows a stop as 0, and an exit with its code in the second byte.
    assert_eq!(String::from_utf8(captured.stdout).unwrap(), "its 0\nits 768\n");
}

async fn terminal_input(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = format!(
        "$c = 'x'; open F, '+<', '/dev/ptmx' or die; for ({}, {}) {{ ioctl(F, $_, $c) and die; print $! + 0, ' ' }}",
        libc::TIOCSTI,
        libc::TIOCLINUX
    );
    let captured = sandbox.exec(Command::new(["perl", "-e", &script])).await.unwrap();
    assert_eq!(String::from_utf8(captured.stdout).unwrap(), "1 1 ");
    assert!(refusal(&*sandbox, "cat < /dev/tty").await.contains("No such device or address"));
}

async fn clocks(native: Native) {
    let sandbox = sandbox(&native).await;
    let list = [
        ("clock_settime", libc::SYS_clock_settime, "0, $t"),
        ("settimeofday", libc::SYS_settimeofday, "$t, 0"),
        ("adjtimex", libc::SYS_adjtimex, "$t"),
        ("clock_adjtime", libc::SYS_clock_adjtime, "0, $t"),
    ];
    let mut command = calls(&list);
    command.argv[2].insert_str(0, "$t = \"\\0\" x 256;");
    let captured = sandbox.exec(command).await.unwrap();
    assert_eq!(String::from_utf8(captured.stdout).unwrap(), all_fail(&list, EPERM));
    refusal(&*sandbox, "unshare --time --boottime 100000 true").await;
    let offsets = "echo monotonic 1000 0 > /proc/self/timens_offsets";
    refusal(&*sandbox, offsets).await;
}

async fn host_sockets(native: Native) {
    let sandbox = sandbox(&native).await;
    let name = format!("lookout-{}", std::process::id());
    let _abstract =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _path = UnixListener::bind(&path).unwrap();
    for (address, refused) in [
        (format!("\\0{name}"), "Connection refused"),
        (path.to_str().unwrap().to_owned(), "No such file or directory"),
    ] {
        let script = format!(
            "socket(S, 1, 1, 0) or die; connect(S, pack('S a*', 1, \"{address}\")) and exit; die \"$!\\n\""
        );
        let captured = sandbox.exec(Command::new(["perl", "-e", &script])).await.unwrap();
        assert_eq!(String::from_utf8(captured.stderr).unwrap(), format!("{refused}\n"));
    }
    for host in ["127.0.0.1", "::1"] {
        let Ok(listener) = TcpListener::bind((host, 0)) else {
            // A machine without IPv6 has no such address to protect.
            continue;
        };
        let port = listener.local_addr().unwrap().port();
        let said = refusal(&*sandbox, &format!("exec 3<>/dev/tcp/{host}/{port}")).await;
        assert!(said.contains("refused") || said.contains("Cannot assign"), "{said}");
    }
    refusal(&*sandbox, "getent ahosts example.com").await;
}

async fn raw_sockets(native: Native) {
    let sandbox = sandbox(&native).await;
    // Raw ICMP and TCP, an ICMP socket without privileges, SCTP, DCCP, MPTCP.
    for arguments in
        ["2, 3, 1", "2, 3, 6", "2, 2, 1", "2, 5, 132", "2, 6, 33", "2, 1, 262", "10, 3, 58"]
    {
        refusal(&*sandbox, &format!("perl -e 'socket(S, {arguments}) or die \"$!\\n\"'")).await;
    }
}

async fn masked(native: Native) {
    let sandbox = sandbox(&native).await;
    let files = "for f in bootconfig cmdline config.gz interrupts iomem ioports kallsyms kcore key-users keys kmsg \
                 kpagecount latency_stats mdstat modules sched_debug schedstat softirqs swaps timer_list; do \
                 test -e /proc/$f || continue; head -c 1 /proc/$f | wc -c; done | sort -u";
    assert_eq!(output(&*sandbox, files).await, "0");
    let folders = "cd /proc; for d in acpi asound bus driver dynamic_debug fs irq scsi tty; do \
                   test -e $d || continue; ls -A $d; touch $d/x 2>/dev/null && echo made; done; true";
    assert_eq!(output(&*sandbox, folders).await, "");
}

async fn proc_writes(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "find /proc -path '/proc/[0-9]*' -prune -o -path /proc/self -prune -o -path /proc/thread-self -prune \
                  -o -type f -print 2>/dev/null | while read f; do test -f $f && { : >> $f; } 2>/dev/null && echo $f; done; true";
    let opened = output(&*sandbox, script).await;
    // The first takes no value without a privilege, the others only ask to be woken.
    let allowed = ["/proc/sys/kernel/ns_last_pid"];
    let opened: Vec<&str> = opened
        .lines()
        .filter(|file| !allowed.contains(file) && !file.starts_with("/proc/pressure/"))
        .collect();
    assert_eq!(opened, [] as [&str; 0]);
    refusal(&*sandbox, "echo 100 > /proc/sys/kernel/ns_last_pid").await;
    for map in ["uid_map", "gid_map", "setgroups"] {
        refusal(&*sandbox, &format!("echo '0 0 1' > /proc/self/{map}")).await;
    }
}

async fn names(native: Native) {
    let sandbox = sandbox(&native).await;
    let user = output(&*sandbox, "id -un; id -gn; hostname; getent passwd | cut -d: -f1").await;
    assert_eq!(user, "agent\nagent\nworkstation\nroot\nagent\nnobody");
    let everything = "cat /proc/self/{mountinfo,mounts,environ,status,cgroup,maps} /proc/1/{status,cmdline,cgroup,comm} \
                      /proc/version /proc/net/* /etc/* 2>/dev/null | tr '\\0' '\\n'; ls -lR /dev /run /home /tmp";
    let seen = run(&*sandbox, everything).await.stdout;
    let seen = String::from_utf8_lossy(&seen);
    assert!(
        seen.contains("nodev") && seen.contains("Linux version") && seen.contains("workstation")
    );
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let home = std::env::var("HOME").unwrap_or_default();
    let user = std::env::var("USER").unwrap_or_default();
    let own = std::env::current_exe().unwrap();
    for name in [host.trim(), &home, &user, own.to_str().unwrap()] {
        // A word that any machine shows tells nothing about this one.
        let telling = name.len() > 3
            && !["root", "/root", "localhost", "agent", "workstation"].contains(&name);
        assert!(!telling || !seen.contains(name), "{name}");
    }
}

async fn paths(native: Native) {
    let sandbox = sandbox(&native).await;
    output(
        &*sandbox,
        "ln -s / /tmp/top; ln -s ../../../../../../.. /tmp/up; ln -s /proc/1/root /tmp/init",
    )
    .await;
    for path in ["/tmp/top/etc/shadow", "/tmp/up/etc/shadow", "/tmp/../../etc/shadow"] {
        assert_eq!(sandbox.get(path, 1 << 20).await.unwrap(), None, "{path}");
    }
    for path in
        ["/tmp/init/etc/shadow", "/proc/1/root/etc/passwd", "/proc/1/environ", "/proc/1/mem"]
    {
        assert!(sandbox.get(path, 1 << 20).await.is_err(), "{path}");
    }
    assert_eq!(sandbox.get("/tmp/top/etc/hostname", 99).await.unwrap().unwrap(), b"workstation\n");
    // All flags of openat2, alone: none shows more than the others.
    let openat2 = format!(
        "for $r (0, 1, 2, 4, 8, 16) {{ for $p ('/etc/shadow', '../../../../etc/shadow', '/proc/1/root/etc/passwd', \
         '/proc/1/cwd', '/proc/self/root/etc/shadow') {{ $h = pack('QQQ', 0, 0, $r); \
         my $q = $p; $f = syscall({}, -100, $q, $h, 24); print \"$r $p\\n\" if $f >= 0 }} }}",
        libc::SYS_openat2
    );
    let captured = sandbox.exec(Command::new(["perl", "-e", &openat2])).await.unwrap();
    assert_eq!((captured.status.success(), captured.stdout), (true, Vec::new()));
    // Where the root was changed, its parent is itself.
    assert_eq!(
        output(&*sandbox, "cd /..; pwd -P; stat -c %i / /.. | sort -u | wc -l").await,
        "/\n1"
    );
}

async fn devices(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "find / -path /proc -prune -o -path /usr -prune -o -print 2>/dev/null | \
                  while read f; do if test -b $f -o -c $f; then echo $f; fi; done | sort";
    let nodes = output(&*sandbox, script).await;
    let expected = ["full", "null", "ptmx", "pts/ptmx", "random", "tty", "urandom", "zero"];
    let expected = expected.map(|name| format!("/dev/{name}"));
    assert_eq!(nodes.lines().collect::<Vec<_>>(), expected);
    for script in ["mknod /tmp/n c 1 3", "mknod /tmp/n b 254 0", "mknod /tmp/n c 10 232"] {
        refusal(&*sandbox, script).await;
    }
    output(&*sandbox, "mkfifo /tmp/n; ln -s /dev/zero /tmp/z").await;
    for path in ["/tmp/n", "/tmp/z", "/dev/zero", "/dev/random", "/dev/ptmx", "/dev/pts"] {
        assert_eq!(sandbox.get(path, 1 << 20).await.unwrap(), None, "{path}");
    }
}

async fn set_uid(native: Native) {
    let sandbox = sandbox(&native).await;
    let copy = "cp /bin/id mine; chmod 6755 mine; ./mine -u; ./mine -g; stat -c %a mine";
    assert_eq!(output(&*sandbox, copy).await, "1000\n1000\n6755");
    let mounts = "awk '{ print $6 }' /proc/self/mountinfo | grep -vc nosuid; true";
    assert_eq!(output(&*sandbox, mounts).await, "0");
    refusal(&*sandbox, "chown 0 mine").await;
    refusal(&*sandbox, "chown 1001 mine").await;
}

async fn full_disk(native: Native) {
    let limits = Limits { disk_bytes: 16 << 20, ..Limits::default() };
    let (full, free) = (limited(&native, limits.clone()).await, limited(&native, limits).await);
    let bomb = "for i in $(seq 40); do head -c 1M /dev/zero > /tmp/$i || exit 7; done";
    assert_eq!(run(&*full, bomb).await.status, ExitStatus::DiskFull { code: 7 });
    assert_eq!(output(&*full, "stat -f -c %f /").await, "0");
    assert_eq!(output(&*free, "head -c 8M /dev/zero > /tmp/a; stat -c %s /tmp/a").await, "8388608");
    assert!(full.manifest().await.is_ok());
    output(&*full, "rm /tmp/*; head -c 8M /dev/zero > /tmp/a").await;
}

async fn spin(native: Native) {
    let sandbox = sandbox(&native).await;
    let spin = "for i in 1 2 3 4; do (trap '' TERM INT; while :; do :; done) & done; wait";
    let captured = sandbox.exec(Command { limit_ms: 200, ..bash(spin) }).await.unwrap();
    assert_eq!(captured.status, ExitStatus::TimeLimit);
    assert!(captured.millis >= 200);
    assert_eq!(sandbox.processes().await.unwrap(), []);
}
