//! A stack of work shared by a few threads that live for one call.
//!
//! Last in, first out: a walk goes deep before it goes wide, so the directories
//! held open at once stay few. No global pool: processes fork here, and a pool's
//! threads would not come along.

use std::sync::{Condvar, Mutex, PoisonError};

/// Takes work while it is done; `Stack::run` ends when all of it is.
pub struct Stack<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    items: Vec<T>,
    busy: usize,
    stopped: bool,
}

impl<T: Send> Stack<T> {
    pub fn new(items: Vec<T>) -> Self {
        Self { state: Mutex::new(State { items, busy: 0, stopped: false }), changed: Condvar::new() }
    }

    pub fn push(&self, item: T) {
        self.lock().items.push(item);
        self.changed.notify_one();
    }

    /// Runs `work` on every item, those pushed meanwhile included, on as many threads
    /// as there are processors. The first error stops the rest and is returned.
    pub fn run<E: Send>(&self, work: impl Fn(T) -> Result<(), E> + Sync) -> Result<(), E> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
        let failed = Mutex::new(None);
        let worker = || {
            while let Some(item) = self.take() {
                let outcome = work(item);
                let mut state = self.lock();
                state.busy -= 1;
                if let Err(error) = outcome {
                    state.stopped = true;
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
                if state.stopped || (state.busy == 0 && state.items.is_empty()) {
                    self.changed.notify_all();
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // A thread that cannot be had is one worker less.
                let _ = std::thread::Builder::new().spawn_scoped(scope, worker);
            }
            worker();
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(item) = state.items.pop() {
                state.busy += 1;
                return Some(item);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn pushed_work_is_done_too() {
        let stack = Stack::new(vec![10usize]);
        let done = AtomicUsize::new(0);
        let outcome: Result<(), ()> = stack.run(|item| {
            done.fetch_add(1, Ordering::Relaxed);
            for _ in 0..item {
                stack.push(0);
            }
            Ok(())
        });
        outcome.unwrap();
        assert_eq!(done.into_inner(), 11);
    }

    #[test]
    fn the_first_error_is_returned() {
        let stack = Stack::new((0..100).collect());
        assert_eq!(stack.run(|item: i32| if item == 50 { Err(item) } else { Ok(()) }), Err(50));
    }
}
