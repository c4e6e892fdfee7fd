//! A directory's rename whose mover, launcher or init is killed at any step is finished, or
//! has not begun; and what others do in the directory meanwhile is not undone (rule 25).

#[path = "support/renaming.rs"]
mod renaming;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use renaming::{RENAME, compile};
use support::World;

/// A directory `old` for each kind, and something at `full` and `leaf` to exchange it with.
fn fixture(project: &Path) {
    for dir in ["old/sub/deep", "old/empty", "full/in", "other"] {
        fs::create_dir_all(project.join(dir)).unwrap();
    }
    for number in 0..12 {
        fs::write(project.join(format!("old/{number}")), format!("{number}\n")).unwrap();
        fs::write(project.join(format!("old/sub/deep/{number}")), format!("deep {number}\n")).unwrap();
    }
    fs::write(project.join("full/in/file"), "in\n").unwrap();
    fs::write(project.join("leaf"), "leaf\n").unwrap();
    std::os::unix::fs::symlink("../1", project.join("old/sub/link")).unwrap();
}

/// Every name with its kind, mode and content.
const SHOW: &str = "find . -mindepth 1 -name .git -prune -o -printf '%y %m %p %l\\n' | sort; \
                    find . -name .git -prune -o -type f -print | sort | xargs md5sum";

fn show(dir: &Path) -> String {
    let shown = Command::new("sh").args(["-c", SHOW]).current_dir(dir).output().unwrap();
    assert!(shown.status.success());
    String::from_utf8(shown.stdout).unwrap()
}

/// A launcher whose mover stops at a place.
struct Stopped {
    world: World,
    launcher: Child,
    rename: PathBuf,
}

