//! What killed sessions leave: named, shown, kept or dropped, and gone after thirty days.

mod support;

#[allow(dead_code)]
#[path = "support/terminal.rs"]
mod terminal;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use support::World;
use terminal::Terminal;

fn start(world: &World, args: &[&str], script: &str) -> Child {
    support::start(world.vrift(), args, script)
}

/// The same, with the pid of the session's init.
fn opened(world: &World, script: &str) -> (Child, rustix::process::Pid) {
    let status = world.path().join("status");
    let script =
        format!("exec \"$0\" exec --status-fd 3 -- sh -c '{script}; echo ready; cat > /dev/null' 3> \"$1\"");
    let mut command = world.command("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_vrift")]).arg(&status);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let told = std::fs::read_to_string(&status).unwrap();
    let told: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    (child, rustix::process::Pid::from_raw(told["init"].as_i64().unwrap() as i32).unwrap())
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What a killed run leaves, once its session has ended.
fn orphan(world: &World, args: &[&str], script: &str) -> String {
    let before = if world.store.exists() { listed(world) } else { Vec::new() };
    kill(start(world, args, script));
    let began = Instant::now();
    loop {
        if let Some(new) = listed(world).into_iter().find(|session| !before.contains(session)) {
            return new;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the session goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The sessions that `vrift recover` lists.
fn listed(world: &World) -> Vec<String> {
    let text = world.run(["recover", "--json"]).ok();
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    list.as_array().unwrap().iter().map(|one| one["session"].as_str().unwrap().to_string()).collect()
}

fn staging(world: &World, session: &str) -> PathBuf {
    world.project_dir().join("staging").join(session)
}

#[test]
fn a_terminal_is_asked_before_the_next_run() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "before\n");
    let session = orphan(&world, &[], "echo half > half; echo after > a");
    let ask = |answers: &[(&str, &str)]| {
        let mut command = world.vrift();
        command.args(["exec", "--", "sh", "-c", "cat a; ls | grep -c half; echo d''one"]);
        let mut terminal = Terminal::start(&mut command);
        for (answer, then) in answers {
            terminal.expect("later] ");
            terminal.line(answer);
            terminal.expect(then);
        }
        assert!(terminal.wait().success());
    };
    ask(&[("later", "before\r\n0\r\ndone")]);
    // what it would change is shown, and asked again
    ask(&[("what", "keep it"), ("diff", "+half"), ("", "before\r\n0\r\ndone")]);
    assert_eq!(listed(&world), [session]);
    ask(&[("keep", "after\r\n1\r\ndone")]);
    assert_eq!(world.sh("cat a half").ok(), "after\nhalf\n");
    assert!(listed(&world).is_empty());
    let gone = orphan(&world, &[], "echo gone > gone");
    ask(&[("drop", "after\r\n1\r\ndone")]);
    assert!(!staging(&world, &gone).exists());
    // nothing is asked where there is nothing
    ask(&[]);
    assert_eq!(world.sh("ls").ok(), "a\nhalf\n");
    assert!(world.staging().is_empty(), "{:?}", world.staging());
}

#[test]
fn elsewhere_one_line_says_it_and_recover_shows_it() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "before\n");
    let session = orphan(&world, &[], "echo half > half; rm a");
    let said = world.exec(["true"]).stderr();
    assert_eq!(said.lines().filter(|line| line.contains(&session)).count(), 1, "{said}");
    assert!(said.contains("dropped in 29 days") || said.contains("dropped in 30 days"), "{said}");
    let patch = world.run(["recover", &session, "--diff"]).ok();
    assert!(patch.contains("+half") && patch.contains("-before"), "{patch}");
    // listed while another run of the workspace lives, which is none
    let live = start(&world, &[], "echo more > more");
    for verb in ["status", "runs"] {
        let shown = world.run([verb]).ok();
        assert_eq!(shown.matches("vrift recover s").count(), 1, "{verb}: {shown}");
        assert!(shown.contains(&session), "{verb}: {shown}");
    }
    assert_eq!(listed(&world), [session.as_str()]);
    assert!(world.run(["recover", "--keep"]).fails(1).contains("live run"));
    let mut live = live;
    drop(live.stdin.take());
    live.wait().unwrap();
    world.run(["recover", "--keep"]).ok();
    assert_eq!(world.sh("cat half more; ls").ok(), "half\nmore\nhalf\nmore\n");
    assert!(world.run(["recover", &session]).fails(1).contains("left nothing"));
}

