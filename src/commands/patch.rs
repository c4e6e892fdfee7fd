//! A unified diff of one path, in the form that `git apply` takes.

use similar::{ChangeTag, TextDiff};

use super::printer::{Printer, Tone};
use crate::cas::Store;
use crate::error::Result;
use crate::manifest::compare::{Item, Mark};
use crate::manifest::lines::{lines, text_of};
use crate::manifest::node::{Content, Entry, Kind, Time};

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// How much of a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    Lines {
        added: usize,
        removed: usize,
    },
    /// Sizes in bytes.
    Binary {
        before: u64,
        after: u64,
    },
    None,
}

/// The text of a side.
enum Side {
    Absent,
    Text(Vec<u8>),
    /// Bytes that are no text, or too many; and how many they are.
    Binary(u64),
}

/// The patch of one item.
pub fn of(store: &Store, item: &Item, printer: &Printer) -> Result<Vec<u8>> {
    if item.mark == Mark::Retyped {
        let gone = Item { mark: Mark::Deleted, after: None, ..item.clone() };
        let come = Item { mark: Mark::Added, before: None, ..item.clone() };
        return Ok([of(store, &gone, printer)?, of(store, &come, printer)?].concat());
    }
    let path = name(&item.path);
    let old_path = item.from.as_ref().map_or_else(|| path.clone(), |from| name(from));
    if item.is_dir() || is_fifo(item) {
        return Ok(printer
            .toned(Tone::Dim, &format!("# {}\n", super::diff::line(item, &Printer::plain()).trim_end()))
            .into_bytes());
    }
    let mut head = format!("diff --git {} {}\n", prefixed("a/", &old_path), prefixed("b/", &path));
    let (old_mode, new_mode) = (item.before.as_ref().map(mode), item.after.as_ref().map(mode));
    match (item.mark, old_mode, new_mode) {
        (Mark::Metadata, Some(old), Some(new)) if old == new => head = comment(item),
        (_, None, Some(new)) => head += &format!("new file mode {new}\n"),
        (_, Some(old), None) => head += &format!("deleted file mode {old}\n"),
        (_, Some(old), Some(new)) if old != new => head += &format!("old mode {old}\nnew mode {new}\n"),
        _ => {}
    }
    if item.from.is_some() {
        head += &format!("similarity index 100%\nrename from {old_path}\nrename to {path}\n");
    }
    let mut patch = printer.toned(Tone::Strong, head.trim_end()).into_bytes();
    patch.push(b'\n');
    if !matches!(item.mark, Mark::Metadata | Mark::Renamed) {
        body(store, item, (&old_path, &path), printer, &mut patch)?;
    }
    Ok(patch)
}

fn body(
    store: &Store,
    item: &Item,
    (old_path, path): (&str, &str),
    printer: &Printer,
    patch: &mut Vec<u8>,
) -> Result<()> {
    let (before, after) = sides(store, item)?;
    let label = |side: &Side, prefix: &str, path: &str| match side {
        Side::Absent => "/dev/null".to_string(),
        _ => prefixed(prefix, path),
    };
    let (from, to) = (label(&before, "a/", old_path), label(&after, "b/", path));
    let (Some(old), Some(new)) = (before.text(), after.text()) else {
        patch.extend(format!("Binary files {from} and {to} differ\n").bytes());
        return Ok(());
    };
    let (old_lines, new_lines): (Vec<&[u8]>, Vec<&[u8]>) = (lines(old).collect(), lines(new).collect());
    if old_lines == new_lines {
        return Ok(()); // an empty file came or went
    }
    patch.extend(printer.toned(Tone::Strong, &format!("--- {from}\n+++ {to}")).bytes());
    patch.push(b'\n');
    let diff = TextDiff::from_slices(&old_lines, &new_lines);
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        patch.extend(format!("{}\n", printer.toned(Tone::Note, &hunk.header().to_string())).bytes());
        for change in hunk.iter_changes() {
            let (sign, tone) = match change.tag() {
                ChangeTag::Delete => ('-', Some(Tone::Bad)),
                ChangeTag::Insert => ('+', Some(Tone::Good)),
                ChangeTag::Equal => (' ', None),
            };
            let line: &[u8] = change.value();
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let (on, off) = tone.map_or(("", ""), |tone| printer.around(tone));
            patch.extend([on.as_bytes(), &[sign as u8], text, off.as_bytes(), b"\n"].concat());
            if text.len() == line.len() {
                patch.extend(b"\\ No newline at end of file\n");
            }
        }
    }
    Ok(())
}

