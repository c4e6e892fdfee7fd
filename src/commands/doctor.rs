//! `vrift doctor`: can this machine run vrift, and what to change where it cannot.

use std::path::Path;

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone};
use crate::cas::Store;
use crate::cli::{Doctor, Global};
use crate::error::Result;
use crate::os::userns::{Namespaces, in_namespaces};
use crate::overlay::probe::Probe;
use crate::paths;

/// One line of the page.
struct Check {
    name: &'static str,
    /// What was found.
    found: String,
    verdict: Verdict,
    /// What to do about it.
    hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// A run would fail.
    Bad,
}

pub fn run(global: &Global, args: Doctor, printer: &Printer) -> Result<Status> {
    if let Some(path) = &args.path {
        return super::paths::explain(global, path, args.json.json, printer);
    }
    let root = paths::store(global.store.as_deref())?;
    let checks = checks(&root);
    let works = checks.iter().all(|check| check.verdict != Verdict::Bad);
    if args.json.json {
        let list: Vec<Value> = checks.iter().map(Check::json).collect();
        printer.json(&json!({ "works": works, "store": root.to_string_lossy(), "checks": list }));
    } else {
        for check in &checks {
            printer.out(&check.line(printer));
        }
    }
    Ok(u8::from(!works))
}

fn checks(root: &Path) -> Vec<Check> {
    let mut checks = vec![kernel()];
    checks.extend(namespaces());
    match Store::open_or_create(root) {
        Ok(_) => checks.extend(store(root)),
        Err(error) => checks.push(Check::bad("store", error.to_string(), error.hint())),
    }
    checks
}

fn kernel() -> Check {
    let uname = rustix::system::uname();
    Check::good("kernel", uname.release().to_string_lossy().into_owned())
}

/// Each namespace by itself, so that the one that is refused is named.
fn namespaces() -> Vec<Check> {
    let kinds = [
        ("user namespace", Namespaces::User),
        ("mount namespace", Namespaces::UserAndMount),
        ("pid namespace", Namespaces::UserMountAndPid),
    ];
    kinds
        .into_iter()
        .map(|(name, kind)| match in_namespaces(&format!("make a {name}"), kind, || Ok(())) {
            Ok(()) => Check::good(name, "works".into()),
            Err(error) => Check::bad(name, error.to_string(), Some(&refusal())),
        })
        .collect()
}

/// Which of the host's switches refuses user namespaces.
fn refusal() -> String {
    let is = |path: &str, value: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return "as root: sysctl kernel.unprivileged_userns_clone=1".into();
    }
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "AppArmor refuses them; as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
            .into();
    }
    if is("/proc/sys/user/max_user_namespaces", "0") {
        return "as root: sysctl user.max_user_namespaces=15000".into();
    }
    "a container's seccomp filter may refuse them: run it with --security-opt seccomp=unconfined".into()
}

/// The store's filesystem and what was found by really mounting there.
fn store(root: &Path) -> Vec<Check> {
    let probe = match Probe::run(root) {
        Ok(probe) => probe,
        Err(error) => return vec![Check::bad("store", error.to_string(), error.hint())],
    };
    let place = Check::good("store", format!("{} on {}", root.display(), probe.filesystem));
    let overlay = "put the store on a local filesystem with --store DIR or VRIFT_STORE";
    let stub = "stubs are followed rootless from Linux 6.16 on";
    vec![
        place,
        Check::of("overlay", probe.overlay, "works (tried by a mount)", overlay),
        Check::of("projection", probe.stub, "stub (tried by a mount)", stub),
    ]
}

impl Check {
    fn good(name: &'static str, found: String) -> Self {
        Self { name, found, verdict: Verdict::Good, hint: None }
    }

    fn of(name: &'static str, outcome: Result<(), String>, found: &str, hint: &str) -> Self {
        match outcome {
            Ok(()) => Self::good(name, found.into()),
            Err(why) => Self::bad(name, why, Some(hint)),
        }
    }

    fn bad(name: &'static str, found: String, hint: Option<&str>) -> Self {
        Self { name, found, verdict: Verdict::Bad, hint: hint.map(str::to_string) }
    }

    fn word(&self) -> (&'static str, Tone) {
        match self.verdict {
            Verdict::Good => ("ok", Tone::Good),
            Verdict::Bad => ("fails", Tone::Bad),
        }
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "verdict": self.word().0, "found": self.found, "hint": self.hint })
    }

    fn line(&self, printer: &Printer) -> String {
        let (word, tone) = self.word();
        let mut line =
            format!("{} {:<16} {}\n", printer.toned(tone, &format!("{word:<5}")), self.name, self.found);
        if let Some(hint) = &self.hint {
            line += &format!("      {}\n", printer.toned(Tone::Dim, hint));
        }
        line
    }
}
