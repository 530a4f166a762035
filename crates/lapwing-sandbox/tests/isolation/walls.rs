//! What a command cannot see, reach or do.

use std::io::Write;
use std::net::TcpListener;

use lapwing_core::{Command, ExitStatus, Limits, Provider, SandboxError, SandboxSpec};
use lapwing_sandbox::Native;

use crate::{Suite, bash, limited, output, refusal, run, sandbox, spec};

#[cfg(target_arch = "x86_64")]
const KEYCTL: u32 = 250;
#[cfg(target_arch = "aarch64")]
const KEYCTL: u32 = 219;
/// The same on both architectures.
const IO_URING_SETUP: u32 = 425;

pub(crate) fn add(suite: &mut Suite) {
    suite.test("every_probe_holds_on_a_machine_that_can_isolate", probes);
    suite.test("the_environment_holds_only_what_was_given", environment);
    suite.test("files_of_the_host_are_not_visible", host_files);
    suite.test("processes_of_the_host_are_not_visible", host_processes);
    suite.test("uid_and_gid_inside_are_1000_and_never_root_outside", identity);
    suite.test("commands_have_no_capability_and_a_filter", confined);
    suite.test("usr_is_read_only", read_only);
    suite.test("only_loopback_is_there_and_not_the_hosts", network);
    suite.test("a_port_below_1024_can_be_served", low_port);
    suite.test("ways_round_the_network_namespace_are_closed", socket_families);
    suite.test("namespaces_mounts_and_keys_are_refused", refused_calls);
    suite.test("pid_1_tells_nothing_about_who_runs_it", nameless);
    suite.test("pid_1_cannot_be_traced_or_read", closed_pid_1);
    suite.test("the_disk_limit_holds", disk);
    suite.test("the_limit_on_files_holds", inodes);
    suite.test("no_descriptor_of_the_harness_or_of_another_command_is_open", descriptors);
    suite.test("a_spec_that_cannot_be_set_up_names_the_step", failing_step);
}

async fn probes(native: Native) {
    let failing: Vec<_> =
        native.probe().await.into_iter().filter(|probe| probe.needed && !probe.ok).collect();
    assert_eq!(failing, []);
    let names: Vec<String> = native.probe().await.into_iter().map(|probe| probe.name).collect();
    for name in
        ["user namespace", "own /proc", "system call filter", "not root outside", "limit on memory"]
    {
        assert!(names.iter().any(|probe| probe == name), "{name}");
    }
}

async fn environment(native: Native) {
    let sandbox = sandbox(&native).await;
    let env = sandbox.exec(Command::new(["cat", "/proc/self/environ"])).await.unwrap();
    let env = String::from_utf8(env.stdout).unwrap();
    let expected = [
        "HOME=/home/agent",
        "LANG=C.UTF-8",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "SHELL=/bin/bash",
        "USER=agent",
    ];
    assert_eq!(env.split_terminator('\0').collect::<Vec<_>>(), expected);
}

async fn host_files(native: Native) {
    let sandbox = sandbox(&native).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"secret").unwrap();
    let host_home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    for path in [
        "/etc/shadow",
        "/etc/machine-id",
        "/root/.ssh",
        "/root/.bashrc",
        "/boot",
        "/sys/kernel",
        "/proc/1/root/etc/shadow",
        file.path().to_str().unwrap(),
        std::env::current_exe().unwrap().to_str().unwrap(),
        &format!("{host_home}/.cargo"),
    ] {
        refusal(&*sandbox, &format!("ls -d {path}")).await;
    }
    assert_eq!(
        output(&*sandbox, "ls -A /usr/local/bin /root /home /run /opt")
            .await
            .lines()
            .collect::<Vec<_>>(),
        ["/home:", "agent", "", "/opt:", "", "/root:", "", "/run:", "", "/usr/local/bin:"]
    );
}

async fn host_processes(native: Native) {
    let sandbox = sandbox(&native).await;
    // Built in, so that the shell has no child.
    let names = "cd /proc; for p in [0-9]*; do read name < $p/comm && echo $name; done";
    let names = output(&*sandbox, names).await;
    assert_eq!(names.lines().collect::<Vec<_>>(), ["init", "init", "bash"]);
}

