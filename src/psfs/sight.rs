//! Making the page of a session: its text before the session is opened, and what init sees
//! of each root once all mounts are made.

use std::ffi::{CStr, CString};

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::io::Errno;

use super::page::{HEAD, ROOT, SIGHT, SIZE, Sight, encode};

/// A Tier-1 directory that a session shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its absolute path inside.
    pub path: CString,
    /// Which of the session's tables it is in, and its number there.
    pub table: u32,
    pub number: u32,
}

/// A page in which nothing has been seen yet.
pub fn blank(on: u32, roots: &[Seen]) -> Vec<u8> {
    let count = |number: usize| u32::try_from(number).unwrap_or(0);
    let mut page = encode(on, count(roots.len())).to_vec();
    page.resize(HEAD, 0);
    let mut place = HEAD + ROOT * roots.len();
    for root in roots {
        let length = root.path.as_bytes().len();
        page.extend([0; SIGHT]);
        for number in [root.table, root.number, count(place), count(length)] {
            page.extend(number.to_ne_bytes());
        }
        place += length + 1;
    }
    roots.iter().for_each(|root| page.extend(root.path.as_bytes_with_nul()));
    page
}

/// Where in a page the inode of the mount namespace is.
pub const NAMESPACE: u64 = SIZE as u64;

/// Where in a page a root begins.
pub fn place(root: usize) -> u64 {
    (HEAD + ROOT * root) as u64
}

/// What the caller sees at a path. No allocation.
pub fn look(path: &CStr) -> Result<Sight, Errno> {
    let unique = StatxFlags::from_bits_retain(0x4000); // STATX_MNT_ID_UNIQUE, Linux 6.8
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS | unique)?;
    let has_unique = StatxFlags::from_bits_retain(stat.stx_mask).contains(unique);
    let least = rustix::fs::statx(CWD, path, flags, StatxFlags::empty())?;
    Ok(Sight {
        dev: (stat.stx_dev_major, stat.stx_dev_minor),
        ino: stat.stx_ino,
        unique: if has_unique { stat.stx_mnt_id } else { 0 },
        mount: least.stx_mnt_id,
        told: least.stx_mask,
    })
}

/// Inode of the caller's mount namespace. No allocation.
pub fn namespace() -> Result<u64, Errno> {
    rustix::fs::stat(c"/proc/self/ns/mnt").map(|stat| stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::psfs::page::{Page, RENAME_DOOR, STAT, decode};

    #[test]
    fn a_page_is_read_as_it_was_written() {
        let seen = |path: &CStr, number| Seen { path: path.into(), table: 1, number };
        let roots = [seen(c"/tmp", 0), seen(c"/a/longer/path", 7)];
        let mut bytes = blank(RENAME_DOOR | STAT, &roots);
        assert_eq!(decode(*bytes.first_chunk().unwrap()), RENAME_DOOR | STAT);
        let sight = look(c"/tmp").unwrap();
        let at = usize::try_from(place(0)).unwrap();
        bytes[at..at + SIGHT].copy_from_slice(&sight.encode());
        let page = Page::open(&bytes).unwrap();
        assert_eq!((page.roots(), page.namespace()), (2, 0));
        let first = page.root(0).unwrap();
        assert_eq!((first.sight, first.table, first.number, first.path), (sight, 1, 0, &b"/tmp"[..]));
        let second = page.root(1).unwrap();
        assert_eq!((second.sight.ino, second.number, second.path), (0, 7, &b"/a/longer/path"[..]));
        assert!(page.root(2).is_none());
        assert!(Page::open(&blank(RENAME_DOOR, &[])).is_none());
        for length in 0..bytes.len() {
            if let Some(page) = Page::open(&bytes[..length]) {
                assert!((0..3).all(|number| page.root(number).is_none_or(|root| root.path.len() < 20)));
            }
        }
    }
}
