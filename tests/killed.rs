//! Killed, or refused by the disk, at every step of everything that vrift does: the store is
//! sound at once, the next command finishes or takes back what was open, what a workspace
//! shows is what is recorded, an old state or a new one, and a second recovery changes nothing.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::acts::{ACTS, Act, Again};
use support::{Ran, World, listing, whole};
use vrift::cas::durable::Point;
use vrift::os::{failpoint, remove::remove_tree};

/// What each workspace shows, and what the host directory holds: names, kinds, modes and
/// contents. Times are another run's.
type Views = BTreeMap<String, Vec<String>>;

/// A world that can be brought back to what it was after `begin`.
struct Prepared {
    world: World,
    saved: PathBuf,
}

impl Prepared {
    fn new(act: &Act) -> Self {
        let mut world = World::new();
        (act.begin)(&mut world);
        // work directories that nobody but their owner's power can copy
        for project in whole::projects(&world.store) {
            for entry in std::fs::read_dir(project.join("staging")).unwrap().flatten() {
                let is_used = entry.path().extension().is_some_and(|ending| ending == "used");
                if is_used && act.only.contains(&"staging.cleaned") {
                    // the act is about it
                    let dirty = entry.path().join("work/work/incompat/volatile/dirty");
                    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                    std::fs::set_permissions(dirty, readable).unwrap();
                    continue;
                }
                if entry.path().is_dir() && entry.path().extension().is_some() {
                    remove_tree(&entry.path()).unwrap();
                }
                let _ = remove_tree(&entry.path().join("work/work"));
            }
        }
        let saved = world.path().join("saved");
        std::fs::create_dir(&saved).unwrap();
        copy(&world.store, &saved.join("store"));
        copy(&world.project, &saved.join("project"));
        Self { world, saved }
    }

    fn restore(&self) {
        remove_tree(&self.world.store).unwrap();
        copy(&self.saved.join("store"), &self.world.store);
        // the directory itself stays: a project is known by its inode
        for entry in std::fs::read_dir(&self.world.project).unwrap().flatten() {
            remove_tree(&entry.path()).unwrap();
        }
        copy(&self.saved.join("project"), &self.world.project);
    }

    fn act(&self, act: &Act) -> Command {
        let mut command = self.world.vrift();
        command.args((act.args)(&self.world)).env("VRIFT_HISTORY_BYTES", "0").process_group(0);
        command
    }
}

fn copy(from: &Path, to: &Path) {
    if from.exists() {
        let copied = Command::new("cp").args(["-aT"]).args([from, to]).output().unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    }
}

/// Commands that a user gives next. They finish what was open.
fn recover(world: &World, act: &Act, what: &str) {
    if act.again != Again::No {
        // done already, it may be refused
        let _ = world.vrift().args((act.args)(world)).output().unwrap();
    }
    let next = world.exec(["true"]);
    assert_eq!(next.code(), 0, "{what}: {}", next.stderr());
    world.run(["recover", "--keep"]).ok();
    for workspace in whole::workspaces(&world.store) {
        if !workspace.is_throw_away() && workspace.name != "main" {
            world.run(["exec", "-w", &workspace.name, "--", "true"]).ok();
        }
    }
}

/// What every workspace shows; it is what is recorded, times and all.
fn views(world: &World, what: &str) -> Views {
    let mut views = Views::from([("the host".into(), without_times(&listing(&world.project)))]);
    for workspace in whole::workspaces(&world.store).into_iter().filter(|one| !one.is_throw_away()) {
        let name = &workspace.name;
        let (seen, recorded) = (world.path().join("seen"), world.path().join("recorded"));
        for dir in [&seen, &recorded] {
            remove_tree(dir).unwrap();
        }
        let script = format!("cp -aT . {}", seen.display());
        world.run(["exec", "-w", name, "--no-sync", "--", "sh", "-c", &script]).ok();
        world.run(["export", name, recorded.to_str().unwrap()]).ok();
        let lines = listing(&seen);
        let other = listing(&recorded);
        assert!(lines == other, "{what}: workspace {name} shows\n{lines:#?}\nand should\n{other:#?}");
        views.insert(name.clone(), without_times(&lines));
    }
    views
}

/// The second last of name, mode, time, …
fn without_times(lines: &[String]) -> Vec<String> {
    let without = |line: &String| {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.remove(2);
        words.join(" ")
    };
    lines.iter().map(without).collect()
}

