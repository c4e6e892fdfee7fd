//! Completion: a shell's script asks vrift itself what may come next (the variable
//! VRIFT_COMPLETE names the shell), so that workspaces, snapshots, runs and paths of the
//! workspace can be named. Nothing is made and nothing fails: what cannot be found out is no
//! candidate.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use clap::{Arg, Command, CommandFactory};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use super::printer::Printer;
use crate::cas::Store;
use crate::cli::Cli;
use crate::error::Result;
use crate::manifest::dir::{lookup, read_dir, read_root};
use crate::manifest::node::Kind;
use crate::manifest::workspace::MAIN;
use crate::paths as places;
use crate::session::live::live_runs;
use crate::session::project::Project;
use crate::session::recover::orphans;

/// Names the shell that asks.
pub const ASKED: &str = "VRIFT_COMPLETE";
/// More names of one directory than somebody looks at.
const MOST: usize = 2000;

/// What a word may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Workspace,
    Snapshot,
    /// A state: a snapshot, a workspace, `host`, `@live`.
    Root,
    /// A path that the workspace has.
    Path,
    Run,
    Orphan,
}

/// Answers a shell. False: none has asked.
pub fn answer(printer: &Printer) -> bool {
    let Some(shell) = std::env::var_os(ASKED).filter(|shell| !shell.is_empty()) else { return false };
    let asked: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    if asked.is_empty() {
        return true;
    }
    let mut command = with_words(Cli::command(), "", &Line::read(&asked));
    command.build();
    let here = std::env::current_dir().ok();
    let mut said = Vec::new();
    let shell: &dyn EnvCompleter = match shell.to_str() {
        Some("bash") => &Bash,
        Some("zsh") => &Zsh,
        _ => &Fish,
    };
    if shell.write_complete(&mut command, asked, here.as_deref(), &mut said).is_ok() {
        printer.out_bytes(&said);
    }
    true
}

/// The script by which a shell asks.
pub fn script(shell: &dyn EnvCompleter) -> Vec<u8> {
    let mut script = Vec::new();
    // a vector takes everything
    let _ = shell.write_registration(ASKED, "vrift", "vrift", "vrift", &mut script);
    script
}

/// What the line says so far of where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    directory: Option<PathBuf>,
    store: Option<PathBuf>,
    workspace: Option<String>,
}

impl Line {
    fn read(words: &[OsString]) -> Self {
        let mut line = Self::default();
        for (word, next) in words.iter().zip(words.iter().skip(1)) {
            let text = || next.to_string_lossy().into_owned();
            match word.to_str() {
                Some("-C") => line.directory = Some(next.into()),
                Some("--store") => line.store = Some(next.into()),
                Some("-w" | "--workspace") => line.workspace = Some(text()),
                _ => {}
            }
        }
        line
    }

    fn project(&self) -> Option<Project> {
        let store = places::store(self.store.as_deref()).ok()?;
        let store = Store::open_to_read(&store).ok()??;
        Project::find(store, &self.here()?).ok()
    }

    fn here(&self) -> Option<PathBuf> {
        let here = std::env::current_dir().ok()?;
        Some(self.directory.as_ref().map_or(here.clone(), |dir| here.join(dir)))
    }

    fn workspace(&self) -> String {
        let set = || std::env::var("VRIFT_WORKSPACE").ok().filter(|name| !name.is_empty());
        self.workspace.clone().or_else(set).unwrap_or_else(|| MAIN.into())
    }
}

/// The command line with what each word may be; `verb` is as the manual has it.
fn with_words(command: Command, verb: &str, line: &Line) -> Command {
    let command = command.mut_args(|arg| match word_of(verb, &arg) {
        Some(word) => {
            let line = line.clone();
            arg.add(ArgValueCompleter::new(move |typed: &OsStr| candidates(word, &line, typed)))
        }
        None => arg,
    });
    command.mut_subcommands(|inner| {
        let name = format!("{verb} {}", inner.get_name());
        with_words(inner, name.trim_start(), line)
    })
}

