//! A session's staging directory: `upper/`, `work/`, `session.json`, `socket`.
//!
//! A session that wrote nothing leaves its directory for the workspace's next ones: making
//! and removing the same few inodes in every run is what costs most in a short one. Work
//! directories are not reused as they are: what a volatile mount leaves there is removed.
//! Nobody waits for that: it is done while the next run's command runs.
//!
//! ```text
//! session ends ──▶ <workspace>.used ──while a command runs──▶ <workspace>.spare ──▶ session opens
//! ```

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, chmodat};
use rustix::io::Errno;

use super::checkpoint;
use super::counts;
use super::project::Place;
use super::record::{self, Record};
use crate::error::{Context, Result};
use crate::manifest::node::Meta;
use crate::os::failpoint;
use crate::os::userns::as_root_of_own_files;
use crate::os::{mkdir, remove};
use crate::overlay::{projection, since};

/// The ending of a spare's name; no session's name has a dot.
const SPARE: &str = "spare";
/// The same of one that a session has just left.
const USED: &str = "used";

/// What a volatile mount leaves, of mode 000, from the top.
const VOLATILE: [&str; 3] = ["work/work", "work/work/incompat", "work/work/incompat/volatile"];

fn used(place: &Place, workspace: i64) -> PathBuf {
    place.staging().join(format!("{workspace}.{USED}"))
}

fn spare(place: &Place, workspace: i64) -> PathBuf {
    place.staging().join(format!("{workspace}.{SPARE}"))
}

/// Makes the staging of a new session, which is `record`'s. The upper's root gets the
/// project root's metadata, because the overlay's root shows it. The workspace's
/// session lock is held. `fill` makes what the mounts need and returns the names that it
/// made in the upper.
pub fn make(
    place: &Place,
    record: &mut Record,
    root: &Meta,
    fill: &dyn Fn(&Path) -> Result<Vec<Vec<u8>>>,
) -> Result<PathBuf> {
    let staging = place.staging().join(&record.session);
    let filled = !record.mounts.is_empty();
    // A spare is empty, whatever is cut short: what is to be filled is made elsewhere.
    let spare = if filled {
        let begun = place.staging().join(format!("{}.begun", record.workspace));
        remove(&begun)?;
        begun
    } else {
        spare(place, record.workspace)
    };
    for dir in [spare.clone(), spare.join("upper"), spare.join("work")] {
        match rustix::fs::mkdirat(CWD, &dir, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => mkdir::private(&dir)?,
            Err(errno) => return Err(errno).context("make directory", &dir),
        }
    }
    if filled {
        record.made = fill(&spare)?;
    }
    dress(&spare.join("upper"), root)?;
    if !record.made.is_empty() {
        record.upper_print = since::print(&spare.join("upper"), usize::MAX)?;
    }
    record.write(&spare)?;
    failpoint::at("staging.written").context("make staging", &staging)?;
    // Only now does it count as a session's.
    std::fs::rename(&spare, &staging).context("make staging", &staging)?;
    failpoint::at("staging.made").context("make staging", &staging)?;
    Ok(staging)
}

/// A spare's upper still has the mode of the root it was for, which may keep its owner out.
fn dress(upper: &Path, root: &Meta) -> Result<u64> {
    match projection::dress(upper, root) {
        Err(error) if error.is(libc::EACCES) => {
            chmodat(CWD, upper, Mode::RWXU, AtFlags::empty()).context("set the mode of", upper)?;
            projection::dress(upper, root)
        }
        other => other,
    }
}

/// Puts the staging of a session that wrote nothing away. The workspace's session lock is
/// held, here and below.
pub fn put_by(place: &Place, workspace: i64, staging: &Path) -> Result<()> {
    // Nobody is to be kept out of what lies about (rm -r, du). Not all of it need be there.
    for dir in VOLATILE {
        let _ = chmodat(CWD, staging.join(dir), Mode::RWXU, AtFlags::empty());
    }
    match std::fs::rename(staging, used(place, workspace)) {
        Ok(()) => failpoint::at("staging.used").context("put by", staging),
        // nobody has put the one before in order yet
        Err(_) => remove(staging),
    }
}

/// Makes a spare of what an earlier session left, for who has the time.
pub fn put_in_order(place: &Place, workspace: i64) -> Result<()> {
    let used = used(place, workspace);
    if used.symlink_metadata().is_err() {
        return Ok(());
    }
    let is_clean = clean(&used).is_ok();
    failpoint::at("staging.cleaned").context("put in order", &used)?;
    if !is_clean || std::fs::rename(&used, spare(place, workspace)).is_err() {
        return remove(&used);
    }
    failpoint::at("staging.spare").context("put in order", &used)
}

/// Takes away what the mount and the session's end left. A spare with a trace of a
/// volatile mount in it could not be mounted again.
fn clean(staging: &Path) -> Result<()> {
    for name in ["socket", record::ALONE, record::OVER, checkpoint::NAME, counts::FILE] {
        remove::remove_tree(&staging.join(name))?;
    }
    remove::remove_tree(&staging.join("work/work"))
}

/// Removes a staging directory; the owner's power over all is needed only now and then.
pub fn remove(staging: &Path) -> Result<()> {
    match remove::remove_tree(staging) {
        Err(error) if error.is(libc::EACCES) || error.is(libc::EPERM) => {
            as_root_of_own_files("remove staging", || remove::remove_tree(staging))
        }
        other => other,
    }
}

/// Removes what a workspace's sessions left.
pub fn remove_spare(place: &Place, workspace: i64) -> Result<()> {
    remove(&used(place, workspace))?;
    remove(&spare(place, workspace))
}

/// The names of all sessions that have a staging directory.
pub fn sessions(place: &Place) -> Result<Vec<String>> {
    directories(&place.staging())
}

/// Sessions' directories.
pub fn directories(top: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(top).context("read", top)? {
        let entry = entry.context("read", top)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(entry.file_name().into_string().ok().filter(|name| !name.contains('.')));
        }
    }
    names.sort_unstable();
    Ok(names)
}
