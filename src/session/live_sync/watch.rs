//! Host edits as they happen: inotify on every directory of class `follow`.
//!
//! A sync looks at the whole directory, so it is enough to know that something happened. New
//! directories are watched before the sync that follows looks into them: nothing falls between.
//! Files that are open count when they are closed, or a log would never be quiet.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{Context, Error, Result};
use crate::os::dir::Dir;
use crate::session::project::Project;
use crate::session::sync::class::{Class, Classes, Rules};
use crate::session::sync::walk::{join, read_rules};

/// How long it is quiet before what happened is taken over: an editor's save, a checkout.
const QUIET: Duration = Duration::from_millis(30);
/// How long it may go on at most.
const LONGEST: Duration = Duration::from_millis(500);
/// How often is looked where the kernel watches no more directories.
const POLLED: Duration = Duration::from_secs(2);

/// The host's directory, watched.
pub struct Watch {
    root: PathBuf,
    inotify: Inotify,
    dirs: HashMap<WatchDescriptor, Vec<u8>>,
    /// The kernel watches no more: it is looked every so often.
    polls: bool,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something may have changed.
    Changed,
    /// Nobody wants to know any more.
    Ended,
}

impl Watch {
    pub fn new(project: &Project) -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(std::io::Error::from)
            .context("watch", &project.root)
            .map_err(|error| error.with_hint("fs.inotify.max_user_instances may be too small"))?;
        let mut watch = Self { root: project.root.clone(), inotify, dirs: HashMap::new(), polls: false };
        watch.add(project, b"")?;
        Ok(watch)
    }

    /// The kernel's limit was met: it is only looked every two seconds.
    pub fn polls(&self) -> bool {
        self.polls
    }

    /// Waits for edits to begin and to pause. `end`: when that is at its end, so are we.
    pub fn wait(
        &mut self,
        project: &Project,
        end: Option<BorrowedFd<'_>>,
        at_most: Option<Duration>,
    ) -> Result<Woken> {
        let mut began: Option<Instant> = None;
        loop {
            let patience = match began {
                Some(began) if began.elapsed() >= LONGEST => return Ok(Woken::Changed),
                Some(_) => Some(QUIET),
                None => at_most.or(self.polls.then_some(POLLED)),
            };
            let patience = patience.and_then(|time| Timespec::try_from(time).ok());
            let mut entries = vec![PollFd::from_borrowed_fd(self.inotify.as_fd(), PollFlags::IN)];
            entries.extend(end.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN)));
            match poll(&mut entries, patience.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                Ok(0) => return Ok(Woken::Changed),
                other => other.context("watch", &self.root)?,
            };
            if entries.get(1).is_some_and(|end| !end.revents().is_empty()) {
                return Ok(Woken::Ended);
            }
            drop(entries);
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(errno) => return Err(std::io::Error::from(errno)).context("watch", &self.root),
            };
            if self.take(project, events)? {
                began.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Whether there is something among the events that a sync would see.
    fn take(&mut self, project: &Project, events: Vec<InotifyEvent>) -> Result<bool> {
        let mut counts = false;
        let mut rules_changed = false;
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                (counts, rules_changed) = (true, true);
            }
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.dirs.remove(&event.wd);
                continue;
            }
            let Some(dir) = self.dirs.get(&event.wd).cloned() else { continue };
            let name = event.name.unwrap_or_default();
            let name = name.as_bytes();
            if name.starts_with(b".vrift-") || dir.is_empty() && name == b".git" {
                continue;
            }
            counts = true;
            rules_changed |= name == b".gitignore" || dir.is_empty() && name == b"vrift.toml";
            let is_new = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
            if event.mask.contains(AddWatchFlags::IN_ISDIR) && event.mask.intersects(is_new) {
                self.add(project, &join(&dir, name))?;
            }
        }
        if rules_changed {
            self.add(project, b"")?;
        }
        Ok(counts)
    }

    /// Watches a directory and those below it.
    fn add(&mut self, project: &Project, top: &[u8]) -> Result<()> {
        let classes = Classes::of_project(&self.root, &project.config);
        // the rules of the directories above
        let mut rules = classes.top();
        let ends = top.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let above: Vec<&[u8]> = ends.map(|end| &top[..end]).collect();
        let parents = (!top.is_empty()).then_some(&b""[..]).into_iter().chain(above);
        for parent in parents {
            rules = self.inner_rules(&classes, rules, parent);
        }
        let is_followed = |rules: &Option<Arc<Rules>>, path: &[u8]| {
            classes.of_path(rules.as_ref(), path, true, false) == Class::Follow
        };
        if !top.is_empty() && !is_followed(&rules, top) {
            return Ok(());
        }
        let mut stack = vec![(top.to_vec(), rules)];
        while let Some((path, rules)) = stack.pop() {
            if !self.add_one(&path)? {
                continue;
            }
            let Ok(dir) = Dir::open(&self.at(&path)) else { continue };
            let inner = self.inner_rules(&classes, rules, &path);
            for name in dir.names().unwrap_or_default() {
                let bytes = name.name.to_bytes();
                if bytes == b".git" || bytes.starts_with(b".vrift-") {
                    continue;
                }
                let is_dir = match name.kind {
                    rustix::fs::FileType::Directory => true,
                    rustix::fs::FileType::Unknown => dir.child(&name.name).is_ok(),
                    _ => false,
                };
                let below = join(&path, bytes);
                if is_dir && is_followed(&inner, &below) {
                    stack.push((below, inner.clone()));
                }
            }
        }
        Ok(())
    }

    /// False: it is no directory any more, or cannot be watched.
    fn add_one(&mut self, path: &[u8]) -> Result<bool> {
        let wanted = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_DONT_FOLLOW;
        match self.inotify.add_watch(&self.at(path), wanted) {
            Ok(number) => {
                self.dirs.insert(number, path.to_vec());
                Ok(true)
            }
            Err(Errno::ENOSPC | Errno::ENOMEM) => {
                self.polls = true;
                Ok(false)
            }
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ELOOP | Errno::ENAMETOOLONG) => {
                match path.is_empty() {
                    true => Err(Error::failure(format!("`{}` cannot be watched", self.root.display()))),
                    false => Ok(false),
                }
            }
            Err(errno) => Err(std::io::Error::from(errno)).context("watch", self.at(path)),
        }
    }

    fn inner_rules(
        &self,
        classes: &Classes<'_>,
        outer: Option<Arc<Rules>>,
        dir: &[u8],
    ) -> Option<Arc<Rules>> {
        let text = Dir::open(&self.at(dir)).ok().and_then(|dir| read_rules(&dir));
        match (outer, text) {
            (Some(outer), Some(text)) => Some(classes.with_file(&outer, dir, &text)),
            (outer, _) => outer,
        }
    }

    fn at(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }
}
