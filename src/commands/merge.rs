//! `vrift merge`: one workspace's changes come into another one.

use serde_json::{Value, json};

use super::Status;
use super::diff;
use super::printer::{Printer, counted};
use crate::cli::{self, Global};
use crate::error::Result;
use crate::session::merge::merge;
use crate::session::sync::shown;

pub fn run(global: &Global, args: &cli::Merge, printer: &Printer) -> Result<Status> {
    let project = super::known_project(global)?;
    let (project, merged) = merge(project, &args.name, &args.into, args.dry_run)?;
    if !args.dry_run && !merged.items.is_empty() {
        super::written(global, project, printer);
    }
    let status = u8::from(!merged.conflicts.is_empty());
    if args.json.json {
        printer.json(&json!({
            "from": args.name, "into": args.into, "dry_run": args.dry_run,
            "changes": merged.items.iter().map(diff::json_of).collect::<Vec<Value>>(),
            "conflicts": merged.conflicts.iter().map(|conflict| String::from_utf8_lossy(&conflict.path))
                .collect::<Vec<_>>(),
        }));
        return Ok(status);
    }
    if args.dry_run {
        merged.items.iter().for_each(|item| printer.out(&diff::line(item, printer)));
    }
    if merged.live {
        printer.warn(&format!(
            "workspace {} has a live run: what it has not ended with is not merged",
            args.name
        ));
    }
    for conflict in &merged.conflicts {
        let path = shown(&conflict.path);
        printer.warn(&match (&conflict.ours, &conflict.theirs) {
            (None, _) => {
                format!("{path} was deleted in {} and changed in {}: it is in the view", args.into, args.name)
            }
            (_, None) => format!(
                "{path} was changed in {} and deleted in {}: it stays in the view",
                args.into, args.name
            ),
            _ => format!(
                "{path} was changed in {} and in {}: the version of {} is in the view, the other one is kept",
                args.into, args.name, args.into
            ),
        });
    }
    let what = match merged.items.len() {
        0 => "nothing to merge".to_string(),
        count => format!(
            "{} {} from workspace {}",
            counted(count, "path"),
            if args.dry_run { "would come" } else { "merged" },
            args.name
        ),
    };
    let open = match merged.conflicts.len() {
        0 => String::new(),
        count => format!(", {}", counted(count, "conflict")),
    };
    let back = match merged.from.filter(|_| !args.dry_run && !merged.items.is_empty()) {
        Some(_) => format!(": vrift undo -w {} takes it back", args.into),
        None => String::new(),
    };
    printer.say(&format!("{what} into workspace {}{open}{back}", args.into));
    Ok(status)
}
