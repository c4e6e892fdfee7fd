//! Bundles: a root with all it is made of, as one file for another store.
//!
//! | bytes | field |
//! |---|---|
//! | 13 | `vrift-bundle\n` |
//! | 1 | version: 1 |
//! | 4, … | length (u32), and a JSON object: `root`, `name`, `message` |
//! | … | records, bodies before contents, in any order |
//!
//! | record | |
//! |---|---|
//! | `T` | length (u32), a tree body: its digest is its name |
//! | `F` | digest (32), size (u64), 1 when the digest is of the sparse kind, else 0; then extents: offset (u64), length (u64, not 0), bytes; and 16 zero bytes |
//! | `E` | BLAKE3 of everything before this record (32); the end |
//!
//! Numbers are little endian. Nothing in a bundle is believed: every body and content is
//! hashed, and a root counts only when all that it needs is there.

mod create;
mod load;

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

pub use create::create;
pub use load::load;

const MAGIC: &[u8; 13] = b"vrift-bundle\n";
const VERSION: u8 = 1;
/// The longest tree body that is read: a chunk's 4,096 entries with long names and a few xattrs.
const LONGEST_BODY: u32 = 64 << 20;
const LONGEST_HEADER: u32 = 1 << 20;
const STEP: usize = 1 << 20;

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Hexadecimal.
    pub root: String,
    /// What the root was called.
    pub name: String,
    pub message: String,
}

/// What was written or read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub files: u64,
    /// Bytes of file contents, holes not counted.
    pub bytes: u64,
    /// Bytes the store did not have before.
    pub new_bytes: u64,
}

/// Passes bytes on and hashes them.
struct Hashed<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..got]);
        Ok(got)
    }
}
