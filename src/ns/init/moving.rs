//! Init and its mover: one at a time, and another one after one that was killed.

use std::os::fd::OwnedFd;

use rustix::net::SocketFlags;
use rustix::process::Pid;

use super::super::mover::{self, Task};
use super::super::plan::Step;
use super::super::sys::{self, Forked};
use super::Init;

/// Movers in a row that are killed before nobody goes on.
const SUCCESSORS: u32 = 8;

/// A mover, and what its successor needs should it be killed.
pub(super) struct Working {
    pub(super) pid: Pid,
    connection: OwnedFd,
    /// How many were killed before it.
    killed: u32,
}

impl Init<'_, '_> {
    /// Gives who asks next a mover; where none can be made, EXDEV stays the answer.
    pub(super) fn start_mover(&mut self) {
        let Some(door) = &self.door else { return };
        let Ok(connection) = rustix::net::accept_with(door, SocketFlags::CLOEXEC) else { return };
        self.make_mover(connection, 0);
    }

    /// A mover was killed: another one finishes what it began, or begins anew. Who kills
    /// every one of them gets what there is by then.
    pub(super) fn succeed(&mut self, Working { connection, killed, .. }: Working) {
        if killed < SUCCESSORS {
            self.make_mover(connection, killed + 1);
        } else if let Some(record) = &self.prepared.record {
            let _ = rustix::fs::ftruncate(record, 0);
        }
    }

    fn make_mover(&mut self, connection: OwnedFd, killed: u32) {
        let overlay = self.prepared.plan.steps.iter().find_map(|step| match step {
            Step::Overlay(spec) => Some(spec.target.as_c_str()),
            _ => None,
        });
        let (Some(root), Some(record)) = (overlay, &self.prepared.record) else { return };
        match sys::fork_into(0, None) {
            Ok(Forked::Child) => {
                let task = Task { connection: &connection, record, root, again: killed > 0 };
                mover::main(&task, &mut self.prepared.memory)
            }
            Ok(Forked::Parent { pid, .. }) => {
                self.mover = Pid::from_raw(pid).map(|pid| Working { pid, connection, killed });
            }
            Err(_) => {}
        }
    }
}
