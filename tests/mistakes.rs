//! The likeliest mistakes, and what vrift says to each: tests/golden/mistakes.txt, word for
//! word. After a wanted change: VRIFT_BLESS=1 cargo test --test mistakes, and read the diff.

#[path = "support/refuse.rs"]
mod refuse;
mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use refuse::{docker, without};
use support::World;

/// The page that is written.
struct Page(String);

impl Page {
    /// A mistake: where it is made, what is typed, and what comes of it.
    fn typed(&mut self, world: &World, title: &str, args: &[&str]) {
        self.made(world, title, args, world.vrift());
    }

    fn made(&mut self, world: &World, title: &str, args: &[&str], mut command: Command) {
        let output = command.args(args).env("COLUMNS", "100").output().unwrap();
        let words: Vec<String> =
            args.iter().map(|arg| if arg.is_empty() { "''".into() } else { (*arg).into() }).collect();
        writeln!(self.0, "# {title}\n$ vrift {}", words.join(" ")).unwrap();
        for bytes in [&output.stdout, &output.stderr] {
            self.0 += &normal(world, &String::from_utf8_lossy(bytes));
        }
        writeln!(self.0, "[{}]\n", output.status.code().unwrap_or(-1)).unwrap();
    }
}

/// Without what differs from run to run: the world's place, names made of numbers.
fn normal(world: &World, text: &str) -> String {
    let top = world.path().canonicalize().unwrap();
    let text = text.replace(top.to_str().unwrap(), "/world").replace(env!("CARGO_BIN_EXE_vrift"), "vrift");
    let text: String = text.lines().map(|line| format!("{}\n", of_machine(line))).collect();
    let long = |word: &str| {
        let made = word.starts_with('s') && word.len() > 12 && word.contains("-w");
        let id =
            word.len() == 22 && word.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        if made {
            "SESSION".into()
        } else if id {
            "ID".into()
        } else {
            word.to_string()
        }
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars() {
        if is_part(c) {
            word.push(c);
        } else {
            out += &long(&std::mem::take(&mut word));
            out.push(c);
        }
    }
    out + &long(&word)
}

/// A line without what depends on the machine the test runs on.
fn of_machine(line: &str) -> String {
    if let Some((before, _)) = line.split_once("a seccomp filter refuses it") {
        return format!("{before}a seccomp filter refuses it …");
    }
    match line.split_once("format.json.") {
        Some((before, after)) => {
            format!("{before}format.json.PID{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => line.to_string(),
    }
}

/// A run that lives until it is dropped.
struct Live(Child, PathBuf);

impl Live {
    fn begin(world: &World) -> Self {
        let (ready, go) = (world.path().join("ready"), world.path().join("go"));
        let script = format!(": > {}; while [ ! -e {} ]; do sleep 0.02; done", ready.display(), go.display());
        let mut vrift = world.vrift();
        let child = vrift.args(["exec", "sh", "-c", &script]).stderr(Stdio::null()).spawn().unwrap();
        while !ready.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Self(child, go)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.1, "");
        let _ = self.0.wait();
    }
}

#[test]
fn the_likeliest_mistakes_are_answered_as_written_down() {
    needs_sessions!();
    let mut page = Page(String::new());
    command_lines(&mut page);
    places(&mut page);
    commands(&mut page);
    configuration(&mut page);
    histories(&mut page);
    live_sessions(&mut page);
    machines(&mut page);

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mistakes.txt");
    if std::env::var_os("VRIFT_BLESS").is_some() {
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        std::fs::write(&golden, &page.0).unwrap();
    }
    let known = std::fs::read_to_string(&golden).unwrap_or_default();
    for (number, (is, was)) in page.0.lines().zip(known.lines()).enumerate() {
        assert_eq!(is, was, "line {} of tests/golden/mistakes.txt", number + 1);
    }
    assert_eq!(page.0.lines().count(), known.lines().count());
    for line in known.lines().filter(|line| line.starts_with("vrift: error: ")) {
        let begins = line["vrift: error: ".len()..].chars().next().unwrap();
        assert!(!begins.is_uppercase() && !line.ends_with('.'), "{line}");
    }
    let (errors, hints) = (known.matches("vrift: error: ").count(), known.matches("vrift: hint: ").count());
    assert_eq!(errors, hints, "each error has a hint");
    assert!(errors >= 20, "{errors}");
}

fn command_lines(page: &mut Page) {
    let world = World::new();
    page.typed(&world, "nothing said", &[]);
    page.typed(&world, "a verb with a typo", &["exce", "make"]);
    page.typed(&world, "no command", &["exec"]);
    page.typed(&world, "an option with a typo", &["exec", "--workspce", "main", "make"]);
    page.typed(&world, "a number that is none", &["runs", "-n", "many"]);
}

fn places(page: &mut Page) {
    let mut world = World::new();
    page.typed(&world, "no such directory", &["-C", "nowhere", "exec", "make"]);
    page.typed(&world, "a question before the first run", &["status"]);
    let mut home = world.vrift();
    home.current_dir(&world.home);
    page.made(&world, "in the home directory", &["exec", "make"], home);
    let mut root = world.vrift();
    root.current_dir("/");
    page.made(&world, "in the root directory", &["exec", "make"], root);
    let store = std::mem::replace(&mut world.store, world.project.join("store"));
    page.typed(&world, "the store in the project", &["exec", "make"]);
    world.store = store;
    world.exec(["true"]).ok();
    let elsewhere = world.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let mut other = world.vrift();
    other.current_dir(&elsewhere);
    page.made(&world, "in no project", &["status"], other);
    std::fs::rename(&world.project, world.path().join("renamed")).unwrap();
    std::fs::create_dir_all(world.project.join(".git")).unwrap();
    page.typed(&world, "the directory was moved, and another one made in its place", &["exec", "make"]);
    page.typed(&world, "a project that is none", &["project", "forget", "../elsewhere"]);
}

fn commands(page: &mut Page) {
    let world = World::new();
    world.write("run", "echo hello\n");
    world.write("broken", "#!/no/such/interpreter\n");
    std::fs::set_permissions(
        world.project.join("broken"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    world.write("dir/file", "");
    world.run(["sync"]).ok();
    page.typed(&world, "a command that is not there", &["exec", "mkae"]);
    page.typed(&world, "a script of this directory, without ./", &["exec", "run"]);
    page.typed(&world, "a script that is not executable", &["exec", "./run"]);
    page.typed(&world, "a directory as command", &["exec", "./dir"]);
    page.typed(&world, "a script whose interpreter is missing", &["exec", "./broken"]);
    page.typed(&world, "an empty command", &["exec", ""]);
}

fn configuration(page: &mut Page) {
    let world = World::new();
    world.exec(["true"]).ok();
    for (title, text) in [
        ("a key with a typo in vrift.toml", "[paths]\nonw = [\"target\"]\n"),
        ("a value of the wrong kind in vrift.toml", "[paths]\nown = 7\n"),
        ("vrift.toml is no TOML", "[paths\n"),
    ] {
        world.write("vrift.toml", text);
        page.typed(&world, title, &["exec", "make"]);
    }
    std::fs::remove_file(world.project.join("vrift.toml")).unwrap();
    page.typed(
        &world,
        "a key with a typo on the command line",
        &["--config", "paths.onw=target", "exec", "make"],
    );
}

fn histories(page: &mut Page) {
    let world = World::new();
    world.write("a", "1");
    world.exec(["true"]).ok();
    page.typed(&world, "nothing to undo", &["undo"]);
    page.typed(&world, "a workspace that is not there", &["exec", "-w", "mian", "make"]);
    world.run(["commit", "first"]).ok();
    page.typed(&world, "a snapshot that is there already", &["commit", "first"]);
    page.typed(&world, "a state that is not there", &["restore", "frist"]);
    page.typed(&world, "a path that no state has", &["restore", "first", "b"]);
    page.typed(&world, "a snapshot that is not there", &["snapshot", "delete", "second"]);
    page.typed(&world, "nothing to recover", &["recover", "s1", "--keep"]);
    page.typed(&world, "no such run to stop", &["stop", "4194304"]);
}

fn live_sessions(page: &mut Page) {
    let world = World::new();
    world.write("data/x", "");
    world.sh("echo 1 > a").ok();
    world.sh("echo 2 > a").ok();
    let live = Live::begin(&world);
    page.typed(
        &world,
        "other rules than the live session's",
        &["--config", "paths.hide=data", "exec", "make"],
    );
    page.typed(&world, "discarding beside another run", &["exec", "--discard", "make"]);
    page.typed(&world, "forgetting a project with a live run", &["project", "forget", "."]);
    page.typed(&world, "undo with a live run", &["undo"]);
    drop(live);
    let vrift = env!("CARGO_BIN_EXE_vrift");
    let inside = || {
        let mut command = world.vrift();
        command.args(["exec", vrift]);
        command
    };
    page.made(&world, "inside a run: a verb for outside", &["sync"], inside());
    page.made(&world, "inside a run: another workspace", &["exec", "-w", "other", "make"], inside());
    page.made(&world, "inside a run: entering again", &["enter"], inside());
}

fn machines(page: &mut Page) {
    let world = World::new();
    let mut refused = world.vrift();
    without(&mut refused, &docker());
    page.made(&world, "no user namespaces: a container's filter", &["exec", "make"], refused);
    let script = "mkdir -p store && mount -t tmpfs -o size=4k none store && exec \"$0\" \"$@\"";
    let mut full = world.command("unshare");
    full.args(["-Urm", "sh", "-c", script, env!("CARGO_BIN_EXE_vrift")]).current_dir(world.path());
    full.arg("-C").arg(&world.project);
    page.made(&world, "a full disk", &["exec", "make"], full);
}
