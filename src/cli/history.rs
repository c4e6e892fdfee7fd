//! States of a workspace: what differs, sealing, going back.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::Json;

/// Show what differs between two states.
///
/// Without A and B: the host directory as it was last taken over, and the workspace; with
/// A alone: A, and the workspace. A state is a snapshot, a workspace, NAME~2, host, @N
/// (after run N), @live (what the live session shows), or the beginning of a digest.
///
/// The patch is one that `git apply` and `patch -p1` take, but for what is binary. The
/// letters of --name-status: A added, D deleted, M content changed, T another kind,
/// R renamed (the same content under another name), m mode, mtime, xattrs or hard links only.
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Diff {
    /// The state before.
    #[arg(value_name = "A")]
    pub a: Option<String>,
    /// The state after; else the workspace.
    #[arg(value_name = "B")]
    pub b: Option<String>,
    /// Only at or below these paths, after `--`.
    #[arg(value_name = "PATH", last = true)]
    #[serde(with = "crate::paths::as_bytes")]
    pub paths: Vec<PathBuf>,
    /// The workspace.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
    /// Show the versions of a conflict: from the host's to the workspace's.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["a", "b"])]
    #[serde(with = "crate::paths::as_bytes")]
    pub conflict: Vec<PathBuf>,
    /// One line a path.
    #[arg(long, group = "form")]
    pub name_status: bool,
    /// How many lines were added and removed in each file.
    #[arg(long, group = "form")]
    pub stat: bool,
    /// A unified diff; the default.
    #[arg(short, long, group = "form")]
    pub patch: bool,
    /// Exit with 1 if there are differences, and 0 if not.
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Seal the workspace's state as a snapshot that survives a power cut.
///
/// The host's edits are taken over first (workspace `main`). While a run of the workspace
/// lives, what it has written so far is taken in without ending anything.
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Commit {
    /// The snapshot's name (else the next of s1, s2, …).
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// What it is.
    #[arg(short, long, value_name = "MESSAGE", default_value = "", hide_default_value = true)]
    pub message: String,
    /// The workspace to seal.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
    /// Do not take over the host's edits first.
    #[arg(long)]
    pub no_sync: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Show the workspace's line of snapshots, newest first.
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Log {
    /// The workspace to show.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
    /// Every state it had instead, with its number for `@N`.
    #[arg(long)]
    pub heads: bool,
    /// How many to show.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub limit: Option<usize>,
    #[command(flatten)]
    pub json: Json,
}

/// List, show or delete snapshots.
#[derive(Debug, Args)]
pub struct Snapshot {
    #[command(subcommand)]
    pub action: SnapshotAction,
}

#[derive(Debug, Subcommand)]
pub enum SnapshotAction {
    /// Make one; the same as `vrift commit`.
    Create(Commit),
    /// List all snapshots of the project, newest first.
    List(Json),
    /// Show one snapshot.
    Show {
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        json: Json,
    },
    /// Delete snapshots; the workspaces stay as they are.
    Delete {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

/// Bring a state back into the workspace, all of it or some paths.
///
/// The state before stays in the history: `vrift undo` brings it back. The host's
/// directory is not touched.
#[derive(Debug, Args)]
pub struct Restore {
    /// The state: a snapshot, a workspace, NAME~2, host, @N (after run N), or the
    /// beginning of a digest.
    #[arg(value_name = "ROOT")]
    pub root: String,
    /// Only these paths.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The workspace that gets it.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
}

/// Bring back the workspace's state before the last change; again: the one before that.
#[derive(Debug, Args)]
pub struct Undo {
    /// The workspace.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
}

/// Carry a state to another store, as one file.
#[derive(Debug, Args)]
pub struct Bundle {
    #[command(subcommand)]
    pub action: BundleAction,
}

#[derive(Debug, Subcommand)]
pub enum BundleAction {
    /// Write a state, with every file in it, to a file.
    Create {
        /// The file; `-`: standard output.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The state: a snapshot, a workspace, NAME~2, host, @N (after run N), or the
        /// beginning of a digest.
        #[arg(value_name = "ROOT", default_value = "main")]
        root: String,
    },
    /// Take a bundle in, as a snapshot of the project; no workspace changes.
    ///
    /// Every content is checked against its digest. `vrift restore NAME` brings the state into
    /// the workspace.
    Load {
        /// The file; `-`: standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The snapshot's name (else the one it was made from, where that is free).
        #[arg(value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        json: Json,
    },
}

/// What exported files are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Link {
    /// Reflinks, else copies.
    Auto,
    /// Read-only links to the store's files.
    Hard,
}

/// Write a state out as a directory, or as a tar archive.
///
/// Modes, times to the nanosecond, xattrs, ACLs and hard links are as in the workspace; owner
/// and group are the caller's. The directory must not be there yet, or be empty.
#[derive(Debug, Args)]
pub struct Export {
    /// The state: a snapshot, a workspace, NAME~2, host, @N (after run N), or the
    /// beginning of a digest.
    #[arg(value_name = "ROOT")]
    pub root: String,
    /// The directory; with --tar the archive, `-`: standard output.
    #[arg(value_name = "DEST")]
    pub dest: PathBuf,
    /// Write a tar archive (POSIX.1-2001) instead of a directory.
    #[arg(long)]
    pub tar: bool,
    /// Say what the files are made by; `--link=hard`: links to the store's own files, read-only.
    ///
    /// Without `hard` they are reflinks where the filesystem has them, which cost no time and no space, else
    /// copies, made by several threads, as without this option: what is done to them never reaches the store. A
    /// hard link costs nothing anywhere on the store's filesystem, but it is the store's file: it has no write
    /// permission, and who gives himself one and writes to it, in a run as well as outside, damages what the
    /// store has for every workspace (`vrift verify --deep` finds it; root needs no permission). Removing or replacing such files is
    /// harmless. What cannot be linked is a copy: another mtime than that of the same content elsewhere, attributes,
    /// hard links, set-user-ID files; it is read-only, too.
    #[arg(
        long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "auto",
        conflicts_with = "tar"
    )]
    pub link: Option<Link>,
    /// The workspace that `@N` and `host` are about.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
}
