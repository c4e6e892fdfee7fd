//! Idle priority: a thread that runs when nobody else wants the processor or the disk.

#![allow(unsafe_code)]

/// linux/ioprio.h: "this thread", and the idle class, which has no levels.
const WHO_PROCESS: libc::c_long = 1;
const CLASS_IDLE: libc::c_long = 3 << 13;

/// Makes the calling thread, and what it starts, idle. Not refused to anybody (sched(7));
/// where a filter refuses it nevertheless, the thread is as it was.
pub fn be_idle() {
    // the kernel's sched_param; musl's function of that name does nothing, and its type has more
    let priority: libc::c_int = 0;
    // SAFETY: the calls read `priority` at most, and concern the calling thread only.
    unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_IDLE, &raw const priority);
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_idle_and_no_other() {
        // SAFETY: no memory is involved.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let before = policy();
        let there = std::thread::spawn(move || {
            be_idle();
            policy()
        });
        assert_eq!(there.join().unwrap(), libc::SCHED_IDLE);
        assert_eq!(policy(), before);
    }
}
