//! The plan of a session: what init does to its namespaces, from the base, the staging,
//! and what is mounted on top.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::confine::Shape;
use super::confine::steps::Surroundings;
use super::counts;
use super::elsewhere::Elsewhere;
use super::git;
use super::helpers;
use super::inside::{self, Inside};
use super::mountinfo::{self, Mounted};
use super::mounts::{self, Mount};
use super::project::{Place, Project};
use super::snapshots::{self, Shown};
use super::tables::Tables;
use super::tier1::{NOTHING, Outside};
use crate::error::{Error, Result};
use crate::ns::plan::{Cover, Held, Page, Plan, ReadOnly, Step, c_path};
use crate::overlay::mount::{Layers, OverlaySpec};
use crate::psfs::{self, library, page};

/// What is there when a session is opened, and what it is to be like.
pub struct Scene {
    pub shape: Shape,
    pub elsewhere: Elsewhere,
    pub mounts: Vec<Mount>,
    /// Those of the host outside of the project that are shown read-only.
    repositories: Vec<PathBuf>,
    /// Snapshots that are shown.
    pub shown: Vec<Shown>,
    /// The base is made of stubs.
    pub stubs: bool,
    /// What is declared not to change, in the project and outside.
    pub tier1: Vec<ReadOnly>,
    pub outside: Vec<Outside>,
    /// What programs may be answered from.
    pub tables: Tables,
    /// What is answered is counted.
    pub counts: bool,
    pub mounted: Vec<Mounted>,
}

/// A session of a workspace that is opened now.
pub fn scene_of(project: &Project, workspace: i64) -> Result<Scene> {
    let mounted = mountinfo::read()?;
    let points = mountinfo::below(&mounted, &project.root)?;
    let relative = |point: &CString| mountinfo::relative_to(point, &project.root);
    let mounts = mounts::of_session(project, &points.iter().filter_map(relative).collect::<Vec<_>>())?;
    let repositories = repositories_of(project)?;
    let mut shape = Shape::of(&project.config);
    if project.config.wishes.helper_env != Some(false) {
        shape.private.extend(helpers::directories(&project.root));
    }
    Ok(Scene {
        elsewhere: Elsewhere::of(project, workspace, &shape)?,
        shape,
        mounts,
        repositories,
        shown: Vec::new(),
        stubs: true,
        tier1: Vec::new(),
        outside: Vec::new(),
        tables: Tables::default(),
        counts: false,
        mounted,
    })
}

/// The repositories that `.git` files of the project name outside of it; none where the
/// user shares them.
fn repositories_of(project: &Project) -> Result<Vec<PathBuf>> {
    match project.config.git_shared {
        true => Ok(Vec::new()),
        false => Ok(git::outside(&project.root, &git::recorded(project)?)),
    }
}

