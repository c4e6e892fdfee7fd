//! How the state looks. Every name was made harmless before it comes here, or is here
//! (`shown`): no control character of a name or a file reaches the terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, List, ListItem, ListState, Paragraph, Wrap};

use super::state::{Pane, Patch, Question, State, shown};
use crate::manifest::compare::{Item, Mark};

const KEYS: &str = "enter diff · a apply · d discard · tab next · r read anew · q end";
/// Below this there is room for one pane only.
const NARROW: u16 = 60;
const LOW: u16 = 12;
/// So many paths are named in a question.
const LISTED: usize = 8;

pub fn all(frame: &mut Frame<'_>, state: &State) {
    let area = frame.area();
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    let title = format!("vrift  {}  workspace {}", state.root(), state.workspace());
    frame.render_widget(Paragraph::new(title).style(Style::new().add_modifier(Modifier::BOLD)), top);
    match &state.patch {
        Some(patch) => whole(frame, patch, middle),
        None => panes(frame, state, middle),
    }
    let foot = match (&state.patch, state.said.is_empty()) {
        (Some(_), _) => "up, down, space · q back",
        (None, true) => KEYS,
        (None, false) => &state.said,
    };
    frame.render_widget(Paragraph::new(foot).style(Style::new().add_modifier(Modifier::DIM)), bottom);
    if let Some(question) = &state.question {
        ask(frame, question, state);
    }
}

fn panes(frame: &mut Frame<'_>, state: &State, area: Rect) {
    if area.width < NARROW || area.height < LOW {
        match state.pane {
            Pane::Workspaces => workspaces(frame, state, area),
            Pane::Changes => changes(frame, state, area),
            Pane::Runs => runs(frame, state, area),
        }
        return;
    }
    let [upper, lower] = Layout::vertical([Constraint::Fill(2), Constraint::Fill(1)]).areas(area);
    let [left, right] = Layout::horizontal([Constraint::Length(30), Constraint::Min(1)]).areas(upper);
    workspaces(frame, state, left);
    changes(frame, state, right);
    runs(frame, state, lower);
}

fn workspaces(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let rows = state.seen.iter().map(|seen| {
        let live = if seen.live.is_some() { "live" } else { "" };
        ListItem::new(format!("{:<14} {live:<4} {:>6}", seen.workspace.name, seen.changed))
    });
    list(frame, rows.collect(), ("workspaces", Pane::Workspaces), state, area);
}

fn changes(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let rows = state.items.iter().map(|item| ListItem::new(Line::styled(line(item), style(item.mark))));
    list(frame, rows.collect(), ("changes", Pane::Changes), state, area);
}

fn runs(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let rows = state.runs.iter().map(|run| ListItem::new(run.as_str()));
    list(frame, rows.collect(), ("runs", Pane::Runs), state, area);
}

fn list(
    frame: &mut Frame<'_>,
    rows: Vec<ListItem<'_>>,
    (name, pane): (&str, Pane),
    state: &State,
    area: Rect,
) {
    let is_here = state.pane == pane;
    let edge = if is_here { Style::new().fg(Color::Cyan) } else { Style::new() };
    let title = format!(" {name} ({}) ", rows.len());
    let chosen = (!rows.is_empty()).then_some(state.at[pane as usize]);
    let bright = if is_here { Modifier::REVERSED } else { Modifier::BOLD };
    let shown = List::new(rows)
        .block(Block::bordered().border_style(edge).title(title))
        .highlight_style(Style::new().add_modifier(bright));
    frame.render_stateful_widget(shown, area, &mut ListState::default().with_selected(chosen));
}

fn line(item: &Item) -> String {
    let slash = if item.is_dir() && item.mark != Mark::Retyped { "/" } else { "" };
    let from = item.from.as_ref().map(|from| format!("{} → ", shown(from))).unwrap_or_default();
    format!("{} {from}{}{slash}", item.mark.letter(), shown(&item.path))
}

fn style(mark: Mark) -> Style {
    Style::new().fg(match mark {
        Mark::Added => Color::Green,
        Mark::Deleted => Color::Red,
        _ => Color::Yellow,
    })
}

fn whole(frame: &mut Frame<'_>, patch: &Patch, area: Rect) {
    let lines = patch.lines.iter().skip(patch.top).take(area.height.into()).map(|line| {
        let style = match line.as_bytes().first() {
            Some(b'+') => Style::new().fg(Color::Green),
            Some(b'-') => Style::new().fg(Color::Red),
            Some(b'@') => Style::new().fg(Color::Cyan),
            _ => Style::new(),
        };
        Line::styled(line.as_str(), style)
    });
    let title = format!(" {} ", patch.title);
    let block = Block::bordered().title(title);
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

fn ask(frame: &mut Frame<'_>, question: &Question, state: &State) {
    let (what, paths, run) = match question {
        Question::Apply(paths, run) => ("write to the directory", paths, run.as_slice()),
        Question::Discard(paths) => ("discard from the workspace", paths, &[][..]),
    };
    let which = match paths.last() {
        Some(path) => shown(path),
        None => format!("all {} changes of {}", state.items.len(), state.workspace()),
    };
    let area = frame.area();
    let (width, height) = (area.width.min(64), area.height.min(5 + run.len().min(LISTED + 1) as u16));
    let at = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, at);
    let mut text = format!("{what}: {which}?\n");
    run.iter().take(LISTED).for_each(|run| text += &format!("{run}\n"));
    if run.len() > LISTED {
        text += &format!("and {} more that are run\n", run.len() - LISTED);
    }
    text += "[y]es, any other key: no";
    let block = Block::bordered().border_style(Style::new().fg(Color::Yellow));
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(block), at);
}
