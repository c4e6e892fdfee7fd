//! Signals to a launcher, and what of its own surroundings the command gets.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Ran, World};

/// Runs a bash script outside, with the binary as `$vrift`.
fn outside(world: &World, script: &str) -> Ran {
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(&world.project).env("vrift", env!("CARGO_BIN_EXE_vrift"));
    for (name, value) in world.vrift().get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    Ran(command.output().unwrap())
}

/// A run that has said `ready`.
fn start(world: &World, script: &str) -> Child {
    let mut command = world.vrift();
    command.args(["exec", "--", "sh", "-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn terminating_a_launcher_ends_its_command_and_takes_in() {
    needs_sessions!();
    use rustix::process::Signal;
    for (which, status) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let world = World::new();
        let mut child = start(&world, "echo kept > kept; echo ready; exec sleep 100");
        signal(&child, which);
        // who asks twice does not cut the taking in short
        std::thread::sleep(Duration::from_millis(5));
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), which);
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status), "{said}");
        assert!(said.contains("1 file written"), "{said}");
        let ran = world.sh("cat kept");
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("kept\n", ""));
    }
}

#[test]
fn a_taking_in_that_was_killed_is_resumed_by_the_next_command() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let script = "i=0; while [ $i -lt 3000 ]; do echo $i > f$i; i=$((i+1)); done; echo ready; exec sleep 100";
    let mut child = start(&world, script);
    let staging = world.staging().pop().unwrap();
    signal(&child, rustix::process::Signal::TERM);
    let began = Instant::now();
    while staging.exists() && !staging.join("closed").exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "no end");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = world.sh("ls | wc -l; cat f2999");
    assert_eq!(ran.stdout(), "3000\n2999\n");
    assert!(!ran.stderr().contains("recover"), "{}", ran.stderr());
    assert!(world.staging().is_empty());
}

#[test]
fn a_reader_that_goes_early_is_no_noise() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let ran = outside(&world, "$vrift exec yes | head -1; echo ${PIPESTATUS[0]}");
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("y\n141\n", ""));
    let ran =
        outside(&world, "(trap '' PIPE; $vrift exec yes 2>&1 >&3 | grep -c 'Broken pipe') 3>&1 | head -2");
    assert!(ran.stdout().starts_with('y'), "{}", ran.stdout());
    // standard error gone as well: what was written is kept nevertheless
    outside(&world, "$vrift exec -- sh -c 'echo x > x' 2>&1 | true");
    assert_eq!(world.sh("cat x").ok(), "x\n");
}

#[test]
fn closed_descriptors_reach_the_command_closed() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    for (fd, closing) in [(0, "<&-"), (1, ">&-"), (2, "2>&-")] {
        let probe = format!("$vrift exec -- sh -c 'test -e /proc/$$/fd/{fd}; exit $?'");
        assert_eq!(outside(&world, &probe).code(), 0, "{fd}");
        assert_eq!(outside(&world, &format!("{probe} {closing}")).code(), 1, "{fd}");
    }
    assert_ne!(outside(&world, "$vrift exec echo x >&- 2>/dev/null").code(), 0);
}

#[test]
fn signal_mask_and_dispositions_are_the_callers() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let show = "grep -E 'Sig(Ign|Blk)' /proc/self/status";
    let same = |inside: Ran, bare: Ran, what: &str| {
        let (inside, bare) = (sets(&inside.ok()), sets(&bare.ok()));
        assert_eq!(inside, bare, "after {what:?}");
        bare
    };
    for setting in ["", "trap '' PIPE;", "trap '' HUP INT;", "trap '' CHLD USR1;", "trap '' TSTP TTOU;"] {
        let inside = outside(&world, &format!("{setting} $vrift exec -- {show}"));
        let bare = same(inside, outside(&world, &format!("{setting} {show}")), setting);
        assert_eq!(bare[1] & 1 << (libc::SIGPIPE - 1) != 0, setting.contains("PIPE"));
    }
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no python3");
        return;
    }
    let block = "python3 -c 'import os, signal, sys\n\
                 signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])\n\
                 os.execvp(sys.argv[1], sys.argv[1:])'";
    let inside = outside(&world, &format!("{block} $vrift exec -- {show}"));
    let bare = same(inside, outside(&world, &format!("{block} {show}")), "blocking");
    let blocked = 1 << (libc::SIGUSR2 - 1) | 1 << (libc::SIGTERM - 1);
    assert_eq!(bare[0], blocked);
}

/// The sets of `/proc/PID/status`, without signals 32 and 33: those are the C library's
/// own, which no program sees or sets.
fn sets(status: &str) -> Vec<u64> {
    let sets = status.lines().filter_map(|line| line.split_once(":\t"));
    sets.map(|(_, set)| u64::from_str_radix(set, 16).unwrap() & !(3 << 31)).collect()
}

#[test]
fn nohup_keeps_its_promise() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let script = "nohup $vrift exec -- sh -c 'echo up > up; while ! test -e stop; do sleep 0.05; done; echo end > end' \
                  > /dev/null 2>&1 & pid=$!; sleep 0.7; kill -HUP $pid; sleep 0.2; kill -0 $pid && echo lives; \
                  $vrift exec touch stop; wait $pid; echo $?";
    assert_eq!(outside(&world, script).stdout(), "lives\n0\n");
    assert_eq!(world.sh("cat up end").ok(), "up\nend\n");
}

#[test]
fn pwd_is_kept_where_it_names_the_directory_and_put_right_where_not() {
    needs_sessions!();
    let world = World::new();
    world.write("sub/file", "x");
    let link = world.path().join("link");
    std::os::unix::fs::symlink(&world.project, &link).unwrap();
    let show = |pwd: &std::path::Path, args: &[&str]| {
        let mut command = world.vrift();
        command.current_dir(&link).env("PWD", pwd).args(args);
        Ran(command.args(["exec", "printenv", "PWD"]).output().unwrap()).ok()
    };
    assert_eq!(show(&link, &[]), format!("{}\n", link.display()));
    let real = format!("{}\n", world.project.display());
    assert_eq!(show(std::path::Path::new("/nowhere"), &[]), real);
    assert_eq!(show(&link, &["-C", "sub"]), format!("{}\n", link.join("sub").display()));
}