fn word_of(verb: &str, arg: &Arg) -> Option<Word> {
    Some(match (verb, arg.get_id().as_str()) {
        ("resolve", "workspace") => return None, // a choice, not a name
        ("resolve", "of") | ("merge", "name" | "into") | (_, "workspace") => Word::Workspace,
        ("workspace rename", "from") | ("workspace delete", "names") => Word::Workspace,
        ("snapshot delete", "names") | ("snapshot show", "name") => Word::Snapshot,
        ("diff", "a" | "b") | (_, "root") | (_, "from") => Word::Root,
        ("diff" | "apply" | "resolve" | "restore", "paths") | ("diff", "conflict") => Word::Path,
        ("path", "file") => Word::Path,
        ("stop", "run") => Word::Run,
        ("recover", "session") => Word::Orphan,
        _ => return None,
    })
}

fn candidates(word: Word, line: &Line, typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(project) = line.project() else { return Vec::new() };
    let found = match word {
        Word::Path => paths(&project, line, typed),
        word => names(word, &project).map(|names| names.into_iter().map(OsString::from).collect()),
    };
    let fits = |name: &OsString| {
        // what is no line of text would be taken for several candidates
        name.as_bytes().starts_with(typed.as_bytes()) && !name.as_bytes().iter().any(u8::is_ascii_control)
    };
    let found: Vec<OsString> = found.unwrap_or_default().into_iter().filter(fits).take(MOST).collect();
    found.into_iter().map(CompletionCandidate::new).collect()
}

fn names(word: Word, project: &Project) -> Result<Vec<String>> {
    let manifest = &project.manifest;
    let snapshots = || -> Result<Vec<String>> {
        Ok(manifest.snapshots()?.into_iter().map(|snapshot| snapshot.name).collect())
    };
    Ok(match word {
        Word::Workspace => manifest.workspace_names()?,
        Word::Snapshot => snapshots()?,
        Word::Root => {
            let own = ["host", "@live"].map(String::from);
            manifest.workspace_names()?.into_iter().chain(snapshots()?).chain(own).collect()
        }
        Word::Run => live_runs(project)?.iter().map(|run| run.launcher.to_string()).collect(),
        Word::Orphan => orphans(project)?.into_iter().map(|orphan| orphan.session).collect(),
        Word::Path => Vec::new(),
    })
}

/// The names that the workspace has in the directory that was typed, each with what was typed
/// before it.
fn paths(project: &Project, line: &Line, typed: &OsStr) -> Result<Vec<OsString>> {
    let (dir, above) = match typed.as_bytes().iter().rposition(|&byte| byte == b'/') {
        Some(at) => (OsStr::from_bytes(&typed.as_bytes()[..at]), &typed.as_bytes()[..=at]),
        None => (OsStr::new(""), &b""[..]),
    };
    let Some(inner) = line.here().and_then(|here| inner_path(&project.root, &here.join(dir))) else {
        return Ok(Vec::new());
    };
    let manifest = &project.manifest;
    let Some(head) = manifest.known_workspace(&line.workspace())?.head else { return Ok(Vec::new()) };
    let entry = match inner.is_empty() {
        true => Some(read_root(manifest, &head)?),
        false => lookup(manifest, &head, &inner)?,
    };
    let Some(Kind::Dir(tree)) = entry.map(|entry| entry.kind) else { return Ok(Vec::new()) };
    let whole = |name: &[u8], is_dir: bool| {
        OsString::from_vec([above, name, if is_dir { b"/" } else { b"" }].concat())
    };
    Ok(read_dir(manifest, &tree)?.iter().map(|entry| whole(&entry.name, entry.is_dir())).collect())
}

/// A path in the project, relative to its root, without looking at the disk: what the workspace
/// has need not be there.
fn inner_path(root: &Path, path: &Path) -> Option<Vec<u8>> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    Some(plain.strip_prefix(root).ok()?.as_os_str().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_in_the_project_by_its_parts() {
        let inner = |path: &str| inner_path(Path::new("/p"), Path::new(path));
        assert_eq!(inner("/p/a/../b/./c"), Some(b"b/c".to_vec()));
        assert_eq!(inner("/p"), Some(Vec::new()));
        assert_eq!(inner("/p/../q"), None);
    }

    #[test]
    fn the_line_says_where_to_look() {
        let words = ["vrift", "-C", "/d", "diff", "-w", "x", "--store", "/s", ""].map(OsString::from);
        let line = Line::read(&words);
        assert_eq!(line.directory.as_deref(), Some(Path::new("/d")));
        assert_eq!((line.workspace(), line.store.as_deref()), ("x".into(), Some(Path::new("/s"))));
    }
}
