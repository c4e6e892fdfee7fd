//! One error type for the whole program: the operation that failed, the path it
//! failed on, the cause, and a hint the reader can act on.
//!
//! A message reads `cannot OPERATION `PATH`: CAUSE`; the hint is printed on a line
//! of its own. [`Kind`] is the only thing the exit status is derived from.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What sort of failure it is; `main` maps it to an exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A refusal or a failure of a verb: exit status 1.
    Failure,
    /// The command line is off: exit status 2.
    Usage,
    /// Something that vrift wrote does not read back (a foreign or broken byte).
    Corrupt,
    /// The command was found and could not be executed: 126.
    NotExecutable,
    /// The command was not found: 127.
    NotFound,
    /// A lock is held by somebody else.
    Busy,
    /// No run can be set up on this machine, or in this place.
    Unsupported,
}

/// A failure, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    kind: Kind,
    operation: String,
    /// As shown: quoted already, so that it may travel as text.
    path: Option<String>,
    cause: Option<String>,
    errno: Option<i32>,
    hint: Option<String>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure with a whole sentence of its own (no leading `cannot`).
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, operation: message.into(), path: None, cause: None, errno: None, hint: None }
    }

    /// A refusal or failure with a whole sentence of its own.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(Kind::Failure, message)
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Bytes that do not read back as what they should be.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, message)
    }

    /// A failed operation on a path, with the system's error.
    pub fn io(operation: &str, path: impl AsRef<Path>, cause: &io::Error) -> Self {
        Self {
            kind: Kind::Failure,
            operation: format!("cannot {operation}"),
            path: Some(quoted(path.as_ref().as_os_str())),
            cause: Some(plain_cause(cause)),
            errno: cause.raw_os_error(),
            hint: cause.raw_os_error().and_then(remedy).map(str::to_string),
        }
    }

    /// What a place knows to do; against want of descriptors nothing but more of them helps.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if !self.is_of_process() {
            self.hint = Some(hint.into());
        }
        self
    }

    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Why the operation failed, without which one it was.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The system's error number, where the cause is one.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// True when the cause is this error number (`libc::ENOENT`, …).
    pub fn is(&self, errno: i32) -> bool {
        self.errno == Some(errno)
    }

    /// True when the process lacked something: it says nothing of what was looked at.
    pub fn is_of_process(&self) -> bool {
        [libc::EMFILE, libc::ENFILE, libc::ENOMEM].iter().any(|&errno| self.is(errno))
    }
}

/// What a look at something ended with, unless the process itself lacked what it takes to look.
pub fn looked<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(error) if error.is_of_process() => Err(error),
        result => Ok(result),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operation)?;
        if let Some(path) = &self.path {
            write!(f, " {path}")?;
        }
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// What helps against an errno wherever it comes from; a place that knows more says that.
fn remedy(errno: i32) -> Option<&'static str> {
    Some(match errno {
        libc::EMFILE => "raise the limit of open files: ulimit -n 4096",
        libc::ENFILE => {
            "the whole system has too many files open: end something, or raise sysctl fs.file-max"
        }
        libc::ENOSPC | libc::EDQUOT => FREE_SPACE,
        libc::EROFS => "its filesystem is read-only; another place for the store: --store DIR or VRIFT_STORE",
        libc::EFBIG => "raise the limit of file sizes (ulimit -f) and run the command again; nothing is lost",
        _ => return None,
    })
}

const FREE_SPACE: &str = "free some space and run the command again; nothing is lost";

/// The system's sentence without Rust's ` (os error N)`.
fn plain_cause(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}

/// A name in backticks, as [`plain`] shows it.
pub fn quoted(name: &OsStr) -> String {
    format!("`{}`", plain(name).replace('`', "\\`"))
}

