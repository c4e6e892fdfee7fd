//! `vrift path`: where a file of the live session can be opened from outside.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::Status;
use super::printer::Printer;
use crate::cli::{Global, Path};
use crate::error::{Context, Error, Result};
use crate::session::live_sync::open_path;

pub fn run(global: &Global, args: &Path, printer: &Printer) -> Result<Status> {
    let project = super::project_to_read(global)?;
    let workspace = project.manifest.known_workspace(&args.workspace)?;
    let inner = super::relative_to(&project.root, &super::current_directory()?.join(&args.file))?;
    let whole = project.root.join(OsStr::from_bytes(&inner));
    let Some(path) = open_path(&project.place, workspace.id, &whole)? else {
        return Err(Error::failure(format!("workspace `{}` has no live run", args.workspace))
            .with_hint("vrift export ROOT DIR shows a state that is not live"));
    };
    path.symlink_metadata().context("look at", &path)?;
    printer.out_bytes(path.as_os_str().as_bytes());
    printer.out("\n");
    Ok(0)
}
