//! Files that are mostly hole (rule 6).
//!
//! Reading a terabyte of zeros to hash it takes an hour; so a file with more than
//! [`HOLE_LIMIT`] of hole is read by SEEK_DATA and gets a digest of its own kind:
//! BLAKE3 in derive_key mode over, for every maximal run of 4 KiB blocks that are
//! not all zero, its offset and length (u64 little endian) and the BLAKE3 digest of
//! its bytes, and at the end the file's size. Where the holes lie does not matter, only what is zero.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::digest::Digest;

/// Bytes of hole above which a file's digest is of the sparse kind.
pub const HOLE_LIMIT: u64 = 1 << 30;
pub const BLOCK: usize = 4096;
const STEP: usize = 1 << 20;
const CONTEXT: &str = "vrift 2026-11 sparse file content v1";

/// Bytes not backed by blocks.
pub fn hole_bytes(size: u64, blocks: u64) -> u64 {
    size.saturating_sub(blocks.saturating_mul(512))
}

/// The data extents of an open file, as the filesystem reports them.
pub fn extents(fd: BorrowedFd<'_>, size: u64) -> Result<Vec<(u64, u64)>, Errno> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(fd, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            // The filesystem does not know holes: all is data.
            Err(Errno::INVAL) if at == 0 => return Ok(vec![(0, size)]),
            Err(errno) => return Err(errno),
        };
        let end = seek(fd, SeekFrom::Hole(start))?.min(size);
        if end <= start {
            break;
        }
        extents.push((start, end));
        at = end;
    }
    Ok(extents)
}

/// The sparse digest of an open file of `size` bytes.
pub fn digest(fd: impl AsFd, size: u64) -> Result<Digest, Errno> {
    let fd = fd.as_fd();
    let mut run = Run::new();
    let mut buffer = vec![0u8; STEP];
    let mut next = 0;
    for (start, end) in extents(fd, size)? {
        // Whole blocks, each read once even when two extents share one.
        let mut at = (start - start % BLOCK as u64).max(next);
        while at < end {
            let want = buffer.len().min((size - at) as usize);
            let got = read_full(fd, &mut buffer[..want], at)?;
            if got == 0 {
                break;
            }
            run.feed(at, &buffer[..got]);
            at += got as u64;
        }
        next = at;
    }
    Ok(run.finish(size))
}

/// Reads until the buffer is full or the file ends.
pub fn read_full(fd: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::pread(fd, &mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// Collects a run of non-zero blocks; hashed when it ends, because its length comes first.
struct Run {
    hasher: blake3::Hasher,
    start: u64,
    length: u64,
    body: blake3::Hasher,
}

impl Run {
    fn new() -> Self {
        Self {
            hasher: blake3::Hasher::new_derive_key(CONTEXT),
            start: 0,
            length: 0,
            body: blake3::Hasher::new(),
        }
    }

    fn feed(&mut self, at: u64, bytes: &[u8]) {
        for (index, block) in bytes.chunks(BLOCK).enumerate() {
            let offset = at + (index * BLOCK) as u64;
            if block.iter().all(|&byte| byte == 0) {
                self.end();
                continue;
            }
            if self.length > 0 && self.start + self.length != offset {
                self.end();
            }
            if self.length == 0 {
                self.start = offset;
            }
            self.length += block.len() as u64;
            self.body.update(block);
        }
    }

    fn end(&mut self) {
        if self.length > 0 {
            self.hasher.update(&self.start.to_le_bytes());
            self.hasher.update(&self.length.to_le_bytes());
            self.hasher.update(self.body.finalize().as_bytes());
            self.body.reset();
            self.length = 0;
        }
    }

    fn finish(mut self, size: u64) -> Digest {
        self.end();
        self.hasher.update(&size.to_le_bytes());
        self.hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn file(parts: &[(u64, &[u8])], size: u64) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (at, bytes) in parts {
            file.seek(std::io::SeekFrom::Start(*at)).unwrap();
            file.write_all(bytes).unwrap();
        }
        file
    }

    #[test]
    fn only_what_is_not_zero_matters() {
        let size = 3 << 20;
        let zeros = vec![0u8; 1 << 20];
        let holes = file(&[(5000, b"x"), (2 << 20, b"tail")], size);
        let written = file(&[(0, &zeros), (5000, b"x"), (2 << 20, b"tail")], size);
        assert_eq!(digest(&holes, size).unwrap(), digest(&written, size).unwrap());
        let moved = file(&[(9000, b"x"), (2 << 20, b"tail")], size);
        assert_ne!(digest(&holes, size).unwrap(), digest(&moved, size).unwrap());
        let longer = file(&[(5000, b"x"), (2 << 20, b"tail")], size + 1);
        assert_ne!(digest(&holes, size).unwrap(), digest(&longer, size + 1).unwrap());
    }

    #[test]
    fn a_file_of_holes_only_has_no_extents() {
        let empty = file(&[], 1 << 40);
        assert!(extents(empty.as_fd(), 1 << 40).unwrap().is_empty());
        digest(&empty, 1 << 40).unwrap();
    }
}
