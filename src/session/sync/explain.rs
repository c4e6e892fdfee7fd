//! Saying whose a path is, and by which rule: for people, without reading any file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FileType;

use super::class::{Class, Classes, Rules};
use super::walk::{join, read_rules};
use crate::config::Config;
use crate::config::rules::Ruled;
use crate::error::Result;
use crate::os::dir::Dir;

/// A path and what decides about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Relative; the path itself or the directory whose class it has.
    pub path: Vec<u8>,
    pub class: Class,
    pub rule: String,
}

const DEFAULT: &str = "the default";

/// The class of one path, which need not exist.
pub fn explain(root: &Path, config: &Config, path: &[u8], is_dir: bool) -> Explained {
    let classes = Classes::of_project(root, config);
    let mut rules = with_file(&classes, root, b"", classes.top());
    let mut found = Explained { path: Vec::new(), class: Class::Follow, rule: DEFAULT.into() };
    let mut at = Vec::new();
    let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
    for (number, part) in parts.iter().enumerate() {
        at = join(&at, part);
        let kind = rustix::fs::lstat(root.join(OsStr::from_bytes(&at))).ok();
        let dir = kind.map_or(number + 1 < parts.len() || is_dir, |stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::Directory
        });
        let own = found.class == Class::Own;
        if let Some(Ruled { class, rule }) = classes.ruled(rules.as_ref(), &at, dir, own) {
            if found.class != Class::Tier1 || class.is_mounted() {
                found = Explained { path: at.clone(), class, rule };
            }
            if class.is_mounted() {
                break;
            }
        }
        if found.class == Class::Tier1
            && found.path != at
            && let Some(Ruled { class, rule }) = config.rules.in_tier1(Path::new(OsStr::from_bytes(&at)), dir)
        {
            found = Explained { path: at.clone(), class, rule };
        }
        rules = with_file(&classes, root, &at, rules);
    }
    if let Some(bind) = config.binds.iter().find(|bind| {
        let target = bind.target.as_bytes();
        path == target || crate::session::mounts::is_below(path, target)
    }) {
        let rule = format!("paths.bind from `{}`", bind.source.display());
        found = Explained { path: bind.target.clone().into_bytes(), class: Class::Live, rule };
    }
    found
}

/// Every path of the host that is not `follow` by default, and the plain paths of the
/// configuration. Nothing below such a path is listed, except what is mounted.
pub fn listed(root: &Path, config: &Config) -> Result<Vec<Explained>> {
    let classes = Classes::of_project(root, config);
    let mut found = Vec::new();
    let dir = Dir::open(root)?;
    let mut stack = vec![(dir, Vec::new(), false, classes.top())];
    while let Some((dir, path, own, rules)) = stack.pop() {
        let rules = with_file(&classes, root, &path, rules);
        for name in dir.names()? {
            // one that may be listed and not searched tells nothing
            let Ok(Some(stat)) = dir.stat_if_there(&name.name) else { continue };
            let inner = join(&path, name.name.to_bytes());
            let is_dir = stat.kind == FileType::Directory;
            let ruled = classes.ruled(rules.as_ref(), &inner, is_dir, own);
            let class = ruled.as_ref().map(|ruled| ruled.class);
            if let Some(Ruled { class, rule }) = ruled {
                found.push(Explained { path: inner.clone(), class, rule });
            }
            let into = is_dir && !class.is_some_and(|class| class.is_mounted() || class == Class::Tier1);
            // One that cannot be read has nothing to say.
            if into && let Ok(child) = dir.child(&name.name) {
                stack.push((child, inner, own || class == Some(Class::Own), rules.clone()));
            }
        }
    }
    for plain in config.rules.plain() {
        let path = plain.path.as_bytes();
        let listed = matches!(plain.class, Class::Scratch | Class::Hide);
        if listed && !root.join(plain.path).exists() {
            found.push(explain(root, config, path, true));
        }
    }
    found.extend(config.binds.iter().map(|bind| explain(root, config, bind.target.as_bytes(), true)));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

fn with_file(
    classes: &Classes<'_>,
    root: &Path,
    path: &[u8],
    rules: Option<Arc<Rules>>,
) -> Option<Arc<Rules>> {
    let outer = rules?;
    let dir = root.join(OsStr::from_bytes(path));
    let text = Dir::open(&dir).ok().and_then(|dir| read_rules(&dir));
    Some(text.map_or(outer.clone(), |text| classes.with_file(&outer, path, &text)))
}
