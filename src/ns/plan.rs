//! What is done to a session's namespaces, as data.
//!
//! A plan is an ordered list of steps; `Display` prints one line a step
//! (`--dry-run`), and building one needs no privilege. Everything the steps need is
//! made beforehand (C strings, descriptors), because the interpreter may not
//! allocate. A new step is a variant here, an arm in `Step::operation` and in
//! `Display`, and an arm in `interpret.rs`.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, quoted};
use crate::overlay::mount::OverlaySpec;
use crate::psfs::door;

/// The steps, in order.
#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub enum Step {
    /// Later mounts of the host appear inside, ours never outside (rule 21).
    SlaveMounts,
    /// Later mounts of the host do not appear inside: in a confined session they would be
    /// as writable as they are outside.
    PrivateMounts,
    /// Makes a directory read-only with all that is mounted below it.
    ReadOnly(ReadOnly),
    /// Takes hold of these places of the host (mount points, `live` directories, what cannot
    /// be read), with what is mounted below each, before the overlay hides them.
    HoldSubmounts(Vec<Held>),
    /// The view itself.
    Overlay(OverlaySpec),
    /// Puts what was held back on top of the overlay.
    RestoreSubmounts,
    /// Mounts directories and files from elsewhere on top of the overlay, in this order.
    Bind(Vec<Bind>),
    /// Watches the overlay's root for the end of its filesystem (rule 2).
    Watch(CString),
    /// Hides a store (rule 23).
    Cover(Cover),
    /// Writes into the page of a cover what is seen of Tier-1 directories, and makes the cover
    /// read-only. After everything that mounts.
    Page(Page),
    /// An empty directory of the session's own in the place of one of the host's.
    Fresh(Fresh),
    /// A file system of the session's own.
    FileSystem(FileSystem),
    /// A `/proc` of the new pid namespace; where the kernel refuses, a warning.
    FreshProc,
    /// Makes what in `/proc` is the machine's, not a process's, read-only: a root caller
    /// may write there by uid alone.
    GuardProc,
    /// Sets the loopback interface of the network namespace up.
    Loopback,
}

/// What is read-only, and what of it is not.
#[derive(Clone, Debug)]
pub struct ReadOnly {
    pub path: CString,
    /// Directories and files at or below that stay as they are, outer ones first.
    pub but: Vec<CString>,
}

/// What is to be seen of which directories.
#[derive(Debug)]
pub struct Page {
    /// The cover that has the page.
    pub cover: CString,
    /// In the page's order.
    pub roots: Vec<CString>,
}

/// A tmpfs over a directory.
#[derive(Debug)]
pub struct Fresh {
    pub path: CString,
    /// As mount(8) has them after `-o`.
    pub options: CString,
    /// Directories that are made in it, outer ones first.
    pub dirs: Vec<CString>,
    /// Mounts below the directory that are seen in the new one too.
    pub carried: Vec<Carried>,
    /// Symbolic links in it: what they say, and where.
    pub links: Vec<(CString, CString)>,
}

/// A mount, or a part of one, that stays where it is while the directory above changes.
#[derive(Debug)]
pub struct Carried {
    pub path: CString,
    pub is_dir: bool,
}

/// A file system by its kind, with nosuid and noexec.
#[derive(Debug)]
pub struct FileSystem {
    pub kind: CString,
    pub path: CString,
    pub options: CString,
}

/// A place of the host that stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    pub path: CString,
    /// Read-only, and passed over where it has gone meanwhile.
    pub as_it_is: bool,
}

/// Something mounted on top of the overlay; source and target are of one kind.
#[derive(Debug)]
pub struct Bind {
    pub source: CString,
    pub target: CString,
    pub read_only: bool,
    /// With all that is mounted below it; what is not read-only always is.
    pub whole: bool,
}

/// Something of the host that shows through a cover, as it was before the overlay.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) source: CString,
    /// Its place inside the cover.
    pub(super) target: CString,
    pub(super) is_dir: bool,
    pub(super) is_writable: bool,
}

/// A small read-only tmpfs over a directory that nobody inside may reach.
#[derive(Debug)]
pub struct Cover {
    path: CString,
    /// Names and contents, mode 0444.
    files: Vec<(CString, Vec<u8>)>,
    /// What of the host shows through, read-only but where it says so.
    binds: Vec<Window>,
    /// The name of a socket where processes inside ask the launchers.
    requests: Option<&'static CStr>,
    /// The mover listens here.
    door: bool,
    /// Stays writable until a `Page` step.
    has_page: bool,
    options: CString,
}

