//! What users and their machines do to a program: odd paths, missing variables, closed
//! descriptors, few of them, directories that move, trees that change while they are read.

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Ran, World};

/// Runs a shell command line outside, with `$V` the binary, in the project.
fn outside(world: &World, script: &str) -> Ran {
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(&world.project).env("V", env!("CARGO_BIN_EXE_vrift"));
    command.env("HOME", &world.home).env("VRIFT_STORE", &world.store).stdin(Stdio::null());
    Ran(command.output().unwrap())
}

#[test]
fn odd_names_of_the_store_and_the_project_work() {
    needs_sessions!();
    let names = [
        &b"a b"[..],
        b"a:b",
        b"a,b",
        b"a\\b",
        b"\xff\xfe",
        b"new\nline",
        b"lowerdir=/x,upperdir=",
        b"$(x)'\"",
    ];
    for name in names {
        let mut world = World::new();
        let top = world.path().join(OsStr::from_bytes(name));
        std::fs::create_dir_all(top.join("project/.git")).unwrap();
        (world.project, world.store) = (top.join("project"), top.join("store"));
        world.write("a", "host\n");
        assert_eq!(world.sh("cat a; echo in > b").ok(), "host\n", "{name:?}");
        assert_eq!(world.sh("cat b").ok(), "in\n", "{name:?}");
    }
}

#[test]
fn a_project_path_near_the_limit_works() {
    needs_sessions!();
    let mut world = World::new();
    let name = "n".repeat(250);
    let mut at = world.project.clone();
    while at.as_os_str().len() + name.len() < 3900 {
        at = at.join(&name);
    }
    std::fs::create_dir_all(at.join(".git")).unwrap();
    world.project = at;
    std::fs::write(world.project.join("a"), "host\n").unwrap();
    // Deeper inside than any absolute path.
    assert_eq!(world.sh(&format!("cat a; mkdir {name}; cd {name} 2>/dev/null; echo in > b")).ok(), "host\n");
    assert_eq!(world.sh("cat a").ok(), "host\n");
}

#[test]
fn the_callers_surroundings_may_be_poor() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    for script in [
        "unset HOME; $V exec cat a",
        "env -i VRIFT_STORE=$VRIFT_STORE $V exec /bin/cat a",
        "$V exec cat a <&-",
        "umask 077; $V exec cat a",
        "umask 000; $V exec cat a",
        "ulimit -n 40; $V exec cat a",
        "$V exec sh -c 'cat a >&2' 2>&1 >&- | grep host",
        "$V exec yes | head -1 | tr y host > /dev/null; $V exec cat a",
    ] {
        assert!(outside(&world, script).ok().ends_with("host\n"), "{script}");
    }
    assert_eq!(
        outside(&world, "umask 027; $V exec sh -c 'umask; echo > u; stat -c %a u'").ok(),
        "0027\n640\n"
    );
    assert_eq!(outside(&world, "$V exec sh -c 'exit 3' <&- >&- 2>&-").code(), 3);
    assert_eq!(outside(&world, "$V status > /dev/full; $V doctor --json | head -c1").ok(), "{");
}

#[test]
fn a_wide_tree_needs_few_descriptors() {
    needs_sessions!();
    let world = World::new();
    let script = "ulimit -n 64; $V exec sh -c 'mkdir wide; cd wide; seq 500 | xargs mkdir; touch 7/in'";
    outside(&world, script).ok();
    let ran = outside(&world, "ulimit -n 64; $V exec sh -c 'ls wide | wc -l; ls wide/7; rm -r wide'");
    assert_eq!(ran.ok(), "500\nin\n");
    assert_eq!(world.exec(["ls"]).ok(), "");
    // And on the host.
    for number in 0..500 {
        std::fs::create_dir_all(world.project.join(format!("host/{number}"))).unwrap();
    }
    assert_eq!(outside(&world, "ulimit -n 64; $V exec sh -c 'ls host | wc -l'").ok(), "500\n");
}

