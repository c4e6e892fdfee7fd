//! Opening a workspace's session, or joining the live one.
//!
//! Who opens is decided by one lock per workspace: the opener takes it exclusively,
//! writes the session's name into it, and hands it to init, so it is held as long as
//! any process of the session (rule 14) and until the last launcher has taken in.
//! Everybody else reads the name and connects.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::confine::{Shape, caches, cgroup};
use super::counts;
use super::plain;
use super::project::{Place, Project};
use super::quota;
use super::record::{self, Alone, Record};
use super::recover::Orphan;
use super::snapshots;
use super::stack;
use super::staging::{self, sessions};
use super::sync::{self, Report};
use super::tables::{self, Tables};
use super::take_in::{self, Taken, Trust};
use super::{mounts, plan, protect, tier1};
use crate::config::quota::Quota;
use crate::config::run::{Confine, Projected};
use crate::error::{Context, Error, Kind, Result, quoted};
use crate::manifest::base::is_session_name;
use crate::manifest::dir::read_root;
use crate::manifest::workspace::MAIN;
use crate::ns::{self, Link, Opening};
use crate::os::lock::{self, Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::os::{boot, failpoint, log};
use crate::overlay::projection::STUB;
use crate::progress::Meter;
use crate::psfs::library;

/// How to open.
pub struct Options<'a> {
    pub workspace: &'a str,
    /// Take the host's edits over first.
    pub sync: bool,
    /// Nobody else may join, and why.
    pub alone: Option<Alone>,
    /// Programs may be answered from tables.
    pub psfs: bool,
    /// What they are answered is counted.
    pub counts: bool,
    /// Show the project's snapshots in it.
    pub snapshots: bool,
    pub meter: &'a Meter,
}

/// A session that this process takes part in.
pub struct Session {
    pub project: Project,
    pub name: String,
    pub workspace: String,
    /// The workspace's number.
    pub(super) number: i64,
    pub link: Link,
    /// Held by the opener; a joiner's copy lives in init.
    pub(super) locks: Vec<Lock>,
    /// What opening it did to the workspace; `None` for a joiner.
    pub synced: Option<Report>,
    /// What a session that ended without taking in had left, taken in now.
    pub resumed: Vec<Taken>,
    /// Sessions that ended without anybody noticing.
    pub orphans: Vec<Orphan>,
    pub joined: bool,
    pub view: View,
    /// Its commands may have the preload library.
    pub preload: bool,
    pub(super) shape: Shape,
}

impl Session {
    /// One that another launcher opened, with its name, and its workspace's name and number.
    pub(super) fn joined(
        project: Project,
        (name, workspace, number): (String, &str, i64),
        link: Link,
    ) -> Self {
        Self {
            project,
            name,
            workspace: workspace.to_string(),
            number,
            link,
            locks: Vec::new(),
            synced: None,
            resumed: Vec::new(),
            orphans: Vec::new(),
            joined: true,
            view: View::default(),
            preload: false,
            shape: Shape::default(),
        }
    }

    /// The workspace's small number.
    pub fn index(&self) -> Result<u32> {
        self.project.manifest.index_of((self.number, &self.workspace))
    }

    /// What whoever opened it has time for once the command runs. What fails here is found
    /// again by those who need it.
    pub fn tidy(&self) {
        if !self.joined {
            let _ = staging::put_in_order(&self.project, self.number);
        }
    }
}

/// What a session's files are below.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub projection: String,
    /// Stubs, or what real files are made by.
    pub files: String,
}

