//! What sync last saw of each host directory: a cache from stat to entry.
//!
//! One packed row a directory: the tree its entries went into, and for each name, in
//! the order readdir gave them (the same order comes again as long as nothing
//! changes): inode, size, mtime, ctime. A name that might still change without its
//! times showing it has inode 0, which no file has: it is read again (rule 19).
//!
//! ```text
//! per name:  u16 length · name · u64 ino · u64 size · i64 s · u32 ns · i64 s · u32 ns     (little endian)
//!                                               mtime            ctime
//! ```

use std::collections::HashMap;

use rusqlite::OptionalExtension;

use super::db::{Manifest, digest_at};
use crate::cas::Digest;
use crate::error::Result;

/// The stat of one name that says "unchanged" while it stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub ino: u64,
    pub size: u64,
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
}

impl Stamp {
    /// The stamp of a name that must be read again.
    pub const RACY: Self = Self { ino: 0, size: 0, mtime: (0, 0), ctime: (0, 0) };
}

const FIXED: usize = 2 + 8 + 8 + 12 + 12;

/// One directory's stamps.
#[derive(Clone, Debug)]
pub struct Stamps {
    /// The tree of this directory's own listing, as sync recorded it.
    pub tree: Digest,
    body: Vec<u8>,
}

impl Stamps {
    /// The row's bytes, as they were packed.
    pub fn packed(&self) -> Vec<u8> {
        self.body.clone()
    }

    /// The names in the order they were seen. Bytes that do not parse end the list:
    /// it is a cache, what is missing is read again.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Stamp)> {
        let mut rest = &self.body[..];
        std::iter::from_fn(move || {
            let length = usize::from(u16::from_le_bytes(rest.get(..2)?.try_into().ok()?));
            let (item, after) = rest.split_at_checked(FIXED + length)?;
            rest = after;
            let (name, fixed) = item[2..].split_at(length);
            let u64_at = |at: usize| fixed[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or(0);
            let time_at = |at: usize| {
                let nanos = fixed[at + 8..at + 12].try_into().map(u32::from_le_bytes).unwrap_or(0);
                (u64_at(at) as i64, nanos)
            };
            let stamp = Stamp { ino: u64_at(0), size: u64_at(8), mtime: time_at(16), ctime: time_at(28) };
            Some((name, stamp))
        })
    }
}

/// Packs one directory's stamps; names longer than a file name can be are not kept.
#[derive(Default)]
pub struct Packer(Vec<u8>);

impl Packer {
    pub fn push(&mut self, name: &[u8], stamp: &Stamp) {
        let Ok(length) = u16::try_from(name.len()) else { return };
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(&stamp.ino.to_le_bytes());
        self.0.extend_from_slice(&stamp.size.to_le_bytes());
        for (secs, nanos) in [stamp.mtime, stamp.ctime] {
            self.0.extend_from_slice(&secs.to_le_bytes());
            self.0.extend_from_slice(&nanos.to_le_bytes());
        }
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

impl Manifest {
    /// All stamps of the project, by directory (relative, the root is empty).
    pub fn stamps(&self) -> Result<HashMap<Vec<u8>, Stamps>> {
        let mut query = self.doing(
            "read",
            self.connection()
                .prepare_cached("SELECT dir, tree, body FROM host_stamp WHERE instr(dir, x'00') = 0"),
        )?;
        let rows = query
            .query_map([], |row| Ok((row.get(0)?, Stamps { tree: digest_at(row, 1)?, body: row.get(2)? })))
            .and_then(Iterator::collect);
        self.doing("read host stamps from", rows)
    }

    /// The stamps of a directory outside of the project, whose keys begin with its path and
    /// a NUL; without that.
    pub fn stamps_outside(&self, prefix: &[u8]) -> Result<HashMap<Vec<u8>, Stamps>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached(
                "SELECT substr(dir, length(?1) + 1), tree, body FROM host_stamp
                 WHERE substr(dir, 1, length(?1)) = ?1",
            ),
        )?;
        let rows = query
            .query_map([prefix], |row| {
                Ok((row.get(0)?, Stamps { tree: digest_at(row, 1)?, body: row.get(2)? }))
            })
            .and_then(Iterator::collect);
        self.doing("read host stamps from", rows)
    }

    /// The stamps of one directory.
    pub fn stamps_of(&self, dir: &[u8]) -> Result<Option<Stamps>> {
        let mut query = self.doing(
            "read",
            self.connection().prepare_cached("SELECT tree, body FROM host_stamp WHERE dir = ?1"),
        )?;
        let found = query
            .query_row([dir], |row| Ok(Stamps { tree: digest_at(row, 0)?, body: row.get(1)? }))
            .optional();
        self.doing("read host stamps from", found)
    }

    /// Replaces one directory's stamps. Inside a transaction.
    pub fn put_stamps(&self, dir: &[u8], tree: &Digest, body: &[u8]) -> Result<()> {
        let mut insert = self.doing(
            "write",
            self.connection()
                .prepare_cached("INSERT OR REPLACE INTO host_stamp(dir, tree, body) VALUES(?1, ?2, ?3)"),
        )?;
        let done = insert.execute((dir, tree.as_bytes(), body));
        self.doing("write host stamps to", done).map(drop)
    }

    /// Forgets a directory that is gone. Inside a transaction.
    pub fn remove_stamps(&self, dir: &[u8]) -> Result<()> {
        let done = self.connection().execute("DELETE FROM host_stamp WHERE dir = ?1", [dir]);
        self.doing("write host stamps to", done).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back_in_order_and_broken_bytes_end_the_list() {
        let one = Stamp { ino: 7, size: 9, mtime: (-1, 5), ctime: (1, 999_999_999) };
        let mut packer = Packer::default();
        packer.push(b"b\xff", &one);
        packer.push(b"a", &Stamp::RACY);
        let body = packer.finish();
        let whole = Stamps { tree: Digest::of(b""), body: body.clone() };
        assert_eq!(whole.iter().collect::<Vec<_>>(), [(&b"b\xff"[..], one), (&b"a"[..], Stamp::RACY)]);
        for length in 0..body.len() {
            let short = Stamps { tree: Digest::of(b""), body: body[..length].to_vec() };
            assert!(short.iter().count() < 2);
        }
    }
}
