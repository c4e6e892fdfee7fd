//! No space, no inodes, an error of the disk: at any point of any verb it is said, with the
//! path and what to do; nothing that was there before is lost; and once there is space again
//! the same command does what it was to do.

mod support;

use std::io::BufRead;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::whole::assert_whole;
use support::{Ran, World};

/// A small filesystem of its own, in memory, in namespaces that live as long as the value.
struct Disk {
    holder: Child,
    at: PathBuf,
}

impl Disk {
    /// `None`, said, where it cannot be had.
    fn mount(world: &World, options: &str) -> Option<Self> {
        let at = world.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let script = format!("mount -t tmpfs -o {options} none '{}' && echo ready && exec cat", at.display());
        let mut unshare = world.command("unshare");
        unshare.args(["-Urm", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = unshare.spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let disk = Self { holder, at };
        if line == "ready\n" {
            return Some(disk);
        }
        let must = std::env::var_os("VRIFT_MUST_WORK").is_some_and(|value| value == "1");
        assert!(!must, "a tmpfs in namespaces must work here");
        eprintln!("skipped: a tmpfs in namespaces of its own cannot be had");
        None
    }

    /// The same command where the disk is.
    fn inside(&self, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.args(["-t", &self.holder.id().to_string(), "-U", "-m", "--preserve-credentials", "--"]);
        entered.args(["sh", "-c", "cd \"$0\" && exec \"$@\""]);
        entered.arg(command.get_current_dir().unwrap()).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(name, value),
                None => entered.env_remove(name),
            };
        }
        entered.stdin(Stdio::null());
        entered
    }

    /// Where it is to be seen from outside.
    fn seen(&self) -> PathBuf {
        let inner = self.at.strip_prefix("/").unwrap();
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inner)
    }

    fn fill(&self, room: Room) {
        let free = rustix::fs::statvfs(self.seen()).unwrap();
        match room {
            Room::Bytes(leave) => {
                let fill = std::fs::File::create(self.seen().join("fill")).unwrap();
                let bytes = (free.f_bavail * free.f_frsize).saturating_sub(leave);
                let zeros = vec![0; 1 << 20];
                (0..bytes).step_by(zeros.len()).for_each(|at| {
                    let length = zeros.len().min((bytes - at) as usize);
                    fill.write_all_at(&zeros[..length], at).unwrap();
                });
            }
            Room::Inodes(leave) => {
                let dir = self.seen().join("fill");
                std::fs::create_dir(&dir).unwrap();
                let now = rustix::fs::statvfs(&dir).unwrap().f_favail;
                for number in leave..now {
                    if std::fs::File::create(dir.join(number.to_string())).is_err() {
                        break; // names take space of their own
                    }
                }
            }
        }
    }

    fn empty(&self) {
        let fill = self.seen().join("fill");
        let _ = std::fs::remove_file(&fill);
        let _ = std::fs::remove_dir_all(&fill);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What is left of a full disk.
#[derive(Clone, Copy, Debug)]
enum Room {
    Bytes(u64),
    Inodes(u64),
}

/// A project whose store is on the small disk.
struct Site {
    world: World,
    disk: Option<Disk>,
}

impl Site {
    fn vrift(&self) -> Command {
        let mut command = self.world.vrift();
        // A start below the floor is refused (quota.rs): here the disk gets full later.
        command.env("VRIFT_HISTORY_BYTES", "0").env("VRIFT_QUOTA_FLOOR", "off");
        command
    }

    fn start(&self, mut command: Command) -> Command {
        match &self.disk {
            Some(disk) => disk.inside(&command),
            None => {
                command.stdin(Stdio::null());
                command
            }
        }
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, None)
    }

    fn run_with(&self, args: &[&str], failpoint: Option<&str>) -> Ran {
        let mut command = self.vrift();
        command.args(args);
        if let Some(failpoint) = failpoint {
            command.env("VRIFT_FAILPOINT", failpoint);
        }
        Ran(self.start(command).output().unwrap())
    }

    fn sh(&self, script: &str) -> Ran {
        self.run(&["exec", "--", "sh", "-c", script])
    }

    fn exported(&self, root: &str, path: &str) -> String {
        let dest = self.world.path().join("exported");
        let _ = std::fs::remove_dir_all(&dest);
        self.run(&["export", root, dest.to_str().unwrap()]).ok();
        std::fs::read_to_string(dest.join(path)).unwrap_or_else(|error| format!("{path}: {error}"))
    }
}

