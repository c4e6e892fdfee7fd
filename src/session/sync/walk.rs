//! The walk of the host directory: everything below it is looked at once, in
//! parallel, and what a stamp does not vouch for is read into the store.
//!
//! A name whose inode, size, mtime and ctime are those of its stamp is kept without
//! being opened. A name whose mtime or ctime is not older than the moment the walk
//! began, by that filesystem's own clock, is read again next time (rule 19).

mod again;
mod as_stamped;
mod found;

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FileType;

use again::{not_opened, open_again};
pub use found::{Fresh, Listing, Mounted, UNKNOWN, Walked, WalkedDir};

use super::class::{Class, Classes, Rules};
use super::known::{Known, is_racy, stamp_of};
pub use super::left_out::LeftOut;
use super::left_out::not_taken;
use super::read::{Unread, has_moved, meta_of};
use super::repository::{self, Look, Part, When};
use crate::cas::Store;
use crate::cas::store::Publishing;
use crate::error::{Error, Result, quoted};
use crate::manifest::git;
use crate::manifest::stamp::{Packer, Stamp, Stamps};
use crate::os::crew::{self, Jobs};
use crate::os::dir::Dir;
use crate::os::held::{Held, Holder};
use crate::progress::Meter;

/// Files read by one worker before it asks for other work.
const BATCH: usize = 128;

/// What a walk is made with.
pub struct Walk<'a> {
    pub store: &'a Store,
    /// `None`: contents are hashed, and nothing is stored.
    pub token: Option<&'a Publishing>,
    pub stamps: &'a HashMap<Vec<u8>, Stamps>,
    pub classes: &'a Classes<'a>,
    /// `own` directories that are not taken in at first.
    pub cold: &'a [Vec<u8>],
    /// What could not be read the last time: no stamp vouches for it.
    pub unreadable: &'a HashSet<Vec<u8>>,
    /// Also take in `own` directories: the project's first walk.
    pub take_own: bool,
    /// Below `tier1` only directories are looked at, as long as those are as stamped.
    pub by_directories: bool,
    /// All of it is `tier1`.
    pub is_tier1: bool,
    /// The filesystem's clock when the walk began.
    pub began: (i64, u32),
    pub meter: &'a Meter,
}

enum Item {
    /// Opened from its parent where that is held.
    Child {
        parent: Option<Arc<Held>>,
        name: CString,
        at: At,
    },
    Root(Arc<Held>, At),
    Files {
        dir: Arc<Held>,
        path: Vec<u8>,
        files: Vec<Unread>,
    },
}

/// What is known of a directory before it is read.
struct At {
    path: Vec<u8>,
    own: bool,
    /// It lies in what is `tier1`, or is.
    tier1: bool,
    /// The directory's own stamp vouches for it: no name came or went.
    as_stamped: bool,
    /// Those of the directory that it is in.
    rules: Option<Arc<Rules>>,
    part: Part,
}

/// What workers add to.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) walked: Walked,
    /// Entries of files, and names whose stamp must not be trusted, by directory.
    pub(super) files: HashMap<Vec<u8>, Vec<(Fresh, bool)>>,
    pub(super) gone: HashSet<(Vec<u8>, Vec<u8>)>,
    pending: HashMap<Vec<u8>, Vec<(Vec<u8>, Stamp)>>,
    /// What is read after everything else, in order.
    later: [Vec<Item>; repository::STEPS],
    /// The repositories, and how they looked before they were read.
    repositories: Vec<(Arc<Held>, Look)>,
}

/// About how many files a first take-in reads, for who wants to say how long it takes.
pub fn count_files(root: &Path) -> u64 {
    let found = walkdir::WalkDir::new(root).same_file_system(true).into_iter().flatten();
    found.filter(|entry| entry.file_type().is_file()).count() as u64
}

