//! How a root is written: a snapshot, a workspace, `host`, `@N`, or the beginning of a
//! digest; and `~N` after a snapshot or a workspace for the Nth before it.
//!
//! | written | means |
//! |---|---|
//! | `v1` | the snapshot of that name |
//! | `v1~2` | the second snapshot before it in its line |
//! | `main` | the workspace's head |
//! | `main~1` | the head it had before; `~2` the one before that |
//! | `host` | the host directory's tree as the workspace took it over last |
//! | `@12` | the workspace's head after run 12 |
//! | `@live` | nothing here: no row names what a live session shows |
//! | `1f3a9c` | the root whose digest begins so (at least four hexadecimal digits) |

use super::db::Manifest;
use super::workspace::Workspace;
use crate::cas::Digest;
use crate::error::{Error, Result, quoted};

/// The fewest digits of a digest that are looked up.
const SHORTEST: usize = 4;

/// The root that `text` means, seen from a workspace.
///
/// # Errors
/// When nothing, or more than one root, is meant.
pub fn resolve(manifest: &Manifest, workspace: &Workspace, text: &str) -> Result<Digest> {
    let (base, back) = match text.split_once('~') {
        None => (text, 0),
        Some((base, "")) => (base, 1),
        Some((base, steps)) => {
            let steps = steps
                .parse::<usize>()
                .map_err(|_| unknown(text).with_hint("a number of steps follows `~`, as in `main~2`"))?;
            (base, steps)
        }
    };
    if let Some(named) = named(manifest, base, back)? {
        return named.ok_or_else(|| unknown(text).with_hint(format!("`{base}` does not go back so far")));
    }
    if back > 0 {
        return Err(unknown(text).with_hint("`~` follows the name of a snapshot or a workspace"));
    }
    special(manifest, workspace, base)
}

/// The root of a snapshot or workspace: `None` when nothing has that name, `Some(None)`
/// when it does not go back so far.
fn named(manifest: &Manifest, name: &str, back: usize) -> Result<Option<Option<Digest>>> {
    if let Some(snapshot) = manifest.snapshot(name)? {
        let line = manifest.line(Some(snapshot.id))?;
        return Ok(Some(line.get(back).map(|snapshot| snapshot.root)));
    }
    let Some(workspace) = manifest.workspace(name)? else { return Ok(None) };
    if back == 0 {
        return match workspace.head {
            Some(head) => Ok(Some(Some(head))),
            None => Err(empty(name)),
        };
    }
    let heads = manifest.heads(workspace.id)?;
    Ok(Some(heads.get(back).map(|head| head.root)))
}

fn special(manifest: &Manifest, workspace: &Workspace, text: &str) -> Result<Digest> {
    if text == "host" {
        return workspace.host_base.ok_or_else(|| empty(&workspace.name));
    }
    if text == "@live" {
        return Err(Error::failure("`@live` is what a live session shows, and no state that is kept")
            .with_hint("vrift commit keeps it; diff, export and fork --from take @live itself"));
    }
    if let Some(number) = text.strip_prefix('@') {
        return numbered(manifest, workspace, text, number);
    }
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || text.len() < SHORTEST || text.len() > 64 {
        return Err(unknown(text));
    }
    let found = manifest.roots_with_prefix(&text.to_ascii_lowercase())?;
    match found.as_slice() {
        [] => Err(unknown(text)),
        [one] => Ok(*one),
        several => {
            let list: Vec<String> = several.iter().map(|root| root.hex()[..16].to_string()).collect();
            Err(Error::failure(format!("{} means several roots", quoted(text.as_ref())))
                .with_hint(format!("give more digits: {}", list.join(", "))))
        }
    }
}

fn numbered(manifest: &Manifest, workspace: &Workspace, text: &str, number: &str) -> Result<Digest> {
    let number: i64 = number
        .parse()
        .map_err(|_| unknown(text).with_hint("`@` and a number is the head after that run: vrift runs"))?;
    manifest.head_at(workspace.id, number)?.ok_or_else(|| {
        unknown(text)
            .with_hint(format!("vrift log --heads -w {} shows the heads that are kept", workspace.name))
    })
}

fn unknown(text: &str) -> Error {
    Error::failure(format!("there is no root {}", quoted(text.as_ref()))).with_hint(
        "a root is a snapshot, a workspace, NAME~2, host, @N, or the beginning of a digest: vrift log",
    )
}

fn empty(workspace: &str) -> Error {
    Error::failure(format!("workspace `{workspace}` has no state yet"))
        .with_hint("vrift sync takes the directory in")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::history::Cause;
    use crate::manifest::workspace::MAIN;

    #[test]
    fn every_form_is_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path()).unwrap();
        let main = |manifest: &Manifest| manifest.create_workspace(MAIN).unwrap();
        assert!(resolve(&manifest, &main(&manifest), "main").unwrap_err().hint().is_some());
        let [a, b, c] = [b"a", b"b", b"c"].map(|text| Digest::of(text));
        let id = main(&manifest).id;
        manifest.set_host_base(id, &c).unwrap();
        manifest.move_head(id, None, &a, Cause::Sync).unwrap();
        manifest.add_snapshot(&main(&manifest), &a, Some("v1"), "").unwrap();
        manifest.move_head(id, Some(&a), &b, Cause::Run).unwrap();
        manifest.add_snapshot(&main(&manifest), &b, Some("v2"), "").unwrap();
        let get = |text: &str| resolve(&manifest, &main(&manifest), text);
        for (text, root) in [
            ("main", b),
            ("main~", a),
            ("main~1", a),
            ("v2", b),
            ("v2~1", a),
            ("v2~", a),
            ("v1", a),
            ("host", c),
            ("@1", a),
            ("@2", b),
            (&a.hex()[..8], a),
            (&b.hex().to_uppercase(), b),
        ] {
            assert_eq!(get(text).unwrap(), root, "{text}");
        }
        for text in
            ["", "main~2", "v1~1", "v2~x", "host~1", "@", "@9", "@-1", "@live", "@live~1", "abc", "*", "nope"]
        {
            assert!(get(text).unwrap_err().hint().is_some(), "{text}");
        }
    }
}
