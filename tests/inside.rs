//! Inside a run: what works there, what is refused, and that asking gives nobody more.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Ran, World};
use vrift::os::parcel;
use vrift::session::inside::Inside;

const VRIFT: &str = env!("CARGO_BIN_EXE_vrift");

/// A run that reads its script from a pipe, line by line.
struct Shell {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn start(world: &World) -> Self {
        Self::of(world.vrift().args(["exec", "--no-sync", "--", "sh"]))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut shell = Self { child, answers };
        assert_eq!(shell.answer("echo ready"), "ready\n");
        shell
    }

    fn say(&mut self, script: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{script}").unwrap();
    }

    /// What a line of script prints.
    fn answer(&mut self, script: &str) -> String {
        self.say(&format!("{{ {script}; }} 2>&1; echo ==done"));
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "it ended after: {text}");
            if line == "==done\n" {
                return text;
            }
            text += &line;
        }
    }

    fn leave(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes that answer requests about this world's project.
fn helpers(world: &World) -> usize {
    let project = world.project.to_str().unwrap();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.filter(|line| line.contains("\0answer\0") && line.contains(project)).count()
}

#[test]
fn status_diff_log_and_commit_tell_of_the_run_itself() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "one\n");
    world.exec(["true"]).ok();
    let mut shell = Shell::start(&world);
    shell.say("echo two >> a; mkdir d; echo new > d/n");
    let status = shell.answer(&format!("{VRIFT} status"));
    assert!(status.contains("M a\n") && status.contains("A d/\n"), "{status}");
    assert_eq!(world.run(["status"]).ok().lines().filter(|line| line.starts_with("M ")).count(), 0);
    let diff = shell.answer(&format!("{VRIFT} diff"));
    assert!(diff.contains("+two") && diff.contains("+new"), "{diff}");
    let below = shell.answer(&format!("cd d; {VRIFT} diff --name-status -- n; cd .."));
    assert_eq!(below, "A d/n\n");
    assert_eq!(shell.answer(&format!("{VRIFT} diff main @live --name-status -- a")), "M a\n");
    assert_eq!(world.run(["diff", "main", "@live", "--name-status", "--", "a"]).ok(), "M a\n");
    shell.answer(&format!("{VRIFT} commit -m sealed v1"));
    assert!(shell.answer(&format!("{VRIFT} log")).contains("sealed"));
    assert!(world.run(["log"]).ok().contains("sealed"));
    shell.say("echo three >> a");
    assert!(shell.answer(&format!("{VRIFT} diff v1")).contains("+three"));
    assert_eq!(shell.answer(&format!("{VRIFT} diff --exit-code > /dev/null; echo $?")), "1\n");
    let json = shell.answer(&format!("{VRIFT} status --json"));
    assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["live"].is_string());
    shell.leave();
    assert_eq!(world.exec(["cat", "a"]).ok(), "one\ntwo\nthree\n");
    let none = world.run(["diff", "@live"]).fails(1);
    assert!(none.contains("no live run"), "{none}");
}

#[test]
fn everything_else_and_other_workspaces_are_for_who_is_outside() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let verbs = [
        "sync",
        "runs",
        "stop 1",
        "recover",
        "restore main",
        "undo",
        "project list",
        "config",
        "allow",
        "doctor",
        "snapshot list",
        "snapshot delete x",
        "status -w other",
        "log -w other",
        "commit -w other",
        "diff -w other",
        "status --config paths.own=x",
    ];
    for verb in verbs {
        let refused = world.sh(&format!("{VRIFT} {verb}")).fails(1);
        assert!(refused.contains("leave the run first"), "{verb}: {refused}");
    }
    assert!(world.sh(&format!("{VRIFT} completions bash | grep -c _vrift")).code() == 0);
    assert_eq!(world.sh(&format!("{VRIFT} status -w main >/dev/null; echo $?")).ok(), "0\n");
}

#[test]
fn any_launcher_answers_when_others_are_gone_or_stopped() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    let mut opener = Shell::of(world.vrift().args(["exec", "--", "sh"]));
    let mut joiner = Shell::start(&world);
    let ask = format!("{VRIFT} status --json");
    let live = |text: &str| text.contains("\"live\"");
    // a stopped one is passed over
    let stopped = nix::unistd::Pid::from_raw(opener.child.id() as i32);
    nix::sys::signal::kill(stopped, nix::sys::signal::Signal::SIGSTOP).unwrap();
    for _ in 0..10 {
        assert!(live(&joiner.answer(&ask)));
        assert!(live(&opener.answer(&ask)));
    }
    nix::sys::signal::kill(stopped, nix::sys::signal::Signal::SIGCONT).unwrap();
    // the one that opened the session leaves
    opener.leave();
    assert!(live(&joiner.answer(&ask)));
    joiner.leave();
    assert_eq!(helpers(&world), 0);
}

#[test]
fn many_may_ask_at_once() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    let script = format!(
        "echo y > b; for i in $(seq 40); do {VRIFT} diff --name-status > out.$i & done; wait; cat out.* | grep -c '^A b$'"
    );
    assert_eq!(world.sh(&script).ok(), "40\n");
}

