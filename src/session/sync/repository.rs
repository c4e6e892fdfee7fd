//! Reading a repository that git may be writing to.
//!
//! A ref that was read must find its objects, so a repository (a directory with `HEAD`,
//! `objects` and `refs`) is read in the order opposite to that in which git writes:
//!
//! | | read | because |
//! |---|---|---|
//! | 0 | `refs` | packing refs writes `packed-refs` before it removes loose ones |
//! | 1 | `packed-refs`, `HEAD`, the index and the rest | they name objects |
//! | 2 | `objects` but `objects/pack` | packing writes a pack before it removes loose ones |
//! | 3 | `objects/pack` | the last |
//!
//! A repository that changed meanwhile, or lost a pack, is read again. What a running git
//! will rename or remove (`*.lock`, temporary objects) is not taken in.

use std::ffi::CStr;

use super::known::stamp_of;
use crate::manifest::git;
use crate::manifest::stamp::Stamp;
use crate::os::dir::Dir;

/// How many steps are read after everything else.
pub const STEPS: usize = 3;

/// Where in a repository a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nowhere special; what turns out to be a repository is put off.
    Any,
    /// The top of a repository whose refs have been read.
    Top,
    Objects,
}

/// When what is in a directory is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Now(Part),
    /// After everything of the steps before.
    Step(usize, Part),
    Done,
}

/// When a subdirectory of this part of a repository is read.
pub fn when(part: Part, name: &[u8]) -> When {
    match (part, name) {
        (Part::Top, b"refs") => When::Done,
        (Part::Top, b"objects") => When::Step(1, Part::Objects),
        (Part::Objects, b"pack") => When::Step(2, Part::Any),
        _ => When::Now(Part::Any),
    }
}

/// Whether a directory with these names is a repository.
pub fn is_repository<'n>(names: impl Iterator<Item = &'n [u8]>) -> bool {
    const NEEDED: [&[u8]; 3] = [b"HEAD", b"objects", b"refs"];
    names.filter(|name| NEEDED.contains(name)).count() == NEEDED.len()
}

/// A name below a `.git` that a running git is about to rename or remove, or listens at.
pub fn is_passing(name: &[u8]) -> bool {
    const BEGINS: &[&[u8]] = &[b"tmp_", b".tmp-", b"incoming-", b"tmp_objdir-", b"fsmonitor--daemon"];
    name.ends_with(b".lock") || name == b"gc.pid" || BEGINS.iter().any(|begin| name.starts_with(begin))
}

/// A pack that vanished while packs were read took objects along which another one has.
pub fn is_pack(path: &[u8]) -> bool {
    path.ends_with(b"objects/pack") && git::is_in(path)
}

/// What git changes whenever it moves a ref of the work tree, packs refs, or stages.
const TELLING: [&CStr; 4] = [c"HEAD", c"packed-refs", c"index", c"logs/HEAD"];

/// How a repository looked.
#[derive(Debug, PartialEq, Eq)]
pub struct Look([Option<Stamp>; 4]);

impl Look {
    pub fn at(dir: &Dir) -> Self {
        // What cannot be looked at does not tell.
        Self(TELLING.map(|name| dir.stat_if_there(name).ok().flatten().map(|stat| stamp_of(&stat))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_after_refs_and_packs_last() {
        for (part, name, expected) in [
            (Part::Any, "objects", When::Now(Part::Any)),
            (Part::Top, "refs", When::Done),
            (Part::Top, "hooks", When::Now(Part::Any)),
            (Part::Top, "objects", When::Step(1, Part::Objects)),
            (Part::Objects, "0a", When::Now(Part::Any)),
            (Part::Objects, "pack", When::Step(2, Part::Any)),
        ] {
            assert_eq!(when(part, name.as_bytes()), expected, "{part:?} {name}");
        }
    }

    #[test]
    fn what_a_running_git_leaves_for_a_moment() {
        for (name, passing) in [
            ("index.lock", true),
            ("tmp_obj_x1", true),
            (".tmp-12-pack-ab.pack", true),
            ("gc.pid", true),
            ("index", false),
            ("pack-ab.pack", false),
            ("HEAD", false),
        ] {
            assert_eq!(is_passing(name.as_bytes()), passing, "{name}");
        }
    }
}
