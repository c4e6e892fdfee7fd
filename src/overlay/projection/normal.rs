//! Files of what is declared not to change, as links: one inode for all projects, so its mode
//! and its mtime cannot be each project's own. A file that everybody may read has mode 0444, or 0555
//! when anybody may execute it, and [`MTIME`]; all others are copies with what is recorded.
//!
//! Such an object is marked ([`MARK`]): no tree in which something is written ever links it, and it may
//! be immutable while trees of this kind link it. The flag is lifted for a further link; whoever
//! protects what is declared sets it again. In one tree the files of one content are one inode: there
//! nobody writes, so nobody is told that two names are the same file.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, fchmod, futimens};
use rustix::io::Errno;

use super::leaf::times;
use super::real::{alone, is_shown};
use crate::cas::protect::MARK;
use crate::manifest::node::{Content, Entry, Meta, Time};
use crate::os::dir::stat_fd;
use crate::os::{immutable, xattr};

/// The second day of 1980: archives of the ZIP kind know none before the first.
pub const MTIME: Time = Time { secs: 315_619_200, nanos: 0 };

/// The file as it is shown; `None` where it is shown as it is recorded.
pub fn entry(entry: &Entry) -> Option<Entry> {
    let Meta { mode, xattrs, .. } = &entry.meta;
    let can = entry.content().is_some_and(|content| content.size > 0)
        && entry.group == 0
        && xattrs.is_empty()
        && mode & !0o777 == 0
        && mode & 0o444 == 0o444;
    let mode = if mode & 0o111 == 0 { 0o444 } else { 0o555 };
    can.then(|| Entry { meta: Meta { mode, mtime: MTIME, xattrs: Vec::new() }, ..entry.clone() })
}

/// Whether the object can be this file; its inode is made so, and stays so as long as the
/// descriptor, which holds the lock, is open.
pub(super) fn take(object: &OwnedFd, meta: &Meta, content: &Content) -> Result<bool, Errno> {
    alone(object)?;
    let (stat, attributes) = (stat_fd(object)?, xattr::list(object)?);
    let marked = attributes.iter().any(|name| name.as_c_str() == MARK);
    let foreign = attributes.iter().any(|name| name.as_c_str() != MARK && is_shown(name.to_bytes()));
    if foreign || stat.size != content.size || (stat.nlink != 1 && !marked) {
        return Ok(false);
    }
    let fits = marked && (stat.mode, stat.mtime) == (meta.mode, (meta.mtime.secs, meta.mtime.nanos));
    if !fits && stat.nlink != 1 {
        return Ok(false);
    }
    if immutable::is_set(object) && !immutable::clear(object) {
        return Ok(false);
    }
    let dress = || {
        xattr::set(object, MARK, b"")?;
        fchmod(object, Mode::from_raw_mode(meta.mode.into()))?;
        futimens(object, &times(meta.mtime))
    };
    match if fits { Ok(()) } else { dress() } {
        Ok(()) => Ok(true),
        // one that its owner may not write to has no new attribute; a copy does as well
        Err(Errno::PERM | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}
