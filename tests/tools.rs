//! What the tools of a build do to files works in runs: rsync, git, ar, a linker, two
//! cargos at once. Every command inside has a limit of time.

mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::World;

/// Seconds for one command.
const LIMIT: &str = "240";

/// Whether a tool is here; where not, the test says so and is skipped.
fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(std::env::var_os("VRIFT_MUST_WORK").is_none(), "{tool} is missing");
    eprintln!("skipped: {tool} is missing");
    false
}

/// A script inside, under `timeout`; it must succeed.
fn inside(world: &World, script: &str) -> String {
    world.exec(["timeout", "--kill-after=10", LIMIT, "sh", "-ec", script]).ok()
}

/// The same outside, in a directory.
fn outside(world: &World, at: &Path, script: &str) -> String {
    let mut command = world.command("timeout");
    let output =
        command.args(["--kill-after=10", LIMIT, "sh", "-ec", script]).current_dir(at).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Digest, mode and mtime of all files in the current directory; of directories and links
/// no mtime, because rsync does not set one that is off by less than a second.
const SUMS: &str = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum; \
                    find . -type f -printf '%p %m %T@\\n' | LC_ALL=C sort; \
                    find . ! -type f -printf '%p %y %m %l\\n' | LC_ALL=C sort";

#[test]
fn rsync_copies_updates_in_place_and_deletes() {
    needs_sessions!();
    if !has("rsync") {
        return;
    }
    let world = World::new();
    let source = world.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let make = "for d in a a/b c; do mkdir $d; for n in $(seq 40); do \
                head -c $((n * n * 37)) /dev/urandom > $d/f$n; done; done; ln -s a/f1 link; chmod 400 a/f3; chmod 755 c/f4";
    outside(&world, &source, make);
    // Half of it is on the host already, some of it older: rsync writes to files of the base.
    outside(
        &world,
        &world.project,
        &format!("mkdir copy; cp -a '{}/a' copy/; echo old > copy/a/f7", source.display()),
    );
    let host = support::listing(&world.project);
    let sync = |options: &str| inside(&world, &format!("rsync {options} '{}/' copy/", source.display()));
    let same = || {
        let expected = outside(&world, &source, SUMS);
        for _ in 0..2 {
            let found = inside(&world, &format!("cd copy && {SUMS}"));
            let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
            assert!(found == expected, "{differs:?}");
        }
    };
    sync("-a");
    same();
    outside(
        &world,
        &source,
        "for n in 2 5 9; do echo more >> a/f$n; done; head -c 99 c/f20 > c/f21; chmod 600 c/f4",
    );
    sync("--inplace -a");
    same();
    outside(
        &world,
        &source,
        "rm -r a/b c/f30 link; mkdir -p a/b; echo new > a/b/new; rm c/f31; ln -s nowhere c/f31",
    );
    sync("-a --delete");
    same();
    inside(&world, "rm -r copy");
    assert_eq!(inside(&world, "ls -A").trim(), ".git");
    assert_eq!(support::listing(&world.project), host);
}

#[test]
fn git_works_inside_and_its_repositories_stay_sound() {
    needs_sessions!();
    if !has("git") {
        return;
    }
    let world = World::new();
    let origin = world.path().join("origin");
    std::fs::create_dir(&origin).unwrap();
    let identity =
        "export GIT_AUTHOR_NAME=n GIT_AUTHOR_EMAIL=e@x GIT_COMMITTER_NAME=n GIT_COMMITTER_EMAIL=e@x";
    let make = "git init -q -b trunk; for n in $(seq 60); do mkdir -p d$((n % 7)); echo $n > d$((n % 7))/f$n; done; \
                git add -A; git commit -qm one; git checkout -qb side; for n in $(seq 20); do echo side >> d3/f3; \
                echo $n > d1/s$n; git add -A; git commit -qm side$n; done; git rm -qr d5; git mv d2 moved; \
                git commit -qm gone; git checkout -q trunk; git tag v1";
    outside(&world, &origin, &format!("{identity}; {make}"));
    let sound = |what: &str| {
        let checked = "git fsck --strict --full 2>&1; git status --porcelain; git stash list | wc -l; git rev-parse HEAD";
        let said = inside(&world, &format!("cd clone; {checked}"));
        assert!(
            !said.contains("error") && !said.contains("missing") && !said.contains("broken"),
            "{what}: {said}"
        );
        said
    };
    // Cloned, changed branches: every file of one is replaced by the other's.
    inside(
        &world,
        &format!(
            "git clone -q '{}' clone; cd clone; git checkout -q side; git checkout -q trunk; git checkout -q side; test -d moved; test ! -e d5",
            origin.display()
        ),
    );
    sound("after the clone");
    // Stashed and brought back, committed, packed anew.
    let work = "cd clone; echo changed >> d1/f1; echo new > new; git stash -qu; git checkout -q trunk; git stash pop -q; \
                git add -A; git commit -qm work; echo again >> d1/f1; git stash -q; git gc -q --prune=now; git checkout -q side; git checkout -q trunk";
    inside(&world, &format!("{identity}; {work}"));
    sound("after stash and gc");
    // A worktree beside it, removed again in the next run.
    inside(
        &world,
        &format!(
            "{identity}; cd clone; git worktree add -q ../tree side; cd ../tree; echo w > w; git add w; git commit -qm w; git status --porcelain"
        ),
    );
    sound("with a worktree");
    inside(
        &world,
        "cd clone; git stash pop -q; git checkout -q d1/f1; git worktree remove ../tree; git worktree prune; git log --oneline side | head -n1 | grep -q ' w$'; git gc -q",
    );
    let said = sound("at the end");
    assert!(said.contains("\n0\n") || said.starts_with("0\n"), "a stash is left: {said}");
    assert_eq!(inside(&world, "ls").trim(), "clone");
}

#[test]
fn an_archive_of_the_base_is_updated() {
    needs_sessions!();
    if !has("ar") || !has("cc") {
        return;
    }
    let world = World::new();
    for name in ["one", "two", "three"] {
        world.write(&format!("{name}.c"), format!("int {name}(void) {{ return 1; }}\n"));
    }
    outside(&world, &world.project, "cc -c one.c two.c; ar rcs lib.a one.o two.o");
    let before = std::fs::read(world.project.join("lib.a")).unwrap();
    inside(&world, "cc -c three.c; ar r lib.a three.o; ar s lib.a");
    let listed = "ar t lib.a; nm -s lib.a | grep -c ' in '";
    for _ in 0..2 {
        assert_eq!(inside(&world, listed), "one.o\ntwo.o\nthree.o\n3\n");
    }
    inside(
        &world,
        "echo 'int one(void) { return 2; } int four;' > one.c; cc -c one.c; ar ru lib.a one.o; ar d lib.a two.o",
    );
    assert_eq!(inside(&world, "ar t lib.a; ar p lib.a one.o | cmp - one.o"), "one.o\nthree.o\n");
    assert_eq!(std::fs::read(world.project.join("lib.a")).unwrap(), before);
}

#[test]
fn a_rebuilt_plugin_is_the_one_that_is_loaded() {
    needs_sessions!();
    if !has("cc") {
        return;
    }
    let world = World::new();
    world.write("plugin.c", "int answer(void) { return ANSWER; }\n");
    let host = "#include <dlfcn.h>\n#include <stdio.h>\nint main(void) {\n\
                void *plugin = dlopen(\"./plugin.so\", RTLD_NOW);\n\
                printf(\"%d\\n\", plugin ? ((int (*)(void))dlsym(plugin, \"answer\"))() : -1);\n}\n";
    world.write("host.c", host);
    let build = |answer: u8| format!("cc -DANSWER={answer} -fPIC -shared -o plugin.so plugin.c");
    outside(&world, &world.project, &format!("{}; cc -o host host.c -ldl", build(1)));
    assert_eq!(inside(&world, &format!("./host; {}; ./host", build(2))), "1\n2\n");
    // Written in place, as some linkers do, and replaced by a rename, as others.
    let in_place =
        format!("./host; {}; cat plugin.so > x; {}; cat x > plugin.so; ./host", build(3), build(4));
    assert_eq!(inside(&world, &in_place), "2\n3\n");
    assert_eq!(
        inside(&world, &format!("./host; {} && mv plugin.so p && mv p plugin.so; ./host", build(5))),
        "3\n5\n"
    );
    assert_eq!(inside(&world, "./host"), "5\n");
    assert_eq!(outside(&world, &world.project, "./host"), "1\n");
}

/// The cargo that runs this test or is found by PATH, with the compiler beside it, where this
/// user may run both.
fn cargo() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let by_path = std::env::split_paths(&path).map(|dir| dir.join("cargo"));
    let mut found = std::env::var_os("CARGO").map(PathBuf::from).into_iter().chain(by_path);
    let runs = |program: &Path| {
        let ran = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let usable = found.find(|cargo| runs(cargo) && runs(&cargo.with_file_name("rustc")));
    if usable.is_none() {
        let must = std::env::var_os("VRIFT_MUST_WORK").is_some_and(|value| value == "1");
        assert!(!must, "this user must have a toolchain that it may run");
        eprintln!("skipped: this user has no toolchain");
    }
    usable
}

#[test]
fn two_cargo_builds_at_once_wait_for_each_others_lock() {
    needs_sessions!();
    let Some(cargo) = cargo() else { return };
    let world = World::new();
    world.write(
        "Cargo.toml",
        "[package]\nname = \"locked\"\nversion = \"0.1.0\"\nedition = \"2021\"\nbuild = \"build.rs\"\n",
    );
    world.write("src/main.rs", "fn main() {}\n");
    let go = world.path().join("go");
    let begun = world.path().join("begun");
    let script = format!(
        "fn main() {{\n    std::fs::write({begun:?}, \"\").unwrap();\n    while !std::path::Path::new({go:?}).exists() {{\n        \
         std::thread::sleep(std::time::Duration::from_millis(20));\n    }}\n    println!(\"cargo:rerun-if-changed=build.rs\");\n}}\n"
    );
    world.write("build.rs", script);
    let build = || {
        let mut command = world.vrift();
        for (name, _) in std::env::vars_os() {
            if ["CARGO", "RUST"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                command.env_remove(name);
            }
        }
        command.args(["exec", "--", "timeout", LIMIT]).arg(&cargo).args(["build", "--offline"]);
        command.env("RUSTC", cargo.with_file_name("rustc")).env("CARGO_HOME", world.path().join("cargo"));
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut first = build();
    let since = Instant::now();
    while !begun.exists() {
        assert!(since.elapsed() < Duration::from_secs(200), "the first build does not begin");
        assert!(first.try_wait().unwrap().is_none(), "the first build has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut second = build();
    let mut said = String::new();
    let mut errors = second.stderr.take().unwrap();
    let mut byte = [0u8];
    while !said.contains("waiting for file lock") {
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "the second build did not wait: {said}");
        said.push(char::from(byte[0]));
    }
    std::fs::write(&go, "").unwrap();
    errors.read_to_string(&mut said).unwrap();
    assert!(second.wait().unwrap().success(), "{said}");
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(!said.contains("Compiling"), "the second had nothing left to do: {said}");
    inside(&world, "./target/debug/locked");
}
