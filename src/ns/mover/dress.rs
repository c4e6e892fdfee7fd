//! Gives a directory what another one has: xattrs, ACLs, owner, mode, times.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Gid, Mode, Statx, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::tree::stat_fd;

/// XATTR_LIST_MAX, XATTR_SIZE_MAX (linux/limits.h).
const MOST: usize = 65_536;

/// Dresses `to` as `from`. A directory made below one with a default ACL has got ACLs of
/// its own, which go.
pub(super) fn dress(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let stat = stat_fd(from)?;
    let made = stat_fd(to)?;
    xattrs(from, to)?;
    if (stat.stx_uid, stat.stx_gid) != (made.stx_uid, made.stx_gid) {
        rustix::fs::fchown(to, Some(Uid::from_raw(stat.stx_uid)), Some(Gid::from_raw(stat.stx_gid)))?;
    }
    rustix::fs::fchmod(to, Mode::from_raw_mode(u32::from(stat.stx_mode) & 0o7777))?;
    times(to, &stat)
}

/// Sets access and modification time.
pub(super) fn times(dir: &OwnedFd, stat: &Statx) -> Result<(), Errno> {
    let time =
        |time: rustix::fs::StatxTimestamp| Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec.into() };
    let times = Timestamps { last_access: time(stat.stx_atime), last_modification: time(stat.stx_mtime) };
    rustix::fs::utimensat(dir, c"", &times, AtFlags::EMPTY_PATH)
}

fn xattrs(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); MOST];
    let mut value = [MaybeUninit::uninit(); MOST];
    for name in names(list(to, &mut space)?) {
        match rustix::fs::fgetxattr(from, name, &mut value[..]) {
            Ok(_) => {}
            Err(Errno::NODATA) => rustix::fs::fremovexattr(to, name)?,
            Err(errno) => return Err(errno),
        }
    }
    for name in names(list(from, &mut space)?) {
        let (value, _) = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        match rustix::fs::fsetxattr(to, name, value, XattrFlags::empty()) {
            // an ACL that names who is not known in here: it was not in force either
            Err(Errno::INVAL) if name.to_bytes().starts_with(b"system.") => {}
            other => other?,
        }
    }
    Ok(())
}

fn list<'a>(dir: &OwnedFd, space: &'a mut [MaybeUninit<u8>]) -> Result<&'a [u8], Errno> {
    match rustix::fs::flistxattr(dir, space) {
        Ok((listed, _)) => Ok(listed),
        Err(Errno::OPNOTSUPP) => Ok(&[]),
        Err(errno) => Err(errno),
    }
}

/// What goes along: the user's own, and ACLs. The rest is the kernel's.
fn names(listed: &[u8]) -> impl Iterator<Item = &CStr> {
    let names = listed.split_inclusive(|byte| *byte == 0);
    names.filter_map(|name| CStr::from_bytes_with_nul(name).ok()).filter(|name| {
        let name = name.to_bytes();
        name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_")
    })
}
