//! The few system calls of this module that neither rustix nor nix offers in a form
//! that is safe between clone and exec: nothing here allocates, locks or prints.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// Which side of a clone this is.
pub enum Forked {
    Child,
    Parent { pid: i32, pidfd: Option<OwnedFd> },
}

/// linux/sched.h; libc's constant is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The blocked signals, one bit each.
#[derive(Clone, Copy)]
pub struct Mask(pub u64);

pub fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn check(value: libc::c_long) -> Result<libc::c_long, Errno> {
    if value < 0 { Err(last_errno()) } else { Ok(value) }
}

/// A fork with `flags` (CLONE_NEW*), reported by SIGCHLD, with a pidfd, and born into
/// a control group.
///
/// clone3 first; where it is not there or a seccomp filter refuses it (Docker
/// answers ENOSYS), clone, which knows of no control groups. In the child only raw system calls on data prepared
/// before may follow: another thread of the parent may have held any lock.
pub fn fork_into(flags: libc::c_int, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked, Errno> {
    let mut pidfd: RawFd = -1;
    let flags = u64::from((flags | libc::CLONE_PIDFD) as u32);
    let into = cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
    // SAFETY: zero is a valid clone_args; without CLONE_VM and with no stack given the
    // child goes on with a copy of this stack, as after fork; `pidfd` outlives the call.
    let pid = unsafe {
        let mut args: libc::clone_args = zeroed();
        args.flags = flags | into;
        args.cgroup = cgroup.map_or(0, |dir| dir.as_raw_fd() as u64);
        args.pidfd = &raw mut pidfd as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        match check(libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())) {
            Err(Errno::NOSYS | Errno::PERM) if cgroup.is_none() => {
                let flags = flags | libc::SIGCHLD as u64;
                check(libc::syscall(libc::SYS_clone, flags, 0usize, &raw mut pidfd, 0usize, 0usize))?
            }
            other => other?,
        }
    };
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: the kernel stored a new descriptor that nobody else knows of.
    let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
    Ok(Forked::Parent { pid: pid as i32, pidfd })
}

/// The answer to a clone3(2) that asks for nothing, which no kernel grants.
pub fn clone3_of_nothing() -> Errno {
    // SAFETY: with size 0 the kernel does not look at the pointer: EINVAL where the call is there.
    let answer =
        check(unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<libc::clone_args>(), 0usize) });
    answer.err().unwrap_or(Errno::INVAL)
}

/// Ends the process at once, without destructors.
pub fn exit(status: i32) -> ! {
    // SAFETY: always allowed; nothing of this process is used afterwards.
    unsafe { libc::_exit(status) }
}

/// Blocks every signal in this thread; returns what was blocked before.
pub fn block_all() -> Mask {
    change_mask(libc::SIG_BLOCK, u64::MAX)
}

/// Sets this thread's blocked signals; returns what was blocked before.
pub fn set_mask(mask: Mask) -> Mask {
    change_mask(libc::SIG_SETMASK, mask.0)
}

fn change_mask(how: libc::c_int, mask: u64) -> Mask {
    let mut old = 0u64;
    // SAFETY: both sets are 8 bytes, the size passed and the kernel's own.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const mask, &raw mut old, 8usize) };
    Mask(old)
}

/// Makes a signal ignored or default.
pub fn set_disposition(signal: i32, ignored: bool) {
    // SAFETY: neither SIG_IGN nor SIG_DFL runs code of ours.
    unsafe { libc::signal(signal, if ignored { libc::SIG_IGN } else { libc::SIG_DFL }) };
}

