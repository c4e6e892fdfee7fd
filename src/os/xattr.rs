//! Extended attributes by descriptor; by name for what must not be opened.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr, lgetxattr};
use rustix::io::Errno;

/// All attribute names of an open file; none where the filesystem has no attributes.
pub fn list(fd: impl AsFd) -> Result<Vec<CString>, Errno> {
    let mut small = [0u8; 512];
    let bytes = match flistxattr(&fd, &mut small) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => small[..length].to_vec(),
        Err(Errno::RANGE) => list_long(&fd)?,
        Err(errno) => return Err(errno),
    };
    Ok(bytes
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|name| CString::new(name).ok())
        .collect())
}

/// XATTR_LIST_MAX is 64 KiB (limits.h).
fn list_long(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0u8; 65536];
    let length = flistxattr(fd, &mut bytes[..])?;
    bytes.truncate(length);
    Ok(bytes)
}

/// One attribute's value; `None` when it has none of that name.
pub fn get(fd: impl AsFd, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    let mut small = [0u8; 256];
    match fgetxattr(&fd, name, &mut small) {
        Ok(length) => Ok(Some(small[..length].to_vec())),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(Errno::RANGE) => {
            // XATTR_SIZE_MAX (limits.h)
            let mut value = vec![0u8; 65536];
            let length = fgetxattr(&fd, name, &mut value[..])?;
            value.truncate(length);
            Ok(Some(value))
        }
        Err(errno) => Err(errno),
    }
}

/// One attribute of a name in an open directory, links not followed, without opening it:
/// opening a FIFO wakes whoever waits to write to it. `None` when it has none of that name.
pub fn get_at(dir: impl AsFd, name: &CStr, attribute: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    // XATTR_SIZE_MAX (limits.h)
    let mut value = vec![0u8; 65536];
    match lgetxattr(path, attribute, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Sets or replaces one attribute.
pub fn set(fd: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    fsetxattr(fd, name, value, XattrFlags::empty())
}

/// Removes one attribute; gone already is fine.
pub fn remove(fd: impl AsFd, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::fremovexattr(fd, name) {
        Err(Errno::NODATA) => Ok(()),
        other => other,
    }
}
