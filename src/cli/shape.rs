//! What a run is to be like beyond its project: ids, network, confinement, limits.

use std::ffi::OsString;

use clap::Args;

/// Every one is a key of `[run]` and of `[profile.NAME]` too. All but the environment are
/// the session's, so who joins a live one cannot have them otherwise.
#[derive(Debug, Default, Args)]
pub struct Shape {
    /// Be uid 0 inside.
    ///
    /// Files that look like root's are the caller's own. Where the caller is an ordinary
    /// user, no other id exists: giving a file to one fails with EINVAL. A root caller has
    /// every id inside, with this option and without.
    #[arg(long, help_heading = "Confinement")]
    pub root: bool,
    /// What outside the project cannot be written: none, home or host.
    ///
    /// `home`: the home directory, but for declared caches. `host`: everything but the
    /// project, /tmp, binds and declared caches; /dev is the session's own, without disks.
    #[arg(long, value_name = "LEVEL", help_heading = "Confinement")]
    pub confine: Option<String>,
    /// The network: host, none or own.
    ///
    /// `none` and `own` have a loopback interface of their own and nothing else; with
    /// `own`, who is root inside may add to it.
    #[arg(long, value_name = "NETWORK", help_heading = "Confinement")]
    pub net: Option<String>,
    /// What stays writable in a confined run: cargo, npm, pip, go, ccache, or a directory.
    ///
    /// One that is not there is made.
    #[arg(long, value_name = "CACHE", help_heading = "Confinement")]
    pub cache: Vec<String>,
    /// Let /tmp and /var/tmp be the session's own, in memory and empty at first.
    #[arg(long, help_heading = "Confinement")]
    pub private_tmp: bool,
    /// Show a file or directory at another place: SRC:DST, or SRC:DST:ro to read it only.
    ///
    /// A relative DST lies in the project, and writes there go to SRC; an absolute one must
    /// exist.
    #[arg(long, value_name = "SRC:DST[:ro]", help_heading = "Confinement")]
    pub bind: Vec<String>,
    /// Let each workspace have a directory of its own here, empty at first and kept between runs.
    ///
    /// For a directory outside the project that a program keeps state in by the project's path, as ~/.cache/bazel.
    /// A fork begins with an empty one; it goes with the workspace.
    #[arg(long, value_name = "DIR", help_heading = "Confinement")]
    pub private: Vec<String>,
    /// Cover a file, socket or directory outside the project, as /run/docker.sock.
    ///
    /// What is not there when the session opens is not covered.
    #[arg(long, value_name = "PATH", help_heading = "Confinement")]
    pub hide: Vec<String>,
    /// Leave the variables of build servers, editors and multiplexers as they are.
    ///
    /// Else sccache, Gradle, Bazel, watchman, nx, tmux and others do not reach a server that runs outside,
    /// by the same path, and would see the directory itself: they get an address of the workspace's own, or
    /// work without a server. What --setenv says counts more.
    #[arg(long)]
    pub no_helper_env: bool,
    /// Limit what all processes of the session use together, as in mem=2G,cpus=1.5,pids=100.
    ///
    /// This needs cgroup v2 with the controllers delegated to the caller.
    #[arg(long, value_name = "LIMITS", help_heading = "Confinement")]
    pub limit: Option<String>,
    /// Let a path of `[tier1]` be written in this run.
    ///
    /// In the project what is written is kept in the workspace; a directory outside is then the host's own.
    #[arg(long, value_name = "PATH")]
    pub unlock: Vec<String>,
    /// What the files of the view are below: auto, stub, hardlink or copy.
    ///
    /// Else it stays as it is, or is the best that works on this machine (vrift doctor). `stub`:
    /// a mark that leads to the stored content; `hardlink`: the stored content itself, by a second name;
    /// `copy`: a copy of it. With the last two a file shares its blocks where the file system
    /// can (reflink). Another one than before is made anew, and nothing is lost.
    #[arg(long, value_name = "KIND")]
    pub projection: Option<String>,
    /// Set a variable of the command.
    #[arg(long, value_name = "K=V", help_heading = "Confinement")]
    pub setenv: Vec<OsString>,
    /// Give the command none of the caller's variables, only vrift's own and those of --setenv.
    #[arg(long, help_heading = "Confinement")]
    pub clear_env: bool,
    /// Let the keys of [profile.NAME] in vrift.toml, or in the user's configuration, count.
    #[arg(long, value_name = "NAME", help_heading = "Confinement")]
    pub profile: Option<String>,
}
