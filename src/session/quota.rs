//! Quotas: a start is refused where too little room is left, and a session that takes too
//! much is ended (rule 26).
//!
//! A busy overlay cannot be made read-only, so who is over its quota is ended: SIGTERM, two
//! seconds later SIGKILL, and what was written stays as an orphan. Every launcher watches
//! while it waits, once a second by one statfs(2); what is staged is counted only when the
//! free space fell by more than what is left of a limit, and in no more than a tenth of the
//! time. So a start costs one system call, and a run of less than a second nothing more.
//!
//! Counted is what lies in the upper. What was deleted and is still open is not seen there;
//! the floor sees it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use super::project::Project;
use super::record;
use crate::config::amount::shown as size;
use crate::config::quota::Quota;
use crate::error::{Context, Error, Result, quoted};
use crate::ns;
use crate::os::dir::Dir;
use crate::os::filesystem::Room;
use crate::os::userns::as_root_of_own_files;

/// How often is looked.
pub const EVERY: Duration = Duration::from_secs(1);
/// Free space says nothing of what others have freed meanwhile: counted so often at least,
/// where a limit is set.
const SELDOM: Duration = Duration::from_secs(60);
/// A session that has staged less than this part of the floor is not what fills the disk.
const PART_OF_FLOOR: u64 = 16;
/// What is known of the store's size, beside its objects.
const USAGE: &str = "usage.json";

/// Bytes of disk, and names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub bytes: u64,
    pub names: u64,
}

/// What the store took when it was counted last, and what was free then.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Known {
    bytes: u64,
    free: u64,
}

/// Refuses to open a session where too little is free, or the store has grown too large.
pub fn admit(project: &Project, quota: &Quota) -> Result<()> {
    let root = project.store.root();
    let room = Room::of(root)?;
    let floor = quota.floor.of(room.total);
    if room.free < floor {
        let message = format!(
            "only {} of {} are free where the store {} is, and {} are to stay free",
            size(room.free),
            size(room.total),
            quoted(root.as_os_str()),
            size(floor)
        );
        return Err(Error::failure(message).with_hint(
            "free some space there (vrift gc; vrift recover --drop), or go on with less: --config quota.floor=off",
        ));
    }
    let Some(limit) = quota.store else { return Ok(()) };
    let used = of_store(root, room, limit)?;
    if used <= limit {
        return Ok(());
    }
    let message =
        format!("the store {} takes {}, and may take {}", quoted(root.as_os_str()), size(used), size(limit));
    Err(Error::failure(message).with_hint("vrift gc, vrift snapshot delete, or a larger quota.store"))
}

/// What the store takes, or less than the limit where nothing has come since it was counted
/// that could have made it more.
fn of_store(root: &Path, room: Room, limit: u64) -> Result<u64> {
    let path = root.join(USAGE);
    let known = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Known>(&text).ok());
    if let Some(known) = known
        && known.bytes <= limit
        && known.free.saturating_sub(room.free) <= limit - known.bytes
    {
        return Ok(known.bytes);
    }
    let bytes = as_root_of_own_files("count the store", || count(root))?.bytes;
    let text = serde_json::to_vec(&Known { bytes, free: room.free }).map_err(std::io::Error::from);
    text.and_then(|text| std::fs::write(&path, text)).context("write", &path)?;
    Ok(bytes)
}

/// What a tree takes on its disk; files that come and go meanwhile are counted or not.
pub fn count(top: &Path) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut linked = HashSet::new();
    let open = |dir: Dir| dir.names().map(|names| (dir, names));
    let mut above = vec![open(Dir::open(top)?)?];
    while let Some((dir, names)) = above.last_mut() {
        let Some(name) = names.pop() else {
            above.pop();
            continue;
        };
        let Ok(stat) = dir.stat(&name.name) else { continue };
        usage.names += 1;
        let is_dir = stat.kind == FileType::Directory;
        if stat.nlink < 2 || is_dir || linked.insert((stat.dev, stat.ino)) {
            usage.bytes = usage.bytes.saturating_add(stat.blocks.saturating_mul(512));
        }
        if is_dir && let Ok(below) = dir.child(&name.name).and_then(open) {
            above.push(below);
        }
    }
    Ok(usage)
}

/// One limit: what is left of it since the last count.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    limit: u64,
    left: u64,
    free: u64,
}

impl Allowance {
    fn new(limit: u64, used: u64, free: u64) -> Self {
        Self { limit, left: limit.saturating_sub(used), free }
    }

    /// More has gone than is left, whoever took it.
    fn may_be_over(&self, free: u64) -> bool {
        self.free.saturating_sub(free) > self.left
    }
}