/// What init does, in order. `lowers`: topmost first, below the project's directory in
/// the store.
pub fn plan(place: &Place, workspace: &str, session: &str, lowers: &[String], scene: &Scene) -> Result<Plan> {
    let Scene {
        shape,
        elsewhere,
        mounts,
        repositories,
        shown,
        stubs,
        tier1,
        outside,
        tables,
        counts,
        mounted,
    } = scene;
    let surroundings = Surroundings { shape, elsewhere, place, mounts, mounted };
    let target = c_path(&place.root)?;
    let below_store = |path: String| CString::new(path).map_err(|_| Error::failure("a name with a NUL"));
    let id = place.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let layers = Layers {
        lowers: lowers
            .iter()
            .map(|lower| below_store(format!("projects/{id}/{lower}")))
            .collect::<Result<_>>()?,
        data: data(*stubs),
        upper: Some(below_store(format!("projects/{id}/staging/{session}/upper"))?),
        work: Some(below_store(format!("projects/{id}/staging/{session}/work"))?),
    };
    let spec = OverlaySpec::new(c_path(place.store.root())?, layers, target.clone());
    let held = held(place, scene)?;
    let mut binds = mounts::stage::binds(&place.root, &place.staging().join(session), mounts)?;
    binds.extend(git::binds(repositories)?);
    let inside = Inside { workspace: workspace.into(), session: session.into(), root: place.root.clone() };
    let mut files = super::shell::files();
    files.push((inside::INSIDE.into(), inside.text().into_bytes()));
    let store = place.store.root();
    let mut cover = match library::place(store) {
        Some(library) => {
            let on = if tables.roots.is_empty() { 0 } else { page::STAT };
            files.push((page::NAME.into(), psfs::sight::blank(page::RENAME_DOOR | on, &tables.roots)));
            let mut cover = Cover::new(store, files)?.bind(&library, psfs::environment::SHOWN)?.with_door();
            for (table, name) in tables.files.iter().zip(page::TABLES) {
                cover = cover.bind(table, &name.to_string_lossy())?;
            }
            if *counts {
                let file = place.staging().join(session).join(counts::FILE);
                cover = cover.bind_writable(&file, counts::FILE)?;
            }
            if tables.roots.is_empty() { cover } else { cover.with_page() }
        }
        None => Cover::new(store, files)?,
    };
    cover = cover.with_requests(inside::REQUESTS).bind_writable(&elsewhere.run(), helpers::SHOWN)?;
    if let Some(repository) = git::of_host(place) {
        cover = cover.bind(&repository, git::HOST)?;
    }
    let mut steps = surroundings.first()?;
    let holds = !held.is_empty();
    if holds {
        steps.push(Step::HoldSubmounts(held));
    }
    steps.push(Step::Overlay(spec));
    steps.extend(tier1.iter().cloned().map(Step::ReadOnly));
    if holds {
        steps.push(Step::RestoreSubmounts);
    }
    if !binds.is_empty() {
        steps.push(Step::Bind(binds));
    }
    for Shown { name, base, stubs } in shown {
        let mut lowers = vec![below_store(format!("projects/{id}/base/{base}"))?];
        if !stubs {
            // without an upper and a data layer it takes two: one that has nothing
            let empty = mounts::stage::snapshot(session, name);
            lowers.push(below_store(format!("projects/{id}/staging/{empty}"))?);
        }
        let layers = Layers { lowers, data: data(*stubs), ..Layers::default() };
        let at = c_path(&place.root.join(snapshots::DIR).join(name))?;
        steps.push(Step::Overlay(OverlaySpec::new(c_path(place.store.root())?, layers, at)));
    }
    for Outside { path, base, stubs } in outside {
        let mut lowers = vec![below_store(format!("projects/{id}/base/{base}"))?];
        if !stubs {
            lowers.push(below_store(format!("projects/{id}/{NOTHING}"))?);
        }
        let layers = Layers { lowers, data: data(*stubs), ..Layers::default() };
        steps.push(Step::Overlay(OverlaySpec::new(c_path(place.store.root())?, layers, c_path(path)?)));
    }
    let own = elsewhere.binds()?;
    if !own.is_empty() {
        steps.push(Step::Bind(own));
    }
    steps.push(Step::Watch(target));
    steps.push(Step::Cover(cover));
    // the store may be seen at other paths too, where its file system is mounted again
    let seen = mountinfo::aliases(mounted, place.store.root());
    let outside = seen.iter().filter(|path| !path.starts_with(place.store.root()));
    for path in outside.filter(|path| !path.starts_with(&place.root)) {
        steps.push(Step::Cover(Cover::new(path, Vec::new())?));
    }
    steps.extend(surroundings.last()?);
    steps.push(Step::FreshProc);
    steps.extend(surroundings.after_proc());
    if library::place(store).is_some() && !tables.roots.is_empty() {
        let roots = tables.roots.iter().map(|root| root.path.clone()).collect();
        steps.push(Step::Page(Page { cover: c_path(store)?, roots }));
    }
    Ok(Plan::new(steps))
}

/// Where stubs lead to; older kernels refuse such a layer.
fn data(stubs: bool) -> Option<CString> {
    stubs.then(|| c"objects".to_owned())
}

/// What of the host stays where the overlay is mounted over it: `live` directories, and
/// mount points that no other mount of the session covers.
fn held(place: &Place, Scene { mounts, mounted, .. }: &Scene) -> Result<Vec<Held>> {
    let mut held = mounts::stage::held(&place.root, mounts)?;
    for point in mountinfo::below(mounted, &place.root)? {
        let covered = mounts.iter().any(|mount| {
            let at = place.root.join(OsStr::from_bytes(&mount.path));
            let at = at.as_os_str().as_bytes();
            point.to_bytes() == at || mounts::is_below(point.to_bytes(), at)
        });
        if !covered {
            held.push(Held { path: point, as_it_is: false });
        }
    }
    held.sort_unstable();
    Ok(held)
}