async fn identity(native: Native) {
    let sandbox = sandbox(&native).await;
    let id = "id -u; id -g; id -un; stat -c %u /tmp /etc/passwd /usr/local/bin; hostname";
    assert_eq!(
        output(&*sandbox, id).await.lines().collect::<Vec<_>>(),
        ["1000", "1000", "agent", "1000", "1000", "1000", "workstation"]
    );
    for map in ["uid_map", "gid_map"] {
        let map = output(&*sandbox, &format!("cat /proc/self/{map}")).await;
        let fields: Vec<&str> = map.split_whitespace().collect();
        assert_eq!((fields.len(), fields[0], fields[2]), (3, "1000", "1"));
        assert_ne!(fields[1], "0");
    }
}

async fn confined(native: Native) {
    let sandbox = sandbox(&native).await;
    let status = output(
        &*sandbox,
        "grep -E '^(Cap...|NoNewPrivs|Seccomp|SigBlk|SigIgn|Groups):' /proc/self/status; ulimit -c; ulimit -n; umask",
    )
    .await;
    let zero = "0000000000000000";
    let expected = format!(
        "SigBlk:\t{zero}\nSigIgn:\t{zero}\nCapInh:\t{zero}\nCapPrm:\t{zero}\nCapEff:\t{zero}\nCapBnd:\t{zero}\n\
         CapAmb:\t{zero}\nNoNewPrivs:\t1\nSeccomp:\t2\n0\n1024\n0022"
    );
    let status: Vec<&str> = status.lines().filter(|line| !line.starts_with("Groups")).collect();
    assert_eq!(status.join("\n"), expected);
}

async fn read_only(native: Native) {
    let sandbox = sandbox(&native).await;
    for script in [
        "echo x > /usr/bin/x",
        "rm /usr/bin/env",
        "touch /etc/alternatives/x",
        "chmod 777 /usr/bin",
    ] {
        let said = refusal(&*sandbox, script).await;
        assert!(said.contains("Read-only file system"), "{script}: {said}");
    }
}

