//! `vrift sync`: take the host directory's edits over.

use serde_json::json;

use super::printer::{Printer, counted, size};
use super::{Status, bar};
use crate::cli::{Global, Sync};
use crate::error::Result;
use crate::session::sync::{Options, sync};

pub fn run(global: &Global, args: Sync, printer: &Printer) -> Result<Status> {
    let project = super::project(global)?;
    project.manifest.known_workspace(&args.workspace)?;
    let options = Options { accept_deletions: args.accept_deletions, thorough: true };
    let report = bar::with(printer, "taking in", |meter| sync(&project, &args.workspace, options, meter))?;
    for left in &report.left_out {
        printer.warn(&left.to_string());
    }
    if args.json.json {
        printer.json(&json!({
            "changed": report.changed,
            "files_read": report.read,
            "new_bytes": report.new_bytes,
            "conflicts": report.conflicts.iter().map(|conflict| String::from_utf8_lossy(&conflict.path)).collect::<Vec<_>>(),
            "left_out": report.left_out.iter().map(|left| json!({
                "path": String::from_utf8_lossy(&left.path), "why": left.why,
            })).collect::<Vec<_>>(),
        }));
        return Ok(0);
    }
    for conflict in &report.conflicts {
        printer.warn(&conflict.to_string());
    }
    if report.changed {
        printer.say(&format!(
            "{} read, {} new to the store",
            counted(report.read, "file"),
            size(report.new_bytes)
        ));
    } else {
        printer.say("nothing changed");
    }
    Ok(0)
}
