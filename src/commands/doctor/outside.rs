//! Servers of the host that a command inside could reach: they see the directory itself, by
//! the same path. Only what answers is named.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::check::{Check, Verdict};
use super::subject::Subject;
use crate::config::Config;
use crate::error::{quoted, shell_word};
use crate::paths;
use crate::session::helpers;

/// Where sccache listens unless it is told otherwise.
const SCCACHE: u16 = 4226;
const PATIENCE: Duration = Duration::from_millis(200);

/// One that answers.
struct Found {
    what: &'static str,
    at: String,
    /// How runs are kept from it, or can be.
    way: Way,
}

enum Way {
    /// They have a server of their own.
    OwnAddress,
    /// They work without one.
    Off,
    /// This can be covered.
    Hide(PathBuf),
}

pub fn checks(subject: &Subject) -> Vec<Check> {
    // of the user, for there is no project here
    let kept = Config::load(Path::new("/dev/null"), &[], None)
        .map_or(true, |config| config.wishes.helper_env != Some(false));
    let found = [engines(), sccache(), terminals(), watchman(), editors(), gradle(), bazel()];
    let mut checks: Vec<Check> = found.into_iter().flatten().map(|found| found.check(kept)).collect();
    if checks.is_empty() {
        checks.push(Check::good(NAME, "no server that would see the directory itself"));
    }
    if helpers::too_long(&subject.root) {
        let why = "the store's path is too long for sockets in it: what needs one inside gets none";
        checks.push(Check::lacking(NAME, why, Verdict::Note).hint("use a store with a shorter path"));
    }
    checks
}

const NAME: &str = "outside";

impl Found {
    fn socket(what: &'static str, path: &Path, way: Way) -> Self {
        Self { what, at: quoted(path.as_os_str()).to_string(), way }
    }

    fn check(self, kept: bool) -> Check {
        let Self { what, at, way } = self;
        let found = format!("{what}: {at}");
        match way {
            Way::OwnAddress if kept => Check::good(NAME, format!("{found}; runs have one of their own")),
            Way::Off if kept => Check::good(NAME, format!("{found}; runs do without")),
            Way::Hide(path) => {
                let hint = format!("to keep a run from it: --hide {}, or hide in [run]", shell_word(&path));
                Check::lacking(NAME, format!("{found}; it sees the directory itself"), Verdict::Note)
                    .hint(hint)
            }
            Way::OwnAddress | Way::Off => {
                let found = format!("{found}; it sees the directory itself");
                Check::lacking(NAME, found, Verdict::Note).hint("run.helper-env is false: runs reach it")
            }
        }
    }
}

/// Docker's and podman's.
fn engines() -> Vec<Found> {
    let mut sockets: Vec<PathBuf> = ["/run/docker.sock", "/run/podman/podman.sock"].map(Into::into).to_vec();
    if let Some(dir) = runtime() {
        sockets.extend([dir.join("docker.sock"), dir.join("podman/podman.sock")]);
    }
    let set = std::env::var("DOCKER_HOST").unwrap_or_default();
    sockets.extend(set.strip_prefix("unix://").map(Into::into));
    sockets.sort_unstable();
    sockets.dedup();
    let answering = sockets.into_iter().filter(|path| answers(path));
    answering.map(|path| Found::socket("containers", &path, Way::Hide(path.clone()))).collect()
}

fn sccache() -> Vec<Found> {
    let port = std::env::var("SCCACHE_SERVER_PORT").ok().and_then(|port| port.parse().ok());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(SCCACHE)));
    let of_port = TcpStream::connect_timeout(&address, PATIENCE).is_ok().then(|| address.to_string());
    let socket = std::env::var_os("SCCACHE_SERVER_UDS").map(PathBuf::from);
    let of_socket = socket.filter(|path| answers(path)).map(|path| quoted(path.as_os_str()).to_string());
    let all = of_port.into_iter().chain(of_socket);
    all.map(|at| Found { what: "sccache", at, way: Way::OwnAddress }).collect()
}

