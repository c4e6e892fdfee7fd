//! The lists of `[paths]`, asked about one path at a time.
//!
//! A list holds patterns as in a `.gitignore` at the project's root: a name without a
//! slash matches at any depth, `!` takes back. The lists of the strongest place are
//! asked first, of one place hide, scratch, live, own, follow. A path of no list has
//! the class of the directory it is in. What `tier1.except` names below a `tier1`
//! directory is `own`.

use std::path::{Component, Path};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::Setting;
use super::class::{Class, STRICTEST_FIRST};
use super::keys::{self, Value};
use crate::error::{Error, Result};

/// All lists, the strongest first.
#[derive(Debug, Default)]
pub struct Rules {
    lists: Vec<List>,
    /// What stays writable below `tier1`, one for each place.
    except: Vec<List>,
}

#[derive(Debug)]
struct List {
    class: Class,
    matcher: Gitignore,
    patterns: Vec<String>,
    origin: String,
}

/// What a list says of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruled {
    pub class: Class,
    /// The pattern and where it stands.
    pub rule: String,
}

/// A pattern that is a plain path.
pub struct Plain<'a> {
    pub class: Class,
    /// Relative to the project's root.
    pub path: &'a str,
    /// It has a slash, so it means this path only.
    pub anchored: bool,
}

impl Rules {
    pub fn of(settings: &[Setting]) -> Result<Self> {
        let mut lists = Vec::new();
        let mut except = Vec::new();
        for setting in settings {
            if let (keys::TIER1_EXCEPT, Value::List(patterns)) = (setting.key.name, &setting.value) {
                except.push(List::of(Class::Own, patterns, setting)?);
            }
            let (Some(class), Value::List(patterns)) = (Class::of_key(setting.key.name), &setting.value)
            else {
                continue;
            };
            let list = List::of(class, patterns, setting)?;
            lists.push((setting.origin.clone(), list));
        }
        let strictness = |list: &List| STRICTEST_FIRST.iter().position(|class| *class == list.class);
        lists.sort_by(|(a, one), (b, other)| b.cmp(a).then(strictness(one).cmp(&strictness(other))));
        if lists.iter().any(|(_, list)| list.class == Class::Tier1) {
            except.push(List::usual()?);
        }
        Ok(Self { lists: lists.into_iter().map(|(_, list)| list).collect(), except })
    }

    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// What is said of exactly this path, not of what it lies in.
    pub fn of_path(&self, path: &Path, is_dir: bool) -> Option<Ruled> {
        for list in &self.lists {
            let found = list.matcher.matched(path, is_dir);
            if let (true, Some(glob)) = (found.is_ignore(), found.inner()) {
                let key = match list.class {
                    Class::Tier1 => keys::TIER1_PATHS.to_string(),
                    class => format!("paths.{}", class.name()),
                };
                let rule = format!("{key} `{}` in {}", glob.original(), list.origin);
                return Some(Ruled { class: list.class, rule });
            }
        }
        None
    }

    /// What is said of a path that lies in a `tier1` directory.
    pub fn in_tier1(&self, path: &Path, is_dir: bool) -> Option<Ruled> {
        self.except.iter().find_map(|list| {
            let found = list.matcher.matched(path, is_dir);
            let glob = found.inner().filter(|_| found.is_ignore())?;
            let rule = format!("{} `{}` in {}", keys::TIER1_EXCEPT, glob.original(), list.origin);
            Some(Ruled { class: Class::Own, rule })
        })
    }

