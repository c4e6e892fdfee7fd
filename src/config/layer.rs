//! One place where values are set, read into settings.

use toml::{Table, Value as Toml};

use super::keys::{self, KEYS, Key, Kind, Value};
use super::{Origin, Setting, nearest};
use crate::error::{Error, Result};

/// The settings of a TOML text.
pub fn of_text(text: &str, origin: &Origin) -> Result<Vec<Setting>> {
    let table: Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
        let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
        at(origin, format!("{}{line}: {}", place(origin), error.message()))
            .with_hint("it must be TOML, as in: [paths], and on the next line: own = [\"target\"]")
    })?;
    let mut settings = Vec::new();
    for (name, value) in table {
        match value {
            Toml::Table(profiles) if name == keys::PROFILE => {
                for (profile, section) in profiles {
                    let Toml::Table(section) = section else {
                        let message = format!("{}: `{name}.{profile}` must be a section", place(origin));
                        return Err(at(origin, message));
                    };
                    for (key, value) in section {
                        settings.push(setting(&format!("{name}.{profile}.{key}"), value, origin)?);
                    }
                }
            }
            Toml::Table(section) => {
                for (key, value) in section {
                    settings.push(setting(&format!("{name}.{key}"), value, origin)?);
                }
            }
            value => settings.push(setting(&name, value, origin)?),
        }
    }
    Ok(settings)
}

/// `VRIFT_STORE`, `VRIFT_PATHS_OWN`, …; lists are separated by colons. An empty one is
/// as if it were not set.
pub fn of_environment() -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for key in KEYS {
        let name = key.variable();
        let Some(value) = std::env::var_os(&name).filter(|value| !value.is_empty()) else { continue };
        let origin = Origin::Environment(name);
        let text = match (value.into_string(), key.name) {
            (Ok(text), _) => text,
            (Err(path), keys::STORE) => path.to_string_lossy().into_owned(), // only shown
            (Err(_), _) => return Err(at(&origin, format!("{} is not UTF-8", place(&origin)))),
        };
        // A bind has colons itself, and a value may: a variable holds one.
        let value = match key.kind {
            Kind::Text => Value::Text(text),
            Kind::Flag => match text.as_str() {
                "1" | "true" => Value::Flag(true),
                "0" | "false" => Value::Flag(false),
                _ => return Err(at(&origin, format!("{} must be true or false", place(&origin)))),
            },
            Kind::List if [keys::BIND, keys::RUN_BIND, keys::SETENV].contains(&key.name) => {
                Value::List(vec![text])
            }
            Kind::List => {
                Value::List(text.split(':').filter(|part| !part.is_empty()).map(Into::into).collect())
            }
        };
        settings.push(Setting { key, value, origin, profile: None });
    }
    Ok(settings)
}

/// `KEY=VALUE` as TOML; a value that is none is taken as text, and for a list as its
/// only member.
pub fn of_flags(flags: &[String]) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for flag in flags {
        let Some((name, value)) = flag.split_once('=') else {
            return Err(Error::usage(format!("`--config {flag}` has no `=`"))
                .with_hint("as in: --config 'paths.own=[\"target\"]'"));
        };
        let (name, value) = (name.trim(), value.trim());
        let (key, _) = known(name, &Origin::Flag)?;
        if key.name == keys::STORE {
            return Err(Error::usage("the store is not placed by `--config`").with_hint("use --store DIR"));
        }
        let value = match (toml::from_str::<Table>(&format!("v = {value}")), key.kind) {
            (Ok(mut table), _) => match (table.remove("v"), key.kind) {
                (Some(Toml::String(one)), Kind::List) => Toml::Array(vec![Toml::String(one)]),
                (Some(value), _) => value,
                (None, _) => Toml::String(value.to_string()),
            },
            (Err(_), Kind::List) => Toml::Array(vec![Toml::String(value.to_string())]),
            (Err(_), Kind::Text | Kind::Flag) => Toml::String(value.to_string()),
        };
        settings.push(setting(name, value, &Origin::Flag)?);
    }
    Ok(settings)
}

