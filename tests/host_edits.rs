//! The host's edits come in, what is the workspace's own stays.

mod support;

use std::path::Path;

use vrift::os::lock::{Hold, Lock};

use support::World;

/// Prints what it builds, one object a source.
const MAKEFILE: &str = "all: a.o b.o\n%.o: %.c\n\t@echo building $<\n\t@cp $< $@\n";

fn project() -> World {
    let world = World::new();
    world.write("Makefile", MAKEFILE);
    world.write("a.c", "a");
    world.write("b.c", "b");
    assert_eq!(world.exec(["make"]).ok(), "building a.c\nbuilding b.c\n");
    world
}

#[test]
fn exactly_what_was_edited_is_rebuilt() {
    needs_sessions!();
    let world = project();
    world.edit("a.c", "changed");
    assert_eq!(world.exec(["make"]).ok(), "building a.c\n");
    assert_eq!(world.sh("cat a.o").ok(), "changed");
    assert!(world.exec(["make"]).ok().contains("Nothing to be done"));
}

#[test]
fn touch_on_either_side_rebuilds_one_object() {
    needs_sessions!();
    let world = project();
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(std::process::Command::new("touch").arg(world.project.join("b.c")).status().unwrap().success());
    assert_eq!(world.exec(["make"]).ok(), "building b.c\n");
    assert_eq!(world.sh("touch a.c; make").ok(), "building a.c\n");
    assert!(world.exec(["make"]).ok().contains("Nothing to be done"));
}

#[test]
fn deleted_inside_is_gone_inside_and_still_on_the_host() {
    needs_sessions!();
    let world = project();
    world.sh("rm a.c a.o").ok();
    assert_eq!(world.sh("ls").ok(), "Makefile\nb.c\nb.o\n");
    assert!(world.project.join("a.c").exists());
    // The host's other edits still come in, and the deletion still holds.
    world.edit("b.c", "again");
    assert_eq!(world.sh("cat b.c; ls a.c 2>/dev/null || true").ok(), "again");
}

#[test]
fn deleted_on_the_host_is_gone_inside() {
    needs_sessions!();
    let world = project();
    world.write("dir/x", "x");
    world.exec(["true"]).ok();
    std::fs::remove_dir_all(world.project.join("dir")).unwrap();
    std::fs::remove_file(world.project.join("b.c")).unwrap();
    assert_eq!(world.sh("ls").ok(), "Makefile\na.c\na.o\nb.o\n");
}

#[test]
fn no_sync_shows_the_state_before_the_edit() {
    needs_sessions!();
    let world = project();
    world.edit("a.c", "later");
    assert_eq!(world.run(["exec", "--no-sync", "cat", "a.c"]).ok(), "a");
    world.run(["sync"]).ok();
    assert_eq!(world.run(["exec", "--no-sync", "cat", "a.c"]).ok(), "later");
}

#[test]
fn both_sides_write_below_an_ignored_directory_ten_times() {
    needs_sessions!();
    let world = World::new();
    world.write(".gitignore", "build/\n");
    world.write("src", "x");
    world.write("build/host", "taken once");
    world.sh("cat build/host; echo inside > build/inside").ok();
    let objects = world.objects().len();
    for round in 0..10 {
        world.write("build/host", format!("host {round}"));
        world.write(&format!("build/host-only-{round}"), format!("nobody reads this {round}"));
        let report = world.run(["sync", "--json"]).ok();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!((&report["files_read"], &report["conflicts"]), (&0.into(), &serde_json::json!([])));
        let ran = world.sh(&format!("echo {round} >> build/inside; cat build/host"));
        assert!(!ran.stderr().contains("changed on the host"), "{}", ran.stderr());
        assert_eq!(ran.ok(), "taken once");
    }
    assert_eq!(world.sh("wc -l < build/inside; ls build").ok(), "11\nhost\ninside\n");
    // Only what the workspace wrote is new.
    assert_eq!(world.objects().len(), objects + 10);
}

