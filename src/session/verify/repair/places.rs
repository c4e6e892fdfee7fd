//! Locks, strays and sessions that cannot be read; indexes of a manifest.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Repaired;
use crate::cas::Store;
use crate::cas::finding::{Finding, Subject, What};
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::Manifest;
use crate::os::lock::{Hold, Lock};
use crate::os::userns::as_root_of_own_files;

pub fn repair(store: &Store, found: &[Finding], repaired: &mut Repaired) {
    for finding in found {
        let result = match (finding.what, &finding.subject) {
            (What::LockBroken, Subject::File(path)) => {
                lock(store, &store.root().join(OsStr::from_bytes(path)), finding)
            }
            (
                What::Stray | What::SessionBroken | What::SessionForeign | What::PreloadBroken,
                Subject::File(path),
            ) => aside(store, &store.root().join(OsStr::from_bytes(path)), finding),
            (What::ManifestBroken, Subject::Manifest) if finding.detail.contains("index") => {
                Manifest::open(&store.projects_path().join(&finding.project))
                    .and_then(|manifest| manifest.make_indexes())
                    .map(|()| format!("{}: its indexes were made anew", finding.place))
            }
            _ => continue,
        };
        repaired.note(&finding.place, result);
    }
}

fn lock(store: &Store, path: &Path, finding: &Finding) -> Result<String> {
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).context("chmod", path)?;
        return Ok(format!("{}: it has mode 0600 again", finding.place));
    }
    aside(store, path, finding)
}

fn aside(store: &Store, path: &Path, finding: &Finding) -> Result<String> {
    let _nobody_lives = match finding.what {
        What::SessionBroken | What::SessionForeign => session_lock(path)?,
        _ => None,
    };
    // a directory of any mode has to get another parent (rule 4)
    let moved = as_root_of_own_files("move aside", || {
        Ok(store.set_aside(path)?.map(|path| path.to_string_lossy().into_owned()))
    })?;
    Ok(match moved {
        Some(to) => format!("{}: moved to {to}", finding.place),
        None => format!("{}: it is gone by now", finding.place),
    })
}

/// The lock of the workspace that a session is of, which its name tells.
fn session_lock(path: &Path) -> Result<Option<Lock>> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let Some((_, workspace)) = name.rsplit_once("-w") else { return Ok(None) };
    if workspace.parse::<i64>().is_err() {
        return Ok(None);
    }
    let lock = Lock::attempt(&path.with_file_name(format!("{workspace}.lock")), Hold::Exclusive)?;
    lock.map(Some)
        .ok_or_else(|| Error::new(Kind::Busy, "a run of its workspace lives").with_hint("vrift stop"))
}
