//! Commit, log, snapshot, restore and undo, as a user sees them.

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{World, listing};
use vrift::os::lock::{Hold, Lock};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// A world with one file of the host and one of the workspace.
fn begun() -> World {
    let world = World::new();
    world.write("src/a.txt", "host\n");
    world.sh("mkdir -p out && echo one > out/x").ok();
    world
}

#[test]
fn a_commit_seals_host_edits_and_what_runs_wrote() {
    needs_sessions!();
    let world = begun();
    world.edit("src/a.txt", "edited\n");
    world.run(["commit", "-m", "first", "v1"]).ok();
    world.sh("echo two > out/x; rm src/a.txt").ok();
    world.run(["commit"]).ok();
    let log = world.run(["log"]).ok();
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        lines[0].starts_with("s2 ") && lines[1].starts_with("v1 ") && lines[1].ends_with("first"),
        "{log}"
    );
    world.run(["restore", "v1"]).ok();
    assert_eq!(world.sh("cat src/a.txt out/x").ok(), "edited\none\n");
    let error = world.run(["commit", "v1"]).fails(1);
    assert!(error.contains("a snapshot `v1` already"), "{error}");
    let rows = json(&world.run(["snapshot", "list", "--json"]).ok());
    assert_eq!(rows[1]["message"], "first");
    assert_eq!(rows.as_array().unwrap().len(), 2);
}

#[test]
fn restore_takes_all_or_some_paths_and_undo_takes_it_back() {
    needs_sessions!();
    let world = begun();
    world.run(["commit", "v1"]).ok();
    world.sh("echo two > out/x; mkdir -p deep/er; echo new > deep/er/f; rm -r src").ok();
    world.run(["commit", "v2"]).ok();
    // some paths, a directory that is not there any more among them
    world.run(["restore", "v1", "src/a.txt", "out/x"]).ok();
    assert_eq!(world.sh("cat src/a.txt out/x deep/er/f").ok(), "host\none\nnew\n");
    // a path that the root does not have goes
    world.run(["restore", "v1", "deep"]).ok();
    world.sh("test ! -e deep").ok();
    let error = world.run(["restore", "v1", "no/such"]).fails(1);
    assert!(error.contains("no/such"), "{error}");
    for want in ["one", "two"] {
        // deep comes back, then src goes and out/x is two again
        world.run(["undo"]).ok();
        assert_eq!(world.sh("cat deep/er/f out/x").ok(), format!("new\n{want}\n"));
    }
    world.sh("test ! -e src").ok();
    assert_eq!(world.read("src/a.txt"), "host\n");
}

#[test]
fn the_whole_tree_comes_back_exactly() {
    needs_sessions!();
    let world = World::new();
    world.write("a/one", "1");
    world.write("a/two", "2");
    let script = "ln -s one a/link; ln a/one a/hard; chmod 640 a/two; mkfifo a/pipe; mkdir -p e/m/p/ty; \
        touch -d '2001-02-03 04:05:06.123456789' a/two e/m; printf %s x > 'new
line'";
    world.sh(script).ok();
    let copy = |name: &str| {
        let to = world.path().join(name);
        world.sh(&format!("cp -a . '{}'", to.display())).ok();
        listing(&to).into_iter().filter(|line| !line.contains(".git")).collect::<Vec<_>>()
    };
    let before = copy("before");
    world.run(["commit", "v1"]).ok();
    world.sh("rm -rf a e; mkdir a; echo other > a/one; ln -s x e; echo > 'new\nline'").ok();
    assert_ne!(copy("between"), before);
    world.run(["restore", "v1"]).ok();
    assert_eq!(copy("after"), before);
}

