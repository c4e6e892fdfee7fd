//! `vrift apply`: the workspace's changes go to the host.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::printer::{Printer, counted};
use super::{Status, bar, diff, patch};
use crate::cli::{self, Global};
use crate::error::{Error, Result};
use crate::manifest::compare::{Differs, Item};
use crate::session::apply::mirror::mirror;
use crate::session::apply::{self, Act, Clash, OnConflict, Plan, Step, Wanted, risk};
use crate::session::checkpoint::live_root;
use crate::session::project::Project;
use crate::session::sync::shown;

/// So many paths are listed one by one.
const LISTED: usize = 20;

pub fn run(global: &Global, args: &cli::Apply, printer: &Printer) -> Result<Status> {
    let mut project = super::known_project(global)?;
    project.configure(&global.config)?;
    let here = super::current_directory()?;
    let paths = args.paths.iter().map(|path| super::relative_to(&project.root, &here.join(path)));
    let paths = paths.collect::<Result<Vec<_>>>()?;
    if args.materialize {
        return materialize(project, args, &paths, printer);
    }
    let mut wanted = Wanted {
        workspace: &args.workspace,
        paths: &paths,
        on_conflict: args.on_conflict,
        ..Wanted::default()
    };
    let left;
    if args.dry_run || args.patch || args.interactive {
        let plan = apply::look(&project, &wanted)?;
        if !args.interactive {
            return show(&project, &plan, args, printer);
        }
        let asked = ask(&project, &plan, printer)?;
        left = asked.left;
        (wanted.left, wanted.choices) = (&left, asked.choices);
    }
    let plan = bar::with(printer, "writing", |meter| {
        apply::apply(&project, &Wanted { meter: Some(meter), ..wanted })
    })?;
    if args.json.json {
        printer.json(&json_of(&plan));
    }
    refuse(&plan)?;
    name_first(&plan, printer);
    for item in items(&plan) {
        printer.detail(diff::line(&item, &Printer::plain()).trim_end());
    }
    notes(&plan, printer);
    let written = items(&plan).len();
    printer.say(&match written {
        0 => format!(
            "there is nothing to write: {} has what workspace {} has",
            project.root.display(),
            args.workspace
        ),
        _ => format!("{} written to {}", counted(written, "path"), project.root.display()),
    });
    Ok(0)
}

/// The named directories, as they are in the workspace at this moment.
fn materialize(project: Project, args: &cli::Apply, paths: &[Vec<u8>], printer: &Printer) -> Result<Status> {
    let replace = match args.on_conflict {
        OnConflict::Abort => false,
        OnConflict::Overwrite => true,
        _ => return Err(Error::usage("--materialize compares nothing: --on-conflict abort or overwrite")),
    };
    let workspace = project.manifest.known_workspace(&args.workspace)?;
    let (project, shown_now) = live_root(project, workspace.id)?;
    let Some(root) = shown_now.as_ref().map(|shown| shown.root).or(workspace.head) else {
        return Err(Error::failure(format!("workspace `{}` has no state yet", workspace.name))
            .with_hint("vrift exec COMMAND runs something in it"));
    };
    let mut written = Vec::new();
    for path in paths {
        let made = bar::with(printer, "writing", |meter| mirror(&project, &root, path, replace, meter))?;
        printer.say(&format!("{} in the mirror {}", counted(made.files, "file"), shown(path)));
        written.push(json!({ "path": String::from_utf8_lossy(path), "files": made.files }));
    }
    if args.json.json {
        printer.json(&json!({ "materialized": written }));
    }
    Ok(0)
}

/// The plan, and nothing else is done.
fn show(project: &Project, plan: &Plan, args: &cli::Apply, printer: &Printer) -> Result<Status> {
    if args.json.json {
        printer.json(&json_of(plan));
    } else if args.patch {
        for item in items(plan) {
            printer.out_bytes(&patch::of(&project.store, &item, printer)?);
        }
    } else {
        let risky: HashMap<&[u8], &str> =
            risk::first(plan).into_iter().map(|(step, why)| (step.path.as_slice(), why)).collect();
        let (first, rest): (Vec<Item>, Vec<Item>) =
            items(plan).into_iter().partition(|item| risky.contains_key(item.path.as_slice()));
        for item in first.iter().chain(&rest) {
            let line = diff::line(item, printer);
            let why = risky.get(item.path.as_slice()).map(|why| format!("  ({why})")).unwrap_or_default();
            printer.out(&format!("{}{why}\n", line.trim_end()));
        }
    }
    notes(plan, printer);
    refuse(plan)?;
    Ok(0)
}

