//! fs-verity (Documentation/filesystems/fsverity.rst): a file that the kernel never lets
//! anybody write to again, and whose bytes it checks when they are read. Its names, mode
//! and attributes can still be changed, and it can be removed. Its owner may enable it.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{Mode, fchmod, fstat};
use rustix::io::Errno;

/// `struct fsverity_enable_arg` of include/uapi/linux/fsverity.h.
#[repr(C)]
#[derive(Default)]
pub struct Enable {
    version: u32,
    hash_algorithm: u32,
    block_size: u32,
    salt_size: u32,
    salt: u64,
    signature_size: u32,
    reserved: u32,
    signature: u64,
    more: [u64; 11],
}

const SHA256: u32 = 1;

nix::ioctl_write_ptr!(fs_ioc_enable_verity, b'f', 133, Enable);

/// Enables it on a file that is open for reading, and that nobody has open for writing
/// (else ETXTBSY). The kernel writes the file out and reads all of it. One that has it is fine.
///
/// # Errors
/// EOPNOTSUPP or ENOTTY where the filesystem, or the kernel, has no such thing.
pub fn enable(file: impl AsFd) -> Result<(), Errno> {
    let wanted = Enable { version: 1, hash_algorithm: SHA256, block_size: 4096, ..Enable::default() };
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, and the argument is what this ioctl reads.
    let ask = || match unsafe { fs_ioc_enable_verity(fd, &raw const wanted) } {
        Ok(_) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    };
    match ask() {
        // who may not write to a file may not do this either
        Err(Errno::ACCESS) => {
            let mode = fstat(&file)?.st_mode & 0o7777;
            fchmod(&file, Mode::from_raw_mode(mode | 0o200))?;
            let done = ask();
            fchmod(&file, Mode::from_raw_mode(mode))?;
            done
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_argument_is_as_the_kernel_has_it() {
        assert_eq!(size_of::<Enable>(), 128);
        let file = tempfile::tempfile().unwrap();
        // open for writing: whatever has fs-verity says so
        let refused = enable(&file).unwrap_err();
        let known = [Errno::OPNOTSUPP, Errno::NOTTY, Errno::TXTBSY, Errno::BADF];
        assert!(known.contains(&refused), "{refused}");
    }
}
