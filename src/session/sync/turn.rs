//! Syncs of a project take turns, with one walk for all who ask for one at the same time.
//!
//! By `sync.lock`: each walk has a number, one more than the last, and
//! the lock's file holds the number of the walk that began last and of the one that was recorded last,
//! with the root that it found. Who has to wait reads the first before: a walk with a higher number began after
//! that, so it saw whatever its asker meant to be seen, and its result is as good as one of his own. One that
//! had begun before may have passed what was written since, and is not enough. Whose workspace has
//! taken over that root has nothing to do, whichever workspace it was walked for; others walk, for what
//! is the workspace's own is found by that.
//!
//! No clock is asked. A file that does not fit itself (a power cut) counts as none, and a number that
//! comes again after one harms nobody: all who wait read it after the machine's start.

use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Options;
use crate::cas::Digest;
use crate::error::{Context, Result};
use crate::os::lock::{Hold, Lock};
use crate::session::project::Project;

/// How was walked: it is of use for who would walk alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Purpose([u8; 16]);

/// What the lock's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    /// The walk that began last.
    begun: u64,
    /// The one that was recorded last, how, and what it found.
    done: u64,
    purpose: Purpose,
    root: Digest,
}

const SIZE: usize = 72;

/// The turn of a sync.
pub enum Turn {
    /// To walk; nobody else does meanwhile.
    Ours(Walking),
    /// A walk that began after it was asked for has been recorded.
    Theirs,
}

/// A turn that is taken.
pub struct Walking {
    lock: Lock,
    record: Record,
    purpose: Purpose,
}

impl Turn {
    /// Waits for it. What was asked for beside the workspace is in the options and the project's
    /// configuration.
    pub fn take(project: &Project, workspace: &str, options: Options) -> Result<Self> {
        let path = project.sync_lock();
        let (lock, before) = match Lock::attempt(&path, Hold::Exclusive)? {
            Some(lock) => (lock, None),
            None => {
                let before = std::fs::File::open(&path).ok().and_then(|file| Record::read(&file));
                (Lock::wait(&path, Hold::Exclusive)?, before)
            }
        };
        let now = Record::read(&lock.file(&path)?);
        let purpose = Purpose::of(project, options);
        if let (Some(before), Some(now)) = (before, now)
            && now.done > before.begun
            && now.purpose == purpose
            && project.manifest.known_workspace(workspace)?.host_base == Some(now.root)
        {
            return Ok(Turn::Theirs);
        }
        let record = now.unwrap_or(Record { begun: 0, done: 0, purpose, root: Digest::of(&[]) });
        let record = Record { begun: record.begun.saturating_add(1), ..record };
        record.write(&lock, &path)?;
        Ok(Turn::Ours(Walking { lock, record, purpose }))
    }
}

impl Walking {
    /// The walk's result is recorded: this root.
    pub fn done(self, project: &Project, root: Digest) -> Result<()> {
        let record = Record { done: self.record.begun, purpose: self.purpose, root, ..self.record };
        record.write(&self.lock, &project.sync_lock())
    }
}

impl Purpose {
    fn of(project: &Project, options: Options) -> Self {
        let Options { accept_deletions, thorough } = options;
        let config = &project.config;
        let rules = (config.rules.identity(), config.fingerprint());
        let text = format!("{accept_deletions} {thorough} {rules:?} {:?}", config.cold);
        let mut short = [0; 16];
        short.copy_from_slice(&Digest::of(text.as_bytes()).as_bytes()[..16]);
        Self(short)
    }
}

impl Record {
    fn read(file: &std::fs::File) -> Option<Self> {
        let mut bytes = [0; SIZE];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Self::decode(&bytes)
    }

    fn write(&self, lock: &Lock, path: &Path) -> Result<()> {
        lock.file(path)?.write_all_at(&self.encode(), 0).context("write", path)
    }

    fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&self.begun.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.done.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.purpose.0);
        bytes[32..64].copy_from_slice(self.root.as_bytes());
        let check = Digest::of(&bytes[..64]);
        bytes[64..].copy_from_slice(&check.as_bytes()[..8]);
        bytes
    }

    fn decode(bytes: &[u8; SIZE]) -> Option<Self> {
        let number = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        let purpose = Purpose(bytes[16..32].try_into().ok()?);
        let root = Digest::from_bytes(bytes[32..64].try_into().ok()?);
        let record = Self { begun: number(0)?, done: number(8)?, purpose, root };
        (record.encode() == *bytes).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_does_not_fit_itself_is_none() {
        let record = Record { begun: 7, done: 6, purpose: Purpose([3; 16]), root: Digest::of(b"r") };
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Some(record));
        for at in 0..SIZE {
            let mut other = bytes;
            other[at] ^= 1;
            assert_eq!(Record::decode(&other), None, "{at}");
        }
        assert_eq!(Record::decode(&[0; SIZE]), None);
    }
}
