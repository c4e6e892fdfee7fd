//! Reading a closed upper: what a session wrote, as a flat list in tree order.
//!
//! Nothing in the upper is changed (rule 1). The caller runs it in
//! `as_root_of_own_files`, since modes would stop a plain walk (rule 4). Names
//! `.vrift-*` are vrift's own and never taken in; sockets and devices are reported and
//! left out (rule 5). A whiteout is a character device 0:0, or a file with
//! `user.overlay.whiteout` in a directory with `user.overlay.opaque` = x.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags};

use crate::cas::digest::Digest;
use crate::error::{Context, Error, Result, quoted};
use crate::manifest::dir::tree_order;
use crate::manifest::group;
use crate::manifest::node::{Content, Entry, Kind, Meta, Time};
use crate::os::crew::{self, Jobs};
use crate::os::dir::{Dir, Name, Stat};
use crate::os::held::{Held, Holder};
use crate::os::lease;
use crate::overlay::escape::{self, From, Marks};
use crate::overlay::since::Since;

/// Files in one job.
const BATCH: usize = 32;
/// Bytes of path in one openat: below PATH_MAX.
const STRIDE: usize = 3_500;

/// Takes the content of a regular file: called once for each inode, from several
/// threads, with its directory, its name in it and what statx says.
pub type Take<'a> = dyn Fn(&Dir, &CStr, &Stat) -> Result<Content> + Sync + 'a;

/// What is at a path of an upper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Hides the lower's name.
    Whiteout,
    /// A directory; an opaque one hides all that the lower has in it.
    Dir { meta: Meta, opaque: bool },
    /// A file, symbolic link or FIFO.
    Leaf(Entry),
}

/// All that an upper holds.
#[derive(Debug, Default)]
pub struct Upper {
    /// By path from the upper's root, in tree order; the root itself is the empty path.
    pub found: Vec<(Vec<u8>, Found)>,
    /// What is not taken in, and why.
    pub skipped: Vec<(Vec<u8>, String)>,
    /// Nothing but that is there, so the upper can be a lower as it stands.
    pub is_plain: bool,
}

/// What of an upper changed since a moment.
#[derive(Debug, Default)]
pub struct Changed {
    /// In tree order. A directory is opaque only where it came to be so since then.
    pub found: Vec<(Vec<u8>, Found)>,
    /// Names that are gone and hide nothing, but for what lies in others of them.
    pub gone: Vec<Vec<u8>>,
    /// All directories of the upper.
    pub dirs: HashMap<Vec<u8>, Meta>,
}

/// Whether nothing was written, but perhaps the root's own metadata. One getdents64.
pub fn is_empty(upper: &Path) -> Result<bool> {
    Ok(Dir::open(upper)?.names()?.iter().all(|name| is_ours(&name.name)))
}

/// The metadata of an upper's root, which is that of the project's directory.
pub fn root_meta(upper: &Path) -> Result<Meta> {
    let root = Dir::open(upper)?;
    let xattrs = escape::read_xattrs(&root, From::Upper).context("read attributes of", upper)?;
    let stat = root.stat_self()?;
    Ok(Meta { mode: stat.mode, mtime: mtime(&stat), xattrs })
}

/// About how many files there are to read, for who wants to say how long it takes: what cannot be
/// listed is not counted.
pub fn count_files(upper: &Path) -> u64 {
    let found = walkdir::WalkDir::new(upper).into_iter().flatten();
    found.filter(|entry| entry.file_type().is_file()).count() as u64
}

/// Reads an upper whose overlay is unmounted.
pub fn read(upper: &Path, take: &Take<'_>) -> Result<Upper> {
    walk(upper, take, None, false).map(|(upper, _)| upper)
}

/// Reads an upper that commands are writing to: a name that goes away meanwhile is passed
/// over. Each file is as it was at some moment of the walk, not all at the same one.
pub fn read_live(upper: &Path, take: &Take<'_>) -> Result<Upper> {
    walk(upper, take, None, true).map(|(upper, _)| upper)
}

