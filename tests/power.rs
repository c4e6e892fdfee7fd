//! The power is cut at random moments: everything that a returned `commit` has sealed is
//! whole and as it was, heads are whole, and work goes on.
//!
//! `VRIFT_CUTS=N` is how many, `VRIFT_SEED=N` which.

mod support;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::disk::Disk;
use support::{Ran, World, listing, whole};
use vrift::os::remove::remove_tree;

/// A generator of its own, so that a seed says everything (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A snapshot that `commit` has returned from, and what it holds.
struct Sealed {
    name: String,
    listing: Vec<String>,
}

/// What was done between two cuts.
struct Work<'a> {
    world: &'a World,
    boot: String,
    sealed: Mutex<Vec<Sealed>>,
    /// Commands that have ended.
    done: AtomicU64,
    stop: AtomicBool,
}

impl Work<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.vrift();
        command.env("VRIFT_BOOT_ID", &self.boot).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran(self.command(args).output().unwrap())
    }

    /// Runs a command of the workload; after the cut it is given a moment. True: it has
    /// succeeded.
    fn attempt(&self, args: &[&str]) -> bool {
        let mut command = self.command(args);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut cut = None;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                self.done.fetch_add(1, Ordering::Relaxed);
                return status.success();
            }
            if self.stop.load(Ordering::Relaxed)
                && cut.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(2)
            {
                return end(&mut child);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Random work until the power is cut.
    fn go_on(&self, dice: &mut Dice, outside: &Path) {
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            number += 1;
            let tag = format!("{}-{number}", self.boot);
            let workspace = if dice.below(3) == 0 { "f" } else { "main" };
            match dice.below(12) {
                0..=3 => {
                    let count = 1 + dice.below(30);
                    let bytes = 1 + dice.below(40_000);
                    let at = dice.below(8);
                    let script = format!(
                        "mkdir -p w{at}; for i in $(seq {count}); do head -c {bytes} /dev/urandom > w{at}/$i; done; \
                         rm -f w{at}/$(({count} / 2)); echo {tag} > tag; true"
                    );
                    self.attempt(&["exec", "-w", workspace, "--", "sh", "-c", &script]);
                }
                4 | 5 => {
                    let path = self.world.project.join(format!("h{}", dice.below(20)));
                    let _ = std::fs::write(path, format!("{tag}\n").repeat(1 + dice.below(2_000) as usize));
                    self.attempt(&["sync"]);
                }
                6..=8 => self.seal(&format!("c-{tag}"), workspace, outside),
                9 if dice.below(2) == 0 => drop(self.attempt(&["apply", "--on-conflict", "overwrite"])),
                9 => drop(self.attempt(&["fork", &format!("f-{tag}")])),
                10 => drop(self.attempt(&["undo", "-w", workspace])),
                // somebody else's fsync: the journal's names reach the disk, our bytes do not
                _ => {
                    let path = self.world.project.parent().unwrap().join("noise");
                    let written = std::fs::File::create(path).and_then(|file| {
                        std::io::Write::write_all(&mut &file, tag.as_bytes())?;
                        file.sync_all()
                    });
                    drop(written);
                }
            }
        }
    }

    /// Commits, and remembers what it promised: the workspace as it was right before.
    fn seal(&self, name: &str, workspace: &str, outside: &Path) {
        let place = outside.join("exported");
        remove_tree(&place).unwrap();
        if !self.attempt(&["exec", "-w", workspace, "true"])
            || !self.attempt(&["export", workspace, place.to_str().unwrap()])
        {
            return;
        }
        let listing = listing(&place);
        if self.attempt(&["commit", "--no-sync", "-w", workspace, name]) {
            self.sealed.lock().unwrap().push(Sealed { name: name.into(), listing });
        }
    }
}

fn end(child: &mut Child) -> bool {
    let group = rustix::process::Pid::from_child(child);
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    let _ = child.wait();
    false
}

