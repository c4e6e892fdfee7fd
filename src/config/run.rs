//! What a run is to be like: `[run]`, on top of it the `[profile.NAME]` that was chosen,
//! on top of both the options of `exec` and `enter`.
//!
//! Of each key the strongest place counts. `bind`, `setenv`, `private`, `hide` and the parts of
//! `limit` add up, the strongest place's word on one target, variable or part counting. A profile
//! counts more than the `[run]` of the same place, and less than any stronger place: so
//! no project's file takes back what the user's own says.

use serde::{Deserialize, Serialize};

use super::keys::{self, PROFILE, Value};
use super::limit::Limit;
use super::{Config, Origin, Setting, nearest};
use crate::error::{Error, Result};

/// What outside the project cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confine {
    #[default]
    None,
    /// The home directory, but for declared caches.
    Home,
    /// Everything but `/tmp`, binds and declared caches.
    Host,
}

/// Which network there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Net {
    #[default]
    Host,
    /// Loopback, and nobody inside may add to it.
    None,
    /// Loopback, and who is root inside may add to it.
    Own,
}

/// What files of a lower tree are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projected {
    /// The best that works here.
    Auto,
    Stub,
    Hardlink,
    Copy,
}

/// What was said; `None` where nobody said anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub confine: Option<Confine>,
    pub caches: Option<Vec<String>>,
    pub net: Option<Net>,
    pub private_tmp: Option<bool>,
    pub root: Option<bool>,
    pub limit: Limit,
    pub set_env: Vec<(String, String)>,
    pub clear_env: bool,
    pub projection: Option<Projected>,
    /// Paths of tier1 that are not read-only.
    pub unlock: Vec<String>,
    /// Directories outside of which each workspace has its own.
    pub private: Vec<String>,
    /// What outside is covered.
    pub hide: Vec<String>,
    /// Programs are kept from servers outside.
    pub helper_env: Option<bool>,
}

const CONFINES: [(&str, Confine); 3] =
    [("none", Confine::None), ("home", Confine::Home), ("host", Confine::Host)];
const PROJECTIONS: [(&str, Projected); 4] = [
    ("auto", Projected::Auto),
    ("stub", Projected::Stub),
    ("hardlink", Projected::Hardlink),
    ("copy", Projected::Copy),
];
const NETS: [(&str, Net); 3] = [("host", Net::Host), ("none", Net::None), ("own", Net::Own)];

impl Wishes {
    /// From settings, the weakest first, of which each counts.
    pub(super) fn of(settings: &[&Setting]) -> Result<Self> {
        let mut wishes = Self::default();
        for setting in settings {
            match (setting.key.name, &setting.value) {
                (keys::CONFINE, Value::Text(word)) => {
                    wishes.confine = Some(one_of(setting, word, &CONFINES)?)
                }
                (keys::NET, Value::Text(word)) => wishes.net = Some(one_of(setting, word, &NETS)?),
                (keys::PROJECTION, Value::Text(word)) => {
                    wishes.projection = Some(one_of(setting, word, &PROJECTIONS)?)
                }
                (keys::UNLOCK, Value::List(list)) => wishes.unlock.clone_from(list),
                (keys::PRIVATE, Value::List(list)) => add(&mut wishes.private, list),
                (keys::HIDE, Value::List(list)) => add(&mut wishes.hide, list),
                (keys::HELPER_ENV, Value::Flag(flag)) => wishes.helper_env = Some(*flag),
                (keys::CACHES, Value::List(list)) => wishes.caches = Some(list.clone()),
                (keys::PRIVATE_TMP, Value::Flag(flag)) => wishes.private_tmp = Some(*flag),
                (keys::ROOT, Value::Flag(flag)) => wishes.root = Some(*flag),
                (keys::CLEAR_ENV, Value::Flag(flag)) => wishes.clear_env = *flag,
                (keys::LIMIT, Value::Text(text)) => {
                    let limit = text.parse::<Limit>().map_err(|why| wrong(setting, text, &why))?;
                    wishes.limit = limit.or(wishes.limit);
                }
                (keys::SETENV, Value::List(list)) => {
                    for text in list {
                        let variable = variable(text)
                            .ok_or_else(|| wrong(setting, text, "a variable is set as NAME=VALUE"))?;
                        wishes.set_env.retain(|(name, _)| *name != variable.0);
                        wishes.set_env.push(variable);
                    }
                }
                _ => {}
            }
        }
        Ok(wishes)
    }
}

impl Config {
    /// Adds the options of this command, the strongest of all, and lets a profile count.
    pub fn choose(&mut self, profile: Option<&str>, options: Vec<Setting>) -> Result<()> {
        if let Some(name) = profile {
            let all = || self.settings.iter().chain(&self.withheld).filter_map(|one| one.profile.as_deref());
            if !all().any(|known| known == name) {
                let error = Error::usage(format!("there is no profile `{name}`"));
                return Err(match nearest::of(name, all()) {
                    Some(near) => error.with_hint(format!("the nearest is `{near}`; vrift config lists all")),
                    None => {
                        error.with_hint(format!("as in vrift.toml: [{PROFILE}.{name}] with net = \"none\""))
                    }
                });
            }
        }
        self.profile = profile.map(Into::into);
        self.settings.extend(options);
        self.settle()
    }

