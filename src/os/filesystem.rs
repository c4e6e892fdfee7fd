//! What the filesystem of a directory is and can do, found out by doing it there.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::os::dir::{Dir, stat_fd};
use crate::os::link::link_unnamed;
use crate::os::lock::{self, Hold, Lock};
use crate::os::xattr;

/// The clock of a directory's filesystem: the ctime of a file that never has a name.
/// Where none can be made there, the system's clock.
pub fn clock_of(root: &Path) -> (i64, u32) {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(fd) = rustix::fs::open(root, flags, Mode::RUSR)
        && let Ok(stat) = stat_fd(&fd)
    {
        return stat.ctime;
    }
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    (now.tv_sec, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// What statfs(2) and statvfs(3) say.
#[derive(Clone, Debug)]
pub struct Filesystem {
    /// `ext4`, or the magic number in hex.
    pub name: String,
    pub fit: Fit,
    pub free_bytes: u64,
    /// `None` where inodes are made as they are needed (btrfs).
    pub free_inodes: Option<u64>,
}

/// What its kind means for a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// On a disk of this machine.
    Local,
    /// In memory: gone with the next boot.
    Memory,
    /// A network's: neither an upper of an overlay nor a SQLite log.
    Network,
    /// An overlay: no upper of another one.
    Overlay,
    /// Not known.
    Other,
}

/// Magic numbers of statfs(2), include/uapi/linux/magic.h and fs/*/: a name, and what it is.
const KINDS: &[(i64, &str, Fit)] = &[
    (0xef53, "ext4", Fit::Local),
    (0x5846_5342, "xfs", Fit::Local),
    (0x9123_683e, "btrfs", Fit::Local),
    (0xf2f5_2010, "f2fs", Fit::Local),
    (0x2fc1_2fc1, "zfs", Fit::Local),
    (0xca45_1a4e, "bcachefs", Fit::Local),
    (0x0102_1994, "tmpfs", Fit::Memory),
    (0x8584_58f6, "ramfs", Fit::Memory),
    (0x794c_7630, "overlay", Fit::Overlay),
    (0x6969, "nfs", Fit::Network),
    (0xff53_4d42, "cifs", Fit::Network),
    (0xfe53_4d42, "smb2", Fit::Network),
    (0x517b, "smb", Fit::Network),
    (0x00c3_6400, "ceph", Fit::Network),
    (0x0102_1997, "9p", Fit::Network),
    (0x5346_414f, "afs", Fit::Network),
    (0x0bd0_0bd0, "lustre", Fit::Network),
    (0x4750_4653, "gpfs", Fit::Network),
    (0x6573_5546, "fuse", Fit::Other),
    (0x6a65_6a63, "virtiofs", Fit::Other),
    (0xe0f5_e1e2, "erofs", Fit::Other),
    (0x7371_7368, "squashfs", Fit::Other),
    (0x4d44, "vfat", Fit::Other),
    (0x2011_bab0, "exfat", Fit::Other),
    (0x7366_746e, "ntfs3", Fit::Other),
];

/// The name of a magic number, and what it is for a store.
pub fn kind_of(magic: i64) -> (String, Fit) {
    // some are negative where the field is 32 bits wide
    let magic = magic & 0xffff_ffff;
    match KINDS.iter().find(|(known, ..)| *known == magic) {
        Some((_, name, fit)) => ((*name).to_string(), *fit),
        None => (format!("{magic:#x}"), Fit::Other),
    }
}

impl Filesystem {
    pub fn of(path: &Path) -> Result<Self> {
        let magic = rustix::fs::statfs(path).context("read the filesystem of", path)?.f_type;
        let space = rustix::fs::statvfs(path).context("read the filesystem of", path)?;
        let (name, fit) = kind_of(magic);
        Ok(Self {
            name,
            fit,
            free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
            free_inodes: (space.f_files > 0).then_some(space.f_favail),
        })
    }
}

/// What is left in a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes in all, and bytes that the caller may still write.
    pub total: u64,
    pub free: u64,
    /// `None` where inodes are made as they are needed (btrfs).
    pub free_inodes: Option<u64>,
}

