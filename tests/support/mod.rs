//! A place to run the binary in as a user would: own store, own HOME, own project,
//! no network. Everything is below one temporary directory that goes with it.

#![allow(dead_code)] // each test file uses its own part

pub mod acts;
pub mod differential;
pub mod disk;
pub mod whole;

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a command in a world gets of the environment of whoever runs the tests, beside the
/// variables of cargo and rustup.
const KEPT: [&str; 10] =
    ["PATH", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LC_ALL", "VRIFT_SLOW", "SSL_CERT_FILE"];

/// One test's world.
pub struct World {
    dir: Top,
    pub project: PathBuf,
    pub store: PathBuf,
    pub home: PathBuf,
}

/// A temporary directory in which files may be immutable, as root's objects of tier1 are.
struct Top(tempfile::TempDir);

impl Drop for Top {
    fn drop(&mut self) {
        if rustix::process::geteuid().is_root() {
            let _ = vrift::os::remove::remove_tree(self.0.path());
        }
    }
}

impl World {
    /// An empty project that is a git repository by its looks.
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// One that is not below /tmp, which stays writable in a confined run.
    pub fn outside_of_tmp() -> Self {
        let usual = std::env::temp_dir().canonicalize().unwrap();
        Self::below(if usual.starts_with("/tmp") { Path::new("/var/tmp") } else { &usual })
    }

    /// One below a directory.
    pub fn below(top: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("vrift-test-").tempdir_in(top).unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (project, store, home) = (top.join("project"), top.join("store"), top.join("home"));
        for dir in [&project, &home, &project.join(".git")] {
            std::fs::create_dir(dir).unwrap();
        }
        Self { dir: Top(dir), project, store, home }
    }

    /// A world whose project is a copy of a directory.
    pub fn with_copy_of(source: &Path) -> Self {
        let world = Self::new();
        let copied = Command::new("cp").arg("-a").arg(source.join(".")).arg(&world.project).status();
        assert!(copied.unwrap().success());
        world
    }

    pub fn path(&self) -> &Path {
        self.dir.0.path()
    }

    /// The binary, ready for arguments, in the project's directory.
    pub fn vrift(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_vrift"))
    }

    /// Another program with the same surroundings: of the environment of whoever runs the
    /// tests only what finds programs, for a host of CI sets much that commands heed.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let kept = |name: &str| KEPT.contains(&name) || name.starts_with("CARGO") || name.starts_with("RUST");
        for (name, _) in std::env::vars_os() {
            if !name.to_str().is_some_and(kept) {
                command.env_remove(name);
            }
        }
        command
            .current_dir(&self.project)
            .env("HOME", &self.home)
            .env("VRIFT_STORE", &self.store)
            .env("VRIFT_GC_AUTO", "false") // what is counted must not go by itself
            .env("VRIFT_DURABLE_AFTER", "off") // nothing of a test outlives it
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null());
        // the whole suite is to hold under each of them
        if let Some(projection) = std::env::var_os("VRIFT_TEST_PROJECTION") {
            command.env("VRIFT_RUN_PROJECTION", projection);
        }
        command
    }

    /// The directory of the only project that the store has.
    pub fn project_dir(&self) -> PathBuf {
        let found = std::fs::read_dir(self.store.join("projects")).unwrap().flatten();
        let mut dirs = found.map(|entry| entry.path()).filter(|path| path.is_dir());
        let only = dirs.next().expect("a project in the store");
        assert_eq!(dirs.next(), None);
        only
    }

    /// The same with nothing else of this process's environment but PATH.
    pub fn command_alone(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.project).env_clear();
        for (name, value) in self.vrift().get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    /// Runs a verb with arguments.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran(self.vrift().args(args).output().unwrap())
    }

    /// `vrift exec --` with words.
    pub fn exec<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ran {
        Ran(self.vrift().args(["exec", "--"]).args(words).output().unwrap())
    }

    /// `vrift exec -- sh -c SCRIPT`.
    pub fn sh(&self, script: &str) -> Ran {
        self.exec(["sh", "-c", script])
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.project.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.project.join(path)).unwrap()
    }

    /// A host edit whose mtime is certainly another one than before.
    pub fn edit(&self, path: &str, content: &str) {
        std::thread::sleep(std::time::Duration::from_millis(20));
        self.write(path, content);
    }

    /// Every object's path and inode: what a run must not multiply.
    pub fn objects(&self) -> Vec<PathBuf> {
        walkdir::WalkDir::new(self.store.join("objects"))
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect()
    }

    /// Whether lower trees are made of links to objects, which then have the files' own modes.
    pub fn links_objects(&self) -> bool {
        std::env::var_os("VRIFT_TEST_PROJECTION").is_some_and(|projection| projection == "hardlink")
    }

    /// Session directories below every project's staging, but for the spare ones.
    pub fn staging(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for project in std::fs::read_dir(self.store.join("projects")).into_iter().flatten().flatten() {
            for entry in std::fs::read_dir(project.path().join("staging")).into_iter().flatten().flatten() {
                let spare = entry.file_name().to_string_lossy().contains('.');
                if entry.file_type().unwrap().is_dir() && !spare {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

/// A finished command.
pub struct Ran(pub Output);

impl Ran {
    pub fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Standard output of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code(), 0, "stdout: {}\nstderr: {}", self.stdout(), self.stderr());
        self.stdout()
    }

    /// Standard error of a command that must have failed with this status.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code(), code, "stdout: {}\nstderr: {}", self.stdout(), self.stderr());
        self.stderr()
    }
}

/// Whether sessions can be opened here. Where not, the test says why and is skipped;
/// with VRIFT_MUST_WORK=1 that is a failure.
#[track_caller]
pub fn sessions_work() -> bool {
    let world = World::new();
    let ran = world.exec(["true"]);
    if ran.code() == 0 {
        return true;
    }
    let must = std::env::var_os("VRIFT_MUST_WORK").is_some_and(|value| value == "1");
    assert!(!must, "sessions must work here: {}", ran.stderr());
    eprintln!("skipped: {}", ran.stderr());
    false
}

/// A script in user and mount namespaces of its own, where `$V` is the binary and `$S` a
/// directory for things to mount on. `None`, said, where it cannot be had.
pub fn in_namespaces(world: &World, script: &str) -> Option<Ran> {
    let place = world.path().join("place");
    std::fs::create_dir_all(&place).unwrap();
    let mut command = world.command("unshare");
    command.args(["-Urm", "sh", "-c", &format!("exec 3>&1 1>&2; ({script}) >&3 || exit $?")]);
    command.env("V", env!("CARGO_BIN_EXE_vrift")).env("S", &place);
    let ran = Ran(command.output().unwrap());
    if ran.code() == 77 || ran.stderr().contains("unshare failed") {
        let must = std::env::var_os("VRIFT_MUST_WORK").is_some_and(|value| value == "1");
        assert!(!must, "must work here: {}", ran.stderr());
        eprintln!("skipped: {}", ran.stderr());
        return None;
    }
    Some(ran)
}

/// Skips the test with a reason where sessions cannot be opened.
#[macro_export]
macro_rules! needs_sessions {
    () => {
        if !support::sessions_work() {
            return;
        }
    };
}

/// A tree's listing that two equal trees have alike: kind, mode, ns mtime, size, link
/// group, target, xattrs and content of every name.
pub fn listing(root: &Path) -> Vec<String> {
    let mut groups: std::collections::HashMap<(u64, u64), usize> = std::collections::HashMap::new();
    let mut lines = Vec::new();
    // an object that a file of a lower is has one more link, to nowhere in the tree
    let mut names: std::collections::HashMap<(u64, u64), usize> = std::collections::HashMap::new();
    for stat in walkdir::WalkDir::new(root).into_iter().map(|entry| entry.unwrap().metadata().unwrap()) {
        *names.entry((stat.dev(), stat.ino())).or_default() += 1;
    }
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        let stat = entry.path().symlink_metadata().unwrap();
        let kind = stat.file_type();
        let name = entry.path().strip_prefix(root).unwrap();
        let mut line = format!("{name:?} {:o} {}.{:09}", stat.mode(), stat.mtime(), stat.mtime_nsec());
        if !kind.is_dir() && names[&(stat.dev(), stat.ino())] > 1 {
            let next = groups.len();
            line += &format!(" group{}", groups.entry((stat.dev(), stat.ino())).or_insert(next));
        }
        if kind.is_file() {
            let content = std::fs::read(entry.path()).unwrap();
            line += &format!(" {} {}", stat.size(), vrift::cas::Digest::of(&content));
        }
        if kind.is_symlink() {
            line += &format!(" -> {:?}", std::fs::read_link(entry.path()).unwrap());
        }
        lines.push(line);
    }
    lines
}

/// A run that has done what the script says and goes on until it is killed, or its standard
/// input ends.
pub fn start(mut command: Command, args: &[&str], script: &str) -> std::process::Child {
    use std::io::{BufRead, BufReader};
    let script = format!("{script}; echo ready; cat > /dev/null");
    command.arg("exec").args(args).args(["--", "sh", "-c", &script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

/// Says why a test does nothing; with VRIFT_MUST_WORK=1 that is a failure.
#[track_caller]
pub fn skipped(why: &str) {
    let must = std::env::var_os("VRIFT_MUST_WORK").is_some_and(|value| value == "1");
    assert!(!must, "must work here: {why}");
    eprintln!("skipped: {why}");
}

/// Compiles a C program of the tests; `None`, said, where that cannot be done here.
pub fn compile(dir: &Path, compiler: &str, name: &str, source: &Path, flags: &[&str]) -> Option<PathBuf> {
    let program = dir.join(name);
    let built =
        Command::new(compiler).args(flags).arg("-o").arg(&program).arg(source).arg("-pthread").output();
    match built {
        Ok(output) if output.status.success() => Some(program),
        other => {
            eprintln!("skipped: {compiler} {flags:?}: {other:?}");
            None
        }
    }
}