#[test]
fn an_orphan_is_dropped_after_thirty_days_and_that_is_said() {
    needs_sessions!();
    let world = World::new();
    let session = orphan(&world, &[], "mkdir d; echo half > d/half; chmod 0 d");
    // noticed by the next command, and kept for thirty days from then
    let noted = staging(&world, &session).join("orphaned");
    assert!(!noted.exists());
    world.exec(["true"]).ok();
    let set = |days: u64| {
        let time = SystemTime::now() - Duration::from_secs(days * 24 * 3600 + 60);
        let file = std::fs::File::options().append(true).open(&noted).unwrap();
        file.set_times(std::fs::FileTimes::new().set_modified(time)).unwrap();
    };
    set(29);
    let said = world.exec(["true"]).stderr();
    assert!(said.contains("dropped in 0 days"), "{said}");
    world.run(["gc"]).ok();
    assert_eq!(listed(&world), [session.as_str()]);
    set(30);
    let said = world.exec(["true"]).stderr();
    assert!(said.contains(&format!("session {session} was dropped")), "{said}");
    assert!(world.staging().is_empty(), "{:?}", world.staging());
    assert!(!world.exec(["true"]).stderr().contains("session"));
    // gc does it where no command comes
    let session = orphan(&world, &[], "echo half > half");
    world.exec(["true"]).ok();
    let noted = staging(&world, &session).join("orphaned");
    let time = SystemTime::now() - Duration::from_secs(31 * 24 * 3600);
    let file = std::fs::File::options().append(true).open(noted).unwrap();
    file.set_times(std::fs::FileTimes::new().set_modified(time)).unwrap();
    world.run(["gc"]).ok();
    assert!(world.staging().is_empty(), "{:?}", world.staging());
}

#[test]
fn what_other_sessions_left_is_not_touched() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "a\n");
    world.exec(["true"]).ok();
    world.run(["fork", "twig"]).ok();
    let one = orphan(&world, &[], "echo one > one");
    let two = orphan(&world, &["-w", "twig"], "echo two > two");
    let three = orphan(&world, &["-w", "twig"], "echo three > three");
    let content =
        |session: &str, name: &str| std::fs::read(staging(&world, session).join("upper").join(name));
    world.run(["recover", &one, "--drop"]).ok();
    assert_eq!(content(&two, "two").unwrap(), b"two\n");
    world.run(["recover", &three, "--keep"]).ok();
    assert_eq!(content(&two, "two").unwrap(), b"two\n");
    world.exec(["true"]).ok();
    world.run(["exec", "-w", "twig", "true"]).ok();
    assert_eq!(listed(&world), [two.as_str()]);
    world.run(["recover", "--keep"]).ok();
    let seen = world.run(["exec", "-w", "twig", "sh", "-c", "cat a two three"]).ok();
    assert_eq!(seen, "a\ntwo\nthree\n");
    assert_eq!(world.sh("ls").ok(), "a\n");
    // of sessions that have ended nothing is left
    assert!(world.staging().is_empty(), "{:?}", world.staging());
}

#[test]
fn launchers_of_one_session_may_be_killed_in_any_order() {
    needs_sessions!();
    for (order, is_last_killed) in [
        ([0, 1, 2], true),
        ([0, 2, 1], true),
        ([1, 0, 2], true),
        ([1, 2, 0], false),
        ([2, 0, 1], false),
        ([2, 1, 0], false),
    ] {
        let world = World::new();
        world.sh("echo before > before").ok();
        let mut runs: Vec<Option<Child>> =
            (0..3).map(|run| Some(start(&world, &[], &format!("echo {run} > r{run}")))).collect();
        for (at, &run) in order.iter().enumerate() {
            let mut child = runs[run].take().unwrap();
            if at < 2 || is_last_killed {
                kill(child);
            } else {
                drop(child.stdin.take());
                assert!(child.wait().unwrap().success());
            }
        }
        let began = Instant::now();
        while is_last_killed && listed(&world).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(20), "{order:?}: the session goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
        if is_last_killed {
            // the head is what it was, and loses nothing
            assert_eq!(world.sh("cat before; ls").ok(), "before\nbefore\n", "{order:?}");
            world.run(["recover", "--keep"]).ok();
        }
        assert_eq!(world.sh("cat before r0 r1 r2").ok(), "before\n0\n1\n2\n", "{order:?}");
        assert!(world.staging().is_empty(), "{order:?}: {:?}", world.staging());
    }
}

#[test]
fn when_init_is_killed_every_run_ends_and_what_was_written_is_kept() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo before > before").ok();
    let (first, init) = opened(&world, "echo 0 > r0");
    let others = (1..3).map(|run| start(&world, &[], &format!("echo {run} > r{run}")));
    let runs: Vec<Child> = std::iter::once(first).chain(others).collect();
    rustix::process::kill_process(init, rustix::process::Signal::KILL).unwrap();
    for mut run in runs {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = run.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "a launcher goes on");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(!status.success());
    }
    assert_eq!(world.sh("cat before; ls").ok(), "before\nbefore\n");
    world.run(["recover", "--keep"]).ok();
    assert_eq!(world.sh("cat before r0 r1 r2").ok(), "before\n0\n1\n2\n");
    assert!(world.staging().is_empty(), "{:?}", world.staging());
}

#[test]
fn who_ends_as_others_are_killed_takes_in() {
    needs_sessions!();
    let world = World::new();
    let (mut first, init) = opened(&world, "echo 0 > r0");
    let second = start(&world, &[], "echo 1 > r1");
    // init hears of both at once, and of the first one first
    rustix::process::kill_process(init, rustix::process::Signal::STOP).unwrap();
    kill(second);
    drop(first.stdin.take());
    std::thread::sleep(Duration::from_millis(500));
    rustix::process::kill_process(init, rustix::process::Signal::CONT).unwrap();
    assert!(first.wait().unwrap().success());
    assert!(world.staging().is_empty(), "{:?}", world.staging());
    assert_eq!(world.sh("cat r0 r1").ok(), "0\n1\n");
}