impl Cover {
    /// A cover of `path` that holds `files`, flat.
    pub fn new(path: &Path, files: Vec<(CString, Vec<u8>)>) -> Result<Self> {
        let pages: usize = files.iter().map(|(_, content)| content.len() / 4096 + 2).sum();
        let options = format!("mode=0755,size={}k,nr_inodes={}", 4 * pages + 64, files.len() + 64);
        let options = CString::new(options).map_err(|_| Error::failure("a number with a NUL"))?;
        let binds = Vec::new();
        Ok(Self { path: c_path(path)?, files, binds, requests: None, door: false, has_page: false, options })
    }

    /// Lets a file (a socket too) or directory of the host show through as `name`, read-only.
    pub fn bind(self, source: &Path, name: &str) -> Result<Self> {
        self.show(source, name, false)
    }

    /// Lets a file show through that everybody inside may write to.
    pub fn bind_writable(self, source: &Path, name: &str) -> Result<Self> {
        self.show(source, name, true)
    }

    fn show(mut self, source: &Path, name: &str, is_writable: bool) -> Result<Self> {
        let place = Path::new(OsStr::from_bytes(self.path.to_bytes())).join(name);
        let (source, target, is_dir) = (c_path(source)?, c_path(&place)?, source.is_dir());
        self.binds.push(Window { source, target, is_dir, is_writable });
        Ok(self)
    }

    /// Puts a socket into it by which processes inside reach the launchers' desks.
    pub fn with_requests(mut self, name: &'static CStr) -> Self {
        self.requests = Some(name);
        self
    }

    pub(super) fn requests(&self) -> Option<&'static CStr> {
        self.requests
    }

    /// Has the mover listen, at [`door::SOCKET`].
    pub fn with_door(mut self) -> Self {
        self.door = true;
        self
    }

    /// Leaves it writable, for a `Page` step to come.
    pub fn with_page(mut self) -> Self {
        self.has_page = true;
        self
    }

    pub(super) fn has_page(&self) -> bool {
        self.has_page
    }

    pub(super) fn has_door(&self) -> bool {
        self.door
    }

    pub(super) fn path(&self) -> &CStr {
        &self.path
    }

    pub(super) fn options(&self) -> &CStr {
        &self.options
    }

    pub(super) fn files(&self) -> &[(CString, Vec<u8>)] {
        &self.files
    }

    pub(super) fn binds(&self) -> &[Window] {
        &self.binds
    }
}

impl Plan {
    pub fn new(steps: Vec<Step>) -> Self {
        Self { steps }
    }

    pub(super) fn watches(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Watch(_)))
    }

    pub(super) fn takes_requests(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Cover(cover) if cover.requests.is_some()))
    }

    /// The mover can be asked.
    pub(super) fn has_door(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Cover(cover) if cover.has_door()))
    }

    /// What shows through covers, with the number of the cover's step.
    pub(super) fn windows(&self) -> impl Iterator<Item = (usize, &Window)> {
        self.steps.iter().enumerate().flat_map(|(number, step)| {
            let binds = if let Step::Cover(cover) = step { cover.binds() } else { &[] };
            binds.iter().map(move |window| (number, window))
        })
    }

    /// How many places of the host are held by themselves.
    pub(super) fn submounts(&self) -> usize {
        let of = |step: &Step| if let Step::HoldSubmounts(paths) = step { paths.len() } else { 0 };
        self.steps.iter().map(of).sum()
    }

    /// How many descriptors the steps hold at once at most.
    pub(super) fn holds(&self) -> usize {
        self.steps.iter().map(Step::holds).sum()
    }
}

impl Step {
    fn holds(&self) -> usize {
        match self {
            Step::HoldSubmounts(paths) => paths.len(),
            Step::Cover(cover) => cover.binds.len(),
            Step::ReadOnly(what) => what.but.len(),
            Step::Fresh(fresh) => fresh.carried.len(),
            _ => 0,
        }
    }

    /// Completes "cannot …" when the step failed, with the path it is about.
    pub(super) fn operation(&self) -> (&'static str, PathBuf) {
        let path = |path: &CStr| PathBuf::from(OsStr::from_bytes(path.to_bytes()));
        match self {
            Step::SlaveMounts => ("make the session's mounts slaves of", "/".into()),
            Step::PrivateMounts => ("make the session's mounts private from", "/".into()),
            Step::ReadOnly(what) => ("make read-only", path(&what.path)),
            Step::Fresh(fresh) => ("make a fresh", path(&fresh.path)),
            Step::FileSystem(mount) => ("mount a file system at", path(&mount.path)),
            Step::GuardProc => ("make read-only parts of", "/proc".into()),
            Step::Loopback => ("set up the loopback interface of", "the session".into()),
            Step::HoldSubmounts(_) => ("hold the mounts below", "the project".into()),
            Step::Overlay(spec) => ("mount the overlay at", path(&spec.target)),
            Step::RestoreSubmounts => ("put back the mounts below", "the project".into()),
            Step::Bind(binds) => ("bind into", binds.first().map_or("/".into(), |bind| path(&bind.target))),
            Step::Watch(root) => ("watch", path(root)),
            Step::Cover(cover) => ("cover the store", path(&cover.path)),
            Step::Page(page) => ("write the page in", path(&page.cover)),
            Step::FreshProc => ("mount a fresh", "/proc".into()),
        }
    }
}