#[test]
fn an_ignored_directory_with_tracked_files_follows() {
    needs_sessions!();
    let world = World::new();
    std::fs::remove_dir(world.project.join(".git")).unwrap();
    world.write(".gitignore", "vendor/\n");
    world.write("vendor/lib.c", "one");
    for args in [&["init", "-q"][..], &["add", "-f", "."]] {
        let git = std::process::Command::new("git").args(args).current_dir(&world.project).status();
        assert!(git.unwrap().success());
    }
    world.exec(["true"]).ok();
    world.edit("vendor/lib.c", "two");
    assert_eq!(world.exec(["cat", "vendor/lib.c"]).ok(), "two");
}

#[test]
fn changed_on_both_sides_is_a_conflict_with_the_hosts_version_in_the_view() {
    needs_sessions!();
    let world = project();
    world.sh("echo inside > a.c").ok();
    world.edit("a.c", "host\n");
    let ran = world.exec(["cat", "a.c"]);
    assert!(ran.stderr().contains("`a.c` was changed on the host and in the workspace"), "{}", ran.stderr());
    assert_eq!(ran.ok(), "host\n");
    assert!(world.run(["status"]).ok().contains("conflict `a.c`"));
    // The same change on both sides is none.
    let world = project();
    world.sh("echo same > b.c").ok();
    world.edit("b.c", "same\n");
    let ran = world.exec(["cat", "b.c"]);
    assert_eq!((ran.stderr().as_str(), ran.stdout().as_str()), ("", "same\n"));
}

#[test]
fn an_emptied_directory_does_not_empty_the_workspace() {
    needs_sessions!();
    let world = World::new();
    for number in 0..150 {
        world.write(&format!("files/{number}"), number.to_string());
    }
    world.exec(["true"]).ok();
    std::fs::remove_dir_all(world.project.join("files")).unwrap();
    let refused = world.exec(["true"]).fails(125);
    assert!(refused.contains("--accept-deletions"), "{refused}");
    assert_eq!(world.run(["exec", "--no-sync", "sh", "-c", "ls files | wc -l"]).ok(), "150\n");
    world.run(["sync", "--accept-deletions"]).ok();
    assert_eq!(world.exec(["ls"]).ok(), "");
}

#[test]
fn a_file_that_cannot_be_read_is_left_out_and_not_deleted() {
    needs_sessions!();
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root reads everything");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let world = project();
    world.write("secret", "never read");
    mode(&world.project.join("secret"), 0);
    mode(&world.project.join("a.c"), 0);
    let ran = world.exec(["sh", "-c", "cat a.c; ls secret"]);
    assert!(ran.stderr().contains("`secret` cannot be read (Permission denied)"), "{}", ran.stderr());
    assert_eq!(ran.stdout(), "asecret\n");
    mode(&world.project.join("secret"), 0o600);
    mode(&world.project.join("a.c"), 0o600);
    assert_eq!(world.exec(["cat", "secret", "a.c"]).ok(), "never reada");
}

#[test]
fn a_file_changed_in_the_same_tick_is_read_again() {
    needs_sessions!();
    let world = World::new();
    for round in 0..20 {
        // Same size, written right after the last sync saw it.
        world.write("file", format!("{round:04}"));
        assert_eq!(world.exec(["cat", "file"]).ok(), format!("{round:04}"));
    }
}

#[test]
fn changed_inside_and_deleted_on_the_host_is_gone_from_the_view_and_kept() {
    needs_sessions!();
    let world = project();
    world.sh("echo inside > a.c").ok();
    std::fs::remove_file(world.project.join("a.c")).unwrap();
    let ran = world.exec(["ls"]);
    assert!(
        ran.stderr().contains("`a.c` was deleted on the host and changed in the workspace"),
        "{}",
        ran.stderr()
    );
    assert!(!ran.ok().contains("a.c"));
    assert!(world.run(["status"]).ok().contains("conflict `a.c`"));
}

#[test]
fn lines_that_both_sides_changed_apart_are_merged() {
    needs_sessions!();
    let world = World::new();
    world.write("list", "1\n2\n3\n4\n5\n");
    world.sh("sed -i s/1/one/ list; chmod 755 list").ok();
    world.edit("list", "1\n2\n3\n4\nfive\n");
    let ran = world.sh("cat list; stat -c %a list");
    assert_eq!((ran.stderr().as_str(), ran.stdout().as_str()), ("", "one\n2\n3\n4\nfive\n755\n"));
    assert_eq!(world.read("list"), "1\n2\n3\n4\nfive\n");
    assert!(world.run(["status", "--json"]).ok().contains("\"conflicts\": []"));
}

