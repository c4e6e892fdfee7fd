//! Which start of the machine this is.

/// The running kernel's boot id (random(4)); empty where /proc does not tell.
pub fn id() -> String {
    // a test lets the machine start anew
    #[cfg(debug_assertions)]
    if let Ok(id) = std::env::var("VRIFT_BOOT_ID") {
        return id;
    }
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.map(|text| text.trim().to_string()).unwrap_or_default()
}