/// Walks the host directory at `root`.
pub fn walk(root: &Path, walk: &Walk<'_>) -> Result<Walked> {
    let holder = Holder::new();
    let (dir, top) = (Dir::open(root)?, Dir::open(root)?);
    let meta = meta_of(&dir, &dir.stat_self()?)?;
    let dev = dir.stat_self()?.dev;
    let gathered = Mutex::new(Gathered::default());
    let work = |item: Item, jobs: &Jobs<Item>| match item {
        Item::Root(dir, at) => walk.directory(jobs, &gathered, (dev, &holder), dir, at),
        Item::Child { parent, name, at } => {
            let opened = match parent {
                Some(parent) => parent.child(&name),
                None => open_again(&top, &at.path),
            };
            match opened {
                Ok(dir) => walk.directory(jobs, &gathered, (dev, &holder), holder.hold(dir), at),
                Err(error) => not_opened(&gathered, at.path, error),
            }
        }
        Item::Files { dir, path, files } => walk.files(&gathered, &dir, &path, files),
    };
    let tier1 = walk.is_tier1;
    let at = At {
        path: Vec::new(),
        own: false,
        tier1,
        as_stamped: false,
        rules: walk.classes.top(),
        part: Part::Any,
    };
    crew::run(&work, |lead| lead.give(Item::Root(holder.hold(dir), at)))?;
    loop {
        // One that lies in another puts things off anew.
        let later = lock(&gathered).later.iter_mut().find(|later| !later.is_empty()).map(std::mem::take);
        let Some(later) = later else { break };
        crew::run(&work, |lead| later.into_iter().try_for_each(|item| lead.give(item)))?;
    }
    let repositories = std::mem::take(&mut lock(&gathered).repositories);
    for (dir, before) in repositories {
        let same = Look::at(&dir) == before;
        lock(&gathered).walked.moved |= !same;
    }
    let mut gathered = gathered.into_inner().unwrap_or_else(PoisonError::into_inner);
    gathered.walked.root = meta;
    Ok(gathered.finish())
}