/// How long a start waits for a session that is ending before it says so.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens the workspace's session, or joins the one that lives.
pub fn open(project: Project, options: &Options<'_>, say: &dyn Fn(&str)) -> Result<Session> {
    if Shape::of(&project.config).confine != Confine::None {
        ns::run_sealed()?;
    }
    let workspace = project.manifest.known_workspace(options.workspace)?;
    let path = project.session_lock(workspace.id);
    let began = Instant::now();
    let mut said = false;
    loop {
        if let Some(lock) = Lock::attempt(&path, Hold::Exclusive)? {
            return open_new(project, workspace.id, options, lock, say);
        }
        if let Some(name) = read_name(&path)?
            && may_join(&project.staging().join(&name), options)?
            && let Some(Record { base, shape, rules, mounts, preload, .. }) =
                Record::read(&project.staging().join(&name))?
            && sealed_where_confined(&shape)?
            && let Some(link) = ns::connect(&project.staging().join(&name), shape.realm()?)?
        {
            log::line("session", format_args!("joined {name} of workspace {}", options.workspace));
            shape.check(&project.config, &name, options.workspace)?;
            let view = same_projection(&project, base, &name)?;
            if options.counts {
                counts::refuse_without(&project.staging().join(&name), &name)?;
            }
            if options.snapshots {
                snapshots::refuse_without(&mounts, &name)?;
            }
            same_mounts(&project, &name, &rules, say)?;
            let session = Session::joined(project, (name, options.workspace, workspace.id), link);
            return Ok(Session { view, preload, shape, ..session });
        }
        if !said && began.elapsed() > PATIENCE {
            said = true;
            let abroad = lock::held_abroad(&path).map(|who| format!(" ({who})")).unwrap_or_default();
            say(&format!("waiting for another run of workspace {} to get ready{abroad}", options.workspace));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A joiner gets the files as they are; one who asked for others is refused.
fn same_projection(project: &Project, base: i64, session: &str) -> Result<View> {
    let Some(base) = project.manifest.base(base)? else { return Ok(View::default()) };
    match project.config.wishes.projection {
        Some(wish) if wish != Projected::Auto && wish.to_string() != base.projection => {
            let now = &base.projection;
            Err(Error::new(Kind::Busy, format!("the live session {session} has the projection {now}"))
                .with_hint(
                    "leave the option out, wait for it to end (vrift runs), or use a fork of the workspace",
                ))
        }
        _ => {
            Ok(View { files: stack::files(project, base.id, &base.projection), projection: base.projection })
        }
    }
}

/// Who joins a confined session runs from a sealed copy of this program.
fn sealed_where_confined(shape: &Shape) -> Result<bool> {
    if shape.confine != Confine::None {
        ns::run_sealed()?;
    }
    Ok(true)
}

/// A session whose writes may be dropped has one run, and in one whose runs write theirs to the
/// host all do: it is refused to all others while it lives, and never connected to.
fn may_join(staging: &Path, options: &Options<'_>) -> Result<bool> {
    let theirs = record::alone(staging);
    if theirs == options.alone && theirs != Some(Alone::Discard) {
        return Ok(true);
    }
    if ns::runs(staging)?.is_empty() {
        return Ok(false);
    }
    let why = match (theirs, options.alone) {
        (Some(Alone::Discard), _) => "what it writes may be discarded, so nobody can join it",
        (Some(Alone::Apply), None) => "what it writes is applied, so only a run with --apply can join it",
        (None, Some(Alone::Apply)) => "what both write could not be told apart, so it could not be applied",
        (_, _) => "what both write could not be told apart, so it could not be discarded",
    };
    Err(Error::new(Kind::Busy, format!("workspace `{}` has a live run: {why}", options.workspace))
        .with_hint("wait for it to end (vrift runs shows it), or end it: vrift stop"))
}

/// A joiner gets the session's mounts, whatever is configured by now; it is told so, and
/// refused when it asked for others itself.
fn same_mounts(project: &Project, session: &str, rules: &str, say: &dyn Fn(&str)) -> Result<()> {
    if rules == project.config.fingerprint() {
        return Ok(());
    }
    let message = format!("the live session {session} began with other rules for paths");
    if project.config.flagged() {
        let hint = "leave the options out, wait for it to end (vrift runs), or use a fork of the workspace";
        return Err(Error::new(Kind::Busy, message).with_hint(hint));
    }
    say(&format!("{message}: the new ones count once it has ended"));
    Ok(())
}

fn open_new(
    project: Project,
    workspace: i64,
    options: &Options<'_>,
    lock: Lock,
    say: &dyn Fn(&str),
) -> Result<Session> {
    let (project, resumed, orphans) = leftovers(project, workspace)?;
    quota::admit(&project, &Quota::of(&project.config)?)?;
    let mut report = None;
    let first = project.manifest.known_workspace(options.workspace)?.head.is_none();
    if first {
        // so that nobody waits for a take-in that is of no use
        stack::choose(&project, None)?;
    }
    let follows = options.workspace == MAIN;
    if follows && options.sync || first {
        report = Some(sync::sync(&project, options.workspace, sync::Options::default(), options.meter)?);
    }
    let (project, ready) = stack::ready(project, options.workspace)?;
    let files = stack::files(&project, ready.base, ready.projection);
    let view = View { projection: ready.projection.to_string(), files };
    let (project, shown, more) = match options.snapshots {
        true => snapshots::ready(project, &ready.root)?,
        false => (project, Vec::new(), Vec::new()),
    };
    let name = record::session_name(workspace);
    log::line("session", format_args!("opens {name} of workspace {}", options.workspace));
    let root = read_root(&project.manifest, &ready.root)?.meta;
    let mut scene = plan::scene_of(&project, workspace)?;
    mounts::drop_known(&project, &ready.root, &mut scene.mounts)?;
    scene.mounts.extend(options.snapshots.then(|| snapshots::mount(&shown)));
    scene.shown = shown;
    scene.counts = options.counts;
    scene.stubs = ready.projection == STUB;
    scene.tier1 = tier1::inside(&project, &ready.root, &scene.shape.unlock)?;
    let looks = (options.sync, scene.shape.unlock.as_slice());
    let (project, outside, kept) = tier1::ready(project, looks, &scene.mounted, options.meter)?;
    scene.outside = outside;
    if let Err(error) = protect::tier1(&project, &ready.root, &scene.tier1, &scene.outside) {
        say(&format!("what is declared not to change is not protected: {error}"));
    }
    if options.psfs {
        // without them all is as it is, only slower
        scene.tables = tables::ready(&project, &ready, &scene).unwrap_or_else(|error| {
            say(&format!("nothing is answered from memory: {error}"));
            Tables::default()
        });
    }
    let mut shape = scene.shape.clone();
    if !shape.limit.is_none() {
        shape.cgroup = Some(cgroup::choose(&shape.limit, &name)?);
    }
    if shape.confine != Confine::None {
        caches::make(&caches::directories(&shape.caches)?)?;
    }
    scene.elsewhere.make()?;
    let mut record = Record {
        session: name.clone(),
        workspace,
        workspace_name: options.workspace.to_string(),
        base: ready.base,
        layers: ready.layers,
        root: ready.root.hex(),
        upper_root: root.fingerprint(),
        upper_print: String::new(),
        shares_pids: false,
        plain: false,
        rules: project.config.fingerprint(),
        shape,
        mounts: scene.mounts.iter().map(|mount| mount.path.clone()).collect(),
        made: Vec::new(),
        preload: library::publish(project.store.root())?.is_some(),
        boot: boot::id(),
        started: record::now_ms(),
    };
    let staging = staging::make(&project, &mut record, &root, &|staging| {
        mounts::stage::stage(&project, staging, &ready.root, &scene.mounts)
    })?;
    if scene.counts {
        counts::make(&staging)?;
    }
    if let Some(why) = options.alone {
        record::mark_alone(&staging, why)?;
    }
    write_name(&lock, &name, &project.session_lock(workspace))?;
    failpoint::at("session.named").context("open", &staging)?;
    let lowers = stack::lowers(record.base, &record.layers);
    let plan = plan::plan(&project, options.workspace, &name, &lowers, &scene)?;
    let stack: Vec<Lock> = ready.locks.into_iter().chain(more).chain(kept).collect();
    let keep: Vec<_> = stack.iter().map(|lock| lock.fd().as_fd()).collect();
    if let Some(path) = &record.shape.cgroup {
        cgroup::make(path, &record.shape.limit)?;
    }
    let realm = record.shape.realm()?;
    let (lock_fd, session_dir) = (lock.fd().as_fd(), staging.as_path());
    let link = ns::open(Opening { plan: &plan, lock: lock_fd, keep: &keep, session_dir, realm });
    let link = link.or_else(|error| {
        record.shape.cgroup.as_deref().map(cgroup::remove);
        staging::remove(&staging).and(Err(error))
    })?;
    if !link.has_pids() {
        // before its first command
        record.shares_pids = true;
        record.write(&staging)?;
    }
    failpoint::at("session.opened").context("open", &staging)?;
    let shape = record.shape;
    Ok(Session {
        project,
        name,
        workspace: options.workspace.to_string(),
        number: workspace,
        link,
        locks: std::iter::once(lock).chain(stack).collect(),
        synced: report,
        resumed,
        orphans,
        joined: false,
        view,
        preload: record.preload,
        shape,
    })
}

/// Deals with what earlier sessions of this workspace left: a take-in that committed is
/// finished, one that was cut short is taken in now, an orphan is left alone and named until
/// it has lain there for too long.
/// The workspace's session lock is held, so none of them lives.
pub(super) fn leftovers(project: Project, workspace: i64) -> Result<(Project, Vec<Taken>, Vec<Orphan>)> {
    let mut orphans = Vec::new();
    let mut closed = Vec::new();
    let pending = project.manifest.pending(workspace)?;
    for session in sessions(&project)? {
        let dir = project.staging().join(&session);
        let record = Record::read(&dir);
        if let Ok(Some(record)) = &record
            && record.workspace == workspace
        {
            record::end_remains(record)?;
        }
        match record {
            Ok(Some(record)) if record.workspace != workspace => {}
            Ok(_) if pending.iter().any(|row| row.staging == session) => {}
            Ok(Some(_)) if record::is_discarded(&dir) => take_in::discard(&project, &dir)?,
            Ok(Some(_)) if record::is_closed(&dir) => closed.push(session),
            _ if take_in::put_away_untouched(&project, workspace, &session)? => {}
            Ok(Some(_)) => orphans.push(Orphan::noted(&project, &dir, session)?),
            Ok(None) | Err(_) => {}
        }
    }
    orphans.extend(plain::left(&project, workspace)?);
    if pending.is_empty() && closed.is_empty() {
        return Ok((project, Vec::new(), orphans));
    }
    let place = project.close();
    if !pending.is_empty() {
        as_root_of_own_files("finish what an earlier run left", || {
            take_in::finish_pending(&place.again()?.open()?, workspace)
        })?;
    }
    let mut project = place.open()?;
    let mut resumed = Vec::new();
    for session in closed {
        let taken;
        (project, taken) = take_in::take_in(project, &session, Trust::Closed, &Meter::default())?;
        resumed.push(taken);
    }
    Ok((project, resumed, orphans))
}

/// The live session of a workspace.
pub fn live(place: &Place, workspace: i64) -> Result<Option<String>> {
    let path = place.session_lock(workspace);
    if !path.exists() || Lock::attempt(&path, Hold::Shared)?.is_some() {
        return Ok(None);
    }
    read_name(&path)
}

fn write_name(lock: &Lock, name: &str, path: &Path) -> Result<()> {
    let file = lock.file(path)?;
    let write = || -> std::io::Result<()> {
        // The newline is the proof that the name is whole.
        let text = format!("{name}\n");
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)
    };
    write().context("write", path)
}

fn read_name(path: &Path) -> Result<Option<String>> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match read {
        Ok(_) => {
            Ok(text.split_once('\n').map(|(name, _)| name.to_string()).filter(|name| is_session_name(name)))
        }
        Err(error) => Err(Error::io("read", path, &error)),
    }
}

/// The directory a command starts in: the caller's own, which must be below the project.
pub fn cwd_in(root: &Path) -> Result<PathBuf> {
    let cwd = std::env::current_dir().map_err(|error| Error::io("find", "the current directory", &error))?;
    if cwd.starts_with(root) {
        return Ok(cwd);
    }
    Err(Error::failure(format!(
        "the current directory {} is not below the project {}",
        quoted(cwd.as_os_str()),
        quoted(root.as_os_str())
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_name_is_read_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.lock");
        let lock = Lock::attempt(&path, Hold::Exclusive).unwrap().unwrap();
        assert_eq!(read_name(&path).unwrap(), None);
        write_name(&lock, "s1", &path).unwrap();
        write_name(&lock, "s", &path).unwrap();
        assert_eq!(read_name(&path).unwrap().as_deref(), Some("s"));
    }
}
