//! The filter that keeps a command from typing into the terminal it was given.
//!
//! TIOCSTI puts bytes into a terminal's input as if they had been typed, so a command
//! could make the user's own shell run them after it has ended; TIOCLINUX does the same
//! by a virtual console's selection. Both are answered with EPERM, as in bubblewrap's
//! and flatpak's advice: by the low word of the request, because the kernel reads no
//! more of it (CVE-2019-10063), and under every system call table that the machine has
//! (x86-64, x32, i386; aarch64, arm).
//!
//! The kernel refuses both where the terminal is not the caller's own, so a command
//! without one runs without a filter. With one, the kernel's per-call cache answers
//! for everything but ioctl; SPEC_ALLOW keeps speculation mitigations of older kernels
//! (before 5.16) from coming along.

#![allow(unsafe_code)]

use rustix::io::Errno;

/// asm-generic/ioctls.h; the same on both machines.
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541C;

/// Offsets in `struct seccomp_data` (linux/seccomp.h), little-endian.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const REQUEST_LOW: u32 = 24;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// AUDIT_ARCH_* (linux/audit.h) and the numbers of ioctl in that table, the second one
/// for a table within it (x32).
#[cfg(target_arch = "x86_64")]
const TABLES: [(u32, [u32; 2]); 2] =
    [(0xC000_003E, [libc::SYS_ioctl as u32, 0x4000_0000 + 514]), (0x4000_0003, [54, 54])];
#[cfg(target_arch = "aarch64")]
const TABLES: [(u32, [u32; 2]); 2] =
    [(0xC000_00B7, [libc::SYS_ioctl as u32, libc::SYS_ioctl as u32]), (0x4000_0028, [54, 54])];

const fn line(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

/// Jumps count from the next line.
static PROGRAM: [libc::sock_filter; 14] = [
    line(LOAD, ARCH, 0, 0),
    line(IF_EQUAL, TABLES[0].0, 1, 0),
    line(IF_EQUAL, TABLES[1].0, 3, 9),
    line(LOAD, NUMBER, 0, 0),
    line(IF_EQUAL, TABLES[0].1[0], 4, 0),
    line(IF_EQUAL, TABLES[0].1[1], 3, 6),
    line(LOAD, NUMBER, 0, 0),
    line(IF_EQUAL, TABLES[1].1[0], 1, 0),
    line(IF_EQUAL, TABLES[1].1[1], 0, 3),
    line(LOAD, REQUEST_LOW, 0, 0),
    line(IF_EQUAL, TIOCSTI, 2, 0),
    line(IF_EQUAL, TIOCLINUX, 1, 0),
    line(RETURN, ALLOW, 0, 0),
    line(RETURN, REFUSE, 0, 0),
];

/// Installs the filter in this process, which must have set no_new_privs. A kernel
/// without seccomp has no filter to offer; that is passed over.
pub(super) fn refuse_typing() -> Result<(), Errno> {
    let program = libc::sock_fprog { len: PROGRAM.len() as u16, filter: PROGRAM.as_ptr().cast_mut() };
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program, whose length is as said, and writes nothing.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) };
    if done == 0 {
        return Ok(());
    }
    match Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO) {
        Errno::NOSYS | Errno::INVAL => Ok(()),
        errno => Err(errno),
    }
}

/// Whether a command that starts now gets a terminal: a controlling one, or one as a
/// standard descriptor.
pub(super) fn is_needed(has_controlling_terminal: bool) -> bool {
    use std::io::{IsTerminal, stderr, stdin, stdout};
    has_controlling_terminal || stdin().is_terminal() || stdout().is_terminal() || stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers, by the rules of classic BPF.
    fn answer(arch: u32, number: u32, request: u64) -> u32 {
        let (mut at, mut value) = (0usize, 0u32);
        loop {
            let line = PROGRAM[at];
            at += 1;
            match line.code {
                LOAD => {
                    value = match line.k {
                        NUMBER => number,
                        ARCH => arch,
                        REQUEST_LOW => request as u32,
                        other => panic!("offset {other}"),
                    }
                }
                IF_EQUAL => at += usize::from(if value == line.k { line.jt } else { line.jf }),
                RETURN => return line.k,
                other => panic!("code {other}"),
            }
        }
    }

    #[test]
    fn both_requests_are_refused_in_every_table_and_nothing_else_is() {
        for (arch, numbers) in TABLES {
            for number in numbers {
                for request in [TIOCSTI, TIOCLINUX] {
                    assert_eq!(answer(arch, number, request.into()), REFUSE);
                    assert_eq!(answer(arch, number, u64::from(request) | 1 << 40), REFUSE);
                }
                assert_eq!(answer(arch, number, libc::TIOCGWINSZ), ALLOW);
            }
            assert_eq!(answer(arch, 1, TIOCSTI.into()), ALLOW);
        }
        assert_eq!(answer(1, 16, TIOCSTI.into()), ALLOW);
    }
}
