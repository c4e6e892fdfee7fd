//! Runs seen, ended, followed and dropped from outside.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Ran, World};

/// A run that has said `ready` and goes on until its standard input ends.
fn start(world: &World, options: &[&str], script: &str) -> Child {
    let script = format!("{script}; echo ready; cat > /dev/null");
    let mut command = world.vrift();
    command.arg("exec").args(options).args(["--", "sh", "-c", &script]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn finish(child: Child) -> Ran {
    Ran(child.wait_with_output().unwrap())
}

fn json(ran: Ran) -> Value {
    serde_json::from_str(&ran.ok()).unwrap()
}

#[test]
fn runs_are_listed_while_they_live_and_when_they_are_over() {
    needs_sessions!();
    let world = World::new();
    assert_eq!(world.sh("exit 3").code(), 3);
    let live = start(&world, &[], "true");
    let pid = live.id().to_string();
    let listed = world.run(["runs"]).ok();
    let line = listed.lines().find(|line| line.contains("live")).unwrap();
    assert!(line.contains(&pid) && line.contains("main") && line.contains("vrift"), "{line}");
    assert!(listed.contains("@2") && listed.contains("exit 3"), "{listed}");
    let all = json(world.run(["runs", "--json"]));
    assert_eq!(all["live"][0]["run"].as_u64(), Some(live.id().into()));
    assert_eq!(
        all["live"][0]["command"].as_array().unwrap().last().unwrap(),
        "true; echo ready; cat > /dev/null"
    );
    let started = all["live"][0]["started"].as_i64().unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    assert!((now - started).abs() < 60_000, "{started} is not about {now}");
    assert_eq!(all["finished"][0]["status"], 3);
    assert_eq!(all["finished"][0]["command"][2], "exit 3");
    assert_eq!(all["finished"][0]["directory"], world.project.to_str().unwrap());
    finish(live);
    let all = json(world.run(["runs", "--json", "-n", "1"]));
    assert_eq!(all["live"].as_array().unwrap().len(), 0);
    assert_eq!(all["finished"].as_array().unwrap().len(), 1);
    assert_eq!(all["finished"][0]["status"], 0);
}

#[test]
fn what_a_killed_run_left_is_listed() {
    needs_sessions!();
    let world = World::new();
    let mut child = start(&world, &[], "echo half > half");
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    while json(world.run(["runs", "--json"]))["orphans"].as_array().unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(20));
    }
    let listed = world.run(["runs"]).ok();
    assert!(listed.contains("orphan") && listed.contains("vrift recover s"), "{listed}");
}

#[test]
fn a_run_is_stopped_alone_and_what_it_wrote_is_kept() {
    needs_sessions!();
    let world = World::new();
    let first = start(&world, &[], "echo one > one");
    let second = start(&world, &[], "echo two > two");
    world.run(["stop", &first.id().to_string()]).ok();
    assert_eq!(finish(first).code(), 143);
    assert_eq!(world.sh("cat one").ok(), "one\n");
    assert_eq!(finish(second).code(), 0);
    assert_eq!(world.sh("cat one two").ok(), "one\ntwo\n");
    let none = world.run(["stop", "1"]);
    assert!(none.fails(1).contains("no live run 1"));
}

#[test]
fn all_of_a_workspace_is_stopped_even_what_does_not_listen() {
    needs_sessions!();
    let world = World::new();
    let polite = start(&world, &[], "trap 'echo bye > bye; exit 5' TERM; echo a > a");
    let deaf = start(&world, &[], "trap '' TERM; echo b > b");
    let began = Instant::now();
    let said = world.run(["stop", "-w", "main"]);
    assert!(said.stderr().contains("2 runs of workspace main ended"), "{}", said.stderr());
    assert!(began.elapsed() > Duration::from_millis(1900), "SIGKILL came at once");
    // it returns when all is taken in
    assert!(world.staging().is_empty());
    // cat in the foreground delays the trap until it has ended, here by SIGKILL
    assert!([5, 137, 143].contains(&finish(polite).code()));
    assert_eq!(finish(deaf).code(), 137);
    assert_eq!(world.sh("cat a b").ok(), "a\nb\n");
    assert!(world.run(["stop", "-w", "main"]).fails(1).contains("no live run"));
    assert!(world.run(["stop", "-w", "other"]).fails(1).contains("no workspace"));
    assert_eq!(world.run(["stop"]).code(), 2);
}

