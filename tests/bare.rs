//! `--or-bare`: where no run can be set up, the command runs in the directory itself, and
//! that is said; never otherwise.

#[path = "support/refuse.rs"]
mod refuse;
mod support;

use std::process::Command;

use support::{Ran, World};

/// vrift in a container that refuses namespaces and mounts.
fn refused(world: &World) -> Command {
    let mut command = world.vrift();
    refuse::without(&mut command, &refuse::docker());
    // root without CAP_SYS_ADMIN in the container meets the same answers
    command
}

#[test]
fn where_no_run_can_be_set_up_it_runs_bare_and_says_so() {
    let world = World::new();
    world.write("a", "x\n");
    let plain = Ran(refused(&world).args(["exec", "--", "touch", "b"]).output().unwrap());
    plain.fails(125);
    assert!(!world.project.join("b").exists(), "it ran bare unasked");
    let script = "cat a; echo y > b; echo -${VRIFT_WORKSPACE-none}; exit 7";
    let bare = Ran(refused(&world).args(["exec", "--or-bare", "--", "sh", "-c", script]).output().unwrap());
    assert!(bare.stderr().contains("warning: running bare"), "{}", bare.stderr());
    assert_eq!((bare.code(), bare.stdout().as_str()), (7, "x\n-none\n"));
    assert_eq!(world.read("b"), "y\n");
    let missing = Ran(refused(&world).args(["exec", "--or-bare", "no-such-command"]).output().unwrap());
    assert_eq!(missing.code(), 127);
    let killed =
        Ran(refused(&world).args(["exec", "--or-bare", "--", "sh", "-c", "kill -9 $$"]).output().unwrap());
    assert_eq!(killed.code(), 137);
}

#[test]
fn its_events_are_told() {
    let world = World::new();
    let events = world.path().join("events");
    let script = format!(
        "exec {} exec --or-bare --status-fd 3 true 3> {}",
        env!("CARGO_BIN_EXE_vrift"),
        events.display()
    );
    let mut command = world.command("sh");
    command.args(["-c", &script]);
    refuse::without(&mut command, &refuse::docker());
    Ran(command.output().unwrap()).ok();
    let text = std::fs::read_to_string(events).unwrap();
    let names: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_string()
        })
        .collect();
    assert_eq!(names, ["warning", "bare", "started", "exit"]);
}

#[test]
fn where_runs_work_and_for_other_errors_it_changes_nothing() {
    needs_sessions!();
    let world = World::new();
    let ran = world.run(["exec", "--or-bare", "--", "sh", "-c", "echo y > b"]);
    assert!(!ran.stderr().contains("bare"), "{}", ran.stderr());
    assert!(!world.project.join("b").exists());
    // what a bare run could not keep is refused before anything
    for option in ["--discard", "--discard-on-failure", "--wait"] {
        world.run(["exec", "--or-bare", option, "true"]).fails(2);
    }
    // another workspace is not the directory, and a refusal of the project is no refusal of runs
    world.run(["exec", "--or-bare", "-w", "other", "--", "touch", "c"]).fails(125);
    world.run(["-C", "/", "exec", "--or-bare", "--", "touch", "/vrift-test-c"]).fails(125);
    assert!(!world.project.join("c").exists());
}

#[test]
fn what_confines_a_run_is_never_left_out() {
    let world = World::new();
    let attempt = |options: &[&str]| {
        let mut command = refused(&world);
        Ran(command.args(["exec", "--or-bare"]).args(options).args(["--", "touch", "c"]).output().unwrap())
    };
    let options: [&[&str]; 11] = [
        &["--confine", "home"],
        &["--confine", "host"],
        &["--net", "none"],
        &["--net", "own"],
        &["--private-tmp"],
        &["--bind", "/usr:/mnt:ro"],
        &["--limit", "pids=50"],
        &["--root"],
        &["--setenv", "A=b"],
        &["--clear-env"],
        &["--confine", "home", "--cache", "cargo"],
    ];
    for options in options {
        let ran = attempt(options);
        assert!(!ran.stderr().contains("running bare"), "{options:?}: {}", ran.stderr());
        assert!(ran.fails(125).contains("error:"), "{options:?}");
        assert!(!world.project.join("c").exists(), "{options:?}: it ran");
    }
    // the same when a file asks for it
    world.write("vrift.toml", "[profile.ci]\nconfine = \"home\"\n");
    attempt(&["--profile", "ci"]).fails(125);
    world.write("vrift.toml", "[run]\nnet = \"none\"\n");
    attempt(&[]).fails(125);
    assert!(!world.project.join("c").exists());
    world.write("vrift.toml", "");
    attempt(&[]).ok();
    assert!(world.project.join("c").exists());
}