impl Room {
    /// By one statfs(2).
    pub fn of(path: &Path) -> Result<Self> {
        let stat = rustix::fs::statfs(path).context("read the filesystem of", path)?;
        let unit = u64::try_from(stat.f_frsize).unwrap_or(0);
        Ok(Self {
            total: stat.f_blocks.saturating_mul(unit),
            free: stat.f_bavail.saturating_mul(unit),
            free_inodes: (stat.f_files > 0).then_some(stat.f_ffree),
        })
    }
}

/// What a directory's filesystem was asked to do.
pub struct Abilities {
    /// `user.*` attributes.
    pub xattrs: Result<()>,
    /// O_TMPFILE, and naming it.
    pub unnamed: Result<()>,
    /// flock(2) excludes; where it is refused, how, and files that are locks do.
    pub locks: Result<Option<Error>>,
    /// Names that differ in case are two names.
    pub case: Result<()>,
    /// Clones share their blocks; nothing depends on it.
    pub reflink: bool,
}

impl Abilities {
    /// Tries a directory of our own, which keeps what was made in it.
    pub fn of(scratch: &Path) -> Result<Self> {
        let dir = Dir::open(scratch)?;
        Ok(Self {
            xattrs: xattr::set(&dir, c"user.vrift", b"1").context("set a user attribute on", scratch),
            unnamed: unnamed(&dir).context("make and name an unnamed file in", scratch),
            locks: locks(&scratch.join("lock")),
            case: case(scratch),
            reflink: reflink(scratch).is_ok(),
        })
    }
}

fn unnamed(dir: &Dir) -> Result<(), Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, c".", flags, Mode::RUSR | Mode::WUSR)?;
    link_unnamed(fd, dir, c"unnamed")
}

fn locks(path: &Path) -> Result<Option<Error>> {
    let refused = lock::refused_in(path)?;
    let attempt = if refused.is_some() { Lock::attempt_by_file } else { Lock::attempt };
    let held = attempt(path, Hold::Exclusive)?;
    match (held, attempt(path, Hold::Shared)?) {
        (Some(_held), None) => Ok(refused),
        _ => Err(Error::failure("locks do not exclude each other")),
    }
}

fn case(scratch: &Path) -> Result<()> {
    for name in ["Case", "case"] {
        let path = scratch.join(name);
        File::create_new(&path).context("make", &path)?;
    }
    let inode = |name: &str| fs::metadata(scratch.join(name)).map(|stat| stat.ino());
    match (inode("Case"), inode("case")) {
        (Ok(upper), Ok(lower)) if upper == lower => Err(Error::failure("names that differ in case are one")),
        _ => Ok(()),
    }
}

fn reflink(scratch: &Path) -> std::io::Result<()> {
    let (from, to) = (scratch.join("clone-from"), scratch.join("clone-to"));
    fs::write(&from, [7; 4096])?;
    Ok(rustix::fs::ioctl_ficlone(File::create(to)?, File::open(from)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filesystems_are_known_by_their_numbers() {
        assert_eq!(kind_of(0xef53), ("ext4".into(), Fit::Local));
        assert_eq!(kind_of(0x6969), ("nfs".into(), Fit::Network));
        assert_eq!(kind_of(0x794c_7630).1, Fit::Overlay);
        // sign-extended, as on 32-bit fields
        assert_eq!(kind_of(i64::from(0xff53_4d42_u32 as i32)), ("cifs".into(), Fit::Network));
        assert_eq!(kind_of(0x1234), ("0x1234".into(), Fit::Other));
    }

    #[test]
    fn a_directory_is_tried_by_doing() {
        let dir = tempfile::tempdir().unwrap();
        let found = Abilities::of(dir.path()).unwrap();
        assert!(found.locks.is_ok() && found.case.is_ok() && found.unnamed.is_ok());
        let filesystem = Filesystem::of(dir.path()).unwrap();
        assert!(filesystem.free_bytes > 0 && filesystem.free_inodes != Some(0));
    }
}