/// What clashes, as one error.
pub fn refuse(plan: &Plan) -> Result<()> {
    let Some(first) = plan.clashes.first() else { return Ok(()) };
    let line = |clash: &Clash| format!("{} {}", shown(&clash.path), clash.why);
    let more = plan.clashes.iter().skip(1).take(LISTED - 1).map(|clash| format!("; {}", line(clash)));
    let rest = match plan.clashes.len().saturating_sub(LISTED) {
        0 => String::new(),
        rest => format!("; and {rest} more"),
    };
    let message = format!("nothing was written: {}{}{rest}", line(first), more.collect::<String>());
    let hint = match plan.clashes.iter().all(|clash| clash.by_choice) {
        true => {
            "take the host's changes over first (vrift sync), or say what is to be done: --on-conflict merge, keep-host, overwrite or both"
        }
        false => "move away what is in the way, or name the other paths: vrift apply PATH…",
    };
    Err(Error::failure(message).with_hint(hint))
}

/// What the machine runs by itself.
pub fn name_first(plan: &Plan, printer: &Printer) {
    let risky = risk::first(plan);
    for (step, why) in risky.iter().take(LISTED) {
        printer.say(&format!("writing {} ({why})", shown(&step.path)));
    }
    if risky.len() > LISTED {
        printer.say(&format!("and {} more that are run", risky.len() - LISTED));
    }
}

fn notes(plan: &Plan, printer: &Printer) {
    for path in plan.kept.iter().take(LISTED) {
        printer.say(&format!("{} stays as the host has it", shown(path)));
    }
    for (path, held) in plan.stays.iter().take(LISTED) {
        printer.warn(&format!("{} stays on the host: it holds {}", shown(path), shown(held)));
    }
    if !plan.own.is_empty() {
        let mut names: Vec<String> = plan.own.iter().take(5).map(|path| shown(path)).collect();
        if plan.own.len() > names.len() {
            names.push(format!("{} more", plan.own.len() - names.len()));
        }
        printer.say(&format!(
            "left out, for it is the workspace's own: {}; name it to write it",
            names.join(", ")
        ));
    }
}

/// The steps that change something, as `diff` shows them.
pub fn items(plan: &Plan) -> Vec<Item> {
    plan.steps.iter().filter_map(item).collect()
}

fn item(step: &Step) -> Option<Item> {
    let item = Item::of(step.path.clone(), step.theirs.clone(), step.result.clone());
    let Differs { mode, xattrs, .. } = item.differs();
    match step.act {
        Act::Nothing => None,
        // names that came or went have moved its mtime: they say so themselves
        Act::Dress if item.is_dir() && !mode && !xattrs => None,
        _ => Some(item),
    }
}

fn json_of(plan: &Plan) -> Value {
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let risky: HashMap<&[u8], &str> =
        risk::first(plan).into_iter().map(|(step, why)| (step.path.as_slice(), why)).collect();
    json!({
        "changes": items(plan).iter().map(|item| json!({
            "status": item.mark.word(), "path": text(&item.path), "runs": risky.get(item.path.as_slice()),
        })).collect::<Vec<_>>(),
        "clashes": plan.clashes.iter().map(|clash| json!({
            "path": text(&clash.path), "why": clash.why,
        })).collect::<Vec<_>>(),
        "kept": plan.kept.iter().map(|path| text(path)).collect::<Vec<_>>(),
        "own": plan.own.iter().map(|path| text(path)).collect::<Vec<_>>(),
    })
}

/// What somebody at the terminal has decided.
struct Asked {
    left: Vec<Vec<u8>>,
    choices: HashMap<Vec<u8>, OnConflict>,
}

fn ask(project: &Project, plan: &Plan, printer: &Printer) -> Result<Asked> {
    let mut asked = Asked { left: Vec::new(), choices: HashMap::new() };
    let (mut rest, mut ended) = (false, false);
    for item in items(plan) {
        let line = diff::line(&item, &Printer::plain());
        while !rest && !ended {
            match printer
                .ask(&format!("{}  write it? [y]es, [n]o, [d]iff, [a]ll, [q]uit: ", line.trim_end()))?
                .as_deref()
            {
                Some("y" | "yes") => break,
                Some("a" | "all") => rest = true,
                Some("n" | "no") => {
                    asked.left.push(item.path.clone());
                    break;
                }
                Some("d" | "diff") => printer.out_bytes(&patch::of(&project.store, &item, printer)?),
                Some("q" | "quit") | None => ended = true,
                Some(_) => {}
            }
        }
        if ended {
            return Err(Error::failure("nothing was written"));
        }
    }
    for clash in plan.clashes.iter().filter(|clash| clash.by_choice) {
        let question = format!(
            "{} {}  [h]ost's stays, [o]verwrite it, [b]oth, [m]erge, [q]uit: ",
            shown(&clash.path),
            clash.why
        );
        let choice = loop {
            match printer.ask(&question)?.as_deref() {
                Some("h" | "host") => break OnConflict::KeepHost,
                Some("o" | "overwrite") => break OnConflict::Overwrite,
                Some("b" | "both") => break OnConflict::Both,
                Some("m" | "merge") => break OnConflict::Merge,
                Some("q" | "quit") | None => return Err(Error::failure("nothing was written")),
                Some(_) => {}
            }
        };
        asked.choices.insert(clash.path.clone(), choice);
    }
    Ok(asked)
}