/// A non-blocking signalfd for one signal.
pub fn signalfd(signal: i32) -> Result<OwnedFd, Errno> {
    let mask = 1u64 << (signal - 1);
    let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
    // SAFETY: the set is 8 bytes as said; the descriptor returned is new.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, 8usize, flags))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// kill(2), with its meanings of zero and negative numbers.
pub fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    check(libc::c_long::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// Closes `first` to `last`, both included.
pub fn close_range(first: u32, last: u32) {
    if first > last {
        return;
    }
    // SAFETY: the caller owns this process's descriptors; called in a fresh child only.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if done == -1 {
        // before 5.9, or a filter
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = limit.unwrap_or(65_536).min(65_536) as u32;
        for fd in first..=last.min(limit) {
            // SAFETY: as above; a number that is not open is answered with EBADF.
            unsafe { libc::close(fd as RawFd) };
        }
    }
}

/// Puts a copy of `fd` at 0, 1 and 2.
pub fn become_stdio(fd: BorrowedFd<'_>) {
    for target in 0..3 {
        // SAFETY: the caller wants its standard descriptors replaced; nothing owns them.
        unsafe { libc::dup2(fd.as_raw_fd(), target) };
    }
}

/// Puts a copy of `fd` at 0.
pub fn become_stdin(fd: BorrowedFd<'_>) {
    // SAFETY: as in `become_stdio`.
    unsafe { libc::dup2(fd.as_raw_fd(), 0) };
}

/// Closes one descriptor by number.
pub fn close(fd: RawFd) {
    // SAFETY: called by a child just before exec, for numbers that its caller had closed.
    unsafe { libc::close(fd) };
}

/// Makes a detached mount, or (`all`) a tree of them, read-only, without set-user-ID and
/// devices (5.12).
pub fn set_read_only(mount: BorrowedFd<'_>, all: bool) -> Result<(), Errno> {
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    set_attributes(mount, all, attributes)
}

/// Makes a mount read-only with all that is mounted below it; otherwise they stay as they
/// are.
pub fn set_all_read_only(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    set_attributes(mount, true, libc::MOUNT_ATTR_RDONLY)
}

fn set_attributes(mount: BorrowedFd<'_>, all: bool, attributes: u64) -> Result<(), Errno> {
    // SAFETY: zero is a valid mount_attr; the size passed is the structure's.
    unsafe {
        let mut attr: libc::mount_attr = zeroed();
        attr.attr_set = attributes;
        let (fd, size) = (mount.as_raw_fd(), size_of::<libc::mount_attr>());
        let flags = libc::AT_EMPTY_PATH | if all { libc::AT_RECURSIVE } else { 0 };
        check(libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &raw mut attr, size)).map(drop)
    }
}

/// The user at the other end of a unix socket, and its process (0: not visible from here).
pub fn peer(socket: BorrowedFd<'_>) -> Result<libc::ucred, Errno> {
    // SAFETY: zero is a valid ucred; the length passed is its size.
    unsafe {
        let mut cred: libc::ucred = zeroed();
        let mut length = size_of::<libc::ucred>() as libc::socklen_t;
        let (fd, value) = (socket.as_raw_fd(), (&raw mut cred).cast());
        check(libc::c_long::from(libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            value,
            &raw mut length,
        )))?;
        Ok(cred)
    }
}

/// Whether the process that made the other end of a unix socket has ended; false also where
/// the kernel cannot tell (SO_PEERPIDFD, Linux 6.5).
pub fn peer_has_ended(socket: BorrowedFd<'_>) -> bool {
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut pidfd: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let (fd, value) = (socket.as_raw_fd(), (&raw mut pidfd).cast());
    // SAFETY: the kernel writes an int, whose size is passed.
    let got = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, SO_PEERPIDFD, value, &raw mut length) };
    if got < 0 || pidfd < 0 {
        // it was waited for already; before Linux 6.16 that was EINVAL
        return matches!(last_errno(), Errno::SRCH | Errno::INVAL);
    }
    // SAFETY: new, and ours alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let mut look = [libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
    poll(&mut look, 0).is_ok() && look.iter().any(|entry| entry.revents != 0)
}

