//! The marker in the cover of the store, by which a process knows that it is inside a
//! session, and of which (rule 23): an environment variable could lie.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::{Context, Result};

/// The marker in the cover by which a process knows that it is inside (rule 23).
pub(super) const INSIDE: &std::ffi::CStr = c"inside.json";

/// Beside it, the socket of the launchers' desks.
pub(super) const REQUESTS: &std::ffi::CStr = c"requests";

/// What the marker says.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Inside {
    pub workspace: String,
    pub session: String,
    #[serde(with = "path_bytes")]
    pub root: PathBuf,
}

impl Inside {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Connects to whichever launcher of the session is free, from inside.
    pub fn connect(store: &Path) -> Result<OwnedFd> {
        let name = OsStr::from_bytes(REQUESTS.to_bytes());
        let path = store.join(name);
        let dir = std::fs::File::open(store).context("open", store)?;
        // the whole path may be too long for an address (108 bytes)
        let address = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
        let address = SocketAddrUnix::new(&address).context("name", &path)?;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .context("make a socket for", &path)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => Ok(socket),
            Err(errno) => Err(errno).context("reach the run's vrift process by", &path).map_err(|error| {
                error.with_hint("the run is ending, or was started by another version: leave it first")
            }),
        }
    }

    /// The session this process is inside of, if the store is covered.
    pub fn of(store: &Path) -> Option<Self> {
        let text = std::fs::read(store.join("inside.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

mod path_bytes {
    use super::{OsStrExt, PathBuf};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::os::unix::ffi::OsStringExt;

    pub fn serialize<S: Serializer>(path: &std::path::Path, to: S) -> std::result::Result<S::Ok, S::Error> {
        path.as_os_str().as_bytes().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<PathBuf, D::Error> {
        Vec::deserialize(from).map(|bytes| std::ffi::OsString::from_vec(bytes).into())
    }
}
