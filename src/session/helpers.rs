//! Programs that have the work done by a server, one for a user or for a path. A server that was started
//! outside sees the directory itself by the path that the view has: it would build, open or watch the
//! wrong tree. So a command is given, by variables alone, an address of its workspace's own, or works
//! without a server. What is in the table holds as well where the program is not there.
//!
//! The caller's own value of such a variable was meant for the host and does not count; what
//! `--setenv` says does. Programs that no variable keeps apart are in docs/helpers.md.
//!
//! Addresses lie in a directory of the workspace's own that shows through the store's cover as
//! `STORE/run`: the path is the same in every run, the directory is not. A server ends with its
//! session, at the latest with the pid namespace. The socket that it leaves nobody listens at: a client
//! begins a new server there, which all in the table do.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::paths;

/// What becomes of a variable.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A socket of this name in the workspace's directory; unset where its path is too long for one.
    Socket(&'static str),
    /// A directory in it, for sockets or for what only one server may use; empty: the directory itself.
    Dir(&'static str),
    /// A TCP port, which hardly any other workspace has.
    Port,
    Set(&'static str),
    /// A word after what is there; the last counts.
    Append(&'static str),
    Unset,
    /// Unset where the other one is there: else it is the user's own.
    UnsetWith(&'static str),
}

use Way::{Append, Dir, Port, Set, Socket, Unset, UnsetWith};

/// A program, and how it is kept from a server outside.
const TABLE: &[(&str, &[(&str, Way)])] = &[
    // Before the middle of 2024 it knows the port alone; later the socket counts more. A local cache is for
    // one server at a time.
    (
        "sccache",
        &[
            ("SCCACHE_SERVER_UDS", Socket("sccache.sock")),
            ("SCCACHE_SERVER_PORT", Port),
            ("SCCACHE_DIR", Dir("sccache")),
        ],
    ),
    ("Gradle", &[("GRADLE_OPTS", Append("-Dorg.gradle.daemon=false"))]),
    (
        "Kotlin",
        &[("GRADLE_OPTS", Append("-Dorg.gradle.project.kotlin.compiler.execution.strategy=in-process"))],
    ),
    (
        ".NET",
        &[
            ("MSBUILDDISABLENODEREUSE", Set("1")),
            ("DOTNET_CLI_USE_MSBUILD_SERVER", Set("0")),
            ("UseSharedCompilation", Set("false")),
        ],
    ),
    ("nx", &[("NX_DAEMON", Set("false"))]),
    ("turbo", &[("TURBO_DAEMON", Set("false"))]),
    ("pants", &[("PANTS_PANTSD", Set("false"))]),
    ("flow", &[("FLOW_TEMP_DIR", Dir("flow"))]),
    ("watchman", &[("WATCHMAN_SOCK", Socket("watchman.sock"))]),
    // who is in a tmux, screen or zellij of the host would open windows there
    ("tmux", &[("TMUX", Unset), ("TMUX_PANE", Unset), ("TMUX_TMPDIR", Dir(""))]),
    ("screen", &[("STY", Unset), ("SCREENDIR", Dir("screen"))]),
    (
        "zellij",
        &[
            ("ZELLIJ", Unset),
            ("ZELLIJ_SESSION_NAME", Unset),
            ("ZELLIJ_PANE_ID", Unset),
            ("ZELLIJ_SOCKET_DIR", Dir("zellij")),
        ],
    ),
    (
        "VS Code",
        &[
            ("VSCODE_IPC_HOOK_CLI", Unset),
            ("VSCODE_GIT_IPC_HANDLE", Unset),
            ("VSCODE_GIT_IPC_AUTH_TOKEN", Unset),
            // both ask by that handle
            ("GIT_ASKPASS", UnsetWith("VSCODE_GIT_ASKPASS_MAIN")),
            ("GIT_EDITOR", UnsetWith("VSCODE_GIT_EDITOR_MAIN")),
        ],
    ),
    ("Neovim", &[("NVIM", Unset), ("NVIM_LISTEN_ADDRESS", Unset)]),
    ("Vim", &[("VIM_SERVERNAME", Unset)]),
    ("Emacs", &[("EMACS_SERVER_FILE", Unset), ("EMACS_SOCKET_NAME", Socket("emacs"))]),
];

/// Its place in the cover over a store.
pub const SHOWN: &str = "run";

/// The longest path of a socket (unix(7)), without the NUL at its end.
const LONGEST: usize = 107;

/// Ports below those that kernels give away by themselves.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Where a workspace's servers are.
pub struct Address {
    dir: PathBuf,
    port: u16,
}

impl Address {
    /// Of a workspace, by its project's directory and its small number.
    pub fn of(store: &Path, project: &Path, index: u32) -> Self {
        let digest = blake3::hash(project.as_os_str().as_bytes());
        let begin = digest.as_bytes().iter().take(4).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let number = (begin + u64::from(index)) % PORTS.len() as u64;
        let port = u16::try_from(number).unwrap_or_default() + PORTS.start;
        Self { dir: store.join(SHOWN), port }
    }

    /// The path of a socket, unless it is too long for one.
    fn socket(&self, name: &str) -> Option<OsString> {
        let path = self.dir.join(name).into_os_string();
        (path.len() <= LONGEST).then_some(path)
    }
}

/// Whether a socket in a store's `run` has a path that is too long.
pub fn too_long(store: &Path) -> bool {
    let address = Address { dir: store.join(SHOWN), port: 0 };
    let sockets = TABLE.iter().flat_map(|(_, variables)| *variables);
    sockets.into_iter().any(|(_, way)| matches!(way, Socket(name) if address.socket(name).is_none()))
}

/// Puts the table's variables into the environment of a command.
pub fn give(variables: &mut Vec<(OsString, OsString)>, address: &Address) {
    for (name, way) in TABLE.iter().flat_map(|(_, variables)| *variables) {
        let before = variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let value = match way {
            Socket(name) => address.socket(name),
            Dir("") => Some(address.dir.clone().into_os_string()),
            Dir(name) => Some(address.dir.join(name).into_os_string()),
            Port => Some(address.port.to_string().into()),
            Set(value) => Some(value.into()),
            Append(word) => Some(appended(before, word)),
            Unset => None,
            UnsetWith(other) => before.filter(|_| !variables.iter().any(|(known, _)| known == other)),
        };
        variables.retain(|(known, _)| known != name);
        variables.extend(value.map(|value| (OsString::from(name), value)));
    }
}

fn appended(before: Option<OsString>, word: &str) -> OsString {
    let mut value = before.unwrap_or_default();
    if !value.is_empty() {
        value.push(" ");
    }
    value.push(word);
    value
}

/// True of a variable that the table sets.
pub fn sets(name: &OsStr) -> bool {
    let ours = |(known, way): &(&str, Way)| name == *known && !matches!(way, Unset | UnsetWith(_));
    TABLE.iter().flat_map(|(_, variables)| *variables).any(ours)
}

/// The file that is in the top directory of a project that a program is for, and where below the user's
/// cache that keeps a server's state by the project's path. No variable places it.
const STATES: &[(&[&str], &str)] = &[(&["MODULE.bazel", "WORKSPACE", "WORKSPACE.bazel"], "bazel")];

/// Directories outside of a project of which each of its workspaces has its own, said or not.
pub fn directories(project: &Path) -> Vec<String> {
    let Some(caches) = paths::cache_home() else { return Vec::new() };
    let is_for = |files: &[&str]| files.iter().any(|file| project.join(file).symlink_metadata().is_ok());
    let found = STATES.iter().filter(|(files, _)| is_for(files));
    found.filter_map(|(_, dir)| caches.join(dir).into_os_string().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(before: &[(&str, &str)], store: &str) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> =
            before.iter().map(|(name, value)| (name.into(), value.into())).collect();
        give(&mut variables, &Address::of(Path::new(store), Path::new("/p"), 3));
        variables
    }

    fn value(variables: &[(OsString, OsString)], name: &str) -> Option<String> {
        let mut all = variables.iter().filter(|(known, _)| known == name);
        let found = all.next().map(|(_, value)| value.to_str().unwrap().to_string());
        assert!(all.next().is_none(), "{name} is there twice");
        found
    }

    #[test]
    fn callers_addresses_give_way_and_the_callers_options_stay() {
        let caller = [
            ("SCCACHE_SERVER_UDS", "/host"),
            ("GRADLE_OPTS", "-Xmx1g -Dorg.gradle.daemon=true"),
            ("TMUX", "/tmp/tmux-0/default,1,0"),
            ("NX_DAEMON", "true"),
            ("HOME", "/h"),
        ];
        let given = given(&caller, "/s");
        assert_eq!(value(&given, "SCCACHE_SERVER_UDS").unwrap(), "/s/run/sccache.sock");
        let options = value(&given, "GRADLE_OPTS").unwrap();
        assert!(
            options.starts_with("-Xmx1g -Dorg.gradle.daemon=true -Dorg.gradle.daemon=false "),
            "{options}"
        );
        assert_eq!(value(&given, "TMUX"), None);
        assert_eq!(value(&given, "TMUX_TMPDIR").unwrap(), "/s/run");
        assert_eq!(value(&given, "NX_DAEMON").unwrap(), "false");
        assert_eq!(value(&given, "HOME").unwrap(), "/h");
    }

    #[test]
    fn an_editor_of_the_users_own_stays() {
        let of_user = given(&[("GIT_EDITOR", "vi"), ("GIT_ASKPASS", "ask")], "/s");
        assert_eq!(value(&of_user, "GIT_EDITOR").unwrap(), "vi");
        let of_code =
            given(&[("GIT_EDITOR", "/c/git-editor.sh"), ("VSCODE_GIT_EDITOR_MAIN", "/c/x.js")], "/s");
        assert_eq!(value(&of_code, "GIT_EDITOR"), None);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_not_given() {
        let store = format!("/{}", "x".repeat(95));
        assert!(too_long(Path::new(&store)) && !too_long(Path::new("/s")));
        let given = given(&[("SCCACHE_SERVER_UDS", "/host")], &store);
        assert_eq!(value(&given, "SCCACHE_SERVER_UDS"), None);
        assert!(value(&given, "SCCACHE_SERVER_PORT").is_some());
    }

    #[test]
    fn the_ports_of_one_project_differ() {
        let port = |index| Address::of(Path::new("/s"), Path::new("/p"), index).port;
        let all: std::collections::HashSet<u16> = (0..500).map(port).collect();
        assert_eq!(all.len(), 500);
        assert!(all.iter().all(|port| PORTS.contains(port)));
    }
}
