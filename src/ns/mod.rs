//! Sessions: namespaces with an init of our own, and commands run inside.
//!
//! ```text
//!  user's shell
//!   └─ launcher A ────── clone(user, mount, pid) ──▶ init, PID 1 inside
//!   │    └─ command A  (inside; A's own child)        ├─ what commands left behind
//!   └─ launcher B                                     │
//!        └─ command B  (inside; B's own child)        │
//!   every launcher ◀──── SOCK_SEQPACKET ─────────────▶│
//! ```
//! A command is its launcher's child, not init's, so job control, exit status and
//! inherited descriptors are those of any command. It gets inside by setns and a clone
//! with CLONE_PARENT, in its launcher's memory until it executes. Init holds the lock descriptors (rule 14), so a lock lives as
//! long as the session; a launcher that dies takes its command along, and init's end
//! ends everything (rule 21).
//!
//! Where a pid namespace is refused there is none, visibly. Then init is a process among
//! others and does by hand what the kernel does at the end of a pid namespace: it finds the
//! session's processes by their user namespace, and ends them (`survivors`, `remains`).
//!
//! | signal | the command | the launcher while it waits | init |
//! |---|---|---|---|
//! | SIGINT, SIGQUIT by key | gets it from the terminal | does nothing | has another session |
//! | SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 by kill | gets it forwarded | goes on waiting | blocked |
//! | SIGHUP by hang-up | gets it from the terminal | goes on waiting | has another session |
//! | SIGTSTP by key | stops with its group | stops with its group | has another session |
//! | command stopped alone | stopped | stops itself by SIGTSTP | – |
//! | SIGCONT | continued if it stands | continued | – |
//! | SIGKILL to the launcher | SIGTERM, 2 s later SIGKILL, from init | dies | ends if that was the last launcher |
//! | `vrift stop` | SIGTERM, 2 s later SIGKILL, from init | takes in, as after any end | goes on |
//! | the last launcher leaves | what is left: SIGTERM, 2 s later SIGKILL | names what was ended | ends |
//! | SIGINT, SIGQUIT, SIGTERM, SIGHUP after the command's end | – | passed over: what was written is being taken in | – |
//!
//! | file | what |
//! |---|---|
//! | `plan`, `interpret`, `enclose` | what is done to the namespaces: data, and its execution |
//! | `open`, `idmap`, `init`, `table`, `survivors` | the session's first process |
//! | `mover` | its child that renames a directory of a lower |
//! | `sealed` | who takes part in a confined one cannot be changed from inside |
//! | `realm`, `capability` | what sessions differ in, and what root may do inside |
//! | `link`, `wire` | a launcher's connection to it |
//! | `command`, `join`, `vfork`, `exec`, `filter` | a command gets inside |
//! | `wait`, `signals`, `terminal` | and is waited for |
//! | `remains` | what a session without a pid namespace leaves when its init is killed |
//! | `desk` | meanwhile processes inside ask for what only the outside can tell |
//! | `probe` | what of all this is possible here |

mod capability;
mod command;
mod desk;
mod detached;
mod enclose;
mod exec;
mod filter;
#[cfg(fuzzing)]
pub mod fuzz;
mod idmap;
mod init;
mod interpret;
mod join;
mod link;
pub mod mover;
mod open;
pub mod plan;
pub mod probe;
mod realm;
mod remains;
mod sealed;
mod signals;
mod survivors;
mod sys;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod trouble;
mod vfork;
mod wait;
mod wire;

pub use command::Command;
pub use desk::{Desk, is_own_user};
pub use detached::start_detached;
pub use exec::replace_this_process;
pub use join::run_bare;
pub use link::{Left, Link, Run, connect, first_process, runs, stop};
pub use open::{Opening, open};
pub use plan::{Cover, Plan, Step};
pub use realm::Realm;
pub use remains::{end_remains, user_of};
pub use sealed::{note_directory, run_sealed};
pub use signals::{hold_until_exit, wake};
pub use wait::{Exit, Running};

/// Whether this process leads its process group, as a job of a shell does.
pub fn leads_its_group() -> bool {
    sys::process_group() == rustix::process::getpid().as_raw_nonzero().get()
}

/// Lets a process of a background group print to its terminal, whatever that is set to (SIGTTOU).
pub fn write_to_any_terminal() {
    sys::set_disposition(libc::SIGTTOU, true);
}

/// Where init failed outside the plan; a plan's steps count from 0.
const STEP_MAPS: usize = usize::MAX;
const STEP_DETACH: usize = usize::MAX - 1;
const STEP_LISTEN: usize = usize::MAX - 2;
const STEP_PIDS: usize = usize::MAX - 3;
