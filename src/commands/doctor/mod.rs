//! `vrift doctor`: can this machine run vrift, and what to change where it cannot.
//!
//! Everything is tried, nothing is concluded from a version. One whole run is made first,
//! in a scratch directory beside the store's files; if it works, what single trials find
//! missing is a note, and if it fails, they say why. A new check is a function in the file
//! of its family, or a new family in `FAMILIES`.

mod check;
mod helpers;
mod kernel;
mod limits;
mod namespaces;
mod outside;
mod run;
mod store;
mod subject;

use std::collections::HashSet;

use serde_json::{Value, json};

use self::check::{Check, Verdict};
use self::subject::Subject;
use super::Status;
use super::printer::Printer;
use crate::cli::{Doctor, Global};
use crate::error::Result;
use crate::paths;

/// In the order of the page.
const FAMILIES: &[fn(&Subject) -> Vec<Check>] = &[
    kernel::checks,
    namespaces::checks,
    store::checks,
    limits::checks,
    helpers::checks,
    outside::checks,
    run::checks,
];

pub fn run(global: &Global, args: Doctor, printer: &Printer) -> Result<Status> {
    if let Some(path) = &args.path {
        return super::paths::explain(global, path, args.json.json, printer);
    }
    let root = paths::store(global.store.as_deref())?;
    let subject = Subject::new(root);
    let checks: Vec<Check> = FAMILIES.iter().flat_map(|family| family(&subject)).collect();
    let works = checks.iter().all(|check| check.verdict != Verdict::Bad);
    if args.json.json {
        let list: Vec<Value> = checks.iter().map(Check::json).collect();
        printer.json(&json!({ "works": works, "store": subject.root.to_string_lossy(), "checks": list }));
    } else if args.fix {
        fix(&checks, printer);
    } else {
        checks.iter().for_each(|check| printer.out(&check.line(printer)));
        if checks.iter().any(|check| !check.commands.is_empty()) {
            printer.say("`vrift doctor --fix` prints the commands by themselves");
        }
    }
    Ok(u8::from(!works))
}

/// A script to read, and to run by who agrees; each command once.
fn fix(checks: &[Check], printer: &Printer) {
    let mut said = HashSet::new();
    for check in checks.iter().filter(|check| check.verdict != Verdict::Good) {
        printer.out(&check.comments());
        for command in check.commands.iter().filter(|command| said.insert(*command)) {
            printer.out(&format!("{command}\n"));
        }
    }
    if checks.iter().all(|check| check.verdict == Verdict::Good) {
        printer.say("nothing to fix");
    }
}