#[test]
fn who_waits_for_the_background_answers_too() {
    needs_sessions!();
    let world = World::new();
    let script = format!("(sleep 0.3; {VRIFT} status > answer; echo $? >> answer) & true");
    Ran(world.vrift().args(["exec", "--wait", "--", "sh", "-c", &script]).output().unwrap()).ok();
    let answer = world.exec(["cat", "answer"]).ok();
    assert!(answer.contains("workspace main") && answer.ends_with("0\n"), "{answer}");
}

#[test]
fn an_answer_ends_with_who_asked() {
    needs_sessions!();
    let world = World::new();
    let mut shell = Shell::of(world.vrift().args(["exec", "--", "sh"]));
    shell.say("seq 300000 > large; mkfifo full");
    // nobody reads: the answer stands in a full pipe
    shell.say(&format!("sleep 300 < full & {VRIFT} diff > full & echo $! > asker"));
    until("nobody answers", || helpers(&world) == 1);
    shell.answer("kill -9 $(cat asker)");
    until("the answer goes on", || helpers(&world) == 0);
    shell.answer("kill %1");
    shell.leave();
}

/// Runs in a process inside (below), as somebody hostile would.
#[test]
fn hostile_client() {
    let Some(store) = std::env::var_os("VRIFT_HOSTILE") else { return };
    let connect = || Inside::connect(Path::new(&store)).unwrap();
    let (out, err) = (std::io::stdout(), std::io::stderr());
    let ask = |text: &str, fds: &[std::os::fd::BorrowedFd<'_>]| {
        let socket = connect();
        parcel::send(&socket, text.as_bytes(), fds).unwrap();
        let mut answer = Vec::new();
        let _ = std::fs::File::from(socket).read_to_end(&mut answer);
        answer
    };
    let both = [out.as_fd(), err.as_fd()];
    let request =
        |asked: &str| format!("{{\"asked\":{asked},\"color\":\"Auto\",\"quiet\":false,\"verbose\":false}}");
    let status = |workspace: &str| {
        request(&format!(
            "{{\"Status\":{{\"workspace\":\"{workspace}\",\"paths\":false,\"no_sync\":false,\"json\":{{\"json\":false}}}}}}"
        ))
    };
    // the same words, asked rightly
    assert_eq!(ask(&status("main"), &both), b"!\0");
    // nobody else's workspace, no other verb, no words that are none
    assert_eq!(ask(&status("other"), &both), b"!\x01");
    for text in
        ["", "{", "null", &request("{\"Undo\":{\"workspace\":\"main\"}}"), &request("{\"Exec\":[\"id\"]}")]
    {
        assert_eq!(ask(text, &both), b"", "{text}");
    }
    // streams that are missing, or mean more than their bytes
    assert_eq!(ask(&status("main"), &[]), b"");
    assert_eq!(ask(&status("main"), &[out.as_fd()]), b"");
    let own = std::fs::File::options().write(true).open("/proc/self/comm").unwrap();
    assert_eq!(ask(&status("main"), &[own.as_fd(), err.as_fd()]), b"");
    // nothing at all, and too much
    drop(connect());
    let socket = connect();
    rustix::io::write(&socket, &u32::MAX.to_ne_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = std::fs::File::from(socket).read_to_end(&mut answer);
    assert_eq!(answer, b"");
    // many that say nothing do not keep others from asking for ever
    let idle: Vec<OwnedFd> = (0..20).map(|_| connect()).collect();
    drop(idle);
    assert_eq!(ask(&status("main"), &both), b"!\0");
}

#[test]
fn a_hostile_asker_learns_no_more() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    let test = std::env::current_exe().unwrap();
    let mut command = world.vrift();
    command.args(["exec", "--"]).arg(test).args(["--exact", "hostile_client", "--nocapture"]);
    let ran = Ran(command.env("VRIFT_HOSTILE", &world.store).output().unwrap());
    assert!(ran.stderr().contains("its own workspace only"), "{}", ran.stderr());
    ran.ok();
    until("helpers are left", || helpers(&world) == 0);
}

#[test]
fn only_states_of_the_runs_own_workspace_can_be_compared() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    world.exec(["true"]).ok();
    // a state that the workspace never had: another one's
    let manifest = vrift::manifest::Manifest::open(&world.project_dir()).unwrap();
    let other = manifest.create_workspace("other").unwrap();
    let root = vrift::cas::Digest::of(b"secret");
    manifest
        .transaction(|manifest| {
            manifest.move_head(other.id, None, &root, vrift::manifest::history::Cause::Sync)
        })
        .unwrap();
    drop(manifest);
    for text in ["other", &root.hex()[..12]] {
        let refused = world.sh(&format!("{VRIFT} diff {text}")).fails(1);
        assert!(refused.contains("is no state of workspace `main`"), "{refused}");
    }
    for text in ["main", "host", "@1", "main~0"] {
        world.sh(&format!("{VRIFT} diff {text}")).ok();
    }
}
