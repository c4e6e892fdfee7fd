//! What sets a session apart from the rest of the machine: what is read-only, which
//! network, temporary directories, ids and limits it has. Said when it is opened,
//! recorded in `session.json`; who joins gets it as it is.

pub mod caches;
pub mod cgroup;
pub mod steps;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::config::bind::Bind;
use crate::config::limit::Limit;
use crate::config::run::{Confine, Net};
use crate::error::{Error, Kind, Result};
use crate::ns::Realm;

/// What a session is opened with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    pub confine: Confine,
    /// As they were declared.
    pub caches: Vec<String>,
    pub net: Net,
    pub private_tmp: bool,
    pub root: bool,
    pub limit: Limit,
    /// Those outside of the project.
    pub binds: Vec<Bind>,
    /// What is not read-only although it is declared not to change.
    pub unlock: Vec<String>,
    /// Directories outside of the project of which the workspace has its own.
    pub private: Vec<String>,
    /// What outside of the project is covered.
    pub hide: Vec<String>,
    /// The control group's directory; only with a limit.
    pub cgroup: Option<String>,
}

impl Shape {
    /// What a session that is opened now is like.
    pub fn of(config: &Config) -> Self {
        let wishes = &config.wishes;
        Self {
            confine: wishes.confine.unwrap_or_default(),
            caches: wishes.caches.clone().unwrap_or_default(),
            net: wishes.net.unwrap_or_default(),
            private_tmp: wishes.private_tmp.unwrap_or_default(),
            root: wishes.root.unwrap_or_default(),
            limit: wishes.limit,
            binds: config.binds_outside.clone(),
            unlock: wishes.unlock.clone(),
            private: wishes.private.clone(),
            hide: wishes.hide.clone(),
            cgroup: None,
        }
    }

    /// Its namespaces.
    pub fn realm(&self) -> Result<Realm> {
        Ok(Realm {
            net: self.net != Net::Host,
            net_admin: self.net == Net::Own,
            ipc: self.confine == Confine::Host,
            root: self.root,
            cgroup: self.cgroup.as_deref().map(cgroup::open).transpose()?,
        })
    }

    /// Refuses who wants a session to be otherwise than it is. What nobody said anything
    /// about is as the session has it.
    pub fn check(&self, config: &Config, session: &str, workspace: &str) -> Result<()> {
        let wishes = &config.wishes;
        let mut other = Vec::new();
        let mut differs = |name: &str, is: bool| {
            if is {
                other.push(name.to_string());
            }
        };
        differs("confine", wishes.confine.is_some_and(|wish| wish != self.confine));
        differs("caches", wishes.caches.as_ref().is_some_and(|wish| *wish != self.caches));
        differs("net", wishes.net.is_some_and(|wish| wish != self.net));
        differs("private-tmp", wishes.private_tmp.is_some_and(|wish| wish != self.private_tmp));
        differs("root", wishes.root.is_some_and(|wish| wish != self.root));
        differs("limit", wishes.limit.or(self.limit) != self.limit);
        differs("unlock", wishes.unlock.iter().any(|path| !self.unlock.contains(path)));
        differs("private", wishes.private.iter().any(|path| !self.private.contains(path)));
        differs("hide", wishes.hide.iter().any(|path| !self.hide.contains(path)));
        differs("bind", config.binds_outside.iter().any(|bind| !self.binds.contains(bind)));
        if other.is_empty() {
            return Ok(());
        }
        let message = format!(
            "workspace `{workspace}` has a live session, {session}, with another {}: who joins it gets it as it is",
            other.join(", ")
        );
        Err(Error::new(Kind::Busy, message).with_hint(
            "leave that out, wait for the session to end (vrift runs), or use a fork of the workspace",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_gets_what_is_there_and_who_says_otherwise_is_refused() {
        let opened = Shape {
            confine: Confine::Host,
            net: Net::None,
            limit: "pids=5".parse().unwrap(),
            ..Shape::default()
        };
        let wish = |change: &dyn Fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            opened.check(&config, "s1", "main").map_err(|error| error.to_string())
        };
        assert!(wish(&|_| ()).is_ok());
        assert!(wish(&|config| config.wishes.confine = Some(Confine::Host)).is_ok());
        assert!(wish(&|config| config.wishes.limit = "pids=5".parse().unwrap()).is_ok());
        let error = wish(&|config| {
            config.wishes.confine = Some(Confine::Home);
            config.wishes.root = Some(true);
            config.wishes.limit = "mem=5".parse().unwrap();
        });
        assert!(error.unwrap_err().contains("s1, with another confine, root, limit"));
        let bind = Bind { source: "/a".into(), target: "/b".into(), read_only: true };
        assert!(wish(&|config| config.binds_outside = vec![bind.clone()]).is_err());
    }

    #[test]
    fn a_record_without_it_is_the_default() {
        assert_eq!(serde_json::from_str::<Shape>("{}").unwrap(), Shape::default());
    }
}
