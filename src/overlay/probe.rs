//! What a store's directory can do, found out by doing it.
//!
//! Versions say little (distributions back-port), so a stub is really mounted: in a
//! child with user and mount namespaces, in a scratch directory inside the store that is
//! gone afterwards. It takes some milliseconds; [`Probe`] is made to be kept as JSON
//! and is good for as long as [`Probe::is_current`].

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cas::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::manifest::node::{Content, Entry, Kind, Meta, Time};
use crate::os::boot;
use crate::os::cursor::c_name;
use crate::os::dir::Dir;
use crate::os::link::link_unnamed;
use crate::os::mkdir;
use crate::os::remove::{remove_left, remove_tree};
use crate::os::userns::{Namespaces, in_namespaces};
use crate::os::xattr;
use crate::overlay::explain;
use crate::overlay::mount::{Layers, OverlaySpec, shown_options};
use crate::overlay::projection::{Projection, Stub};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The kernel and its boot this was found under.
    pub key: String,
    /// A writable overlay of ordinary files works, or why not.
    pub overlay: Result<()>,
    /// Stubs are followed and copied up, or why not.
    pub stub: Result<()>,
}

/// How a scratch directory's name begins; the process's number follows.
const SCRATCH: &str = ".probe-";
/// Where a store remembers its probe.
const NAME: &str = "probe.json";
const CONTENT: &[u8] = b"what a stub stands for\n";

impl Probe {
    /// Tries the directory. An error means that it could not be tried at all.
    pub fn run(store: &Path) -> Result<Self> {
        remove_left(store, SCRATCH);
        let scratch = store.join(format!("{SCRATCH}{}", std::process::id()));
        remove_tree(&scratch)?;
        for part in ["objects", "lower", "upper", "work", "view"] {
            mkdir::private(&scratch.join(part))?;
        }
        let probe = try_all(&scratch);
        remove_tree(&scratch)?;
        probe
    }

    /// The remembered result for this store, kernel and boot, or that of a trial made
    /// now. A failure is not remembered where its cause may be gone the next time.
    pub fn cached(store: &Path) -> Result<Self> {
        let path = store.join(NAME);
        let known: Option<Self> = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(probe) = known.filter(|probe| probe.is_current() && probe.is_lasting()) {
            return Ok(probe);
        }
        let probe = Self::run(store)?;
        if probe.is_lasting() {
            let text = serde_json::to_vec(&probe).map_err(std::io::Error::from).context("write", &path)?;
            let half = store.join(format!("{NAME}.{}", std::process::id()));
            fs::write(&half, text).context("write", &half)?;
            fs::rename(&half, &path).context("write", &path)?;
        }
        Ok(probe)
    }

    /// A kernel that does not follow stubs will not learn it before the next boot.
    fn is_lasting(&self) -> bool {
        const PASSING: [i32; 6] =
            [libc::ENOSPC, libc::EDQUOT, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN];
        let passes = |why: &Error| PASSING.iter().any(|&errno| why.is(errno));
        self.overlay.is_ok() && !self.stub.as_ref().is_err_and(passes)
    }

    /// Whether kernel and boot are the ones it was made under.
    pub fn is_current(&self) -> bool {
        self.key == key()
    }
}

fn try_all(scratch: &Path) -> Result<Probe> {
    let attempt = |stub: bool| {
        let work = || {
            // an overlay without them can be mounted, and fails at the first deletion
            xattr::set(&Dir::open(scratch)?, c"user.vrift", b"1")
                .context("set a user attribute on", scratch)
                .map_err(|error| error.with_hint(explain::PLACE))?;
            if stub { with_stub(scratch) } else { plain(scratch) }
        };
        in_namespaces("try an overlay", Namespaces::UserAndMount, work)
    };
    let overlay = attempt(false);
    let stub = overlay.clone().and_then(|()| {
        for part in ["upper", "work"] {
            let path = scratch.join(part);
            remove_tree(&path).and_then(|()| mkdir::private(&path))?;
        }
        attempt(true).map_err(|error| match error.hint() {
            Some(_) => error,
            None => error.with_hint("stubs are followed rootless from Linux 6.16 on"),
        })
    });
    Ok(Probe { key: key(), overlay, stub })
}