#[test]
fn a_commit_in_a_live_session_ends_nothing_and_counts_what_was_written() {
    needs_sessions!();
    let world = begun();
    let mut live = world
        .vrift()
        .args([
            "exec",
            "--",
            "sh",
            "-c",
            "echo early > out/live; rm out/x; echo ready; read line; echo late > out/live; cat",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = std::io::BufReader::new(live.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    world.run(["commit", "mid"]).ok();
    world.run(["commit", "again"]).ok();
    let rows = json(&world.run(["snapshot", "list", "--json"]).ok());
    assert_eq!(rows[0]["root"], rows[1]["root"]);
    let error = world.run(["restore", "mid"]).fails(1);
    assert!(error.contains("live run"), "{error}");
    let mut stdin = live.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"go\n").unwrap();
    // until the second write is there
    let mut tries = 0;
    while !world.run(["exec", "--", "grep", "-q", "late", "out/live"]).0.status.success() {
        tries += 1;
        assert!(tries < 200);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(stdin);
    assert!(live.wait().unwrap().success());
    assert_eq!(world.sh("cat out/live; ls out").ok(), "late\nlive\n");
    assert!(world.run(["status", "--json"]).ok().contains("\"conflicts\": []"));
    world.run(["restore", "mid"]).ok();
    assert_eq!(world.sh("cat out/live").ok(), "early\n");
}

#[test]
fn what_a_checkpoint_saw_and_the_session_took_back_is_gone() {
    needs_sessions!();
    let world = begun();
    let step = world.path().join("step");
    let script = format!(
        "echo tmp > out/tmp; touch '{0}.1'; while [ ! -e '{0}.2' ]; do sleep 0.01; done; rm out/tmp",
        step.display()
    );
    let mut live = world.vrift().args(["exec", "--", "sh", "-c", &script]).spawn().unwrap();
    while !world.path().join("step.1").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    world.run(["commit", "mid"]).ok();
    std::fs::write(world.path().join("step.2"), "").unwrap();
    assert!(live.wait().unwrap().success());
    world.sh("test ! -e out/tmp").ok();
    world.run(["restore", "mid"]).ok();
    assert_eq!(world.sh("cat out/tmp").ok(), "tmp\n");
    assert!(world.staging().is_empty());
}

#[test]
fn a_killed_session_keeps_its_checkpoint_and_the_rest_is_an_orphan() {
    needs_sessions!();
    let world = begun();
    let mark = world.path().join("mark");
    let script = format!(
        "echo 1 > out/x; touch '{0}.1'; while [ ! -e '{0}.2' ]; do sleep 0.01; done; echo 2 > out/x; echo n > out/n; touch '{0}.3'; sleep 100",
        mark.display()
    );
    let status = world.path().join("status");
    let bin = env!("CARGO_BIN_EXE_vrift");
    let mut live = world
        .command("sh")
        .args([
            "-c",
            &format!("exec '{bin}' exec --status-fd 3 -- sh -c \"$1\" 3>'{}'", status.display()),
            "sh",
            &script,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wait_for = |name: &str| {
        while !world.path().join(name).exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    wait_for("mark.1");
    world.run(["commit", "mid"]).ok();
    std::fs::write(world.path().join("mark.2"), "").unwrap();
    wait_for("mark.3");
    let init = std::fs::read_to_string(&status).unwrap();
    let init = json(init.lines().next().unwrap())["init"].as_i64().unwrap();
    assert!(
        std::process::Command::new("kill")
            .args(["-9", &live.id().to_string(), &init.to_string()])
            .status()
            .unwrap()
            .success()
    );
    let _ = live.wait();
    assert_eq!(world.run(["exec", "--", "cat", "out/x"]).ok(), "1\n");
    world.run(["recover", "--keep"]).ok();
    assert_eq!(world.run(["exec", "--", "cat", "out/x", "out/n"]).ok(), "2\nn\n");
    assert!(world.run(["status", "--json"]).ok().contains("\"conflicts\": []"));
}

#[test]
fn heads_are_numbered_with_the_runs() {
    needs_sessions!();
    let world = begun();
    world.sh("true").ok();
    world.sh("echo three > out/x").ok();
    let heads = json(&world.run(["log", "--heads", "--json"]).ok());
    let runs = json(&world.run(["runs", "--json"]).ok());
    assert_eq!(runs["finished"][0]["run"], heads[0]["number"]);
    let quiet = runs["finished"][1]["run"].as_i64().unwrap();
    world.run(["restore", &format!("@{quiet}")]).ok();
    assert_eq!(world.sh("cat out/x").ok(), "one\n");
    let error = world.run(["restore", "@999"]).fails(1);
    assert!(error.contains("@999") && error.contains("log --heads"), "{error}");
}

#[test]
fn snapshots_are_shown_and_deleted() {
    needs_sessions!();
    let world = begun();
    for name in ["a", "b", "c"] {
        world.sh(&format!("echo {name} > out/x")).ok();
        world.run(["commit", name]).ok();
    }
    assert!(world.run(["snapshot", "show", "b"]).ok().contains("before it  a"));
    world.run(["snapshot", "delete", "b"]).ok();
    assert!(world.run(["snapshot", "show", "c"]).ok().contains("before it  a"));
    assert!(world.run(["snapshot", "delete", "b"]).fails(1).contains("no snapshot `b`"));
    // all or none
    assert!(world.run(["snapshot", "delete", "a", "b"]).fails(1).contains("`b`"));
    assert!(world.run(["log"]).ok().contains("a "));
}

/// Without anybody asking, what a live session wrote becomes the head every so often.
#[test]
fn a_live_session_is_taken_in_every_so_often() {
    needs_sessions!();
    let world = begun();
    world.run(["exec", "--config", "history.checkpoint=soon", "true"]).fails(125);
    let script = "echo by itself > out/y; while [ ! -e go ]; do sleep 0.05; done";
    let mut command = world.vrift();
    command.args(["exec", "--config", "history.checkpoint=1 s", "--", "sh", "-c", script]);
    let mut live = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let is_there = || {
        let log = json(&world.run(["log", "--heads", "--json"]).ok());
        log.as_array().unwrap().iter().any(|head| head["cause"] == "checkpoint")
    };
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_there() {
        assert!(std::time::Instant::now() < patience, "no checkpoint within a minute");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let diff = world.run(["diff", "--name-status", "main~1", "main"]).ok();
    assert!(diff.contains("out/y"), "{diff}");
    world.sh("touch go").ok();
    assert!(live.wait().unwrap().success());
    assert_eq!(world.sh("cat out/y; rm go").ok(), "by itself\n");
}

#[test]
fn what_comes_while_a_commit_writes_out_is_not_sealed_with_it() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo first > a").ok();
    let mut commit =
        world.vrift().args(["commit", "one"]).env("VRIFT_FAILPOINT", "commit.written=stop").spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&commit);
    let stopped = rustix::process::WaitOptions::UNTRACED;
    rustix::process::waitpid(Some(pid), stopped).unwrap();
    // nothing says that the disk has this one
    world.run(["exec", "--no-sync", "sh", "-c", "echo second > a"]).ok();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert!(commit.wait().unwrap().success());
    assert!(world.run(["diff", "one", "main"]).ok().contains("-first\n+second"));
}

/// A session that opens holds its lock before it has looked at the host's directory.
#[test]
fn a_commit_beside_a_start_seals_the_hosts_edits() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "one\n");
    world.exec(["true"]).ok();
    world.edit("a", "two\n");
    let place = world.project_dir();
    let spawn = |args: &[&str]| world.vrift().args(args).stderr(Stdio::null()).spawn().unwrap();
    // whoever looks waits
    let held = Lock::wait(&place.join("host.lock"), Hold::Exclusive).unwrap();
    let mut started = spawn(&["exec", "--", "true"]);
    let session = place.join("staging/1.lock");
    let began = Instant::now();
    while Lock::attempt(&session, Hold::Shared).unwrap().is_some() {
        assert!(began.elapsed() < Duration::from_secs(60), "no session opens");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut commit = spawn(&["commit", "v1"]);
    // one that does not wait has sealed without them
    let began = Instant::now();
    while commit.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(held);
    assert!(commit.wait().unwrap().success() && started.wait().unwrap().success());
    let out = world.path().join("out");
    world.run(["export", "v1", out.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(out.join("a")).unwrap(), "two\n");
}
