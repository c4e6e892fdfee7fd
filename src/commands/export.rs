//! `vrift export`: a state as a directory or an archive.

use super::bundle::into_file;
use super::printer::{Printer, counted};
use super::{Status, bar};
use crate::cli::{Export, Global, Link};
use crate::error::Result;
use crate::manifest::roots::resolve;
use crate::overlay::projection::Rung;
use crate::session::checkpoint::{LIVE, known_live_root};
use crate::session::export;

pub fn run(global: &Global, args: &Export, printer: &Printer) -> Result<Status> {
    let mut project = super::project_to_read(global)?;
    let workspace = project.manifest.known_workspace(&args.workspace)?;
    let shown;
    let root = if args.root == LIVE {
        (project, shown) = known_live_root(project, &args.workspace)?;
        shown.root
    } else {
        resolve(&project.manifest, &workspace, &args.root)?
    };
    if args.tar {
        let count = into_file(&args.dest, |to| {
            bar::with(printer, "exporting", |meter| export::tar(&project, &root, to, &args.dest, meter))
        })?;
        printer.say(&counted(count, "name"));
        return Ok(0);
    }
    let hard = args.link == Some(Link::Hard);
    let (made, by) =
        bar::with(printer, "exporting", |meter| export::directory(&project, &root, &args.dest, hard, meter))?;
    if made.xattrs_left_out > 0 {
        printer.warn(&format!(
            "{} cannot be held by this filesystem",
            counted(made.xattrs_left_out, "extended attribute")
        ));
    }
    let by = match by.filter(|_| args.link.is_some()) {
        None => "",
        Some(Rung::Reflink) => ", which share their bytes with the store (reflinks)",
        Some(Rung::Link) => ", read-only links to the store's: do not make them writable",
        Some(Rung::Copy) if hard => ": copies, for links are not possible there",
        Some(Rung::Copy) => ": copies, for there are no reflinks (--link=hard: read-only links)",
    };
    printer.say(&format!("{} in {}{by}", counted(made.files, "file"), args.dest.display()));
    Ok(0)
}
