//! A few threads for one piece of work, made when there is enough of it and gone
//! when it is done.
//!
//! Not a global pool: processes of vrift fork, and a child has none of its parent's
//! threads. Jobs are taken last in, first out, so a walk stays deep, not wide, and
//! holds few descriptors. The first error ends the work; what waits is dropped.

use std::collections::VecDeque;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Scope, available_parallelism, scope};

use crate::error::{Error, Result};

/// Jobs that wait before threads are made: less is done sooner by one.
const WORTH_THREADS: usize = 3;
/// Jobs that wait before the leader does one itself instead of adding more.
const ENOUGH: usize = 64;

/// The jobs that wait.
pub struct Jobs<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

struct State<J> {
    waiting: VecDeque<J>,
    running: usize,
    /// The leader adds no more.
    closed: bool,
    error: Option<Error>,
}

/// The leader's side.
pub struct Lead<'scope, 'env, J> {
    scope: &'scope Scope<'scope, 'env>,
    jobs: &'env Jobs<J>,
    work: &'env Work<'env, J>,
    alone: bool,
}

/// Does one job, and may add more.
pub type Work<'env, J> = dyn Fn(J, &Jobs<J>) -> Result<()> + Sync + 'env;

/// Runs `lead` on this thread, which gives out jobs, and `work` on each job, until all is done.
pub fn run<J: Send, T>(
    work: &Work<'_, J>,
    lead: impl FnOnce(&mut Lead<'_, '_, J>) -> Result<T>,
) -> Result<T> {
    let state = State { waiting: VecDeque::new(), running: 0, closed: false, error: None };
    let jobs = Jobs { state: Mutex::new(state), changed: Condvar::new() };
    let value = scope(|scope| {
        let mut leader = Lead { scope, jobs: &jobs, work, alone: true };
        let value = lead(&mut leader);
        jobs.close(value.is_err());
        leader.help();
        value
    });
    match jobs.state.into_inner().unwrap_or_else(PoisonError::into_inner).error {
        Some(error) => Err(error),
        None => value,
    }
}

impl<J: Send> Lead<'_, '_, J> {
    /// Adds a job. When many wait the leader does one first. An error means that the
    /// work has failed: the leader should stop, its own error is not the one reported.
    pub fn give(&mut self, job: J) -> Result<()> {
        let waiting = self.jobs.give(job);
        self.hire(waiting);
        if waiting >= ENOUGH
            && let Some(job) = self.jobs.take_now()
        {
            self.jobs.done(self.work, job);
        }
        match self.jobs.lock().error {
            Some(_) => Err(Error::failure("stopped")),
            None => Ok(()),
        }
    }

    fn help(&mut self) {
        while let Some(job) = self.jobs.take() {
            self.jobs.done(self.work, job);
            let waiting = self.jobs.lock().waiting.len();
            self.hire(waiting);
        }
    }

    /// A thread that cannot be made (EAGAIN) is done without.
    fn hire(&mut self, waiting: usize) {
        if !self.alone || waiting < WORTH_THREADS {
            return;
        }
        self.alone = false;
        let (jobs, work) = (self.jobs, self.work);
        for _ in 1..available_parallelism().map_or(2, NonZero::get).clamp(2, 16) {
            let hand = move || {
                while let Some(job) = jobs.take() {
                    jobs.done(work, job);
                }
            };
            if std::thread::Builder::new().spawn_scoped(self.scope, hand).is_err() {
                return;
            }
        }
    }
}

impl<J> Jobs<J> {
    /// Adds a job; returns how many wait.
    pub fn give(&self, job: J) -> usize {
        let mut state = self.lock();
        state.waiting.push_back(job);
        self.changed.notify_one();
        state.waiting.len()
    }

    fn take_now(&self) -> Option<J> {
        let mut state = self.lock();
        let job = state.waiting.pop_back()?;
        state.running += 1;
        Some(job)
    }

    /// Waits for a job; `None` when there will be none.
    fn take(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_back() {
                state.running += 1;
                return Some(job);
            }
            if state.error.is_some() || state.closed && state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Does a job that was taken. A panic is an error: nobody may wait for it for ever.
    fn done(&self, work: &Work<'_, J>, job: J) {
        let result = catch_unwind(AssertUnwindSafe(|| work(job, self)))
            .unwrap_or_else(|_| Err(Error::failure("a thread of vrift panicked")));
        let mut state = self.lock();
        state.running -= 1;
        if let Err(error) = result {
            state.error.get_or_insert(error);
            state.waiting.clear();
        }
        if state.running == 0 || state.error.is_some() {
            self.changed.notify_all();
        }
    }

    fn close(&self, failed: bool) {
        let mut state = self.lock();
        state.closed = true;
        if failed {
            state.waiting.clear();
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn every_job_is_done_and_the_first_error_ends_it() {
        let sum = AtomicU64::new(0);
        let work = |job: u64, jobs: &Jobs<u64>| {
            sum.fetch_add(job, Ordering::Relaxed);
            if job > 1_000 {
                jobs.give(job - 1_000);
            }
            if job == 7 { Err(Error::failure("seven")) } else { Ok(()) }
        };
        let even = |lead: &mut Lead<'_, '_, u64>| (0..500).try_for_each(|n| lead.give(n * 2 + 1_000));
        run(&work, even).unwrap();
        let expected: u64 = (0..500).map(|n| n * 2 + 1_000 + if n > 0 { n * 2 } else { 0 }).sum();
        assert_eq!(sum.into_inner(), expected);
    }

    #[test]
    fn the_error_of_a_job_is_the_one_reported() {
        let work = |job: u64, _: &Jobs<u64>| if job == 7 { Err(Error::failure("seven")) } else { Ok(()) };
        let failed = run(&work, |lead| (0..10_000).try_for_each(|n| lead.give(n)));
        assert_eq!(failed.unwrap_err().to_string(), "seven");
        let panics = |job: u64, _: &Jobs<u64>| if job == 7 { panic!("quiet") } else { Ok(()) };
        assert!(run(&panics, |lead| (0..10_000).try_for_each(|n| lead.give(n))).is_err());
    }
}
