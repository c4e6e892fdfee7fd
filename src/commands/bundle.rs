//! `vrift bundle`: a state as one file, out and in.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::printer::{Printer, counted, size};
use super::{Status, bar, snapshot};
use crate::cli::{Bundle, BundleAction, Global};
use crate::error::{Context, Error, Result};
use crate::manifest::roots::resolve;
use crate::manifest::workspace::MAIN;
use crate::session::bundle;

/// Standard input or output.
pub(super) const STDIO: &str = "-";

pub fn run(global: &Global, args: Bundle, printer: &Printer) -> Result<Status> {
    match args.action {
        BundleAction::Create { file, root } => create(global, &file, &root, printer),
        BundleAction::Load { file, name, json } => load(global, &file, name.as_deref(), json.json, printer),
    }
}

fn create(global: &Global, file: &Path, root: &str, printer: &Printer) -> Result<Status> {
    let project = super::known_project(global)?;
    let digest = resolve(&project.manifest, &project.manifest.known_workspace(MAIN)?, root)?;
    let message = project.manifest.snapshot(root)?.map(|snapshot| snapshot.message).unwrap_or_default();
    let written = into_file(file, |to| {
        bar::with(printer, "bundling", |meter| {
            bundle::create(&project, &digest, (root, &message), to, file, meter)
        })
    })?;
    printer.say(&format!("{}, {}", counted(written.files, "content"), size(written.bytes)));
    Ok(0)
}

fn load(
    global: &Global,
    file: &Path,
    name: Option<&str>,
    as_json: bool,
    printer: &Printer,
) -> Result<Status> {
    let mut from: Box<dyn Read> = match file.as_os_str() == STDIO {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(BufReader::with_capacity(1 << 20, File::open(file).context("open", file)?)),
    };
    let project = super::project(global)?;
    let (loaded, read) =
        bar::with(printer, "loading", |meter| bundle::load(&project, &mut from, file, name, meter))?;
    if as_json {
        let mut value = snapshot::json(&loaded);
        value["new_bytes"] = json!(read.new_bytes);
        printer.json(&value);
        return Ok(0);
    }
    printer.say(&format!(
        "snapshot {}: {}, {} new to the store; vrift restore {} brings it into the workspace",
        loaded.name,
        counted(read.files, "content"),
        size(read.new_bytes),
        loaded.name
    ));
    Ok(0)
}

/// Writes a file whole or not at all: under another name until it is complete and synced.
pub(super) fn into_file<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    if path.as_os_str() == STDIO {
        return write(&mut std::io::stdout().lock());
    }
    let part = part_of(path)?;
    let file = File::create_new(&part).context("make", &part)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let finish = |out: BufWriter<File>| -> std::io::Result<()> {
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&part, path)
    };
    let value = write(&mut out).and_then(|value| finish(out).context("write", path).map(|()| value));
    if value.is_err() {
        let _ = std::fs::remove_file(&part); // the first error is what counts
    }
    value
}

fn part_of(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().filter(|_| !path.is_dir()).ok_or_else(|| {
        Error::failure(format!("`{}` is a directory", path.display())).with_hint("name the file to write")
    })?;
    let mut part = std::ffi::OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(part))
}
