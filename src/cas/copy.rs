//! Copying bytes from one open file to another, holes as holes.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::sparse;

/// Bytes in one read.
const STEP: usize = 1 << 20;

/// Copies by reflink where the filesystem can, else extent by extent, so that holes
/// stay holes. Returns the size of the copy.
pub fn copy(source: BorrowedFd<'_>, target: &OwnedFd, size: u64, blocks: u64) -> Result<u64, Errno> {
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        return Ok(rustix::fs::fstat(target)?.st_size as u64);
    }
    let whole = [(0, size)];
    let extents = match sparse::hole_bytes(size, blocks) {
        0 => whole.to_vec(),
        _ => sparse::extents(source, size)?,
    };
    rustix::fs::ftruncate(target, size)?;
    for (start, end) in extents {
        copy_range(source, target, start, end)?;
    }
    Ok(size)
}

fn copy_range(source: BorrowedFd<'_>, target: &OwnedFd, start: u64, end: u64) -> Result<(), Errno> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let length = (end - from).min(1 << 30) as usize;
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => break, // the source shrank: the rest stays zero
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return read_write(source, target, from, end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn read_write(source: BorrowedFd<'_>, target: &OwnedFd, mut at: u64, end: u64) -> Result<(), Errno> {
    let mut buffer = vec![0u8; STEP];
    while at < end {
        let want = buffer.len().min((end - at) as usize);
        let got = sparse::read_full(source, &mut buffer[..want], at)?;
        if got == 0 {
            break;
        }
        write_all(target, &buffer[..got], at)?;
        at += got as u64;
    }
    Ok(())
}

/// Writes all of `bytes` at an offset.
pub(super) fn write_all(fd: &OwnedFd, bytes: &[u8], at: u64) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(fd, &bytes[done..], at + done as u64) {
            Ok(length) => done += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
