//! `vrift` alone: what it is, and the next step from where the user is. Nothing is made, and
//! nothing fails: what cannot be found out is left out.

use std::path::Path;

use super::Status;
use super::printer::{Printer, Tone, counted};
use crate::cas::Store;
use crate::cli::Global;
use crate::error::{Result, quoted};
use crate::manifest::workspace::MAIN;
use crate::paths as places;
use crate::session::inside::Inside;
use crate::session::live::live_runs;
use crate::session::project::Project;
use crate::session::recover::orphans;

/// A command, and what it is for.
type Step = (String, &'static str);

/// What builds a project, by a file in it.
const BUILDS: [(&str, &str); 12] = [
    ("Cargo.toml", "cargo build"),
    ("Makefile", "make"),
    ("makefile", "make"),
    ("GNUmakefile", "make"),
    ("CMakeLists.txt", "cmake -B build"),
    ("meson.build", "meson setup build"),
    ("package.json", "npm install"),
    ("go.mod", "go build ./..."),
    ("pyproject.toml", "python3 -m pytest"),
    ("build.gradle", "gradle build"),
    ("build.gradle.kts", "gradle build"),
    ("pom.xml", "mvn package"),
];

pub fn run(global: &Global, printer: &Printer) -> Result<Status> {
    let (place, steps) = look(global);
    let mut text = "vrift runs commands in a private, writable view of a project.\n\n".to_string();
    text += &format!("{place}\n\n");
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in &steps {
        let command = printer.toned(Tone::Strong, &format!("{command:<width$}"));
        text += &format!("  {command}  {what}\n");
    }
    printer.out(&format!("{text}\nvrift --help lists everything.\n"));
    Ok(0)
}

/// Where the user is, and what may be done there.
fn look(global: &Global) -> (String, Vec<Step>) {
    let nowhere = || ("Go to a project's directory first:".into(), begin("cd your-project", None));
    let (Ok(store), Ok(here)) = (places::store(global.store.as_deref()), super::current_directory()) else {
        return nowhere();
    };
    if let Some(inside) = Inside::of(&store) {
        return in_run(&inside);
    }
    let opened = Store::open_to_read(&store).ok().flatten();
    let known = opened.and_then(|opened| Project::find(opened, &here).ok());
    if let Some(found) = known.as_ref().and_then(|project| in_project(project).ok()) {
        return found;
    }
    match Project::may_begin(&store, &here, global.directory.is_some()) {
        Ok(()) => (
            format!("{} is no project of vrift's yet. It becomes one with its first run:", shown(&here)),
            begin("", Some(&here)),
        ),
        Err(why) => (format!("{why}. Go to a project's directory:"), begin("cd your-project", None)),
    }
}

fn step(command: impl Into<String>, what: &'static str) -> Step {
    (command.into(), what)
}

fn begin(first: &str, here: Option<&Path>) -> Vec<Step> {
    let build = here.map_or("make", |here| build_of(here).unwrap_or("COMMAND"));
    let mut steps = Vec::new();
    if !first.is_empty() {
        steps.push(step(first, ""));
    }
    steps.extend([
        step(
            format!("vrift exec {build}"),
            "run a command; what it writes is kept, the directory stays as it is",
        ),
        step("vrift enter", "the same for your shell"),
        step("vrift status", "what the workspace has that the directory has not"),
        step("vrift doctor", "check that this machine can do it"),
    ]);
    steps
}

fn in_run(inside: &Inside) -> (String, Vec<Step>) {
    let place = format!(
        "This is inside a run of workspace {} of {}: what is written here is kept there.",
        inside.workspace,
        shown(&inside.root)
    );
    let steps = vec![
        step("vrift status", "what the workspace has that the directory has not"),
        step("vrift diff", "the same as a patch"),
        step("vrift commit", "seal this state as a snapshot"),
        step("exit", "leave, if this is your shell"),
    ];
    (place, steps)
}

/// A registered project: what its workspace waits for comes first.
fn in_project(project: &Project) -> Result<(String, Vec<Step>)> {
    let manifest = &project.manifest;
    let main = manifest.known_workspace(MAIN)?;
    let is_changed = main.head.is_some() && main.head != main.host_base;
    let conflicts = manifest.conflict_count(main.id)?;
    let live = live_runs(project)?.len();
    let left = orphans(project)?.len();
    let mut says = Vec::new();
    let mut steps = Vec::new();
    if live > 0 {
        says.push(format!("{} live", counted(live, "run")));
        steps.push(step("vrift runs", "what runs, and what has run"));
    }
    if left > 0 {
        says.push(format!("{} left by killed runs", counted(left, "session")));
        steps.push(step("vrift recover", "keep or drop what killed runs had written"));
    }
    if conflicts > 0 {
        says.push(counted(conflicts, "open conflict"));
        steps.push(step("vrift resolve", "decide what both sides changed"));
    }
    if is_changed {
        says.push("it differs from the directory".into());
        steps.push(step("vrift status", "what the workspace has that the directory has not"));
        steps.push(step("vrift diff", "the same as a patch"));
        steps.push(step("vrift apply", "write it to the directory"));
        steps.push(step("vrift undo", "bring back the state before the last change"));
    } else {
        says.push("it is as the directory was when it was last taken over".into());
    }
    let build = build_of(&project.root).unwrap_or("COMMAND");
    steps.push(step(format!("vrift exec {build}"), "run a command in the workspace"));
    steps.push(step("vrift enter", "the same for your shell"));
    Ok((format!("{}, workspace {MAIN}: {}.", shown(&project.root), says.join(", ")), steps))
}

fn build_of(root: &Path) -> Option<&'static str> {
    BUILDS.iter().find(|(name, _)| root.join(name).is_file()).map(|(_, command)| *command)
}

fn shown(path: &Path) -> String {
    quoted(path.as_os_str())
}
