//! Which projection a lower tree has: what is asked for (`--projection`, `run.projection`), else
//! the one that is there, as long as this kernel and this store can show it, else the best.
//!
//! A stub base under a kernel that does not follow stubs would read as zeros, so this is
//! asked at every start. A base of another projection than the chosen one is rendered anew
//! aside.

use crate::config::run::Projected;
use crate::error::{Error, Kind, Result};
use crate::overlay::probe::Probe;
use crate::overlay::projection::{COPY, HARDLINK, STUB, TIER1};
use crate::session::project::Project;

/// How a tree's projection is chosen.
pub type Choose = fn(&Project, Option<&str>) -> Result<&'static str>;

/// The projection of a tree that has `current`, or of a new one.
pub fn choose(project: &Project, current: Option<&str>) -> Result<&'static str> {
    let probe = Probe::cached(project.store.root())?;
    match (project.config.wishes.projection, current) {
        (Some(Projected::Stub), _) => works(&probe, STUB),
        (Some(Projected::Hardlink), _) => works(&probe, HARDLINK),
        (Some(Projected::Copy), _) => works(&probe, COPY),
        (None, Some(current)) => {
            let known = [STUB, HARDLINK, COPY].into_iter().find(|known| *known == current);
            known.map_or_else(|| best(&probe), |known| works(&probe, known).or_else(|_| best(&probe)))
        }
        (Some(Projected::Auto), _) | (None, None) => best(&probe),
    }
}

/// The same for a tree of what is declared not to change.
pub fn choose_tier1(project: &Project, current: Option<&str>) -> Result<&'static str> {
    let current = current.map(|current| if current == TIER1 { HARDLINK } else { current });
    choose(project, current).map(|name| if name == HARDLINK { TIER1 } else { name })
}

fn best(probe: &Probe) -> Result<&'static str> {
    works(probe, STUB).or_else(|_| works(probe, HARDLINK))
}

fn works(probe: &Probe, name: &'static str) -> Result<&'static str> {
    let found = if name == STUB { &probe.stub } else { &probe.overlay };
    let Err(why) = found else { return Ok(name) };
    let message = match probe.overlay {
        Ok(()) => format!("the projection {name} does not work here: {why}"),
        Err(_) => format!("runs do not work here: {why}"),
    };
    let hint = match &probe.overlay {
        Ok(()) => "leave --projection out: hardlink and copy work here",
        Err(_) => why.hint().unwrap_or("vrift doctor says more"),
    };
    Err(Error::new(Kind::Unsupported, message).with_hint(hint.to_string()))
}
