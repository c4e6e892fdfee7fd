//! Sessions on the running kernel, as root and as an ordinary user.

mod launchers;

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::*;
use crate::error::Kind;
use crate::os::lock::{Hold, Lock};
use crate::overlay::mount::{Layers, OverlaySpec};

/// A store with a lower, staging, and a project to mount over, all in one directory.
struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    /// `None`, with the reason printed, where namespaces are refused.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        for name in ["store/lower", "store/staging/upper", "store/staging/work", "project"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("store/lower/hello"), "from the lower\n").unwrap();
        let scratch = Self { dir };
        match scratch.open_with(Plan::new(vec![Step::SlaveMounts])) {
            Ok(link) => {
                link.leave(false).unwrap();
                Some(scratch)
            }
            Err(error) if std::env::var_os("VRIFT_MUST_WORK").is_some() => panic!("{error}"),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn project(&self) -> PathBuf {
        self.path("project")
    }

    fn plan(&self) -> Plan {
        plan_of(self.dir.path())
    }

    fn open_with(&self, plan: Plan) -> Result<Link, crate::error::Error> {
        open_at(self.dir.path(), &plan, &[])
    }

    fn open(&self) -> Link {
        self.open_with(self.plan()).unwrap()
    }

    fn join(&self) -> Option<Link> {
        connect(&self.path("store/staging"), Realm::default()).unwrap()
    }

    fn sh(&self, script: &str) -> Command {
        sh_in(&self.project(), script)
    }
}

fn plan_of(dir: &Path) -> Plan {
    let target = plan::c_path(&dir.join("project")).unwrap();
    let layers = Layers {
        lowers: vec![c"lower".into()],
        data: None,
        upper: Some(c"staging/upper".into()),
        work: Some(c"staging/work".into()),
    };
    let spec = OverlaySpec::new(plan::c_path(&dir.join("store")).unwrap(), layers, target.clone());
    let cover =
        Cover::new(&dir.join("store"), vec![(c".vrift-inside".into(), b"marker\n".to_vec())]).unwrap();
    Plan::new(vec![
        Step::SlaveMounts,
        Step::Overlay(spec),
        Step::Watch(target),
        Step::Cover(cover),
        Step::FreshProc,
    ])
}

fn open_at(dir: &Path, plan: &Plan, keep: &[BorrowedFd<'_>]) -> Result<Link, crate::error::Error> {
    // a volatile work directory is for one mount (kernel-facts.md)
    let _ = fs::remove_dir_all(dir.join("store/staging/work/work/incompat"));
    let lock = Lock::attempt(&dir.join("store/lock"), Hold::Shared)?
        .ok_or_else(|| crate::error::Error::failure("locked"))?;
    open(Opening {
        plan,
        lock: lock.fd().as_fd(),
        keep,
        session_dir: &dir.join("store/staging"),
        realm: Realm::default(),
    })
}

fn sh_in(cwd: &Path, script: &str) -> Command {
    let argv = ["sh", "-c", script].map(OsString::from).to_vec();
    Command { argv, env: std::env::vars_os().collect(), cwd: cwd.to_path_buf() }
}

fn status(link: &Link, command: &Command) -> i32 {
    link.run(command).unwrap().wait().unwrap().status()
}

/// Runs a script whose output goes to a file of the project; returns it.
fn output(scratch: &Scratch, link: &Link, script: &str) -> String {
    let command = scratch.sh(&format!("{{ {script}\n}} >out 2>&1; cat out >/dev/null"));
    status(link, &command);
    fs::read_to_string(scratch.path("store/staging/upper/out")).unwrap()
}

fn last(left: &Left) -> (&[String], bool) {
    match left {
        Left::Last { ended, unmounted } => (ended, *unmounted),
        Left::OthersLive => panic!("others live"),
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn exit_statuses_are_the_commands_own() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    let run = |argv: &[&str]| {
        let argv = argv.iter().map(OsString::from).collect();
        link.run(&Command { argv, ..scratch.sh("") }).map(|running| running.wait().unwrap())
    };
    assert_eq!(run(&["true"]).unwrap(), Exit::Code(0));
    assert_eq!(run(&["sh", "-c", "exit 7"]).unwrap(), Exit::Code(7));
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).unwrap(), Exit::Signal(9));
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).unwrap().status(), 137);
    let not_found = |argv: &[&str]| run(argv).err().unwrap();
    assert_eq!(not_found(&["no-such-command"]).kind(), Kind::NotFound);
    assert_eq!(not_found(&["./hello/x"]).kind(), Kind::NotFound);
    assert_eq!(not_found(&["./hello"]).kind(), Kind::NotExecutable);
    assert_eq!(not_found(&["/"]).kind(), Kind::NotExecutable);
    let script = "printf 'exit $#' >script; chmod +x script; printf '#!/no/such\\n' >bad; chmod +x bad";
    assert_eq!(status(&link, &scratch.sh(script)), 0);
    assert_eq!(run(&["./script", "a", "b"]).unwrap(), Exit::Code(2));
    assert_eq!(not_found(&["./bad"]).kind(), Kind::NotExecutable);
    let elsewhere = Command { cwd: "/no/such".into(), ..scratch.sh("true") };
    assert_eq!(link.run(&elsewhere).err().unwrap().kind(), Kind::Failure);
    let left = link.leave(false).unwrap();
    assert_eq!(last(&left), (&[][..], true));
    assert!(scratch.join().is_none());
}

