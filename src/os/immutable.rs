//! The flags that keep even the owner from changing or removing a file (chattr(1): `i`, `a`).
//! Only who has CAP_LINUX_IMMUTABLE in the first user namespace sets or clears them.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags};

/// Takes the flags from a directory and from a name in it. True when there was one and it
/// is gone.
pub fn clear(dir: impl AsFd, name: &CStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let of_dir = clear_on(&dir);
    let file = rustix::fs::openat(&dir, name, flags, Mode::empty());
    file.is_ok_and(clear_on) || of_dir
}

fn clear_on(file: impl AsFd) -> bool {
    let keeping = IFlags::IMMUTABLE | IFlags::APPEND;
    // filesystems without such flags say ENOTTY
    ioctl_getflags(&file).is_ok_and(|flags| {
        flags.intersects(keeping) && ioctl_setflags(&file, flags.difference(keeping)).is_ok()
    })
}
