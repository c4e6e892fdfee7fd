//! The flags that keep even the owner from changing or removing a file (chattr(1): `i`, `a`).
//! Only who has CAP_LINUX_IMMUTABLE in the first user namespace sets or clears them.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{FileType, IFlags, Mode, OFlags, fstat, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

const KEEPING: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// Does what gives a name another place or takes it away, once more without the flags where
/// those refuse it. A file that has other names then has its flags again.
pub fn lifted(dir: impl AsFd, name: &CStr, act: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    let refused = match act() {
        Err(Errno::PERM) => Errno::PERM,
        other => return other,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let of_dir = clear(&dir);
    let file = rustix::fs::openat(&dir, name, flags, Mode::empty());
    let was = file.as_ref().is_ok_and(is_set);
    let of_file = file.as_ref().is_ok_and(clear);
    if !of_dir && !of_file {
        return Err(refused);
    }
    let done = act();
    if let Ok(file) = &file
        && was
        && fstat(file).is_ok_and(|stat| {
            stat.st_nlink > 0 && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        })
    {
        let _ = set(file);
    }
    done
}

/// Takes the flags away. True when there was one and it is gone.
pub fn clear(file: impl AsFd) -> bool {
    // filesystems without such flags say ENOTTY
    ioctl_getflags(&file).is_ok_and(|flags| {
        flags.intersects(KEEPING) && ioctl_setflags(&file, flags.difference(KEEPING)).is_ok()
    })
}

pub fn is_set(file: impl AsFd) -> bool {
    ioctl_getflags(&file).is_ok_and(|flags| flags.contains(IFlags::IMMUTABLE))
}

/// Keeps a file from being changed, renamed, linked and removed.
pub fn set(file: impl AsFd) -> Result<(), Errno> {
    let flags = ioctl_getflags(&file)?;
    ioctl_setflags(&file, flags | IFlags::IMMUTABLE)
}
