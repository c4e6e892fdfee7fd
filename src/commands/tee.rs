//! `exec --log`: what passes a command's output on and keeps it, a process beside the launcher.
//!
//! The command's standard output and error are pipes that end here, one where both of ours are the
//! same file, so that what was printed stays in order. It ends when the last process that has them does, so
//! what a command leaves in the background can print for as long as without us; but what is kept ends
//! with the command: the launcher says so, and is answered once all that was there has been passed on.
//!
//! ```text
//! command ──pipe──▶ this ──▶ our standard output
//!         ──pipe──▶      ──▶ our standard error
//!                        ──▶ spool        launcher ◀──socket──▶ this (its standard input)
//! ```

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_setfl, fstat};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use super::Status;
use super::events::Events;
use crate::cli;
use crate::error::{Context, Error, Result};
use crate::manifest::run::Run;
use crate::ns;
use crate::os::passed;
use crate::session::leave::record_run;
use crate::session::output::Kept;
use crate::session::output::spool::Spool;
use crate::session::project::{Place, Project};

/// This program, wherever its file is by now.
const PROGRAM: &str = "/proc/self/exe";
/// Bytes in one read.
const PIECE: usize = 64 << 10;
const END: u8 = b'E';

/// A run's output on its way.
pub struct Log {
    pub kept: Kept,
    control: UnixStream,
    /// What the command gets as standard output and error.
    pipes: Option<(OwnedFd, OwnedFd)>,
}

impl Log {
    /// Makes the files, the pipes and the process.
    pub fn begin(place: &Place, run: &Run) -> Result<Self> {
        let kept = Kept::begin(place, run)?;
        let fail = |errno: Errno| Error::io("make", "a pipe", &errno.into());
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(fail);
        let (from_out, out) = pipe()?;
        let (from_err, err) = match same_file() {
            true => (None, out.try_clone().context("copy", "a pipe")?),
            false => pipe().map(|(from, to)| (Some(from), to))?,
        };
        let (control, theirs) = UnixStream::pair().context("make", "a socket")?;
        let mut command = Command::new(PROGRAM);
        command.arg0("vrift").arg("keep-output").arg("--spool").arg(kept.spool_path());
        command.arg("--out").arg(from_out.as_raw_fd().to_string());
        if let Some(from) = &from_err {
            command.arg("--err").arg(from.as_raw_fd().to_string());
        }
        // no key of the terminal, and no signal for the group, is for it
        command.process_group(0).stdin(OwnedFd::from(theirs)).current_dir("/");
        let lock = kept.lock().map(|lock| lock.fd().as_fd());
        let passed: Vec<BorrowedFd<'_>> = [Some(from_out.as_fd()), from_err.as_ref().map(AsFd::as_fd), lock]
            .into_iter()
            .flatten()
            .collect();
        let inherit = |flags: FdFlags| passed.iter().try_for_each(|fd| fcntl_setfd(fd, flags)).map_err(fail);
        inherit(FdFlags::empty())?;
        let child = command.spawn().context("start", "what keeps the output");
        inherit(FdFlags::CLOEXEC)?;
        child?;
        Ok(Self { kept, control, pipes: Some((out, err)) })
    }

    /// Does what starts the command; meanwhile our standard output and error are the pipes.
    pub fn around<T>(&mut self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some((out, err)) = self.pipes.take() else { return start() };
        let fail = |errno: Errno| Error::io("exchange", "standard output", &errno.into());
        let aside = |fd: BorrowedFd<'_>| fcntl_dupfd_cloexec(fd, 3).map_err(fail);
        let (our_out, our_err) = (aside(std::io::stdout().as_fd())?, aside(std::io::stderr().as_fd())?);
        let put =
            |out: &OwnedFd, err: &OwnedFd| dup2_stdout(out).and_then(|()| dup2_stderr(err)).map_err(fail);
        put(&out, &err)?;
        let started = start();
        put(&our_out, &our_err)?;
        started
    }

    /// The command has ended: returns when all that it printed has been passed on.
    pub fn end(&mut self, events: &Events<'_>) {
        self.pipes = None;
        let mut said = String::new();
        // what keeps the output may have been killed
        let asked = self.control.write_all(&[END]);
        let mut byte = [0];
        while asked.is_ok() && matches!(self.control.read(&mut byte), Ok(1)) && byte != [b'\n'] {
            said.push(byte[0].into());
        }
        if !said.is_empty() {
            events.warn(&format!("not all of the output is kept: {said}"));
        }
    }
}