/// Servers of tmux.
fn terminals() -> Vec<Found> {
    let top = std::env::var_os("TMUX_TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let dir = top.join(format!("tmux-{}", rustix::process::getuid().as_raw()));
    sockets_in(&dir, "tmux")
}

fn watchman() -> Vec<Found> {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let temporary = std::env::temp_dir();
    let places = [Path::new("/run/watchman"), Path::new("/usr/local/var/run/watchman"), &temporary];
    let mut sockets: Vec<PathBuf> = places.iter().map(|dir| dir.join(format!("{user}-state/sock"))).collect();
    sockets.extend(std::env::var_os("WATCHMAN_SOCK").map(PathBuf::from));
    let answering = sockets.into_iter().filter(|path| answers(path));
    answering.map(|path| Found::socket("watchman", &path, Way::OwnAddress)).collect()
}

fn editors() -> Vec<Found> {
    let me = rustix::process::getuid().as_raw();
    let mut found = sockets_in(Path::new(&format!("/tmp/emacs{me}")), "Emacs");
    found.extend(runtime().map(|dir| sockets_in(&dir.join("emacs"), "Emacs")).unwrap_or_default());
    for (variable, what) in [("VSCODE_IPC_HOOK_CLI", "VS Code"), ("NVIM", "Neovim")] {
        let socket = std::env::var_os(variable).map(PathBuf::from).filter(|path| answers(path));
        found.extend(socket.map(|path| Found::socket(what, &path, Way::Off)));
    }
    found
}

/// Daemons of Gradle, by the logs that have their pids as names.
fn gradle() -> Vec<Found> {
    let home = std::env::var_os("GRADLE_USER_HOME").map(PathBuf::from);
    let Some(home) = home.or_else(|| Some(paths::home()?.join(".gradle"))) else { return Vec::new() };
    let logs = names_in(&home.join("daemon")).into_iter().flat_map(|version| names_in(&version));
    let pids = logs.filter_map(|log| {
        let name = log.file_name()?.to_str()?;
        let pid: u32 = name.strip_prefix("daemon-")?.strip_suffix(".out.log")?.parse().ok()?;
        runs(pid, b"GradleDaemon").then_some(pid)
    });
    pids.map(|pid| Found { what: "Gradle", at: format!("a daemon, pid {pid}"), way: Way::Off }).collect()
}

/// Servers of Bazel, which are by output base.
fn bazel() -> Vec<Found> {
    let Some(caches) = paths::cache_home() else { return Vec::new() };
    let bases = names_in(&caches.join("bazel")).into_iter().flat_map(|user| names_in(&user));
    let pids = bases.filter_map(|base| {
        let text = std::fs::read_to_string(base.join("server/server.pid.txt")).ok()?;
        let pid = text.trim().parse().ok()?;
        runs(pid, b"bazel").then_some(pid)
    });
    pids.map(|pid| Found {
        what: "Bazel",
        at: format!("a server, pid {pid} (in a project with a Bazel file at its top)"),
        way: Way::OwnAddress,
    })
    .collect()
}

fn sockets_in(dir: &Path, what: &'static str) -> Vec<Found> {
    let answering = names_in(dir).into_iter().filter(|path| answers(path));
    answering.map(|path| Found::socket(what, &path, Way::OwnAddress)).collect()
}

fn names_in(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn runtime() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute())
}

/// Whether somebody listens at a socket. One who is busy does.
fn answers(path: &Path) -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connect = || {
        let address = SocketAddrUnix::new(path)?;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &address)
    };
    matches!(connect(), Ok(()) | Err(Errno::AGAIN))
}

/// Whether a process lives that has a word in its command line.
fn runs(pid: u32, word: &[u8]) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.windows(word.len()).any(|part| part == word)
}
