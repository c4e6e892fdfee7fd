//! A layer: what turns one root into another when it lies over what shows the first.
//!
//! Real files, since stubs are followed in the lowest regular lower only
//! (kernel-facts.md); a whiteout, a character device 0:0, for a name that goes; a
//! directory that is new, or takes the place of something else, is opaque. A directory
//! on the way to a change is there with its metadata, for the topmost one's count.

use std::path::Path;

use rustix::fs::{FileType, Mode, mkdirat, mknodat};
use rustix::io::Errno;

use crate::error::{Context, Result};
use crate::manifest::diff::Change;
use crate::manifest::node::Entry;
use crate::os::cursor::{Cursor, c_name, split};
use crate::os::dir::Dir;
use crate::os::xattr;
use crate::overlay::escape;
use crate::overlay::projection::create::{Into, Item, create};
use crate::overlay::projection::{Projection, Rendered};

/// Renders the layer of `changes`, in tree order, at `dest`, which is made and must not
/// be there. The caller runs it in `as_root_of_own_files` (rule 4). After an error `dest`
/// holds a part, to be removed.
pub fn render_layer(changes: Vec<Change>, dest: &Path, projection: &dyn Projection) -> Result<Rendered> {
    mkdirat(rustix::fs::CWD, dest, Mode::RWXU).context("make directory", dest)?;
    let top = Dir::open(dest)?;
    escape::replace_xattrs(&top, &Vec::new(), escape::To::Overlay).context("remove attributes of", dest)?;
    // times of directories are set by `create`, after all names are there
    let opaque = skeleton(&changes, top.again()?)?;
    let items = changes.into_iter().filter_map(|Change { path, after, .. }| {
        after.map(|entry| Ok(Item { path, entry, must_be_there: false }))
    });
    let made = create(top.again()?, Into::Tree, items, projection)?;
    let mut cursor = Cursor::new(top);
    for path in opaque {
        cursor.go(&path)?;
        let dir = cursor.here();
        xattr::set(dir, c"user.overlay.opaque", b"y").context("mark", dir.path())?;
    }
    Ok(made)
}

/// Makes directories and whiteouts; returns the directories that are to be opaque.
fn skeleton(changes: &[Change], top: Dir) -> Result<Vec<Vec<u8>>> {
    let mut cursor = Cursor::new(top);
    let mut opaque: Vec<Vec<u8>> = Vec::new();
    // The last directory that hides all that was below it.
    let mut hiding: Option<&[u8]> = None;
    for Change { path, before, after } in changes {
        let Some((parent, name)) = split(path) else { continue };
        let hidden = hiding.is_some_and(|above| is_below(path, above));
        let (was, is) = (is_dir(before.as_ref()), is_dir(after.as_ref()));
        if is {
            cursor.go(parent)?;
            let made = mkdirat(cursor.here(), &*c_name(name)?, Mode::RWXU);
            made.context("make directory", cursor.here().path())?;
            if !was && !hidden {
                opaque.push(path.clone());
            }
        } else if after.is_none() && before.is_some() && !hidden {
            cursor.go(parent)?;
            whiteout(cursor.here(), name)?;
        }
        if was != is && !hidden {
            hiding = Some(path);
        }
    }
    Ok(opaque)
}

fn whiteout(dir: &Dir, name: &[u8]) -> Result<()> {
    let name = c_name(name)?;
    mknodat(dir, &*name, FileType::CharacterDevice, Mode::empty(), 0)
        .map_err(|errno| if errno == Errno::PERM { Errno::OPNOTSUPP } else { errno })
        .context("make a whiteout", dir.join(&name))
}

fn is_dir(entry: Option<&Entry>) -> bool {
    entry.is_some_and(Entry::is_dir)
}

fn is_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.first() == Some(&b'/'))
}
