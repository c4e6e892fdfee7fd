//! `SRC:DST[:ro]`: something from outside, shown at a place in the project, or, where
//! it is a run's own (`run.bind`, `--bind`), at another one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::keys::{self, Value};
use super::{Origin, Setting, rules};
use crate::error::{Error, Result};
use crate::paths;

/// What is bound where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute.
    pub source: PathBuf,
    /// Relative to the project's root; absolute where it is not in the project.
    pub target: String,
    pub read_only: bool,
}

/// Those of all places; the strongest place's word on a target counts.
pub fn of(settings: &[&Setting], root: &Path) -> Result<Vec<Bind>> {
    let mut binds: Vec<Bind> = Vec::new();
    for setting in settings {
        let Value::List(list) = &setting.value else { continue };
        let anywhere = match setting.key.name {
            keys::BIND => false,
            keys::RUN_BIND => true,
            _ => continue,
        };
        for text in list {
            let bind = parse(text, anywhere, root).ok_or_else(|| {
                let message = format!("{}: `{text}` is no bind", setting.origin);
                let error = match setting.origin {
                    Origin::Option(_) | Origin::Flag => Error::usage(message),
                    _ => Error::failure(message),
                };
                error.with_hint(match anywhere {
                    true => "as in: /srv/data:/srv/data or /srv/data:data:ro; a relative second one lies in the project",
                    false => "as in: /srv/data:data or /srv/data:data:ro; the second is relative to the project",
                })
            })?;
            binds.retain(|known| known.target != bind.target);
            binds.push(bind);
        }
    }
    Ok(binds)
}

/// `anywhere`: the target may be absolute; in the project it is made relative.
fn parse(text: &str, anywhere: bool, root: &Path) -> Option<Bind> {
    let (text, read_only) = match text.strip_suffix(":ro") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (source, target) = text.rsplit_once(':')?;
    let source = paths::expand_home(source);
    let expanded = paths::expand_home(target);
    let target = match anywhere {
        true => expanded.to_str()?,
        false => target,
    };
    let target = target.strip_prefix("./").unwrap_or(target).trim_end_matches('/');
    let inside = Path::new(target).strip_prefix(root).ok().and_then(Path::to_str);
    let target = inside.filter(|inside| anywhere && !inside.is_empty()).unwrap_or(target);
    let parts = match target.strip_prefix('/') {
        Some(parts) if anywhere => parts,
        _ => target,
    };
    let sound = source.is_absolute()
        && !rules::is_outside(target)
        && parts.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    sound.then(|| Bind { source, target: target.to_string(), read_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_has_an_absolute_source_and_a_target_inside() {
        let bind = parse("/srv/a:b:data/x/:ro", false, Path::new("/p")).unwrap();
        assert_eq!((bind.source.to_str(), bind.target.as_str()), (Some("/srv/a:b"), "data/x"));
        assert!(bind.read_only && !parse("/a:b", false, Path::new("/p")).unwrap().read_only);
        for text in ["", "/a", "a:b", "/a:", "/a:/b", "/a:../b", "/a:b/../c", "/a:."] {
            assert_eq!(parse(text, false, Path::new("/p")), None, "{text}");
        }
        assert_eq!(parse("/a:/b/c/:ro", true, Path::new("/p")).unwrap().target, "/b/c");
        for inside in ["/a:b", "/a:/p/b"] {
            assert_eq!(parse(inside, true, Path::new("/p")).unwrap().target, "b");
        }
        for text in ["/a:/", "/a://b", "/a:/b/../c", "a:/b", "/a:"] {
            assert_eq!(parse(text, true, Path::new("/p")), None, "{text}");
        }
    }
}
