//! The manifest: what a project's roots are made of.
//!
//! A *root record* names the metadata of the project's directory and its tree; a
//! tree is a list of entries, or above 1,024 entries an index of lists (rule 7);
//! an entry of kind directory names the next tree. Every body is named by the
//! BLAKE3 digest of its canonical encoding, so equal trees have equal digests
//! whatever their history, and whoever compares two roots skips what is equal.
//!
//! ```text
//! root record ── tree ─┬─ file: digest of an object in the store
//!                      ├─ symbolic link, fifo
//!                      └─ directory ── tree (a list)
//!                                   └─ tree (an index) ─┬─ chunk (a list)
//!                                                       └─ chunk (a list)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`node`] | the types: entry, metadata, kinds |
//! | [`store`] | where bodies come from and go to |
//! | [`encode`], `decode` | the bytes of a body |
//! | [`chunk`] | how big directories are cut; one directory read and changed in part |
//! | [`dir`] | directories, root records, paths |
//! | [`edit`] | a root and a list of edits give a root |
//! | [`diff`], [`compare`] | what differs between two roots; what a user is told of it |
//! | [`merge`], `three_way`, [`lines`] | three roots give one, and conflicts; text by lines |
//! | [`walk`] | a root's entries by path |
//! | [`reach`], [`keep`] | everything that roots are made of; what keeps a root |
//! | [`verify`] | whether all of it is there and sound |
//! | [`git`], `merge_git` | what a repository's state is; repositories are merged as units |
//! | [`group`] | the numbers that tie the names of a hard-linked file |
//! | [`db`], [`schema`] | the database that keeps it all |
//! | [`workspace`], [`history`], [`lineage`], [`snapshot`], [`roots`], [`base`], [`stack`], [`conflict`], [`run`], [`stamp`] | its rows |
//!
//! A *path* here is bytes relative to the project's directory, components joined by
//! `/`; the empty path is that directory itself. *Tree order* compares component by
//! component. No function recurses on the depth of a tree.

pub mod base;
pub mod chunk;
pub mod compare;
pub mod conflict;
pub mod db;
mod decode;
pub mod diff;
pub mod dir;
pub mod edit;
pub mod encode;
pub mod git;
pub mod group;
pub mod history;
pub mod keep;
pub mod lineage;
pub mod lines;
pub mod merge;
mod merge_git;
#[cfg(test)]
pub(crate) mod model;
pub mod node;
pub mod onto;
pub mod reach;
pub mod roll_back;
pub mod roots;
pub mod run;
pub mod schema;
pub mod snapshot;
pub mod stack;
pub mod stamp;
pub mod store;
mod three_way;
pub mod verify;
pub mod walk;
pub mod workspace;

pub use db::Manifest;
