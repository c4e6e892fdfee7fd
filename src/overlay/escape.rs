//! Which xattrs are recorded, and how they are named in a lower.
//!
//! `user.overlay.*` is the overlay's own namespace under `userxattr`: a host file that
//! carries `user.overlay.redirect` would be a forged stub and show another project's
//! object (tried). So in every lower such a name is written as `user.overlay.overlay.*`,
//! the kernel's own escape, which a mount shows as `user.overlay.*` again (rule 8).

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::acl;
use crate::manifest::node::Xattrs;
use crate::os::xattr;

const OVERLAY: &[u8] = b"user.overlay.";
const ESCAPED: &[u8] = b"user.overlay.overlay.";

/// Where attributes are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A directory of the host: every name means itself.
    Host,
    /// An upper: the overlay's own names are stripped, escaped ones are unescaped.
    Upper,
}

/// The recorded attributes of an open file or directory, sorted by name.
pub fn read_xattrs(fd: impl AsFd, from: From) -> Result<Xattrs, Errno> {
    let mut found = Xattrs::new();
    for name in xattr::list(&fd)? {
        let Some(recorded) = recorded_name(name.to_bytes(), from) else { continue };
        if let Some(value) = xattr::get(&fd, &name)? {
            let value = if acl::is_acl(&recorded) { acl::to_record(&value) } else { value };
            found.push((recorded, value));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Sets recorded attributes in a lower or an upper, where the overlay reads them.
pub fn write_xattrs(fd: impl AsFd, xattrs: &Xattrs) -> Result<(), Errno> {
    for (name, value) in xattrs {
        let disk = CString::new(lower_name(name)).map_err(|_| Errno::INVAL)?;
        if acl::is_acl(name) {
            xattr::set(&fd, &disk, &acl::to_disk(value))?;
        } else {
            xattr::set(&fd, &disk, value)?;
        }
    }
    Ok(())
}

/// One of the overlay's own attributes (`opaque`, `whiteout`, …).
pub fn own_xattr(fd: impl AsFd, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    xattr::get(fd, name)
}

/// What a name on disk is recorded as; `None`: not at all.
fn recorded_name(name: &[u8], from: From) -> Option<Vec<u8>> {
    match from {
        From::Upper if name.starts_with(ESCAPED) => Some([OVERLAY, &name[ESCAPED.len()..]].concat()),
        From::Upper if name.starts_with(OVERLAY) => None,
        _ if name.starts_with(b"user.") => Some(name.to_vec()),
        _ if acl::is_acl(name) => Some(name.to_vec()),
        _ => None,
    }
}

/// What a recorded name is called on disk in a lower.
fn lower_name(name: &[u8]) -> Vec<u8> {
    match name.strip_prefix(OVERLAY) {
        Some(rest) => [ESCAPED, rest].concat(),
        None => name.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_names_are_escaped_in_a_lower_and_come_back() {
        for name in ["user.a", "user.overlay.redirect", "user.overlay.overlay.x", "user.overlayish"] {
            let disk = lower_name(name.as_bytes());
            assert!(name == "user.a" || name == "user.overlayish" || disk != name.as_bytes());
            assert_eq!(recorded_name(&disk, From::Upper).unwrap(), name.as_bytes());
        }
    }

    #[test]
    fn only_user_attributes_and_acls_are_recorded() {
        assert!(recorded_name(b"security.selinux", From::Host).is_none());
        assert!(recorded_name(b"trusted.x", From::Host).is_none());
        assert!(recorded_name(b"user.overlay.opaque", From::Upper).is_none());
        assert!(recorded_name(b"system.posix_acl_access", From::Upper).is_some());
        assert!(recorded_name(b"user.overlay.opaque", From::Host).is_some());
    }
}
