//! The page of `vrift stats --html`: one file, no script, nothing to fetch.

use std::fmt::Write;
use std::path::Path;

use super::treemap::{Rectangle, squarify};
use super::{shared, shown};
use crate::commands::printer::{age, counted, size};
use crate::error::plain;
use crate::session::record::now_ms;
use crate::session::stats::{Folder, Here, Stats};

const PAGE: &str = include_str!("page.html");
/// The picture of a head, in the units of its own.
const PLACE: Rectangle = Rectangle { x: 0.0, y: 0.0, width: 960.0, height: 480.0 };
/// Colours that directories are told apart by; `page.html` has them.
const COLOURS: usize = 8;
/// Room for a directory's name above what is in it.
const TITLE: f64 = 15.0;
/// About what a character takes.
const CHARACTER: f64 = 6.2;
/// What is smaller in one direction is not divided any more.
const SMALLEST: f64 = 30.0;

/// The page.
pub fn page(store: &Path, found: &Stats) -> String {
    let mut body = String::new();
    let _ = write!(
        body,
        "<dl><div><dt>contents</dt><dd>{}</dd></div><div><dt>bytes</dt><dd>{}</dd></div>\
         <div><dt>of disk</dt><dd>{}</dd></div><div><dt>named by nothing</dt><dd>{}</dd></div></dl>",
        found.objects.count,
        size(found.objects.bytes),
        size(found.on_disk),
        size(found.unnamed.bytes),
    );
    projects(&mut body, found);
    if let Some(here) = &found.here {
        tree(&mut body, here);
        workspaces(&mut body, here);
        snapshots(&mut body, here);
        largest(&mut body, here);
        runs(&mut body, here);
    }
    let seconds = now_ms() / 1000;
    let when = format!("<time data-seconds=\"{seconds}\">at {} UTC</time>", clock(seconds));
    // the body last: nothing in it is taken for a place
    PAGE.replace("{{store}}", &escaped(&plain(store.as_os_str())))
        .replace("{{when}}", &when)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{body}}", &body)
}

fn projects(body: &mut String, found: &Stats) {
    body.push_str(
        "<h2>Projects</h2><p>In use, and held by old states; \"alone\" is what no other project holds.</p>\
         <table><tr><th>project<th>in use<th>old states<th>alone<th>manifest",
    );
    for share in &found.projects {
        let name = share.root.as_ref().map_or_else(|| share.id.clone(), |root| plain(root.as_os_str()));
        let _ = write!(body, "<tr><td>{}", escaped(&name));
        match &share.broken {
            Some(why) => {
                let _ = write!(body, "<td colspan=4>not counted: {}", escaped(why));
            }
            None => {
                for bytes in [share.live.bytes, share.history.bytes, share.alone.bytes, share.manifest] {
                    let _ = write!(body, "<td>{}", size(bytes));
                }
            }
        }
    }
    body.push_str("</table>");
}

/// What the workspace's head is made of, as a picture.
fn tree(body: &mut String, here: &Here) {
    let held = here.top.held;
    let _ = write!(
        body,
        "<h2>Workspace {}</h2><p>{}, {}. Areas are bytes.</p>\
         <svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"The files of the workspace by directory\">",
        escaped(&here.workspace),
        counted(held.count, "file"),
        size(held.bytes),
        PLACE.width,
        PLACE.height
    );
    // directories not drawn yet; no recursion on the depth of a tree
    let mut ahead = vec![(&here.top, String::new(), PLACE, None::<usize>)];
    while let Some((folder, path, place, colour)) = ahead.pop() {
        let inner = parts(folder);
        let weights: Vec<f64> = inner.iter().map(|(_, bytes, _)| *bytes as f64).collect();
        for (number, ((name, bytes, below), place)) in inner.iter().zip(squarify(&weights, place)).enumerate()
        {
            let colour = colour.unwrap_or(number % COLOURS);
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            rectangle(body, place, colour, name, &format!("{path}: {}", size(*bytes)));
            let room = place.within(2.0, TITLE).filter(|room| room.width.min(room.height) > SMALLEST);
            if let (Some(below), Some(room)) = (below.filter(|below| !below.inner.is_empty()), room) {
                ahead.push((below, path, room, Some(colour)));
            }
        }
    }
    body.push_str("</svg>");
}

/// What a directory is divided into, largest first: directories, and its files together.
fn parts(folder: &Folder) -> Vec<(String, u64, Option<&Folder>)> {
    let below: u64 = folder.inner.values().map(|inner| inner.held.bytes).sum();
    let mut parts: Vec<_> =
        folder.inner.iter().map(|(name, inner)| (shown(name), inner.held.bytes, Some(inner))).collect();
    parts.push(("files".into(), folder.held.bytes - below, None));
    parts.retain(|(_, bytes, _)| *bytes > 0);
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    parts
}

