//! The program behind every name that a sandbox offers: it hands its arguments to pid 1, waits, prints what comes
//! back and ends with the code that came first. It stands alone, without a library, so that it runs in any root.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::mem::MaybeUninit;

#[cfg(target_arch = "x86_64")]
mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const CONNECT: usize = 42;
    pub(crate) const SHUTDOWN: usize = 48;
    pub(crate) const EXIT: usize = 60;
    pub(crate) const READLINKAT: usize = 267;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const EXIT: usize = 93;
    pub(crate) const SOCKET: usize = 198;
    pub(crate) const CONNECT: usize = 203;
    pub(crate) const SHUTDOWN: usize = 210;
    pub(crate) const READLINKAT: usize = 78;
}

// The kernel starts a program with the argument count and the arguments on the stack.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {start}", start = sym start);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {start}", start = sym start);

#[cfg(target_arch = "x86_64")]
fn call4(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: callers pass live buffers where the call takes one; the kernel clobbers rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call4(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: callers pass live buffers where the call takes one.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c,
            in("x3") d, options(nostack));
    }
    result
}


fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    call4(number, a, b, c, 0)
}

const STDOUT: usize = 1;
const STDERR: usize = 2;
const INTERRUPTED: isize = -4;
/// Longest argument list that the other end takes.
const CALL_BYTES: usize = 64 * 1024;

/// `AT_FDCWD`.
const HERE: usize = -100_isize as usize;
/// Where the kernel tells which pid namespace this is: no other sandbox has the same, also not one on the same loopback.
static OWN_NAME: [u8; 18] = *b"/proc/self/ns/pid\0";
/// A `sockaddr_un`: the family, the NUL of an abstract address, the name.
const ADDRESS_BYTES: usize = 2 + 1 + 64;

fn exit(code: usize) -> ! {
    loop {
        call(number::EXIT, code, 0, 0);
    }
}

fn fail(message: &[u8]) -> ! {
    write_all(STDERR, message.as_ptr() as usize, message.len());
    exit(1)
}

fn write_all(fd: usize, mut start: usize, mut len: usize) -> bool {
    while len > 0 {
        let written = call(number::WRITE, fd, start, len);
        if written == INTERRUPTED {
            continue;
        }
        if written <= 0 {
            return false;
        }
        start += written as usize;
        len -= written as usize;
    }
    true
}

fn read(fd: usize, start: usize, len: usize) -> isize {
    loop {
        let count = call(number::READ, fd, start, len);
        if count != INTERRUPTED {
            return count;
        }
    }
}

/// The bytes of all arguments: the kernel lays them out one after the other, each with its NUL.
fn arguments(stack: *const usize) -> (usize, usize) {
    // SAFETY: the kernel puts the count and that many pointers to strings that end with NUL at `stack`.
    unsafe {
        let count = *stack;
        if count == 0 {
            fail(b"no arguments\n");
        }
        let first = *stack.add(1);
        let mut end = *stack.add(count) as *const u8;
        // Volatile, or the compiler makes it a call of `strlen`, which nobody provides.
        while end.read_volatile() != 0 {
            end = end.add(1);
        }
        (first, end as usize + 1 - first)
    }
}

extern "C" fn start(stack: *const usize) -> ! {
    let (first, len) = arguments(stack);
    if len > CALL_BYTES {
        fail(b"argument list too long\n");
    }
    let socket = call(number::SOCKET, 1, 1, 0);
    if socket < 0 {
        fail(b"cannot connect\n");
    }
    let socket = socket as usize;
    // Filled here and by the kernel; clearing it would be a call of `memset`.
    let mut address = MaybeUninit::<[u8; ADDRESS_BYTES]>::uninit();
    let address = address.as_mut_ptr().cast::<u8>();
    for (index, byte) in [1, 0, 0].into_iter().enumerate() {
        // SAFETY: `address` is longer than that.
        unsafe { address.add(index).write_volatile(byte) };
    }
    let address = address as usize;
    let own = OWN_NAME.as_ptr() as usize;
    let name_len = call4(number::READLINKAT, HERE, own, address + 3, ADDRESS_BYTES - 3);
    if name_len < 0 || call(number::CONNECT, socket, address, 3 + name_len as usize) < 0 {
        fail(b"cannot connect\n");
    }
    if !write_all(socket, first, len) || call(number::SHUTDOWN, socket, 1, 0) < 0 {
        fail(b"connection lost\n");
    }
    let mut code = [0u8; 4];
    let mut filled = 0;
    while filled < code.len() {
        let count = read(socket, code.as_mut_ptr() as usize + filled, code.len() - filled);
        if count <= 0 {
            fail(b"connection lost\n");
        }
        filled += count as usize;
    }
    // Filled by the kernel before it is read; clearing it would be a call of `memset`.
    let mut buffer = MaybeUninit::<[u8; 4096]>::uninit();
    let buffer_start = buffer.as_mut_ptr() as usize;
    loop {
        let count = read(socket, buffer_start, 4096);
        if count <= 0 || !write_all(STDOUT, buffer_start, count as usize) {
            break;
        }
    }
    exit(u32::from_le_bytes(code) as usize)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
