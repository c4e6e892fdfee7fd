//! `SRC:DST[:ro]`: a directory from outside, shown at a place in the project.

use std::path::{Path, PathBuf};

use super::keys::{self, Value};
use super::{Setting, rules};
use crate::error::{Error, Result};
use crate::paths;

/// One bound directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Absolute.
    pub source: PathBuf,
    /// Relative to the project's root.
    pub target: String,
    pub read_only: bool,
}

/// Those of all places; the strongest place's word on a target counts.
pub fn of(settings: &[Setting]) -> Result<Vec<Bind>> {
    let mut binds: Vec<Bind> = Vec::new();
    for setting in settings.iter().filter(|setting| setting.key.name == keys::BIND) {
        let Value::List(list) = &setting.value else { continue };
        for text in list {
            let bind = parse(text).ok_or_else(|| {
                Error::failure(format!("{}: `{text}` is no bind", setting.origin)).with_hint(
                    "as in: /srv/data:data or /srv/data:data:ro; the second is relative to the project",
                )
            })?;
            binds.retain(|known| known.target != bind.target);
            binds.push(bind);
        }
    }
    Ok(binds)
}

fn parse(text: &str) -> Option<Bind> {
    let (text, read_only) = match text.strip_suffix(":ro") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (source, target) = text.rsplit_once(':')?;
    let source = paths::expand_home(source);
    let target = target.strip_prefix("./").unwrap_or(target).trim_end_matches('/');
    let sound = source.is_absolute()
        && !target.is_empty()
        && !Path::new(target).is_absolute()
        && !rules::is_outside(target)
        && target.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    sound.then(|| Bind { source, target: target.to_string(), read_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_has_an_absolute_source_and_a_target_inside() {
        let bind = parse("/srv/a:b:data/x/:ro").unwrap();
        assert_eq!((bind.source.to_str(), bind.target.as_str()), (Some("/srv/a:b"), "data/x"));
        assert!(bind.read_only && !parse("/a:b").unwrap().read_only);
        for text in ["", "/a", "a:b", "/a:", "/a:/b", "/a:../b", "/a:b/../c", "/a:."] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
