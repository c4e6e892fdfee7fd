//! The steps of a plan that confine a session: before the overlay what is read-only, after
//! the store is covered what is put in the place of the host's.
//!
//! | | `none` | `home` | `host` |
//! |---|---|---|---|
//! | home directory | as it is | read-only but for caches | read-only but for caches |
//! | everything else | as it is | as it is | read-only but for `/tmp`, caches, binds, `live` |
//! | `/dev` | as it is | as it is | the session's own, without devices that store |
//! | System V objects | the host's | the host's | the session's own |
//! | later mounts of the host | appear | do not | do not |
//!
//! The store stays writable underneath, for the overlay's upper is in it, and is covered.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Shape, caches, cgroup};
use crate::config::run::{Confine, Net};
use crate::error::{Context, Error, Result, quoted};
use crate::ns::plan::{Bind, Carried, FileSystem, Fresh, ReadOnly, Step, c_path};
use crate::session::elsewhere::Elsewhere;
use crate::session::mountinfo::Mounted;
use crate::session::mounts::{Mount, What};
use crate::session::project::Place;

const TMP: &str = "/tmp";
const VAR_TMP: &str = "/var/tmp";
/// Character devices that every program may use: nothing behind them stores or controls.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// What a session is confined in.
pub struct Surroundings<'a> {
    pub shape: &'a Shape,
    pub elsewhere: &'a Elsewhere,
    pub place: &'a Place,
    pub mounts: &'a [Mount],
    pub mounted: &'a [Mounted],
}

