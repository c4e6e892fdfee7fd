//! Syncs of a project take turns, with one walk for all who ask for one at the same time.
//!
//! By `sync.lock`: each walk has a number, one more than the last, and
//! the lock's file holds the number of the walk that began last and of the one that was recorded last.
//! Who has to wait reads the first before: a walk with a higher number began after that, so it saw
//! whatever its asker meant to be seen, and its result is as good as one of his own. One that had begun
//! before may have passed what was written since, and is not enough.
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

/// What a walk was made for: it is of use for the same alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Purpose([u8; 16]);

/// What the lock's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    /// The walk that began last.
    begun: u64,
    /// The one that was recorded last, and what for.
    done: u64,
    purpose: Purpose,
}

const SIZE: usize = 40;

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
    options: Options,
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
        if let (Some(before), Some(now)) = (before, now)
            && now.done > before.begun
            && now.purpose == Purpose::of(project, project.manifest.known_workspace(workspace)?.id, options)
        {
            return Ok(Turn::Theirs);
        }
        let record = now.unwrap_or(Record { begun: 0, done: 0, purpose: Purpose([0; 16]) });
        let record = Record { begun: record.begun.saturating_add(1), ..record };
        record.write(&lock, &path)?;
        Ok(Turn::Ours(Walking { lock, record, options }))
    }
}

impl Walking {
    /// The walk's result is recorded, for the workspace of this number.
    pub fn done(self, project: &Project, workspace: i64) -> Result<()> {
        let purpose = Purpose::of(project, workspace, self.options);
        let record = Record { done: self.record.begun, purpose, ..self.record };
        record.write(&self.lock, &project.sync_lock())
    }
}

impl Purpose {
    fn of(project: &Project, workspace: i64, options: Options) -> Self {
        let Options { accept_deletions, thorough } = options;
        let cold = &project.config.cold;
        let text =
            format!("{workspace} {accept_deletions} {thorough} {} {cold:?}", project.config.fingerprint());
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
        let check = Digest::of(&bytes[..32]);
        bytes[32..].copy_from_slice(&check.as_bytes()[..8]);
        bytes
    }

    fn decode(bytes: &[u8; SIZE]) -> Option<Self> {
        let number = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        let purpose = Purpose(bytes[16..32].try_into().ok()?);
        let record = Self { begun: number(0)?, done: number(8)?, purpose };
        (record.encode() == *bytes).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_does_not_fit_itself_is_none() {
        let record = Record { begun: 7, done: 6, purpose: Purpose([3; 16]) };
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