#[test]
fn a_directory_that_goes_while_a_session_lives_is_said() {
    needs_sessions!();
    for way in ["mv project elsewhere", "rm -rf project", "mv project elsewhere; mkdir project"] {
        let world = World::new();
        world.write("a", "x");
        let flag = world.path().join("moved");
        let wait = format!("while [ ! -e {} ]; do sleep 0.01; done; echo in > b", flag.display());
        let running = world.vrift().args(["exec", "sh", "-c", &wait]).stderr(Stdio::piped()).spawn().unwrap();
        while world.staging().iter().all(|staging| !staging.join("socket").exists()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        let moved = Command::new("sh").args(["-c", way]).current_dir(world.path()).status();
        assert!(moved.unwrap().success());
        std::fs::write(&flag, "").unwrap();
        let ran = Ran(running.wait_with_output().unwrap());
        assert_eq!(ran.code(), 0, "{way}: {}", ran.stderr());
        assert!(ran.stderr().contains("no longer the directory"), "{way}: {}", ran.stderr());
        assert!(ran.stderr().contains("1 file written"), "{way}: {}", ran.stderr());
        assert!(world.staging().is_empty());
        assert!(!world.path().join("elsewhere/b").exists());
    }
}

#[test]
fn a_host_tree_that_changes_while_it_is_read_stops_no_run() {
    needs_sessions!();
    let world = World::new();
    world.write("d/steady", "x");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let dir = world.project.join("d");
            while !stop.load(Ordering::Relaxed) {
                symlink("x", dir.join("link")).unwrap();
                std::fs::create_dir(dir.join("sub")).unwrap();
                std::fs::write(dir.join("file"), "x").unwrap();
                std::fs::create_dir(dir.join("sub/sub")).unwrap();
                std::fs::remove_file(dir.join("link")).unwrap();
                std::fs::create_dir(dir.join("link")).unwrap();
                std::fs::remove_dir_all(dir.join("sub")).unwrap();
                std::fs::remove_file(dir.join("file")).unwrap();
                std::fs::remove_dir(dir.join("link")).unwrap();
            }
        });
        let failed: Vec<String> = (0..300)
            .map(|_| world.run(["sync"]))
            .filter(|ran| ran.code() != 0)
            .map(|ran| ran.stderr())
            .collect();
        stop.store(true, Ordering::Relaxed);
        assert!(failed.is_empty(), "{failed:?}");
    });
    assert_eq!(world.sh("ls d").ok(), "steady\n");
}

#[test]
fn names_change_their_kind_from_run_to_run() {
    needs_sessions!();
    let world = World::new();
    world.write("x", "host");
    let steps = [
        ("rm x; mkdir x; echo 1 > x/y", "directory 1"),
        ("rm -r x; echo 2 > x", "regular file"),
        ("rm x; ln -s nowhere x", "symbolic link"),
        ("rm x; mkfifo x", "fifo"),
        ("rm x; mkdir -p x/y/z", "directory 1"),
        ("rm -r x/y; echo 3 > x/y", "directory 1"),
        ("rm -r x; mkdir x", "directory 0"),
        ("rm -r x; : > x", "regular empty file"),
    ];
    for (step, kind) in steps {
        world.sh(step).ok();
        let seen = world.sh("if [ -d x ]; then echo directory $(ls x | wc -l); else stat -c %F x; fi").ok();
        assert_eq!(seen.trim(), kind, "{step}");
    }
    assert_eq!(world.read("x"), "host");
}

#[test]
fn everything_may_be_removed_and_the_root_closed() {
    needs_sessions!();
    let world = World::new();
    world.write("a/b/c", "x");
    world.sh("rm -rf a .git; echo kept > .new; chmod 1750 .; touch -d @1000000000.5 .").ok();
    assert_eq!(world.sh("ls -A; stat -c '%a %.Y' .").ok(), ".new\n1750 1000000000.500000000\n");
    world.sh("chmod 555 .").ok();
    assert_eq!(world.sh("stat -c %a .; cat .new; chmod 755 .; rm .new").ok(), "555\nkept\n");
    assert_eq!(world.sh("ls -A; stat -c %a .").ok(), "755\n");
    assert!(world.project.join("a/b/c").exists());
}

