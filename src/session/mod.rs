//! The life of a session: sync, project, open, join, leave, take in, fold.
//!
//! ```text
//!  host dir ──sync──▶ head root ─stack──▶ lower ┐
//!                                               ├─overlay at DIR─▶ commands
//!                       staging/<s>/upper ──────┘                     │
//!    head root' ◀──txn── trees ◀──objects◀──hash◀── take_in ◀─────────┘
//!         └──fold, or one more layer──▶ lower
//! ```
//!
//! A session is found by its workspace's lock file (`staging/<workspace>.lock`), which
//! names its staging directory; `staging/<session>/` holds `upper/`, `work/`, `socket`
//! and `session.json`.

pub mod apply;
pub mod bundle;
pub mod checkpoint;
pub mod confine;
pub mod counts;
pub mod destroy;
pub mod elsewhere;
pub mod environment;
pub mod export;
pub mod flush;
pub mod fork;
pub mod gc;
pub mod git;
pub mod helpers;
pub mod inside;
pub mod leave;
pub mod live;
pub mod live_sync;
pub mod merge;
pub mod mountinfo;
pub mod mounts;
mod moved;
pub mod open;
pub mod output;
pub mod plain;
pub mod plan;
pub mod power;
pub mod project;
pub mod protect;
pub mod quota;
pub mod record;
pub mod recover;
pub mod resolve;
pub mod rewind;
pub mod roll_back;
pub mod seal;
pub mod shell;
pub mod snapshots;
pub mod stack;
pub mod staging;
pub mod stats;
pub mod sync;
pub mod tables;
pub mod take_in;
pub mod tier1;
pub mod trial;
pub mod verify;
pub mod workspaces;
