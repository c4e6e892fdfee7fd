//! Extended attributes between a project and the trees of an overlay (rule 8).
//!
//! `user.overlay.*` is the kernel's own language: a file that carries
//! `user.overlay.redirect` in a lower is a stub of whatever it names. A project's file
//! may have attributes of that name too. They are recorded as they are and written
//! into a lower or upper in the kernel's own escape, so that a view shows them again:
//!
//! | in the project, in the record, in the view | in a lower, in an upper |
//! |---|---|
//! | `user.overlay.X` | `user.overlay.overlay.X` |
//! | any other `user.*`, POSIX ACLs | the same |
//! | (not shown) | `user.overlay.Y`: overlayfs' own |
//!
//! Nothing else is recorded (rule 7). The escape works for `user.` in Linux 6.7 and later;
//! before, such attributes are not shown in a view, and nothing forges a stub there either.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::manifest::node::Xattrs;
use crate::os::xattr;

const OWN: &[u8] = b"user.overlay.";
const ESCAPED: &[u8] = b"user.overlay.overlay.";
const USER: &[u8] = b"user.";
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

/// Whose attributes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A file of the host.
    Host,
    /// A file of an upper or lower.
    Upper,
}

/// Who reads the attributes that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The host: they are as recorded.
    Host,
    /// overlayfs, in a lower or upper: in its escape.
    Overlay,
}

/// What overlayfs says of a file of its own, by its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `y`: hides what is below; `x`: xattr whiteouts inside (6.7).
    pub opaque: Option<u8>,
    /// A whiteout, in a directory with opaque=x.
    pub whiteout: bool,
    /// The content or the name is elsewhere: never in an upper mounted with `userxattr`.
    pub elsewhere: bool,
}

/// The attributes to record.
pub fn read_xattrs(fd: impl AsFd, from: From) -> Result<Xattrs, Errno> {
    read_marked(fd, from).map(|(xattrs, _)| xattrs)
}

/// The attributes to record, and overlayfs' own of an upper's file.
pub fn read_marked(fd: impl AsFd, from: From) -> Result<(Xattrs, Marks), Errno> {
    let (mut xattrs, mut marks) = (Xattrs::new(), Marks::default());
    for name in xattr::list(&fd)? {
        let Some(recorded) = recorded(name.as_bytes(), from) else {
            match name.to_bytes() {
                b"user.overlay.opaque" => {
                    marks.opaque = xattr::get(&fd, &name)?.and_then(|value| value.first().copied());
                }
                b"user.overlay.whiteout" => marks.whiteout = true,
                b"user.overlay.metacopy" | b"user.overlay.redirect" => marks.elsewhere = true,
                _ => {}
            }
            continue;
        };
        // removed in between: not there
        if let Some(value) = xattr::get(&fd, &name)? {
            xattrs.push((recorded, value));
        }
    }
    xattrs.sort_unstable();
    Ok((xattrs, marks))
}

/// The attributes to record of a FIFO, which is not opened: an ACL, because it can have no
/// others (xattr(7)).
pub fn read_fifo(dir: impl AsFd, name: &CStr) -> Result<Xattrs, Errno> {
    let acl = xattr::get_at(dir, name, c"system.posix_acl_access")?;
    Ok(acl.into_iter().map(|acl| (ACCESS.to_vec(), acl)).collect())
}

/// Writes recorded attributes to a file. Returns how many this filesystem or
/// namespace cannot hold: too long a name or value, or an ACL that names a user
/// who is not mapped. ACLs last: one may take from the owner the right to write, and with
/// it that to set the others.
pub fn write_xattrs(fd: impl AsFd, xattrs: &Xattrs, to: To) -> Result<u64, Errno> {
    let mut left_out = 0;
    let (acls, others): (Vec<_>, Vec<_>) = xattrs.iter().partition(|(name, _)| is_acl(name));
    for (name, value) in others.into_iter().chain(acls) {
        let Ok(name) = CString::new(to.named(name)) else { return Err(Errno::INVAL) };
        match xattr::set(&fd, &name, value) {
            Ok(()) => {}
            Err(Errno::RANGE | Errno::TOOBIG | Errno::OPNOTSUPP) => left_out += 1,
            Err(Errno::INVAL) if is_acl(name.to_bytes()) => left_out += 1,
            // ext4 says ENOSPC of a value that does not fit in its one block
            Err(Errno::NOSPC) if rustix::fs::fstatvfs(&fd)?.f_bavail > 0 => left_out += 1,
            Err(errno) => return Err(errno),
        }
    }
    Ok(left_out)
}

