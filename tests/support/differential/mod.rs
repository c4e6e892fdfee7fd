//! The same calls on a bare directory and inside runs must give the same.
//!
//! A [`Sequence`] is made from a seed: a project on the host, then several runs, each a
//! script for `executor.c`. Each script is performed on a plain copy and through
//! `vrift exec`. Compared are: what each call gave; the tree at the end of the run, by
//! kind, content, mode, mtime, target, xattrs and hard-link groups; the manifest's
//! head after it; the tree at the beginning of the next run. A time is compared to
//! the nanosecond; one that is "now" by the run in which it was set.
//!
//! A failure is made smaller and shown as scripts with its seed:
//! `VRIFT_DIFF_SEED=n` runs this seed alone, `VRIFT_DIFF_COUNT=n` so many; `VRIFT_DIFF_FROM=n`
//! begins with that one. Without any they are others each time.

mod generate;
mod tree;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use vrift::session::project::choice::project_id;

use super::World;
use generate::Sequence;
use tree::{Time, Tree};

/// For one execution of a script.
const LIMIT: Duration = Duration::from_secs(60);
/// For making a failure smaller.
const SHRINKING: Duration = Duration::from_secs(90);
/// By how many blocks of 512 bytes the same file may differ: where its xattrs and extents
/// lie (in the inode or beside it) is the filesystem's matter.
const BLOCKS: u64 = 16;

/// How a run is made.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// What is done between the making of the project and the first run; `vrift` verbs, say.
    pub prepare: &'a (dyn Fn(&World) + Sync),
    /// Arguments between `vrift exec` and `--`.
    pub exec: &'a [&'a str],
    /// The workspace they name.
    pub workspace: &'a str,
    /// Link counts tell of the store's names too.
    pub shares_inodes: bool,
    /// How many runs a sequence has.
    pub runs: usize,
    /// Directories that were there when a run began can be renamed.
    pub moves_directories: bool,
}

/// Runs in the workspace that follows the host.
pub const MAIN: Way<'static> = Way {
    prepare: &|_| (),
    exec: &[],
    workspace: "main",
    shares_inodes: false,
    runs: 3,
    moves_directories: true,
};

/// Runs in a fork that shares its base with `main`: each ends in a layer, and layers are merged.
pub const FORK: Way<'static> = Way {
    prepare: &|world| {
        for arguments in [&["sync"][..], &["fork", "side"]] {
            let ran = world.vrift().args(["-q", "-C"]).arg(&world.project).args(arguments).output().unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
    },
    exec: &["-w", "side"],
    workspace: "side",
    shares_inodes: true,
    runs: 7,
    ..MAIN
};

/// Compares `count` sequences; panics with the smallest failure found.
pub fn check(way: &Way<'_>, count: u64) {
    if !compiler_works() {
        return;
    }
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let first = number("VRIFT_DIFF_SEED")
        .or(number("VRIFT_DIFF_FROM"))
        .unwrap_or(since.as_nanos() as u64 & 0xffff_ffff);
    let count = match std::env::var_os("VRIFT_DIFF_SEED") {
        Some(_) => 1,
        None => number("VRIFT_DIFF_COUNT").unwrap_or(count),
    };
    eprintln!("seeds {first} to {}", first + count - 1);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(4)) as u64;
    let calls = std::thread::scope(|scope| {
        let some = |from: u64| {
            let mut calls = Calls::default();
            let mut bench = Bench::new();
            for seed in (first + from..first + count).step_by(threads as usize) {
                bench.check(way, seed, &mut calls);
            }
            calls
        };
        let started: Vec<_> = (0..threads).map(|from| scope.spawn(move || some(from))).collect();
        let ended = started.into_iter().map(|thread| thread.join());
        let failed = |failure| std::panic::resume_unwind(failure);
        ended.map(|calls| calls.unwrap_or_else(failed)).fold(Calls::default(), Calls::and)
    });
    eprintln!("{calls:?}");
    // Calls that mostly fail would show little.
    assert!(calls.succeeded * 4 > calls.all, "{calls:?}");
    assert!(calls.directories > 0 || count < 20 || !way.moves_directories, "{calls:?}");
}

fn compiler_works() -> bool {
    let tried = Command::new("cc").arg("--version").stdout(Stdio::null()).status();
    match tried {
        Ok(status) if status.success() => true,
        other => {
            assert!(std::env::var_os("VRIFT_MUST_WORK").is_none(), "no C compiler: {other:?}");
            eprintln!("skipped: no C compiler: {other:?}");
            false
        }
    }
}

