//! `vrift diff`: what differs between two states.

use std::path::Path;

use serde_json::{Value, json};

use super::Status;
use super::patch::{self, Counts};
use super::printer::{Printer, Tone, counted, size};
use crate::cas::Digest;
use crate::cli::{self, Global};
use crate::error::Result;
use crate::manifest::compare::{Differs, Item, Mark, compare};
use crate::manifest::conflict::Open;
use crate::manifest::node::{Entry, Kind};
use crate::manifest::roots::resolve;
use crate::session::apply::select::Select;
use crate::session::checkpoint::{LIVE, known_live_root};
use crate::session::mounts;
use crate::session::project::Project;
use crate::session::resolve::conflicts;

pub fn run(global: &Global, args: &cli::Diff, printer: &Printer) -> Result<Status> {
    let mut project = super::project_to_read(global)?;
    project.configure(&global.config)?;
    let here = super::current_directory()?;
    let inner = args.paths.iter().map(|path| super::relative_to(&project.root, &here.join(path)));
    let inner = inner.collect::<Result<Vec<_>>>()?;
    // from inside a run the workspace is what the run shows
    let after = args.b.as_deref().unwrap_or(if global.live { LIVE } else { &args.workspace });
    let live;
    (project, live) = match args.a.as_deref() == Some(LIVE) || after == LIVE {
        true => known_live_root(project, &args.workspace).map(|(project, shown)| (project, Some(shown)))?,
        false => (project, None),
    };
    let mut items = match args.conflict.is_empty() {
        true => items(&project, args, after, live.as_ref().map(|shown| shown.root))?,
        false => in_conflict(&project, args, &here)?,
    };
    let at = |path: &[u8], above: &[u8]| above.is_empty() || path == above || mounts::is_below(path, above);
    items.retain(|item| inner.is_empty() || inner.iter().any(|above| at(&item.path, above)));
    if args.json.json {
        let list: Vec<Value> = items.iter().map(json_of).collect();
        printer.json(&Value::Array(list));
    } else if args.name_status {
        items.iter().for_each(|item| printer.out(&line(item, printer)));
    } else if args.stat {
        stat(&project, &items, printer)?;
    } else {
        items.iter().try_for_each(|item| {
            printer.out_bytes(&patch::of(&project.store, item, printer)?);
            Ok::<_, crate::error::Error>(())
        })?;
    }
    Ok(u8::from(args.exit_code && !items.is_empty()))
}

/// What `A` and `B` differ in. Against the host, paths that are mounted are no change, and
/// what the workspace has for itself (`own`) is told as a whole.
fn items(project: &Project, args: &cli::Diff, after: &str, live: Option<Digest>) -> Result<Vec<Item>> {
    let manifest = &project.manifest;
    let workspace = manifest.known_workspace(&args.workspace)?;
    let resolve = |text: &str| match live.filter(|_| text == LIVE) {
        Some(live) => Ok(Some(live)),
        None => resolve(manifest, &workspace, text).map(Some),
    };
    let with_host = [&args.a, &args.b].into_iter().flatten().any(|root| root == "host") || args.a.is_none();
    let before: Option<Digest> = match &args.a {
        Some(text) => resolve(text)?,
        None => workspace.host_base,
    };
    let after = resolve(after)?;
    let covered = if with_host { mounts::covered(project)? } else { Vec::new() };
    let skip =
        |path: &[u8]| covered.iter().any(|mount| path == mount.as_slice() || mounts::is_below(path, mount));
    let select = match after.or(before).filter(|_| with_host) {
        Some(root) => Some(Select::new(project, root, &[], &[])?),
        None => None,
    };
    // who cannot be asked is not own: its paths are told one by one
    let whole =
        |path: &[u8]| select.as_ref().is_some_and(|select| select.is_own(path, true).unwrap_or(false));
    compare(manifest, before.as_ref(), after.as_ref(), &skip, &whole)
}

/// Each conflict, from the host's version to the workspace's; of a path with several all, the
/// newest first.
fn in_conflict(project: &Project, args: &cli::Diff, here: &Path) -> Result<Vec<Item>> {
    let paths = args.conflict.iter().map(|path| super::relative_to(&project.root, &here.join(path)));
    let paths = paths.collect::<Result<Vec<_>>>()?;
    let now = project.manifest.known_workspace(&args.workspace)?;
    let open = conflicts(&project.manifest, now.id, &paths)?;
    let item = |open: &Open| Item::of(open.path.clone(), open.host().cloned(), open.workspace().cloned());
    Ok(open.iter().flat_map(Open::all).map(item).collect())
}

