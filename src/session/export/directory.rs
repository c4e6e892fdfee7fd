//! A root as a directory of the host.

use std::path::Path;

use crate::cas::Digest;
use crate::error::{Context, Error, Result};
use crate::os::remove::remove_tree;
use crate::overlay::projection::{self, Exported, Projection, Rendered, Rung};
use crate::progress::Meter;
use crate::session::project::Project;

use super::expect;

/// Writes a root to `dest`, which must be an empty directory or not be there. After an
/// error a directory that was made is taken away again. `hard`: as read-only links to the store's
/// objects. Returns also what the files were made by; `None`: there is none that is not empty.
pub fn directory(
    project: &Project,
    root: &Digest,
    dest: &Path,
    hard: bool,
    meter: &Meter,
) -> Result<(Rendered, Option<Rung>)> {
    expect(project, root, meter)?;
    let files = Exported::new(&project.store, meter, hard);
    let made = write(project, root, dest, &files)?;
    Ok((made, files.files()))
}

fn write(project: &Project, root: &Digest, dest: &Path, files: &Exported<'_>) -> Result<Rendered> {
    if dest.symlink_metadata().is_ok() {
        check_empty(dest)?;
        return projection::fill(&project.manifest, root, dest, files)
            .map_err(|error| error.with_hint("a part of it was written; empty the directory and try again"));
    }
    let made = projection::render(&project.manifest, root, dest, files);
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
