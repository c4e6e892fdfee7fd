//! `vrift fork`: a new workspace that begins as another one is, or was.

use serde_json::json;

use super::printer::Printer;
use super::{Status, bar};
use crate::cli::{self, Global};
use crate::error::Result;
use crate::manifest::workspace::MAIN;
use crate::session::fork::{Wanted, fork};
use crate::session::sync::{self, sync};
use crate::session::workspaces::forget_stale;

pub fn run(global: &Global, args: &cli::Fork, printer: &Printer) -> Result<Status> {
    let project = super::project(global)?;
    project.manifest.free_name(&args.name)?;
    let project = forget_stale(project)?;
    if args.workspace == MAIN && project.manifest.known_workspace(MAIN)?.head.is_none() {
        bar::with(printer, "taking in", |meter| sync(&project, MAIN, sync::Options::default(), meter))?;
    }
    let wanted = Wanted { name: Some(&args.name), from: args.from.as_deref(), workspace: &args.workspace };
    let (_, made) = fork(project, wanted)?;
    if args.json.json {
        printer.json(&json!({
            "workspace": made.name, "root": made.forked.map(|root| root.hex()), "id": made.id,
        }));
        return Ok(0);
    }
    let root = made.forked.map(|root| root.hex()[..10].to_string()).unwrap_or_default();
    printer.say(&format!("workspace {} at {root}: vrift exec -w {} COMMAND", made.name, made.name));
    Ok(0)
}
