//! `vrift ui`: workspaces, their changes and runs on the whole screen; a diff on enter, apply and
//! discard by a key, asked first.
//!
//! | file | holds |
//! |---|---|
//! | `state.rs` | what is shown and chosen; keys; what they do to the project |
//! | `draw.rs` | how it is shown |
//!
//! The terminal is as before at the end, after a panic and after a signal too.

mod draw;
mod state;

use std::io::IsTerminal;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use ratatui::crossterm::event::{self, Event};

use self::state::{State, Step};
use super::Status;
use super::printer::Printer;
use crate::cli::{Global, Ui};
use crate::error::{Context, Error, Result};

/// How long nothing is typed before it is looked whether something has changed.
const EVERY: Duration = Duration::from_millis(500);

pub fn run(global: &Global, args: &Ui, printer: &Printer) -> Result<Status> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Error::failure("ui needs a terminal").with_hint("elsewhere: vrift status, vrift runs"));
    }
    let mut project = super::known_project(global)?;
    project.configure(&global.config)?;
    let mut state = State::new(project, &args.workspace)?;
    // one that comes is found pending, so that the terminal is put right first
    let ends: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    ends.thread_block().map_err(std::io::Error::from).context("wait for", "signals")?;
    let shown = screen(&mut state, &ends);
    ratatui::restore();
    let changed = state.has_changed();
    let project = state.into_project();
    if changed {
        super::written(global, project, printer);
    }
    shown.map(|()| 0)
}

fn screen(state: &mut State, ends: &SigSet) -> Result<()> {
    let mut terminal = ratatui::try_init().context("draw on", "the terminal")?;
    loop {
        terminal.draw(|frame| draw::all(frame, state)).context("draw on", "the terminal")?;
        if is_pending(ends) {
            return Ok(());
        }
        if !event::poll(EVERY).context("read", "the terminal")? {
            state.look_again();
            continue;
        }
        match event::read().context("read", "the terminal")? {
            Event::Key(key) if state.press(key) == Step::End => return Ok(()),
            // drawn anew, whatever it was: a new size, too
            _ => {}
        }
    }
}

/// Whether one of the signals has come.
fn is_pending(signals: &SigSet) -> bool {
    let line = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let pending = line.lines().filter_map(|line| {
        let (name, mask) = line.split_once(':')?;
        matches!(name, "SigPnd" | "ShdPnd").then(|| u64::from_str_radix(mask.trim(), 16).ok())?
    });
    let pending = pending.fold(0, |all, mask| all | mask);
    signals.iter().any(|signal| pending >> (signal as u32 - 1) & 1 == 1)
}
