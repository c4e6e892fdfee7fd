//! `vrift gc` removes what nothing needs, and nothing else, whatever goes on meanwhile.

mod support;

use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use support::World;
use support::whole::assert_whole;

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
    let (started, go) = (world.path().join("started"), world.path().join("go"));
    let script =
        format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done; cat f*", started.display(), go.display());
    let mut command = world.vrift();
    // one that is to be thrown away is not brought up to date while it lives
    command.args(["exec", "--discard", "--", "sh", "-c", &script]);
    let running = command.stdout(Stdio::piped()).spawn().unwrap();
    while !started.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // meanwhile the host deletes all of it, and the head follows
    for n in 0..50 {
        std::fs::remove_file(world.project.join(format!("f{n}"))).unwrap();
    }
    world.run(["sync", "--accept-deletions"]).ok();
    gc(&world, &[]);
    std::fs::write(&go, "").unwrap();
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

/// A manifest that is gone or empty names nothing, and what it named is not known.
#[test]
fn a_lost_manifest_stops_it() {
    needs_sessions!();
    for lost in ["removed", "emptied"] {
        let world = World::new();
        world.write("a", "a");
        world.sh("echo b > b").ok();
        let manifest = world.project_dir().join("manifest.db");
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", manifest.display()));
        }
        match lost {
            "removed" => std::fs::remove_file(&manifest).unwrap(),
            _ => std::fs::write(&manifest, "").unwrap(),
        }
        let before = world.objects();
        for more in [&["--dry-run"][..], &[]] {
            let error = world.run(["gc", "--grace", "0"].iter().chain(more)).fails(1);
            assert!(error.contains("gone or empty"), "{lost}: {error}");
        }
        assert_eq!(world.objects(), before, "{lost}");
    }
}

#[test]
fn a_manifest_of_a_newer_vrift_stops_it() {
    let world = World::new();
    world.write("a", "a");
    world.run(["sync"]).ok();
    let manifest = rusqlite::Connection::open(world.project_dir().join("manifest.db")).unwrap();
    manifest.pragma_update(None, "user_version", 99).unwrap();
    let before = world.objects();
    let error = world.run(["gc", "--grace", "0"]).fails(1);
    assert!(error.contains("nothing is removed") && error.contains("newer"), "{error}");
    assert_eq!(world.objects(), before);
}

#[test]
fn what_a_project_has_set_wrongly_stops_nobody() {
    let world = World::new();
    world.write("a", "a");
    world.run(["sync"]).ok();
    world.write("vrift.toml", "[history]\nbytes = \"many\"");
    world.edit("a", "b");
    let other = world.path().join("other");
    std::fs::create_dir_all(other.join(".git")).unwrap();
    std::fs::write(other.join("f"), "f").unwrap();
    let in_other = |args: &[&str]| {
        let mut command = world.vrift();
        support::Ran(command.current_dir(&other).args(args).output().unwrap()).ok()
    };
    in_other(&["sync"]);
    let before = world.objects().len();
    in_other(&["gc", "--grace", "0"]);
    assert_eq!(world.objects().len(), before);
}