/// The same, of what changed since then. Only that is opened. What somebody has open for
/// writing is passed over: it is not done.
pub fn read_since(upper: &Path, since: &Since, take: &Take<'_>) -> Result<Changed> {
    let (Upper { found, skipped, .. }, Kept { there, dirs }) = walk(upper, take, Some(since), true)?;
    let all = found.iter().map(|(path, _)| path).chain(skipped.iter().map(|(path, _)| path));
    let gone = since.gone(&all.chain(&there).map(Vec::as_slice).collect());
    Ok(Changed { found, gone, dirs })
}

fn walk(upper: &Path, take: &Take<'_>, since: Option<&Since>, moving: bool) -> Result<(Upper, Kept)> {
    let walk = Walk {
        moving,
        since,
        top: Dir::open(upper)?,
        take,
        holder: Holder::new(),
        list: Mutex::default(),
        inodes: Mutex::default(),
    };
    let work = |job: Job, jobs: &Jobs<Job>| walk.step(job, jobs);
    crew::run(&work, |lead| lead.give(Job::Dir { from: None, path: Vec::new() }))?;
    let contents = walk.inodes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut list = walk.list.into_inner().unwrap_or_else(PoisonError::into_inner);
    list.found.sort_unstable_by(|(a, ..), (b, ..)| tree_order(a, b));
    list.skipped.sort_unstable_by(|(a, _), (b, _)| tree_order(a, b));
    let found = joined(list.found, &contents, moving)?;
    let is_plain = list.skipped.is_empty() && !list.has_other;
    Ok((Upper { found, skipped: list.skipped, is_plain }, list.kept))
}

enum Job {
    /// A directory to list, opened from its parent where that is held.
    Dir {
        from: Option<Arc<Held>>,
        path: Vec<u8>,
    },
    Files {
        dir: Arc<Held>,
        path: Vec<u8>,
        names: Vec<Name>,
        xattr_whiteouts: bool,
    },
}

/// What is no directory, and the inode of a name that has company.
type Leaf = (Found, Option<u64>);

/// What was found, and the inode of a name that has company.
type Seen = (Vec<u8>, Found, Option<u64>);

#[derive(Default)]
struct List {
    found: Vec<Seen>,
    skipped: Vec<(Vec<u8>, String)>,
    /// Names of our own, or whiteouts by attribute.
    has_other: bool,
    kept: Kept,
}

/// What is there beside what changed.
#[derive(Default)]
struct Kept {
    there: Vec<Vec<u8>>,
    dirs: HashMap<Vec<u8>, Meta>,
}

struct Walk<'a> {
    top: Dir,
    /// Names may go away.
    moving: bool,
    since: Option<&'a Since>,
    take: &'a Take<'a>,
    holder: Holder,
    list: Mutex<List>,
    /// Content of a file with several names; `None` while one of them is being taken.
    inodes: Mutex<HashMap<u64, Option<Content>>>,
}

