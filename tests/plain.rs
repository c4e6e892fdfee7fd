//! `--projection copy --no-overlay`: where namespaces are refused a plain copy does, on request,
//! said aloud; what was written in it is in the workspace.

mod support;

#[path = "support/refuse.rs"]
mod refuse;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use support::{Ran, World};

/// A command whose process can have no namespace.
fn refused(world: &World, words: &[&str]) -> Ran {
    let mut command: Command = world.vrift();
    refuse::without(&mut command, &refuse::docker());
    Ran(command.args(words).output().unwrap())
}

const COPY: [&str; 4] = ["exec", "--projection", "copy", "--no-overlay"];

fn in_copy(world: &World, options: &[&str], script: &str) -> Ran {
    refused(world, &[&COPY, options, &["--", "sh", "-c", script]].concat())
}

fn world() -> World {
    let world = World::new();
    world.write("src/a.txt", "a\n");
    world.write("src/gone", "gone\n");
    world.write("tool", "#!/bin/sh\necho tool\n");
    std::fs::set_permissions(world.project.join("tool"), PermissionsExt::from_mode(0o750)).unwrap();
    world
}

fn copies(world: &World) -> usize {
    std::fs::read_dir(world.project_dir().join("plain")).map_or(0, Iterator::count)
}

#[test]
fn what_a_command_writes_in_the_copy_is_in_the_workspace() {
    let world = world();
    // never by itself, but named
    let error = refused(&world, &["exec", "true"]).fails(125);
    assert!(error.contains("--projection copy --no-overlay"), "{error}");
    let before = support::listing(&world.project);
    let script = "./tool; cat src/a.txt; echo new > src/new; echo more >> src/a.txt; rm src/gone; ln src/new hard;
        ln -s tool link; mkfifo fifo; chmod 700 tool; touch -d @1000000000.123456789 src; setfattr -n user.x -v 1 tool; exit 3";
    let ran = in_copy(&world, &[], script);
    assert!(
        ran.stderr().contains("without an overlay: the command runs in a plain copy"),
        "{}",
        ran.stderr()
    );
    assert_eq!((ran.code(), ran.stdout().as_str()), (3, "tool\na\n"), "{}", ran.stderr());
    assert_eq!(support::listing(&world.project), before);
    assert_eq!(copies(&world), 0);
    // the next one sees it, whichever way it runs
    let look = "cat src/a.txt src/new; stat -c '%a' tool; stat -c '%Y %n' src; stat -c %h hard; readlink link; test -p fifo; test ! -e src/gone; getfattr -n user.x --only-values tool";
    let expected = "a\nmore\nnew\n700\n1000000000 src\n2\ntool\n1";
    assert_eq!(in_copy(&world, &[], look).ok(), expected);
    if support::sessions_work() {
        let seen = world.sh(look).ok();
        assert_eq!(seen.replace("\n3\ntool", "\n2\ntool"), expected);
        world.sh("echo in a view > both").ok();
        assert_eq!(in_copy(&world, &[], "cat both").ok(), "in a view\n");
    }
    let changes = refused(&world, &["diff", "--name-status", "host", "main"]).ok();
    assert!(changes.contains("src/new") && changes.contains("src/gone"), "{changes}");
    refused(&world, &["apply"]).ok();
    assert_eq!(world.read("src/new"), "new\n");
    // in a directory below, and with what the host changed meanwhile
    world.edit("src/a.txt", "edited\n");
    let mut command = world.vrift();
    refuse::without(&mut command, &refuse::docker());
    let below = Ran(command
        .current_dir(world.project.join("src"))
        .args(COPY)
        .args(["--", "cat", "a.txt"])
        .output()
        .unwrap());
    assert_eq!(below.ok(), "edited\n");
    if support::sessions_work() {
        world.run(["verify"]).ok();
    }
}

#[test]
fn what_cannot_be_read_again_or_is_not_wanted_changes_nothing() {
    let world = world();
    in_copy(&world, &["--discard"], "echo x > discarded").ok();
    assert_eq!(in_copy(&world, &["--discard-on-failure"], "echo x > failed; exit 1").code(), 1);
    assert_eq!(in_copy(&world, &[], "ls").ok(), "src\ntool\n");
    // a file whose mode keeps its owner out is as it was
    in_copy(&world, &[], "chmod 0 src/gone; echo y > y").ok();
    assert_eq!(in_copy(&world, &[], "ls src; cat y").ok(), "a.txt\ngone\ny\n");
    assert_eq!(copies(&world), 0);
    // a command that is not there, and one that is killed
    assert_eq!(refused(&world, &[&COPY[..], &["--", "no-such-command"]].concat()).code(), 127);
    assert_eq!(in_copy(&world, &[], "echo z > z; kill -9 $$").code(), 137);
    assert_eq!(in_copy(&world, &[], "cat z").ok(), "z\n");
}

#[test]
fn what_it_cannot_show_is_refused() {
    let world = world();
    for option in [&["--confine", "home"][..], &["--net", "none"], &["--bind", "/etc:x"]] {
        let words = [&COPY[..], option, &["--", "true"]].concat();
        let error = refused(&world, &words).fails(125);
        assert!(error.contains("without an overlay"), "{option:?}: {error}");
    }
    refused(&world, &["exec", "--no-overlay", "true"]).fails(2);
    refused(&world, &["exec", "--projection", "stub", "--no-overlay", "true"]).fails(2);
    world.write("vrift.toml", "[paths]\nhide = ['secret']\n");
    assert!(in_copy(&world, &[], "true").fails(125).contains("paths.hide"));
}

