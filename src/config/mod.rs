//! What the user has set, and where it was said.
//!
//! From the weakest to the strongest: the project's `vrift.toml` (the host's copy, at
//! the project's root), the user's `$XDG_CONFIG_HOME/vrift/config.toml`, variables
//! (`VRIFT_PATHS_OWN=a:b` for `paths.own`), and `--config KEY=VALUE`. A value of one
//! place takes the place of a weaker one; lists of paths are asked in that order, the
//! strongest first, until one matches (rules.rs).
//!
//! A key nobody knows is an error that names the nearest one. What in `vrift.toml`
//! lets a run reach beyond the project counts only while the file is the one that
//! `vrift allow` saw.

pub mod amount;
pub mod bind;
pub mod class;
pub mod keys;
mod layer;
pub mod limit;
mod nearest;
pub mod protect;
pub mod quota;
pub mod rules;
pub mod run;
pub mod tier1;

use std::path::{Path, PathBuf};

use self::bind::Bind;
use self::class::Class;
use self::keys::{Key, Value};
use self::rules::Rules;
use self::run::Wishes;
use crate::error::{Context, Error, Result};
use crate::paths;

/// The project's file.
pub const NAME: &str = "vrift.toml";

/// Where a value was set, from the weakest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Project(PathBuf),
    User(PathBuf),
    /// The variable's name.
    Environment(String),
    Flag,
    /// An option of its own, as `--net`.
    Option(&'static str),
}

/// One value that was set.
#[derive(Clone, Debug)]
pub struct Setting {
    pub key: &'static Key,
    pub value: Value,
    pub origin: Origin,
    /// It counts when this `[profile.NAME]` is chosen.
    pub profile: Option<String>,
}

/// Everything that was set for a project.
#[derive(Debug, Default)]
pub struct Config {
    /// The project's.
    pub root: PathBuf,
    /// What counts, the weakest first.
    pub settings: Vec<Setting>,
    /// What counts only after `vrift allow`.
    pub withheld: Vec<Setting>,
    /// Digest of `vrift.toml`, in hex; `None` where there is none.
    pub file: Option<String>,
    pub rules: Rules,
    /// Those in the project.
    pub binds: Vec<Bind>,
    /// Those elsewhere.
    pub binds_outside: Vec<Bind>,
    /// What runs are to be like.
    pub wishes: Wishes,
    /// The chosen profile.
    pub profile: Option<String>,
    /// Directories elsewhere that are declared not to change.
    pub tier1_outside: Vec<PathBuf>,
    /// `own` directories that start empty.
    pub cold: Vec<Vec<u8>>,
    /// A file that comes in with the content that the workspace has keeps its mtime.
    pub our_mtimes: bool,
    /// Repositories that `.git` files name are not made read-only.
    pub git_shared: bool,
}

impl Config {
    /// Reads everything that is set for the project at `root`. `allowed`: the digest
    /// that `vrift allow` recorded.
    pub fn load(root: &Path, flags: &[String], allowed: Option<&[u8]>) -> Result<Self> {
        let mut config = Self { root: root.to_path_buf(), ..Self::default() };
        let path = root.join(NAME);
        if let Some(text) = read(&path)? {
            let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
            let trusted = allowed == Some(digest.as_bytes());
            config.file = Some(digest);
            for setting in layer::of_text(&text, &Origin::Project(path))? {
                let (inside, beyond) = if trusted { (Some(setting), None) } else { setting.divided() };
                config.settings.extend(inside);
                config.withheld.extend(beyond);
            }
        }
        config.settings.extend(of_user()?);
        config.settings.extend(layer::of_environment()?);
        config.settings.extend(layer::of_flags(flags)?);
        config.rules = Rules::of(&config.settings)?;
        config.tier1_outside = tier1::outside(&config.settings);
        config.settle()?;
        config.our_mtimes = match config.text(keys::MTIME) {
            None | Some("exact") => false,
            Some("content") => true,
            Some(other) => {
                return Err(Error::failure(format!("`{}` cannot be {other:?}", keys::MTIME))
                    .with_hint("it is \"exact\" (a touched file is built again) or \"content\""));
            }
        };
        Ok(config)
    }

