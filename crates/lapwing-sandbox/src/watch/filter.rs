//! Which system calls wait until pid 1 has looked at them.

use lapwing_core::{Network, Observe};
use libc::sock_filter;

use crate::seccomp::{
    ARCH, ARCHITECTURE, IF_ANY_BIT, IF_EQUAL, NUMBER, argument, give, load, on, test,
};
use crate::sys::socket::OWN_SEND;

/// The program, for pid 1 itself and all that descend from it; `None` where nothing is to be looked at.
pub(super) fn filter(observe: Observe, outside: Network) -> Option<Vec<sock_filter>> {
    let connections = observe.connect || outside == Network::Sinkhole;
    if !observe.exec && !connections {
        return None;
    }
    let allow = give(libc::SECCOMP_RET_ALLOW);
    let tell = give(libc::SECCOMP_RET_USER_NOTIF);
    let mut program = vec![load(ARCH), test(IF_EQUAL, ARCHITECTURE, 1, 0), allow, load(NUMBER)];
    if observe.exec {
        for number in [libc::SYS_execve, libc::SYS_execveat] {
            program.extend(on(number, &[tell]));
        }
    }
    if connections {
        for number in [libc::SYS_connect, libc::SYS_sendmmsg] {
            program.extend(on(number, &[tell]));
        }
        let own = OWN_SEND.cast_unsigned();
        program.extend(on(
            libc::SYS_sendto,
            &[
                load(argument(3)),
                test(IF_ANY_BIT, own, 4, 0),
                // Without an address it goes where the socket is connected to.
                load(argument(4)),
                test(IF_EQUAL, 0, 0, 3),
                load(argument(4) + 4),
                test(IF_EQUAL, 0, 0, 1),
                allow,
                tell,
            ],
        ));
        program.extend(on(
            libc::SYS_sendmsg,
            &[load(argument(2)), test(IF_ANY_BIT, own, 0, 1), allow, tell],
        ));
    }
    program.push(allow);
    Some(program)
}
