//! `vrift project list|forget|move`.

use std::path::Path;

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone};
use crate::cas::Store;
use crate::cli::{Global, Json, Project, ProjectAction};
use crate::error::{Error, Result, quoted};
use crate::paths;
use crate::session::project::registry::{self, Known};

pub fn run(global: &Global, args: Project, printer: &Printer) -> Result<Status> {
    let root = paths::store(global.store.as_deref())?;
    match args.action {
        ProjectAction::List(json) => list(Store::open_to_read(&root)?.as_ref(), json, printer),
        ProjectAction::Forget { project } => {
            let known = registry::forget(&there(&root)?, &project)?;
            let name = known.as_deref().unwrap_or(&project);
            printer.say(&format!("forgot {}; the directory itself is untouched", quoted(name.as_os_str())));
            Ok(0)
        }
        ProjectAction::Move { from, to } => {
            let to = to.map_or_else(super::current_directory, Ok)?;
            let (old, new) = registry::relocate(&there(&root)?, &from, &to)?;
            printer.say(&format!("{} is at {} now", quoted(old.as_os_str()), quoted(new.as_os_str())));
            Ok(0)
        }
    }
}

fn there(root: &Path) -> Result<Store> {
    Store::open(root)?
        .ok_or_else(|| Error::failure(format!("there is no store at {} yet", quoted(root.as_os_str()))))
}

fn list(store: Option<&Store>, args: Json, printer: &Printer) -> Result<Status> {
    let projects = store.map(registry::list).transpose()?.unwrap_or_default();
    if args.json {
        let list: Vec<Value> = projects.iter().map(as_json).collect();
        printer.json(&json!({ "projects": list }));
        return Ok(0);
    }
    for project in &projects {
        let name = project.root.as_ref().map(|root| quoted(root.as_os_str()));
        let mark = match (&project.broken, state(project)) {
            (Some(error), _) => printer.toned(Tone::Bad, &format!("  broken: {error}")),
            (None, "") => String::new(),
            (None, state) => printer.toned(Tone::Warning, &format!("  {state}")),
        };
        printer.out(&format!("{} {}{mark}\n", project.id, name.unwrap_or_default()));
    }
    Ok(0)
}

fn state(project: &Known) -> &'static str {
    match &project.root {
        _ if project.live => "live",
        Some(root) if !root.is_dir() => "the directory is gone",
        _ => "",
    }
}

fn as_json(project: &Known) -> Value {
    json!({
        "id": project.id,
        "path": project.root.as_ref().map(|root| root.to_string_lossy()),
        "live": project.live,
        "exists": project.root.as_ref().is_some_and(|root| root.is_dir()),
        "broken": project.broken.as_ref().map(ToString::to_string),
    })
}
