//! `vrift doctor`: can this machine run vrift, and what to change where it cannot.

use std::path::Path;

use nix::sched::CloneFlags;
use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone};
use crate::cas::Store;
use crate::cli::{Doctor, Global};
use crate::error::Result;
use crate::os::userns;
use crate::overlay::probe;
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
        Ok(_) => {
            checks.push(Check::good("store", format!("{} on {}", root.display(), probe::filesystem(root))));
            checks.push(stubs(root));
        }
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
        ("user namespace", CloneFlags::empty()),
        ("mount namespace", CloneFlags::CLONE_NEWNS),
        ("pid namespace", CloneFlags::CLONE_NEWPID),
    ];
    let uid = rustix::process::geteuid().as_raw();
    kinds
        .into_iter()
        .map(|(name, flags)| {
            match userns::in_child("make a namespace", || userns::enter_own_namespace(flags, uid)) {
                Ok(()) => Check::good(name, "works".into()),
                Err(error) => Check::bad(name, error.to_string(), Some(&refusal())),
            }
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

fn stubs(root: &Path) -> Check {
    match probe::run(root) {
        Ok(probe) => match probe.stub {
            None => Check::good("projection", "stub (tried by a mount)".into()),
            Some(why) => Check::bad("projection", why, probe.hint.as_deref()),
        },
        Err(error) => Check::bad("projection", error.to_string(), error.hint()),
    }
}

impl Check {
    fn good(name: &'static str, found: String) -> Self {
        Self { name, found, verdict: Verdict::Good, hint: None }
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
