//! Where a pid namespace is refused: visibly without, and as strict about who is last.

#[path = "support/refuse.rs"]
mod refuse;
mod support;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Ran, World};

const VRIFT: &str = env!("CARGO_BIN_EXE_vrift");

/// vrift under a filter that refuses clone3 as Docker's does, and a pid namespace to clone.
fn vrift(world: &World) -> Command {
    let mut command = world.vrift();
    refuse::without(
        &mut command,
        &[
            refuse::refuse(libc::SYS_clone3, libc::ENOSYS),
            refuse::refuse_flags(libc::SYS_clone, libc::EPERM, 0, libc::CLONE_NEWPID),
            refuse::refuse_flags(libc::SYS_unshare, libc::EPERM, 0, libc::CLONE_NEWPID),
        ],
    );
    command
}

fn sh(world: &World, script: &str) -> Ran {
    Ran(vrift(world).args(["exec", "--", "sh", "-c", script]).output().unwrap())
}

fn start(world: &World, script: &str) -> Child {
    let mut command = vrift(world);
    command.args(["exec", "--", "sh", "-c", script]).stderr(Stdio::piped()).spawn().unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The first numbers of the lines that a script wrote into a file outside of the project.
fn pids(file: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Init of the session in which this process is: the first one named so that has its user namespace.
fn init_of(pid: i32) -> Option<i32> {
    let users = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let own = users(&pid.to_string())?;
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let comm = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        (comm == "vrift-init\n" && users(&name)? == own).then(|| name.parse().ok())?
    })
}

fn kill(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// A sleeper outside with the same user: nobody may end it.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn notes(world: &World) -> PathBuf {
    world.path().join("notes")
}

#[test]
fn it_is_said_and_all_else_is_as_ever() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    let ran = sh(&world, "echo y > b; echo $$; exit 7");
    assert!(ran.stderr().contains("no pid namespace"), "{}", ran.stderr());
    assert_eq!(ran.code(), 7);
    // numbers are those of outside
    let max: i32 = ran.stdout().trim().parse().unwrap();
    assert!(max > 10, "{max}");
    assert_eq!(sh(&world, "cat a b").stdout(), "xy\n");
    assert!(!world.project.join("b").exists());
    let script = format!("echo z > c; {VRIFT} status; {VRIFT} exec cat b");
    let inside = sh(&world, &script);
    assert!(inside.stdout().contains("A c\n") && inside.stdout().ends_with("y\n"), "{}", inside.stdout());
}

#[test]
fn the_last_to_leave_ends_what_is_left_and_nobody_else() {
    needs_sessions!();
    let world = World::new();
    let mut bystander = Bystander::new();
    let notes = notes(&world);
    // one that goes at SIGTERM, one that does not, one in a session of its own, one in
    // namespaces of its own
    let script = format!(
        "sleep 1000 & echo $! >> {0}; \
         setsid sh -c 'trap \"\" TERM; echo $$ >> {0}; while :; do sleep 1; done' & \
         setsid unshare -Ur -m sh -c 'echo $$ >> {0}; exec sleep 1000' & \
         while [ $(wc -l < {0}) -lt 3 ]; do sleep 0.05; done",
        notes.display()
    );
    let ran = sh(&world, &script);
    assert!(ran.stderr().contains("ended what was left running: "), "{}", ran.stderr());
    let named = ran.stderr();
    assert!(named.contains("sleep") && named.contains("sh"), "{named}");
    let left = pids(&notes);
    assert_eq!(left.len(), 3, "{named}");
    assert!(!left.iter().any(|&pid| lives(pid)), "{left:?}");
    assert!(bystander.lives());
    assert_eq!(ran.code(), 0);
}

#[test]
fn what_one_run_left_goes_on_until_the_last_has_left() {
    needs_sessions!();
    let world = World::new();
    let (notes, go) = (notes(&world), world.path().join("go"));
    let (up, quiet) = (notes.display(), "sleep 1000 > /dev/null 2>&1 &");
    let mut opener =
        start(&world, &format!("echo 0 > {up}; while [ ! -e {} ]; do sleep 0.05; done", go.display()));
    until("it does not start", || pids(&notes).len() == 1);
    // a joiner leaves something, and a second one stays when the opener has gone
    sh(&world, &format!("{quiet} echo $! >> {up}")).ok();
    let left = pids(&notes)[1];
    let gone = world.path().join("gone");
    let script = format!("echo 0 >> {up}; while [ ! -e {} ]; do sleep 0.05; done", gone.display());
    let mut last = start(&world, &script);
    until("it does not join", || pids(&notes).len() == 3);
    std::fs::write(&go, "").unwrap();
    opener.wait().unwrap();
    assert!(lives(left), "it was ended while a run lived");
    std::fs::write(&gone, "").unwrap();
    let said = Ran(last_words(&mut last));
    assert!(said.stderr().contains("ended what was left running: sleep"), "{}", said.stderr());
    assert!(!lives(left));
}

