//! The options about what a run is like, as settings: the strongest place of all.

use std::ffi::OsString;
use std::path::Path;

use crate::cli;
use crate::config::run::option;
use crate::config::{Setting, keys, keys::Value};
use crate::error::{Error, Result, quoted};

/// Settings of the options that were given; a bind's source may be relative to `cwd`.
pub fn settings(options: &cli::Shape, cwd: &Path) -> Result<Vec<Setting>> {
    let text =
        |key, name, value: &Option<String>| value.clone().and_then(|it| option(key, name, Value::Text(it)));
    let flag = |key, name, value: bool| value.then(|| option(key, name, Value::Flag(true))).flatten();
    let list = |key, name, value: Vec<String>| {
        (!value.is_empty()).then(|| option(key, name, Value::List(value))).flatten()
    };
    let all_absolute =
        |list: &[String]| list.iter().map(|one| absolute(one, cwd)).collect::<Result<Vec<String>>>();
    let binds = all_absolute(&options.bind)?;
    let (private, hidden) = (all_absolute(&options.private)?, all_absolute(&options.hide)?);
    let variables = options.setenv.iter().map(plain).collect::<Result<_>>()?;
    let all = [
        flag(keys::ROOT, "--root", options.root),
        text(keys::CONFINE, "--confine", &options.confine),
        text(keys::NET, "--net", &options.net),
        list(keys::CACHES, "--cache", options.cache.clone()),
        flag(keys::PRIVATE_TMP, "--private-tmp", options.private_tmp),
        list(keys::RUN_BIND, "--bind", binds),
        list(keys::UNLOCK, "--unlock", options.unlock.clone()),
        list(keys::PRIVATE, "--private", private),
        list(keys::HIDE, "--hide", hidden),
        options
            .no_helper_env
            .then(|| option(keys::HELPER_ENV, "--no-helper-env", Value::Flag(false)))
            .flatten(),
        text(keys::PROJECTION, "--projection", &options.projection),
        text(keys::LIMIT, "--limit", &options.limit),
        list(keys::SETENV, "--setenv", variables),
        flag(keys::CLEAR_ENV, "--clear-env", options.clear_env),
    ];
    Ok(all.into_iter().flatten().collect())
}

/// Settings of the quotas that were given.
pub fn quotas(options: &cli::Run) -> Vec<Setting> {
    let given = [
        (keys::QUOTA_STAGING, "--max-staging", &options.max_staging),
        (keys::QUOTA_FILES, "--max-files", &options.max_files),
        (keys::QUOTA_STORE, "--max-store", &options.max_store),
    ];
    given
        .into_iter()
        .filter_map(|(key, name, value)| option(key, name, Value::Text(value.clone()?)))
        .collect()
}

/// The first of those options that only a session's opener can have.
pub fn of_session(options: &cli::Shape) -> Option<&'static str> {
    let given = [
        (options.root, "--root"),
        (options.confine.is_some(), "--confine"),
        (options.net.is_some(), "--net"),
        (!options.cache.is_empty(), "--cache"),
        (options.private_tmp, "--private-tmp"),
        (!options.bind.is_empty(), "--bind"),
        (options.limit.is_some(), "--limit"),
        (!options.unlock.is_empty(), "--unlock"),
        (!options.private.is_empty(), "--private"),
        (!options.hide.is_empty(), "--hide"),
        (options.no_helper_env, "--no-helper-env"),
        (options.projection.is_some(), "--projection"),
        (options.profile.is_some(), "--profile"),
    ];
    given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
}

/// What is relative is so to `cwd`.
fn absolute(bind: &str, cwd: &Path) -> Result<String> {
    if bind.starts_with(['/', '~']) {
        return Ok(bind.to_string());
    }
    let cwd = cwd.to_str().ok_or_else(|| {
        Error::failure(format!("{} is no text, and `{bind}` is relative to it", quoted(cwd.as_os_str())))
    })?;
    Ok(format!("{cwd}/{bind}"))
}

fn plain(text: &OsString) -> Result<String> {
    text.to_str().map(Into::into).ok_or_else(|| {
        Error::usage(format!("--setenv {} is no text", quoted(text))).with_hint("set it by: env")
    })
}