/// What the calls gave.
#[derive(Debug, Default)]
struct Calls {
    all: u64,
    succeeded: u64,
    skipped: u64,
    /// Renames of a directory that was there when the run began.
    directories: u64,
}

impl Calls {
    fn and(self, other: Self) -> Self {
        Self {
            all: self.all + other.all,
            succeeded: self.succeeded + other.succeeded,
            skipped: self.skipped + other.skipped,
            directories: self.directories + other.directories,
        }
    }

    fn count(&mut self, result: &str) {
        self.all += 1;
        self.succeeded += u64::from(!result.starts_with('-'));
        self.skipped += u64::from(result == "skipped");
        self.directories += u64::from(result == "ok directory");
    }
}

fn shown(sequence: &Sequence) -> String {
    let mut text = format!("on the host:\n{}\n", sequence.base.join("\n"));
    for (at, run) in sequence.runs.iter().enumerate() {
        let _ = write!(text, "run {at}:\n{}\n", run.join("\n"));
    }
    text
}

/// The executor, and a world in which each sequence has a project of its own.
struct Bench {
    world: World,
    executor: PathBuf,
    sequences: u64,
}

impl Bench {
    fn new() -> Self {
        let world = World::new();
        let executor = world.path().join("executor");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/differential/executor.c");
        let compiled = Command::new("cc").args(["-O1", "-o"]).arg(&executor).arg(source).status();
        assert!(compiled.unwrap().success(), "the executor does not compile");
        Self { world, executor, sequences: 0 }
    }

    fn check(&mut self, way: &Way<'_>, seed: u64, calls: &mut Calls) {
        let sequence = generate::sequence(seed, way.runs);
        if let Err(why) = self.compare(way, &sequence, calls) {
            let (small, why) = self.smaller(way, sequence, why);
            panic!("seed {seed} (VRIFT_DIFF_SEED={seed}): {why}\n{}", shown(&small));
        }
    }

    /// Performs a sequence both ways; the first difference is the error.
    fn compare(&mut self, way: &Way<'_>, sequence: &Sequence, calls: &mut Calls) -> Result<(), String> {
        self.sequences += 1;
        let place = self.world.path().join(self.sequences.to_string());
        self.world.project = place.join("view");
        std::fs::create_dir_all(&self.world.project).unwrap();
        let outcome = self.both(&place.join("bare"), way, sequence, calls);
        vrift::os::remove::remove_tree(&place).unwrap();
        let project = self.project_in_store();
        let removed = vrift::os::userns::as_root_of_own_files("clean up", || {
            project.symlink_metadata().map_or(Ok(()), |_| vrift::os::remove::remove_tree(&project))
        });
        outcome.and(removed.map_err(|error| error.to_string()))
    }

    fn both(&self, bare: &Path, way: &Way<'_>, sequence: &Sequence, calls: &mut Calls) -> Result<(), String> {
        let world = &self.world;
        self.perform(Command::new(&self.executor), &world.project, &sequence.base, way)?;
        tree::make_readable(&world.project);
        let copied = Command::new("cp").arg("-a").arg(&world.project).arg(bare).status();
        assert!(copied.unwrap().success(), "cp -a");
        (way.prepare)(world);
        let mut starts = Starts::default();
        let mut head: Option<Tree> = None;
        for (number, run) in sequence.runs.iter().enumerate() {
            let outside = self.perform(Command::new(&self.executor), bare, run, way)?;
            let mut vrift = world.vrift();
            vrift
                .args(["-q", "-C"])
                .arg(&world.project)
                .arg("exec")
                .args(way.exec)
                .arg("--")
                .arg(&self.executor);
            let inside = self.perform(vrift, &world.project, run, way)?;
            starts.0.push((outside.start, inside.start));
            let during = |what: &str, why: String| format!("run {number}, {what}: {why}");
            for (call, (bare, view)) in run.iter().zip(outside.results.iter().zip(&inside.results)) {
                calls.count(bare);
                starts.same_result(bare, view).map_err(|why| during(call, why))?;
            }
            if let Some(head) = &head {
                same_trees(head, &inside.before, &|a, b| a == b)
                    .and_then(|()| same_groups(head, &inside.before))
                    .map_err(|why| during("the head before it and the view", why))?;
            }
            let taken = tree::of_head(&world.store, &self.project_in_store(), way.workspace);
            same_trees(&taken, &inside.after, &|a, b| a == b)
                .and_then(|()| tied_in(&taken, &inside.after))
                .map_err(|why| during("the head after it and the view", why))?;
            let copy = tree::of_directory(bare);
            same_trees(&copy, &taken, &|bare, view| starts.same_time(bare, view))
                .and_then(|()| same_groups(&copy, &taken))
                .map_err(|why| during("the bare copy and the head after it", format!("{why}{starts:?}")))?;
            head = Some(taken);
        }
        Ok(())
    }

