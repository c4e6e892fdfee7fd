//! `vrift status --paths` and `vrift doctor PATH`: whose paths are whose.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone};
use crate::cli::Global;
use crate::config::Config;
use crate::config::class::Class;
use crate::error::Result;
use crate::session::elsewhere;
use crate::session::mounts::{Recorded, is_below};
use crate::session::sync::explain::{Explained, explain as ask, listed};
use crate::session::sync::shown;

pub fn list(global: &Global, json: bool, printer: &Printer) -> Result<Status> {
    let (root, config) = super::configured(global)?;
    let mut found = listed(&root, &config)?;
    found.extend(elsewhere::explained(&root, &config));
    let unreadable = unreadable(global)?;
    if json {
        let paths: Vec<Value> = found.iter().map(as_json).collect();
        let closed: Vec<_> = unreadable.iter().map(|path| String::from_utf8_lossy(path)).collect();
        printer.json(&json!({
            "project": root.to_string_lossy(), "paths": paths, "unreadable": closed, "default": "follow",
        }));
        return Ok(0);
    }
    for Explained { path, class, rule } in &found {
        let class = printer.toned(tone(*class), &format!("{:<8}", class.name()));
        printer.out(&format!("{class} {}  {}\n", shown(path), printer.toned(Tone::Dim, rule)));
    }
    for path in &unreadable {
        let word = printer.toned(Tone::Warning, "closed  ");
        printer.out(&format!("{word} {}  {}\n", shown(path), printer.toned(Tone::Dim, CLOSED)));
    }
    printer.out("follow   everything else\n");
    notice(&config, printer);
    Ok(0)
}

pub fn explain(global: &Global, path: &Path, json: bool, printer: &Printer) -> Result<Status> {
    let here = super::current_directory()?.join(path);
    let (root, config) = super::configured(global)?;
    if let Some(outer) = config.tier1_outside.iter().find(|outer| here.starts_with(outer)) {
        let rule = format!("{} in the configuration", crate::config::keys::TIER1_PATHS);
        let found =
            Explained { path: outer.as_os_str().as_encoded_bytes().to_vec(), class: Class::Tier1, rule };
        return tell(&found, (here.as_os_str().as_encoded_bytes(), None), json, &config, printer);
    }
    // a directory of the project may be closed to the caller
    let real = crate::paths::resolve_existing(&here).unwrap_or_else(|_| here.to_path_buf());
    let outside = elsewhere::explained(&root, &config);
    let of_run = |found: &&Explained| real.starts_with(std::ffi::OsStr::from_bytes(&found.path));
    if let Some(found) = outside.iter().rfind(of_run).filter(|_| !real.starts_with(&root)) {
        return tell(found, (real.as_os_str().as_bytes(), None), json, &config, printer);
    }
    let inner = super::relative_to(&root, &here)?;
    let is_dir = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let found = ask(&root, &config, &inner, is_dir);
    let closed = unreadable(global)?.into_iter().find(|path| *path == inner || is_below(&inner, path));
    tell(&found, (&inner, closed), json, &config, printer)
}

/// `closed`: what of a path, or above it, cannot be read.
fn tell(
    found: &Explained,
    (inner, closed): (&[u8], Option<Vec<u8>>),
    json: bool,
    config: &Config,
    printer: &Printer,
) -> Result<Status> {
    if json {
        let mut value = as_json(found);
        value["readable"] = closed.is_none().into();
        value["asked"] = String::from_utf8_lossy(inner).into();
        value["kept"] = found.class.keeps().into();
        value["write"] = found.class.write().into();
        printer.json(&value);
        return Ok(0);
    }
    let whole = if found.path == inner || found.path.is_empty() {
        String::new()
    } else {
        format!(", as all of {}", shown(&found.path))
    };
    printer.out(&format!("{} is {}{whole}\n", shown(inner), found.class.name()));
    printer.out(&format!("rule: {}\n", found.rule));
    match closed {
        Some(path) if path == inner => printer.out(&format!("it {CLOSED}\n")),
        Some(path) => printer.out(&format!("{}, which it lies in, {CLOSED}\n", shown(&path))),
        None => printer.out(&format!("a write there: {}\n", found.class.write())),
    }
    notice(config, printer);
    Ok(0)
}

/// What holds for a path that the user may not read.
const CLOSED: &str = "cannot be read: it is shown as on the host, read-only, and never taken in";

/// What sync could not read the last time; nothing where the project is not known yet.
fn unreadable(global: &Global) -> Result<Vec<Vec<u8>>> {
    let Ok(project) = super::project_to_read(global) else { return Ok(Vec::new()) };
    Ok(Recorded::read(&project)?.unreadable.into_iter().map(|closed| closed.path).collect())
}

fn notice(config: &Config, printer: &Printer) {
    if let Some(notice) = config.notice() {
        printer.warn(&notice);
    }
}

fn as_json(found: &Explained) -> Value {
    json!({
        "path": String::from_utf8_lossy(&found.path), "class": found.class.name(), "rule": found.rule,
    })
}

fn tone(class: Class) -> Tone {
    match class {
        Class::Follow | Class::Own => Tone::Good,
        Class::Live => Tone::Bad,
        Class::Scratch | Class::Hide | Class::Tier1 | Class::Private => Tone::Warning,
    }
}
