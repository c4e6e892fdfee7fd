//! The user's shell for `enter`, and the sign in its prompt.
//!
//! No file of the user's is touched: the shell is pointed at a file of ours, which lies
//! in the cover over the store (read-only, gone with the session) and reads the user's
//! own files first.
//!
//! | shell | is pointed there by | and then |
//! |---|---|---|
//! | bash | `--rcfile` | `~/.bashrc`, and a function at the end of PROMPT_COMMAND |
//! | zsh | ZDOTDIR, given back at once (VRIFT_ZDOTDIR) | a function at the end of precmd_functions |
//! | fish | `--init-command` | fish_prompt and fish_title are wrapped |
//! | others | – | PS1 in the environment, where it is not set |
//!
//! A prompt that mentions VRIFT_WORKSPACE itself is left alone.

use std::ffi::{CString, OsStr, OsString};
use std::path::Path;

/// Their names in the cover.
const BASH: &str = ".bashrc";
const ZSH: &str = ".zshenv";
const FISH: &str = ".fish";

/// The files for the cover.
pub fn files() -> Vec<(CString, Vec<u8>)> {
    let file = |name: &str, text: &str| Some((CString::new(name).ok()?, text.as_bytes().to_vec()));
    let all = [
        file(BASH, include_str!("shell/bashrc")),
        file(ZSH, include_str!("shell/zshenv")),
        file(FISH, include_str!("shell/fish")),
    ];
    all.into_iter().flatten().collect()
}

/// How to start a shell.
#[derive(Debug, PartialEq, Eq)]
pub struct Shell {
    pub argv: Vec<OsString>,
    /// On top of the environment every run has.
    pub env: Vec<(OsString, OsString)>,
}

/// The user's shell: SHELL, else the password file's, else `/bin/sh`.
pub fn of_user() -> OsString {
    let set = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    set.or_else(|| {
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok()??;
        Some(user.shell.into_os_string()).filter(|shell| !shell.is_empty())
    })
    .unwrap_or_else(|| "/bin/sh".into())
}

/// How to start `shell` in a session whose cover is at `cover`, so that it shows where
/// it is; `before` is the value a variable has now.
pub fn with_sign(
    shell: OsString,
    cover: &Path,
    workspace: &str,
    before: &dyn Fn(&str) -> Option<OsString>,
) -> Shell {
    let name = Path::new(&shell).file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
    match name.as_str() {
        "bash" => Shell { argv: vec![shell, "--rcfile".into(), cover.join(BASH).into()], env: Vec::new() },
        "zsh" => {
            let own = before("ZDOTDIR").map(|dir| ("VRIFT_ZDOTDIR".into(), dir));
            let ours = ("ZDOTDIR".into(), cover.as_os_str().to_owned());
            Shell { argv: vec![shell], env: own.into_iter().chain([ours]).collect() }
        }
        "fish" => {
            // in fish, a backslash escapes itself and the quote between single quotes
            let path = cover.join(FISH);
            let path = path.to_string_lossy().replace('\\', "\\\\").replace('\'', "\\'");
            Shell {
                argv: vec![shell, "--init-command".into(), format!("source '{path}'").into()],
                env: Vec::new(),
            }
        }
        _ if before("PS1").is_none()
            && workspace.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) =>
        {
            let sign = if rustix::process::geteuid().is_root() { '#' } else { '$' };
            let prompt = format!("(vrift:{workspace}) {sign} ");
            Shell { argv: vec![shell], env: vec![("PS1".into(), prompt.into())] }
        }
        _ => Shell { argv: vec![shell], env: Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shell: &str, before: &[(&str, &str)]) -> Shell {
        let before = |name: &str| {
            before.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        with_sign(shell.into(), Path::new("/s/it's"), "main", &before)
    }

    #[test]
    fn each_shell_is_pointed_at_its_file() {
        assert_eq!(of("/bin/bash", &[]).argv, ["/bin/bash", "--rcfile", "/s/it's/.bashrc"]);
        assert_eq!(of("/bin/fish", &[]).argv[2], "source '/s/it\\'s/.fish'");
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        assert_eq!(of("zsh", &[]).env, [pair("ZDOTDIR", "/s/it's")]);
        let zsh = of("zsh", &[("ZDOTDIR", "/z")]);
        assert_eq!(zsh.env, [pair("VRIFT_ZDOTDIR", "/z"), pair("ZDOTDIR", "/s/it's")]);
        assert_eq!(of("/bin/dash", &[("PS1", "x")]), Shell { argv: vec!["/bin/dash".into()], env: vec![] });
        assert_eq!(of("/bin/dash", &[]).env.len(), 1);
    }
}