/// The namespace that a user or pid namespace lies in (NS_GET_PARENT, ioctl_nsfs(2)).
pub fn parent_namespace(namespace: &OwnedFd) -> Result<OwnedFd, Errno> {
    const NS_GET_PARENT: libc::Ioctl = 0xb702;
    // SAFETY: this request takes no argument and returns a new descriptor.
    unsafe {
        let fd = check(libc::c_long::from(libc::ioctl(namespace.as_raw_fd(), NS_GET_PARENT)))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// The inode that a path leads to; 0 where there is none.
pub fn inode_of(path: &CStr) -> u64 {
    rustix::fs::stat(path).map_or(0, |stat| stat.st_ino)
}

/// Sets this network namespace's loopback interface up.
pub fn loopback_up() -> Result<(), Errno> {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let (family, kind) = (rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM);
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    // SAFETY: zero is a valid ifreq; the name is shorter than its place and ends with a
    // zero; both requests read the name and use the flags alone.
    unsafe {
        let mut request: libc::ifreq = zeroed();
        (request.ifr_name[0], request.ifr_name[1]) = (b'l' as libc::c_char, b'o' as libc::c_char);
        let fd = socket.as_raw_fd();
        check(libc::c_long::from(libc::ioctl(fd, libc::SIOCGIFFLAGS as _, &raw mut request)))?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        check(libc::c_long::from(libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw const request))).map(drop)
    }
}

/// poll(2) on plain records; entries with a negative descriptor are passed over.
pub fn poll(fds: &mut [libc::pollfd], timeout_ms: i32) -> Result<(), Errno> {
    // SAFETY: pointer and length describe the slice.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
    match check(libc::c_long::from(ready)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// What to poll at most to be awake after `at`, in milliseconds.
pub fn ms_until(at: std::time::Instant) -> i32 {
    let left = at.saturating_duration_since(std::time::Instant::now()).as_millis();
    i32::try_from(left).map_or(i32::MAX, |left| left.saturating_add(1))
}

/// Milliseconds of the monotonic clock.
pub fn now_ms() -> i64 {
    // SAFETY: zero is a valid timespec and the only thing written.
    unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}

/// execve over null-terminated arrays; returns why it failed.
///
/// # Safety
/// Every pointer but the last, which is null, points to a C string.
pub unsafe fn execve(path: &CStr, argv: &[*const libc::c_char], envp: &[*const libc::c_char]) -> Errno {
    // SAFETY: the caller's promise.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    last_errno()
}

/// Cuts the bounding set to `keep`, clears the ambient and inheritable sets, and
/// makes the permitted and effective sets `keep`; bit n is capability n.
pub fn limit_capabilities(keep: u64) -> Result<(), Errno> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    /// _LINUX_CAPABILITY_VERSION_3 (linux/capability.h).
    const VERSION: u32 = 0x2008_0522;
    let prctl = |option: libc::c_int, value: libc::c_ulong, argument: libc::c_ulong| {
        // SAFETY: the options passed below take numbers only.
        check(libc::c_long::from(unsafe {
            libc::prctl(option, value, argument, 0 as libc::c_ulong, 0 as libc::c_ulong)
        }))
    };
    for capability in 0..63 {
        if keep & (1 << capability) == 0 {
            match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
                Ok(_) => {}
                // past the last one this kernel has
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno),
            }
        }
    }
    match prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0) {
        Ok(_) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno),
    }
    let (low, high) = (keep as u32, (keep >> 32) as u32);
    let header = Header { version: VERSION, pid: 0 };
    let data = [low, low, 0, high, high, 0];
    // SAFETY: version 3 reads two records of three words each after this header.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// The process group's number; 0 where its leader is in no pid namespace of ours
/// (`unshare -pf`, a machine's first process), which rustix takes for impossible.
pub fn process_group() -> i32 {
    // SAFETY: takes nothing and always succeeds (getpgrp(2)).
    unsafe { libc::getpgrp() }
}
