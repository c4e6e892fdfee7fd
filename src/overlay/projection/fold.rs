//! Bringing a rendered tree from one root to another in place.
//!
//! Deletions first, then creations, modes and times of directories last, bottom-up
//! (rule 12). Killed anywhere and repeated with the same changes it gives the same tree:
//! what is gone already is fine, what is there already is made again. The caller holds
//! the tree's exclusive lock and runs it in `as_root_of_own_files` (rule 4): modes inside
//! do not count, so none is changed on the way.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::manifest::diff::Change;
use crate::manifest::node::Entry;
use crate::os::cursor::{Cursor, c_name, split};
use crate::os::dir::Dir;
use crate::os::remove::remove_at;
use crate::overlay::projection::create::{Into, Item, create};
use crate::overlay::projection::{Projection, Rendered};

/// What a fold did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folded {
    /// Names removed or replaced; a directory with all that was in it counts as one.
    pub removed: u64,
    pub made: Rendered,
}

/// Applies changes, in tree order, to the tree at `dest`.
pub fn fold(changes: Vec<Change>, dest: &Path, projection: &dyn Projection) -> Result<Folded> {
    projection.leaving(&changes);
    let removed = remove(&changes, Dir::open(dest)?)?;
    let items = changes.into_iter().filter_map(|Change { path, before, after }| {
        let must_be_there = is_dir(before.as_ref());
        after.map(|entry| Ok(Item { path, must_be_there: must_be_there && entry.is_dir(), entry }))
    });
    let made = create(Dir::open(dest)?, Into::Tree, items, projection)?;
    Ok(Folded { removed, made })
}

/// Removes every name whose file goes or is made anew.
fn remove(changes: &[Change], top: Dir) -> Result<u64> {
    let mut cursor = Cursor::new(top);
    let mut removed = 0;
    let mut gone: Option<&[u8]> = None;
    for Change { path, before, after } in changes {
        let stays = before.is_none() || is_dir(before.as_ref()) && is_dir(after.as_ref());
        if stays || gone.is_some_and(|above| is_below(path, above)) {
            continue;
        }
        let Some((parent, name)) = split(path) else {
            return Err(Error::corrupt("a project's root cannot become something else"));
        };
        match cursor.go(parent) {
            Ok(()) => {
                remove_at(cursor.here(), &c_name(name)?)?;
                removed += 1;
            }
            // the directory is gone, or another kind already, since an earlier attempt
            Err(error) if error.is(libc::ENOENT) || error.is(libc::ENOTDIR) || error.is(libc::ELOOP) => {}
            Err(error) => return Err(error),
        }
        if is_dir(before.as_ref()) {
            gone = Some(path);
        }
    }
    Ok(removed)
}

fn is_dir(entry: Option<&Entry>) -> bool {
    entry.is_some_and(Entry::is_dir)
}

fn is_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.first() == Some(&b'/'))
}