/// Everything that must hold after the power came back. Returns what was said to be lost.
fn check(work: &Work<'_>, sealed: &[Sealed], outside: &Path, what: &str) -> usize {
    let first = work.run(&["exec", "--", "true"]);
    assert_eq!(first.code(), 0, "{what}: {}", first.stderr());
    let went_back =
        first.stderr().matches("went back").count() + first.stderr().matches("begins anew").count();
    // what was staged is nobody's promise
    let dropped = work.run(&["recover", "--drop"]);
    assert_eq!(dropped.code(), 0, "{what}: {}", dropped.stderr());
    let faults = whole::faults(&work.world.store);
    assert!(faults.is_empty(), "{what}: {faults:#?}\nsaid: {}", first.stderr());
    for seal in sealed {
        let place = outside.join("sealed");
        remove_tree(&place).unwrap();
        let exported = work.run(&["export", &seal.name, place.to_str().unwrap()]);
        assert_eq!(exported.code(), 0, "{what}: {} is lost: {}", seal.name, exported.stderr());
        assert!(listing(&place) == seal.listing, "{what}: {} is not as it was sealed", seal.name);
    }
    let (seen, recorded) = (outside.join("seen"), outside.join("recorded"));
    for name in ["main", "f"] {
        for dir in [&seen, &recorded] {
            remove_tree(dir).unwrap();
        }
        let script = format!("echo works > works && cat works && rm works && cp -aT . {}", seen.display());
        let ran = work.run(&["exec", "-w", name, "--", "sh", "-c", &script]);
        assert_eq!((ran.code(), ran.stdout().as_str()), (0, "works\n"), "{what}, {name}: {}", ran.stderr());
        work.run(&["exec", "-w", name, "--", "sh", "-c", "true"]).ok();
        work.run(&["export", name, recorded.to_str().unwrap()]).ok();
        // the root's own time moved with the file that came and went
        assert!(listing(&seen)[1..] == listing(&recorded)[1..], "{what}: {name} does not show its state");
    }
    let verified = work.run(&["verify", "--deep"]);
    assert_eq!(verified.code(), 0, "{what}: {}{}", verified.stdout(), verified.stderr());
    went_back
}

