//! Sessions whose launcher is a process of its own (open descriptors, a launcher that is
//! killed): this test binary again, [`helper`] with `VRIFT_NS_HELPER` set.

use super::*;

fn launcher(what: &str, dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "ns::tests::launchers::helper", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("VRIFT_NS_HELPER", what).env("VRIFT_NS_DIR", dir).stdout(Stdio::piped());
    command
}

#[test]
#[ignore = "run by other tests, as a launcher"]
fn helper() {
    let Some(what) = std::env::var_os("VRIFT_NS_HELPER") else { return };
    let dir = PathBuf::from(std::env::var_os("VRIFT_NS_DIR").unwrap());
    let project = dir.join("project");
    let plan = plan_of(&dir);
    let code = match what.to_str().unwrap() {
        "sleep" => {
            let link = open_at(&dir, &plan, &[]).unwrap();
            status(&link, &sh_in(&project, "touch started; exec sleep 1000"))
        }
        "join-sleep" => {
            let link = connect(&dir.join("store/staging"), Realm::default()).unwrap().unwrap();
            status(&link, &sh_in(&project, "sleep 1000 & touch started; wait"))
        }
        "fds" => {
            let link = open_at(&dir, &plan, &[]).unwrap();
            let code = status(&link, &sh_in(&project, "ls -l /proc/self/fd >fds; echo through >&7"));
            link.leave(false).unwrap();
            code
        }
        "term" => {
            let link = open_at(&dir, &plan, &[]).unwrap();
            let script = "trap 'exit 9' TERM; touch started; while :; do sleep 0.01; done";
            let code = status(&link, &sh_in(&project, script));
            link.leave(false).unwrap();
            code
        }
        _ => 1,
    };
    std::process::exit(code);
}

#[test]
fn a_killed_launcher_takes_its_command_and_the_session_along() {
    let Some(scratch) = Scratch::new() else { return };
    let mut child = launcher("sleep", scratch.dir.path()).spawn().unwrap();
    until("start", || scratch.path("store/staging/upper/started").exists());
    let link = scratch.join().unwrap();
    let init = link.init_pid();
    drop(link);
    child.kill().unwrap();
    child.wait().unwrap();
    until("init ends", || sys::kill(init, 0).is_err());
    assert!(scratch.join().is_none());
}

#[test]
fn a_killed_joiner_takes_only_its_command_along() {
    let Some(scratch) = Scratch::new() else { return };
    let link = scratch.open();
    let mut child = launcher("join-sleep", scratch.dir.path()).spawn().unwrap();
    until("start", || scratch.path("store/staging/upper/started").exists());
    let mine = link.run(&scratch.sh("sleep 0.5; exit 4")).unwrap();
    until("seen", || runs(&scratch.path("store/staging")).unwrap().iter().all(|run| run.command > 1));
    let theirs = runs(&scratch.path("store/staging")).unwrap();
    assert_eq!(theirs.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let its = theirs.iter().find(|run| run.launcher as u32 == child.id()).unwrap().command;
    let begin = Instant::now();
    assert_eq!(status(&link, &scratch.sh(&format!("while test -d /proc/{its}; do sleep 0.01; done"))), 0);
    assert!(begin.elapsed() < Duration::from_secs(3));
    assert_eq!(mine.wait().unwrap(), Exit::Code(4));
    // its sleep was orphaned and is ended now
    assert_eq!(last(&link.leave(false).unwrap()).0, ["sleep"]);
}

fn numbers_of(listing: &str) -> Vec<&str> {
    listing.lines().skip(1).filter_map(|line| line.split(" -> ").next()?.rsplit(' ').next()).collect()
}

#[test]
fn descriptors_of_the_caller_pass_and_ours_do_not() {
    let Some(scratch) = Scratch::new() else { return };
    let (mut reader, writer) = std::io::pipe().unwrap();
    let command = launcher("fds", scratch.dir.path());
    // the shell puts it at 7 for us
    let exe = command.get_program().to_owned();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$@\" 7>&1 >/dev/null", "sh"]).arg(exe).args(args);
    command.env("VRIFT_NS_HELPER", "fds").env("VRIFT_NS_DIR", scratch.dir.path()).stdout(writer);
    assert!(command.status().unwrap().success());
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through\n");
    let fds = fs::read_to_string(scratch.path("store/staging/upper/fds")).unwrap();
    // what this process was given goes through too; the shell outside has the same
    let outside = "exec 7>&1 >/dev/null; ls -l /proc/self/fd >&7";
    let outside =
        std::process::Command::new("sh").args(["-c", outside]).stderr(Stdio::piped()).output().unwrap();
    let outside = String::from_utf8(outside.stdout).unwrap();
    assert_eq!(numbers_of(&fds), numbers_of(&outside), "{fds}");
    assert!(numbers_of(&fds).contains(&"7"));
}

#[test]
fn sigterm_is_forwarded_and_the_leave_is_orderly() {
    let Some(scratch) = Scratch::new() else { return };
    let mut child = launcher("term", scratch.dir.path()).spawn().unwrap();
    until("start", || scratch.path("store/staging/upper/started").exists());
    sys::kill(child.id() as i32, libc::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert!(scratch.join().is_none());
}

#[test]
fn init_holds_no_pipe_of_the_opener() {
    let Some(scratch) = Scratch::new() else { return };
    let mut child = launcher("sleep", scratch.dir.path()).spawn().unwrap();
    until("start", || scratch.path("store/staging/upper/started").exists());
    let link = scratch.join().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    // the session lives on, and nobody holds the pipe
    assert_eq!(status(&link, &scratch.sh("true")), 0);
    link.leave(false).unwrap();
}