/// Lower trees, staging, forgotten projects, and what only they held: a dry run says it
/// all, and then it goes.
#[test]
fn what_forks_and_killed_runs_left_goes_as_a_dry_run_says() {
    needs_sessions!();
    let world = World::new();
    for n in 0..20 {
        world.write(&format!("f{n}"), format!("{n}"));
    }
    world.sh("echo main > m").ok();
    world.run(["fork", "one"]).ok();
    world.run(["exec", "-w", "one", "--", "sh", "-c", "echo one > o; rm f1"]).ok();
    world.run(["workspace", "delete", "one"]).ok();
    let project = world.project_dir();
    let manifest = rusqlite::Connection::open(project.join("manifest.db")).unwrap();
    // deleted long ago, and what a sweep that was killed left of its stack
    manifest.execute("UPDATE workspace SET deleted = 1 WHERE deleted IS NOT NULL", []).unwrap();
    let base: i64 =
        manifest.query_row("SELECT base FROM workspace WHERE name = 'main'", [], |row| row.get(0)).unwrap();
    let root: Vec<u8> =
        manifest.query_row("SELECT head FROM workspace WHERE name = 'main'", [], |row| row.get(0)).unwrap();
    manifest
        .execute("INSERT INTO layer(base, under, root) VALUES(?1, ?2, ?2)", rusqlite::params![base, root])
        .unwrap();
    let layer = manifest.last_insert_rowid();
    std::fs::create_dir_all(project.join(format!("layers/{layer}/d"))).unwrap();
    manifest.execute("INSERT INTO base(projection, root) VALUES('stub', ?1)", [&root]).unwrap();
    let stray = manifest.last_insert_rowid();
    std::fs::create_dir_all(project.join(format!("base/{stray}/d"))).unwrap();
    drop(manifest);
    // a run whose writes were not wanted, killed while they were removed
    let mut child = world.vrift();
    child.env("VRIFT_FAILPOINT", "take-in.committed").args(["exec", "--", "sh", "-c", "echo x > x"]);
    assert!(!child.status().unwrap().success());
    assert_eq!(world.staging().len(), 1);
    let forgotten = world.store.join("projects/.forgotten-x-1/base");
    std::fs::create_dir_all(forgotten).unwrap();

    let dry = gc(&world, &["--dry-run"]);
    assert_eq!(world.staging().len(), 1);
    let swept = gc(&world, &[]);
    for what in ["objects", "heads", "lowers", "staging", "projects"] {
        assert_eq!(dry[what], swept[what], "{what}: {dry} {swept}");
    }
    assert_eq!((&swept["lowers"], &swept["staging"], &swept["projects"]), (&2.into(), &1.into(), &1.into()));
    assert!(world.staging().is_empty());
    assert!(
        !project.join(format!("layers/{layer}")).exists() && !project.join(format!("base/{stray}")).exists()
    );
    assert!(!world.store.join("projects/.forgotten-x-1").exists());
    assert_eq!(world.sh("cat m x f1").ok(), "main\nx\n1");
    assert_eq!(gc(&world, &[])["lowers"], 0);
}

/// It leaves a line in `runs`, and the numbers of states go on.
#[test]
fn it_is_one_of_the_runs() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo a > a").ok();
    gc(&world, &["--dry-run"]);
    assert_eq!(json(&world.run(["runs", "--json"]).ok())["finished"].as_array().unwrap().len(), 1);
    gc(&world, &[]);
    let runs = json(&world.run(["runs", "--json"]).ok());
    let last = &runs["finished"][0];
    assert_eq!((&last["command"][1], &last["status"]), (&"gc".into(), &0.into()), "{runs}");
    assert!(last["command"][2].as_str().unwrap().contains("objects removed"), "{runs}");
    world.sh("echo b > a").ok();
    world.run(["undo"]).ok();
    assert_eq!(world.sh("cat a").ok(), "a\n");
}

/// What a store's count of bytes written says when a collection is due.
fn owe(world: &World) {
    std::fs::write(world.store.join("written"), format!("{} 0 1000", 3u64 << 30)).unwrap();
}

fn waits_for(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{what} does not come");
}