fn last_words(child: &mut Child) -> std::process::Output {
    use std::io::Read;
    let mut stderr = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    std::process::Output { status: child.wait().unwrap(), stdout: Vec::new(), stderr }
}

#[test]
fn a_killed_launcher_takes_its_command_along() {
    needs_sessions!();
    let world = World::new();
    let notes = notes(&world);
    let mut child =
        start(&world, &format!("echo half > half; echo $$ > {}; exec sleep 1000", notes.display()));
    until("it does not start", || pids(&notes).len() == 1);
    let command = pids(&notes)[0];
    let init = init_of(command).expect("no init");
    child.kill().unwrap();
    child.wait().unwrap();
    until("the command goes on", || !lives(command));
    until("init goes on", || !lives(init));
    assert_eq!(sh(&world, "ls").stdout(), "");
    assert!(world.run(["recover", "--keep"]).code() == 0);
    assert_eq!(sh(&world, "ls").stdout(), "half\n");
}

#[test]
fn an_init_that_is_killed_leaves_nobody() {
    needs_sessions!();
    let world = World::new();
    let mut bystander = Bystander::new();
    let notes = notes(&world);
    let script =
        format!("echo half > half; sleep 1000 & echo $! > {0}; echo $$ >> {0}; sleep 3", notes.display());
    let child = start(&world, &script);
    until("it does not start", || pids(&notes).len() == 2);
    kill(init_of(pids(&notes)[1]).expect("no init"), nix::sys::signal::Signal::SIGKILL);
    let ran = Ran(child.wait_with_output().unwrap());
    assert!(ran.stderr().contains("its init was killed"), "{}", ran.stderr());
    assert!(!pids(&notes).into_iter().any(lives), "its processes go on");
    assert!(bystander.lives());
    // and the next one begins where the last take-in was
    assert_eq!(sh(&world, "ls").stdout(), "");
    world.run(["recover", "--keep"]).ok();
    assert_eq!(sh(&world, "cat half").stdout(), "half\n");
}

#[test]
fn when_launcher_and_init_are_killed_the_next_command_ends_the_rest() {
    needs_sessions!();
    for next in [&["exec", "--", "true"][..], &["recover", "--drop"], &["undo"], &["project", "forget", "."]]
    {
        let world = World::new();
        world.exec(["sh", "-c", "echo 1 > first"]).ok();
        world.exec(["sh", "-c", "echo 2 > second"]).ok();
        let mut bystander = Bystander::new();
        let notes = notes(&world);
        let script = format!("echo half > half; echo $$ > {}; exec sleep 1000", notes.display());
        let mut command = vrift(&world);
        command.args(["exec", "--", "sh", "-c", &script]).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().unwrap();
        until("it does not start", || pids(&notes).len() == 1);
        let command = pids(&notes)[0];
        let init = init_of(command).expect("no init");
        // init first stands still, so that it cannot end the command when its launcher dies
        kill(init, nix::sys::signal::Signal::SIGSTOP);
        child.kill().unwrap();
        child.wait().unwrap();
        kill(init, nix::sys::signal::Signal::SIGKILL);
        until("init goes on", || !lives(init));
        assert!(lives(command));
        let ran = world.run(next);
        assert!(!lives(command), "{next:?} went on beside it: {}", ran.stderr());
        assert!(bystander.lives());
        assert_eq!(ran.code(), 0, "{next:?}: {}", ran.stderr());
    }
}

/// A user namespace in which no pid namespace may be made, with the caller's ids.
fn in_a_namespace_without(world: &World, script: &str) -> Ran {
    let mut command = world.command("unshare");
    command.args(["--user", "--map-current-user", "--keep-caps", "sh", "-c"]);
    Ran(command
        .arg(format!("echo 0 > /proc/sys/user/max_pid_namespaces || exit 99; {script}"))
        .output()
        .unwrap())
}

#[test]
fn a_limit_of_none_is_said_with_its_name() {
    needs_sessions!();
    let world = World::new();
    let ran =
        in_a_namespace_without(&world, &format!("{VRIFT} exec -- sh -c 'sleep 1000 & echo x > y; cat y'"));
    if ran.code() == 99 || ran.stderr().contains("unshare:") {
        eprintln!("skipped: {}", ran.stderr());
        return;
    }
    assert!(ran.stderr().contains("user.max_pid_namespaces` is 0"), "{}", ran.stderr());
    assert!(ran.stderr().contains("ended what was left running: sleep"), "{}", ran.stderr());
    assert_eq!(ran.ok(), "x\n");
}
