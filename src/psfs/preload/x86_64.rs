//! What depends on the architecture: x86-64.

use core::arch::asm;
use core::ffi::c_int;

/// Numbers of the system calls (arch/x86/entry/syscalls/syscall_64.tbl).
pub mod number {
    pub const READ: usize = 0;
    pub const CLOSE: usize = 3;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const RECVFROM: usize = 45;
    pub const SENDMSG: usize = 46;
    pub const FCNTL: usize = 72;
    pub const RENAME: usize = 82;
    pub const OPENAT: usize = 257;
    pub const RENAMEAT: usize = 264;
    pub const RENAMEAT2: usize = 316;
    pub const STATX: usize = 332;
}

/// A system call; the answer is the kernel's, -errno for a failure.
///
/// # Safety
/// What the call does with its arguments is the caller's to answer for.
#[inline(always)]
pub unsafe fn call(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let answer;
    // SAFETY: the kernel's calling convention: rcx and r11 are lost, all else is kept.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// Address of this thread's errno; null in a program without a libc.
pub fn errno_location() -> *mut c_int {
    let function: usize;
    // SAFETY: reads an entry of this library's own offset table, filled by the loader.
    unsafe {
        asm!("mov {}, [rip + __errno_location@GOTPCREL]", out(reg) function,
             options(nostack, pure, readonly, preserves_flags));
    }
    if function == 0 {
        return core::ptr::null_mut();
    }
    // SAFETY: the loader found libc's function of this name.
    unsafe { super::__errno_location() }
}

/// Ends the process where code would be that is never reached.
pub fn trap() -> ! {
    // SAFETY: raises SIGILL.
    unsafe { asm!("ud2", options(noreturn, nostack)) }
}