/// A session that is watched.
pub struct Watch {
    root: PathBuf,
    staging: PathBuf,
    quota: Quota,
    bytes: Option<Allowance>,
    names: Option<Allowance>,
    store: Option<Allowance>,
    counted: Instant,
    /// Not before this is counted again.
    rest: Duration,
    over: bool,
}

impl Watch {
    /// `fresh`: nothing is staged yet.
    pub fn new(project: &Project, session: &str, quota: Quota, fresh: bool) -> Result<Self> {
        let root = project.store.root().to_path_buf();
        let staging = project.staging().join(session);
        let (mut bytes, mut names, mut store) = (None, None, None);
        if (quota.staging, quota.files, quota.store) != (None, None, None) {
            let room = Room::of(&root)?;
            // who joins knows nothing of what is there: the first look counts
            let free = |free: u64| if fresh { free } else { u64::MAX };
            bytes = quota.staging.map(|limit| Allowance::new(limit, 0, free(room.free)));
            let inodes = room.free_inodes.unwrap_or(0);
            names = quota.files.map(|limit| Allowance::new(limit, 0, free(inodes)));
            let known = quota.store.map(|limit| of_store(&root, room, limit).map(|used| (limit, used)));
            store = known.transpose()?.map(|(limit, used)| Allowance::new(limit, used, room.free));
        }
        let (counted, rest) = (Instant::now(), Duration::ZERO);
        Ok(Self { root, staging, quota, bytes, names, store, counted, rest, over: false })
    }

    /// Looks, and ends the session when it is over. What fails here is tried again.
    pub fn look(&mut self) {
        if self.over {
            // who came after it was told, too
            let _ = ns::stop(&self.staging, None);
            return;
        }
        let why = self.reason().ok().flatten();
        if let Some(why) = why
            && record::mark_over(&self.staging, &why).is_ok()
        {
            self.over = true;
            let _ = ns::stop(&self.staging, None);
        }
    }

    fn reason(&mut self) -> Result<Option<String>> {
        let room = Room::of(&self.root)?;
        let floor = self.quota.floor.of(room.total);
        let is_low = room.free < floor;
        let spent =
            |allowance: &Option<Allowance>, free: u64| allowance.is_some_and(|it| it.may_be_over(free));
        // where inodes are made as they are needed nobody tells how many are left
        let few = spent(&self.names, room.free_inodes.unwrap_or(0))
            || self.names.is_some() && room.free_inodes.is_none();
        let limited = self.bytes.is_some() || self.names.is_some() || self.store.is_some();
        let late = limited && self.counted.elapsed() > SELDOM;
        let wanted = is_low || late || few || spent(&self.bytes, room.free) || spent(&self.store, room.free);
        if !wanted || self.counted.elapsed() < self.rest {
            return Ok(None);
        }
        let began = Instant::now();
        let upper = self.staging.join("upper");
        let usage = as_root_of_own_files("count what is staged", || count(&upper))?;
        let mut why = None;
        if is_low && usage.bytes >= floor / PART_OF_FLOOR {
            why = Some(format!(
                "it has staged {}, and only {} are left of the {} that are to stay free",
                size(usage.bytes),
                size(room.free),
                size(floor)
            ));
        }
        if let Some(bytes) = &mut self.bytes {
            *bytes = Allowance::new(bytes.limit, usage.bytes, room.free);
            if usage.bytes > bytes.limit {
                why =
                    Some(format!("it has staged {}, and may stage {}", size(usage.bytes), size(bytes.limit)));
            }
        }
        if let Some(names) = &mut self.names {
            *names = Allowance::new(names.limit, usage.names, room.free_inodes.unwrap_or(0));
            if usage.names > names.limit {
                why = Some(format!("it has staged {} names, and may stage {}", usage.names, names.limit));
            }
        }
        if let Some(store) = &mut self.store
            && (late || store.may_be_over(room.free))
        {
            let used = of_store(&self.root, room, store.limit)?;
            *store = Allowance::new(store.limit, used, room.free);
            if used > store.limit {
                why = Some(format!("the store takes {}, and may take {}", size(used), size(store.limit)));
            }
        }
        self.counted = Instant::now();
        self.rest = began.elapsed() * 10;
        Ok(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_take_is_counted_once_and_what_is_linked_twice_too() {
        let allowance = Allowance::new(100, 30, 1000);
        assert!(!allowance.may_be_over(930) && !allowance.may_be_over(2000));
        assert!(allowance.may_be_over(929));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/a"), vec![1; 100_000]).unwrap();
        let once = count(dir.path()).unwrap();
        std::fs::hard_link(dir.path().join("d/a"), dir.path().join("b")).unwrap();
        let twice = count(dir.path()).unwrap();
        assert!(once.bytes >= 100_000);
        assert_eq!((twice.bytes, twice.names), (once.bytes, once.names + 1));
    }
}