#[test]
fn it_runs_by_itself_when_much_was_written() {
    needs_sessions!();
    let world = World::new();
    let run = |script: &str, auto: &str| {
        let mut command = world.vrift();
        command.env("VRIFT_GC_AUTO", auto).args(["-q", "exec", "--", "sh", "-c", script]);
        let ran = support::Ran(command.output().unwrap());
        assert_eq!((ran.code(), ran.stdout(), ran.stderr()), (0, String::new(), String::new()));
    };
    let collected = || world.run(["runs"]).ok().matches("vrift gc --auto").count();
    run("echo one > a", "true");
    owe(&world);
    run("echo two > a", "false"); // switched off
    run("true", "true"); // nothing was written
    assert_eq!(collected(), 0);
    // garbage that is old enough
    let object = world.store.join("objects/zz/zzzzzzzzzzzzzzzzzzzz");
    std::fs::create_dir_all(object.parent().unwrap()).unwrap();
    std::fs::write(&object, "garbage").unwrap();
    run("echo three > a", "true");
    waits_for("a line in `runs`", || collected() == 1);
    assert!(object.exists(), "it is young");
    let written = std::fs::read_to_string(world.store.join("written")).unwrap();
    assert_eq!(written.split_whitespace().next(), Some("0"), "{written}");
    run("echo four > a", "true"); // not due any more
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(collected(), 1);
    // one that comes when it is not due, or another is at work, does nothing and says nothing
    let auto = world.run(["gc", "--auto"]);
    assert_eq!((auto.code(), auto.stderr()), (0, String::new()));
    owe(&world);
    let lock = std::fs::File::open(world.store.join("gc.lock")).unwrap();
    lock.lock().unwrap();
    let auto = world.run(["gc", "--auto"]);
    assert_eq!((auto.code(), auto.stderr()), (0, String::new()));
    assert_eq!(collected(), 1);
}

/// Who reads a run's output to its end does not wait for what collects in the background.
#[test]
fn nobody_waits_for_the_one_in_the_background() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo one > a").ok();
    owe(&world);
    // it waits for this lock, half a minute
    let lock = std::fs::File::open(world.store.join("lock")).unwrap();
    let mut command = world.vrift();
    command.env("VRIFT_GC_AUTO", "true").args(["exec", "--", "sh", "-c", "echo two > a; rm -rf b"]);
    lock.lock_shared().unwrap();
    world.run(["fork", "f"]).ok();
    let ran = support::Ran(command.output().unwrap()); // reads both pipes to their ends
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    drop(lock);
    waits_for("its end", || world.run(["runs"]).ok().contains("gc --auto"));
}

/// Runs, commits, forks, deletes and collections side by side, in two projects with the same
/// contents; then everything named is whole.
#[test]
fn it_takes_nothing_from_runs_that_go_on_beside_it() {
    needs_sessions!();
    let world = World::new();
    world.write("base", "base\n");
    world.run(["sync"]).ok();
    let other = world.path().join("other");
    std::fs::create_dir_all(other.join(".git")).unwrap();
    let slow = std::env::var_os("VRIFT_SLOW").is_some();
    let (rounds, time) = (if slow { usize::MAX } else { 8 }, std::time::Duration::from_secs(120));
    let began = std::time::Instant::now();
    let rounds = || (0..rounds).take_while(|_| began.elapsed() < time);
    // the same contents come and go, so that what is being swept is stored again
    let script =
        |round: usize| format!("for i in 1 2 3 4 5; do echo $i-{} > f$i; done; rm -f g; cp f1 g", round % 3);
    let working = std::sync::atomic::AtomicUsize::new(3);
    let ended = |work: &dyn Fn()| {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        working.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    };
    let (world, working, ended) = (&world, &working, &ended);
    let last = std::thread::scope(|scope| {
        let sweeper = scope.spawn(move || {
            let mut times = 0;
            while working.load(std::sync::atomic::Ordering::Relaxed) > 0 || times == 0 {
                gc(world, &[]);
                times += 1;
            }
            times
        });
        scope.spawn(|| {
            ended(&|| {
                for round in rounds() {
                    let name = format!("w{}", round % 2);
                    world.run(["exec", "--fork", &name, "--", "sh", "-c", &script(round)]).ok();
                    world.run(["merge", &name, "--into", &name, "--dry-run"]).fails(1);
                    world.run(["exec", "-w", &name, "--", "sh", "-c", &script(round + 1)]).ok();
                    world.run(["workspace", "delete", &name]).ok();
                }
            });
        });
        scope.spawn(|| {
            ended(&|| {
                for round in rounds() {
                    std::fs::write(other.join("host"), format!("{}-{}\n", 1 + round % 5, round % 3)).unwrap();
                    let mut command = world.vrift();
                    command.current_dir(&other).args(["exec", "--", "sh", "-c", &script(round)]);
                    support::Ran(command.output().unwrap()).ok();
                }
            });
        });
        let last = scope.spawn(|| {
            let last = std::sync::atomic::AtomicUsize::new(0);
            ended(&|| {
                for round in rounds() {
                    world.sh(&script(round)).ok();
                    if round % 4 == 1 {
                        world.run(["commit", &format!("c{round}")]).ok();
                    }
                    if round % 4 == 3 {
                        world.run(["snapshot", "delete", &format!("c{}", round - 2)]).ok();
                    }
                    last.store(round % 3, std::sync::atomic::Ordering::Relaxed);
                }
            });
            last.into_inner()
        });
        assert!(sweeper.join().unwrap() > 0);
        last.join().unwrap()
    });
    assert_whole(&world.store);
    gc(world, &[]);
    assert_whole(&world.store);
    assert_eq!(world.sh("cat f1 f5 g base").ok(), format!("1-{last}\n5-{last}\n1-{last}\nbase\n"));
    for snapshot in world.run(["snapshot", "list", "--json"]).ok().split("\"name\": \"").skip(1) {
        let name = snapshot.split('"').next().unwrap();
        let dest = world.path().join(name);
        world.run(["export", name, dest.to_str().unwrap()]).ok();
        assert!(dest.join("f5").exists());
    }
}