#[test]
fn writes_land_in_the_upper_and_joiners_see_them() {
    let Some(scratch) = Scratch::new() else { return };
    let first = scratch.open();
    assert!(first.warnings().is_empty(), "{:?}", first.warnings());
    assert_eq!(status(&first, &scratch.sh("cat hello >copy && echo more >>hello")), 0);
    let upper = scratch.path("store/staging/upper");
    assert_eq!(fs::read_to_string(upper.join("copy")).unwrap(), "from the lower\n");
    assert!(fs::read_dir(scratch.project()).unwrap().next().is_none());
    let second = scratch.join().unwrap();
    assert_eq!(second.init_pid(), first.init_pid());
    assert_eq!(status(&second, &scratch.sh("grep -q more hello && test -f copy")), 0);
    assert_eq!(runs(&scratch.path("store/staging")).unwrap().len(), 2);
    let holder = first.run(&scratch.sh("flock copy sh -c 'touch locked; sleep 0.4'")).unwrap();
    until("flock", || upper.join("locked").exists());
    assert_eq!(status(&second, &scratch.sh("flock -n copy true")), 1);
    assert_eq!(holder.wait().unwrap(), Exit::Code(0));
    assert_eq!(status(&second, &scratch.sh("flock -n copy true")), 0);
    // the opener leaves first
    assert_eq!(first.leave(false).unwrap(), Left::OthersLive);
    assert_eq!(status(&second, &scratch.sh("test -f copy")), 0);
    assert_eq!(last(&second.leave(false).unwrap()), (&[][..], true));
}

#[test]
fn inside_is_the_caller_without_privileges() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    let out = output(&scratch, &link, "id -u; id -g; cat /proc/self/status");
    let mut lines = out.lines();
    let uid = rustix::process::geteuid();
    assert_eq!(lines.next().unwrap(), uid.as_raw().to_string());
    assert_eq!(lines.next().unwrap(), rustix::process::getegid().as_raw().to_string());
    let field = |name: &str| out.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(field("NoNewPrivs:"), "1");
    let set = |name: &str| u64::from_str_radix(&field(name), 16).unwrap();
    if uid.is_root() {
        for (name, bit) in [("SYS_ADMIN", 21), ("SYS_PTRACE", 19), ("DAC_READ_SEARCH", 2), ("SYS_MODULE", 16)]
        {
            assert_eq!((set("CapEff:") | set("CapBnd:")) & (1 << bit), 0, "{name}");
        }
        assert_ne!(set("CapEff:") & 1, 0, "CHOWN");
    } else {
        assert_eq!(set("CapEff:") | set("CapPrm:") | set("CapBnd:"), 0);
    }
    assert_eq!(set("CapInh:") | set("CapAmb:"), 0);
    link.leave(false).unwrap();
}

