//! What a hostile command tries from inside (`tests/attacks/attack.py`): as the caller, as
//! uid 0 of one's own, unconfined and confined to the project. Nothing may open.

#[path = "support/refuse.rs"]
mod refuse;
mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Ran, World};

const ATTACK: &str = include_str!("attacks/attack.py");

/// The file handle of an object, as name_to_handle_at(2) gives it to who may see it.
fn handle_of(path: &Path) -> String {
    let script = "import ctypes, os, struct, sys\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        b = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128), 136); m = ctypes.c_int()\n\
        assert libc.name_to_handle_at(-100, sys.argv[1].encode(), b, ctypes.byref(m), 0) == 0\n\
        n, t = struct.unpack('Ii', b.raw[:8]); print('%d:%s' % (t, b.raw[8:8 + n].hex()))";
    Ran(Command::new("python3").args(["-c", script]).arg(path).output().unwrap()).ok().trim().to_string()
}

/// Runs the attacker with these options; `change` prepares the command.
fn attacked(options: &str, change: impl FnOnce(&mut Command)) {
    let world = World::outside_of_tmp();
    world.sh("echo secret > a").ok();
    // another run's staging lies in the store while the attacker looks
    world.run(["fork", "other"]).ok();
    let script = "echo other > secret; echo up; read line || :";
    let mut other = world.vrift();
    other.args(["exec", "-w", "other", "--", "sh", "-c", script]);
    let mut other = other.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
    let object = world.objects().into_iter().next().unwrap();
    let binary = env!("CARGO_BIN_EXE_vrift");
    let before = std::fs::metadata(binary).unwrap();
    // by its own number, which is that of the launcher
    let mut command = world.command("sh");
    command.args(["-c", "export T_LAUNCHER=$$; exec \"$0\" \"$@\"", binary, "exec"]);
    command.args(options.split_whitespace());
    command.env("T_STORE", &world.store).env("T_PROJECT", &world.project).env("T_BINARY", binary);
    command.env("T_HANDLE", handle_of(&object));
    command.env("T_CONFINED", if options.contains("host") { "1" } else { "0" });
    change(&mut command);
    command.args(["--", "timeout", "120", "python3", "-c", ATTACK]);
    let printed = Ran(command.output().unwrap()).ok();
    assert!(!printed.contains("OPEN"), "{options}: {printed}");
    let tried = printed.lines().filter_map(|line| line.strip_prefix("tried ")?.parse::<u32>().ok());
    assert!(tried.max().unwrap() > 150, "{options}: {printed}");
    assert!(printed.contains("told 1"), "the upper's path is told: {options}: {printed}");
    assert_eq!(std::fs::metadata(binary).unwrap().mode(), before.mode());
    assert!(!world.store.join("new").exists());
    assert_eq!(world.exec(["cat", "a"]).ok(), "secret\n");
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
    assert_eq!(world.run(["exec", "-w", "other", "cat", "secret"]).ok(), "other\n");
}

#[test]
fn nothing_opens_from_inside() {
    needs_sessions!();
    for options in
        ["", "--root", "--confine host", "--confine host --root --net own", "--confine home --private-tmp"]
    {
        attacked(options, |_| {});
    }
}

/// There the launcher and everybody else can be seen, and signalled.
#[test]
fn nothing_opens_from_inside_without_a_pid_namespace() {
    needs_sessions!();
    for options in ["", "--confine host"] {
        attacked(options, |command| {
            refuse::without(
                command,
                &[
                    refuse::refuse(libc::SYS_clone3, libc::ENOSYS),
                    refuse::refuse_flags(libc::SYS_clone, libc::EPERM, 0, libc::CLONE_NEWPID),
                    refuse::refuse_flags(libc::SYS_unshare, libc::EPERM, 0, libc::CLONE_NEWPID),
                ],
            );
        });
    }
}

/// A command that starts is for a moment a copy of its launcher, with the store open.
#[test]
fn nothing_opens_while_others_join() {
    needs_sessions!();
    for options in ["", "--confine host"] {
        let world = World::outside_of_tmp();
        world.sh("echo secret > a").ok();
        let script = include_str!("attacks/watch.py");
        let mut command = world.vrift();
        command.args(["exec"]).args(options.split_whitespace());
        command.args(["--", "timeout", "120", "python3", "-u", "-c", script]).env("T_STORE", &world.store);
        let mut watcher = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(watcher.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
        for _ in 0..60 {
            world.run(["exec", "--no-sync", "--", "true"]).ok();
        }
        drop(watcher.stdin.take());
        let printed = Ran(watcher.wait_with_output().unwrap()).ok();
        assert!(!printed.contains("OPEN"), "{options}: {printed}");
        let seen = printed.lines().find_map(|line| line.strip_prefix("seen ")?.parse::<u32>().ok());
        assert!(seen.unwrap() > 5, "{options}: {printed}");
    }
}

#[test]
fn the_program_itself_cannot_be_changed_through_an_exe() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    // a copy of our own: an attack that works would change everybody's
    let binary = world.path().join("vrift");
    // by another process: a descriptor of ours for writing could be inherited by a test beside (ETXTBSY)
    let copied = world.command("cp").arg(env!("CARGO_BIN_EXE_vrift")).arg(&binary).status();
    assert!(copied.unwrap().success());
    let mode = || std::fs::metadata(&binary).unwrap().mode();
    let before = mode();
    world.write("evil", "#!/proc/self/exe\n");
    let chmod = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.project.join("evil"), chmod).unwrap();
    let run = |args: &[&str]| {
        let mut command = world.command(binary.to_str().unwrap());
        command.args(["-q", "exec"]).args(args).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    };
    let mut attacker =
        run(&["--confine", "host", "--", "python3", "-c", include_str!("attacks/exe.py"), "60"])
            .spawn()
            .unwrap();
    while world.staging().iter().all(|staging| !staging.join("socket").exists()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    while attacker.try_wait().unwrap().is_none() {
        run(&["--no-sync", "./evil"]).status().unwrap();
    }
    let held = attacker.wait_with_output().unwrap();
    if held.stdout != b"held\n" {
        eprintln!("skipped: the attacker was too slow");
    }
    assert_eq!(mode(), before);
}
