//! Whether stubs work here: by really mounting one, once per store and kernel.
//!
//! The trial makes an object, a stub of it, an upper and a work directory in a scratch
//! directory of the store, mounts them in namespaces of its own, reads through the
//! stub, writes to it, and replaces a directory (which fails without `userxattr`).

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::compat;
use super::mount::OverlaySpec;
use super::projection::{Projection, stub::Stub};
use crate::cas::Digest;
use crate::cas::publish::link_unnamed;
use crate::error::{Context, Error, Result};
use crate::manifest::node::{Content, Entry, Kind, Meta, Time};
use crate::os::dir::Dir;
use crate::os::{mkdir, remove, userns};

/// What a trial found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The kernel it was made on: release and version.
    pub kernel: String,
    /// The store's filesystem.
    pub filesystem: String,
    /// Why stubs do not work; `None`: they do.
    pub stub: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

const NAME: &str = "probe.json";
const TEXT: &[u8] = b"what the stub shows";

/// The remembered result for this store and kernel, or that of a trial made now. A
/// failure is not remembered: its cause may be gone the next time.
pub fn cached(store: &Path) -> Result<Probe> {
    let path = store.join(NAME);
    let known: Option<Probe> = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(probe) = known.filter(|probe| probe.kernel == kernel() && probe.stub.is_none()) {
        return Ok(probe);
    }
    let probe = run(store)?;
    if probe.stub.is_none() {
        let text = serde_json::to_vec(&probe).map_err(std::io::Error::from).context("write", &path)?;
        let half = store.join(format!("{NAME}.{}", std::process::id()));
        std::fs::write(&half, text).context("write", &half)?;
        std::fs::rename(&half, &path).context("write", &path)?;
    }
    Ok(probe)
}

/// Makes the trial.
pub fn run(store: &Path) -> Result<Probe> {
    let scratch = store.join(format!("probe-{}", std::process::id()));
    let outcome = prepare(&scratch).and_then(|spec| {
        userns::in_child("try a mount", || {
            userns::enter_own_namespace(CloneFlags::CLONE_NEWNS, rustix::process::geteuid().as_raw())?;
            trial(&spec, &scratch)
        })
    });
    remove::remove_tree(&scratch)?;
    let (stub, hint) = match outcome {
        Ok(()) => (None, None),
        Err(error) => (Some(error.to_string()), error.hint().map(str::to_string)),
    };
    Ok(Probe { kernel: kernel(), filesystem: filesystem(store), stub, hint })
}

fn prepare(scratch: &Path) -> Result<OverlaySpec> {
    for name in ["objects", "lower/dir", "upper", "work", "view"] {
        mkdir::private(&scratch.join(name))?;
    }
    let digest = Digest::of(TEXT);
    let object = scratch.join("objects").join(digest.object_path());
    mkdir::private(object.parent().unwrap_or(scratch))?;
    std::fs::write(&object, TEXT).context("write", &object)?;
    let content = Content { digest, size: TEXT.len() as u64, sparse: false };
    let meta = Meta { mode: 0o640, mtime: Time { secs: 1, nanos: 2 }, xattrs: Vec::new() };
    let entry = Entry { name: b"stub".to_vec(), meta, group: 0, kind: Kind::File(content) };
    let lower = Dir::open(&scratch.join("lower"))?;
    let made =
        Stub.make_file(&lower, &entry).and_then(|file| link_unnamed(file.as_fd(), lower.as_fd(), c"stub"));
    made.context("make a stub in", lower.path()).map_err(|error| {
        error.with_hint(
            "the store's filesystem needs O_TMPFILE and user xattrs: choose another with --store DIR",
        )
    })?;
    let target = CString::new(scratch.join("view").as_os_str().as_bytes())
        .map_err(|_| Error::failure("the store's path has a NUL"))?;
    OverlaySpec::new(
        scratch,
        vec![c"lower".into()],
        Some(c"objects".into()),
        Some((c"upper".into(), c"work".into())),
        target,
    )
}

/// In namespaces of its own.
fn trial(spec: &OverlaySpec, scratch: &Path) -> Result<()> {
    spec.mount().map_err(|failure| {
        let (cause, hint) = compat::explain(failure.step, failure.errno);
        let errno = std::io::Error::from_raw_os_error(failure.errno);
        Error::io("mount an overlay at", scratch, &errno)
            .with_cause(format!("{cause} ({}: {errno})", failure.step))
            .with_hint(hint)
    })?;
    let view = scratch.join("view");
    let stub = view.join("stub");
    let read = std::fs::read(&stub).context("read through a stub at", &stub);
    let read = read.map_err(|error| error.with_hint("stubs are followed rootless from Linux 6.16 on"))?;
    if read != TEXT {
        return Err(Error::failure("a stub does not show its object")
            .with_hint("stubs are followed rootless from Linux 6.16 on"));
    }
    let write = || -> std::io::Result<()> {
        use std::io::Write;
        std::fs::OpenOptions::new().append(true).open(&stub)?.write_all(b"!")?;
        std::fs::remove_dir(view.join("dir"))?;
        std::fs::create_dir(view.join("dir"))
    };
    write().context("write in the view at", &view)
}

/// The running kernel: what a remembered result holds for.
pub fn kernel() -> String {
    let uname = rustix::system::uname();
    format!("{} {}", uname.release().to_string_lossy(), uname.version().to_string_lossy())
}

/// The name of the filesystem that a path is on, as far as its magic is known
/// (statfs(2)).
pub fn filesystem(path: &Path) -> String {
    let Ok(stat) = rustix::fs::statfs(path) else { return "unknown".into() };
    match stat.f_type as u32 {
        0xef53 => "ext4".into(),
        0x5846_5342 => "xfs".into(),
        0x9123_683e => "btrfs".into(),
        0x0102_1994 => "tmpfs".into(),
        0x794c_7630 => "overlay".into(),
        0x6969 => "nfs".into(),
        0x2fc1_2fc1 => "zfs".into(),
        0xf2f5_2010 => "f2fs".into(),
        0x6573_5546 => "fuse".into(),
        0xca45_1a4e => "bcachefs".into(),
        magic => format!("{magic:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_nothing_and_a_success_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let probe = run(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        if let Some(why) = probe.stub {
            assert!(std::env::var_os("VRIFT_MUST_WORK").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return;
        }
        assert_eq!(cached(dir.path()).unwrap(), cached(dir.path()).unwrap());
        assert!(dir.path().join(NAME).exists());
    }
}
