//! The other side of `ask`: answers one request from inside a run, outside.
//!
//! A launcher's desk starts it, with the connection as standard input and nothing else. What
//! comes through the connection was written by somebody inside, who may be hostile and is
//! to learn and to change no more than four verbs about the one workspace tell and change:
//!
//! - the store, the project and the workspace are the launcher's words, not the asker's;
//! - what is asked is one of [`Asked`], and every root it names is one of that workspace's;
//! - nothing is executed, and nothing written but the two streams that were passed along;
//! - those are no files of the kernel's own, whose meaning depends on who writes;
//! - no lock is held while something is written to them, for they may block for ever.
//!
//! It ends when the asker goes away.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpid, kill_process};

use super::ask::{self, Asked, BEGUN, Request};
use super::printer::Printer;
use super::{Status, commit, diff, log, status, status_of};
use crate::cas::Digest;
use crate::cli::{Answer, Global};
use crate::error::{Context, Error, Result};
use crate::manifest::roots;
use crate::ns;
use crate::os::parcel;
use crate::session::checkpoint::LIVE;

/// How long the request itself may take to come.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// What is written to in place of these means more than its bytes (linux/magic.h).
const KERNELS_OWN: &[u64] = &[
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6367_7270, // cgroup2
    0x0027_e0eb, // cgroup
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x6265_6570, // configfs
    0xcafe_4a11, // bpf
    0xf97c_ff8c, // selinuxfs
    0x4249_4e4d, // binfmt_misc
];

pub fn run(global: &Global, args: &Answer) -> Result<Status> {
    let stdin = std::io::stdin();
    let connection = stdin.as_fd();
    let (request, streams) = hear(connection)?;
    take_streams(&streams)?;
    drop(streams);
    // the connection belongs to both sides of a fork; only this side writes to it
    let _ = rustix::io::write(connection, &[BEGUN]);
    let printer = Printer::new(request.color, request.quiet, request.verbose).without_progress();
    let asker = connection.try_clone_to_owned().context("watch", "the asker")?;
    std::thread::spawn(move || end_with(&asker));
    let status = answer(global, args, request, &printer).unwrap_or_else(|error| {
        printer.error(&error);
        status_of(&error, false)
    });
    let _ = rustix::io::write(connection, &[status]);
    Ok(status)
}

/// The request, from somebody of our own user.
fn hear(connection: BorrowedFd<'_>) -> Result<(Request, Vec<OwnedFd>)> {
    let refused = |why: &str| Error::failure(format!("not a request from inside a run: {why}"));
    if !ns::is_own_user(connection) {
        return Err(refused("it comes from another user"));
    }
    if !matches!(poll(&mut [PollFd::from_borrowed_fd(connection, PollFlags::IN)], Some(&PATIENCE)), Ok(1)) {
        return Err(refused("nothing came"));
    }
    let (text, fds) = parcel::receive(connection, ask::MOST).context("read", "a request")?;
    let request = serde_json::from_slice(&text).map_err(|error| refused(&error.to_string()))?;
    Ok((request, fds))
}

/// Makes what was passed along standard output and standard error.
fn take_streams(streams: &[OwnedFd]) -> Result<()> {
    let [out, err] = streams else { return Err(Error::failure("a request without its streams")) };
    for stream in streams {
        let kind = rustix::fs::fstatfs(stream).context("look at", "a passed stream")?.f_type as u64;
        if KERNELS_OWN.contains(&(kind & 0xffff_ffff)) {
            return Err(Error::failure("a passed stream is a file of the kernel's own"));
        }
    }
    rustix::stdio::dup2_stdout(out).context("write to", "the asker's standard output")?;
    rustix::stdio::dup2_stderr(err).context("write to", "the asker's standard error")
}

/// Waits until the asker is gone, and ends this process then.
fn end_with(asker: &OwnedFd) {
    let gone = PollFlags::RDHUP | PollFlags::HUP;
    while !matches!(poll(&mut [PollFd::new(asker, gone)], None), Ok(1)) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = kill_process(getpid(), Signal::TERM);
}

fn answer(global: &Global, args: &Answer, request: Request, printer: &Printer) -> Result<Status> {
    // the view is of this directory, wherever the launcher is
    std::env::set_current_dir(&args.root).context("go to", &args.root)?;
    let Request { mut asked, .. } = request;
    if *asked.workspace() != args.of {
        return Err(Error::failure("a run can ask about its own workspace only"));
    }
    let global = Global { live: true, store: global.store.clone(), ..Global::default() };
    match asked {
        Asked::Status(args) => status::run(&global, args, printer),
        Asked::Diff(args) => {
            let roots = [&args.a, &args.b].into_iter().flatten().map(String::as_str);
            only_own_roots(&global, &args.workspace, roots)?;
            diff::run(&global, &args, printer)
        }
        Asked::Commit(args) => commit::run(&global, &args, printer),
        Asked::Log(args) => log::run(&global, &args, printer),
    }
}

/// Refuses roots that this workspace never had.
fn only_own_roots<'a>(global: &Global, workspace: &str, texts: impl Iterator<Item = &'a str>) -> Result<()> {
    let project = super::known_project(global)?;
    let manifest = &project.manifest;
    let now = manifest.known_workspace(workspace)?;
    let mut own: Vec<Digest> = manifest.heads(now.id)?.iter().map(|head| head.root).collect();
    own.extend(now.head.into_iter().chain(now.host_base));
    let snapshots = manifest.snapshots()?;
    own.extend(snapshots.iter().filter(|one| one.workspace == now.name).map(|one| one.root));
    own.extend(manifest.line(now.snapshot)?.iter().map(|one| one.root));
    for text in texts.filter(|text| *text != LIVE) {
        if !own.contains(&roots::resolve(manifest, &now, text)?) {
            return Err(Error::failure(format!("`{text}` is no state of workspace `{workspace}`"))
                .with_hint("leave the run first"));
        }
    }
    Ok(())
}