/// One verb: what comes before, the verb itself while `full` makes the disk so, and the same
/// again.
struct Case {
    name: &'static str,
    before: fn(&Site, usize),
    act: fn(&Site, usize, Option<&str>, &dyn Fn()) -> Ran,
    /// Done again when there is space; nothing where the next command does it by itself.
    again: fn(&Site, usize),
    holds: fn(&Site, usize),
    /// It makes room, so it does not fail for want of it.
    makes_room: bool,
}

fn text(n: usize) -> String {
    (0..20_000).map(|line| format!("{n} {line}\n")).collect()
}

fn plainly(site: &Site, args: &[&str], failpoint: Option<&str>, full: &dyn Fn()) -> Ran {
    full();
    site.run_with(args, failpoint)
}

const CASES: &[Case] = &[
    Case {
        name: "sync",
        before: |site, n| site.world.write("host/f", text(n)),
        act: |site, _, failpoint, full| plainly(site, &["sync"], failpoint, full),
        again: |site, _| drop(site.run(&["sync"]).ok()),
        holds: |site, n| assert_eq!(site.exported("main", "host/f"), text(n)),
        makes_room: false,
    },
    Case {
        name: "take-in and fold",
        before: |_, _| {},
        act: |site, n, failpoint, full| {
            let (ready, go) = (site.world.path().join("ready"), site.world.path().join("go"));
            let _ = (std::fs::remove_file(&ready), std::fs::remove_file(&go));
            let script = format!(
                "mkdir -p out; seq 30000 | sed 's/^/{n} /' > out/a; for i in $(seq 40); do echo {n} $i > out/$i; done
                 : > {}; while [ ! -e {} ]; do sleep 0.01; done",
                ready.display(),
                go.display()
            );
            let mut command = site.vrift();
            command.args(["exec", "--", "sh", "-c", &script]);
            if let Some(failpoint) = failpoint {
                command.env("VRIFT_FAILPOINT", failpoint);
            }
            let mut started = site.start(command);
            let mut child = started.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            while !ready.exists() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            full();
            std::fs::write(&go, "").unwrap();
            Ran(child.wait_with_output().unwrap())
        },
        again: |site, n| {
            // the next command takes in what is staged; where the run could not even begin it is repeated
            if site.exported("main", "out/40") != format!("{n} 40\n") {
                let script = format!(
                    "mkdir -p out; seq 30000 | sed 's/^/{n} /' > out/a; for i in $(seq 40); do echo {n} $i > out/$i; done"
                );
                site.sh(&script).ok();
            }
        },
        holds: |site, n| {
            assert_eq!(site.exported("main", "out/40"), format!("{n} 40\n"));
            assert_eq!(site.exported("main", "out/a").lines().last(), Some(format!("{n} 30000").as_str()));
        },
        makes_room: false,
    },
    Case {
        name: "commit",
        before: |site, n| drop(site.sh(&format!("mkdir -p c; seq 9000 | sed 's/^/{n} /' > c/f")).ok()),
        act: |site, n, failpoint, full| plainly(site, &["commit", &format!("c{n}")], failpoint, full),
        again: |site, n| drop(site.run(&["commit", &format!("c{n}")]).ok()),
        holds: |site, n| {
            assert_eq!(
                site.exported(&format!("c{n}"), "c/f").lines().next(),
                Some(format!("{n} 1").as_str())
            );
            site.run(&["snapshot", "delete", &format!("c{n}")]).ok();
        },
        makes_room: false,
    },
    Case {
        name: "fork and its first run",
        before: |_, _| {},
        act: |site, n, failpoint, full| {
            let script = format!("mkdir -p own; seq 9000 | sed 's/^/{n} /' > own/f");
            plainly(site, &["exec", "--fork", &format!("w{n}"), "--", "sh", "-c", &script], failpoint, full)
        },
        again: |site, n| {
            let (name, script) =
                (format!("w{n}"), format!("mkdir -p own; seq 9000 | sed 's/^/{n} /' > own/f"));
            let there = site.run(&["workspace", "list", "--json"]).ok().contains(&format!("\"{name}\""));
            let how = if there { "-w" } else { "--fork" };
            site.run(&["exec", how, &name, "--", "sh", "-c", &script]).ok();
        },
        holds: |site, n| {
            let (name, dest) = (format!("w{n}"), site.world.path().join(format!("fork{n}")));
            site.run(&["export", &name, dest.to_str().unwrap()]).ok();
            let own = std::fs::read_to_string(dest.join("own/f")).unwrap();
            assert_eq!(own.lines().next(), Some(format!("{n} 1").as_str()));
            site.run(&["workspace", "delete", &name]).ok();
        },
        makes_room: false,
    },
    Case {
        name: "restore",
        before: |site, n| {
            drop(site.sh(&format!("mkdir -p r; seq 9000 | sed 's/^/{n} /' > r/f; rm -rf kept")).ok())
        },
        act: |site, _, failpoint, full| plainly(site, &["restore", "keep"], failpoint, full),
        again: |site, _| drop(site.run(&["restore", "keep"]).ok()),
        holds: |site, _| assert_eq!(site.exported("main", "kept/f7"), "kept 7\n"),
        makes_room: false,
    },
    Case {
        name: "apply",
        before: |site, n| {
            site.sh(&format!("mkdir -p a; seq 9000 | sed 's/^/{n} /' > a/f; echo {n} > a/g{n}")).ok();
        },
        act: |site, _, failpoint, full| plainly(site, &["apply"], failpoint, full),
        again: |site, _| drop(site.run(&["apply"]).ok()),
        holds: |site, n| {
            assert_eq!(site.world.read(&format!("a/g{n}")), format!("{n}\n"));
            assert_eq!(site.world.read("a/f").lines().last(), Some(format!("{n} 9000").as_str()));
        },
        makes_room: false,
    },
    Case {
        name: "gc",
        before: |site, n| {
            for round in 0..4 {
                site.sh(&format!("mkdir -p g; seq 9000 | sed 's/^/{n} {round} /' > g/f")).ok();
            }
        },
        act: |site, _, failpoint, full| plainly(site, &["gc", "--grace", "0"], failpoint, full),
        again: |site, _| drop(site.run(&["gc", "--grace", "0"]).ok()),
        holds: |site, n| {
            assert_eq!(site.exported("main", "g/f").lines().next(), Some(format!("{n} 3 1").as_str()))
        },
        makes_room: true,
    },
];

