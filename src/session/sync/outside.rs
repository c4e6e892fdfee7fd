//! Taking in a directory outside of the project that is declared not to change: a root of its
//! own, recorded by its path, with stamps of its own.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::assemble::assemble;
use super::class::Classes;
use super::clock_of;
use super::walk::{LeftOut, Walk, Walked, walk};
use crate::cas::Digest;
use crate::cas::store::Publishing;
use crate::config::rules::Rules;
use crate::error::Result;
use crate::manifest::dir::{lookup, read_root};
use crate::manifest::edit::{Edit, apply};
use crate::os::lock::{Hold, Lock};
use crate::progress::Meter;
use crate::session::project::Project;

const KEY: &str = "tier1:";

fn key(path: &Path) -> String {
    format!("{KEY}{}", path.display())
}

/// Forgets those that are declared no more; they are read anew if they ever are again.
pub fn forget_others(project: &Project, declared: &[PathBuf]) -> Result<()> {
    let manifest = &project.manifest;
    let declared: Vec<String> = declared.iter().map(|path| key(path)).collect();
    for key in manifest.meta_keys(KEY)?.into_iter().filter(|key| !declared.contains(key)) {
        let _alone = Lock::wait(&project.sync_lock(), Hold::Exclusive)?;
        let prefix = [&key.as_bytes()[KEY.len()..], b"\0"].concat();
        manifest.transaction(|manifest| {
            for dir in manifest.stamps_outside(&prefix)?.into_keys() {
                manifest.remove_stamps(&[&prefix[..], &dir].concat())?;
            }
            manifest.remove_meta(&key)
        })?;
    }
    Ok(())
}

/// The root that it had when it was looked at last.
pub fn recorded(project: &Project, path: &Path) -> Result<Option<Digest>> {
    let bytes = project.manifest.meta(&key(path))?;
    Ok(bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(Digest::from_bytes))
}

/// The root that it has now. Directories that are as they were are not looked into.
pub fn take_in(project: &Project, path: &Path, meter: &Meter) -> Result<Digest> {
    let _alone = Lock::wait(&project.sync_lock(), Hold::Exclusive)?;
    let token = project.store.publishing()?;
    let manifest = &project.manifest;
    let prefix = [path.as_os_str().as_bytes(), b"\0"].concat();
    let stamps = manifest.stamps_outside(&prefix)?;
    let rules = Rules::default();
    let mut walked = walk(
        path,
        &Walk {
            store: &project.store,
            token: Some(&token),
            stamps: &stamps,
            classes: &Classes::none(path, &rules),
            unreadable: &Default::default(),
            take_own: true,
            cold: &[],
            by_directories: true,
            is_tier1: true,
            began: clock_of(path),
            meter,
        },
    )?;
    let known = recorded(project, path)?;
    if let Some(known) = known
        && stamps.len() == walked.dirs.len()
        && walked.dirs.iter().all(|dir| dir.listing.is_none())
        && read_root(manifest, &known)?.meta == walked.root
    {
        return Ok(known);
    }
    walked.left_out.clear();
    manifest.transaction(|manifest| {
        let assembled = assemble(manifest, walked, &stamps)?;
        manifest.set_meta(&key(path), assembled.root.as_bytes())?;
        for (dir, tree, body) in &assembled.stamps {
            manifest.put_stamps(&[&prefix[..], dir].concat(), tree, body)?;
        }
        assembled.gone.iter().try_for_each(|dir| manifest.remove_stamps(&[&prefix[..], dir].concat()))?;
        Ok(assembled.root)
    })
}

/// What a directory that only a run of ours wrote to holds now, its contents stored.
pub fn read(project: &Project, token: &Publishing, path: &Path, meter: &Meter) -> Result<Walked> {
    let rules = Rules::default();
    let how = Walk {
        store: &project.store,
        token: Some(token),
        stamps: &HashMap::new(),
        classes: &Classes::none(path, &rules),
        unreadable: &Default::default(),
        take_own: true,
        cold: &[],
        by_directories: false,
        is_tier1: false,
        began: clock_of(path),
        meter,
    };
    walk(path, &how)
}

/// The same as a root. What could not be read is as `before` has it. Inside a transaction.
pub fn state(project: &Project, mut walked: Walked, before: &Digest) -> Result<Digest> {
    let manifest = &project.manifest;
    let unreadable: Vec<LeftOut> = walked.left_out.drain(..).filter(|left| left.unreadable).collect();
    let root = assemble(manifest, walked, &HashMap::new())?.root;
    let mut edits = Vec::new();
    for left in unreadable {
        if let Some(entry) = lookup(manifest, before, &left.path)? {
            edits.push((left.path, Edit::Put(entry)));
        }
    }
    if edits.is_empty() { Ok(root) } else { apply(manifest, &root, edits) }
}