fn rectangle(body: &mut String, place: Rectangle, colour: usize, name: &str, title: &str) {
    let Rectangle { x, y, width, height } = place;
    let _ = write!(
        body,
        "<g><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         fill=\"var(--c{colour})\"/>",
        escaped(title)
    );
    let fits = ((width - 8.0) / CHARACTER).max(0.0) as usize;
    if height > TITLE && fits >= 3 {
        let label: String = match name.chars().count() > fits {
            true => name.chars().take(fits - 1).chain(['…']).collect(),
            false => name.into(),
        };
        let _ = write!(body, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 4.0, y + 12.0, escaped(&label));
    }
    body.push_str("</g>");
}

fn workspaces(body: &mut String, here: &Here) {
    body.push_str("<h2>Workspaces</h2>");
    if let Some(times) = shared(here) {
        let _ = write!(
            body,
            "<p>Together {}; copies of them would take {times:.1} times as much.</p>",
            size(here.together.bytes)
        );
    }
    body.push_str("<table><tr><th>workspace<th>contents<th>size<th>alone<th>alone, shared");
    let most = here.workspaces.iter().map(|branch| branch.held.bytes).max().unwrap_or(0);
    for branch in &here.workspaces {
        let rest = branch.held.bytes - branch.alone.bytes;
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td>{}<td>{}{}",
            escaped(&branch.name),
            branch.held.count,
            size(branch.held.bytes),
            size(branch.alone.bytes),
            rail(&[branch.alone.bytes, rest], most)
        );
    }
    body.push_str("</table>");
}

fn snapshots(body: &mut String, here: &Here) {
    if here.snapshots.is_empty() {
        return;
    }
    body.push_str("<h2>Snapshots</h2><p>What each brought that none before it had.</p>");
    body.push_str("<table><tr><th>snapshot<th>made<th>new<th>");
    let most = here.snapshots.iter().map(|grown| grown.new.bytes).max().unwrap_or(0);
    for grown in &here.snapshots {
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td>{}{}",
            escaped(&grown.name),
            age(now_ms() - grown.at * 1000),
            size(grown.new.bytes),
            rail(&[grown.new.bytes], most)
        );
    }
    body.push_str("</table>");
}

fn largest(body: &mut String, here: &Here) {
    body.push_str("<h2>Largest files</h2><table><tr><th>file<th>size<th>");
    let most = here.largest.first().map_or(0, |(_, bytes)| *bytes);
    for (path, bytes) in &here.largest {
        let (path, bar) = (escaped(&shown(path)), rail(&[*bytes], most));
        let _ = write!(body, "<tr><td>{path}<td>{}{bar}", size(*bytes));
    }
    body.push_str("</table>");
}

fn runs(body: &mut String, here: &Here) {
    if here.runs.is_empty() {
        return;
    }
    let mut times: Vec<u64> = here.runs.iter().map(took).collect();
    times.sort_unstable();
    let _ = write!(
        body,
        "<h2>Runs</h2><p>The last {}: median {}, longest {}.</p><table><tr><th>command<th>when<th>status<th>took<th>",
        times.len(),
        duration(times[times.len() / 2]),
        duration(times[times.len() - 1])
    );
    let last = &here.runs[..here.runs.len().min(20)];
    let most = last.iter().map(took).max().unwrap_or(0);
    for run in last {
        let words: Vec<String> = run.argv.split(|byte| *byte == 0).map(shown).collect();
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td>{}<td>{}{}",
            escaped(words.join(" ").trim_end()),
            age(now_ms() - run.ended),
            run.status,
            duration(took(run)),
            rail(&[took(run)], most)
        );
    }
    body.push_str("</table>");
}

/// Milliseconds.
fn took(run: &crate::manifest::run::Run) -> u64 {
    u64::try_from(run.ended - run.started).unwrap_or(0)
}

fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 => format!("{:.1} s", ms as f64 / 1000.0),
        _ => format!("{} min", ms / 60_000),
    }
}

/// A bar of parts, the longest of all rows being `most`.
fn rail(parts: &[u64], most: u64) -> String {
    let share = |part: &u64| 100.0 * *part as f64 / most.max(1) as f64;
    let parts: String =
        parts.iter().map(|part| format!("<i style=\"width:{:.1}%\"></i>", share(part))).collect();
    format!("<td class=bar><div class=rail>{parts}</div>")
}

/// A moment in UTC, by the days of the civil calendar (Howard Hinnant, days_from_civil).
fn clock(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_of_year = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_of_year + 2) / 5 + 1;
    let month = if month_of_year < 10 { month_of_year + 3 } else { month_of_year - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", second / 3600, second / 60 % 60)
}

/// Text as HTML has it, in elements and in quoted attributes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_of_the_calendar() {
        assert_eq!(clock(0), "1970-01-01 00:00");
        assert_eq!(clock(951_782_400), "2000-02-29 00:00");
        assert_eq!(clock(1_795_287_599), "2026-11-21 18:59");
        assert_eq!(clock(-1), "1969-12-31 23:59");
    }

    #[test]
    fn what_is_in_a_name_stays_text() {
        assert_eq!(escaped("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
