//! A root as a directory of the host.

use std::path::Path;

use crate::cas::Digest;
use crate::error::{Context, Error, Result};
use crate::os::remove::remove_tree;
use crate::overlay::escape;
use crate::overlay::projection::{self, Copy, Rendered};
use crate::progress::Meter;
use crate::session::project::Project;

use super::expect;

/// Writes a root to `dest`, which must be an empty directory or not be there. After an
/// error a directory that was made is taken away again.
pub fn directory(project: &Project, root: &Digest, dest: &Path, meter: &Meter) -> Result<Rendered> {
    let copies = Copy { store: &project.store, meter, to: escape::To::Host };
    expect(project, root, meter)?;
    if dest.symlink_metadata().is_ok() {
        check_empty(dest)?;
        return projection::fill(&project.manifest, root, dest, &copies)
            .map_err(|error| error.with_hint("a part of it was written; empty the directory and try again"));
    }
    let made = projection::render(&project.manifest, root, dest, &copies);
    if made.is_err() {
        let _ = remove_tree(dest); // the first error is what counts
    }
    made
}

fn check_empty(dest: &Path) -> Result<()> {
    match std::fs::read_dir(dest).context("read", dest)?.next() {
        None => Ok(()),
        Some(_) => Err(Error::failure(format!("`{}` is not empty", dest.display()))
            .with_hint("name a directory that is not there yet")),
    }
}