/// Whom of a session: processes of that name whose parent (or grandparent) is the launcher.
fn found(launcher: u32, name: &str) -> Option<(u32, char)> {
    let children = |pid: u32| {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()).collect::<Vec<_>>()
    };
    let below = children(launcher);
    let all = below.iter().copied().chain(below.iter().flat_map(|&pid| children(pid)));
    all.into_iter().find_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (comm, rest) = stat.split_once(") ")?;
        (comm.split_once('(')?.1 == name).then(|| (pid, rest.chars().next().unwrap_or('?')))
    })
}

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Stopped {
    /// `None`: there is no compiler.
    fn new(place: &str, call: &str) -> Option<Self> {
        let world = World::new();
        let rename = compile(&world, "cc", "rename", RENAME, &[])?;
        fixture(&world.project);
        world.exec(["true"]).ok();
        let mut command = world.vrift();
        command.env("VRIFT_FAILPOINT", format!("{place}=stop")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let script = format!("{} {call}", rename.display());
        let launcher = command.args(["exec", "--", "sh", "-c", &script]).spawn().unwrap();
        let stopped = Self { world, launcher, rename };
        stopped.wait_for_stop();
        Some(stopped)
    }

    fn wait_for_stop(&self) -> u32 {
        let began = Instant::now();
        loop {
            if let Some((pid, 'T')) = found(self.launcher.id(), "vrift-mover") {
                return pid;
            }
            assert!(began.elapsed() < PATIENCE, "the mover did not come to that place");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Lets movers go on until the launcher has ended; what the command said.
    fn go_on(&mut self) -> String {
        while self.launcher.try_wait().unwrap().is_none() {
            if let Some((pid, 'T')) = found(self.launcher.id(), "vrift-mover") {
                let _ = Command::new("kill").args(["-CONT", &pid.to_string()]).stderr(Stdio::null()).status();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.launcher.stdout.take().unwrap(), &mut said).unwrap();
        said
    }

    /// The trees before and after a call, made on a copy.
    fn expected(&self, call: &str) -> [String; 2] {
        let bare = self.world.path().join("bare");
        fs::create_dir(&bare).unwrap();
        fixture(&bare);
        let before = show(&bare);
        let done = Command::new(&self.rename).args(call.split(' ')).current_dir(&bare).output().unwrap();
        assert_eq!(done.stdout, b"done\n");
        [before, show(&bare)]
    }

    /// What the workspace has once all that is left is taken in.
    fn state(&self) -> String {
        let _ = self.world.run(["recover", "--keep"]);
        self.world.sh(SHOW).ok()
    }
}

/// Calls, and the places that a mover comes by in them, in order.
const MOVES: &[(&str, &[&str])] = &[
    ("rename old other/new", &["linked", "recorded", "switched", "emptied"]),
    ("exchange old full", &["recorded", "shown", "switched", "emptied", "first"]),
    ("exchange leaf old", &["recorded", "shown", "switched", "emptied"]),
];

fn each_place(work: impl Fn(&str, Stopped)) {
    each_of(&["linked", "recorded", "shown", "switched", "emptied", "first"], work);
}

fn each_of(wanted: &[&str], work: impl Fn(&str, Stopped)) {
    for (call, places) in MOVES {
        for place in places.iter().filter(|place| wanted.contains(place)) {
            let Some(stopped) = Stopped::new(&format!("mover.{place}"), call) else { return };
            eprintln!("{call}: {place}");
            work(call, stopped);
        }
    }
}

#[test]
fn a_killed_mover_has_a_successor() {
    needs_sessions!();
    each_place(|call, mut stopped| {
        let [_, after] = stopped.expected(call);
        signal(stopped.wait_for_stop(), "-KILL");
        assert_eq!(stopped.go_on(), "done\n", "{call}");
        assert_eq!(stopped.state(), after, "{call}");
        assert_eq!(stopped.world.sh("find . -name '*vrift-move*'").ok(), "");
    });
}

#[test]
fn a_rename_in_a_killed_session_has_been_made_or_not() {
    needs_sessions!();
    let mut both = [0, 0];
    let counts = std::cell::RefCell::new(&mut both);
    each_place(|call, mut stopped| {
        let [before, after] = stopped.expected(call);
        let (init, _) = found(stopped.launcher.id(), "vrift-init").expect("the session's init");
        signal(init, "-KILL");
        stopped.launcher.wait().unwrap();
        let state = stopped.state();
        assert!(state == before || state == after, "{call}:\n{state}\nbefore:\n{before}\nafter:\n{after}");
        counts.borrow_mut()[usize::from(state == after)] += 1;
    });
    // all but what comes before the first visible step
    assert!(both[0] >= 4 && both[1] >= 6, "{both:?}");
}

#[test]
fn a_rename_whose_launcher_was_killed_has_been_made_or_not() {
    needs_sessions!();
    each_of(&["switched"], |call, mut stopped| {
        let [before, after] = stopped.expected(call);
        let (init, _) = found(stopped.launcher.id(), "vrift-init").expect("the session's init");
        stopped.launcher.kill().unwrap();
        stopped.launcher.wait().unwrap();
        // init tells all to end, and kills what has not two seconds later
        let began = Instant::now();
        while Path::new(&format!("/proc/{init}")).exists() {
            assert!(began.elapsed() < PATIENCE, "init goes on without its launcher");
            std::thread::sleep(Duration::from_millis(5));
        }
        let state = stopped.state();
        assert!(state == before || state == after, "{call}:\n{state}\nbefore:\n{before}\nafter:\n{after}");
    });
}

#[test]
fn a_fork_whose_session_was_killed_in_a_rename_is_the_same_in_the_next_run() {
    needs_sessions!();
    // its base is shared, so its upper could have become a layer as it stands
    let Some(mut stopped) = Stopped::new("mover.linked", "rename old other/new") else { return };
    stopped.go_on();
    let world = &stopped.world;
    world.run(["fork", "f"]).ok();
    let mut command = world.vrift();
    command.env("VRIFT_FAILPOINT", "mover.switched=stop").stdout(Stdio::null()).stderr(Stdio::null());
    let call = ["exec", "-w", "f", "--", stopped.rename.to_str().unwrap(), "rename", "other/new", "back"];
    stopped.launcher = command.args(call).spawn().unwrap();
    stopped.wait_for_stop();
    let (init, _) = found(stopped.launcher.id(), "vrift-init").unwrap();
    signal(init, "-KILL");
    stopped.launcher.wait().unwrap();
    let world = &stopped.world;
    eprintln!("{}", world.run(["recover", "--keep"]).stderr());
    for _ in 0..2 {
        let seen = world.run(["exec", "-w", "f", "--", "sh", "-c", "ls -d back other/*; ls back | wc -l"]);
        assert_eq!(seen.stdout(), "back\n14\n");
    }
}

#[test]
fn what_others_do_in_a_directory_that_is_being_moved_is_done_to_it() {
    needs_sessions!();
    for place in ["mover.linked", "mover.recorded", "mover.switched"] {
        let Some(mut stopped) = Stopped::new(place, "rename old other/new") else { return };
        let script = "rm old/1; rm -r old/sub/deep; echo made >old/made; mkdir old/dir; echo in >old/dir/in; \
                      echo replaced >t; mv t old/2; echo appended >>old/3; mv old/4 elsewhere; rmdir old/empty";
        stopped.world.sh(script).ok();
        assert_eq!(stopped.go_on(), "done\n", "{place}");
        let seen = stopped
            .world
            .sh("ls -d old 2>/dev/null; cd other/new; ls . sub; cat made dir/in 2 3 ../../elsewhere; \
             find /proc/self/cwd/ -name '*vrift*'");
        let names = "0\n10\n11\n2\n3\n5\n6\n7\n8\n9\ndir\nmade\nsub\n\nsub:\nlink\n";
        assert_eq!(seen.stdout(), format!(".:\n{names}made\nin\nreplaced\n3\nappended\n4\n"), "{place}");
    }
}

#[test]
fn what_is_deleted_under_the_new_name_does_not_come_back_under_the_old_one() {
    needs_sessions!();
    let Some(mut stopped) = Stopped::new("mover.switched", "rename old other/new") else { return };
    stopped.world.sh("rm other/new/1; rm -r other/new/sub; echo other >t; mv t other/new/2").ok();
    assert_eq!(stopped.go_on(), "done\n");
    let seen = stopped.world.sh("ls -d old 2>/dev/null; cd other/new; ls | xargs; cat 2");
    assert_eq!(seen.stdout(), "0 10 11 2 3 4 5 6 7 8 9 empty\nother\n");
}

#[test]
fn who_kills_every_mover_finds_every_file_under_one_name_or_the_other() {
    needs_sessions!();
    let Some(mut stopped) = Stopped::new("mover.linked", "rename old other/new") else { return };
    for _ in 0..9 {
        signal(stopped.wait_for_stop(), "-KILL");
        let began = Instant::now();
        while found(stopped.launcher.id(), "vrift-mover").is_some_and(|(_, state)| state == 'T')
            && began.elapsed() < Duration::from_millis(20)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        if stopped.launcher.try_wait().unwrap().is_some() {
            break;
        }
    }
    assert_eq!(stopped.go_on(), "EXDEV\n");
    assert_eq!(stopped.world.sh("ls old | wc -l; ls other").ok(), "14\n");
}
