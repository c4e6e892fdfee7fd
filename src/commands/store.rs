//! `vrift store destroy`.

use super::printer::{Printer, counted};
use super::{Status, bar};
use crate::cli::{Global, Store, StoreAction};
use crate::error::{Error, Result, quoted};
use crate::paths;
use crate::session::destroy::{destroy, look};

pub fn run(global: &Global, args: &Store, printer: &Printer) -> Result<Status> {
    let StoreAction::Destroy { yes } = args.action;
    let root = paths::store(global.store.as_deref())?;
    let shown = quoted(root.as_os_str());
    let doomed = look(&root)?;
    if !yes && !is_meant(&shown, doomed.projects, printer)? {
        printer.say("nothing was removed");
        return Ok(1);
    }
    let left = bar::with(printer, "removing", |_| destroy(&doomed))?;
    for path in &left {
        printer.warn(&format!("{} is not vrift's and was left", quoted(path.as_os_str())));
    }
    printer.say(&format!("destroyed the store {shown}; the projects' own directories are untouched"));
    Ok(0)
}

fn is_meant(shown: &str, projects: usize, printer: &Printer) -> Result<bool> {
    if !printer.can_ask() {
        return Err(Error::failure(format!(
            "{shown} would be destroyed, with what was written in {} and not applied",
            counted(projects, "project")
        ))
        .with_hint("say --yes"));
    }
    let question = format!(
        "destroy the store {shown}, with what was written in {} and not applied? Type yes: ",
        counted(projects, "project")
    );
    Ok(printer.ask(&question)?.as_deref() == Some("yes"))
}
