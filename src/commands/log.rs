//! `vrift log`: a workspace's snapshots, or every head it had.

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, age};
use super::snapshot;
use crate::cli::{Global, Log};
use crate::error::Result;
use crate::manifest::history::Head;
use crate::session::project::Project;
use crate::session::record::now_ms;

pub fn run(global: &Global, args: &Log, printer: &Printer) -> Result<Status> {
    let project = super::project_to_read(global)?;
    if args.heads { heads(&project, args, printer) } else { snapshots(&project, args, printer) }
}

fn snapshots(project: &Project, args: &Log, printer: &Printer) -> Result<Status> {
    let workspace = project.manifest.known_workspace(&args.workspace)?;
    let mut line = project.manifest.line(workspace.snapshot)?;
    line.truncate(args.limit.unwrap_or(usize::MAX));
    if args.json.json {
        printer.json(&Value::Array(line.iter().map(snapshot::json).collect()));
        return Ok(0);
    }
    snapshot::print(&line, printer);
    if line.is_empty() {
        printer.say("no snapshot yet: vrift commit makes one (vrift log --heads: every state there was)");
    }
    Ok(0)
}

fn heads(project: &Project, args: &Log, printer: &Printer) -> Result<Status> {
    let workspace = project.manifest.known_workspace(&args.workspace)?;
    let mut heads = project.manifest.heads(workspace.id)?;
    heads.truncate(args.limit.unwrap_or(usize::MAX));
    if args.json.json {
        printer.json(&Value::Array(heads.iter().map(json_of).collect()));
        return Ok(0);
    }
    let now = now_ms();
    for head in &heads {
        let cause = match head.back {
            Some(back) => format!("{} to @{back}", head.cause),
            None => head.cause.clone(),
        };
        let (number, since) =
            (format!("@{}", head.number), age(now.saturating_sub(head.at.saturating_mul(1000))));
        printer.out(&format!("{number:>8}  {}  {since:>10}  {cause}\n", &head.root.hex()[..10]));
    }
    Ok(0)
}

fn json_of(head: &Head) -> Value {
    json!({
        "number": head.number, "root": head.root.hex(), "cause": head.cause, "back": head.back, "at": head.at,
    })
}
