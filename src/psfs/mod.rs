//! The preload library: what it is made of, where it lies, how a command gets it.
//!
//! ```text
//! STORE/psfs/<digest>/        written out once, named by what is in it
//!   x86_64.so                 the library, with the store's path filled in
//!   haswell.so xeon_phi.so    links to it: what older loaders call a newer x86-64
//!   $PLATFORM.so              a link to it, by this very name: musl's loader expands nothing
//!   i386.so … i686.so         an empty library for 32-bit programs
//!   rename/                   the same for `--no-psfs`: nothing is answered from tables
//!   count/                    the same for `--psfs-stats`: answers are counted (`counts`)
//! ```
//! Inside a session that directory is shown in the store's cover as `preload/`, beside
//! [`page::NAME`] and [`door::SOCKET`], and LD_PRELOAD ends with `STORE/preload/x86_64.so`, or,
//! where there may be 32-bit programs, `STORE/preload/$PLATFORM.so` ([`environment::name`]):
//! a loader says an error in each program for a library that is not there or is of another
//! word size, and `$PLATFORM` is what every glibc expands to something different in 32-bit
//! programs (`$LIB` is `lib` for either, according to the distribution).
//!
//! `preload/` below this file is the library's own source, compiled by `build.rs`; what it
//! and vrift must agree on is in `door`, `page` and `layout`, and both look up by `lookup`.
//!
//! A base's Tier-1 directories are described by a table (`layout`, `table`), made once for a
//! base and generation, in `projects/<id>/vdir/`, and shown in the cover as `0.vdir` … beside the
//! page, which says by what device, inode and mount this session knows each (rules 28, 29).

pub mod counts;
pub mod door;
pub mod environment;
pub mod layout;
pub mod library;
mod list;
pub mod lookup;
pub mod page;
pub mod scan;
pub mod sight;
mod stub;
pub mod table;
