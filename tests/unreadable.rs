//! What the user cannot read is shown as on the host, never taken in, and said once.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use support::{Ran, World};

/// An ordinary user's world. Started by root, it is somebody else's, and what cannot be
/// read in it belongs to root, as what a container wrote does.
struct Theirs {
    world: World,
    user: Option<u32>,
}

/// Any number that has no files on this machine.
const SOMEBODY: u32 = 61_234;

impl Theirs {
    fn new() -> Self {
        let user = rustix::process::geteuid().is_root().then_some(SOMEBODY);
        Self { world: World::new(), user }
    }

    /// Gives them everything that is there by now.
    fn hand_over(&self) {
        let Some(user) = self.user else { return };
        for entry in walkdir::WalkDir::new(self.world.path()) {
            std::os::unix::fs::lchown(entry.unwrap().path(), Some(user), Some(user)).unwrap();
        }
    }

    /// Makes a path one that they cannot read.
    fn close(&self, path: &str, mode: u32) {
        let path = self.world.project.join(path);
        if self.user.is_some() {
            std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        }
        self.set_mode(&path, mode);
    }

    fn set_mode(&self, path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn as_them(&self, command: &mut Command) -> Ran {
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        Ran(command.output().unwrap())
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.as_them(self.world.vrift().args(args))
    }

    fn sh(&self, script: &str) -> Ran {
        self.run(&["exec", "--", "sh", "-c", script])
    }

    /// Whether sessions can be opened by them.
    fn works(&self) -> bool {
        let probe = Theirs::new();
        probe.hand_over();
        let ran = probe.sh("true");
        let must = std::env::var_os("VRIFT_MUST_WORK").is_some_and(|value| value == "1");
        assert!(ran.code() == 0 || !must, "sessions must work here: {}", ran.stderr());
        if ran.code() != 0 {
            eprintln!("skipped: {}", ran.stderr());
        }
        ran.code() == 0
    }
}

/// A project with two unreadable files and two unreadable directories, and what its user
/// sees of them on the host.
fn closed() -> (Theirs, String) {
    let theirs = Theirs::new();
    let world = &theirs.world;
    for (path, text) in [("a", "open\n"), ("secret", "never\n"), ("d/key", "never\n"), ("d/open", "x\n")] {
        world.write(path, text);
    }
    world.write("vault/inner", "never\n");
    world.write("listed/inner", "never\n");
    theirs.hand_over();
    // as root's own: everything for the owner, nothing for others
    let (file, dir, listed) = if theirs.user.is_some() { (0o600, 0o700, 0o744) } else { (0, 0, 0o400) };
    theirs.close("secret", file);
    theirs.close("d/key", file);
    theirs.close("vault", dir);
    theirs.close("listed", listed);
    let seen = theirs.as_them(world.command("sh").args(["-c", LOOK]));
    (theirs, seen.stdout())
}

/// What is there, and what comes of opening it. Owners have no numbers inside but one's own.
const LOOK: &str = "for f in secret d/key vault listed a; do stat -c '%n %F %a %s %Y' $f; done; \
     for f in secret d/key vault/inner listed/inner a; do cat $f 2>&1; done; ls vault 2>&1; ls d";

#[test]
fn it_is_shown_as_on_the_host_and_said_once() {
    let (theirs, seen) = closed();
    if !theirs.works() {
        return;
    }
    assert_eq!(seen.matches("Permission denied").count(), 5, "{seen}");
    let ran = theirs.sh(LOOK);
    for path in ["`secret`", "`d/key`", "`vault`", "`listed`"] {
        let said = ran.stderr().lines().filter(|line| line.contains(path)).count();
        assert_eq!(said, 1, "{path}: {}", ran.stderr());
    }
    assert_eq!(ran.stdout(), seen);
    for options in [&["exec"][..], &["exec", "--no-sync"]] {
        let again = theirs.run(&[options, &["--", "sh", "-c", LOOK]].concat());
        assert_eq!((again.stdout(), again.stderr()), (seen.clone(), String::new()));
    }
    // a joiner sees them too, and nothing of it counts as written
    let inner =
        format!("echo new > d/new; {} exec --no-sync -- sh -c \"$LOOK\"", env!("CARGO_BIN_EXE_vrift"));
    let joined =
        theirs.as_them(theirs.world.vrift().env("LOOK", LOOK).args(["exec", "--", "sh", "-c", &inner]));
    assert_eq!(joined.stdout(), seen.replace("key\nopen\n", "key\nnew\nopen\n"));
    let status = theirs.run(&["status"]).ok();
    assert!(status.contains("A d/new\n"), "{status}");
    assert_eq!(status.lines().filter(|line| line.starts_with(['A', 'D', 'M'])).count(), 1, "{status}");
    let stored = theirs.world.objects();
    let holds = |path: &std::path::PathBuf| std::fs::read(path).unwrap() == b"never\n";
    assert!(!stored.iter().any(holds), "what cannot be read was taken in");
}

#[test]
fn the_hosts_own_is_not_changed_by_it() {
    let (theirs, _) = closed();
    if !theirs.works() {
        return;
    }
    let before = theirs.world.project.join("secret").metadata().unwrap();
    let ran =
        theirs.sh("chmod 644 secret; echo x > secret; rm -f secret; touch secret; rmdir vault; mv d e; true");
    assert!(ran.stderr().contains("Read-only file system"), "{}", ran.stderr());
    let after = theirs.world.project.join("secret").metadata().unwrap();
    assert_eq!((before.mode(), before.mtime_nsec()), (after.mode(), after.mtime_nsec()));
    assert!(theirs.world.project.join("vault").is_dir());
}

#[test]
fn once_it_can_be_read_it_is_taken_in() {
    let (theirs, _) = closed();
    if !theirs.works() {
        return;
    }
    theirs.sh("true").ok();
    for path in ["secret", "d/key", "vault", "listed"] {
        let path = theirs.world.project.join(path);
        theirs.set_mode(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    let ran = theirs.sh("cat secret d/key vault/inner listed/inner; chmod 600 secret; rm d/key");
    assert_eq!(ran.ok(), "never\n".repeat(4));
    // what the workspace has stays when the host's is closed again (left out is not deleted)
    theirs.close("vault", if theirs.user.is_some() { 0o700 } else { 0 });
    assert_eq!(theirs.sh("cat vault/inner; ls d").ok(), "never\nopen\n");
    // one that vanishes goes
    theirs.set_mode(&theirs.world.project.join("vault"), 0o755);
    std::fs::remove_file(theirs.world.project.join("secret")).unwrap();
    assert_eq!(theirs.sh("ls vault").ok(), "inner\n");
}

#[test]
fn a_run_that_writes_nothing_takes_nothing_in() {
    let (theirs, _) = closed();
    if !theirs.works() {
        return;
    }
    theirs.sh("true").ok();
    let run = |script: &str| {
        let mut vrift = theirs.world.vrift();
        vrift.args(["exec", "--", "sh", "-c", script]).env("VRIFT_FAILPOINT", "take-in.read=5");
        theirs.as_them(&mut vrift).code()
    };
    assert_eq!(run("cat a; ls -l secret; cat secret vault/x; ls d vault; true"), 0);
    assert!(theirs.world.staging().is_empty());
    for script in ["echo x > new", "touch d/open", "chmod 700 d", "rm d/open", "touch d; touch ."] {
        assert_eq!(run(script), 125, "{script}");
        theirs.sh("true").ok();
    }
}

#[test]
fn it_is_listed() {
    let (theirs, _) = closed();
    if !theirs.works() {
        return;
    }
    theirs.sh("true").ok();
    let listed = theirs.run(&["status", "--paths"]).ok();
    for path in ["d/key", "listed", "secret", "vault"] {
        let line = listed.lines().find(|line| line.starts_with("closed") && line.contains(path));
        assert!(line.is_some_and(|line| line.contains("cannot be read")), "{path}: {listed}");
    }
    assert!(!listed.contains("closed   a "), "{listed}");
    let json: serde_json::Value =
        serde_json::from_str(&theirs.run(&["status", "--paths", "--json"]).ok()).unwrap();
    assert_eq!(json["unreadable"], serde_json::json!(["d/key", "listed", "secret", "vault"]));
    assert!(theirs.run(&["doctor", "secret"]).ok().contains("it cannot be read"));
    assert!(
        theirs.run(&["doctor", "vault/inner"]).ok().contains("`vault`, which it lies in, cannot be read")
    );
    assert!(theirs.run(&["doctor", "a"]).ok().contains("a write there"));
}