#[test]
fn the_store_is_covered_for_good() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    let store = scratch.path("store");
    let store = store.display();
    assert_eq!(output(&scratch, &link, &format!("ls -A {store}")), ".vrift-inside\n");
    for way in [
        format!("umount {store}"),
        format!("umount -l {store}"),
        format!("touch {store}/x"),
        format!("unshare -Urm umount {store}"),
        format!("unshare -Urm mount -o remount,rw {store}"),
        format!("unshare -Urm sh -c 'mkdir b; mount --bind / b && ls b{store}/lower'"),
        format!("ls /proc/1/root{store}/lower"),
        "ls -l /proc/1/fd/ 2>/dev/null | grep -e '->'".to_owned(),
        "nsenter -t 1 -m true".to_owned(),
    ] {
        assert_ne!(status(&link, &scratch.sh(&format!("{way} >/dev/null 2>&1"))), 0, "{way}");
    }
    link.leave(false).unwrap();
}

#[test]
fn proc_shows_the_session_only() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    let out = output(&scratch, &link, "echo /proc/[0-9]*; cat /proc/1/comm");
    let (pids, name) = out.split_once('\n').unwrap();
    assert!(pids.split(' ').count() <= 4, "{pids}");
    assert_eq!(name, "vrift-init\n");
    link.leave(false).unwrap();
}

#[test]
fn what_is_left_running_is_ended_and_named() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    assert_eq!(status(&link, &scratch.sh("sleep 1000 & sleep 1001 & exit 3")), 3);
    let other = scratch.join().unwrap();
    assert_eq!(other.leave(false).unwrap(), Left::OthersLive);
    assert_eq!(output(&scratch, &link, "pgrep -c sleep"), "2\n");
    let begin = Instant::now();
    let left = link.leave(false).unwrap();
    assert_eq!(last(&left), (&["sleep".to_owned(), "sleep".to_owned()][..], true));
    assert!(begin.elapsed() < Duration::from_millis(1500));
}

#[test]
fn what_ignores_sigterm_is_killed_after_two_seconds() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    assert_eq!(
        status(
            &link,
            &scratch.sh(
                "(trap '' TERM; touch ready; sleep 1000; sleep 1000) & while ! test -f ready; do :; done"
            )
        ),
        0
    );
    let begin = Instant::now();
    let left = link.leave(false).unwrap();
    assert!(!last(&left).0.is_empty() && last(&left).1);
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert!(begin.elapsed() < Duration::from_secs(4));
}

#[test]
fn waiting_lets_the_rest_end_by_itself() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    assert_eq!(status(&link, &scratch.sh("(sleep 0.3; touch done) & exit 0")), 0);
    assert_eq!(last(&link.leave(true).unwrap()), (&[][..], true));
    assert!(scratch.path("store/staging/upper/done").exists());
}

#[test]
fn a_joiner_relieves_who_waits() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    assert_eq!(status(&link, &scratch.sh("sleep 1000 & exit 0")), 0);
    let waiter = std::thread::spawn(move || link.leave(true).unwrap());
    std::thread::sleep(Duration::from_millis(50));
    let second = scratch.join().unwrap();
    assert_eq!(waiter.join().unwrap(), Left::OthersLive);
    assert_eq!(last(&second.leave(false).unwrap()).0, ["sleep"]);
}

#[test]
fn a_held_lock_lives_as_long_as_the_session() {
    let Some(scratch) = Scratch::new() else { return };
    let path = scratch.path("lock");
    let lock = Lock::wait(&path, Hold::Shared).unwrap();
    let link = open_at(scratch.dir.path(), &scratch.plan(), &[lock.fd().as_fd()]).unwrap();
    drop(lock);
    assert!(Lock::attempt(&path, Hold::Exclusive).unwrap().is_none());
    assert_eq!(status(&link, &scratch.sh("ls -l /proc/self/fd | grep -q lock")), 1);
    link.leave(false).unwrap();
    assert!(Lock::attempt(&path, Hold::Exclusive).unwrap().is_some());
}