/// Brings a site to where every case may begin.
fn begin(site: &Site) {
    for n in 0..30 {
        site.world.write(&format!("host/{n}"), format!("host {n}\n"));
    }
    site.sh("mkdir kept; for i in $(seq 30); do echo kept $i > kept/f$i; done").ok();
    site.run(&["commit", "keep"]).ok();
}

/// What every failure must have left as it was.
fn unharmed(site: &Site, what: &str) {
    assert_eq!(site.exported("keep", "kept/f30"), "kept 30\n", "{what}");
    assert_eq!(site.exported("keep", "host/29"), "host 29\n", "{what}");
    let said = site.run(&["verify", "--deep"]);
    assert_eq!(said.code(), 0, "{what}: {}{}", said.stdout(), said.stderr());
}

fn try_all(disk: &str, rooms: &[Room]) {
    let mut world = World::new();
    let Some(disk) = Disk::mount(&world, disk) else { return };
    world.store = disk.at.join("store");
    let site = Site { world, disk: Some(disk) };
    let disk = site.disk.as_ref().unwrap();
    begin(&site);
    let (mut n, mut failures) = (0, 0);
    for case in CASES {
        for room in rooms {
            n += 1;
            let what = format!("{} with {room:?} left", case.name);
            (case.before)(&site, n);
            let ran = (case.act)(&site, n, None, &|| disk.fill(*room));
            disk.empty();
            let (code, said) = (ran.code(), ran.stderr());
            assert!(!said.contains("panicked"), "{what}: {said}");
            assert!(code == 0 || !case.makes_room, "{what}: {code}: {said}");
            if code != 0 {
                failures += 1;
                assert!([1, 125].contains(&code), "{what}: {code}: {said}");
                let names_it = said.contains("No space left") || said.contains("disk is full");
                assert!(names_it && said.contains("hint:"), "{what}: {code}: {said}");
            }
            let next = site.run(&["exec", "--", "true"]);
            assert_eq!(next.code(), 0, "{what}, then: {}", next.stderr());
            unharmed(&site, &what);
            if code != 0 {
                (case.again)(&site, n);
            }
            (case.holds)(&site, n);
            site.run(&["gc", "--grace", "0"]).ok();
        }
    }
    assert!(failures > CASES.len() / 2, "only {failures} of {n} failed: the disk was not full");
}