    /// The text that a key is set to, the strongest one.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.settings.iter().rfind(|setting| setting.key.name == key).and_then(|setting| {
            match &setting.value {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            }
        })
    }

    /// What a flag is set to, in the strongest place.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.settings.iter().rfind(|setting| setting.key.name == key).and_then(|setting| {
            match setting.value {
                Value::Flag(flag) => Some(flag),
                _ => None,
            }
        })
    }

    /// Works out what the settings that count come to.
    fn settle(&mut self) -> Result<()> {
        let counted = self.counted();
        let (binds, wishes) = (bind::of(&counted, &self.root)?, Wishes::of(&counted)?);
        (self.binds, self.binds_outside) = binds.into_iter().partition(|bind| !bind.target.starts_with('/'));
        self.wishes = wishes;
        Ok(())
    }

    /// Tells one set of mounts from another, as far as they are configured.
    pub fn fingerprint(&self) -> String {
        let mut text = self.rules.fingerprint();
        for Bind { source, target, read_only } in &self.binds {
            text += &format!(" {}:{target}:{read_only}", source.display());
        }
        for path in &self.tier1_outside {
            text += &format!(" tier1 {}", path.display());
        }
        if self.git_shared {
            text += " git shared";
        }
        text
    }

    /// A flag says something about paths, or shares repositories.
    pub fn flagged(&self) -> bool {
        let paths =
            |setting: &&Setting| setting.key.name.starts_with("paths.") || setting.key.name == keys::RUN_BIND;
        let flags = [Origin::Flag.rank(), Origin::Option("").rank()];
        let mut paths = self.settings.iter().filter(paths);
        self.git_shared || paths.any(|setting| flags.contains(&setting.origin.rank()))
    }

    /// One line about what is not honoured, if anything is.
    pub fn notice(&self) -> Option<String> {
        let counts = |setting: &&Setting| setting.profile.is_none() || setting.profile == self.profile;
        let mut names: Vec<String> = self.withheld.iter().filter(counts).map(Setting::name).collect();
        names.dedup();
        let what = if names.len() > 1 { "count" } else { "counts" };
        let reach = "reaches beyond the project and";
        (!names.is_empty())
            .then(|| format!("{} in {NAME} {reach} {what} only after: vrift allow", names.join(", ")))
    }
}

impl Setting {
    /// The key as it was written: `profile.ci.net`.
    pub fn name(&self) -> String {
        match (&self.profile, self.key.in_profile()) {
            (Some(profile), Some(key)) => format!("{}.{profile}.{key}", keys::PROFILE),
            _ => self.key.name.to_string(),
        }
    }

    /// The part that stays inside the project, and the part that reaches beyond it.
    fn divided(self) -> (Option<Self>, Option<Self>) {
        // What only narrows a run counts at once: nobody is served by running wider than
        // the project asks for, and no stronger place is taken back by it.
        let widens = match self.key.name {
            keys::BIND | keys::RUN_BIND | keys::CACHES | keys::SETENV | keys::PRIVATE => true,
            keys::ROOT => self.value == Value::Flag(true),
            keys::HELPER_ENV => self.value == Value::Flag(false),
            _ => false,
        };
        if widens {
            return (None, Some(self));
        }
        let Value::List(list) = &self.value else { return (Some(self), None) };
        let live = Class::of_key(self.key.name) == Some(Class::Live);
        let tier1 = self.key.name == keys::TIER1_PATHS;
        let (beyond, inside): (Vec<String>, Vec<String>) = list
            .iter()
            .cloned()
            .partition(|pattern| live && rules::is_outside(pattern) || tier1 && tier1::is_elsewhere(pattern));
        let part =
            |list: Vec<String>| (!list.is_empty()).then(|| Self { value: Value::List(list), ..self.clone() });
        (part(inside), part(beyond))
    }
}

impl Origin {
    /// What is stronger has a higher one.
    fn rank(&self) -> u8 {
        match self {
            Origin::Project(_) => 0,
            Origin::User(_) => 1,
            Origin::Environment(_) => 2,
            Origin::Flag => 3,
            Origin::Option(_) => 4,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Project(_) => f.write_str(NAME),
            Origin::User(path) => write!(f, "{}", path.display()),
            Origin::Environment(name) => write!(f, "variable {name}"),
            Origin::Flag => f.write_str("flag --config"),
            Origin::Option(option) => f.write_str(option),
        }
    }
}

/// The settings of the user's own file.
fn of_user() -> Result<Vec<Setting>> {
    let Some(path) = paths::config_home().map(|dir| dir.join("vrift/config.toml")) else {
        return Ok(Vec::new());
    };
    match read(&path)? {
        Some(text) => layer::of_text(&text, &Origin::User(path)),
        None => Ok(Vec::new()),
    }
}

/// The store as the user's file places it.
pub fn store_of_user() -> Result<Option<PathBuf>> {
    let setting = of_user()?.into_iter().rfind(|setting| setting.key.name == keys::STORE);
    Ok(setting.and_then(|setting| match setting.value {
        Value::Text(path) => Some(paths::expand_home(&path)),
        _ => None,
    }))
}

/// A file's text; `None` when there is no such file.
fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Error::failure(format!("`{}` is not UTF-8 text", path.display()))),
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).context("read configuration", path),
    }
}