/// A name that stays on one line and never sends control characters to a terminal:
/// whatever is not printable is written as `\xNN`, `\n`, `\t`.
pub fn plain(name: &OsStr) -> String {
    let mut out = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                // those that turn the direction of a line, or cannot be seen, too
                c if c.is_control() => out.extend(c.escape_unicode()),
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                    out.extend(c.escape_unicode());
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// A name as a shell takes it, for commands in hints: bare where that is safe.
pub fn shell_word(name: impl AsRef<OsStr>) -> String {
    let bytes = name.as_ref().as_bytes();
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@%=:,".contains(byte);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(safe) => text.to_string(),
        Ok(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', "'\\''")),
        // bash, zsh and ksh: ANSI-C quoting
        _ => {
            let escape = |byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
                b' '..=b'~' => char::from(*byte).to_string(),
                byte => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", bytes.iter().map(escape).collect::<String>())
        }
    }
}

/// Adds operation and path to a bare error.
pub trait Context<T> {
    /// `operation` completes the sentence "cannot …".
    fn context(self, operation: &str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, operation: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|cause| Error::io(operation, path, &cause))
    }
}

impl<T> Context<T> for std::result::Result<T, rustix::io::Errno> {
    fn context(self, operation: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|errno| Error::io(operation, path, &errno.into()))
    }
}

impl<T> Context<T> for std::result::Result<T, nix::errno::Errno> {
    fn context(self, operation: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|errno| Error::io(operation, path, &errno.into()))
    }
}

impl<T> Context<T> for std::result::Result<T, rusqlite::Error> {
    fn context(self, operation: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|cause| {
            use rusqlite::ErrorCode::{
                CannotOpen, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly, SystemIoFailure,
            };
            let kind = match cause.sqlite_error_code() {
                Some(DatabaseBusy) => Kind::Busy,
                Some(DatabaseCorrupt | NotADatabase) => Kind::Corrupt,
                _ => Kind::Failure,
            };
            let why = match cause.sqlite_error_code() {
                Some(CannotOpen) => lacking_descriptors(),
                Some(SystemIoFailure) => lacking_descriptors().or_else(|| lacking_room(path.as_ref())),
                _ => None,
            };
            let io = why.unwrap_or_else(|| io::Error::other(cause.to_string()));
            let error = Error::io(operation, path, &io).with_kind(kind);
            match cause.sqlite_error_code() {
                _ if error.errno().is_some() => error, // its hint is that number's
                Some(DiskFull) => error.with_hint(FREE_SPACE),
                Some(CannotOpen) => error.with_hint("its directory must be yours and writable"),
                Some(ReadOnly) => error.with_hint("it must be yours and writable"),
                Some(SystemIoFailure) => {
                    error.with_hint("look at the disk (dmesg) and at `ulimit -f`; nothing is lost")
                }
                _ => error,
            }
        })
    }
}

/// SQLite does not say why it cannot open a file. It needs a database, its log, the log's index
/// and, for a moment, their directory: where as many cannot be had, that is why.
fn lacking_descriptors() -> Option<io::Error> {
    let files: io::Result<Vec<_>> = (0..4).map(|_| std::fs::File::open("/")).collect();
    files.err()
}

/// Nor does it say that a quota refused to let a file grow: whether one does is tried beside it.
fn lacking_room(path: &Path) -> Option<io::Error> {
    let dir = path.parent()?;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).custom_flags(libc::O_TMPFILE).open(dir);
    let refused = file.and_then(|mut file| io::Write::write_all(&mut file, &[1; 64 << 10])).err()?;
    [libc::EDQUOT, libc::ENOSPC].iter().any(|&errno| refused.raw_os_error() == Some(errno)).then_some(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_has_operation_path_and_cause() {
        let error = Error::io("open", "/a\nb", &io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(error.to_string(), "cannot open `/a\\nb`: No such file or directory");
        assert!(error.is(libc::ENOENT));
    }

    #[test]
    fn a_shell_gets_the_name_back() {
        for name in [
            &b"/a/b-c.d"[..],
            b"",
            b"a b",
            b"it's",
            b"$(x)`y`",
            b"new\nline",
            b"\xff\\'",
            "\u{e4}".as_bytes(),
        ] {
            let script = format!("printf %s {}", shell_word(OsStr::from_bytes(name)));
            let Ok(ran) = std::process::Command::new("bash").args(["-c", &script]).output() else { return };
            assert_eq!(ran.stdout, name, "{script}");
        }
        assert_eq!(shell_word("/a/b"), "/a/b");
    }

    #[test]
    fn names_that_are_not_utf8_are_shown_as_escapes() {
        assert_eq!(quoted(OsStr::from_bytes(b"a\xff\x1b")), "`a\\xff\\u{1b}`");
    }
}