fn chosen(all: &[Room], few: &[usize]) -> Vec<Room> {
    match std::env::var_os("VRIFT_SLOW") {
        Some(_) => all.to_vec(),
        None => few.iter().map(|&at| all[at]).collect(),
    }
}

#[test]
fn without_space_everything_says_so_and_loses_nothing() {
    needs_sessions!();
    let all = [0, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048].map(|kib| Room::Bytes(kib << 10));
    try_all("size=48m", &chosen(&all, &[0, 4]));
}

#[test]
fn without_inodes_everything_says_so_and_loses_nothing() {
    needs_sessions!();
    let all = [0, 1, 2, 3, 5, 8, 13, 21, 34].map(Room::Inodes);
    try_all("size=256m,nr_inodes=3000", &chosen(&all, &[0, 3]));
}

/// The case that comes to a place.
fn home_of(failpoint: &str) -> &'static str {
    match failpoint.split('.').next().unwrap_or_default() {
        "apply" => "apply",
        "gc" | "sweep" => "gc",
        "base" | "layer" | "upper" => "fork and its first run",
        _ => "take-in and fold",
    }
}

/// Every place that changes something is made to fail, by the disk or by a quota.
#[test]
fn an_error_of_the_disk_anywhere_loses_nothing() {
    needs_sessions!();
    if !cfg!(debug_assertions) {
        eprintln!("skipped: this build has no failpoints");
        return;
    }
    let mut names: Vec<String> = Vec::new();
    for file in walkdir::WalkDir::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).into_iter().flatten()
    {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        let found = text.split("failpoint::at(\"").skip(1).filter_map(|rest| rest.split('"').next());
        names.extend(found.map(String::from));
    }
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 20, "{names:?}");
    let slow = std::env::var_os("VRIFT_SLOW").is_some();
    let site = Site { world: World::new(), disk: None };
    begin(&site);
    let (mut n, mut failures) = (0, 0);
    for case in CASES {
        for name in &names {
            n += 1;
            if !slow && case.name != home_of(name) {
                continue;
            }
            let what = format!("{} failing at {name}", case.name);
            (case.before)(&site, n);
            let (errno, text) = match n % 2 {
                0 => (libc::EIO, "Input/output error"),
                _ => (libc::EDQUOT, "Disk quota exceeded"),
            };
            let ran = (case.act)(&site, n, Some(&format!("{name}={errno}")), &|| {});
            let (code, said) = (ran.code(), ran.stderr());
            assert!(!said.contains("panicked"), "{what}: {said}");
            if code != 0 {
                failures += 1;
                assert!([1, 125].contains(&code), "{what}: {code}: {said}");
                assert!(said.contains(text), "{what}: {code}: {said}");
                let next = site.run(&["exec", "--", "true"]);
                assert_eq!(next.code(), 0, "{what}, then: {}", next.stderr());
                unharmed(&site, &what);
                assert_whole(&site.world.store);
                (case.again)(&site, n);
            }
            (case.holds)(&site, n);
        }
    }
    assert!(failures > 5, "only {failures} failed");
}