impl Walk<'_> {
    fn step(&self, job: Job, jobs: &Jobs<Job>) -> Result<()> {
        match job {
            Job::Dir { from, path } => match self.list(from, path, jobs) {
                Err(error) if self.is_gone(&error) => Ok(()),
                other => other,
            },
            Job::Files { dir, path, names, xattr_whiteouts } => {
                self.files(&dir, &path, names, xattr_whiteouts)
            }
        }
    }

    fn list(&self, from: Option<Arc<Held>>, path: Vec<u8>, jobs: &Jobs<Job>) -> Result<()> {
        let dir = self.open(from, &path)?;
        let stat = dir.stat_self()?;
        let (meta, marks) = self.meta(&**dir, &stat, &path)?;
        let mut opaque = marks.opaque == Some(b'y');
        let xattr_whiteouts = marks.opaque == Some(b'x');
        if let Some(since) = self.since {
            opaque &= since.is_new(&path, &dir, &stat);
            self.lock().kept.dirs.insert(path.clone(), meta.clone());
        }
        if self.changed(&path, &stat) {
            self.add(vec![(path.clone(), Found::Dir { meta, opaque }, None)]);
        }
        let (mut dirs, mut files) = (Vec::new(), Vec::new());
        let mut has_other = xattr_whiteouts;
        for mut name in dir.names()? {
            if is_ours(&name.name) {
                has_other = true;
                continue;
            }
            if name.kind == FileType::Unknown {
                name.kind = dir.stat(&name.name)?.kind;
            }
            if name.kind == FileType::Directory { dirs.push(name) } else { files.push(name) }
        }
        if has_other {
            self.lock().has_other = true;
        }
        let crowded = self.holder.is_full();
        for name in dirs {
            let from = (!crowded).then(|| Arc::clone(&dir));
            jobs.give(Job::Dir { from, path: below(&path, &name.name) });
        }
        while files.len() > BATCH && !crowded {
            let names = files.split_off(files.len() - BATCH);
            jobs.give(Job::Files { dir: Arc::clone(&dir), path: path.clone(), names, xattr_whiteouts });
        }
        self.files(&dir, &path, files, xattr_whiteouts)
    }

    /// From the parent, or from the top in strides: nothing in a closed upper moves.
    fn open(&self, from: Option<Arc<Held>>, path: &[u8]) -> Result<Arc<Held>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let shown = self.top.path().join(OsStr::from_bytes(path));
        let open = |dir: &Dir, name: &[u8]| {
            let name = if name.is_empty() { b"." } else { name };
            rustix::fs::openat(dir, name, flags, Mode::empty()).context("open directory", &shown)
        };
        let (parent, mut rest) = match &from {
            Some(held) => (&***held, path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()),
            None => (&self.top, path),
        };
        let mut step;
        let mut dir = parent;
        while rest.len() > STRIDE {
            let at = rest[..STRIDE].iter().rposition(|byte| *byte == b'/').unwrap_or(rest.len() - 1);
            step = Dir::from_fd(open(dir, &rest[..at])?, shown.clone());
            (dir, rest) = (&step, &rest[at + 1..]);
        }
        let dir = Dir::from_fd(open(dir, rest)?, shown.clone());
        Ok(self.holder.hold(dir))
    }

    fn files(&self, dir: &Dir, path: &[u8], names: Vec<Name>, xattr_whiteouts: bool) -> Result<()> {
        let mut seen = Vec::with_capacity(names.len());
        for Name { name, .. } in names {
            let path = below(path, &name);
            match self.leaf(dir, &name, &path, xattr_whiteouts) {
                Ok(Ok(Some((found, inode)))) => seen.push((path, found, inode)),
                Ok(Ok(None)) => self.lock().kept.there.push(path),
                Ok(Err(why)) => self.lock().skipped.push((path, why)),
                Err(error) if self.is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.add(seen);
        Ok(())
    }

    /// Whether it is asked for; what is not is noted.
    fn changed(&self, path: &[u8], stat: &Stat) -> bool {
        let changed = self.since.is_none_or(|since| since.is_changed(path, stat));
        if !changed {
            self.lock().kept.there.push(path.to_vec());
        }
        changed
    }

    /// One name that is no directory; the inner error says why it is left out. `None`: it is
    /// not asked for.
    fn leaf(
        &self,
        dir: &Dir,
        name: &CStr,
        path: &[u8],
        xattr_whiteouts: bool,
    ) -> Result<Result<Option<Leaf>, String>> {
        let stat = dir.stat(name)?;
        if self.since.is_some_and(|since| !since.is_changed(path, &stat)) {
            return Ok(Ok(None));
        }
        let (meta, kind) = match stat.kind {
            FileType::CharacterDevice if stat.rdev == (0, 0) => return Ok(Ok(Some((Found::Whiteout, None)))),
            FileType::RegularFile => {
                let file = dir.open_file(name)?;
                let (meta, marks) = self.meta(&file, &stat, path)?;
                if marks.whiteout && xattr_whiteouts {
                    return Ok(Ok(Some((Found::Whiteout, None))));
                }
                if self.since.is_some() && lease::is_being_written(&file) {
                    return Ok(Ok(None));
                }
                (meta, Kind::File(self.content(dir, name, &stat)?))
            }
            FileType::Symlink => {
                let meta = Meta { mode: 0o777, mtime: mtime(&stat), xattrs: Vec::new() };
                (meta, Kind::Symlink(dir.read_link(name)?))
            }
            FileType::Fifo => (self.meta(&dir.open_file(name)?, &stat, path)?.0, Kind::Fifo),
            FileType::Socket => return Ok(Err("a socket ends with its session".into())),
            _ => return Ok(Err("devices are not recorded".into())),
        };
        let entry = Entry { name: name.to_bytes().to_vec(), meta, group: 0, kind };
        Ok(Ok(Some((Found::Leaf(entry), (stat.nlink > 1).then_some(stat.ino)))))
    }

    fn meta(&self, fd: &impl std::os::fd::AsFd, stat: &Stat, path: &[u8]) -> Result<(Meta, Marks)> {
        let shown = self.top.path().join(OsStr::from_bytes(path));
        let (xattrs, marks) = escape::read_marked(fd, From::Upper).context("read attributes of", &shown)?;
        if marks.elsewhere {
            // its bytes would be taken for zeros
            let path = quoted(shown.as_os_str());
            return Err(Error::corrupt(format!(
                "{path} is not whole: this upper was mounted by another program"
            )));
        }
        Ok((Meta { mode: stat.mode, mtime: mtime(stat), xattrs }, marks))
    }

    /// The first name of an inode takes its content; the others get it in the end.
    fn content(&self, dir: &Dir, name: &CStr, stat: &Stat) -> Result<Content> {
        if stat.nlink == 1 {
            return (self.take)(dir, name, stat);
        }
        let inodes = || self.inodes.lock().unwrap_or_else(PoisonError::into_inner);
        match inodes().entry(stat.ino) {
            Slot::Occupied(_) => return Ok(UNKNOWN),
            Slot::Vacant(slot) => slot.insert(None),
        };
        let content = (self.take)(dir, name, stat)?;
        inodes().insert(stat.ino, Some(content));
        Ok(content)
    }

    /// A name that was listed is not there any more, or is something else.
    fn is_gone(&self, error: &Error) -> bool {
        self.moving && [libc::ENOENT, libc::ENOTDIR, libc::ELOOP].iter().any(|&errno| error.is(errno))
    }

    fn add(&self, seen: Vec<Seen>) {
        self.lock().found.extend(seen);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for a content that another name of the inode brings.
const UNKNOWN: Content = Content { digest: Digest::from_bytes([0; 32]), size: 0, sparse: false };

/// Gives the names of one inode their group and content. An inode whose other
/// names are not in the upper (an object made of it before a kill) has one name.
fn joined(
    mut seen: Vec<Seen>,
    contents: &HashMap<u64, Option<Content>>,
    moving: bool,
) -> Result<Vec<(Vec<u8>, Found)>> {
    if moving {
        // the name that was to bring the content has gone
        let known = |inode: &u64| contents.get(inode).is_none_or(Option::is_some);
        seen.retain(|(.., inode)| inode.as_ref().is_none_or(known));
    }
    let mut names: HashMap<u64, Vec<Vec<u8>>> = HashMap::new();
    for (path, _, inode) in &seen {
        if let Some(inode) = inode {
            names.entry(*inode).or_default().push(path.clone());
        }
    }
    let groups: HashMap<u64, u64> = names
        .into_iter()
        .map(|(inode, paths)| (inode, if paths.len() > 1 { group::number(&paths) } else { 0 }))
        .collect();
    for (path, found, inode) in &mut seen {
        let (Found::Leaf(entry), Some(inode)) = (found, inode) else { continue };
        entry.group = groups.get(inode).copied().unwrap_or(0);
        if let Kind::File(content) = &mut entry.kind {
            *content = contents.get(inode).copied().flatten().ok_or_else(|| {
                Error::failure(format!("{} was not taken in", quoted(OsStr::from_bytes(path))))
            })?;
        }
    }
    Ok(seen.into_iter().map(|(path, found, _)| (path, found)).collect())
}

pub(super) fn is_ours(name: &CStr) -> bool {
    name.to_bytes().starts_with(b".vrift-")
}

pub(super) fn below(path: &[u8], name: &CStr) -> Vec<u8> {
    match path {
        [] => name.to_bytes().to_vec(),
        _ => [path, name.to_bytes()].join(&b'/'),
    }
}

fn mtime(stat: &Stat) -> Time {
    Time { secs: stat.mtime.0, nanos: stat.mtime.1 }
}
