//! As CI uses it: a fresh clone for each job and one store on a volume, a built state carried to another
//! machine, two jobs at once, and a runner that cancels: SIGTERM, and seven seconds later SIGKILL.

mod support;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use support::{Ran, World};

/// A repository with a small C project, and clones of it.
struct Site {
    world: World,
    repository: PathBuf,
}

impl Site {
    fn new() -> Self {
        let world = World::new();
        let repository = world.path().join("repository");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello");
        assert!(world.command("cp").arg("-r").arg(source).arg(&repository).status().unwrap().success());
        std::fs::write(repository.join("vrift.toml"), "[sync]\nmtime = \"content\"\n").unwrap();
        std::fs::write(repository.join(".gitignore"), "*.o\nhello\n").unwrap();
        let site = Self { world, repository };
        site.git(&["init", "-q"]);
        site.committed("start");
        site
    }

    fn git(&self, args: &[&str]) {
        let mut git = self.world.command("git");
        git.args(["-c", "user.name=me", "-c", "user.email=me@localhost"]).args(args);
        assert!(git.current_dir(&self.repository).status().unwrap().success());
    }

    fn committed(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", message]);
    }

    /// A fresh clone by this name, whatever was there.
    fn job(&self, name: &str) -> Job<'_> {
        let place = self.world.path().join(name);
        let _ = std::fs::remove_dir_all(&place);
        self.git(&["clone", "-q", ".", place.to_str().unwrap()]);
        Job { site: self, place, store: self.world.store.clone() }
    }
}

/// What runs in one clone.
struct Job<'a> {
    site: &'a Site,
    place: PathBuf,
    store: PathBuf,
}

impl Job<'_> {
    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.site.world.vrift();
        command.arg("-q").args(args).current_dir(&self.place).env("VRIFT_STORE", &self.store);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran(self.command(args).output().unwrap())
    }

    /// How many files a build compiles.
    fn compiles(&self) -> usize {
        self.run(&["exec", "make"]).ok().matches(" -c ").count()
    }
}

#[test]
fn a_job_builds_what_changed_since_the_last_one() {
    needs_sessions!();
    let site = Site::new();
    // the store on a volume, another filesystem than the clones where there is one
    let shm = Path::new("/dev/shm");
    let other = shm.metadata().is_ok_and(|there| there.dev() != site.world.path().metadata().unwrap().dev());
    let volume = tempfile::Builder::new().prefix("vrift-test-").tempdir_in(if other {
        shm
    } else {
        site.world.path()
    });
    let volume = volume.unwrap();
    let with_volume = |mut job: Job<'_>| {
        job.store = volume.path().join("store");
        job.compiles()
    };
    assert_eq!(with_volume(site.job("work")), 2);
    assert_eq!(with_volume(site.job("work")), 0, "a fresh clone of the same");
    std::fs::write(site.repository.join("greet.h"), "void greet(const char *name); /* more */\n").unwrap();
    site.committed("a header");
    assert_eq!(with_volume(site.job("work")), 2, "both include it");
    // the built state as one file, in another store, without a build
    let mut job = site.job("work");
    job.store = volume.path().join("store");
    let file = site.world.path().join("built.bundle");
    job.run(&["commit", "built"]).ok();
    job.run(&["bundle", "create", file.to_str().unwrap(), "built"]).ok();
    let other = site.job("test");
    other.run(&["bundle", "load", file.to_str().unwrap()]).ok();
    assert_eq!(other.run(&["exec", "--from", "built", "./hello"]).ok(), "hello, world\n");
    other.run(&["verify", "--deep"]).ok();
}

/// A job whose command has written something and goes on.
fn started(job: &Job<'_>, script: &str) -> Child {
    let ready = job.site.world.path().join("ready");
    let _ = std::fs::remove_file(&ready);
    let script = format!("{script}; : > '{}'; sleep 100 & wait; wait", ready.display());
    let mut command = job.command(&["exec", "sh", "-c", &script]);
    let child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !ready.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_cancelled_job_loses_nothing_and_the_next_one_goes_on() {
    needs_sessions!();
    let site = Site::new();
    let job = site.job("work");
    assert_eq!(job.compiles(), 2);
    // SIGTERM is enough for most: what was written is there
    let mut child = started(&job, "echo one > note");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(job.run(&["exec", "cat", "note"]).ok(), "one\n");
    // what does not listen is killed with all of its group
    let grace = if std::env::var_os("VRIFT_SLOW").is_some() { 7000 } else { 700 };
    for (round, all) in [(2, false), (3, true)] {
        let mut child = started(&job, &format!("trap '' TERM; echo {round} > note; echo more > other"));
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).unwrap();
        std::thread::sleep(Duration::from_millis(grace));
        assert!(child.try_wait().unwrap().is_none(), "it does not listen");
        match all {
            true => kill_process_group(pid, Signal::KILL).unwrap(),
            false => kill_process(pid, Signal::KILL).unwrap(),
        }
        child.wait().unwrap();
        // the next job, in a fresh clone, builds nothing and has what was there before
        let next = site.job("work");
        assert_eq!(next.compiles(), 0);
        assert_eq!(next.run(&["exec", "cat", "note"]).ok(), if round == 2 { "one\n" } else { "2\n" });
        next.run(&["recover", "--keep"]).ok();
        assert_eq!(next.run(&["exec", "cat", "note", "other"]).ok(), format!("{round}\nmore\n"));
    }
    job.run(&["gc"]).ok();
    job.run(&["verify", "--deep"]).ok();
}

#[test]
fn two_jobs_have_one_store() {
    needs_sessions!();
    let site = Site::new();
    let (one, two) = (site.job("one"), site.job("two"));
    let build = |job: &Job<'_>, round: usize| {
        let script = format!("echo '/* {round} */' >> greet.c && make -s && ./hello");
        job.command(&["exec", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for round in 0..3 {
        let both = [build(&one, round), build(&two, round)];
        let gc = one.command(&["gc"]).stderr(Stdio::piped()).spawn().unwrap();
        for child in both {
            assert_eq!(Ran(child.wait_with_output().unwrap()).ok(), "hello, world\n");
        }
        Ran(gc.wait_with_output().unwrap()).ok();
    }
    // in one clone, too: they join one session
    let again = [build(&one, 9), build(&one, 10)];
    for child in again {
        child.wait_with_output().unwrap();
    }
    assert_eq!(one.run(&["exec", "sh", "-c", "make -s && ./hello"]).ok(), "hello, world\n");
    one.run(&["verify", "--deep"]).ok();
}
