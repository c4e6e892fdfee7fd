//! `vrift config`: each value and where it came from.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::Status;
use super::printer::{Printer, Tone};
use crate::cli;
use crate::config::keys::{KEYS, STORE, Value};
use crate::config::{Origin, Setting};
use crate::error::Result;
use crate::paths;

pub fn run(global: &cli::Global, args: cli::Config, printer: &Printer) -> Result<Status> {
    let (root, config) = super::configured(global)?;
    let store = store(global, &config.settings)?;
    // The strongest first: it is the one that counts where only one can.
    let counted = config.settings.iter().rev().filter(|setting| setting.key.name != STORE);
    let lines: Vec<(&Setting, bool)> = counted
        .map(|setting| (setting, true))
        .chain(config.withheld.iter().map(|setting| (setting, false)))
        .collect();
    if args.json.json {
        let mut values = vec![json!({
            "key": STORE, "value": store.0, "from": store.1, "counts": true,
        })];
        values.extend(lines.iter().map(|(setting, counts)| as_json(setting, *counts)));
        printer.json(&json!({ "project": root.to_string_lossy(), "values": values }));
        return Ok(0);
    }
    let dim = |text: &str| printer.toned(Tone::Dim, text);
    printer.out(&format!("{STORE} = {:?}  {}\n", store.0, dim(&format!("# {}", store.1))));
    for key in KEYS.iter().filter(|key| key.name != STORE) {
        let of_key: Vec<_> = lines.iter().filter(|(setting, _)| setting.key == key).collect();
        for (setting, counts) in &of_key {
            let only = if *counts { "" } else { "; ignored until: vrift allow" };
            let origin = dim(&format!("# {}{only}", setting.origin));
            printer.out(&format!("{} = {}  {origin}\n", setting.name(), setting.value));
        }
        if of_key.is_empty() && args.all {
            printer
                .out(&format!("{}\n", dim(&format!("# {}: {} ({})", key.name, key.about, key.variable()))));
        }
    }
    Ok(0)
}

/// Where the store is, and why.
fn store(global: &cli::Global, settings: &[Setting]) -> Result<(String, String)> {
    let path = paths::store(global.store.as_deref())?.to_string_lossy().into_owned();
    let set = settings.iter().rfind(|setting| setting.key.name == STORE);
    let from = match set {
        _ if global.store.is_some() => "flag --store".to_string(),
        Some(setting) => setting.origin.to_string(),
        None => "the default".to_string(),
    };
    Ok((path, from))
}

fn as_json(setting: &Setting, counts: bool) -> Json {
    let value = match &setting.value {
        Value::Text(text) => json!(text),
        Value::List(list) => json!(list),
        Value::Flag(flag) => json!(flag),
    };
    let (from, file): (&str, Option<&Path>) = match &setting.origin {
        Origin::Project(path) => ("project", Some(path)),
        Origin::User(path) => ("user", Some(path)),
        Origin::Environment(_) => ("environment", None),
        Origin::Flag | Origin::Option(_) => ("flag", None),
    };
    json!({ "key": setting.name(), "value": value, "from": from, "file": file, "counts": counts })
}
