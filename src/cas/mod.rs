//! The content-addressed store: immutable objects named by their digest.
//!
//! ```text
//! STORE/                0700
//!   format.json         version and feature lists        format.rs
//!   lock                shared to publish, exclusive to sweep one shard
//!   written             bytes since the last collection   debt.rs
//!   reserve             space for a collection on a full disk   reserve.rs
//!   objects/xx/yyyy…    one content each, 0444           digest.rs, protect.rs
//!   quarantine/         what was damaged                 quarantine.rs
//! ```
//!
//! - One writer: [`publish`]. An object gets its name by linkat, of an unnamed
//!   temporary file or of a staged file itself, when it is complete. A name that
//!   is there already, with the right size, is success. Nothing is ever renamed
//!   into place or written in place (rule 1).
//!   What comes from elsewhere goes through [`receive`], which believes no digest it is told.
//! - One reader: [`Store::open_object`].
//! - Publishing needs a [`store::Publishing`] token: the shared store lock, held
//!   from the first look for an existing object to the commit of the manifest
//!   rows that name it (rule 15), so that a sweep never takes one away between.
//! - Nothing is synced here: one syncfs at a durable point replaces an fsync per file.

pub mod copy;
pub mod debt;
pub mod digest;
pub mod durable;
pub mod finding;
pub mod format;
pub mod helper;
pub mod protect;
pub mod publish;
pub mod quarantine;
pub mod receive;
pub mod reserve;
pub mod sparse;
pub mod store;
pub mod stream;
pub mod sweep;
pub mod verify;
pub mod young;

pub use digest::Digest;
pub use store::Store;