impl Walk<'_> {
    fn directory(
        &self,
        jobs: &Jobs<Item>,
        gathered: &Mutex<Gathered>,
        (dev, holder): ((u32, u32), &Holder),
        dir: Arc<Held>,
        at: At,
    ) -> Result<()> {
        let At { path, own, tier1, as_stamped, mut rules, part } = at;
        let names = match dir.names() {
            Ok(names) => names,
            Err(error) if has_moved(&error) && !path.is_empty() => {
                // Removed after it was opened.
                let (parent, name) = split(&path);
                lock(gathered).gone.insert((parent.to_vec(), name.to_vec()));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if tier1
            && as_stamped
            && self.by_directories
            && self.directories(jobs, gathered, (&dir, holder), &path, &names)?
        {
            return Ok(());
        }
        let in_git = git::is_in(&path);
        if part == Part::Any
            && repository::is_repository(names.iter().map(|name| name.name.to_bytes()))
            && self.has_refs(&dir, &path, dev)?
        {
            let look = Look::at(&dir);
            let at = |path, part| At { path, own, tier1, as_stamped: false, rules: rules.clone(), part };
            let refs = at(join(&path, b"refs"), Part::Any);
            jobs.give(Item::Child { parent: Some(dir.clone()), name: c"refs".to_owned(), at: refs });
            let mut gathered = lock(gathered);
            gathered.repositories.push((dir.clone(), look));
            // Its names have been read: from the start again.
            let again = Item::Child { parent: Some(dir), name: c".".to_owned(), at: at(path, Part::Top) };
            gathered.later[0].push(again);
            return Ok(());
        }
        if let Some(outer) = &rules
            && !own
            && names.iter().any(|name| name.name.to_bytes() == b".gitignore")
            && let Some(text) = read_rules(&dir)
        {
            rules = Some(self.classes.with_file(outer, &path, &text));
        }
        let stamps = if own { None } else { self.stamps.get(&path) };
        let mut known = Known::new(stamps);
        let mut walked = WalkedDir { path: path.clone(), own, subdirs: Vec::new(), listing: None };
        let mut listing = Listing::default();
        let mut seen = Vec::with_capacity(names.len());
        let mut files = Vec::new();
        let mut left_out = Vec::new();
        let mut owned = Vec::new();
        let mut vanished = Vec::new();
        let mut mounted = Vec::new();
        let mut later = Vec::new();
        let mut git_files = Vec::new();
        let (mut declared, mut opened) = (Vec::new(), Vec::new());
        let mut same = stamps.is_some();
        // by their place in `names`: most directories are as stamped, and need no list of their own
        let mut kept = Vec::with_capacity(names.len());
        let mut inner = join(&path, b"");
        let above = inner.len();
        let is_full = holder.is_full();
        let held = (!is_full).then(|| dir.clone());
        for (place, name) in names.iter().enumerate() {
            let bytes = name.name.to_bytes();
            if bytes.starts_with(b".vrift-") {
                continue; // ours (rule 5)
            }
            if in_git && repository::is_passing(bytes) {
                continue;
            }
            inner.truncate(above);
            inner.extend_from_slice(bytes);
            let stat = match dir.stat_if_there(&name.name) {
                Ok(Some(stat)) => stat,
                Ok(None) => continue,
                // one that may be listed and not searched is unreadable as a whole
                Err(error) if error.is(libc::EACCES) && !path.is_empty() && !dir.may_search() => {
                    return not_opened(gathered, path, error);
                }
                // a mount of somebody else's (FUSE)
                Err(error) if error.is(libc::EACCES) => {
                    let is_dir = name.kind == FileType::Directory;
                    left_out.push(LeftOut::unreadable(inner.clone(), &error, is_dir));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let is_dir = stat.kind == FileType::Directory;
            let mut class = self.classes.of_path(rules.as_ref(), &inner, is_dir, own);
            if tier1 && !class.is_mounted() {
                class = if self.classes.in_tier1(&inner, is_dir) { Class::Own } else { Class::Tier1 };
            }
            if class == Class::Tier1 && !tier1 && is_dir {
                declared.push(inner.clone());
            }
            if tier1 && class == Class::Own && is_dir {
                opened.push(inner.clone());
            }
            if class.is_mounted() && may_be_mounted(class, &inner, stat.kind)? {
                mounted.push(Mounted { path: inner.clone(), class, is_dir });
                continue;
            }
            // A mount point of the host is shown as there, whatever the rules say of it.
            if class == Class::Own && !own && !(is_dir && stat.dev != dev) {
                owned.push(inner.clone());
                if !self.take_own || self.cold.contains(&inner) {
                    continue;
                }
                // Its entry goes with its tree; it has no stamp.
                if stat.kind == FileType::RegularFile {
                    files.push(Unread { name: name.name.clone(), stat, was_read: false });
                    continue;
                }
                if not_taken(&stat).is_none() {
                    let Some(fresh) = self.other(&dir, &name.name, &stat)? else { continue };
                    listing.fresh.push(fresh);
                    if is_dir {
                        walked.subdirs.push(bytes.to_vec());
                        let (parent, name) = (held.clone(), name.name.clone());
                        let at = At {
                            path: inner.clone(),
                            own: true,
                            tier1: false,
                            as_stamped: false,
                            rules: None,
                            part: Part::Any,
                        };
                        jobs.give(Item::Child { parent, name, at });
                    }
                    continue;
                }
            }
            if let Some(why) = not_taken(&stat) {
                let path = inner.clone();
                left_out.push(LeftOut { path, why: why.into(), unreadable: false, is_dir });
                continue;
            }
            if bytes == git::NAME && stat.kind == FileType::RegularFile {
                git_files.push(inner.clone());
            }
            let was_unreadable = !is_dir && !self.unreadable.is_empty() && self.unreadable.contains(&inner);
            let stamp = stamp_of(&stat);
            let racy = is_racy(&stat, self.began);
            seen.push((place, if racy { Stamp::RACY } else { stamp }));
            let vouched = known.vouches(bytes, &stamp);
            if stat.kind == FileType::Directory && stat.dev == dev {
                walked.subdirs.push(bytes.to_vec());
                let (parent, name) = (held.clone(), name.name.clone());
                let tier1 = class == Class::Tier1;
                // what tools bring along has rules for its own repository
                let rules = if tier1 { None } else { rules.clone() };
                let at = |part| At { path: inner.clone(), own, tier1, as_stamped: vouched, rules, part };
                let child = |part| Item::Child { parent, name, at: at(part) };
                match repository::when(part, bytes) {
                    When::Now(part) => {
                        jobs.give(child(part));
                    }
                    When::Step(step, part) => later.push((step, child(part))),
                    When::Done => {}
                }
            }
            if vouched {
                // its stamp is that of something never read
                let denied = if was_unreadable { dir.denies_reading(&name.name) } else { None };
                if !was_unreadable || denied.is_some() {
                    left_out.extend(denied.map(|error| LeftOut::unreadable(inner.clone(), &error, false)));
                    kept.push(place);
                    continue;
                }
            }
            same = false;
            match stat.kind {
                FileType::RegularFile => {
                    files.push(Unread { name: name.name.clone(), stat, was_read: known.is_as_long(&stamp) });
                }
                _ => match self.other(&dir, &name.name, &stat)? {
                    Some(fresh) => listing.fresh.push(fresh),
                    None => vanished.push((path.clone(), bytes.to_vec())),
                },
            }
        }
        same &= known.count == seen.len();
        // Smudged stamps of last time that are clean now are worth writing.
        let name_at = |place: &usize| names[*place].name.to_bytes().to_vec();
        if !same {
            listing.kept = kept.iter().map(name_at).collect();
            walked.listing = Some(listing);
        }
        if !self.take_own {
            let bytes = files.iter().map(|file| file.stat.size).sum();
            self.meter.expect(files.len() as u64, bytes);
        }
        self.meter.saw(names.len() as u64);
        for chunk in files.chunks(BATCH) {
            let files = chunk.to_vec();
            if is_full {
                self.files(gathered, &dir, &path, files)?;
            } else {
                jobs.give(Item::Files { dir: dir.clone(), path: path.clone(), files });
            }
        }
        let mut gathered = lock(gathered);
        gathered.walked.still_there += known.found;
        gathered.walked.left_out.extend(left_out);
        gathered.walked.own.extend(owned);
        gathered.gone.extend(vanished);
        gathered.walked.mounted.extend(mounted);
        gathered.walked.git_files.extend(git_files);
        gathered.walked.tier1.extend(declared);
        gathered.walked.open.extend(opened);
        later.into_iter().for_each(|(step, item)| gathered.later[step].push(item));
        if walked.listing.is_some() {
            let seen = seen.iter().map(|(place, stamp)| (name_at(place), *stamp)).collect();
            gathered.pending.insert(path, seen);
        }
        gathered.walked.dirs.push(walked);
        Ok(())
    }
}

impl Gathered {
    /// Puts the files that workers read into their directories' listings.
    fn finish(mut self) -> Walked {
        for dir in &mut self.walked.dirs {
            let Some(listing) = &mut dir.listing else { continue };
            let files = self.files.remove(&dir.path).unwrap_or_default();
            let moving: HashSet<&[u8]> = files
                .iter()
                .filter(|(_, steady)| !steady)
                .map(|(fresh, _)| fresh.entry.name.as_slice())
                .collect();
            let mut packer = Packer::default();
            for (name, stamp) in self.pending.remove(&dir.path).unwrap_or_default() {
                if self.gone.contains(&(dir.path.clone(), name.clone())) {
                    continue;
                }
                packer.push(&name, if moving.contains(name.as_slice()) { &Stamp::RACY } else { &stamp });
            }
            listing.stamps = packer.finish();
            listing.fresh.extend(files.into_iter().map(|(fresh, _)| fresh));
        }
        self.walked
    }
}

/// Whether a path's class, one that is mounted, holds for its kind. A link is shown as it
/// is: what it leads to has a class of its own. A file cannot be `live` or `scratch`.
pub fn may_be_mounted(class: Class, path: &[u8], kind: FileType) -> Result<bool> {
    if class == Class::Hide || kind == FileType::Directory {
        return Ok(true);
    }
    if class == Class::Live && kind == FileType::Symlink {
        return Ok(false);
    }
    let why = match class {
        Class::Live => {
            "a bind mount of a file ends at the first editor that saves by renaming a new file over it"
        }
        _ => "`scratch` is for directories",
    };
    let path = quoted(std::ffi::OsStr::from_bytes(path));
    Err(Error::failure(format!("{path} is a file and cannot be `{}`: {why}", class.name()))
        .with_hint("name the directory it is in, or take it out of the list with `!`"))
}

/// A `.gitignore` as git reads it: a regular file, never through a link.
pub fn read_rules(dir: &Dir) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::from(dir.open_file(c".gitignore").ok()?).read_to_end(&mut text).ok()?;
    Some(text)
}

/// A name below a relative directory.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// The directory and the last component of a relative path.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

pub(super) fn lock(gathered: &Mutex<Gathered>) -> std::sync::MutexGuard<'_, Gathered> {
    gathered.lock().unwrap_or_else(PoisonError::into_inner)
}
