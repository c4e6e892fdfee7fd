//! The store's directory: whose it is, what its filesystem can do, what is left there.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::super::printer::size;
use super::check::{Check, Verdict};
use super::subject::Subject;
use crate::cas::protect::Means;
use crate::cas::{Store, format};
use crate::config::protect::{Protect, Which};
use crate::error::{Error, quoted, shell_word};
use crate::manifest::Manifest;
use crate::os::filesystem::{Abilities, Filesystem, Fit};

/// Below this it is time to say so.
const FEW_BYTES: u64 = 1 << 30;
const FEW_INODES: u64 = 20_000;
const ELSEWHERE: &str = "put the store on a local disk (ext4, xfs, btrfs), in a container on a volume, with --store DIR or VRIFT_STORE";

pub fn checks(subject: &Subject) -> Vec<Check> {
    let mut checks = vec![place(subject), format(&subject.root)];
    checks.extend(space(subject));
    checks.extend(abilities(subject));
    checks.push(database(subject));
    checks.extend(mounts(subject));
    checks.push(protection(subject));
    checks
}

fn place(subject: &Subject) -> Check {
    let (root, place) = (&subject.root, &subject.place);
    let shown = quoted(root.as_os_str());
    let missing = if place == root { "" } else { " (made by the first run)" };
    let (filesystem, stat) = match (Filesystem::of(place), place.metadata()) {
        (Ok(filesystem), Ok(stat)) => (filesystem, stat),
        (Err(error), _) => return Check::failed("store", &error, Verdict::Bad),
        (_, Err(error)) => return Check::failed("store", &Error::io("stat", place, &error), Verdict::Bad),
    };
    let found = format!("{shown} on {}{missing}", filesystem.name);
    if !stat.is_dir() {
        return Check::lacking(
            "store",
            format!("{} is no directory", quoted(place.as_os_str())),
            Verdict::Bad,
        )
        .hint("choose another with --store DIR or VRIFT_STORE");
    }
    let me = rustix::process::geteuid();
    if place == root && stat.uid() != me.as_raw() {
        let verdict = if me.is_root() { Verdict::Note } else { Verdict::Bad };
        return Check::lacking("store", format!("{found}; it belongs to uid {}", stat.uid()), verdict)
            .hint("a store is for one user: each user has their own");
    }
    if place == root && stat.permissions().mode() & 0o077 != 0 {
        return Check::lacking("store", format!("{found}; others may enter it"), Verdict::Note)
            .command(format!("chmod 700 {}", shell_word(root)));
    }
    match filesystem.fit {
        Fit::Memory => {
            Check::lacking("store", format!("{found}: all of it is gone after a reboot"), Verdict::Note)
                .hint(ELSEWHERE)
        }
        Fit::Network | Fit::Overlay => Check::lacking("store", found, subject.severity()).hint(ELSEWHERE),
        Fit::Local | Fit::Other => Check::good("store", found),
    }
}

fn format(root: &Path) -> Check {
    match Store::open(root) {
        Ok(Some(_)) => Check::good("format", "known"),
        Ok(None) => Check::good("format", "no store yet"),
        Err(error) => Check::failed("format", &error, Verdict::Bad),
    }
}

fn space(subject: &Subject) -> Option<Check> {
    let filesystem = Filesystem::of(&subject.place).ok()?;
    let inodes = filesystem.free_inodes.map(|free| format!(", {free} inodes")).unwrap_or_default();
    let found = format!("{}{inodes} free", size(filesystem.free_bytes));
    let few =
        filesystem.free_bytes < FEW_BYTES || filesystem.free_inodes.is_some_and(|free| free < FEW_INODES);
    let none = filesystem.free_bytes == 0 || filesystem.free_inodes == Some(0);
    Some(match (none, few) {
        (true, _) => Check::lacking("space", found, subject.severity()).hint(MORE_SPACE),
        (_, true) => Check::lacking("space", found, Verdict::Note).hint(MORE_SPACE),
        _ => Check::good("space", found),
    })
}

const MORE_SPACE: &str = "free some there, or put the store on another disk: --store DIR or VRIFT_STORE; nothing is lost meanwhile";

