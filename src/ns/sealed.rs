//! Who takes part in a confined session runs from a sealed copy of the program, in memory.
//!
//! A command is a copy of its launcher until it is executed. If what it executes is a script
//! whose interpreter is `/proc/self/exe`, the kernel executes the launcher's own file, found
//! through a mount of the host's that is as writable as outside; whoever runs beside it in the
//! session can take hold of that file through `/proc/PID/exe` and change its mode, or its
//! content when nobody executes it (CVE-2019-5736 of runc). In memory there is nothing to change.
//!
//! An unconfined session reaches the file by its path anyway.

use std::fs::File;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, Mode, SealFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::os::early;

use super::command::{Command, Image};
use super::exec;

const NAME: &str = "vrift";
const OWN: &str = "/proc/self/exe";
const HINT: &str = "a confined run is started from a copy of vrift in memory: `sysctl vm.memfd_noexec` must be 0 or 1; \
     or leave --confine out";

/// How long pages of the copy may be in use by others.
const PATIENCE: Duration = Duration::from_secs(10);

/// The directory that the program was started in.
static STARTED_IN: OnceLock<PathBuf> = OnceLock::new();

/// Notes the working directory, by whoever is about to change it: started again, the
/// program goes the same way from there.
pub fn note_directory() {
    if let Ok(directory) = std::env::current_dir() {
        let _ = STARTED_IN.set(directory);
    }
}

/// Starts this program again from a sealed copy, with the same words and surroundings; where it
/// runs from one already, it goes on. Nothing may have been done yet that is not to be done twice.
pub fn run_sealed() -> Result<()> {
    let own = std::fs::read_link(OWN).context("read", OWN)?;
    if own.as_os_str().as_encoded_bytes().starts_with(format!("/memfd:{NAME}").as_bytes()) {
        return Ok(());
    }
    let copy = copy().map_err(|error| error.with_hint(HINT))?;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
    let path = std::ffi::CString::new(path).map_err(|_| Error::failure("a number with a NUL"))?;
    let command =
        Command { argv: std::env::args_os().collect(), env: std::env::vars_os().collect(), cwd: "/".into() };
    let image = Image::new(&command)?;
    if let Some(directory) = STARTED_IN.get() {
        std::env::set_current_dir(directory).context("go back to", directory)?;
    }
    exec::restore(&early::state());
    let errno = exec::execute(&path, &image);
    Err(Error::io("run", "a sealed copy of this program", &errno.into()).with_hint(HINT))
}

fn copy() -> Result<File> {
    /// linux/memfd.h, from 6.3 on.
    const MFD_EXEC: MemfdFlags = MemfdFlags::from_bits_retain(0x10);
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match rustix::fs::memfd_create(NAME, flags | MFD_EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(NAME, flags),
        other => other,
    };
    let mut copy = File::from(copy.context("make memory for", "a copy of this program")?);
    let mut own = File::open(OWN).context("read", OWN)?;
    std::io::copy(&mut own, &mut copy).context("copy", OWN)?;
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o555)).context("chmod", "a copy of this program")?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let began = Instant::now();
    loop {
        match rustix::fs::fcntl_add_seals(&copy, seals) {
            Ok(()) => return Ok(copy),
            // the kernel itself has hold of a page for a moment: it moves pages, or looks at them
            Err(Errno::BUSY) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Err(errno) => return Err(errno).context("seal", "a copy of this program"),
        }
    }
}