async fn network(native: Native) {
    let sandbox = sandbox(&native).await;
    assert_eq!(output(&*sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '").await, "lo");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    refusal(&*sandbox, &format!("exec 3<>/dev/tcp/127.0.0.1/{port}")).await;
    let outside = refusal(&*sandbox, "exec 3<>/dev/tcp/192.0.2.1/80").await;
    assert!(outside.contains("Network is unreachable"), "{outside}");
}

async fn low_port(native: Native) {
    let sandbox = sandbox(&native).await;
    let serve = "socket(S, 2, 1, 0) and bind(S, pack(qq(S n a4 x8), 2, 80, \"\\x7f\\0\\0\\1\")) \
                 and listen(S, 5) or die $!; if (!fork) { accept(C, S); syswrite(C, \"served\\n\") }";
    let script = format!("perl -e '{serve}'; exec 3<>/dev/tcp/127.0.0.1/80; cat <&3");
    assert_eq!(output(&*sandbox, &script).await, "served");
}

async fn socket_families(native: Native) {
    let sandbox = sandbox(&native).await;
    let socket = |arguments: &str| format!("perl -e 'socket(S, {arguments}) or die \"$!\\n\"'");
    for arguments in ["1, 1, 0", "2, 1, 0", "10, 2, 0", "16, 3, 0"] {
        output(&*sandbox, &socket(arguments)).await;
    }
    // Packet, VSOCK, ALG, XDP, and two protocols of netlink.
    for arguments in ["17, 3, 0", "40, 1, 0", "38, 5, 0", "44, 3, 0", "16, 3, 9", "16, 3, 15"] {
        let said = refusal(&*sandbox, &socket(arguments)).await;
        assert_eq!(said, "Address family not supported by protocol\n", "{arguments}");
    }
    let call = format!("perl -e 'syscall({IO_URING_SETUP}, 1, 0) < 0 and die \"$!\\n\"'");
    assert_eq!(refusal(&*sandbox, &call).await, "Operation not permitted\n");
}

async fn refused_calls(native: Native) {
    let sandbox = sandbox(&native).await;
    for script in [
        "unshare -U true".to_owned(),
        "unshare -n true".to_owned(),
        "mount -t tmpfs none /tmp".to_owned(),
        "umount /usr".to_owned(),
        "chroot / true".to_owned(),
        "nsenter -t 1 -m true".to_owned(),
        "mknod /tmp/m c 1 1".to_owned(),
        "hostname other".to_owned(),
        "dmesg".to_owned(),
        "su -c true".to_owned(),
        "ip link set lo down || perl -e 'exit 1'".to_owned(),
        "echo 10 > /proc/sys/user/max_user_namespaces".to_owned(),
        format!("perl -e 'syscall({KEYCTL}, 0, -3, 1) < 0 and die \"$!\\n\"'"),
    ] {
        refusal(&*sandbox, &script).await;
    }
    assert_eq!(output(&*sandbox, "cat /proc/sys/user/max_user_namespaces").await, "0");
}

async fn nameless(native: Native) {
    let spec = SandboxSpec { programs: vec!["ask".to_owned()], ..spec() };
    let sandbox = native.create(spec).await.unwrap();
    assert_eq!(
        output(&*sandbox, "tr '\\0' '|' < /proc/1/cmdline; cat /proc/1/comm").await,
        "init|init"
    );
    let names = "cd /proc; cat [0-9]*/{cmdline,comm,cgroup,mountinfo} net/unix self/environ version; \
                 cat /etc/* /usr/local/bin/* /run/*; find / -xdev; env; hostname";
    let everything = run(&*sandbox, &format!("{names} 2>/dev/null | tr -d '\\0' > /tmp/all; grep -aicE 'lapwing|sandbox' /tmp/all; true")).await;
    // The script's own command line holds the two words.
    let lines =
        output(&*sandbox, "grep -aiE 'lapwing|sandbox' /tmp/all | grep -avc 'grep -aicE'; true")
            .await;
    assert_eq!(lines, "0", "{}", String::from_utf8_lossy(&everything.stdout));
    assert!(!everything.stdout.is_empty());
}

async fn closed_pid_1(native: Native) {
    let sandbox = sandbox(&native).await;
    for file in ["environ", "mem", "maps", "auxv"] {
        refusal(&*sandbox, &format!("head -c 1 /proc/1/{file} | grep -q ''")).await;
    }
    for link in ["exe", "root", "cwd"] {
        refusal(&*sandbox, &format!("readlink /proc/1/{link}")).await;
    }
    refusal(&*sandbox, "ls /proc/1/fd").await;
    // The shim, parent of every command, is closed as well.
    refusal(&*sandbox, "readlink /proc/$PPID/exe").await;
}

async fn disk(native: Native) {
    let sandbox = limited(&native, Limits { disk_bytes: 8 << 20, ..Limits::default() }).await;
    let script = "head -c 6000000 /dev/zero > /tmp/a && head -c 6000000 /dev/zero > /dev/shm/b";
    let said = refusal(&*sandbox, script).await;
    assert!(said.contains("No space left on device"), "{said}");
    let huge = run(&*sandbox, "rm /tmp/a /dev/shm/b; truncate -s 1G /tmp/sparse").await;
    assert!(!huge.status.success());
    assert_eq!(sandbox.exec(bash("exit 0")).await.unwrap().status, ExitStatus::Exit { code: 0 });
}

async fn inodes(native: Native) {
    let sandbox = limited(&native, Limits { files: 200, ..Limits::default() }).await;
    let said = refusal(&*sandbox, "touch $(seq 1 300)").await;
    assert!(said.contains("No space left on device"), "{said}");
}

async fn descriptors(native: Native) {
    let sandbox = sandbox(&native).await;
    let mut other = sandbox.open(bash("echo on; cat")).await.unwrap();
    assert_eq!(other.receive().await.unwrap(), b"on\n");
    assert_eq!(output(&*sandbox, "cd /proc/self/fd; echo *").await, "0 1 2 3");
    sandbox.start("worker", bash("cd /proc/self/fd; echo * > /tmp/fds")).await.unwrap();
    sandbox.wait("worker", 60_000).await.unwrap();
    assert_eq!(output(&*sandbox, "cat /tmp/fds").await, "0 1 2 3");
}

async fn failing_step(native: Native) {
    let spec = SandboxSpec { programs: vec!["no/such/directory".to_owned()], ..spec() };
    let Err(error) = native.create(spec).await else { unreachable!("it was created") };
    let SandboxError::Failed { step, cause } = error else { unreachable!("{error}") };
    assert_eq!(step, "create a sandbox: programs");
    assert!(cause.contains("No such file or directory"), "{cause}");
}