fn abilities(subject: &Subject) -> Vec<Check> {
    let found = match subject.scratch("abilities").and_then(|scratch| Abilities::of(&scratch)) {
        Ok(found) => found,
        Err(error) => return vec![Check::failed("writing", &error, Verdict::Bad)],
    };
    let trials = [("user xattrs", found.xattrs), ("unnamed files", found.unnamed), ("case", found.case)];
    let check = |(name, outcome): (&'static str, Result<(), Error>)| match outcome {
        Ok(()) => Check::good(name, "works"),
        Err(error) => Check::failed(name, &error, subject.severity()).hint(ELSEWHERE),
    };
    let mut checks: Vec<Check> = trials.into_iter().map(check).collect();
    checks.insert(2, locks(subject, found.locks));
    let reflink = if found.reflink { "works" } else { "not there: what a checkpoint needs is copied" };
    checks.push(Check::good("reflink", reflink));
    checks
}

/// A store keeps to what it was made with.
fn locks(subject: &Subject, found: Result<Option<Error>, Error>) -> Check {
    // what the process itself does may be of the scratch store that was tried
    let by_files =
        std::fs::read(subject.root.join(format::NAME)).is_ok_and(|text| format::has_lock_files(&text));
    match found {
        Err(error) => Check::failed("locks", &error, subject.severity()).hint(ELSEWHERE),
        Ok(None) if by_files => {
            Check::good("locks", "works; the store, made where flock(2) was refused, goes on with lock files")
        }
        Ok(None) => Check::good("locks", "works"),
        Ok(Some(refused)) if by_files || !subject.root.join(format::NAME).exists() => {
            let why = refused.cause().unwrap_or_default();
            Check::good("locks", format!("lock files: flock(2) is refused here ({why})"))
        }
        Ok(Some(refused)) => Check::failed("locks", &refused, Verdict::Bad).hint(
            "the store was made where flock(2) works: use it there, or make another one here: --store DIR",
        ),
    }
}

/// SQLite's log needs shared memory and locks that hold.
fn database(subject: &Subject) -> Check {
    let tried = subject.scratch("database").and_then(|scratch| {
        let manifest = Manifest::open(&scratch)?;
        manifest.set_meta("doctor", b"was here")?;
        manifest.checkpoint_if_large(true)
    });
    match tried {
        Ok(()) => Check::good("database", "works"),
        Err(error) => Check::failed("database", &error, subject.severity()),
    }
}

fn mounts(subject: &Subject) -> Vec<Check> {
    let probe = match &subject.probe {
        Ok(probe) => probe,
        Err(error) => return vec![Check::failed("overlay", error, subject.severity())],
    };
    let check = |name, outcome: &Result<(), Error>, works: &str| match outcome {
        Ok(()) => Check::good(name, works),
        Err(error) => Check::failed(name, error, subject.severity()),
    };
    let overlay = check("overlay", &probe.overlay, "works (tried by a mount)");
    if probe.overlay.is_err() {
        return vec![overlay];
    }
    vec![overlay, projection(subject, &probe.stub)]
}

/// What keeps stored contents from being changed, and why nothing stronger.
fn protection(subject: &Subject) -> Check {
    let tried = Protect::of_user().and_then(|wanted| {
        let scratch = subject.scratch("protection")?;
        let (means, why) = Means::find(&scratch, &wanted.by);
        let which = match (&means, wanted.which) {
            (_, Which::None) | (None, _) => None,
            (Some(means), Which::Tier1) => Some(format!("contents of tier1 by {}, others", means.name())),
            (Some(means), Which::All) => {
                Some(format!("all by {}, from the next gc on; until then", means.name()))
            }
        };
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
        Ok(format!("{} 0444 in a directory of mode 0700{why}", which.as_deref().unwrap_or("contents are")))
    });
    match tried {
        Ok(found) => Check::good("protection", found),
        Err(error) => Check::failed("protection", &error, Verdict::Note),
    }
}

/// What runs get unless they ask for another one, and why not stubs.
fn projection(subject: &Subject, stub: &Result<(), Error>) -> Check {
    let Err(why) = stub else { return Check::good("projection", "stub (tried by a mount)") };
    let reflinks = subject.scratch("reflinks").and_then(|scratch| Abilities::of(&scratch));
    let files = if reflinks.is_ok_and(|found| found.reflink) { "reflinks" } else { "links to objects" };
    let found = format!("hardlink, whose files are {files} here; no stubs: {why}");
    Check { hint: why.hint().map(Into::into), ..Check::lacking("projection", found, Verdict::Note) }
}
