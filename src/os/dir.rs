//! A directory held open: every walk of a foreign tree goes from descriptor to
//! descriptor by `openat`, never by a path that somebody may swap underneath.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};

/// Bytes of one getdents64 read.
const BUFFER: usize = 32 * 1024;

/// An open directory and the path it is called by in messages.
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// One name as getdents64 gives it.
#[derive(Clone, Debug)]
pub struct Name {
    pub name: CString,
    pub ino: u64,
    /// `Unknown` on filesystems that do not say.
    pub kind: FileType,
}

/// What `statx` says of one name, without following a link.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    pub kind: FileType,
    /// `st_mode & 0o7777`.
    pub mode: u16,
    pub size: u64,
    /// 512-byte blocks allocated.
    pub blocks: u64,
    pub ino: u64,
    pub dev: (u32, u32),
    pub rdev: (u32, u32),
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
}

impl Dir {
    /// Opens a directory by path. Links on the way are followed, as the caller's path means them.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .context("open directory", path)?;
        Ok(Self { fd, path: path.to_path_buf() })
    }

    pub fn from_fd(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// Opens a directory inside this one, never through a symbolic link.
    pub fn child(&self, name: &CStr) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.join(name);
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).context("open directory", &path)?;
        Ok(Self { fd, path })
    }

    /// The same directory by another descriptor.
    pub fn again(&self) -> Result<Self> {
        let fd = self.fd.try_clone().context("duplicate the descriptor of", &self.path)?;
        Ok(Self { fd, path: self.path.clone() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in here, for messages.
    pub fn join(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }

    /// All names but `.` and `..`, in no order.
    pub fn names(&self) -> Result<Vec<Name>> {
        let mut buffer = Vec::with_capacity(BUFFER);
        let mut entries = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.context("read directory", &self.path)?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(Name { name: name.to_owned(), ino: entry.ino(), kind: entry.file_type() });
            }
        }
        Ok(names)
    }

    /// `statx` of a name, links not followed.
    pub fn stat(&self, name: &CStr) -> Result<Stat> {
        stat_at(&self.fd, name).context("stat", self.join(name))
    }

    /// `statx` of a name; `None` when it is not there.
    pub fn stat_if_there(&self, name: &CStr) -> Result<Option<Stat>> {
        match stat_at(&self.fd, name) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno).context("stat", self.join(name)),
        }
    }

    /// `statx` of the directory itself.
    pub fn stat_self(&self) -> Result<Stat> {
        stat_fd(&self.fd).context("stat", &self.path)
    }

    /// The target of a symbolic link in here.
    pub fn read_link(&self, name: &CStr) -> Result<Vec<u8>> {
        let target =
            rustix::fs::readlinkat(&self.fd, name, Vec::new()).context("read link", self.join(name))?;
        Ok(target.into_bytes())
    }

    /// Whether names in here may be looked up.
    pub fn may_search(&self) -> bool {
        rustix::fs::accessat(&self.fd, c".", Access::EXEC_OK, AtFlags::EACCESS).is_ok()
    }

    /// Why a name in here may not be read; `None`: it may, or something else is wrong.
    pub fn denies_reading(&self, name: &CStr) -> Option<Error> {
        let access = rustix::fs::accessat(&self.fd, name, Access::READ_OK, AtFlags::EACCESS);
        let errno = access.err().filter(|errno| *errno == Errno::ACCESS)?;
        Err::<(), _>(errno).context("open", self.join(name)).err()
    }

    /// Opens a file in here for reading, never through a link, never waiting for
    /// a FIFO's writer.
    pub fn open_file(&self, name: &CStr) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::openat(&self.fd, name, flags, Mode::empty()).context("open", self.join(name))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const WANTED: StatxFlags = StatxFlags::BASIC_STATS;

fn stat_at(dir: &OwnedFd, name: &CStr) -> std::result::Result<Stat, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, flags, WANTED).map(|stat| Stat::from(&stat))
}

/// `statx` of an open descriptor.
pub fn stat_fd(fd: impl AsFd) -> std::result::Result<Stat, Errno> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, WANTED).map(|stat| Stat::from(&stat))
}

impl From<&rustix::fs::Statx> for Stat {
    fn from(stat: &rustix::fs::Statx) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.stx_mode.into()),
            mode: stat.stx_mode & 0o7777,
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            ino: stat.stx_ino,
            dev: (stat.stx_dev_major, stat.stx_dev_minor),
            rdev: (stat.stx_rdev_major, stat.stx_rdev_minor),
            nlink: stat.stx_nlink,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            mtime: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            ctime: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        }
    }
}
