//! What depends on the architecture: x86-64.

use core::arch::{asm, global_asm, naked_asm};
use core::ffi::{c_char, c_int, c_uint};

/// Numbers of the system calls (arch/x86/entry/syscalls/syscall_64.tbl).
pub mod number {
    pub const READ: usize = 0;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const RECVFROM: usize = 45;
    pub const SENDMSG: usize = 46;
    pub const FCNTL: usize = 72;
    pub const RENAME: usize = 82;
    pub const PIVOT_ROOT: usize = 155;
    pub const CHROOT: usize = 161;
    pub const MOUNT: usize = 165;
    pub const OPENAT: usize = 257;
    pub const NEWFSTATAT: usize = 262;
    pub const RENAMEAT: usize = 264;
    pub const FACCESSAT: usize = 269;
    pub const UNSHARE: usize = 272;
    pub const SETNS: usize = 308;
    pub const RENAMEAT2: usize = 316;
    pub const STATX: usize = 332;
    pub const MOVE_MOUNT: usize = 429;
    pub const FACCESSAT2: usize = 439;
}

/// Flags of open(2) with which what is not there is simply not there.
pub const PLAIN_OPEN: c_int = 0o2_000_000 | 0o200_000 | 0o400_000 | 0o4_000 | 0o400 | 0o100_000;
/// O_CREAT, O_TMPFILE without O_DIRECTORY.
pub const CREATING_OPEN: c_int = 0o100 | 0o20_000_000;

/// struct stat, the kernel's and every libc's.
#[repr(C)]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub nlink: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub pad: u32,
    pub rdev: u64,
    pub size: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub atime: [i64; 2],
    pub mtime: [i64; 2],
    pub ctime: [i64; 2],
    pub unused: [u64; 3],
}

const _: () = assert!(size_of::<Stat>() == 144);

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

// A program may be without a libc, or with one that lacks some of these.
global_asm!(".weak __errno_location", ".weak __open", ".weak __openat_2");

/// The address of a function that may be missing (0), from this library's own offset
/// table, which the loader has filled.
macro_rules! found {
    ($name:literal) => {{
        let function: usize;
        // SAFETY: reads one word.
        unsafe {
            asm!(concat!("mov {}, [rip + ", $name, "@GOTPCREL]"), out(reg) function,
                 options(nostack, pure, readonly, preserves_flags));
        }
        function
    }};
}

/// Address of this thread's errno; null in a program without a libc.
#[inline(always)]
pub fn errno_location() -> *mut c_int {
    if found!("__errno_location") == 0 {
        return core::ptr::null_mut();
    }
    // SAFETY: the loader found libc's function of this name.
    unsafe { super::__errno_location() }
}

/// libc's open(2) by another name, for it is a point where threads are cancelled.
///
/// # Safety
/// As of the function.
pub unsafe fn open(path: *const c_char, flags: c_int, mode: c_uint) -> Option<c_int> {
    if found!("__open") == 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { super::__open(path, flags, mode) })
}

/// The same of openat(2) where nothing is created.
///
/// # Safety
/// As of the function.
pub unsafe fn openat(at: c_int, path: *const c_char, flags: c_int) -> Option<c_int> {
    if found!("__openat_2") == 0 || flags & CREATING_OPEN != 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { super::__openat_2(at, path, flags) })
}

/// Whether this runs on a simulated processor (valgrind.h, RUNNING_ON_VALGRIND): there
/// whole words may not be read where a string ends within.
pub fn is_simulated() -> bool {
    let request = [0x1001usize, 0, 0, 0, 0, 0];
    let answer: usize;
    // SAFETY: rotates a register once around; the simulator knows it by that.
    unsafe {
        asm!("rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
             in("rax") &raw const request, inout("rdx") 0usize => answer, inout("rdi") 0usize => _,
             options(nostack, readonly));
    }
    answer != 0
}

/// syscall(2), instruction for instruction as libc's: what it is called for may come back
/// on another stack, or twice. Before it, statx is answered as by its name, and what may
/// change the mounts of this process ends all answers: clone with a new mount or user
/// namespace, clone3, and the calls that have functions of their own here.
///
/// # Safety
/// As of the function of this name in libc.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall() {
    naked_asm!(
        "cmp edi, {statx}",
        "je 3f",
        "cmp edi, {clone}",
        "je 4f",
        "cmp edi, {clone3}",
        "je 5f",
        "cmp edi, {mount}",
        "je 5f",
        "cmp edi, {chroot}",
        "je 5f",
        "cmp edi, {pivot_root}",
        "je 5f",
        "cmp edi, {unshare}",
        "je 5f",
        "cmp edi, {setns}",
        "je 5f",
        "cmp edi, {move_mount}",
        "je 5f",
        "2:",
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        "mov r9, [rsp + 8]",
        "syscall",
        "cmp rax, -4095",
        "jae 6f",
        "ret",
        "3:",
        "mov edi, esi",
        "mov rsi, rdx",
        "mov edx, ecx",
        "mov ecx, r8d",
        "mov r8, r9",
        "jmp {statx_by_number}",
        "4:",
        "test esi, {namespaces}",
        "je 2b",
        "5:",
        "mov qword ptr [rip + {hot}], 0",
        "jmp 2b",
        "6:",
        "mov rdi, rax",
        "jmp {failed}",
        statx = const number::STATX,
        clone = const 56,
        clone3 = const 435,
        // CLONE_NEWNS, CLONE_NEWUSER
        namespaces = const 0x1002_0000,
        mount = const number::MOUNT,
        chroot = const number::CHROOT,
        pivot_root = const number::PIVOT_ROOT,
        unshare = const number::UNSHARE,
        setns = const number::SETNS,
        move_mount = const number::MOVE_MOUNT,
        statx_by_number = sym super::answer::statx_by_number,
        failed = sym super::failed,
        hot = sym super::state::HOT,
    )
}

/// Ends the process where code would be that is never reached.
pub fn trap() -> ! {
    // SAFETY: raises SIGILL.
    unsafe { asm!("ud2", options(noreturn, nostack)) }
}