/// How many lines differ.
pub fn counts(store: &Store, item: &Item) -> Result<Counts> {
    if item.is_dir() || is_fifo(item) || matches!(item.mark, Mark::Metadata | Mark::Renamed) {
        return Ok(Counts::None);
    }
    let (before, after) = sides(store, item)?;
    let (Some(old), Some(new)) = (before.text(), after.text()) else {
        return Ok(Counts::Binary { before: before.size(), after: after.size() });
    };
    let (old, new): (Vec<&[u8]>, Vec<&[u8]>) = (lines(old).collect(), lines(new).collect());
    let diff = TextDiff::from_slices(&old, &new);
    let with = |tag: ChangeTag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    Ok(Counts::Lines { added: with(ChangeTag::Insert), removed: with(ChangeTag::Delete) })
}

impl Side {
    fn text(&self) -> Option<&[u8]> {
        match self {
            Side::Absent => Some(b""),
            Side::Text(text) => Some(text),
            Side::Binary(_) => None,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Side::Absent => 0,
            Side::Text(text) => text.len() as u64,
            Side::Binary(size) => *size,
        }
    }
}

fn sides(store: &Store, item: &Item) -> Result<(Side, Side)> {
    Ok((side(store, item.before.as_ref())?, side(store, item.after.as_ref())?))
}

fn side(store: &Store, entry: Option<&Entry>) -> Result<Side> {
    match entry.map(|entry| &entry.kind) {
        Some(Kind::File(content)) => read(store, content),
        Some(Kind::Symlink(target)) => Ok(Side::Text(target.clone())),
        Some(Kind::Fifo | Kind::Dir(_)) | None => Ok(Side::Absent),
    }
}

fn read(store: &Store, content: &Content) -> Result<Side> {
    Ok(text_of(store, content)?.map_or(Side::Binary(content.size), Side::Text))
}

fn is_fifo(item: &Item) -> bool {
    [&item.before, &item.after].into_iter().flatten().any(|entry| entry.kind == Kind::Fifo)
}

/// As git has it: of a file's mode only whether its owner may execute it.
fn mode(entry: &Entry) -> &'static str {
    match entry.kind {
        Kind::Symlink(_) => "120000",
        _ if entry.meta.mode & 0o100 != 0 => "100755",
        _ => "100644",
    }
}

/// Metadata that a patch cannot carry, as a line that is passed over.
fn comment(item: &Item) -> String {
    let mut line = format!("# {}", super::diff::line(item, &Printer::plain()).trim_end());
    if let (Some(before), Some(after)) = (&item.before, &item.after)
        && item.differs().mtime
    {
        line += &format!(" {} → {}", moment(before.meta.mtime), moment(after.meta.mtime));
    }
    line
}

fn moment(time: Time) -> String {
    format!("{}.{:09}", time.secs, time.nanos)
}

/// A path as git writes it: in quotes where it has special bytes.
fn name(path: &[u8]) -> String {
    let special = |byte: &u8| *byte < 0x20 || *byte == 0x7f || *byte >= 0x80 || b"\"\\".contains(byte);
    if !path.iter().any(special) {
        return String::from_utf8_lossy(path).into_owned();
    }
    let mut text = String::from("\"");
    for byte in path {
        match byte {
            b'\n' => text += "\\n",
            b'\t' => text += "\\t",
            b'"' => text += "\\\"",
            b'\\' => text += "\\\\",
            0x20..0x7f => text.push(char::from(*byte)),
            _ => text += &format!("\\{byte:03o}"),
        }
    }
    text + "\""
}

/// `a/` or `b/` before a name, inside its quotes.
fn prefixed(prefix: &str, name: &str) -> String {
    match name.strip_prefix('"') {
        Some(rest) => format!("\"{prefix}{rest}"),
        None => format!("{prefix}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_names_are_quoted_as_git_does() {
        assert_eq!(name(b"a b"), "a b");
        assert_eq!(prefixed("a/", &name(b"x\n\"\xc3\xa9")), "\"a/x\\n\\\"\\303\\251\"");
    }
}
