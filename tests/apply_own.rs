//! `exec --apply`: each run writes its own changes to the host, and only when it succeeds.

#[allow(dead_code)]
#[path = "support/applied.rs"]
mod applied;
mod support;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use applied::{clean, inside, no_temporaries, tree};
use support::{Ran, World, listing};

#[test]
fn a_run_applies_its_own_changes_and_only_on_success() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "1\n");
    world.sh("echo earlier > b; echo earlier > c").ok();
    let apply = |script: &str| world.run(["exec", "--apply", "sh", "-c", script]);
    apply("echo 2 > a; mkdir d; echo n > d/n").ok();
    assert_eq!(
        (world.read("a"), world.read("b"), world.read("d/n")),
        ("2\n".into(), "1\n".into(), "n\n".into())
    );
    assert!(!world.project.join("c").exists());
    // a failure writes nothing, but is kept
    let failed = apply("echo 3 > a; exit 3");
    assert_eq!(failed.code(), 3);
    assert_eq!(world.read("a"), "2\n");
    assert_eq!(world.exec(["cat", "a"]).ok(), "3\n");
    // what the host has otherwise stops all of it, and the status says so
    world.edit("b", "host\n");
    let before = listing(&world.project);
    let error =
        world.run(["exec", "--no-sync", "--apply", "sh", "-c", "echo 4 > b; echo 4 > new"]).fails(125);
    assert!(error.contains("nothing was written") && error.contains("`b`"), "{error}");
    assert_eq!(listing(&world.project), before);
    assert_eq!(world.run(["exec", "--no-sync", "cat", "b", "new"]).ok(), "4\n4\n");
    // nothing written is fine
    apply("true").ok();
    world.run(["apply", "--on-conflict", "overwrite"]).ok();
    clean(&world);
}

/// A run that applies and goes on until its flag is there.
struct Live {
    flag: PathBuf,
    child: Child,
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.flag, "");
    }
}

impl Live {
    /// Returns when `script` has run.
    fn start(world: &World, name: &str, script: &str, then: &str) -> Self {
        let flag = world.path().join(name);
        let script = format!(
            "{script}; : > {0}.ready; while [ ! -e {0} ]; do sleep 0.01; done; {then}",
            flag.display()
        );
        let args = ["exec", "--no-sync", "--apply", "sh", "-c", &script];
        let mut child = world.vrift().args(args).spawn().unwrap();
        while !world.path().join(format!("{name}.ready")).exists() {
            assert!(child.try_wait().unwrap().is_none(), "{name} ended too early");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { flag, child }
    }

    /// Its session ends with nobody to take it in.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(mut self) -> Option<i32> {
        std::fs::write(&self.flag, "").unwrap();
        self.child.wait().unwrap().code()
    }
}

fn apply(world: &World, script: &str) -> Ran {
    world.run(["exec", "--no-sync", "--apply", "sh", "-c", script])
}

#[test]
fn runs_that_apply_join_and_each_writes_its_own() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1\n");
    world.write("gone", "x");
    world.write("dir/f", "x");
    world.sh("echo mine > unapplied; mkdir -p deep/er; echo f > deep/er/f").ok();
    // it holds a file open for writing while the others come and go
    let first = Live::start(&world, "one", "exec 3> half; echo begun >&3; echo 1 > early", "echo done >&3");
    apply(&world, "echo 2 > a; mkdir -p new/er; echo n > new/er/n; rm gone; rm -r dir; echo x > deep/er/x")
        .ok();
    assert_eq!((world.read("a"), world.read("new/er/n")), ("2\n".into(), "n\n".into()));
    assert!(!world.project.join("gone").exists() && !world.project.join("dir").exists());
    assert_eq!(world.read("deep/er/x"), "x\n");
    // neither what is not done, nor what was there before it began, nor what nobody applied
    for path in ["half", "early", "unapplied", "deep/er/f"] {
        assert!(!world.project.join(path).exists(), "{path}");
    }
    // and one after another, in the same session: written again, taken away, made anew
    apply(
        &world,
        "echo 3 > a; rm -r new; mkdir dir; echo new > dir/f; chmod 700 dir/f; touch -d @5.25 dir/f",
    )
    .ok();
    assert_eq!((world.read("a"), world.read("dir/f")), ("3\n".into(), "new\n".into()));
    assert!(!world.project.join("new").exists());
    let stat = std::fs::metadata(world.project.join("dir/f")).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.mtime(), stat.mtime_nsec()), (0o700, 5, 250_000_000));
    // one that fails writes nothing, though it is all in the workspace
    assert_eq!(apply(&world, "echo 4 > a; echo f > failed; exit 3").code(), 3);
    assert_eq!(world.read("a"), "3\n");
    assert!(!world.project.join("failed").exists());
    assert_eq!(apply(&world, "cat a failed").ok(), "4\nf\n");
    // what others may throw away, or do not apply, is not mixed with it
    let error = world.exec(["true"]).fails(125);
    assert!(error.contains("only a run with --apply can join it"), "{error}");
    let error = world.run(["exec", "--discard", "true"]).fails(125);
    assert!(error.contains("could not be told apart"), "{error}");
    // a checkpoint in between takes nothing away from what it wrote
    world.run(["commit", "mid"]).ok();
    assert_eq!(first.end(), Some(0));
    assert_eq!((world.read("half"), world.read("early")), ("begun\ndone\n".into(), "1\n".into()));
    world.sh("echo 5 > a; rm failed unapplied").ok();
    world.run(["apply"]).ok();
    clean(&world);
}

