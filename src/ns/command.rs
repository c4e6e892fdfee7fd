//! A command, and the image of it that the child needs: every string and array made
//! before the fork, because the child may not allocate.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null;

use crate::error::{Error, Kind, Result, quoted};

use super::plan::c_path;

/// What to run inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; a program without a slash is searched in `env`'s PATH, inside.
    pub argv: Vec<OsString>,
    /// The whole environment, PWD included.
    pub env: Vec<(OsString, OsString)>,
    /// Absolute path of the working directory.
    pub cwd: PathBuf,
}

/// PATH of who has none (confstr(_CS_PATH)).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A command as execve takes it.
pub(super) struct Image {
    pub(super) cwd: CString,
    pub(super) candidates: Vec<CString>,
    /// They come from PATH.
    pub(super) is_searched: bool,
    /// Then: the name in the working directory, which is not tried.
    pub(super) here: Option<CString>,
    /// Null-terminated pointers into the strings below.
    pub(super) argv: Vec<*const libc::c_char>,
    pub(super) envp: Vec<*const libc::c_char>,
    /// `/bin/sh FILE ARG…` for a script without `#!`; FILE is filled in by the child.
    pub(super) script: Vec<*const libc::c_char>,
    _strings: Vec<CString>,
}

impl Image {
    pub(super) fn new(command: &Command) -> Result<Self> {
        let program = command.argv.first().map(OsString::as_os_str).unwrap_or_default();
        if program.is_empty() {
            return Err(Error::new(Kind::NotFound, "the command is empty")
                .with_hint("as in: vrift exec make; a variable that holds it may not be set"));
        }
        let args: Vec<_> = command.argv.iter().map(|arg| c_string(arg)).collect::<Result<_>>()?;
        let variable = |(name, value): &(OsString, OsString)| {
            let mut text = name.clone();
            text.push("=");
            text.push(value);
            c_string(&text)
        };
        let env: Vec<_> = command.env.iter().map(variable).collect::<Result<_>>()?;
        let pointers =
            |strings: &[CString]| strings.iter().map(|s| s.as_ptr()).chain([null()]).collect::<Vec<_>>();
        let (argv, envp) = (pointers(&args), pointers(&env));
        let mut script = vec![c"/bin/sh".as_ptr(), null()];
        script.extend(argv.iter().skip(1));
        let candidates = candidates(program, path_of(&command.env))?;
        let strings = args.into_iter().chain(env).collect();
        let is_searched = !program.as_bytes().contains(&b'/');
        Ok(Self {
            cwd: c_path(&command.cwd)?,
            candidates,
            here: is_searched.then(|| c_path(&Path::new(".").join(program))).transpose()?,
            is_searched,
            argv,
            envp,
            script,
            _strings: strings,
        })
    }
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| Error::usage(format!("{} has a NUL", quoted(text))))
}

/// The last PATH wins, as in the programs that `putenv` it.
fn path_of(env: &[(OsString, OsString)]) -> &OsStr {
    env.iter().rfind(|(name, _)| name == "PATH").map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value)
}

/// What execvp would try, in order; an empty element is the working directory.
fn candidates(program: &OsStr, path: &OsStr) -> Result<Vec<CString>> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    let join = |dir: &[u8]| match dir {
        b"" => c_path(&Path::new(".").join(program)),
        dir => c_path(&Path::new(OsStr::from_bytes(dir)).join(program)),
    };
    path.as_bytes().split(|&byte| byte == b':').map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_slash_is_searched() {
        let of = |program: &str, path: &str| candidates(OsStr::new(program), OsStr::new(path)).unwrap();
        assert_eq!(of("ls", "/a::/b"), [c"/a/ls".to_owned(), c"./ls".into(), c"/b/ls".into()]);
        assert_eq!(of("./ls", "/a"), [c"./ls".to_owned()]);
    }

    #[test]
    fn an_empty_command_is_not_found() {
        let command = Command { argv: vec![], env: vec![], cwd: "/".into() };
        assert_eq!(Image::new(&command).err().unwrap().kind(), Kind::NotFound);
    }
}