#[test]
fn nobody_joins_and_a_killed_one_is_told_of() {
    let world = world();
    let (ready, go) = (world.path().join("ready"), world.path().join("go"));
    let script = format!(
        "echo mine > mine; touch {}; until test -e {}; do sleep 0.02; done",
        ready.display(),
        go.display()
    );
    let mut first = world.vrift().args(COPY).args(["--", "sh", "-c", &script]).spawn().unwrap();
    while !ready.exists() {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let second = in_copy(&world, &[], "true").fails(125);
    assert!(second.contains("live run"), "{second}");
    // killed: what was written stays, is told of by every run, and by those who look
    first.kill().unwrap();
    first.wait().unwrap();
    // its command goes on, and may write
    for fate in ["--drop", "--keep"] {
        let busy = refused(&world, &["recover", fate]).fails(1);
        assert!(busy.contains("is still in what session") && busy.contains("hint: "), "{busy}");
    }
    let ran = in_copy(&world, &[], "ls");
    assert!(
        ran.stderr().contains("ended without taking in what it wrote: vrift recover "),
        "{}",
        ran.stderr()
    );
    assert_eq!(ran.ok(), "src\ntool\n");
    std::fs::write(&go, "").unwrap();
    let session = orphan(&world);
    assert!(refused(&world, &["runs"]).ok().contains(&session));
    let left = world.project_dir().join("plain").join(&session).join("tree");
    assert_eq!(std::fs::read_to_string(left.join("mine")).unwrap(), "mine\n");
    assert_eq!(left.join("tool").metadata().unwrap().mode() & 0o777, 0o750);
    world.run(["verify"]).ok();
    // what it was of stays, too, however old it gets
    world.edit("src/a.txt", "edited\n");
    refused(&world, &["sync"]).ok();
    refused(&world, &["gc", "--grace", "0"]).ok();
    assert_eq!(orphan(&world), session);
    let patch = refused(&world, &["recover", "--diff"]).ok();
    assert!(patch.contains("+mine") && !patch.contains("edited"), "{patch}");
    let kept = loop {
        let kept = refused(&world, &["recover", &session, "--keep"]);
        if kept.code() == 0 {
            break kept;
        }
        assert!(kept.stderr().contains("is still in what session"), "{}", kept.stderr());
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(kept.stderr().contains("1 file written"), "{}", kept.stderr());
    assert_eq!(copies(&world), 0);
    assert_eq!(in_copy(&world, &[], "cat mine src/a.txt").ok(), "mine\nedited\n");
    world.run(["verify"]).ok();
}

/// The only session that `recover` lists.
fn orphan(world: &World) -> String {
    let listed = refused(world, &["recover"]).ok();
    assert_eq!(listed.lines().count(), 1, "{listed}");
    listed.split(' ').next().unwrap().to_string()
}

/// A run that writes and is killed, its command with it.
fn killed(world: &World, script: &str) {
    let script = format!("{script}; kill -9 $PPID; kill -9 $$");
    let ran = in_copy(world, &[], &script);
    assert_ne!(ran.code(), 0);
}

#[test]
fn what_a_killed_one_left_is_dropped_on_request_and_with_the_time() {
    let world = world();
    in_copy(&world, &[], "true").ok();
    killed(&world, "echo one > one");
    orphan(&world);
    refused(&world, &["recover", "--drop"]).ok();
    assert_eq!((copies(&world), refused(&world, &["recover"]).ok().as_str()), (0, ""));
    // after thirty days gc does it; not before
    killed(&world, "echo two > two; chmod 0 src");
    let dir = world.project_dir().join("plain").join(orphan(&world));
    let told = in_copy(&world, &[], "ls");
    assert!(told.stderr().contains("dropped in "), "{}", told.stderr());
    refused(&world, &["gc"]).ok();
    assert_eq!(copies(&world), 1);
    let month = std::time::SystemTime::now() - std::time::Duration::from_secs(31 * 24 * 3600);
    std::fs::File::options().append(true).open(dir.join("orphaned")).unwrap().set_modified(month).unwrap();
    refused(&world, &["gc"]).ok();
    assert_eq!(copies(&world), 0);
    assert_eq!(in_copy(&world, &[], "ls").ok(), "src\ntool\n");
}

/// At each step at which it can be killed, what there is is whole: the state before, or after.
#[test]
fn a_kill_at_any_step_leaves_a_whole_workspace() {
    if !cfg!(debug_assertions) {
        return eprintln!("skipped: a release build has no failpoints");
    }
    for (point, left, after) in [
        ("plain.copied", 0, "src\ntool\n"),
        ("plain.taken", 1, "new\nsrc\ntool\n"),
        ("plain.discarded", 0, "new\nsrc\ntool\n"),
    ] {
        let world = world();
        in_copy(&world, &[], "true").ok();
        let mut command = world.vrift();
        refuse::without(&mut command, &refuse::docker());
        command.args(COPY).args(["--", "sh", "-c", "echo new > new"]);
        command.env("VRIFT_FAILPOINT", point);
        let ran = Ran(command.output().unwrap());
        assert_ne!(ran.code(), 0, "{point}");
        assert_eq!(copies(&world), 1, "{point}");
        let listed = refused(&world, &["recover"]).ok();
        assert_eq!(listed.lines().count(), left, "{point}: {listed}");
        refused(&world, &["recover", "--keep"]).ok();
        assert_eq!(in_copy(&world, &[], "ls").ok(), after, "{point}");
        refused(&world, &["gc"]).ok();
        assert_eq!(copies(&world), 0, "{point}");
        world.run(["verify"]).ok();
    }
}
