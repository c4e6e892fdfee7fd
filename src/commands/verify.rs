//! `vrift verify`: is everything in the store there and sound?

use serde_json::{Value, json};

use super::printer::{Printer, Tone, counted};
use super::{Status, bar};
use crate::cas::Store;
use crate::cas::finding::Finding;
use crate::cli::{Global, Verify};
use crate::error::Result;
use crate::paths;
use crate::session::verify::{Repaired, Report, verify, verify_and_repair};

pub fn run(global: &Global, args: &Verify, printer: &Printer) -> Result<Status> {
    let root = paths::store(global.store.as_deref())?;
    let open = if args.repair { Store::open } else { Store::open_to_read };
    let Some(store) = open(&root)? else {
        printer.say("there is no store yet");
        return Ok(0);
    };
    let (report, repaired) = bar::with(printer, "looking at", |meter| match args.repair {
        true => verify_and_repair(&store, args.deep, meter),
        false => Ok((verify(&store, args.deep, meter)?, Repaired::default())),
    })?;
    let status = Status::from(!report.found.is_empty());
    if args.json.json {
        printer.json(&json_of(&report, &repaired));
        return Ok(status);
    }
    for done in &repaired.done {
        printer.say(&format!("repaired: {done}"));
    }
    for left in &repaired.left {
        printer.warn(&format!("not repaired: {left}"));
    }
    for finding in &report.found {
        printer.out(&line(finding, printer));
    }
    for note in &report.notes {
        printer.say(note);
    }
    let looked = format!(
        "{}, {} and {} of {}",
        counted(report.objects, "object"),
        counted(report.trees, "tree"),
        counted(report.lowers, "lower tree"),
        counted(report.projects, "project"),
    );
    printer.say(&match report.found.len() {
        0 => format!("{looked}: all is well"),
        count => format!("{looked}: {}", counted(count, "finding")),
    });
    Ok(status)
}

/// States and paths that are named on one line.
const SHOWN: usize = 3;

fn line(finding: &Finding, printer: &Printer) -> String {
    let mut text =
        format!("{} {}: {}", printer.toned(Tone::Bad, &finding.what.word()), finding.place, finding.detail);
    let needed: Vec<String> = finding.needed_by.iter().take(SHOWN).map(place_of).collect();
    if !needed.is_empty() {
        let more = match finding.needed_by.len() - needed.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        text += &format!("; needed by {}{more}", needed.join(", "));
    }
    format!("{text}: {}\n", finding.remedy)
}

fn place_of((state, path): &(String, String)) -> String {
    if path.is_empty() { state.clone() } else { format!("{state} at `{path}`") }
}

fn json_of(report: &Report, repaired: &Repaired) -> Value {
    json!({
        "found": report.found.iter().map(json_of_finding).collect::<Vec<Value>>(),
        "notes": report.notes,
        "repaired": repaired.done, "left": repaired.left,
        "objects": report.objects, "trees": report.trees, "lowers": report.lowers,
        "projects": report.projects,
    })
}

fn json_of_finding(finding: &Finding) -> Value {
    json!({
        "what": finding.what, "project": finding.project, "place": finding.place,
        "detail": finding.detail, "remedy": finding.remedy,
        "needed_by": finding.needed_by.iter().map(|(state, path)| json!({
            "state": state, "path": path,
        })).collect::<Vec<Value>>(),
    })
}
