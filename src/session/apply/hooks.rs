//! Where the user's git looks for hooks: `core.hooksPath` as a directory of the project.
//!
//! Read from the files that git-config(1) names, the later ones counting; what they include is
//! not followed.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// The directory, relative to the project; `None` where none is set, or one outside of it.
pub fn path_in(root: &Path) -> Option<Vec<u8>> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("HOME");
    let mut files = Vec::new();
    match set("GIT_CONFIG_GLOBAL") {
        Some(file) => files.push(file),
        None => {
            let config = set("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
            files.extend(config.map(|config| config.join("git/config")));
            files.extend(home.as_ref().map(|home| home.join(".gitconfig")));
        }
    }
    files.push(root.join(".git/config"));
    files.push(root.join(".git/config.worktree"));
    let found = files.iter().filter_map(|file| hooks_path(&std::fs::read(file).ok()?)).next_back()?;
    let found = match (found.strip_prefix(b"~/"), home) {
        (Some(rest), Some(home)) => home.join(OsStr::from_bytes(rest)),
        _ => root.join(OsStr::from_bytes(&found)), // an absolute one stays as it is
    };
    let mut path = PathBuf::new();
    for part in found.strip_prefix(root).ok()?.components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(path.into_os_string().into_vec()).filter(|path| !path.is_empty())
}

/// The last value in a configuration file.
fn hooks_path(text: &[u8]) -> Option<Vec<u8>> {
    let (mut in_core, mut found) = (false, None);
    for line in text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(header) = line.strip_prefix(b"[") {
            let name = header.split(|&byte| byte == b']').next().unwrap_or_default();
            in_core = name.trim_ascii().eq_ignore_ascii_case(b"core");
        }
        let line =
            line.rsplit(|&byte| byte == b']').next().filter(|_| line.starts_with(b"[")).unwrap_or(line);
        let Some(at) = line.iter().position(|&byte| byte == b'=').filter(|_| in_core) else { continue };
        if line[..at].trim_ascii().eq_ignore_ascii_case(b"hookspath") {
            found = Some(value(line[at + 1..].trim_ascii()));
        }
    }
    found
}

/// Quotes and escapes are taken off; a comment ends it.
fn value(text: &[u8]) -> Vec<u8> {
    let (mut value, mut quoted, mut escaped) = (Vec::new(), false, false);
    for &byte in text {
        match byte {
            _ if escaped => {
                value.push(byte);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'#' | b';' if !quoted => break,
            _ => value.push(byte),
        }
    }
    value.trim_ascii_end().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_read_as_git_writes_it() {
        for (text, found) in [
            ("[core]\n\thooksPath = .hooks\n", Some(".hooks")),
            ("[core]\nhookspath=a\n[other]\nhooksPath=b\n", Some("a")),
            ("[CORE]\n HooksPath = \"a b\" # c\n", Some("a b")),
            ("[core] hooksPath = x ; y\n", Some("x")),
            ("[core]\nhooksPath = a\nhooksPath = b\n", Some("b")),
            ("[core \"x\"]\nhooksPath = a\n", None),
            ("hooksPath = a\n[core]\n", None),
        ] {
            let read = hooks_path(text.as_bytes());
            assert_eq!(read.as_deref(), found.map(str::as_bytes), "{text}");
        }
    }
}
