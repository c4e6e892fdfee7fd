//! The counts of a session that was opened to count what is answered from tables: a file in its
//! staging that shows through the store's cover. They are a session's: who joins one that
//! counts sees what all of its runs did meanwhile.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::{Context, Error, Kind, Result};
use crate::psfs::counts::{Counts, NAME, SIZE};

/// The file's name, as the preload library has it.
pub const FILE: &str = match NAME.to_str() {
    Ok(name) => name,
    Err(_) => "counts",
};

/// Makes it: whoever a command may become counts too.
pub fn make(staging: &Path) -> Result<()> {
    let path = staging.join(FILE);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let file = file.context("create", &path)?;
    file.set_len(SIZE as u64).context("write", &path)?;
    file.set_permissions(Permissions::from_mode(0o666)).context("chmod", &path)
}

/// What was counted up to now; what programs inside have done to the file is theirs to know.
pub fn read(staging: &Path) -> Result<Counts> {
    let path = staging.join(FILE);
    let bytes = fs::read(&path).context("read", &path)?;
    Ok(Counts::decode(&bytes).unwrap_or_default())
}

/// A session that was opened without cannot begin to count.
pub fn refuse_without(staging: &Path, session: &str) -> Result<()> {
    if staging.join(FILE).exists() {
        return Ok(());
    }
    let message = format!("the live session {session} was opened without --psfs-stats");
    Err(Error::new(Kind::Busy, message)
        .with_hint("leave the option out, or wait for it to end (vrift runs shows it)"))
}