fn setting(name: &str, value: Toml, origin: &Origin) -> Result<Setting> {
    let (key, profile) = known(name, origin)?;
    if !key.in_project && matches!(origin, Origin::Project(_)) {
        let message = format!("{}: a project cannot set `{name}`", place(origin));
        return Err(at(origin, message).with_hint("it belongs in the user's configuration"));
    }
    let wrong = |wanted: &str| {
        let example = name.rsplit('.').next().unwrap_or(name);
        let example = match key.kind {
            Kind::Text => format!("as in: {example} = \"TEXT\""),
            Kind::List => format!("as in: {example} = [\"NAME\"]"),
            Kind::Flag => format!("as in: {example} = true"),
        };
        at(origin, format!("{}: `{name}` must be {wanted}", place(origin))).with_hint(example)
    };
    let value = match (key.kind, value) {
        (Kind::Text, Toml::String(text)) => Value::Text(text),
        (Kind::Text, _) => return Err(wrong("a string")),
        (Kind::List, Toml::Array(list)) => {
            let words = list.into_iter().map(|word| match word {
                Toml::String(word) => Ok(word),
                _ => Err(wrong("a list of strings")),
            });
            Value::List(words.collect::<Result<_>>()?)
        }
        (Kind::List, _) => return Err(wrong("a list of strings")),
        (Kind::Flag, Toml::Boolean(flag)) => Value::Flag(flag),
        (Kind::Flag, _) => return Err(wrong("true or false")),
    };
    Ok(Setting { key, value, origin: origin.clone(), profile: profile.map(Into::into) })
}

/// The key, and the profile it is set in.
fn known<'a>(name: &'a str, origin: &Origin) -> Result<(&'static Key, Option<&'a str>)> {
    if let Some(key) = keys::find(name) {
        return Ok((key, None));
    }
    if let Some((key, profile)) = keys::find_in_profile(name) {
        return Ok((key, Some(profile)));
    }
    let inner = name.strip_prefix(keys::PROFILE).and_then(|rest| rest.strip_prefix('.'));
    if let Some(inner) = inner.filter(|inner| !inner.contains('.')) {
        let message = format!("{}: `{}.{inner}` must be a section", place(origin), keys::PROFILE);
        return Err(at(origin, message));
    }
    let of_profile = |key: &Key| {
        let (profile, _) = inner?.rsplit_once('.')?;
        Some(format!("{}.{profile}.{}", keys::PROFILE, key.in_profile()?))
    };
    let candidates: Vec<String> = match inner {
        Some(_) => KEYS.iter().filter_map(of_profile).collect(),
        None => KEYS.iter().map(|key| key.name.to_string()).collect(),
    };
    let near = nearest::of(name, candidates.iter().map(String::as_str)).unwrap_or("paths.own");
    Err(at(origin, format!("{}: unknown key `{name}`", place(origin)))
        .with_hint(format!("the nearest known key is `{near}`; vrift config --all lists them")))
}

fn place(origin: &Origin) -> String {
    match origin {
        Origin::Project(path) | Origin::User(path) => format!("`{}`", path.display()),
        other => other.to_string(),
    }
}

/// A wrong flag is a wrong command line.
fn at(origin: &Origin, message: String) -> Error {
    if matches!(origin, Origin::Flag | Origin::Option(_)) {
        Error::usage(message)
    } else {
        Error::failure(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Result<Vec<Setting>> {
        of_text(text, &Origin::Project("/p/vrift.toml".into()))
    }

    #[test]
    fn keys_are_read_with_their_section() {
        let settings = project("[paths]\nown = ['a', 'b/']\nhide = []\n").unwrap();
        let own = settings.iter().find(|setting| setting.key.name == "paths.own").unwrap();
        assert_eq!(own.value, Value::List(vec!["a".into(), "b/".into()]));
        assert!(project("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, message, hint) in [
            ("[paths]\nonw = []", "unknown key `paths.onw`", "`paths.own`"),
            ("[path]\nlive = []", "unknown key `path.live`", "`paths.live`"),
            ("[quota]\nbytes = 1", "unknown key `quota.bytes`", "known key"),
            ("[quota]\nfloor = 'off'", "a project cannot set `quota.floor`", "user's configuration"),
            ("[paths]\nown = 'x'", "`paths.own` must be a list of strings", ""),
            ("[paths]\nown = [1]", "`paths.own` must be a list of strings", ""),
            ("store = '/x'", "a project cannot set `store`", "user's configuration"),
            ("[paths]\nown = [", "`/p/vrift.toml` line 2", ""),
        ] {
            let error = project(text).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint().unwrap_or("").contains(hint), "{error}: {:?}", error.hint());
        }
    }

    #[test]
    fn a_flag_is_toml_or_plain_text() {
        let one = |flag: &str| of_flags(&[flag.to_string()]).map(|list| list[0].value.clone());
        assert_eq!(one("paths.own=[\"a\",\"b\"]").unwrap(), Value::List(vec!["a".into(), "b".into()]));
        assert_eq!(one("paths.own=target/x").unwrap(), Value::List(vec!["target/x".into()]));
        assert_eq!(one("store=/a b").unwrap_err().kind(), crate::error::Kind::Usage);
        assert_eq!(one("paths.own").unwrap_err().kind(), crate::error::Kind::Usage);
        assert_eq!(one("paths.own=1").unwrap_err().kind(), crate::error::Kind::Usage);
    }
}