    /// What counts, the weakest first.
    pub(super) fn counted(&self) -> Vec<&Setting> {
        let counts = |setting: &&Setting| setting.profile.is_none() || setting.profile == self.profile;
        let mut all: Vec<&Setting> = self.settings.iter().filter(counts).collect();
        all.sort_by_key(|setting| (setting.origin.rank(), setting.profile.is_some()));
        all
    }
}

/// An option's word on a key.
pub fn option(key: &str, option: &'static str, value: Value) -> Option<Setting> {
    let key = keys::find(key)?;
    Some(Setting { key, value, origin: Origin::Option(option), profile: None })
}

fn add(known: &mut Vec<String>, list: &[String]) {
    for one in list {
        if !known.contains(one) {
            known.push(one.clone());
        }
    }
}

fn variable(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let sound = !name.is_empty() && !text.contains('\0');
    sound.then(|| (name.to_string(), value.to_string()))
}

fn one_of<T: Copy>(setting: &Setting, word: &str, known: &[(&str, T)]) -> Result<T> {
    known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        wrong(setting, word, &format!("it is one of {}", names.join(", ")))
    })
}

fn wrong(setting: &Setting, value: &str, why: &str) -> Error {
    let message = format!("{}: `{value}` is no value of `{}`", setting.origin, setting.name());
    let error = match setting.origin {
        Origin::Option(_) | Origin::Flag => Error::usage(message),
        _ => Error::failure(message),
    };
    error.with_hint(why.to_string())
}

/// The word of an enumeration as the user writes it.
macro_rules! shown_by {
    ($kind:ty, $words:expr) => {
        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let word = $words.iter().find(|(_, value)| value == self).map_or("", |(word, _)| *word);
                f.write_str(word)
            }
        }
    };
}
shown_by!(Confine, CONFINES);
shown_by!(Net, NETS);
shown_by!(Projected, PROJECTIONS);

#[cfg(test)]
mod tests {
    use super::super::layer;
    use super::*;

    fn config(project: &str, user: &str, profile: Option<&str>, options: Vec<Setting>) -> Result<Config> {
        let settings = layer::of_text(project, &Origin::Project("/p/vrift.toml".into()))?;
        let mut config = Config { settings, ..Config::default() };
        config.settings.extend(layer::of_text(user, &Origin::User("/u".into()))?);
        config.choose(profile, options)?;
        Ok(config)
    }

    #[test]
    fn a_profile_counts_where_it_is_chosen_and_never_against_a_stronger_place() {
        let project = "[run]\nnet = 'own'\n[profile.ci]\nnet = 'none'\nconfine = 'none'\nlimit = 'mem=1G'\n";
        let of = |user: &str, profile, options| config(project, user, profile, options).map(|it| it.wishes);
        let plain = of("", None, vec![]).unwrap();
        assert_eq!((plain.net, plain.confine), (Some(Net::Own), None));
        let chosen = of("[run]\nconfine = 'host'\nlimit = 'pids=9'\n", Some("ci"), vec![]).unwrap();
        assert_eq!((chosen.net, chosen.confine), (Some(Net::None), Some(Confine::Host)));
        assert_eq!(chosen.limit.to_string(), "mem=1073741824,pids=9");
        let option = option(keys::NET, "--net", Value::Text("host".into())).unwrap();
        assert_eq!(of("", Some("ci"), vec![option]).unwrap().net, Some(Net::Host));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("[profile.ci]\nconfin = 'home'", None, "unknown key `profile.ci.confin`"),
            ("[profile]\nconfine = 'home'", None, "`profile.confine` must be a section"),
            ("[run]\nconfine = 'all'", None, "`all` is no value of `run.confine`"),
            ("[profile.ci]\nnet = 'x'", Some("ci"), "`x` is no value of `profile.ci.net`"),
            ("[run]\nprivate-tmp = 'yes'", None, "`run.private-tmp` must be true or false"),
            ("[run]\nsetenv = ['A']", None, "`A` is no value of `run.setenv`"),
            ("[run]\nlimit = 'mem=x'", None, "`mem=x` is no value of `run.limit`"),
            ("[profile.ci]\nnet = 'none'", Some("cj"), "there is no profile `cj`"),
            ("", Some("cj"), "there is no profile `cj`"),
        ];
        for (text, profile, message) in cases {
            let error = config(text, "", profile, vec![]).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint().is_some() || message.contains("must be"), "{error}");
        }
        let hint = config("[profile.ci]\nnet = 'none'", "", Some("cj"), vec![]).unwrap_err();
        assert!(hint.hint().unwrap().contains("`ci`"));
        // what is not chosen is not looked at, as to its values
        assert!(config("[profile.ci]\nnet = 'x'", "", None, vec![]).is_ok());
    }

    #[test]
    fn variables_add_up_by_name() {
        let user = "[run]\nsetenv = ['A=1', 'B=x=y']\n";
        let option = option(keys::SETENV, "--setenv", Value::List(vec!["A=2".into()])).unwrap();
        let wishes = config("", user, None, vec![option]).unwrap().wishes;
        assert_eq!(wishes.set_env, [("B".into(), "x=y".into()), ("A".into(), "2".into())]);
    }
}