/// How many stamps are read by syncs that wait for each other while a walk is held back: one with each of
/// these sets of words.
fn at_once(world: &World, syncs: &[&[&str]]) -> usize {
    let statements = world.path().join("statements");
    let _ = std::fs::remove_file(&statements);
    let lock = Lock::wait(&world.project_dir().join("sync.lock"), Hold::Exclusive).unwrap();
    let start = |words: &&[&str]| {
        world.vrift().arg("sync").args(*words).env("VRIFT_STATEMENTS", &statements).spawn().unwrap()
    };
    let syncs: Vec<_> = syncs.iter().map(start).collect();
    let waits = |child: &std::process::Child| {
        let place = format!("/proc/{}/wchan", child.id());
        std::fs::read_to_string(place).unwrap_or_default().contains("lock")
            || std::fs::read_to_string(format!("/proc/{}/syscall", child.id()))
                .is_ok_and(|call| call.starts_with("73 "))
    };
    let began = std::time::Instant::now();
    while !syncs.iter().all(waits) && began.elapsed() < std::time::Duration::from_secs(30) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(lock);
    for mut sync in syncs {
        assert!(sync.wait().unwrap().success());
    }
    std::fs::read_to_string(&statements)
        .unwrap()
        .lines()
        .filter(|line| line.contains("FROM host_stamp"))
        .count()
}

#[test]
fn syncs_that_wait_for_each_other_share_one_walk() {
    let world = World::new();
    world.write("f", "1\n");
    world.run(["sync"]).ok();
    world.edit("f", "2\n");
    let one = at_once(&world, &[&[]]);
    assert!(one > 0);
    world.edit("f", "3\n");
    assert_eq!(at_once(&world, &[&[] as &[&str]; 8]), one, "eight read the stamps as often as one");
    let out = world.path().join("out");
    world.run(["export", "main", out.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(out.join("f")).unwrap(), "3\n");
    // what was asked for otherwise is another walk: rules of mounts, and all others
    assert_eq!(at_once(&world, &[&[], &["--config", "paths.hide=x"], &["--config", "paths.own=x"]]), 3 * one);
}

#[test]
fn forks_that_have_what_a_walk_found_share_it() {
    let world = World::new();
    world.write("f", "1\n");
    world.run(["sync"]).ok();
    for name in ["a", "b", "c"] {
        world.run(["fork", name]).ok();
    }
    let one = at_once(&world, &[&[]]);
    let forks: [&[&str]; 4] = [&["-w", "a"], &["-w", "b"], &["-w", "c"], &[]];
    assert_eq!(at_once(&world, &forks), one);
    // who lacks it takes it over itself
    world.edit("f", "2\n");
    at_once(&world, &forks);
    for name in ["a", "b", "c", "main"] {
        let out = world.path().join(name);
        world.run(["export", name, out.to_str().unwrap()]).ok();
        assert_eq!(std::fs::read_to_string(out.join("f")).unwrap(), "2\n", "{name}");
    }
}

/// A walk that had begun before may have passed what was written since.
#[test]
fn a_walk_that_had_begun_is_not_enough() {
    let world = World::new();
    for dir in 0..25 {
        for file in 0..30 {
            world.write(&format!("{dir}/{file}"), "x");
        }
    }
    world.run(["sync"]).ok();
    let lock = world.project_dir().join("sync.lock");
    for round in 0..4 {
        let mut first = world.vrift().args(["sync"]).spawn().unwrap();
        // somewhere in its walk, or behind it
        while first.try_wait().unwrap().is_none() && Lock::attempt(&lock, Hold::Exclusive).unwrap().is_some()
        {
        }
        std::thread::sleep(std::time::Duration::from_millis(2 * round));
        let pid = rustix::process::Pid::from_child(&first);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::STOP);
        world.edit("0/0", &format!("edit {round}\n"));
        let mut second = world.vrift().args(["sync"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT);
        assert!(second.wait().unwrap().success() && first.wait().unwrap().success());
        let out = world.path().join(format!("out{round}"));
        world.run(["export", "main", out.to_str().unwrap()]).ok();
        assert_eq!(std::fs::read_to_string(out.join("0/0")).unwrap(), format!("edit {round}\n"));
    }
}
