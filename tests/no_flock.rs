//! A store where flock(2) is refused: locks are files, and all that they hold together holds.

#[path = "support/refuse.rs"]
mod refuse;
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Ran, World, start};

/// What filesystems answer that have none: NFS without its lock daemon, 9p, old Lustre.
const ANSWERS: [i32; 3] = [libc::ENOLCK, libc::EOPNOTSUPP, libc::ENOSYS];

fn under(world: &World, errno: i32) -> Command {
    let mut command = world.vrift();
    refuse::without(&mut command, &[refuse::refuse(libc::SYS_flock, errno)]);
    command
}

fn run(world: &World, args: &[&str]) -> Ran {
    Ran(under(world, libc::ENOLCK).args(args).output().unwrap())
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// Names of holders, anywhere in the store, that are not of the dead alone.
fn holders(world: &World) -> Vec<String> {
    let names = walkdir::WalkDir::new(&world.store).into_iter().flatten();
    let in_holders = names
        .filter(|entry| entry.path().parent().is_some_and(|dir| dir.to_string_lossy().ends_with(".holders")));
    in_holders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_day_goes_by_as_elsewhere() {
    needs_sessions!();
    for errno in ANSWERS {
        let world = World::new();
        world.write("a", "one\n");
        let run = |args: &[&str]| Ran(under(&world, errno).args(args).output().unwrap());
        run(&["exec", "--", "sh", "-c", "echo in > in"]).ok();
        run(&["fork", "twig"]).ok();
        // two sessions at once, one of them with two runs
        let main = start(under(&world, errno), &[], "echo main > m");
        let twig = start(under(&world, errno), &["-w", "twig"], "echo twig > t; test ! -e m");
        assert_eq!(run(&["exec", "--", "cat", "m"]).ok(), "main\n");
        run(&["commit", "-m", "live", "first"]).ok();
        run(&["gc"]).ok();
        let refused = run(&["workspace", "delete", "twig"]).fails(1);
        assert!(refused.contains("live run"), "{refused}");
        end(main);
        end(twig);
        world.edit("a", "two\n");
        assert_eq!(run(&["exec", "--", "cat", "a", "m", "in"]).ok(), "two\nmain\nin\n");
        run(&["sync"]).ok();
        run(&["apply"]).ok();
        assert_eq!(world.read("m"), "main\n");
        run(&["exec", "--", "sh", "-c", "rm m"]).ok();
        run(&["undo"]).ok();
        assert_eq!(run(&["exec", "--no-sync", "--", "cat", "m"]).ok(), "main\n");
        run(&["workspace", "delete", "twig"]).ok();
        run(&["gc"]).ok();
        run(&["verify", "--deep"]).ok();
        assert_eq!(holders(&world), Vec::<String>::new(), "{errno}");
        run(&["store", "destroy", "--yes"]).ok();
        assert!(!world.store.exists());
    }
}

#[test]
fn many_first_runs_at_once_all_succeed() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "one\n");
    run(&world, &["doctor"]);
    let start = |number: usize| {
        let script = format!("cat a; echo {number} > by{number}");
        let mut command = under(&world, libc::ENOLCK);
        command.args(["exec", "--", "sh", "-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    for child in (0..8).map(start).collect::<Vec<_>>() {
        assert_eq!(Ran(child.wait_with_output().unwrap()).ok(), "one\n");
    }
    assert_eq!(run(&world, &["exec", "--", "sh", "-c", "cat by* | sort"]).ok(), "0\n1\n2\n3\n4\n5\n6\n7\n");
    run(&world, &["verify"]).ok();
}

/// What a killed one held is free, as a flock of it would be; a live init's is not.
#[test]
fn who_is_killed_holds_nothing_any_more() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "one\n");
    run(&world, &["exec", "true"]).ok();
    // with a second launcher the session lives on, and so does its lock, which came from the first
    let mut first = start(under(&world, libc::ENOLCK), &[], "echo 1 > f1");
    let second = start(under(&world, libc::ENOLCK), &[], "echo 2 > f2");
    first.kill().unwrap();
    first.wait().unwrap();
    let refused = run(&world, &["restore", "@1"]).fails(1);
    assert!(refused.contains("live run"), "{refused}");
    assert_eq!(run(&world, &["exec", "--", "cat", "f1"]).ok(), "1\n");
    end(second);
    assert_eq!(run(&world, &["exec", "--", "cat", "f1", "f2"]).ok(), "1\n2\n");
    // the only one
    let mut only = start(under(&world, libc::ENOLCK), &[], "echo 3 > f3");
    only.kill().unwrap();
    only.wait().unwrap();
    let began = Instant::now();
    while run(&world, &["recover", "--json"]).ok().trim() == "[]" {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    run(&world, &["recover", "--keep"]).ok();
    assert_eq!(run(&world, &["exec", "--", "cat", "f3"]).ok(), "3\n");
    // killed while the store's lock, or a base's, is held
    for point in ["take-in.read", "take-in.committed", "fold.begun"] {
        let mut killed = under(&world, libc::ENOLCK);
        killed.env("VRIFT_FAILPOINT", point).args(["exec", "--", "sh", "-c", "echo new > new"]);
        // a child of it is killed at some of them
        assert!(!killed.output().unwrap().status.success(), "{point}");
        run(&world, &["gc"]).ok();
        run(&world, &["exec", "true"]).ok();
    }
    run(&world, &["verify"]).ok();
    assert_eq!(holders(&world), Vec::<String>::new());
}

#[test]
fn the_store_keeps_to_what_it_was_made_with() {
    needs_sessions!();
    // made where it is refused, used where it is not: the same locks
    let world = World::new();
    run(&world, &["exec", "--", "sh", "-c", "echo 1 > f1"]).ok();
    let live = start(under(&world, libc::ENOLCK), &[], "echo 2 > f2");
    assert_eq!(world.exec(["cat", "f2"]).ok(), "2\n");
    let refused = world.run(["restore", "@1"]).fails(1);
    assert!(refused.contains("live run"), "{refused}");
    end(live);
    world.run(["verify"]).ok();
    let said = world.run(["doctor"]).stdout();
    assert!(said.contains("goes on with lock files"), "{said}");
    let said = run(&world, &["doctor"]).stdout();
    assert!(said.contains("lock files: flock(2) is refused here"), "{said}");
    // made where it works, used where it is refused: nothing is done without locks
    let world = World::new();
    world.sh("echo 1 > f1").ok();
    let said = run(&world, &["exec", "true"]).fails(125);
    assert!(said.contains("cannot lock `") && said.contains("hint: the store was made where"), "{said}");
    let said = run(&world, &["doctor"]).stdout();
    assert!(said.contains("the store was made where flock(2) works"), "{said}");
    assert_eq!(world.exec(["cat", "f1"]).ok(), "1\n");
    assert_eq!(holders(&world), Vec::<String>::new());
}

/// Of another host nothing is known but what the name says; it is not broken, and is said.
#[test]
fn a_lock_of_another_host_is_named_and_left() {
    needs_sessions!();
    let world = World::new();
    run(&world, &["exec", "true"]).ok();
    let workspace = walkdir::WalkDir::new(world.project_dir().join("staging")).into_iter().flatten();
    let locks = workspace.map(walkdir::DirEntry::into_path).filter(|path| path.ends_with("1.lock.holders"));
    let dir = locks.last().expect("the session's lock");
    let there = dir.join("has-x-00000000000000aa-0123-77-5-far-away.0a1b2c3d");
    assert!(Command::new("mkfifo").arg(&there).status().unwrap().success());
    let mut waiting = under(&world, libc::ENOLCK);
    waiting.args(["exec", "true"]).stderr(Stdio::piped());
    let mut child = waiting.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("process 77 of host `far-away`"), "{line}");
    std::fs::remove_file(there).unwrap();
    assert!(child.wait().unwrap().success());
}
