//! `[sync] mtime`: with `content`, a fresh clone on a warm workspace builds nothing.

mod support;

use std::path::{Path, PathBuf};

use support::{Ran, World};

/// git on the host; it must succeed.
#[track_caller]
fn git(world: &World, dir: &Path, args: &[&str]) {
    let mut git = world.command("git");
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "tester").env(format!("GIT_{role}_EMAIL"), "tester@example.org");
    }
    Ran(git.current_dir(dir).args(args).output().unwrap()).ok();
}

/// A project with one commit, and a clone of it to clone from.
fn project(files: &[(&str, &str)]) -> World {
    let world = World::new();
    std::fs::remove_dir(world.project.join(".git")).unwrap();
    for (path, content) in files {
        world.write(path, content);
    }
    git(&world, &world.project, &["init", "-q", "-b", "trunk"]);
    git(&world, &world.project, &["add", "."]);
    git(&world, &world.project, &["commit", "-qm", "first"]);
    git(&world, world.path(), &["clone", "-q", "--bare", "project", "origin"]);
    world
}

/// The project's directory made anew by a clone, later than everything in it was built.
fn clone_afresh(world: &World) {
    std::fs::remove_dir_all(&world.project).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100)); // make looks at seconds somewhere
    git(world, world.path(), &["clone", "-q", "origin", "project"]);
}

/// `exec` with the mtimes of contents.
fn exec(world: &World, words: &[&str]) -> Ran {
    Ran(world.vrift().env("VRIFT_SYNC_MTIME", "content").args(["exec", "--"]).args(words).output().unwrap())
}

const MAKEFILE: &str = "all: a.o b.o\n%.o: %.c\n\t@echo building $<\n\t@cp $< $@\n";

#[test]
fn a_fresh_clone_on_a_warm_workspace_builds_nothing() {
    needs_sessions!();
    let world = project(&[("Makefile", MAKEFILE), ("a.c", "a"), ("b.c", "b"), (".gitignore", "*.o\n")]);
    assert_eq!(exec(&world, &["make"]).ok(), "building a.c\nbuilding b.c\n");
    clone_afresh(&world);
    assert_eq!(exec(&world, &["make"]).ok(), "make: Nothing to be done for 'all'.\n");
    // Another branch and back.
    git(&world, &world.project, &["checkout", "-qb", "other"]);
    world.edit("b.c", "other");
    git(&world, &world.project, &["commit", "-qam", "other"]);
    git(&world, &world.project, &["checkout", "-q", "trunk"]);
    assert_eq!(exec(&world, &["make"]).ok(), "make: Nothing to be done for 'all'.\n");
    // What changed is built, and a mode comes along without it.
    world.edit("b.c", "changed");
    let chmod = world.command("chmod").args(["+x", "a.c"]).status().unwrap();
    assert!(chmod.success());
    assert_eq!(exec(&world, &["sh", "-c", "make; test -x a.c"]).ok(), "building b.c\n");
    // A touch is no change here, but by default it is.
    assert!(world.command("touch").arg("a.c").status().unwrap().success());
    assert_eq!(exec(&world, &["make"]).ok(), "make: Nothing to be done for 'all'.\n");
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(world.command("touch").arg("a.c").status().unwrap().success());
    assert_eq!(world.exec(["make"]).ok(), "building a.c\n");
}

#[test]
fn without_it_a_fresh_clone_is_built() {
    needs_sessions!();
    let world = project(&[("Makefile", MAKEFILE), ("a.c", "a"), ("b.c", "b"), (".gitignore", "*.o\n")]);
    world.exec(["make"]).ok();
    clone_afresh(&world);
    assert_eq!(world.exec(["make"]).ok(), "building a.c\nbuilding b.c\n");
}

#[test]
fn what_the_workspace_had_itself_keeps_its_time_too() {
    needs_sessions!();
    let world = project(&[("Makefile", MAKEFILE), ("a.c", "a"), ("b.c", "b"), (".gitignore", "*.o\n")]);
    exec(&world, &["sh", "-c", "echo inside > a.c; sleep 0.05; make"]).ok();
    world.edit("a.c", "inside\n");
    assert_eq!(exec(&world, &["make"]).ok(), "make: Nothing to be done for 'all'.\n");
}

#[test]
fn cargo_builds_nothing_after_a_fresh_clone() {
    needs_sessions!();
    let cargo = std::env::var_os("CARGO").map(PathBuf::from).filter(|cargo| std::fs::metadata(cargo).is_ok());
    let Some(cargo) = cargo.and_then(|cargo| cargo.to_str().map(str::to_string)) else {
        eprintln!("skipped: no readable toolchain");
        return;
    };
    let manifest = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    let world =
        project(&[("Cargo.toml", manifest), ("src/lib.rs", "pub fn f() {}\n"), (".gitignore", "/target\n")]);
    let build = || {
        let mut vrift = world.vrift();
        vrift.env("VRIFT_SYNC_MTIME", "content").env("CARGO_HOME", world.path().join("cargo"));
        vrift.env("RUSTC", Path::new(&cargo).with_file_name("rustc")).env_remove("CARGO_TARGET_DIR");
        let ran = Ran(vrift.args(["exec", "--", &cargo, "build", "--offline"]).output().unwrap());
        assert_eq!(ran.code(), 0, "{}", ran.stderr());
        ran.stderr()
    };
    assert!(build().contains("Compiling small"));
    clone_afresh(&world);
    let again = build();
    assert!(again.contains("Finished") && !again.contains("Compiling"), "{again}");
}

#[test]
fn another_value_is_refused() {
    let world = World::new();
    let refused = world.run(["--config", "sync.mtime=newest", "exec", "true"]);
    let error = refused.stderr();
    assert!(error.contains("`sync.mtime` cannot be \"newest\"") && error.contains("content"), "{error}");
}
