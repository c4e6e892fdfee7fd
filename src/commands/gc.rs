//! `vrift gc`: the store gives back what nothing needs.

use std::time::Duration;

use serde_json::json;

use super::printer::{Printer, counted, size};
use super::{Status, bar};
use crate::cas::Store;
use crate::cli::{Gc, Global};
use crate::error::Result;
use crate::paths;
use crate::session::gc::{Options, gc};

pub fn run(global: &Global, args: &Gc, printer: &Printer) -> Result<Status> {
    let root = paths::store(global.store.as_deref())?;
    let Some(store) = Store::open(&root)? else {
        printer.say("there is no store yet");
        return Ok(0);
    };
    let options = Options { dry_run: args.dry_run, grace: Duration::from_secs(args.grace) };
    let swept = bar::with(printer, "removing", |meter| gc(&store, options, meter))?;
    if args.json.json {
        printer.json(&json!({
            "dry_run": args.dry_run, "objects": swept.objects, "bytes": swept.bytes,
            "trees": swept.trees, "heads": swept.heads, "kept": swept.kept,
        }));
        return Ok(0);
    }
    let would = if args.dry_run { "would be " } else { "" };
    printer.say(&format!(
        "{} {would}removed ({}), {} of old states forgotten, {} kept",
        counted(swept.objects, "object"),
        size(swept.bytes),
        swept.heads,
        counted(swept.kept, "object"),
    ));
    Ok(0)
}