    /// Runs the executor on a script in a directory.
    fn perform(
        &self,
        mut command: Command,
        place: &Path,
        calls: &[String],
        way: &Way<'_>,
    ) -> Result<Performed, String> {
        let script = self.world.path().join("script");
        let directories = if way.moves_directories { "any" } else { "upper" };
        let links = if way.shares_inodes || self.world.links_objects() { "shared" } else { "exact" };
        let calls_as_text: String = calls.iter().map(|call| format!("{call}\n")).collect();
        std::fs::write(&script, format!("begin {directories} {links}\ntree\n{calls_as_text}tree\n")).unwrap();
        command.arg(&script).current_dir(place).stdin(Stdio::null());
        let output = output_within(command, LIMIT)?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("{}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        Performed::read(&text, calls.len())
    }

    fn project_in_store(&self) -> PathBuf {
        self.world.store.join("projects").join(project_id(&self.world.project))
    }

    /// Leaves out what the failure does not need: halves, quarters, … single lines.
    fn smaller(&mut self, way: &Way<'_>, mut failing: Sequence, mut why: String) -> (Sequence, String) {
        let began = Instant::now();
        let mut piece = failing.lists().map(Vec::len).max().unwrap_or(1);
        while piece > 0 {
            let mut any = false;
            for list in 0..failing.lists().count() {
                let mut at = 0;
                while at < failing.lists().nth(list).map_or(0, Vec::len) {
                    if began.elapsed() > SHRINKING {
                        return (failing, why);
                    }
                    let mut tried = failing.clone();
                    if let Some(lines) = tried.lists_mut().nth(list) {
                        lines.drain(at..(at + piece).min(lines.len()));
                    }
                    match self.compare(way, &tried, &mut Calls::default()) {
                        Ok(()) => at += piece,
                        Err(other) => (failing, why, any) = (tried, other, true),
                    }
                }
            }
            if piece > 1 || !any {
                piece /= 2;
            }
        }
        (failing, why)
    }
}

fn output_within(mut command: Command, limit: Duration) -> Result<Output, String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map(|_| bytes).unwrap_or_default()
    };
    std::thread::scope(|scope| {
        let (stdout, stderr) = (scope.spawn(|| read(&mut stdout)), scope.spawn(|| read(&mut stderr)));
        let began = Instant::now();
        let mut late = false;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if !late && began.elapsed() > limit {
                late = true;
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_micros(500));
        };
        let output = Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
        if late { Err(format!("hangs: {}", String::from_utf8_lossy(&output.stdout))) } else { Ok(output) }
    })
}