/// A path as the kernel takes it.
pub fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::failure(format!("the path {} has a NUL", quoted(path.as_os_str()))))
}

fn shown(path: &CStr) -> String {
    quoted(OsStr::from_bytes(path.to_bytes()))
}

fn list<'a>(f: &mut fmt::Formatter<'_>, paths: impl IntoIterator<Item = &'a CString>) -> fmt::Result {
    paths.into_iter().try_for_each(|path| write!(f, " {}", shown(path)))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::SlaveMounts => f.write_str("slave-mounts `/`"),
            Step::PrivateMounts => f.write_str("private-mounts `/`"),
            Step::ReadOnly(what) => {
                write!(f, "read-only {}", shown(&what.path))?;
                if !what.but.is_empty() {
                    f.write_str(" but")?;
                }
                list(f, &what.but)
            }
            Step::Fresh(fresh) => {
                write!(f, "fresh {} with", shown(&fresh.path))?;
                list(f, fresh.carried.iter().map(|carried| &carried.path))?;
                list(f, fresh.links.iter().map(|(_, place)| place))
            }
            Step::FileSystem(mount) => {
                write!(f, "file-system {} at {}", shown(&mount.kind), shown(&mount.path))
            }
            Step::GuardProc => f.write_str("guard-proc `/proc`"),
            Step::Loopback => f.write_str("loopback"),
            Step::HoldSubmounts(paths) => {
                f.write_str("hold-submounts")?;
                list(f, paths.iter().map(|held| &held.path))
            }
            Step::Overlay(spec) => {
                write!(f, "overlay {} below {}", shown(&spec.target), shown(&spec.base))?;
                spec.upper.iter().try_for_each(|upper| write!(f, " upper {}", shown(upper)))?;
                f.write_str(" lower")?;
                list(f, &spec.lowers)?;
                spec.data.iter().try_for_each(|data| write!(f, " data {}", shown(data)))
            }
            Step::RestoreSubmounts => f.write_str("restore-submounts"),
            Step::Bind(binds) => {
                f.write_str("bind")?;
                binds.iter().try_for_each(|bind| {
                    let how = if bind.read_only { " read-only" } else { "" };
                    write!(f, " {} at {}{how}", shown(&bind.source), shown(&bind.target))
                })
            }
            Step::Watch(root) => write!(f, "watch {}", shown(root)),
            Step::Cover(cover) => {
                write!(f, "cover {} with", shown(&cover.path))?;
                list(f, cover.files.iter().map(|(name, _)| name))?;
                list(f, cover.binds.iter().map(|window| &window.target))?;
                cover.requests.iter().try_for_each(|name| write!(f, " socket {}", shown(name)))?;
                if cover.door { write!(f, " socket {}", shown(door::SOCKET)) } else { Ok(()) }
            }
            Step::Page(page) => {
                write!(f, "page in {} of", shown(&page.cover))?;
                list(f, &page.roots)
            }
            Step::FreshProc => f.write_str("fresh-proc `/proc`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_one_line_a_step() {
        let cover = Cover::new(Path::new("/s/store"), vec![(c".inside".into(), b"x".to_vec())]).unwrap();
        let cover = cover.bind(Path::new("/s/store/psfs/a"), "preload").unwrap().with_door();
        let plan = Plan::new(vec![
            Step::SlaveMounts,
            Step::HoldSubmounts(vec![
                Held { path: c"/p/a".into(), as_it_is: false },
                Held { path: c"/p/b\n".into(), as_it_is: true },
            ]),
            Step::RestoreSubmounts,
            Step::Bind(vec![Bind {
                source: c"/s/e".into(),
                target: c"/p/h".into(),
                read_only: true,
                whole: false,
            }]),
            Step::Watch(c"/p".into()),
            Step::Cover(cover),
            Step::FreshProc,
            Step::Page(Page { cover: c"/s/store".into(), roots: vec![c"/p/vendor".into()] }),
        ]);
        let expected = "slave-mounts `/`\nhold-submounts `/p/a` `/p/b\\n`\nrestore-submounts\nbind `/s/e` at `/p/h` read-only\nwatch `/p`\n\
                        cover `/s/store` with `.inside` `/s/store/preload` socket `rename.sock`\nfresh-proc `/proc`\n\
                        page in `/s/store` of `/p/vendor`\n";
        assert_eq!(plan.to_string(), expected);
        assert_eq!(plan.holds(), 3);
    }
}
