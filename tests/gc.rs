//! `vrift gc` removes what nothing needs, and nothing else, whatever goes on meanwhile.

mod support;

use std::process::Stdio;

use support::World;

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// Collects at once, old states not kept for their own sake.
fn gc(world: &World, more: &[&str]) -> serde_json::Value {
    let mut command = world.vrift();
    command.env("VRIFT_HISTORY_BYTES", "0").args(["gc", "--grace", "0", "--json"]).args(more);
    json(&support::Ran(command.output().unwrap()).ok())
}

#[test]
fn what_only_old_states_and_deleted_snapshots_held_goes() {
    needs_sessions!();
    let world = World::new();
    world.write("keep", "kept");
    world.sh("echo one > a; mkdir d; echo in > d/f").ok();
    world.run(["commit", "v1"]).ok();
    for text in ["two", "three", "four"] {
        world.sh(&format!("echo {text} > a; rm -rf d")).ok();
    }
    let before = world.objects().len();
    let dry = gc(&world, &["--dry-run"]);
    assert_eq!(world.objects().len(), before);
    assert_eq!(dry["objects"], 1, "{dry}: `two`; the state before the present one is always kept");
    let swept = gc(&world, &[]);
    assert_eq!((&swept["objects"], &swept["heads"]), (&dry["objects"], &dry["heads"]));
    assert_eq!(world.objects().len(), before - 1);
    world.run(["restore", "v1"]).ok();
    assert_eq!(world.sh("cat a d/f").ok(), "one\nin\n");
    world.run(["undo"]).ok();
    assert_eq!(world.sh("cat a keep").ok(), "four\nkept");
    world.sh("echo five > a").ok();
    world.sh("echo six > a").ok();
    world.run(["snapshot", "delete", "v1"]).ok();
    gc(&world, &[]);
    // `kept`, `five`, `six`, vrift's own nothing
    assert_eq!(world.objects().len(), 3);
    assert_eq!(world.sh("cat a keep").ok(), "six\nkept");
    assert_eq!(gc(&world, &[])["objects"], 0);
}

#[test]
fn young_objects_and_states_stay() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo one > a").ok();
    world.sh("echo two > a").ok();
    let before = world.objects();
    // by default nothing here is old enough, nor too much
    world.run(["gc"]).ok();
    assert_eq!(world.objects(), before);
    world.run(["undo"]).ok();
    assert_eq!(world.sh("cat a").ok(), "one\n");
}

#[test]
fn a_live_session_keeps_what_it_started_from() {
    needs_sessions!();
    let world = World::new();
    for n in 0..50 {
        world.write(&format!("f{n}"), format!("{n}"));
    }
    world.run(["sync"]).ok();
    let started = world.path().join("started");
    let script =
        format!("touch {}; while [ ! -e go ]; do sleep 0.02; done; cat f*; rm go", started.display());
    let mut command = world.vrift();
    let running = command.args(["exec", "--", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    while !started.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // meanwhile the host deletes all of it, and the head follows
    for n in 0..50 {
        std::fs::remove_file(world.project.join(format!("f{n}"))).unwrap();
    }
    world.run(["sync", "--accept-deletions"]).ok();
    gc(&world, &[]);
    world.sh("touch go").ok();
    let output = running.wait_with_output().unwrap();
    let want: String = {
        let mut names: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        names.sort_by_key(|name| format!("f{name}"));
        names.concat()
    };
    assert_eq!(String::from_utf8(output.stdout).unwrap(), want);
}

#[test]
fn a_project_that_cannot_be_read_stops_it() {
    let (world, other) = (World::new(), World::new());
    world.write("a", "a");
    world.run(["sync"]).ok();
    let mut sync = other.vrift();
    sync.env("VRIFT_STORE", &world.store).arg("sync");
    assert!(sync.status().unwrap().success());
    let projects = std::fs::read_dir(world.store.join("projects")).unwrap().flatten();
    let mut manifests = projects.map(|entry| entry.path().join("manifest.db")).filter(|path| path.exists());
    let broken = manifests.next().unwrap();
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", broken.display()));
    }
    std::fs::write(&broken, "garbage ".repeat(1000)).unwrap();
    let before = world.objects();
    let error = world.run(["gc", "--grace", "0"]).fails(1);
    assert!(error.contains("nothing is removed") && error.contains("project forget"), "{error}");
    assert_eq!(world.objects(), before);
    let id = broken.parent().unwrap().file_name().unwrap().to_owned();
    world.run(["project".as_ref(), "forget".as_ref(), id.as_os_str()]).ok();
    world.run(["gc", "--grace", "0"]).ok();
}

/// Runs, commits, deletes and collections side by side; then everything named is whole.
#[test]
fn it_takes_nothing_from_runs_that_go_on_beside_it() {
    needs_sessions!();
    let world = World::new();
    world.write("base", "base\n");
    world.run(["sync"]).ok();
    let rounds = if std::env::var_os("VRIFT_SLOW").is_some() { 25 } else { 8 };
    let done = std::sync::atomic::AtomicBool::new(false);
    let (done, world) = (&done, &world);
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(move || {
            let mut times = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || times == 0 {
                gc(world, &[]);
                times += 1;
            }
            times
        });
        for round in 0..rounds {
            // the same contents come and go, so that what is being swept is stored again
            let script =
                format!("for i in 1 2 3 4 5; do echo $i-{} > f$i; done; rm -f g; cp f1 g", round % 3);
            world.sh(&script).ok();
            if round % 4 == 1 {
                world.run(["commit", &format!("c{round}")]).ok();
            }
            if round % 4 == 3 {
                world.run(["snapshot", "delete", &format!("c{}", round - 2)]).ok();
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(sweeper.join().unwrap() > 0);
    });
    gc(world, &[]);
    let last = (rounds - 1) % 3;
    assert_eq!(world.sh("cat f1 f5 g base").ok(), format!("1-{last}\n5-{last}\n1-{last}\nbase\n"));
    for snapshot in world.run(["snapshot", "list", "--json"]).ok().split("\"name\": \"").skip(1) {
        let name = snapshot.split('"').next().unwrap();
        let dest = world.path().join(name);
        world.run(["export", name, dest.to_str().unwrap()]).ok();
        assert!(dest.join("f5").exists());
    }
}
