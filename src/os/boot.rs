//! Which start of the machine this is.

use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};

/// The running kernel's boot id (random(4)), read once; empty where /proc does not tell.
pub fn id() -> String {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(read).clone()
}

fn read() -> String {
    // a test lets the machine start anew
    #[cfg(debug_assertions)]
    if let Ok(id) = std::env::var("VRIFT_BOOT_ID") {
        return id;
    }
    let mut bytes = [0; 64];
    let path = "/proc/sys/kernel/random/boot_id";
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let count = file.and_then(|file| rustix::io::read(file, &mut bytes)).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..count]).trim().to_string()
}
