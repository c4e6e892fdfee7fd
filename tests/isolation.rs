//! What is wrong with one project hurts no other one of the store.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Ran, World, in_namespaces};
use vrift::os::lock::{Hold, Lock};

/// Longer than any of these commands takes, shorter than anything waits for a lock that does
/// not come (30 s).
const PATIENCE: Duration = Duration::from_secs(20);

/// Two projects, each with a fork that has layers: the world's own, and the other's
/// directory. The first one is A.
fn two() -> (World, PathBuf, PathBuf) {
    let world = World::new();
    world.write("a", "of a\n");
    world.sh("echo in > in").ok();
    let state = world.project_dir();
    let other = world.path().join("other");
    std::fs::create_dir_all(other.join(".git")).unwrap();
    std::fs::write(other.join("b"), "of b\n").unwrap();
    world.run(["-C", other.to_str().unwrap(), "exec", "--", "sh", "-c", "echo in > in"]).ok();
    for dir in [&world.project, &other] {
        let dir = dir.to_str().unwrap();
        world.run(["-C", dir, "fork", "twig"]).ok();
        world.run(["-C", dir, "exec", "-w", "twig", "sh", "-c", "echo twig > twig"]).ok();
    }
    (world, state, other)
}

#[track_caller]
fn in_time(mut command: Command) -> Ran {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{command:?} waits");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ran(child.wait_with_output().unwrap())
}

/// Everything that is done in a day works in B.
#[track_caller]
fn b_works(world: &World, b: &Path, round: &str) {
    let run = |args: &[&str]| {
        let mut command = world.vrift();
        command.current_dir(b).args(args);
        in_time(command).ok()
    };
    std::fs::write(b.join("edit"), round).unwrap();
    assert_eq!(run(&["exec", "--", "sh", "-c", "cat b edit in"]), format!("of b\n{round}in\n"));
    run(&["exec", "--", "sh", "-c", &format!("echo {round} > out; mkdir -p d; echo {round} > d/x")]);
    run(&["exec", "-w", "twig", "--", "sh", "-c", &format!("cat twig; echo {round} > t")]);
    run(&["commit", &format!("s-{round}")]);
    assert!(run(&["diff", "--name-status"]).contains("out"));
    for verb in [&["status"][..], &["log"], &["runs"], &["sync"], &["recover"]] {
        run(verb);
    }
    run(&["fork", &format!("f-{round}")]);
    run(&["apply", "out"]);
    assert_eq!(std::fs::read_to_string(b.join("out")).unwrap(), format!("{round}\n"));
    run(&["undo"]);
}

#[test]
fn garbage_in_a_manifest_hurts_its_project_alone() {
    needs_sessions!();
    let (world, state, b) = two();
    let manifest = state.join("manifest.db");
    for (round, content) in [("garbage", vec![7u8; 9000]), ("empty", vec![]), ("half", half(&manifest))] {
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", manifest.display()));
        }
        std::fs::write(&manifest, content).unwrap();
        b_works(&world, &b, round);
        assert!(world.exec(["true"]).fails(125).contains("manifest"), "{round}");
        let said = in_time({
            let mut command = world.vrift();
            command.arg("verify");
            command
        });
        assert_eq!(said.code(), 1);
        let of_a = |line: &str| {
            line.starts_with("manifest-broken") && line.contains(state.file_name().unwrap().to_str().unwrap())
        };
        assert!(said.stdout().lines().all(of_a), "{round}: {}", said.stdout());
    }
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, "no directory").unwrap();
    b_works(&world, &b, "file");
}

fn half(manifest: &Path) -> Vec<u8> {
    let mut content = std::fs::read(manifest).unwrap();
    content.truncate(content.len() / 2);
    content
}

#[test]
fn a_held_lock_stops_its_project_alone() {
    needs_sessions!();
    let (world, state, b) = two();
    let mut locks: Vec<PathBuf> = walkdir::WalkDir::new(&state)
        .into_iter()
        .flatten()
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|ending| ending == "lock"))
        .collect();
    locks.extend(["host.lock", "sync.lock", "manifest.lock"].map(|name| state.join(name)));
    locks.sort();
    locks.dedup();
    for kind in ["base/", "layers/", "staging/", "host.lock"] {
        assert!(locks.iter().any(|lock| lock.to_str().unwrap().contains(kind)), "no {kind} in {locks:?}");
    }
    // all at once, and the database's own
    let held: Vec<_> =
        locks.iter().map(|lock| Lock::attempt(lock, Hold::Exclusive).unwrap().expect("it is free")).collect();
    let database = rusqlite::Connection::open(state.join("manifest.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE; UPDATE meta SET value = value").unwrap();
    b_works(&world, &b, "held");
    // not so in A
    let mut waiting = world.vrift();
    waiting.args(["exec", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut waiting = waiting.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none(), "nothing that was held counts");
    database.execute_batch("ROLLBACK").unwrap();
    drop(held);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(world.sh("cat a in").ok(), "of a\nin\n");
}

#[test]
fn a_staging_that_cannot_be_read_stops_its_project_alone() {
    needs_sessions!();
    let (world, state, b) = two();
    for name in ["staging", "base", "layers", "manifest.db", ""] {
        let path = state.join(name);
        let before = path.metadata().unwrap().permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
        b_works(&world, &b, &format!("no-{name}").replace('.', "-"));
        std::fs::set_permissions(&path, before).unwrap();
    }
    std::fs::rename(state.join("staging"), state.join("away")).unwrap();
    std::fs::write(state.join("staging"), "no directory").unwrap();
    b_works(&world, &b, "file");
    assert_ne!(world.exec(["true"]).code(), 0);
    std::fs::remove_file(state.join("staging")).unwrap();
    std::fs::rename(state.join("away"), state.join("staging")).unwrap();
    assert_eq!(world.sh("cat a in").ok(), "of a\nin\n");
}

#[test]
fn a_full_staging_stops_its_project_alone() {
    needs_sessions!();
    let (world, state, b) = two();
    // a filesystem of its own, with neither a block nor an inode left
    let script = format!(
        "mount -t tmpfs -o size=64k,nr_inodes=40 none '{0}/staging' || exit 77
         i=0; while true > '{0}/staging/'$i; do i=$((i + 1)); done 2> /dev/null
         head -c 1000000 /dev/zero > '{0}/staging/0' 2> /dev/null
         $V exec true 2> $S/said && echo a works; grep -q 'hint: ' $S/said || cat $S/said
         cd '{1}' && for i in 1 2 3; do $V exec sh -c \"cat b in; echo $i > out$i\"; done
         $V commit full && $V status | grep -c out",
        state.display(),
        b.display()
    );
    let Some(ran) = in_namespaces(&world, &script) else { return };
    assert_eq!(ran.stdout(), "of b\nin\nof b\nin\nof b\nin\n3\n", "{}", ran.stderr());
    b_works(&world, &b, "after");
    assert_eq!(world.sh("cat a in").ok(), "of a\nin\n");
}