/// All that must hold after a command was cut short.
fn check(prepared: &Prepared, act: &Act, allowed: &[Views], what: &str) {
    let world = &prepared.world;
    // what a power cut took is looked for by the next command
    let is_cut = !Point::read(&world.store).is_some_and(|point| point.is_of_this_boot());
    if !is_cut && act.again != Again::Broken {
        whole::check(&world.store, what);
    }
    recover(world, act, what);
    whole::check(&world.store, what);
    let views = views(world, what);
    for (name, view) in &views {
        let is_known = allowed.iter().any(|views| views.get(name) == Some(view));
        assert!(is_known, "{what}: {name} has\n{view:#?}\nneither old nor new: {allowed:#?}");
    }
    assert!(world.staging().is_empty(), "{what}: {:?}", world.staging());
    let once = whole::dump(&world.store);
    recover(world, act, what);
    let changed = whole::difference(&once, &whole::dump(&world.store));
    assert!(changed.is_empty(), "{what}: a second recovery changed {changed:#?}");
    // what nothing refers to hurts nobody, and goes with the next run that writes
    world.sh("echo last > last").ok();
    let mut strays = whole::strays(&world.store);
    // an object that was to be linked into a tree keeps the mode of the file it is for
    strays.retain(|stray| act.name != "run on hard links" || !stray.contains("/objects/"));
    assert!(strays.is_empty(), "{what}: {strays:?}");
}

/// The failpoints that a command comes to, with how often.
fn met(prepared: &Prepared, act: &Act) -> BTreeMap<String, usize> {
    let file = prepared.world.path().join("met");
    let ran = Ran(prepared.act(act).env("VRIFT_FAILPOINTS_MET", &file).output().unwrap());
    assert_eq!(ran.code(), 0, "{}: {}", act.name, ran.stderr());
    let mut met = BTreeMap::new();
    for name in std::fs::read_to_string(&file).unwrap_or_default().lines() {
        *met.entry(name.to_string()).or_default() += 1;
    }
    met
}

/// Of the times that a command comes to a place, those that it is killed at.
fn times(count: usize) -> std::ops::RangeInclusive<usize> {
    1..=if is_slow() { count.min(12) } else { 1 }
}

/// Everything is tried at every place, not only what is likeliest to tell.
fn is_slow() -> bool {
    std::env::var_os("VRIFT_SLOW").is_some()
}

/// Steps of acts whose failure nobody is told: nothing hangs on them.
const NOBODY_IS_TOLD: &[(&str, &str)] = &[
    ("project forget", "object.settled"),
    ("run that finds what another left", "staging.cleaned"),
    ("run that finds what another left", "staging.spare"),
];

/// An act in its world, with the states that are as good as the old one and the new one, and
/// the places it comes to.
struct Tried {
    act: &'static Act,
    prepared: Prepared,
    allowed: Vec<Views>,
    met: BTreeMap<String, usize>,
}

impl Tried {
    fn new(act: &'static Act) -> Self {
        let prepared = Prepared::new(act);
        let mut allowed = Vec::new();
        // not done at all, done, and done in part
        recover(&prepared.world, act, act.name);
        allowed.push(views(&prepared.world, act.name));
        prepared.restore();
        let mut met = met(&prepared, act);
        recover(&prepared.world, act, act.name);
        allowed.push(views(&prepared.world, act.name));
        if let Some(script) = act.between {
            prepared.restore();
            prepared.world.sh(script).ok();
            allowed.push(views(&prepared.world, act.name));
        }
        met.retain(|name, _| act.only.is_empty() || act.only.contains(&name.as_str()));
        Self { act, prepared, allowed, met }
    }

    fn attempt(&self, failpoint: String) -> Ran {
        self.prepared.restore();
        Ran(self.prepared.act(self.act).env("VRIFT_FAILPOINT", failpoint).output().unwrap())
    }

    fn kill(&self, name: &str) {
        for time in times(self.met[name]) {
            let what = format!("{}, killed at {name}:{time}", self.act.name);
            let killed = self.attempt(format!("{name}:{time}!"));
            // counted by each process for itself: a later time may be nobody's
            assert!(time > 1 || killed.0.status.signal() == Some(9), "{what}: {}", killed.stderr());
            check(&self.prepared, self.act, &self.allowed, &what);
        }
    }