/// One line a path, as `--name-status` and `status` have it.
pub fn line(item: &Item, printer: &Printer) -> String {
    let tone = match item.mark {
        Mark::Added => Tone::Good,
        Mark::Deleted => Tone::Bad,
        Mark::Metadata => Tone::Dim,
        _ => Tone::Warning,
    };
    let mark = printer.toned(tone, &item.mark.letter().to_string());
    let from = item.from.as_ref().map(|from| format!("{} → ", shown(from))).unwrap_or_default();
    let slash = if item.is_dir() && item.mark != Mark::Retyped { "/" } else { "" };
    let more = match item.below {
        0 => String::new(),
        below => format!("  ({})", counted(below, "name")),
    };
    format!("{mark} {from}{}{slash}{}{more}\n", shown(&item.path), detail(item))
}

/// What of the metadata changed, where nothing else did.
fn detail(item: &Item) -> String {
    if item.mark != Mark::Metadata {
        return String::new();
    }
    let Differs { mode, mtime, xattrs, links } = item.differs();
    let mut words = Vec::new();
    if let (true, Some(before), Some(after)) = (mode, &item.before, &item.after) {
        words.push(format!("mode {:o} → {:o}", before.meta.mode, after.meta.mode));
    }
    let others = [(mtime, "mtime"), (xattrs, "xattrs"), (links, "hard links")];
    words.extend(others.iter().filter(|(differs, _)| *differs).map(|(_, word)| (*word).to_string()));
    format!("  ({})", words.join(", "))
}

fn stat(project: &Project, items: &[Item], printer: &Printer) -> Result<()> {
    let name = |item: &Item| match &item.from {
        Some(from) => format!("{} → {}", shown(from), shown(&item.path)),
        None => shown(&item.path),
    };
    let width = items.iter().map(|item| name(item).chars().count()).max().unwrap_or(0).min(60);
    let (mut added, mut removed) = (0, 0);
    for item in items {
        let what = match patch::counts(&project.store, item)? {
            Counts::Lines { added: plus, removed: minus } => {
                (added, removed) = (added + plus, removed + minus);
                let plus = printer.toned(Tone::Good, &format!("+{plus}"));
                format!("{plus} {}", printer.toned(Tone::Bad, &format!("-{minus}")))
            }
            Counts::Binary { before, after } => format!("binary, {} → {}", size(before), size(after)),
            Counts::None if item.below > 0 => counted(item.below, "name"),
            Counts::None if item.mark == Mark::Metadata => detail(item).trim().to_string(),
            Counts::None => item.mark.word().to_string(),
        };
        printer.out(&format!(" {:<width$} | {what}\n", name(item)));
    }
    let (paths, lines) = (counted(items.len(), "path"), counted(added, "line"));
    printer.out(&format!(" {paths}, {lines} added, {removed} removed\n"));
    Ok(())
}

/// A path on one line.
fn shown(path: &[u8]) -> String {
    if path.is_empty() {
        return ".".into();
    }
    String::from_utf8_lossy(path).escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// One path for scripts.
pub fn json_of(item: &Item) -> Value {
    let Differs { mode, mtime, xattrs, links } = item.differs();
    let metadata: Vec<&str> = [(mode, "mode"), (mtime, "mtime"), (xattrs, "xattrs"), (links, "links")]
        .into_iter()
        .filter_map(|(differs, word)| differs.then_some(word))
        .collect();
    json!({
        "status": item.mark.word(), "path": String::from_utf8_lossy(&item.path),
        "from": item.from.as_ref().map(|from| String::from_utf8_lossy(from).into_owned()),
        "before": item.before.as_ref().map(json_of_entry), "after": item.after.as_ref().map(json_of_entry),
        "metadata": metadata, "below": item.below,
    })
}

fn json_of_entry(entry: &Entry) -> Value {
    let mut value = json!({
        "mode": format!("{:04o}", entry.meta.mode),
        "mtime": format!("{}.{:09}", entry.meta.mtime.secs, entry.meta.mtime.nanos),
    });
    match &entry.kind {
        Kind::File(content) => {
            value["kind"] = "file".into();
            value["size"] = content.size.into();
            value["digest"] = content.digest.hex().into();
        }
        Kind::Symlink(target) => {
            value["kind"] = "symlink".into();
            value["target"] = String::from_utf8_lossy(target).into();
        }
        Kind::Fifo => value["kind"] = "fifo".into(),
        Kind::Dir(tree) => {
            value["kind"] = "directory".into();
            value["digest"] = tree.hex().into();
        }
    }
    value
}