/// The check that `userxattr` is in force is the kernel's list of options, and a
/// directory over a deleted one: without it that is EIO.
fn plain(scratch: &Path) -> Result<()> {
    fs::create_dir(scratch.join("lower/d")).context("make directory", "lower/d")?;
    fs::write(scratch.join("lower/d/f"), "").context("write", "lower/d/f")?;
    let view = mount(scratch, None)?;
    let info = fs::read("/proc/self/mountinfo").context("read", "/proc/self/mountinfo")?;
    let (info, view_shown) = (String::from_utf8_lossy(&info), view.to_string_lossy());
    let (_, options) =
        shown_options(&info, &view_shown).ok_or_else(|| Error::failure("the mount does not appear"))?;
    if !options.iter().any(|option| option == "userxattr") {
        return Err(Error::failure("the kernel ignores `userxattr`"));
    }
    fs::remove_dir_all(view.join("d")).context("remove", "d")?;
    fs::create_dir(view.join("d")).context("make a directory over a deleted one", "d")?;
    match fs::read_dir(view.join("d")).context("read directory", "d")?.next() {
        None => Ok(()),
        Some(_) => Err(Error::failure("a deleted file came back")),
    }
}

fn with_stub(scratch: &Path) -> Result<()> {
    let digest = Digest::of(CONTENT);
    let object = scratch.join("objects").join(digest.object_path());
    mkdir::private(object.parent().unwrap_or(scratch))?;
    fs::write(&object, CONTENT).context("write", &object)?;
    let lower = Dir::open(&scratch.join("lower"))?;
    let content = Content { digest, size: CONTENT.len() as u64, sparse: false };
    let meta = Meta { mode: 0o644, mtime: Time { secs: 1_000_000_000, nanos: 1 }, xattrs: Vec::new() };
    let entry = Entry { name: b"stub".to_vec(), meta, group: 0, kind: Kind::File(content) };
    let made = Stub::new().make_file(&lower, &entry)?;
    link_unnamed(made.fd, &lower, c_name(&entry.name)?.as_c_str()).context("name", "stub")?;

    let stub = mount(scratch, Some(c"objects".into()))?.join("stub");
    let there = |size: u64| -> Result<()> {
        let stat = fs::metadata(&stub).context("stat", "stub")?;
        match stat.size() == size {
            true => Ok(()),
            false => Err(Error::failure(format!("a stub has {} bytes instead of {size}", stat.size()))),
        }
    };
    there(content.size)?;
    if fs::read(&stub).context("read through", "stub")? != CONTENT {
        return Err(Error::failure("a stub does not read as its object"));
    }
    let mut file = OpenOptions::new().append(true).open(&stub).context("open for writing", "stub")?;
    file.write_all(b"more").context("append to", "stub")?;
    there(content.size + 4)?;
    let object = fs::read(&object).context("read", &object)?;
    if object == CONTENT { Ok(()) } else { Err(Error::failure("writing to a stub changed its object")) }
}

fn mount(scratch: &Path, data: Option<CString>) -> Result<PathBuf> {
    let base = CString::new(scratch.as_os_str().as_bytes())
        .map_err(|_| Error::failure("the store's path has a NUL"))?;
    let layers = Layers {
        lowers: vec![c"lower".into()],
        data,
        upper: Some(c"upper".into()),
        work: Some(c"work".into()),
    };
    let spec = OverlaySpec::new(base, layers, c"view".into());
    spec.mount().map_err(|failure| failure.error(&spec.target))?;
    Ok(scratch.join("view"))
}

fn key() -> String {
    let system = rustix::system::uname();
    [system.release(), system.version()].map(|text| text.to_string_lossy().into_owned()).join(" ")
        + " "
        + &boot::id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_says_what_works_and_leaves_nothing() {
        let store = tempfile::tempdir().unwrap();
        // what a killed one left, long ago
        let left = store.path().join(".probe-1");
        mkdir::private(&left.join("lower")).unwrap();
        fs::File::open(&left).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        let probe = Probe::run(store.path()).unwrap();
        println!("{}", serde_json::to_string(&probe).unwrap());
        assert!(probe.is_current());
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0);
        let json = serde_json::to_string(&probe).unwrap();
        assert_eq!(serde_json::from_str::<Probe>(&json).unwrap(), probe);
        if let Err(why) = &probe.stub {
            crate::os::skip("stubs", why);
        }
    }
}