#[test]
fn a_working_directory_removed_inside_is_no_harm() {
    needs_sessions!();
    let world = World::new();
    world.write("d/file", "x");
    world.run(["-C", "d", "exec", "sh", "-c", "cd ..; rm -r d"]).ok();
    let said = world.run(["-C", "d", "exec", "true"]).fails(125);
    assert!(said.contains("project/d"), "{said}");
    world.sh("mkdir d").ok();
    world.run(["-C", "d", "exec", "true"]).ok();
}

#[test]
fn a_background_writer_is_ended_before_the_take_in() {
    needs_sessions!();
    let world = World::new();
    let script =
        "(i=0; while :; do i=$((i+1)); echo $i >> log; cp log copy; done) & while [ ! -s copy ]; do :; done";
    for _ in 0..5 {
        world.sh(script).ok();
        let seen = world.sh("sort -n log | tail -1; wc -l < log; ls").ok();
        assert!(seen.ends_with("copy\nlog\n"), "{seen}");
        assert_eq!(seen, world.sh("sort -n log | tail -1; wc -l < log; ls").ok());
    }
}

#[test]
fn mapped_writes_are_taken_in() {
    needs_sessions!();
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no python3");
        return;
    }
    let world = World::new();
    world.write("m", vec![0u8; 8192]);
    // Ends without unmapping, closing or syncing.
    let script = "import mmap, os; f = open('m', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[8000:8003] = b'end'; os._exit(0)";
    world.exec(["python3", "-c", script]).ok();
    assert_eq!(world.sh("tail -c +8001 m | head -c 3").ok(), "end");
}

#[test]
fn link_groups_can_be_changed_inside() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo 1 > a; ln a b; mkdir d; ln a d/c").ok();
    let links = "stat -c '%h %n' a b d/c; cat a b d/c";
    assert_eq!(world.sh(links).ok(), "3 a\n3 b\n3 d/c\n1\n1\n1\n");
    // As cargo does: the target is removed, and linked anew from another.
    world.sh("rm b; echo 2 > new; ln new b; rm new; ln -f d/c a").ok();
    let alone = if world.links_objects() { 2 } else { 1 };
    assert_eq!(world.sh(links).ok(), format!("2 a\n{alone} b\n2 d/c\n1\n2\n1\n"));
    world.sh("rm d/c; ln b d/c").ok();
    assert_eq!(world.sh(links).ok(), "1 a\n2 b\n2 d/c\n1\n2\n2\n");
}

#[test]
fn a_directory_git_begins_to_ignore_becomes_own_and_one_it_no_longer_does_follows() {
    needs_sessions!();
    let world = World::new();
    for number in 0..150 {
        world.write(&format!("build/sub/{number}"), "first");
    }
    world.exec(["true"]).ok();
    world.edit(".gitignore", "build/\n");
    assert_eq!(world.sh("ls build/sub | wc -l").ok(), "150\n");
    std::fs::remove_dir_all(world.project.join("build")).unwrap();
    assert_eq!(world.sh("ls build/sub | wc -l; rm -r build/sub; echo in > build/mine").ok(), "150\n");
    // Deleted inside stays deleted.
    world.write("build/sub/0", "again");
    assert_eq!(world.exec(["ls", "build"]).ok(), "mine\n");
    world.edit(".gitignore", "");
    assert_eq!(
        world.sh("ls build build/sub; cat build/mine build/sub/0").ok(),
        "build:\nmine\nsub\n\nbuild/sub:\n0\nin\nagain"
    );
}

#[test]
fn an_own_directory_deleted_inside_stays_deleted() {
    needs_sessions!();
    let world = World::new();
    world.write(".gitignore", "target\n");
    world.write("target/debug/x", "x");
    world.sh("rm -r target").ok();
    world.write("target/debug/y", "y");
    world.edit("src", "edit");
    assert_eq!(world.exec(["ls"]).ok(), "src\n");
    world.sh("mkdir target; echo mine > target/z").ok();
    assert_eq!(world.exec(["ls", "target"]).ok(), "z\n");
}