    /// The patterns that are plain paths, of the classes that are mounts.
    pub fn plain(&self) -> impl Iterator<Item = Plain<'_>> {
        self.lists.iter().filter(|list| list.class.is_mounted()).flat_map(|list| {
            list.patterns.iter().filter_map(|pattern| {
                let path = trimmed(pattern).trim_matches('/');
                let plain = !pattern.starts_with(['!', '#']) && !path.contains(['*', '?', '[', '\\']);
                let anchored = trimmed(pattern).trim_end_matches('/').contains('/');
                (plain && !path.is_empty()).then_some(Plain { class: list.class, path, anchored })
            })
        })
    }

    /// Tells one set of rules about mounts from another.
    pub fn fingerprint(&self) -> String {
        let mounts = self.lists.iter().any(|list| list.class.is_mounted() || list.class == Class::Tier1);
        // Lists of the other classes may take precedence over those of mounts.
        if mounts { self.identity() } else { blake3::Hasher::new().finalize().to_hex().to_string() }
    }

    /// Tells one set of rules from another.
    pub fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for list in self.lists.iter().chain(&self.except) {
            for word in [list.class.name()].into_iter().chain(list.patterns.iter().map(String::as_str)) {
                hasher.update(&(word.len() as u64).to_le_bytes());
                hasher.update(word.as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// What tools write into a directory of packages: known ones of npm's and Python's.
const USUAL: [&str; 5] = [
    "node_modules/.cache",
    "**/node_modules/.cache",
    "**/node_modules/.vite",
    "**/node_modules/.tmp",
    "__pycache__",
];

impl List {
    /// Writable unless somebody says otherwise.
    fn usual() -> Result<Self> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in USUAL {
            builder.add_line(None, pattern).map_err(|error| Error::failure(error.to_string()))?;
        }
        let matcher = builder.build().map_err(|error| Error::failure(error.to_string()))?;
        let patterns = USUAL.map(Into::into).to_vec();
        Ok(Self { class: Class::Own, matcher, patterns, origin: "vrift".into() })
    }

    fn of(class: Class, patterns: &[String], setting: &Setting) -> Result<Self> {
        let wrong = |pattern: &str, why: &str| {
            Error::failure(format!("{}: `{pattern}` in `{}` {why}", setting.origin, setting.key.name))
        };
        let mut builder = GitignoreBuilder::new("");
        let mut kept = Vec::new();
        for pattern in patterns {
            let elsewhere = class == Class::Tier1 && super::tier1::is_elsewhere(pattern);
            if is_outside(pattern) || elsewhere {
                if class == Class::Live {
                    continue; // outside a project everything is as on the host
                }
                if elsewhere {
                    continue; // tier1.rs
                }
                return Err(wrong(pattern, "lies outside the project").with_hint(
                    "paths are relative to the project; `paths.bind` shows an outside directory",
                ));
            }
            let body = trimmed(pattern).trim_start_matches('!').trim_matches('/');
            if body.is_empty() || body == "." {
                return Err(wrong(pattern, "means the whole project").with_hint("name what lies in it"));
            }
            builder
                .add_line(None, trimmed(pattern))
                .map_err(|error| wrong(pattern, "is no pattern").with_cause(error.to_string()))?;
            kept.push(pattern.clone());
        }
        let matcher = builder.build().map_err(|error| Error::failure(error.to_string()))?;
        Ok(Self { class, matcher, patterns: kept, origin: setting.origin.to_string() })
    }
}

fn trimmed(pattern: &str) -> &str {
    pattern.strip_prefix("./").unwrap_or(pattern)
}

/// A path that leaves the project.
pub fn is_outside(pattern: &str) -> bool {
    pattern.starts_with("~/")
        || Path::new(pattern).components().any(|part| matches!(part, Component::ParentDir))
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::super::keys;
    use super::*;

    fn setting(key: &str, patterns: &[&str], origin: Origin) -> Setting {
        let list = patterns.iter().map(ToString::to_string).collect();
        Setting { key: keys::find(key).unwrap(), value: Value::List(list), origin, profile: None }
    }

    fn class(rules: &Rules, path: &str) -> Option<Class> {
        rules.of_path(Path::new(path), true).map(|ruled| ruled.class)
    }

    #[test]
    fn the_stronger_place_and_then_the_stricter_class_wins() {
        let file = Origin::Project("/p/vrift.toml".into());
        let rules = Rules::of(&[
            setting("paths.follow", &["a", "d"], file.clone()),
            setting("paths.own", &["a", "b", "c/x"], file.clone()),
            setting("paths.hide", &["b", "*.pem", "!ok.pem"], file),
            setting("paths.scratch", &["d"], Origin::Flag),
        ])
        .unwrap();
        for (path, expected) in [
            ("a", Some(Class::Own)),
            ("b", Some(Class::Hide)),
            ("sub/b", Some(Class::Hide)),
            ("c/x", Some(Class::Own)),
            ("sub/c/x", None),
            ("d", Some(Class::Scratch)),
            ("k.pem", Some(Class::Hide)),
            ("ok.pem", None),
            ("a/inner", None),
        ] {
            assert_eq!(class(&rules, path), expected, "{path}");
        }
        let rule = rules.of_path(Path::new("x/b"), true).unwrap().rule;
        assert_eq!(rule, "paths.hide `b` in vrift.toml");
        let plain: Vec<&str> = rules.plain().map(|plain| plain.path).collect();
        assert_eq!(plain, ["d", "b"]);
    }

    #[test]
    fn what_leaves_or_is_the_project_is_refused() {
        for pattern in ["../x", "a/../../b", "~/x", ".", "/", "./", "!/"] {
            let refused = Rules::of(&[setting("paths.own", &[pattern], Origin::Flag)]);
            assert!(refused.is_err(), "{pattern}");
        }
        assert!(Rules::of(&[setting("paths.live", &["../data"], Origin::Flag)]).is_ok());
    }
}