/// Bytes of disk below a directory; a file with several names counts once.
fn disk(top: &std::path::Path) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let entries = walkdir::WalkDir::new(top).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
    entries.filter(|stat| seen.insert(stat.ino())).map(|stat| stat.blocks() * 512).sum()
}

/// The live state, as much of old ones as was allowed, and what it takes to show it.
#[test]
fn builds_without_end_take_three_times_the_live_size() {
    needs_sessions!();
    let world = World::new();
    let builds = if std::env::var_os("VRIFT_SLOW").is_some() { 200 } else { 12 };
    for file in 0..40 {
        let data: String = (0..12_000).map(|n| format!("{},", n * file % 251)).collect();
        world.write(
            &format!("f{file}.c"),
            format!("const int n{file} = 0;\nstatic const int data[] = {{{data}}};\nint f{file}(int i) {{ return data[i] + n{file}; }}\n"),
        );
    }
    let calls: String = (0..40)
        .map(|file| format!("int f{file}(int); int g{file}(void) {{ return f{file}(1); }}\n"))
        .collect();
    world.write("main.c", format!("{calls}int main(void) {{ return 0; }}\n"));
    world.write(
        "Makefile",
        "objects := $(patsubst %.c,%.o,$(wildcard *.c))\nprogram: $(objects)\n\tcc -o $@ $^\n%.o: %.c\n\tcc -O0 -c -o $@ $<\n",
    );
    world.exec(["make", "-j2"]).ok();
    let live = world.path().join("live");
    world.run(["export", "main", live.to_str().unwrap()]).ok();
    let live = disk(&live);
    for build in 1..=builds {
        world
            .sh(&format!("sed -i 's/^const int n.*/const int n{0} = {build};/' f{0}.c && make", build % 40))
            .ok();
        if build % 50 == 0 || build == builds {
            let mut command = world.vrift();
            command.env("VRIFT_HISTORY_BYTES", live.to_string()).args(["gc", "--grace", "0"]);
            support::Ran(command.output().unwrap()).ok();
        }
    }
    let taken = disk(&world.store);
    // a lower tree of copies holds all of it once more
    let copies = std::env::var_os("VRIFT_TEST_PROJECTION").is_some_and(|projection| projection == "copy");
    assert!(taken <= (3 + u64::from(copies)) * live, "{taken} bytes for {live} live ones");
    // and it is all there
    assert_eq!(world.sh("make").ok().lines().last(), Some("make: 'program' is up to date."));
    assert_whole(&world.store);
}
