//! `vrift env`: a workspace chosen for a shell, as lines that it executes.

use std::fmt::Write as _;

use super::Status;
use super::printer::Printer;
use crate::cli::{Env, Global};
use crate::error::{Result, shell_word};

pub fn run(global: &Global, args: &Env, printer: &Printer) -> Result<Status> {
    let project = super::known_project(global)?;
    let workspace = project.manifest.known_workspace(&args.workspace)?;
    let index = project.manifest.index_of((workspace.id, &workspace.name))?;
    let mut text = String::new();
    for (name, value) in [("VRIFT_WORKSPACE", workspace.name), ("VRIFT_INDEX", index.to_string())] {
        // a string takes everything
        let _ = match args.fish {
            true => writeln!(text, "set -gx {name} {}", shell_word(value)),
            false => writeln!(text, "export {name}={}", shell_word(value)),
        };
    }
    printer.out(&text);
    Ok(0)
}
