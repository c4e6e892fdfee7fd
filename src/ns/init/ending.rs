//! The session's end, step by step (see [`Phase`]).

use rustix::process::Signal;

use super::super::sys;
use super::super::wire::{self, Tag};
use super::{GRACE_MS, Init, Phase, TERM_MS};

impl Init<'_, '_> {
    pub(super) fn kill_overdue(&mut self) {
        let now = sys::now_ms();
        for command in self.prepared.table.commands.iter_mut().flatten() {
            if command.kill_at.is_some_and(|at| at <= now) {
                let _ = rustix::process::pidfd_send_signal(&command.pidfd, Signal::KILL);
                command.kill_at = None;
            }
        }
    }

    pub(super) fn begin_end(&mut self) {
        self.prepared.listener = None;
        self.phase = Phase::Grace(sys::now_ms() + GRACE_MS);
    }

    /// Goes on with the end, as far as it can.
    pub(super) fn advance(&mut self) {
        if matches!(self.phase, Phase::Open) {
            if self.waiting().is_some() && self.realm.none_left() {
                self.begin_end();
            } else {
                return;
            }
        }
        self.reap();
        if self.realm.none_left() {
            return self.finish();
        }
        match self.phase {
            Phase::Grace(until) if sys::now_ms() >= until => {
                if self.proc_is_ours || !self.prepared.has_pids {
                    self.realm.collect(&mut self.names);
                } else {
                    self.names.count = 1;
                }
                self.realm.signal_all(Signal::TERM);
                self.realm.signal_all(Signal::CONT);
                self.phase = Phase::Term(sys::now_ms() + TERM_MS);
            }
            Phase::Term(until) if sys::now_ms() >= until => {
                if self.prepared.has_pids {
                    self.finish();
                }
                self.phase = Phase::Kill;
                self.realm.signal_all(Signal::KILL);
            }
            Phase::Kill => self.realm.signal_all(Signal::KILL),
            _ => {}
        }
    }

    /// Tells the leaver and exits; in a pid namespace the kernel kills what is left and waits
    /// for it.
    fn finish(&self) {
        if let Some(Some(leaver)) =
            self.waiting().and_then(|place| self.prepared.table.connections.get(place))
        {
            let numbers = (self.names.count, 0);
            let _ = wire::reply(&leaver.socket, Tag::Last, numbers, self.names.text(), &[]);
        }
        sys::exit(0)
    }
}