impl Surroundings<'_> {
    /// Before anything else is mounted.
    pub fn first(&self) -> Result<Vec<Step>> {
        let shape = self.shape;
        if shape.confine == Confine::None && shape.limit.is_none() {
            return Ok(vec![Step::SlaveMounts]);
        }
        let mut steps = vec![Step::PrivateMounts];
        match shape.confine {
            Confine::None => {}
            Confine::Home => {
                let home = self.home()?;
                let writable: Vec<PathBuf> =
                    self.writable(&home)?.into_iter().filter(|path| path.starts_with(&home)).collect();
                steps.push(read_only(&home, writable)?);
            }
            Confine::Host => {
                let mut writable = self.writable(&self.home()?)?;
                if !shape.private_tmp {
                    writable.extend(std::fs::canonicalize(TMP));
                }
                if writable.iter().any(|path| path == Path::new("/")) {
                    return Err(Error::failure(
                        "the root directory cannot be bound in a run that is confined to the project",
                    )
                    .with_hint("bind it read-only, or a directory below it"));
                }
                steps.push(read_only(Path::new("/"), writable)?);
            }
        }
        if let Some(cgroups) = cgroup::mount_point(self.mounted).filter(|_| !shape.limit.is_none()) {
            steps.push(read_only(&cgroups, Vec::new())?);
        }
        Ok(steps)
    }

    /// After the store is covered: a bind with the store in it shows the cover.
    pub fn last(&self) -> Result<Vec<Step>> {
        let shape = self.shape;
        let mut steps = Vec::new();
        let binds: Vec<Bind> = shape.binds.iter().map(|bind| self.bind(bind)).collect::<Result<_>>()?;
        if !binds.is_empty() {
            steps.push(Step::Bind(binds));
        }
        if shape.private_tmp {
            let both = [TMP, VAR_TMP].map(Path::new);
            // one that is not there, or is a link to the other, needs none
            let real =
                both.into_iter().filter(|path| std::fs::canonicalize(path).is_ok_and(|real| real == *path));
            for path in real {
                steps.push(Step::Fresh(self.fresh(path, c"mode=1777")?));
            }
        }
        if shape.confine == Confine::Host {
            let mut dev = self.fresh(Path::new("/dev"), c"mode=0755")?;
            for device in DEVICES.into_iter().filter(|device| Path::new(device).exists()) {
                dev.carried.push(Carried { path: c_path(Path::new(device))?, is_dir: false });
            }
            dev.dirs.extend([c"/dev/pts".to_owned(), c"/dev/shm".to_owned()]);
            for (text, place) in DEVICE_LINKS {
                dev.links.push((c_path(Path::new(text))?, c_path(Path::new(place))?));
            }
            steps.push(Step::Fresh(dev));
            let own = |kind: &std::ffi::CStr, path: &std::ffi::CStr, options: &std::ffi::CStr| {
                Step::FileSystem(FileSystem { kind: kind.into(), path: path.into(), options: options.into() })
            };
            steps.push(own(c"devpts", c"/dev/pts", c"newinstance,ptmxmode=0666,mode=620"));
            steps.push(own(c"tmpfs", c"/dev/shm", c"mode=1777"));
        }
        if shape.net != Net::Host {
            steps.push(Step::Loopback);
        }
        Ok(steps)
    }

    /// After `/proc` is the session's own. Nobody but root of the machine may write there.
    pub fn after_proc(&self) -> Option<Step> {
        let needed = self.shape.confine == Confine::Host && rustix::process::geteuid().is_root();
        needed.then_some(Step::GuardProc)
    }

    fn home(&self) -> Result<PathBuf> {
        let named = caches::home()?;
        let real = std::fs::canonicalize(&named).context("go to the home directory", &named)?;
        if real == Path::new("/") {
            return Err(
                Error::failure("the home directory is `/`").with_hint("set HOME to a directory of its own")
            );
        }
        Ok(real)
    }

    /// Real paths that stay writable: what was asked for, and the store, which is covered.
    fn writable(&self, home: &Path) -> Result<Vec<PathBuf>> {
        let mut found = caches::resolved(&caches::directories(&self.shape.caches)?, home)?;
        found.push(self.place.store.root().to_path_buf());
        let root = &self.place.root;
        for mount in self.mounts {
            match &mount.what {
                What::Live => found.push(root.join(std::ffi::OsStr::from_bytes(&mount.path))),
                What::Bind { source, read_only: false } => found.push(real(source)?),
                _ => {}
            }
        }
        for bind in self.shape.binds.iter().filter(|bind| !bind.read_only) {
            found.push(real(&bind.source)?);
        }
        Ok(found)
    }

    fn bind(&self, bind: &crate::config::bind::Bind) -> Result<Bind> {
        let (source, target) = (real(&bind.source)?, real(Path::new(&bind.target))?);
        let store = self.place.store.root();
        if source.starts_with(store) || store.starts_with(&target) || self.place.root.starts_with(&target) {
            return Err(Error::failure(format!(
                "{} cannot be bound at {}: the store or the project lies there",
                quoted(source.as_os_str()),
                quoted(target.as_os_str())
            ))
            .with_hint("bind something else, or somewhere else"));
        }
        let is_dir = |path: &Path| path.is_dir();
        if is_dir(&source) != is_dir(&target) {
            return Err(Error::failure(format!(
                "{} cannot be bound at {}: one is a directory, the other is not",
                quoted(source.as_os_str()),
                quoted(target.as_os_str())
            ))
            .with_hint("bind a directory at a directory, a file at a file"));
        }
        Ok(Bind {
            source: c_path(&source)?,
            target: c_path(&target)?,
            read_only: bind.read_only,
            whole: true,
        })
    }

    /// A directory of the session's own, in which the project, the store's cover, binds and
    /// declared caches are where they were.
    fn fresh(&self, path: &Path, options: &std::ffi::CStr) -> Result<Fresh> {
        if self.place.root == path {
            return Err(Error::failure(format!("the project is {} itself", quoted(path.as_os_str())))
                .with_hint("leave --private-tmp out"));
        }
        let targets = self.shape.binds.iter().map(|bind| real(Path::new(&bind.target)));
        let mut carried: Vec<PathBuf> = targets.collect::<Result<_>>()?;
        carried.extend(self.elsewhere.private.iter().cloned());
        carried.extend([self.place.root.clone(), self.place.store.root().to_path_buf()]);
        if !self.shape.caches.is_empty() {
            carried.extend(caches::resolved(&caches::directories(&self.shape.caches)?, &self.home()?)?);
        }
        carried.retain(|inner| inner.starts_with(path) && inner != path);
        carried.sort_unstable();
        carried.dedup();
        // what lies in another one comes along with it
        let all = carried.clone();
        carried.retain(|inner| !all.iter().any(|outer| inner != outer && inner.starts_with(outer)));
        let mut dirs: Vec<PathBuf> = Vec::new();
        for inner in &carried {
            let above = inner.ancestors().skip(1).take_while(|dir| *dir != path);
            dirs.extend(above.map(Path::to_path_buf));
        }
        dirs.sort_unstable();
        dirs.dedup();
        let carry = |path: PathBuf| Ok(Carried { is_dir: path.is_dir(), path: c_path(&path)? });
        Ok(Fresh {
            path: c_path(path)?,
            options: options.into(),
            dirs: dirs.iter().map(|dir| c_path(dir)).collect::<Result<_>>()?,
            carried: carried.into_iter().map(carry).collect::<Result<_>>()?,
            links: Vec::new(),
        })
    }
}

/// Outer ones first, so that inner ones come to lie on top.
fn read_only(path: &Path, mut but: Vec<PathBuf>) -> Result<Step> {
    but.sort_unstable();
    but.dedup();
    let but: Vec<CString> = but.iter().map(|path| c_path(path)).collect::<Result<_>>()?;
    Ok(Step::ReadOnly(ReadOnly { path: c_path(path)?, but }))
}

fn real(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path).context("bind", path)
}