#[test]
fn a_run_that_waits_for_its_background_is_stopped() {
    needs_sessions!();
    let world = World::new();
    let mut command = world.vrift();
    command.args(["exec", "--wait", "sh", "-c", "sleep 100 > /dev/null 2>&1 & echo x > x; echo ready"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    world.run(["stop", &child.id().to_string()]).ok();
    let ran = finish(child);
    assert!(ran.stderr().contains("ended what was left running: sleep"), "{}", ran.stderr());
    ran.ok();
    assert_eq!(world.sh("cat x").ok(), "x\n");
}

/// The events of a run, from `--status-fd 3` of a shell.
fn events(world: &World, options: &str, command: &str) -> (Vec<Value>, Ran) {
    let vrift = env!("CARGO_BIN_EXE_vrift");
    let file = world.path().join("events");
    let script = format!("{vrift} exec --status-fd 3 {options} -- {command} 3> {}", file.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(&world.project);
    for (name, value) in world.vrift().get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    let ran = Ran(shell.output().unwrap());
    let text = std::fs::read_to_string(file).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), ran)
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn events_are_written_as_lines_of_json() {
    needs_sessions!();
    let world = World::new();
    let (all, ran) = events(&world, "", "sh -c 'echo x > x; rm -f y; readlink /proc/$$/fd/3; exit 4'");
    assert_eq!((ran.code(), ran.stdout().as_str()), (4, ""), "the command has the descriptor");
    assert_eq!(names(&all), ["opened", "started", "exit", "taken-in"]);
    assert_eq!(all[0]["workspace"], "main");
    assert!(all[0]["session"].as_str().unwrap().starts_with('s') && all[0]["init"].as_i64().unwrap() > 1);
    assert!(all[1]["pid"].as_i64().unwrap() > 1);
    assert_eq!((all[2]["status"].as_i64(), &all[2]["signal"]), (Some(4), &Value::Null));
    assert_eq!((all[3]["written"].as_i64(), all[3]["changed"].as_bool()), (Some(1), Some(true)));
    let live = start(&world, &[], "true");
    let (all, _) = events(&world, "", "sh -c 'kill -9 $$'");
    assert_eq!(names(&all), ["joined", "started", "exit", "left"]);
    assert_eq!((all[2]["status"].as_i64(), all[2]["signal"].as_i64()), (Some(137), Some(9)));
    finish(live);
    let (all, ran) = events(&world, "", "no-such-command");
    assert_eq!((names(&all), ran.code()), (vec!["opened", "taken-in"], 127));
    let mut orphan = start(&world, &[], "echo half > half");
    orphan.kill().unwrap();
    orphan.wait().unwrap();
    let (all, _) = events(&world, "", "true");
    assert!(
        all[1]["event"] == "warning" && all[1]["message"].as_str().unwrap().contains("recover"),
        "{all:?}"
    );
    let refused = world.run(["exec", "--status-fd", "77", "true"]);
    assert!(refused.fails(2).contains("--status-fd 77: this descriptor is not open"));
}

#[test]
fn what_was_written_is_discarded_when_asked() {
    needs_sessions!();
    let world = World::new();
    world.write("host", "x");
    world.exec(["true"]).ok();
    let objects = world.objects().len();
    let ran = world.run([
        "exec",
        "--discard",
        "sh",
        "-c",
        "echo x > gone; mkdir d; echo y > d/z; chmod 0 d; rm host",
    ]);
    assert!(ran.stderr().contains("what was written is discarded"), "{}", ran.stderr());
    ran.ok();
    assert!(world.staging().is_empty());
    assert_eq!(world.sh("ls").ok(), "host\n");
    assert_eq!(world.objects().len(), objects);
    assert_eq!(world.run(["exec", "--discard", "cat", "host"]).stderr(), "");
    let (all, _) = events(&world, "--discard", "touch t");
    assert_eq!(names(&all), ["opened", "started", "exit", "discarded"]);
}

#[test]
fn only_a_failures_writes_are_discarded_when_asked() {
    needs_sessions!();
    let world = World::new();
    let run = |script: &str| world.run(["exec", "--discard-on-failure", "sh", "-c", script]);
    assert_eq!(run("echo a > a").code(), 0);
    assert_eq!(run("echo b > b; exit 3").code(), 3);
    assert_eq!(run("echo c > c; kill -TERM $$").code(), 143);
    assert_eq!(world.run(["exec", "--discard-on-failure", "no-such-command"]).code(), 127);
    assert_eq!(world.sh("ls").ok(), "a\n");
    assert!(world.staging().is_empty());
}

#[test]
fn who_discards_is_alone() {
    needs_sessions!();
    let world = World::new();
    let live = start(&world, &[], "echo kept > kept");
    for option in ["--discard", "--discard-on-failure"] {
        let refused = world.run(["exec", option, "touch", "x"]);
        assert!(refused.fails(125).contains("could not be told apart"));
    }
    assert_eq!(finish(live).code(), 0);
    let alone = start(&world, &["--discard-on-failure"], "echo mine > mine");
    let refused = world.exec(["true"]);
    assert!(refused.fails(125).contains("may be discarded, so nobody can join it"));
    assert_eq!(finish(alone).code(), 0);
    assert_eq!(world.sh("ls").ok(), "kept\nmine\n");
}

#[test]
fn a_discard_that_was_killed_is_finished_by_the_next_command() {
    needs_sessions!();
    let world = World::new();
    let mut child = start(&world, &["--discard"], "echo half > half");
    child.kill().unwrap();
    child.wait().unwrap();
    // as if it had come as far as to say so
    let staging = world.staging().pop().unwrap();
    std::fs::File::create(staging.join("discarded")).unwrap().write_all(b"").unwrap();
    let ran = world.sh("ls");
    assert!(ran.stdout().is_empty() && !ran.stderr().contains("recover"), "{}", ran.stderr());
    assert!(world.staging().is_empty());
}

#[test]
fn a_proc_that_cannot_be_fresh_is_said() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let vrift = env!("CARGO_BIN_EXE_vrift");
    let file = world.path().join("events");
    // as in a container: a file of /proc is masked
    let script = format!(
        "mount --bind /dev/null /proc/kcore && exec {vrift} exec --status-fd 3 -- sh -c 'echo works; sleep 50 & true' 3> {}",
        file.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", &script]).current_dir(&world.project);
    for (name, value) in world.vrift().get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let ran = Ran(command.output().unwrap());
    if ran.stderr().contains("mount:") || ran.stderr().contains("unshare:") {
        eprintln!("skipped: {}", ran.stderr());
        return;
    }
    assert!(ran.stderr().contains("cannot mount a fresh `/proc`"), "{}", ran.stderr());
    assert!(ran.stderr().contains("the outer one stays"), "{}", ran.stderr());
    assert!(ran.stderr().contains("ended what was left running"), "{}", ran.stderr());
    assert_eq!(ran.ok(), "works\n");
    assert!(std::fs::read_to_string(file).unwrap().contains("\"event\":\"warning\""));
}

#[test]
fn runs_are_told_as_they_begin_and_end() {
    needs_sessions!();
    let world = World::new();
    world.write("d/x", "x");
    let live = start(&world, &[], "true");
    let statements = world.path().join("statements");
    let mut watch = world.vrift();
    watch.env("VRIFT_STATEMENTS", &statements);
    let mut watch = watch.args(["runs", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(watch.stdout.take().unwrap());
    let mut next = |event: &str, word: &str| loop {
        let mut line = String::new();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "it has ended before `{event} {word}`");
        let told: Value = serde_json::from_str(&line).unwrap();
        if told["event"] == event && told["command"].to_string().contains(word) {
            return told;
        }
    };
    let told = next("live", "cat > /dev/null");
    assert_eq!(told["run"].as_u64(), Some(live.id().into()));
    let mut other = world.vrift();
    other.args(["exec", "sh", "-c", "exit 3"]).current_dir(world.project.join("d"));
    assert_eq!(other.status().unwrap().code(), Some(3));
    let told = next("finished", "exit 3");
    assert_eq!(told["status"], 3);
    assert!(told["ended"].as_i64() >= told["started"].as_i64());
    finish(live);
    next("finished", "cat > /dev/null");
    // while nothing is committed no row is read
    let asked = || std::fs::read_to_string(&statements).unwrap().matches("FROM run").count();
    let (before, rounds) = (asked(), std::time::Duration::from_secs(1));
    std::thread::sleep(rounds);
    assert_eq!(asked(), before);
    watch.kill().unwrap();
    watch.wait().unwrap();
    let listed = world.run(["runs"]).ok();
    let line = listed.lines().find(|line| line.contains("exit 3")).unwrap();
    assert!(line.contains("s ago") && line.ends_with("exit 3  (in `d`)"), "{line}");
}

#[test]
fn every_workspace_has_a_small_number_of_its_own() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "a");
    let of = |name: &str| {
        let mut command = world.vrift();
        command.args(["exec", "-w", name, "sh", "-c", "echo $VRIFT_INDEX"]).env("VRIFT_INDEX", "9");
        Ran(command.output().unwrap()).ok()
    };
    assert_eq!(of("main"), "0\n");
    for fork in ["f", "g"] {
        world.run(["fork", fork]).ok();
    }
    assert_eq!([of("g"), of("f"), of("g")], ["1\n", "2\n", "1\n"]);
    world.run(["workspace", "rename", "f", "renamed"]).ok();
    world.run(["workspace", "delete", "g"]).ok();
    world.run(["fork", "h"]).ok();
    assert_eq!([of("h"), of("renamed"), of("main")], ["1\n", "2\n", "0\n"]);
    // a run in a run has the same, whatever else it has
    let nested = format!("{} exec --clear-env sh -c 'echo $VRIFT_INDEX'", env!("CARGO_BIN_EXE_vrift"));
    assert_eq!(world.run(["exec", "-w", "h", "sh", "-c", &nested]).ok(), "1\n");
    world.run(["verify"]).ok();
}

/// What is below a project's `output/`.
fn spools(world: &World) -> usize {
    std::fs::read_dir(world.project_dir().join("output")).map_or(0, |entries| entries.flatten().count())
}

#[test]
fn what_a_run_prints_is_shown_and_kept_in_order() {
    needs_sessions!();
    let world = World::new();
    assert!(world.run(["runs", "--log"]).fails(1).contains("there is no store"));
    let script = "echo out; echo err >&2; printf 'no end\\377'; exit 3";
    let ran = world.run(["exec", "--log", "sh", "-c", script]);
    assert_eq!(ran.code(), 3);
    assert_eq!((&ran.0.stdout[..], ran.stderr().contains("err\n")), (&b"out\nno end\xff"[..], true));
    let kept = world.run(["runs", "--log"]).0.stdout;
    // two pipes, read as they fill
    assert_eq!(kept.len(), b"out\nno end\xfferr\n".len());
    let all = json(world.run(["runs", "--json"]));
    assert_eq!((&all["finished"][0]["output"], &all["finished"][0]["status"]), (&15.into(), &3.into()));
    // one file for both: the very order, to the byte
    let both = world.path().join("both");
    let vrift = env!("CARGO_BIN_EXE_vrift");
    let script = "i=0; while [ $i -lt 300 ]; do echo o$i; echo e$i >&2; i=$((i + 1)); done";
    let line = format!("{vrift} -q exec --log sh -c '{script}' > '{}' 2>&1", both.display());
    assert!(world.command("sh").args(["-c", &line]).status().unwrap().success());
    let shown = std::fs::read_to_string(&both).unwrap();
    assert_eq!(shown.lines().take(4).collect::<Vec<_>>(), ["o0", "e0", "o1", "e1"]);
    assert_eq!(world.run(["runs", "--log"]).ok(), shown);
    // without --log nothing is; each is asked for by its number
    world.sh("echo unseen").ok();
    let ids = |world: &World| -> Vec<i64> {
        let all = json(world.run(["runs", "--json"]));
        all["finished"].as_array().unwrap().iter().map(|run| run["run"].as_i64().unwrap()).collect()
    };
    let ids = ids(&world);
    assert!(world.run(["runs", "--log", &ids[0].to_string()]).fails(1).contains("is not kept"));
    assert_eq!(world.run(["runs", "--log", &format!("@{}", ids[1])]).ok(), shown);
    assert_eq!(world.run(["runs", "--log", &ids[2].to_string()]).0.stdout, kept);
    assert!(world.run(["runs", "--log", "99999999"]).fails(1).contains("no run"));
    world.run(["runs", "--log", "x"]).fails(2);
    world.run(["exec", "--log", "no-such-program"]).fails(127);
    assert!(
        world
            .run(["exec", "sh", "-c", &format!("{vrift} exec --log true")])
            .fails(125)
            .contains("inside a run")
    );
    assert_eq!(spools(&world), 0);
    // gc and verify know of it
    world.run(["gc"]).ok();
    world.run(["verify", "--deep"]).ok();
    assert_eq!(world.run(["runs", "--log", &ids[1].to_string()]).ok(), shown);
    let object = vrift::cas::Digest::of(shown.as_bytes()).object_path();
    std::fs::remove_file(world.store.join("objects").join(object)).unwrap();
    let found = world.run(["verify"]);
    assert!(found.code() == 1 && found.stdout().contains("what runs printed"), "{}", found.stdout());
    assert!(world.run(["runs", "--log", &ids[1].to_string()]).fails(1).contains("missing"));
}

#[test]
fn long_output_is_kept_in_part_and_passed_on_whole() {
    needs_sessions!();
    let world = World::new();
    let script = "echo first; head -c 30000000 /dev/zero | tr '\\0' x; echo; echo last";
    let ran = world.run(["exec", "--log", "sh", "-c", script]);
    assert_eq!(ran.0.stdout.len(), 30_000_000 + 12);
    let kept = world.run(["runs", "--log"]).ok();
    assert!(kept.starts_with("first\nxxx") && kept.ends_with("xxx\nlast\n"));
    let said = format!("\n[{} bytes left out]\n", 30_000_012 - (16 << 20));
    assert!(kept.contains(&said) && kept.len() == (16 << 20) + said.len());
    // who reads no more ends the command, as a pipe does
    let line = format!("{} -q exec --log yes | head -n 2", env!("CARGO_BIN_EXE_vrift"));
    let ended = Ran(world.command("sh").args(["-c", &line]).output().unwrap());
    assert_eq!(ended.ok(), "y\ny\n");
    assert!(world.run(["runs", "--log"]).ok().starts_with("y\ny\n"));
}

#[test]
fn what_a_killed_run_had_printed_is_kept() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let mut command = world.vrift();
    command.args(["exec", "--log", "sh", "-c", "echo one; echo two >&2; sleep 100"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut out).unwrap();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("one\n", "two\n"));
    let live = world.run(["runs", "--log", &child.id().to_string()]).ok();
    assert!(live.contains("one\n") && live.contains("two\n"), "{live}");
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    let kept = loop {
        let kept = world.run(["runs", "--log"]);
        if kept.code() == 0 {
            break kept.ok();
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{}", kept.stderr());
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(kept, live);
    let all = json(world.run(["runs", "--json"]));
    assert_eq!((&all["finished"][0]["status"], &all["finished"][0]["output"]), (&137.into(), &8.into()));
    assert_eq!(all["finished"][0]["command"][2], "echo one; echo two >&2; sleep 100");
    assert_eq!(spools(&world), 0);
    assert_eq!(json(world.run(["runs", "--json"]))["finished"].as_array().unwrap().len(), 2, "once");
    world.run(["verify", "--deep"]).ok();
}

/// The command's end is the end of what is kept; what it left prints on.
#[test]
fn what_a_command_leaves_in_the_background_is_shown() {
    needs_sessions!();
    let world = World::new();
    let ran = world.run(["exec", "--log", "--wait", "sh", "-c", "(sleep 0.5; echo late) & echo now"]);
    assert_eq!(ran.ok(), "now\nlate\n");
    assert_eq!(world.run(["runs", "--log"]).ok(), "now\n");
    assert_eq!(spools(&world), 0);
    // one that prints without end keeps nobody waiting
    let began = Instant::now();
    let mut endless = world.vrift();
    endless.args(["exec", "--log", "sh", "-c", "yes & sleep 0.2"]).stdout(Stdio::null());
    assert!(endless.status().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(world.run(["runs", "--log"]).ok().starts_with("y\ny\n"));
}
