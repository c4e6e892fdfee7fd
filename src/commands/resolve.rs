//! `vrift resolve`: conflicts are decided.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use super::Status;
use super::printer::{Printer, counted};
use crate::cli::{Global, Resolve};
use crate::error::{Context, Error, Result};
use crate::session::project::Project;
use crate::session::resolve::{self, Choice, conflicts};
use crate::session::sync::shown;

pub fn run(global: &Global, args: &Resolve, printer: &Printer) -> Result<Status> {
    let project = super::known_project(global)?;
    let here = super::current_directory()?;
    let paths = args.paths.iter().map(|path| super::relative_to(&project.root, &here.join(path)));
    let paths = paths.collect::<Result<Vec<_>>>()?;
    let now = project.manifest.known_workspace(&args.of)?;
    if conflicts(&project.manifest, now.id, &paths)?.is_empty() {
        printer.say(&format!("workspace {} has no open conflict", args.of));
        return Ok(0);
    }
    let scratch = scratch(&project);
    let by_hand = |path: &[u8], text: &[u8]| edit(&scratch, path, text);
    let choice = match (args.host, args.workspace, args.merge, args.edit) {
        (true, ..) => Choice::Host,
        (_, true, ..) => Choice::Workspace,
        (.., true, _) => Choice::Merge,
        (.., true) => Choice::Edit(&by_hand),
        _ => Choice::View,
    };
    let (project, resolved) = resolve::resolve(project, &args.of, &paths, &choice)?;
    super::written(global, project, printer);
    for path in &resolved.paths {
        printer.detail(&format!("resolved {}", shown(path)));
    }
    for (path, kept) in &resolved.several {
        printer.say(&format!(
            "{} was in conflict {kept} times, and the newest versions counted: vrift undo, vrift diff --conflict {} show the others",
            shown(path),
            shown(path)
        ));
    }
    let open = match resolved.open {
        0 => "none is open any more".to_string(),
        open => format!("{open} still open"),
    };
    let before = match resolved.rewound.from {
        Some(number) if resolved.rewound.changed > 0 => {
            format!("; the state before: vrift restore @{number}")
        }
        _ => String::new(),
    };
    printer.say(&format!("{} resolved, {open}{before}", counted(resolved.paths.len(), "conflict")));
    Ok(0)
}

/// Where texts lie while they are edited: the store is private.
fn scratch(project: &Project) -> std::path::PathBuf {
    project.dir.join(format!("edit-{}", std::process::id()))
}

/// Opens the user's editor, as git does: `$VISUAL`, else `$EDITOR`, else vi, through the shell.
fn edit(scratch: &Path, path: &[u8], text: &[u8]) -> Result<Vec<u8>> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let file = scratch.join(std::ffi::OsStr::from_bytes(name));
    let edited = write_and_edit(scratch, &file, text);
    let _ = crate::os::remove::remove_tree(scratch); // a copy of what the store has
    let edited = edited?;
    let marks: [&[u8]; 2] = [b"<<<<<<< ", b">>>>>>> "];
    if edited.split(|&byte| byte == b'\n').any(|line| marks.iter().any(|mark| line.starts_with(mark))) {
        return Err(Error::failure(format!(
            "{} still has conflict markers: it stays in conflict",
            shown(path)
        ))
        .with_hint("edit it again, or take one of the versions: --host or --workspace"));
    }
    Ok(edited)
}

fn write_and_edit(scratch: &Path, file: &Path, text: &[u8]) -> Result<Vec<u8>> {
    crate::os::mkdir::private(scratch)?;
    let mut made = std::fs::File::create_new(file).context("write", file)?;
    made.write_all(text).context("write", file)?;
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    let mut script = editor.clone();
    script.push(" \"$@\"");
    let status = Command::new("/bin/sh").arg("-c").arg(script).arg("sh").arg(file).status();
    let ok = status.context("start the editor", Path::new(&editor))?.success();
    if !ok {
        return Err(
            Error::failure("the editor failed: nothing was resolved").with_hint("set VISUAL or EDITOR")
        );
    }
    std::fs::read(file).context("read", file)
}