/// Records a run that has ended, with what it printed. That this could not be kept is said, and is no
/// reason for the run to be forgotten.
pub fn record(
    project: &Project,
    mut run: Run,
    head: Option<i64>,
    (log, events): (Option<Log>, &Events<'_>),
) -> Result<()> {
    let Some(log) = log else { return record_run(project, &run, head) };
    let stored = log.kept.store(project, |output| {
        run.output = output;
        record_run(project, &run, head)
    });
    if let Err(why) = stored {
        events.warn(&format!("the output is not kept: {why}"));
        run.output = None;
        record_run(project, &run, head)?;
    }
    Ok(())
}

/// Whether standard output and error are one.
fn same_file() -> bool {
    let of = |fd: BorrowedFd<'_>| fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino));
    let out = of(std::io::stdout().as_fd());
    out.is_some() && out == of(std::io::stderr().as_fd())
}

/// The process beside the launcher.
pub fn run(args: &cli::Tee) -> Result<Status> {
    ns::write_to_any_terminal();
    let claim = |fd: i32| passed::take("a pipe", fd);
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let mut streams = vec![Stream::new(claim(args.out)?, stdout.as_fd())?];
    if let Some(err) = args.err {
        streams.push(Stream::new(claim(err)?, stderr.as_fd())?);
    }
    let mut keeping = Keeping { spool: Some(Spool::begin(&args.spool)?), why: None };
    let mut control = Some(UnixStream::from(
        std::io::stdin().as_fd().try_clone_to_owned().context("copy", "standard input")?,
    ));
    while !streams.is_empty() {
        let asked = {
            let mut fds: Vec<PollFd<'_>> =
                streams.iter().map(|stream| PollFd::new(&stream.from, PollFlags::IN)).collect();
            if let Some(control) = &control {
                fds.push(PollFd::new(control, PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                other => other.map_err(|errno| Error::io("wait for", "output", &errno.into()))?,
            };
            control.is_some() && fds.last().is_some_and(|fd| !fd.revents().is_empty())
        };
        // one piece each: a command that prints without end keeps nobody waiting
        streams.retain_mut(|stream| stream.pass(PIECE as u64, &mut keeping));
        if asked && let Some(mut there) = control.take() {
            let mut byte = [0];
            if matches!(there.read(&mut byte), Ok(1)) && byte == [END] {
                // what is there by now, and no more
                streams.retain_mut(|stream| stream.pass(stream.waiting(), &mut keeping));
                keeping.spool = None;
                let _ = there.write_all(format!("{}\n", keeping.why.take().unwrap_or_default()).as_bytes());
            }
            // a launcher that was killed says nothing: what comes is kept
        }
    }
    Ok(0)
}

struct Keeping {
    spool: Option<Spool>,
    why: Option<String>,
}

impl Keeping {
    fn add(&mut self, bytes: &[u8]) {
        if let Some(Err(error)) = self.spool.as_mut().map(|spool| spool.add(bytes)) {
            self.spool = None;
            self.why = Some(error.to_string());
        }
    }
}

/// One of the command's streams.
struct Stream<'a> {
    from: OwnedFd,
    to: BorrowedFd<'a>,
}

impl<'a> Stream<'a> {
    fn new(from: OwnedFd, to: BorrowedFd<'a>) -> Result<Self> {
        fcntl_setfl(&from, OFlags::NONBLOCK).context("prepare", "a pipe")?;
        Ok(Self { from, to })
    }

    /// Bytes that are there.
    fn waiting(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.from).unwrap_or(0)
    }

    /// Passes on what is there, at most about so many bytes. False: nothing comes any more, or nobody
    /// wants it; then the command gets SIGPIPE, as without us.
    fn pass(&self, most: u64, keeping: &mut Keeping) -> bool {
        let mut piece = [0; PIECE];
        let mut passed = 0;
        loop {
            match rustix::io::read(&self.from, &mut piece) {
                Ok(0) => return false,
                Ok(length) => {
                    keeping.add(&piece[..length]);
                    if !self.write(&piece[..length]) {
                        return false;
                    }
                    passed += length as u64;
                    if passed >= most {
                        return true;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }

    fn write(&self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match rustix::io::write(self.to, bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(Errno::INTR) => {}
                // somebody made it so for all who have it
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&self.to, PollFlags::OUT)], None);
                }
                Err(_) => return false,
            }
        }
        true
    }
}