#[test]
fn host_edits_during_a_session_are_merged_at_its_end() {
    needs_sessions!();
    let world = World::new();
    for name in ["both", "mine", "theirs", "gone", "dir/in"] {
        world.write(name, "old\n");
    }
    world.exec(["true"]).ok();
    let flag = world.path().join("go");
    let script = format!(
        "echo in > both; echo in > mine; rm gone; rm -r dir; echo file > dir; : > {0}.ready; \
         while [ ! -e {0} ]; do sleep 0.01; done",
        flag.display()
    );
    let running = world.vrift().args(["exec", "sh", "-c", &script]).stderr(Stdio::piped()).spawn().unwrap();
    while !Path::new(&format!("{}.ready", flag.display())).exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    world.edit("both", "host\n");
    world.edit("theirs", "host\n");
    world.edit("dir/in", "host\n");
    world.run(["sync"]).ok();
    std::fs::write(&flag, "").unwrap();
    let ran = Ran(running.wait_with_output().unwrap());
    assert!(ran.stderr().contains("2 paths changed"), "{}", ran.stderr());
    // The host's version is in the view.
    assert_eq!(
        world.sh("cat both mine theirs dir/in; ls").ok(),
        "host\nin\nhost\nhost\nboth\ndir\nmine\ntheirs\n"
    );
    let status = world.run(["status"]).ok();
    assert!(status.contains("conflict `both`") && status.contains("conflict `dir`"), "{status}");
}

#[test]
fn a_mount_point_that_git_ignores_is_shown() {
    needs_sessions!();
    let world = World::new();
    world.write(".gitignore", "build/\n");
    let mount = world.project.join("build");
    std::fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mount).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    world.write("build/on-the-mount", "x");
    let seen = world.exec(["ls", "build"]);
    assert!(Command::new("umount").arg(&mount).status().unwrap().success());
    assert_eq!(seen.ok(), "on-the-mount\n");
    assert_eq!(world.exec(["ls"]).ok(), "build\n");
}

#[test]
fn git_works_inside() {
    needs_sessions!();
    let world = World::new();
    std::fs::remove_dir(world.project.join(".git")).unwrap();
    let script = "git init -q -b main . && git config user.name n && git config user.email e@x && \
                  git config commit.gpgsign false && echo 1 > f && git add f && git commit -qm one";
    outside(&world, script).ok();
    let inside = "git status --porcelain; echo 2 > f; git commit -qam two; git checkout -qb side HEAD~1; \
                  echo 3 > g; git add g; git commit -qm three; git merge -q -m merged main; git gc -q; git fsck";
    assert_eq!(world.sh(inside).ok(), "");
    assert_eq!(
        world.sh("git status --porcelain; git fsck; cat f g; git log --oneline | wc -l").ok(),
        "2\n3\n4\n"
    );
    assert_eq!(outside(&world, "git status --porcelain; git log --oneline | wc -l; cat f").ok(), "1\n1\n");
}

#[test]
fn a_file_size_limit_is_an_error_and_not_the_end_of_a_take_in() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let vrift = env!("CARGO_BIN_EXE_vrift");
    let script =
        format!("ulimit -f 64; exec {vrift} exec -- sh -c 'seq 5000 > a; seq 5001 > b; seq 9000 > c'");
    let mut limited = std::process::Command::new("bash");
    limited.args(["-c", &script]).current_dir(&world.project);
    let ran = limited.env("HOME", &world.home).env("VRIFT_STORE", &world.store).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code().is_some(), "vrift was killed: {said}");
    assert!(ran.status.code() != Some(125) || said.contains("hint"), "{said}");
    // Taken in by the next command where it could not be then.
    assert_eq!(world.sh("tail -n 1 a b | grep 500").ok(), "5000\n5001\n");
}
