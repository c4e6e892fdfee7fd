//! What a hostile command tries from inside (`tests/attacks/attack.py`): as the caller, as
//! uid 0 of one's own, unconfined and confined to the project. Nothing may open.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Ran, World};

const ATTACK: &str = include_str!("attacks/attack.py");

/// The file handle of an object, as name_to_handle_at(2) gives it to who may see it.
fn handle_of(path: &std::path::Path) -> String {
    let script = "import ctypes, os, struct, sys\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        b = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128), 136); m = ctypes.c_int()\n\
        assert libc.name_to_handle_at(-100, sys.argv[1].encode(), b, ctypes.byref(m), 0) == 0\n\
        n, t = struct.unpack('Ii', b.raw[:8]); print('%d:%s' % (t, b.raw[8:8 + n].hex()))";
    Ran(Command::new("python3").args(["-c", script]).arg(path).output().unwrap()).ok().trim().to_string()
}

#[test]
fn nothing_opens_from_inside() {
    needs_sessions!();
    for options in
        ["", "--root", "--confine host", "--confine host --root --net own", "--confine home --private-tmp"]
    {
        let world = World::outside_of_tmp();
        world.sh("echo secret > a").ok();
        let object = world.objects().into_iter().next().unwrap();
        let binary = env!("CARGO_BIN_EXE_vrift");
        let before = std::fs::metadata(binary).unwrap();
        let mut command = world.vrift();
        command.args(["exec"]).args(options.split_whitespace());
        command.env("T_STORE", &world.store).env("T_PROJECT", &world.project).env("T_BINARY", binary);
        command.env("T_HANDLE", handle_of(&object));
        command.env("T_CONFINED", if options.contains("host") { "1" } else { "0" });
        let printed =
            Ran(command.args(["--", "timeout", "120", "python3", "-c", ATTACK]).output().unwrap()).ok();
        assert!(!printed.contains("OPEN"), "{options}: {printed}");
        let tried = printed.lines().filter_map(|line| line.strip_prefix("tried ")?.parse::<u32>().ok());
        assert!(tried.max().unwrap() > 60, "{options}: {printed}");
        assert_eq!(std::fs::metadata(binary).unwrap().mode(), before.mode());
        assert!(!world.store.join("new").exists());
        assert_eq!(world.exec(["cat", "a"]).ok(), "secret\n");
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
