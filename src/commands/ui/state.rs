//! What the screen shows, what is chosen on it, and what keys do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::super::printer::{Printer, counted};
use super::super::runs::{finished_line, live_line};
use super::super::{apply as written, diff, patch};
use crate::error::{Result, plain};
use crate::manifest::compare::{Item, compare};
use crate::manifest::workspace::MAIN;
use crate::session::apply::select::Select;
use crate::session::apply::{self, Wanted};
use crate::session::live::live_runs;
use crate::session::mounts;
use crate::session::project::Project;
use crate::session::rewind;
use crate::session::workspaces::{self, Seen};

/// Runs that are shown.
const RUNS: u32 = 50;
/// Bytes of a patch that are shown; the rest is for `vrift diff`.
const PATCH: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Goes,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Workspaces,
    Changes,
    Runs,
}

/// What waits for a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// With what of it programs of the host run by themselves.
    Apply(Vec<Vec<u8>>, Vec<String>),
    Discard(Vec<Vec<u8>>),
}

/// A patch over the whole screen.
pub struct Patch {
    pub title: String,
    pub lines: Vec<String>,
    pub top: usize,
}

pub struct State {
    /// Gone only while something is done with it.
    project: Option<Project>,
    pub seen: Vec<Seen>,
    pub items: Vec<Item>,
    pub runs: Vec<String>,
    pub pane: Pane,
    /// Chosen in each pane.
    pub at: [usize; 3],
    pub patch: Option<Patch>,
    pub question: Option<Question>,
    /// What the last key came to.
    pub said: String,
    version: Option<i64>,
    changed: bool,
}

impl State {
    pub fn new(project: Project, workspace: &str) -> Result<Self> {
        project.manifest.known_workspace(workspace)?;
        let mut state = Self {
            project: Some(project),
            seen: Vec::new(),
            items: Vec::new(),
            runs: Vec::new(),
            pane: Pane::Changes,
            at: [0; 3],
            patch: None,
            question: None,
            said: String::new(),
            version: None,
            changed: false,
        };
        state.load()?;
        state.at[0] = state.seen.iter().position(|seen| seen.workspace.name == workspace).unwrap_or(0);
        state.load()?;
        Ok(state)
    }

    /// Something was written to the project or the store.
    pub fn has_changed(&self) -> bool {
        self.changed && self.project.is_some()
    }

    pub fn into_project(self) -> Project {
        self.project.expect("it is back after every key")
    }

    pub fn root(&self) -> String {
        self.project.as_ref().map(|project| plain(project.root.as_os_str())).unwrap_or_default()
    }

    pub fn workspace(&self) -> String {
        self.seen.get(self.at[0]).map_or_else(|| MAIN.into(), |seen| seen.workspace.name.clone())
    }

    /// Reads everything anew, and keeps the choice where it can.
    fn load(&mut self) -> Result<()> {
        let Some(project) = &self.project else { return Ok(()) };
        let chosen = self.workspace();
        self.version = Some(project.manifest.data_version()?);
        self.seen = workspaces::list(project)?;
        if let Some(at) = self.seen.iter().position(|seen| seen.workspace.name == chosen) {
            self.at[0] = at;
        }
        self.at[0] = self.at[0].min(self.seen.len().saturating_sub(1));
        let workspace = self.workspace();
        self.items = changes(project, &workspace)?;
        let (plain, width) = (Printer::plain(), 12);
        self.runs = live_runs(project)?.iter().map(|run| live_line(run, width, &plain)).collect();
        let ended = project.manifest.runs(RUNS)?;
        self.runs
            .extend(ended.iter().map(|(id, run)| finished_line((*id, run), &project.root, width, &plain)));
        self.at[1] = self.at[1].min(self.items.len().saturating_sub(1));
        self.at[2] = self.at[2].min(self.runs.len().saturating_sub(1));
        Ok(())
    }

    /// Another process may have changed something.
    pub fn look_again(&mut self) {
        let now = self.project.as_ref().and_then(|project| project.manifest.data_version().ok());
        if now != self.version
            && let Err(why) = self.load()
        {
            self.said = why.to_string();
        }
    }