#[test]
fn what_a_commit_has_sealed_survives_every_power_cut() {
    needs_sessions!();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let usual = if std::env::var_os("VRIFT_SLOW").is_some() { 300 } else { 10 };
    let cuts = number("VRIFT_CUTS").unwrap_or(usual);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("VRIFT_SEED").unwrap_or(now.as_nanos() as u64 | 1);
    let mut world = World::new();
    let disk = match Disk::new(world.path()) {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("skipped: a filesystem of its own cannot be mounted here: {why}");
            return;
        }
    };
    eprintln!("{cuts} cuts, VRIFT_SEED={seed}");
    let mut dice = Dice(seed);
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    (world.store, world.project) = (disk.at.join("store"), disk.at.join("project"));
    std::fs::create_dir_all(world.project.join(".git")).unwrap();
    world.write("d/a", "a\n");
    let mut sealed: Vec<Sealed> = Vec::new();
    let mut work = Work {
        world: &world,
        boot: "boot0".into(),
        sealed: Mutex::default(),
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    work.run(&["exec", "--", "sh", "-c", "echo one > one"]).ok();
    work.run(&["fork", "f"]).ok();
    work.run(&["commit", "c0"]).ok();
    let (mut promised, mut went_back) = (0, 0);
    for cut in 1..=cuts {
        let what = format!("seed {seed}, cut {cut}");
        // so many commands whole, and somewhere in the next ones
        let (commands, wait) = (dice.below(12), Duration::from_micros(dice.below(60_000)));
        let mut workers_dice = Dice(dice.below(u64::MAX - 1) + 1);
        std::thread::scope(|scope| {
            let work = &work;
            let outside = &outside;
            scope.spawn(move || work.go_on(&mut workers_dice, outside));
            while work.done.load(Ordering::Relaxed) < commands {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(wait);
            disk.cut().unwrap();
            work.stop.store(true, Ordering::Relaxed);
        });
        disk.unmount().unwrap_or_else(|why| panic!("{what}: {why}"));
        disk.mount().unwrap();
        let new = std::mem::take(work.sealed.get_mut().unwrap());
        promised += new.len();
        // the newest, and a few of those that have survived cuts before
        sealed.extend(new);
        let from = sealed.len().saturating_sub(4);
        work = Work {
            boot: format!("boot{cut}"),
            sealed: Mutex::default(),
            done: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            ..work
        };
        went_back += check(&work, &sealed[from..], &outside, &what);
    }
    eprintln!("{cuts} cuts, {promised} commits sealed, {went_back} workspaces went back, lost: 0");
}

/// A world in which the machine is at its `boot`th start.
fn booted(world: &World, boot: &str, args: &[&str]) -> Ran {
    Ran(world.vrift().env("VRIFT_BOOT_ID", boot).args(args).output().unwrap())
}

/// Takes the bytes of an object, as a power cut does that comes before they are written.
fn tear(world: &World, content: &[u8]) {
    let object = world.store.join("objects").join(vrift::cas::Digest::of(content).object_path());
    assert!(object.exists(), "{}", object.display());
    remove_tree(&object).unwrap();
    std::fs::write(&object, "").unwrap();
}

#[test]
fn a_head_that_is_not_whole_goes_back_and_the_hosts_edits_come_in_again() {
    needs_sessions!();
    let world = World::new();
    world.write("d/a", "one\n");
    world.write("kept", "kept\n");
    let run = |boot: &str, args: &[&str]| booted(&world, boot, args);
    run("one", &["exec", "--", "sh", "-c", "echo sealed > inside"]).ok();
    run("one", &["fork", "f"]).ok();
    run("one", &["commit", "v1"]).ok();
    world.edit("d/a", "edited on the host\n");
    run("one", &["sync"]).ok();
    run("one", &["exec", "--", "sh", "-c", "echo torn > torn; echo more > inside"]).ok();
    run("one", &["fork", "g"]).ok();
    run("one", &["exec", "-w", "f", "--", "sh", "-c", "echo forked > forked"]).ok();
    tear(&world, b"torn\n");
    tear(&world, b"edited on the host\n");
    let first = run("two", &["exec", "--", "sh", "-c", "cat d/a inside kept; test ! -e torn"]);
    // the host is still there: its edit is no edit of the workspace's, and no conflict
    assert_eq!(first.stdout(), "edited on the host\nsealed\nkept\n", "{}", first.stderr());
    let said = first.stderr();
    assert!(said.contains("2 stored files were not whole on the disk"), "{said}");
    assert!(said.contains("workspace main went back to @"), "{said}");
    assert!(said.contains("workspace g is where its parent is"), "{said}");
    assert!(!said.contains("workspace f") && !said.contains("conflict"), "{said}");
    whole::check(&world.store, "after the first command");
    let seen = run("two", &["exec", "-w", "f", "--", "cat", "forked", "d/a"]);
    assert_eq!((seen.stderr().as_str(), seen.stdout().as_str()), ("", "forked\none\n"));
    assert_eq!(run("two", &["exec", "-w", "g", "--", "cat", "inside"]).ok(), "sealed\n");
    assert_eq!(run("two", &["verify", "--deep"]).code(), 0);
    // looked after once
    tear(&world, b"kept\n");
    assert_eq!(run("two", &["exec", "true"]).stderr(), "");
}

#[test]
fn a_boot_that_lost_nothing_is_quiet_and_makes_nothing_anew() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "a\n");
    booted(&world, "one", &["exec", "--", "sh", "-c", "echo b > b"]).ok();
    booted(&world, "one", &["fork", "f"]).ok();
    booted(&world, "one", &["exec", "-w", "f", "--", "sh", "-c", "echo c > c"]).ok();
    booted(&world, "one", &["commit", "v1"]).ok();
    let lowers = |world: &World| -> Vec<u64> {
        let dirs = ["base", "layers"].map(|dir| world.project_dir().join(dir));
        let entries = dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap().flatten());
        let mut found: Vec<u64> = entries
            .filter(|entry| entry.path().is_dir())
            .map(|entry| std::os::unix::fs::DirEntryExt::ino(&entry))
            .collect();
        found.sort_unstable();
        found
    };
    let before = lowers(&world);
    assert_eq!(before.len(), 2);
    let first = booted(&world, "two", &["exec", "-w", "f", "cat", "a", "b", "c"]);
    assert_eq!((first.stderr().as_str(), first.stdout().as_str()), ("", "a\nb\nc\n"));
    assert_eq!(lowers(&world), before);
    // what was not written out before the next boot is made anew
    booted(&world, "two", &["exec", "--", "sh", "-c", "echo d > d"]).ok();
    let first = booted(&world, "three", &["exec", "--", "cat", "a", "b", "d"]);
    assert_eq!((first.stderr().as_str(), first.stdout().as_str()), ("", "a\nb\nd\n"));
    assert_ne!(lowers(&world), before);
    whole::check(&world.store, "after three boots");
}