#[test]
fn twenty_joiners_come_and_go_in_any_order() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    let mut links: Vec<_> = (0..20).map(|_| scratch.join().unwrap()).collect();
    std::thread::scope(|scope| {
        for link in &links {
            scope.spawn(|| assert_eq!(status(link, &scratch.sh("echo x >>all")), 0));
        }
    });
    assert_eq!(link.leave(false).unwrap(), Left::OthersLive);
    let mut at = 7;
    while links.len() > 1 {
        at = (at * 5 + 3) % links.len();
        assert_eq!(links.swap_remove(at).leave(false).unwrap(), Left::OthersLive);
    }
    let out = fs::read_to_string(scratch.path("store/staging/upper/all")).unwrap();
    assert_eq!(out, "x\n".repeat(20));
    assert_eq!(last(&links.pop().unwrap().leave(false).unwrap()), (&[][..], true));
}

/// As another thread's command makes this process while it enters its session.
#[test]
fn a_session_is_opened_while_another_thread_is_undumpable() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let Some(scratch) = Scratch::new() else { return };
    std::thread::scope(|scope| {
        let borrowed = vfork::borrow();
        set_dumpable_behavior(DumpableBehavior::NotDumpable).unwrap();
        let opened = scope.spawn(|| scratch.open_with(scratch.plan()));
        std::thread::sleep(Duration::from_millis(100));
        set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
        drop(borrowed);
        opened.join().unwrap().unwrap().leave(false).unwrap();
    });
}

#[test]
fn init_killed_is_an_error_that_says_so() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    let running = link.run(&scratch.sh("sleep 1000")).unwrap();
    sys::kill(link.init_pid(), libc::SIGKILL).unwrap();
    assert_eq!(running.wait().unwrap(), Exit::Signal(9));
    assert!(link.run(&scratch.sh("true")).is_err());
    assert!(link.leave(false).unwrap_err().to_string().contains("init was killed"));
}

#[test]
fn a_failing_step_is_named() {
    let Some(scratch) = Scratch::new() else { return };
    let plan =
        Plan::new(vec![Step::SlaveMounts, Step::Cover(Cover::new(Path::new("/no/such"), vec![]).unwrap())]);
    let error = scratch.open_with(plan).unwrap_err();
    assert_eq!(error.to_string(), "cannot cover the store `/no/such`: No such file or directory (tmpfs)");
}

#[test]
fn submounts_come_back_on_top() {
    let Some(scratch) = Scratch::new() else { return };
    // in a session of its own, a mount below the project, and a session in that session
    fs::create_dir_all(scratch.path("store/lower/sub")).unwrap();
    fs::create_dir_all(scratch.path("project/sub")).unwrap();
    let sub = scratch.path("project/sub");
    let hidden = Cover::new(&sub, vec![(c"in-the-submount".into(), vec![])]).unwrap();
    let mut plan = scratch.plan();
    plan.steps.insert(1, Step::Cover(hidden));
    plan.steps.insert(
        2,
        Step::HoldSubmounts(vec![plan::Held { path: plan::c_path(&sub).unwrap(), as_it_is: false }]),
    );
    plan.steps.insert(4, Step::RestoreSubmounts);
    let link = scratch.open_with(plan).unwrap();
    assert_eq!(output(&scratch, &link, "ls sub hello"), "hello\n\nsub:\nin-the-submount\n");
    link.leave(false).unwrap();
}

#[test]
fn dying_connections_do_not_disturb() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    for _ in 0..300 {
        drop(scratch.join().unwrap());
    }
    let held: Vec<_> = (0..200).map(|_| scratch.join().unwrap()).collect();
    until("all are known", || runs(&scratch.path("store/staging")).unwrap().len() == 201);
    drop(held);
    until("all are gone", || runs(&scratch.path("store/staging")).unwrap().len() == 1);
    link.leave(false).unwrap();
}
