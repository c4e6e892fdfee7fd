//! A filesystem of its own on a loop device, whose power can be cut.

use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// An ext4 with a journal so large that it never has to be written back for room. Gone with
/// the value.
pub struct Disk {
    image: PathBuf,
    pub at: PathBuf,
}

/// `EXT4_IOC_SHUTDOWN` (fs/ext4/ext4.h): `_IOR('X', 125, __u32)`.
const SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// The journal is not flushed, nor is anything else: as when the power goes.
const NOLOGFLUSH: u32 = 2;

impl Disk {
    /// Why there can be none is the error.
    pub fn new(dir: &Path) -> Result<Self, String> {
        // no lazy initialisation: it writes by itself
        let options = ["-q", "-J", "size=256", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        Self::made_by(dir, "mkfs.ext4", &options)
    }

    /// Of another kind.
    pub fn made_by(dir: &Path, mkfs: &str, options: &[&str]) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root may mount one".into());
        }
        let (image, at) = (dir.join("image"), dir.join("disk"));
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(1 << 30).map_err(|error| error.to_string())?;
        std::fs::create_dir(&at).map_err(|error| error.to_string())?;
        let disk = Self { image, at };
        run(mkfs, options.iter().map(OsStr::new).chain([disk.image.as_os_str()]))?;
        disk.mount()?;
        Ok(disk)
    }

    pub fn mount(&self) -> Result<(), String> {
        let words = ["-o", "loop"].iter().map(OsStr::new);
        run("mount", words.chain([self.image.as_os_str(), self.at.as_os_str()]))
    }

    /// From now on nothing reaches the disk, and everything fails.
    #[allow(unsafe_code)]
    pub fn cut(&self) -> std::io::Result<()> {
        let dir = std::fs::File::open(&self.at)?;
        // SAFETY: the call reads one u32, which lives until it returns.
        match unsafe { libc::ioctl(dir.as_raw_fd(), SHUTDOWN, &NOLOGFLUSH) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    /// Waits until nobody has anything open on it: only then is what was not written gone.
    pub fn unmount(&self) -> Result<(), String> {
        let began = Instant::now();
        let wait = |why: String| match began.elapsed() > Duration::from_secs(20) {
            true => Err(why),
            false => {
                std::thread::sleep(Duration::from_millis(20));
                Ok(())
            }
        };
        while let Err(why) = run("umount", [self.at.as_os_str()]) {
            wait(why)?;
        }
        // a mount namespace of a session that is ending has it, too
        while self.has_device()? {
            wait(format!("a process still has {}", self.at.display()))?;
        }
        Ok(())
    }

    fn has_device(&self) -> Result<bool, String> {
        let output = Command::new("losetup").arg("-j").arg(&self.image).output();
        output.map(|output| !output.stdout.is_empty()).map_err(|error| format!("losetup: {error}"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

fn run<'a>(program: &str, words: impl IntoIterator<Item = &'a OsStr>) -> Result<(), String> {
    let output = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
