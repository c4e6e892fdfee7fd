//! `vrift workspace`: list, rename, delete and prune workspaces.

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone, age, counted};
use crate::cli::{self, Global, WorkspaceAction};
use crate::error::Result;
use crate::session::record::now_ms;
use crate::session::workspaces::{self, Prune, Seen};

pub fn run(global: &Global, args: cli::Workspace, printer: &Printer) -> Result<Status> {
    let mut project = super::known_project(global)?;
    match args.action {
        WorkspaceAction::List(json) => {
            let seen = workspaces::list(&project)?;
            match json.json {
                true => printer.json(&Value::Array(seen.iter().map(json_of).collect())),
                false => print(&seen, printer),
            }
        }
        WorkspaceAction::Rename { from, to } => {
            workspaces::rename(&project, &from, &to)?;
            printer.say(&format!("workspace {from} is {to} now"));
        }
        WorkspaceAction::Delete { names, stop } => {
            // a mistake is said before anything is deleted
            names.iter().try_for_each(|name| project.manifest.known_workspace(name).map(drop))?;
            for name in names {
                project = workspaces::delete(project, &name, stop)?;
                printer.say(&format!("workspace {name} deleted: vrift undo -w {name} brings it back"));
            }
        }
        WorkspaceAction::Prune { merged, older, dry_run } => {
            let merged = merged || older.is_none();
            project = workspaces::forget_stale(project)?;
            let names = workspaces::prunable(&project, Prune { merged, older })?;
            for name in &names {
                printer.out(&format!("{name}\n"));
                if !dry_run {
                    project = workspaces::delete(project, name, false)?;
                }
            }
            let what = if dry_run { "would be deleted" } else { "deleted" };
            printer.say(&format!("{} {what}", counted(names.len(), "workspace")));
        }
    }
    Ok(0)
}

fn print(seen: &[Seen], printer: &Printer) {
    let width = seen.iter().map(|seen| seen.workspace.name.len()).max().unwrap_or(0).max(8);
    for seen in seen {
        let name = printer.toned(Tone::Good, &format!("{:<width$}", seen.workspace.name));
        let live = if seen.live.is_some() { "live" } else { "" };
        let changed = format!("{} changed", counted(seen.changed, "file"));
        let ahead = match seen.ahead {
            0 => String::new(),
            ahead => counted(ahead, "commit"),
        };
        let since = age(now_ms().saturating_sub(seen.moved.saturating_mul(1000)));
        let from = seen.parent.as_ref().map(|parent| format!("from {parent}")).unwrap_or_default();
        let line = format!("{name}  {live:<4}  {changed:>18}  {ahead:>10}  {since:>10}  {from}");
        printer.out(&format!("{}\n", line.trim_end()));
    }
}

fn json_of(seen: &Seen) -> Value {
    let Seen { workspace, live, changed, ahead, parent, moved } = seen;
    json!({
        "name": workspace.name, "head": workspace.head.map(|head| head.hex()),
        "forked": workspace.forked.map(|root| root.hex()), "parent": parent, "live": live,
        "changed": changed, "ahead": ahead, "created": workspace.created, "moved": moved,
    })
}