#[test]
fn a_disk_that_cannot_write_out_seals_nothing() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo a > a").ok();
    let mut command = world.vrift();
    let failed =
        Ran(command.env("VRIFT_FAILPOINT", "durable.sync=5").args(["commit", "v1"]).output().unwrap());
    let said = failed.fails(1);
    assert!(said.contains("Input/output error") && said.contains("nothing was sealed"), "{said}");
    assert_eq!(world.run(["snapshot", "list"]).ok(), "");
    world.run(["commit", "v1"]).ok();
}

#[test]
fn what_a_run_wrote_is_written_out_soon_after_it() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "a\n");
    let generation = || vrift::cas::durable::Point::read(&world.store).unwrap().generation;
    let after = |time: &str, script: &str| {
        let mut command = world.vrift();
        command.env("VRIFT_BOOT_ID", "one").env("VRIFT_DURABLE_AFTER", time);
        Ran(command.args(["exec", "--", "sh", "-c", script]).output().unwrap()).ok();
    };
    after("off", "echo b > b");
    assert_eq!(generation(), 0);
    assert!(!world.store.join("durable.due").exists());
    // nobody holds anything of the caller's: the output would not end
    after("1 s", "echo c > c");
    after("1 s", "echo d > d");
    let began = Instant::now();
    while generation() == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was written out");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!world.store.join("durable.due").exists());
    // so the next boot has nothing to make anew
    let base = |world: &World| {
        std::fs::read_dir(world.project_dir().join("base"))
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name())
            .collect::<Vec<_>>()
    };
    let before = base(&world);
    assert_eq!(booted(&world, "two", &["exec", "cat", "a", "b", "c", "d"]).ok(), "a\nb\nc\nd\n");
    assert_eq!(base(&world), before);
}

/// Without the file that says so nobody knows whether the power was cut.
#[test]
fn a_lost_point_is_named_and_blames_nobody() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "a\n");
    let point = world.store.join("durable");
    let run_in = |boot: &str| {
        let mut command = world.vrift();
        command.env("VRIFT_BOOT_ID", boot);
        support::start(command, &[], "echo b > b")
    };
    let lose: [&dyn Fn(); 3] =
        [&|| std::fs::remove_file(&point).unwrap(), &|| std::fs::write(&point, "{").unwrap(), &|| {
            std::fs::write(&point, r#"{"boot":"none","since":[0,0],"generation":1}"#).unwrap()
        }];
    let mut live = run_in("one");
    for lose in lose {
        // the run itself shows that somebody has looked since this start of the machine
        lose();
        assert_eq!(booted(&world, "one", &["exec", "--", "cat", "a", "b"]).ok(), "a\nb\n");
        assert!(vrift::cas::durable::Point::read(&world.store).is_some_and(|point| point.boot == "one"));
    }
    let causes = ["No such file or directory", "is damaged", "the machine was started anew"];
    for (lose, cause) in lose.iter().zip(causes) {
        lose();
        let said = booted(&world, "two", &["status"]).fails(1);
        assert!(said.contains(cause) && said.contains("a run lives in the store"), "{said}");
    }
    drop(live.stdin.take());
    live.wait().unwrap();
    std::fs::remove_file(&point).unwrap();
    assert_eq!(booted(&world, "two", &["exec", "--", "cat", "a"]).ok(), "a\n");
    booted(&world, "two", &["recover", "--keep"]).ok();
    assert_eq!(booted(&world, "two", &["exec", "--", "cat", "a", "b"]).ok(), "a\nb\n");
}

#[test]
fn what_other_verbs_recorded_is_written_out_soon_too() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo a > a").ok();
    world.run(["commit", "v1"]).ok();
    let generation = || vrift::cas::durable::Point::read(&world.store).unwrap().generation;
    world.edit("host", "edited\n");
    for verb in [&["sync"][..], &["undo"], &["restore", "v1"]] {
        let before = generation();
        Ran(world.vrift().env("VRIFT_DURABLE_AFTER", "1 s").args(verb).output().unwrap()).ok();
        let began = Instant::now();
        while generation() == before {
            assert!(began.elapsed() < Duration::from_secs(60), "{verb:?}: nothing was written out");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
