//! A root as something that other programs read: a directory, or a tar archive.

mod directory;
mod tar;

pub use directory::directory;
pub use tar::tar;

use crate::cas::Digest;
use crate::error::Result;
use crate::manifest::walk::Walk;
use crate::progress::Meter;
use crate::session::project::Project;

/// How much there will be to write, where somebody watches.
fn expect(project: &Project, root: &Digest, meter: &Meter) -> Result<()> {
    if !meter.is_watched() {
        return Ok(());
    }
    let (mut files, mut bytes) = (0, 0);
    for step in Walk::new(&project.manifest, root)? {
        if let Some(content) = step?.1.content() {
            (files, bytes) = (files + 1, bytes + content.size);
        }
    }
    meter.expect(files, bytes);
    Ok(())
}
