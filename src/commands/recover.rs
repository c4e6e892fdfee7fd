//! `vrift recover`: keep or drop what a session wrote that ended without taking it in.

use super::Status;
use super::printer::{Printer, counted};
use crate::cli::{Global, Recover};
use crate::error::{Error, Result};
use crate::session::recover::{Fate, orphans, recover};

pub fn run(global: &Global, args: Recover, printer: &Printer) -> Result<Status> {
    let mut project = super::known_project(global)?;
    let mut found = orphans(&project)?;
    if let Some(wanted) = &args.session {
        found.retain(|orphan| &orphan.session == wanted);
        if found.is_empty() {
            return Err(Error::failure(format!("session `{wanted}` left nothing behind"))
                .with_hint("vrift recover lists the sessions that did"));
        }
    }
    let fate = match (args.keep, args.drop) {
        (true, _) => Fate::Keep,
        (_, true) => Fate::Drop,
        _ => {
            for orphan in &found {
                printer.out(&format!("{} workspace {}\n", orphan.session, orphan.workspace_name));
            }
            return Ok(0);
        }
    };
    for orphan in found {
        let taken;
        (project, taken) = recover(project, &orphan, fate)?;
        printer.say(&match fate {
            Fate::Keep => format!(
                "session {}: {} written, {} deleted, taken into workspace {}",
                orphan.session,
                counted(taken.written, "file"),
                counted(taken.deleted, "name"),
                orphan.workspace_name
            ),
            Fate::Drop => format!("session {}: dropped", orphan.session),
        });
    }
    Ok(0)
}