    fn fail(&self, name: &str, (errno, text): (i32, &str)) {
        let what = format!("{}, {text} at {name}", self.act.name);
        let failed = self.attempt(format!("{name}={errno}"));
        let said = failed.stderr();
        // a repair goes on without a step, or finds another way, and looks again at the end
        let is_mended = self.act.again == Again::Broken && said.contains("repaired: ");
        let is_told = is_mended || failed.code() != 0 && said.contains(text);
        assert!(!said.contains("panicked"), "{what}: {said}");
        assert!(
            is_told || NOBODY_IS_TOLD.contains(&(self.act.name, name)),
            "{what}: {} {said}",
            failed.code()
        );
        check(&self.prepared, self.act, &self.allowed, &what);
    }
}

/// Does something with each, as many at once as there are processors.
fn for_each<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(at) else { break };
                    let result = work(one);
                    done.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// At how many acts a place is tried, when not everything is: it is the first that come to it.
const ACTS_A_PLACE: usize = 2;

/// What is cut short in a test of its own: another process dies there, no project is left, or
/// it takes a filesystem that refuses something.
const ELSEWHERE: &[(&str, &str)] = &[
    ("mover.", include_str!("rename_killed.rs")),
    ("destroy.", include_str!("store.rs")),
    ("plain.", include_str!("plain.rs")),
    ("apply.", include_str!("apply_own.rs")),
    ("apply.", include_str!("apply_killed.rs")),
    ("live.", include_str!("live_sync.rs")),
    ("mirror.", include_str!("apply_killed.rs")),
];

#[test]
fn whatever_is_killed_or_fails_at_any_step_leaves_the_old_state_or_the_new() {
    needs_sessions!();
    let wanted = std::env::var("VRIFT_ACT").ok();
    let acts: Vec<&'static Act> =
        ACTS.iter().filter(|act| wanted.as_ref().is_none_or(|name| act.name == name)).collect();
    let all = for_each(&acts, |act| Tried::new(act));
    let nth = |tried: &Tried, name: &str| {
        let before = all.iter().take_while(|other| !std::ptr::eq(*other, tried));
        before.filter(|other| other.met.contains_key(name)).count()
    };
    for_each(&all, |tried| {
        let began = std::time::Instant::now();
        let mut cuts = 0;
        for (number, name) in tried.met.keys().enumerate() {
            let nth = nth(tried, name);
            if is_slow() || nth < ACTS_A_PLACE {
                tried.kill(name);
                cuts += 1;
            }
            let errnos = [(28, "No space left"), (5, "Input/output error")];
            let errnos = match (is_slow(), nth) {
                (true, _) => &errnos[..],
                (false, 0) => &errnos[number % 2..][..1],
                _ => &[],
            };
            errnos.iter().for_each(|errno| tried.fail(name, *errno));
            cuts += errnos.len();
        }
        eprintln!("{}: cut short {cuts} times, {:.1} s", tried.act.name, began.elapsed().as_secs_f32());
    });
    if wanted.is_none() {
        let reached: BTreeSet<&String> = all.iter().flat_map(|tried| tried.met.keys()).collect();
        let missed = failpoint::ALL.iter().filter(|name| !reached.contains(&(**name).to_string()));
        let is_in =
            |test: &str, name: &str, rest: &str| test.contains(name) || test.contains(&format!("{rest:?}"));
        let is_elsewhere = |name: &str| {
            let mut tests = ELSEWHERE.iter();
            tests.any(|(kind, test)| name.strip_prefix(kind).is_some_and(|rest| is_in(test, name, rest)))
        };
        // where objects have the files' own modes none is wrong
        let has_modes = World::new().links_objects();
        let is_elsewhere = |name: &str| is_elsewhere(name) || has_modes && name == "repair.mode";
        let missed: Vec<_> = missed.filter(|name| !is_elsewhere(name)).collect();
        assert!(missed.is_empty(), "no act comes to {missed:?}");
    }
}

#[test]
fn every_place_in_the_sources_is_in_the_list_and_the_list_has_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(root).into_iter().flatten() {
        if entry.file_type().is_file() && !entry.path().ends_with("os/failpoint.rs") {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let names = text.split("failpoint::at(").skip(1);
            found.extend(names.map(|rest| rest.split('"').nth(1).unwrap_or(rest).to_string()));
        }
    }
    let listed: BTreeSet<String> = failpoint::ALL.iter().map(|name| (*name).to_string()).collect();
    assert_eq!(found, listed);
    assert!(failpoint::ALL.is_sorted());
}
