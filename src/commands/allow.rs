//! `vrift allow`: the project's `vrift.toml`, as it is now, may reach beyond the project.

use super::Status;
use super::printer::Printer;
use crate::cli::{Allow, Global};
use crate::config::NAME;
use crate::error::{Error, Result, quoted};

pub fn run(global: &Global, _: Allow, printer: &Printer) -> Result<Status> {
    let project = super::project(global)?;
    if project.config.file.is_none() {
        let root = quoted(project.root.as_os_str());
        return Err(Error::failure(format!("there is no {NAME} in {root} to allow"))
            .with_hint("it is read from the project's own directory on the host"));
    }
    project.allow()?;
    for setting in &project.config.withheld {
        printer.out(&format!("{} = {}\n", setting.name(), setting.value));
    }
    let what = if project.config.withheld.is_empty() { "; nothing in it needed that" } else { "" };
    printer.say(&format!("{NAME} is allowed as it is now{what}"));
    Ok(0)
}