/// `#held/size/data`: blocks of 512 bytes that a file holds and that its size would be, and
/// whether it is not all zeros.
fn blocks(word: &str) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> =
        word.strip_prefix('#')?.split('/').map(|word| word.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Copy-up may fill holes, and drops what was allocated and not written (README, limits); but
/// data holds blocks, or programs would take all of it for a hole.
fn fits([held, size, data]: [u64; 3], view: [u64; 3]) -> bool {
    [size, data] == view[1..] && view[0] <= held.max(size) + BLOCKS && (view[0] > 0 || data == 0 || held == 0)
}

/// What the executor said.
struct Performed {
    start: Time,
    before: Tree,
    results: Vec<String>,
    after: Tree,
}

impl Performed {
    fn read(text: &str, calls: usize) -> Result<Self, String> {
        let mut lines = text.lines().peekable();
        let mut result = |number: usize| {
            let line = lines.next().ok_or_else(|| format!("the executor stopped before call {number}"))?;
            let result = line
                .strip_prefix(&format!("{number} "))
                .ok_or_else(|| format!("not call {number}: {line}"))?;
            let tree = std::iter::from_fn(|| lines.next_if(|line| line.starts_with('|')));
            Ok::<_, String>((
                result.to_string(),
                tree.filter_map(|line| line.strip_prefix('|')).collect::<Vec<_>>(),
            ))
        };
        let start = tree::time(&result(0)?.0).ok_or("no time")?;
        let before = tree::parse(result(1)?.1.into_iter())?;
        let results = (2..calls + 2).map(|number| Ok(result(number)?.0)).collect::<Result<_, String>>()?;
        let after = tree::parse(result(calls + 2)?.1.into_iter())?;
        Ok(Self { start, before, results, after })
    }
}

/// When each run began: bare, inside.
#[derive(Debug, Default)]
struct Starts(Vec<(Time, Time)>);

impl Starts {
    /// Equal to the nanosecond, or set to "now" in the same run.
    fn same_time(&self, bare: Time, view: Time) -> bool {
        let run = |time: Time, of: fn(&(Time, Time)) -> Time| {
            let far = self.0.last().is_some_and(|last| time.0 > of(last).0 + 3600);
            self.0.iter().rposition(|start| of(start) <= time).filter(|_| !far)
        };
        match (run(bare, |start| start.0), run(view, |start| start.1)) {
            (None, None) => bare == view,
            (bare, view) => bare == view,
        }
    }

    fn same_result(&self, bare: &str, view: &str) -> Result<(), String> {
        let same =
            |bare: &str, view: &str| match (tree::time(bare), tree::time(view), blocks(bare), blocks(view)) {
                (Some(bare), Some(view), ..) => self.same_time(bare, view),
                (.., Some(bare), Some(view)) => fits(bare, view),
                _ => bare == view,
            };
        let (words, others) = (bare.split(' '), view.split(' '));
        if words.clone().count() == others.clone().count() && words.zip(others).all(|(a, b)| same(a, b)) {
            return Ok(());
        }
        let meaning = |result: &str| {
            let errno = result.strip_prefix('-').and_then(|errno| errno.parse().ok());
            errno.map_or_else(
                || result.to_string(),
                |errno| std::io::Error::from_raw_os_error(errno).to_string(),
            )
        };
        Err(format!("bare: {}; inside: {}", meaning(bare), meaning(view)))
    }
}

/// Equal but for what the second one's reader had no right to see, and groups.
fn same_trees(all: &Tree, seen: &Tree, same_time: &dyn Fn(Time, Time) -> bool) -> Result<(), String> {
    let closed = closed(seen);
    let hidden = |path: &str| path != "." && closed.iter().any(|above| path.starts_with(above));
    let paths: BTreeSet<&String> = all.keys().filter(|path| !hidden(path)).chain(seen.keys()).collect();
    for path in paths {
        let same = match (all.get(path), seen.get(path)) {
            (Some(a), Some(b)) => {
                (a.kind, a.mode) == (b.kind, b.mode)
                    && same_time(a.mtime, b.mtime)
                    && (a.what == b.what || b.what == "?")
                    && (a.xattrs == b.xattrs || b.xattrs.contains("=?"))
            }
            // a socket is not recorded
            (None, Some(b)) => b.kind == 's',
            (_, None) => false,
        };
        if !same {
            return Err(differ(path, all, seen));
        }
    }
    Ok(())
}

/// The directories whose names their reader could not see, as prefixes.
fn closed(seen: &Tree) -> Vec<String> {
    let closed = seen.iter().filter(|(_, node)| node.kind == 'd' && node.what == "?");
    closed.map(|(path, _)| if path == "." { String::new() } else { format!("{path}/") }).collect()
}

fn differ(path: &str, all: &Tree, seen: &Tree) -> String {
    format!("`{path}`:\n  {:?}\n  {:?}", all.get(path), seen.get(path))
}

/// The same names are one inode, where all can be seen.
fn same_groups(all: &Tree, seen: &Tree) -> Result<(), String> {
    if !closed(seen).is_empty() {
        return tied_in(all, seen);
    }
    match seen.iter().find(|(path, node)| all.get(*path).is_some_and(|other| other.group != node.group)) {
        Some((path, _)) => Err(differ(path, all, seen)),
        None => Ok(()),
    }
}

/// The names that are one inode in `seen` are one in `all`. The other way need not hold while
/// a run lasts: a file that was copied up, and a name that it got by link(2) after that,
/// have two inode numbers until the kernel's caches forget the first (README, limits).
fn tied_in(all: &Tree, seen: &Tree) -> Result<(), String> {
    let group = |path: &str| all.get(path).and_then(|node| node.group.as_ref());
    let wrong = seen.iter().find(|(path, node)| {
        let first = node.group.as_ref().filter(|_| node.kind != 's');
        first.is_some_and(|first| group(first).is_none() || group(path) != group(first))
    });
    wrong.map_or(Ok(()), |(path, _)| Err(differ(path, all, seen)))
}