#[test]
fn one_that_fails_last_leaves_what_the_others_applied() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1\n");
    world.exec(["true"]).ok();
    let first = Live::start(&world, "one", "true", "echo failed > failed; exit 7");
    let second = Live::start(&world, "two", "true", "echo two > two");
    apply(&world, "echo 2 > a").ok();
    assert_eq!(second.end(), Some(0));
    assert_eq!(first.end(), Some(7));
    assert_eq!((world.read("a"), world.read("two")), ("2\n".into(), "two\n".into()));
    assert!(!world.project.join("failed").exists());
    assert_eq!(world.exec(["cat", "a", "two", "failed"]).ok(), "2\ntwo\nfailed\n");
}

#[test]
fn a_parallel_make_builds_on_the_host() {
    needs_sessions!();
    if std::process::Command::new("make").arg("--version").output().is_err() {
        eprintln!("skipped: no make");
        return;
    }
    let world = World::new();
    let names: Vec<String> = (0..12).map(|number| format!("part{number}")).collect();
    for name in &names {
        world.write(&format!("{name}.c"), format!("int {name}(void) {{ return 0; }}\n"));
    }
    let calls: String = names.iter().map(|name| format!(" + {name}()")).collect();
    let known: String = names.iter().map(|name| format!("int {name}(void);\n")).collect();
    world.write("main.c", format!("{known}int main(void) {{ return 0{calls}; }}\n"));
    let objects: String = names.iter().map(|name| format!(" {name}.o")).collect();
    world.write("Makefile", format!("prog: main.o{objects}\n\t$(CC) -o $@ $^\n"));
    world.exec(["true"]).ok();
    let cc = format!("CC={} exec --no-sync --apply -- cc", env!("CARGO_BIN_EXE_vrift"));
    let make = || Ran(world.command("make").args(["-j3", &cc]).output().unwrap());
    let ran = make();
    if ran.stderr().contains("`cc`") && ran.code() != 0 {
        eprintln!("skipped: {}", ran.stderr());
        return;
    }
    ran.ok();
    assert!(world.command("./prog").status().unwrap().success());
    assert!(make().ok().contains("up to date"));
    // each is as the workspace has it, to the nanosecond
    assert_eq!(tree(&world.project), inside(&world, "copy"));
    clean(&world);
    // what fails is as without vrift: make stops, and goes on when it is repaired
    world.edit("part3.c", "int part3(void) { return }\n");
    world.run(["sync"]).ok();
    assert_ne!(make().code(), 0);
    world.edit("part3.c", "int part3(void) { return 0; }\n");
    world.run(["sync"]).ok();
    make().ok();
    assert!(make().ok().contains("up to date"));
    clean(&world);
}

#[test]
fn killed_in_between_the_host_and_the_workspace_agree() {
    needs_sessions!();
    let mut kills = 0;
    for shared in [false, true] {
        for place in [
            "take-in.committed",
            "apply.own",
            "apply.planned",
            "apply.made",
            "apply.staged",
            "apply.swapped:1",
            "apply.swapped:2",
            "apply.committed",
            "apply.done",
            "apply.recorded",
        ] {
            let world = World::new();
            world.write("a", "old\n");
            world.exec(["true"]).ok();
            let other = shared.then(|| Live::start(&world, "one", "true", "true"));
            let script = "echo new > a; echo new > b";
            let args = ["exec", "--no-sync", "--apply", "sh", "-c", script];
            let ran = world.vrift().args(args).env("VRIFT_FAILPOINT", place).output().unwrap();
            kills += usize::from(ran.status.code().is_none());
            assert!(["old\n", "new\n"].contains(&world.read("a").as_str()), "{place}");
            // the other one goes on, or is killed as well and leaves an orphan
            match other {
                Some(other) if place.contains("made") => other.kill(),
                Some(other) => assert_eq!(other.end(), Some(0), "{place}"),
                None => {}
            }
            world.run(["status"]).ok();
            no_temporaries(&world);
            let host = (world.read("a"), world.project.join("b").exists());
            assert!(host == ("old\n".into(), false) || host == ("new\n".into(), true), "{place}: {host:?}");
            // what the host has, the workspace has; what is left is written by the next apply
            let deleted = world.run(["diff", "--name-status", "host", "main"]).ok();
            assert!(!deleted.contains("D\t") && !deleted.starts_with('D'), "{place}: {deleted}");
            if !place.contains("made") {
                world.run(["apply"]).ok();
                assert_eq!((world.read("a"), world.read("b")), ("new\n".into(), "new\n".into()), "{place}");
                clean(&world);
            }
        }
    }
    assert!(kills > 15, "{kills}");
}

#[test]
fn a_run_in_a_fork_writes_to_the_host_what_lies_in_directories_it_lacks() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1\n");
    world.exec(["true"]).ok();
    world.run(["fork", "f"]).ok();
    world.run(["exec", "-w", "f", "sh", "-c", "mkdir -p d/e; chmod 750 d; echo 1 > d/e/old"]).ok();
    world.run(["exec", "-w", "f", "--apply", "sh", "-c", "echo 2 > d/e/new"]).ok();
    assert_eq!(world.read("d/e/new"), "2\n");
    assert!(!world.project.join("d/e/old").exists());
    assert_eq!(std::fs::metadata(world.project.join("d")).unwrap().mode() & 0o7777, 0o750);
    world.run(["apply", "-w", "f"]).ok();
    assert_eq!(world.read("d/e/old"), "1\n");
    // one path alone, in a directory that the host does not have
    world.run(["exec", "-w", "f", "sh", "-c", "mkdir -p g/h; echo 1 > g/h/one; echo 1 > g/h/two"]).ok();
    world.run(["apply", "-w", "f", "g/h/one"]).ok();
    assert!(!world.project.join("g/h/two").exists());
    assert_eq!(world.read("g/h/one"), "1\n");
}
