//! What a launcher has done for its session while its command runs: requests from inside are
//! answered (`answer`), every ten minutes what was written is taken in (`checkpoint`), and every
//! second it is looked whether that is more than it may be (`session::quota`).

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::config::{Config, amount, keys};
use crate::error::Result;
use crate::ns::{Command, Desk};
use crate::session::open::Session;
use crate::session::quota::{self, Watch};

/// How often a session is taken in when nothing is configured.
const CHECKPOINT: Duration = Duration::from_secs(600);

/// How often a live session is to be taken in; `None`: not at all.
pub fn interval(config: &Config) -> Result<Option<Duration>> {
    config.text(keys::CHECKPOINT).map_or(Ok(Some(CHECKPOINT)), amount::time)
}

/// The launcher's desk; it takes the session in `every` so often, and has `watch` look whether
/// it writes more than it may.
pub fn desk(session: &Session, every: Option<Duration>, watch: Option<Watch>) -> Option<Desk> {
    let place = &session.project.place;
    let (store, root) = (place.store.root().to_path_buf(), place.root.clone());
    let workspace = session.workspace.clone();
    let helper = move |verb: &str, more: &[&str]| {
        let words: [&OsStr; 8] = [
            "vrift".as_ref(),
            "--store".as_ref(),
            store.as_os_str(),
            verb.as_ref(),
            "--root".as_ref(),
            root.as_os_str(),
            "--of".as_ref(),
            workspace.as_ref(),
        ];
        let words = words.into_iter().chain(more.iter().map(OsStr::new));
        let argv = words.map(OsStr::to_os_string).collect::<Vec<OsString>>();
        Command { argv, env: std::env::vars_os().collect(), cwd: root.clone() }
    };
    let answer = helper.clone();
    let desk = session.link.desk(Box::new(move || answer("answer", &[])))?;
    let desk = match watch {
        Some(mut watch) => desk.with_watch(quota::EVERY, Box::new(move || watch.look())),
        None => desk,
    };
    let Some(every) = every else { return Some(desk) };
    let younger = (every / 2).as_secs().to_string();
    Some(desk.with_round(every, Box::new(move || helper("checkpoint", &["--younger", &younger]))))
}