/// Makes the attributes of a directory those recorded: removes others.
pub fn replace_xattrs(fd: impl AsFd, xattrs: &Xattrs, to: To) -> Result<u64, Errno> {
    for name in xattr::list(&fd)? {
        let bytes = name.to_bytes();
        let ours = bytes.starts_with(USER) || is_acl(bytes);
        if ours && !xattrs.iter().any(|(wanted, _)| to.named(wanted) == bytes) {
            xattr::remove(&fd, &name)?;
        }
    }
    write_xattrs(fd, xattrs, to)
}

pub(super) fn is_acl(name: &[u8]) -> bool {
    name == ACCESS || name == DEFAULT
}

/// The name under which an attribute is recorded; `None`: it is not.
pub fn recorded(name: &[u8], from: From) -> Option<Vec<u8>> {
    match from {
        From::Upper if name.starts_with(ESCAPED) => {
            Some([OWN, name.get(ESCAPED.len()..).unwrap_or_default()].concat())
        }
        From::Upper if name.starts_with(OWN) => None,
        _ if name.starts_with(USER) || is_acl(name) => Some(name.to_vec()),
        _ => None,
    }
}

impl To {
    fn named(self, name: &[u8]) -> Vec<u8> {
        match self {
            To::Host => name.to_vec(),
            To::Overlay => rendered(name),
        }
    }
}

/// The name that a recorded attribute has in a lower.
pub fn rendered(name: &[u8]) -> Vec<u8> {
    match name.strip_prefix(OWN) {
        Some(rest) => [ESCAPED, rest].concat(),
        None => name.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for name in
            ["user.a", "user.overlay.redirect", "user.overlay.overlay.x", "user.overlay.", "user.overlay"]
        {
            let there = rendered(name.as_bytes());
            assert_eq!(recorded(&there, From::Upper).unwrap(), name.as_bytes(), "{name}");
            assert_eq!(recorded(name.as_bytes(), From::Host).unwrap(), name.as_bytes());
        }
    }

    #[test]
    fn nothing_recorded_speaks_to_overlayfs() {
        for name in ["user.overlay.redirect", "user.overlay.metacopy", "user.overlay.overlay.opaque"] {
            assert!(rendered(name.as_bytes()).starts_with(ESCAPED));
        }
        for own in ["origin", "impure", "uuid", "protattr", "whiteout"] {
            assert_eq!(recorded(format!("user.overlay.{own}").as_bytes(), From::Upper), None);
        }
        for other in ["security.capability", "trusted.x", "system.nfs4_acl", "btrfs.compression"] {
            assert_eq!(recorded(other.as_bytes(), From::Host), None);
        }
        assert!(recorded(ACCESS, From::Upper).is_some());
    }

    /// Version 2; owner rwx, a user rw, group r, mask rwx, others none.
    fn acl_naming(user: u32) -> Vec<u8> {
        let all = u32::MAX;
        let entry = |tag: u16, perm: u16, id: u32| {
            [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let entries = [(1, 7, all), (2, 6, user), (4, 4, all), (16, 7, all), (32, 0, all)];
        let entries = entries.into_iter().flat_map(|(tag, perm, id)| entry(tag, perm, id));
        2u32.to_le_bytes().into_iter().chain(entries).collect()
    }

    #[test]
    fn an_acl_that_names_nobody_in_here_is_left_out_and_counted() {
        use crate::os::userns::{Namespaces, in_namespaces};
        let dir = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let me = rustix::process::geteuid().as_raw();
        let acl = |user| vec![(ACCESS.to_vec(), acl_naming(user))];
        let here = write_xattrs(&fd, &acl(me + 1), To::Overlay).unwrap();
        if here == 1 {
            return crate::os::skip("ACLs", "the filesystem has none");
        }
        let inside = in_namespaces("test", Namespaces::User, || {
            let left_out = [me + 1, me].map(|user| write_xattrs(&fd, &acl(user), To::Overlay).unwrap());
            Ok((left_out, read_xattrs(&fd, From::Host).unwrap()))
        });
        match inside {
            Ok(inside) => assert_eq!(inside, ([1, 0], acl(me))),
            Err(error) => crate::os::skip("user namespaces", error),
        }
        assert_eq!(read_xattrs(&fd, From::Upper).unwrap(), acl(me));
    }

    #[test]
    fn an_acl_without_the_right_to_write_does_not_keep_other_attributes_out() {
        let dir = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let mut acl = acl_naming(rustix::process::geteuid().as_raw() + 1);
        acl[6] = 5; // the owner's own entry
        let all = vec![(ACCESS.to_vec(), acl), (b"user.a".to_vec(), b"value".to_vec())];
        match write_xattrs(&fd, &all, To::Overlay).unwrap() {
            0 => assert_eq!(read_xattrs(&fd, From::Upper).unwrap(), all),
            _ => crate::os::skip("ACLs and user attributes", "the filesystem has none"),
        }
    }
}
