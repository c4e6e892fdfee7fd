//! `vrift gc`: the store gives back what nothing needs.

use std::time::Duration;

use serde_json::json;

use super::printer::{Printer, counted, size};
use super::{Status, bar};
use crate::cas::Store;
use crate::cli::{Gc, Global};
use crate::error::Result;
use crate::paths;
use crate::progress::Meter;
use crate::session::gc::{self, Options, Swept};
use crate::session::record::now_ms;

pub fn run(global: &Global, args: &Gc, printer: &Printer) -> Result<Status> {
    let root = paths::store(global.store.as_deref())?;
    let Some(store) = Store::open(&root)? else {
        printer.say("there is no store yet");
        return Ok(0);
    };
    let options = Options { dry_run: args.dry_run, grace: Duration::from_secs(args.grace), quiet: args.auto };
    let started = now_ms();
    if args.auto {
        // nobody reads what is printed: the line in `runs` says all
        match gc::gc(&store, options, &Meter::default()) {
            Ok(None) => {}
            Ok(Some(swept)) => record(&store, "gc --auto", &said(&swept, ""), started, 0)?,
            Err(why) => record(&store, "gc --auto", &why.to_string(), started, 1)?,
        }
        return Ok(0);
    }
    let swept = bar::with(printer, "removing", |meter| gc::gc(&store, options, meter))?.unwrap_or_default();
    if !args.dry_run {
        record(&store, "gc", &said(&swept, ""), started, 0)?;
    }
    for left in &swept.left {
        printer.warn(left);
    }
    if args.json.json {
        printer.json(&json!({
            "dry_run": args.dry_run, "objects": swept.objects, "bytes": swept.bytes,
            "trees": swept.trees, "heads": swept.heads, "lowers": swept.lowers, "staging": swept.staging,
            "projects": swept.projects, "kept": swept.kept, "left": swept.left,
            "protected": swept.protected.map(|(objects, by)| json!({ "objects": objects, "by": by })),
        }));
        return Ok(0);
    }
    let would = if args.dry_run { "would be " } else { "" };
    printer.say(&format!("{}, {} kept", said(&swept, would), counted(swept.kept, "object")));
    Ok(0)
}

/// `12 objects removed (3 MB), 2 of old states forgotten, …`
fn said(swept: &Swept, would: &str) -> String {
    let mut parts = vec![
        format!("{} {would}removed ({})", counted(swept.objects, "object"), size(swept.bytes)),
        format!("{} of old states forgotten", swept.heads),
    ];
    for (count, what) in [
        (swept.lowers, "lower tree"),
        (swept.staging, "staging directory"),
        (swept.projects, "forgotten project"),
    ] {
        if count > 0 {
            parts.push(counted(count, what));
        }
    }
    if let Some((count, by)) = swept.protected {
        parts.push(format!("{} protected by {by}", counted(count, "object")));
    }
    parts.join(", ")
}

fn record(store: &Store, verb: &str, what: &str, started: i64, status: i32) -> Result<()> {
    let words: Vec<&str> = std::iter::once("vrift").chain(verb.split(' ')).chain([what]).collect();
    gc::record(store, &words, started, status)
}