    pub fn press(&mut self, key: KeyEvent) -> Step {
        if key.kind == KeyEventKind::Release {
            return Step::Goes;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Step::End;
        }
        if let Some(question) = self.question.take() {
            match key.code {
                KeyCode::Char('y' | 'Y') => self.answer(question),
                _ => self.said = "nothing was done".into(),
            }
            return Step::Goes;
        }
        if self.patch.is_some() {
            self.press_in_patch(key.code);
            return Step::Goes;
        }
        self.said.clear();
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Step::End,
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.pane = self.next(1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => self.pane = self.next(2),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::PageDown => self.go(10),
            KeyCode::PageUp => self.go(-10),
            KeyCode::Home | KeyCode::Char('g') => self.go(isize::MIN / 2),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX / 2),
            KeyCode::Enter => self.enter(),
            KeyCode::Char('r') => self.tried(Self::load),
            KeyCode::Char('a') => self.ask(true),
            KeyCode::Char('d') => self.ask(false),
            _ => {}
        }
        Step::Goes
    }

    fn next(&self, by: usize) -> Pane {
        let panes = [Pane::Workspaces, Pane::Changes, Pane::Runs];
        panes[(self.pane as usize + by) % panes.len()]
    }

    fn go(&mut self, by: isize) {
        let pane = self.pane as usize;
        let count = [self.seen.len(), self.items.len(), self.runs.len()][pane];
        let last = isize::try_from(count.saturating_sub(1)).unwrap_or(isize::MAX);
        let to = isize::try_from(self.at[pane]).unwrap_or(0).saturating_add(by).clamp(0, last);
        self.at[pane] = usize::try_from(to).unwrap_or(0);
        if self.pane == Pane::Workspaces {
            self.at[1] = 0;
            self.tried(Self::load);
        }
    }

    fn enter(&mut self) {
        match self.pane {
            Pane::Workspaces => self.pane = Pane::Changes,
            Pane::Runs => {}
            Pane::Changes => {
                let (Some(project), Some(item)) = (&self.project, self.items.get(self.at[1])) else { return };
                match patch::of(&project.store, item, &Printer::plain()) {
                    Err(why) => self.said = why.to_string(),
                    Ok(bytes) => {
                        let title = diff::line(item, &Printer::plain()).trim_end().to_string();
                        self.patch = Some(Patch { title, lines: lines(&bytes), top: 0 });
                    }
                }
            }
        }
    }

    fn press_in_patch(&mut self, key: KeyCode) {
        let Some(patch) = &mut self.patch else { return };
        let last = patch.lines.len().saturating_sub(1);
        patch.top = match key {
            KeyCode::Down | KeyCode::Char('j') => patch.top + 1,
            KeyCode::Up | KeyCode::Char('k') => patch.top.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => patch.top + 20,
            KeyCode::PageUp => patch.top.saturating_sub(20),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            KeyCode::Char('q') | KeyCode::Esc | KeyCode::Enter => return self.patch = None,
            _ => patch.top,
        }
        .min(last);
    }

    /// In the pane of changes it is about the one that is chosen, else about all.
    fn ask(&mut self, applies: bool) {
        if self.items.is_empty() {
            self.said = "there is nothing that differs".into();
            return;
        }
        let one = self.items.get(self.at[1]).filter(|_| self.pane == Pane::Changes);
        let paths: Option<Vec<_>> = one.map(|item| item.from.iter().chain([&item.path]).cloned().collect());
        let paths = paths.unwrap_or_default();
        self.question = match applies {
            false => Some(Question::Discard(paths)),
            true => match self.run_by_others(&paths) {
                Ok(run) => Some(Question::Apply(paths, run)),
                Err(why) => return self.said = why.to_string(),
            },
        };
    }

    fn answer(&mut self, question: Question) {
        let workspace = self.workspace();
        let done = match question {
            Question::Apply(paths, _) => self.apply(&workspace, &paths),
            Question::Discard(paths) => self.discard(&workspace, &paths),
        };
        self.said = done.unwrap_or_else(|why| match why.hint() {
            Some(hint) => format!("{why}: {hint}"),
            None => why.to_string(),
        });
        if let Err(why) = self.load() {
            self.said = why.to_string();
        }
    }

    /// What of it the host runs by itself, and why: it is named before anything is written.
    fn run_by_others(&self, paths: &[Vec<u8>]) -> Result<Vec<String>> {
        let Some(project) = &self.project else { return Ok(Vec::new()) };
        let workspace = self.workspace();
        let plan = apply::look(project, &Wanted { workspace: &workspace, paths, ..Wanted::default() })?;
        let named = |(step, why): (&apply::Step, &str)| format!("{} ({why})", shown(&step.path));
        Ok(apply::risk::first(&plan).into_iter().map(named).collect())
    }

    fn apply(&mut self, workspace: &str, paths: &[Vec<u8>]) -> Result<String> {
        let Some(project) = &self.project else { return Ok(String::new()) };
        let plan = apply::apply(project, &Wanted { workspace, paths, ..Wanted::default() })?;
        written::refuse(&plan)?;
        self.changed = true;
        let count = written::items(&plan).len();
        Ok(format!("{} written to {}", counted(count, "path"), plain(project.root.as_os_str())))
    }

    /// The directory's state, as it was taken over last, comes back into the workspace.
    fn discard(&mut self, workspace: &str, paths: &[Vec<u8>]) -> Result<String> {
        let Some(project) = self.project.take() else { return Ok(String::new()) };
        let place = project.again()?;
        match rewind::restore(project, workspace, "host", paths) {
            Ok((project, _)) => {
                self.project = Some(project);
                self.changed = true;
                let count = if paths.is_empty() { self.items.len() } else { 1 };
                Ok(format!("{} discarded; vrift undo brings it back", counted(count, "path")))
            }
            Err(why) => {
                self.project = Some(place.open()?);
                Err(why)
            }
        }
    }

    fn tried(&mut self, work: fn(&mut Self) -> Result<()>) {
        if let Err(why) = work(self) {
            self.said = why.to_string();
        }
    }
}

/// What a workspace has that the directory has not, as `vrift diff` lists it.
fn changes(project: &Project, workspace: &str) -> Result<Vec<Item>> {
    let now = project.manifest.known_workspace(workspace)?;
    let Some(head) = now.head else { return Ok(Vec::new()) };
    let covered = mounts::covered(project)?;
    let skip =
        |path: &[u8]| covered.iter().any(|mount| path == mount.as_slice() || mounts::is_below(path, mount));
    let select = Select::new(project, head, &[], &[])?;
    let whole = |path: &[u8]| select.is_own(path, true).unwrap_or(false);
    compare(&project.manifest, now.host_base.as_ref(), Some(&head), &skip, &whole)
}

/// A patch as lines without control characters; tabs are blanks.
fn lines(bytes: &[u8]) -> Vec<String> {
    let (bytes, more) = match bytes.len() > PATCH {
        true => (&bytes[..PATCH], Some("… vrift diff shows the rest".to_string())),
        false => (bytes, None),
    };
    let text = String::from_utf8_lossy(bytes).replace('\t', "        ");
    text.lines().map(|line| plain(OsStr::new(line))).chain(more).collect()
}

/// A path on one line of a terminal.
pub fn shown(path: &[u8]) -> String {
    plain(OsStr::from_bytes(path))
}
