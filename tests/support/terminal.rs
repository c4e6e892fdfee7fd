//! A pseudo-terminal with a command in it, and a little expect.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use rustix::termios::Winsize;

const PATIENCE: Duration = Duration::from_secs(30);

/// What came out, and how much of it was expected already.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    seen: usize,
    ended: bool,
    hung_up: bool,
}

pub struct Terminal {
    master: File,
    output: Arc<(Mutex<Output>, Condvar)>,
    pub child: Child,
}

impl Terminal {
    /// Starts a command as the leader of a session of its own with a new terminal.
    pub fn start(command: &mut Command) -> Self {
        // never without CLOEXEC: another test's child would keep the terminal open
        let master = nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        nix::pty::grantpt(&master).unwrap();
        nix::pty::unlockpt(&master).unwrap();
        let name = nix::pty::ptsname_r(&master).unwrap();
        let open = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(name);
        let (master, slave) = (OwnedFd::from(master), open.unwrap());
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(stdio()).stdout(stdio()).stderr(stdio()).env("TERM", "xterm");
        // SAFETY: both are single system calls, which may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(std::io::stdin())?;
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        drop(slave);
        let master = File::from(master);
        let output = Arc::new((Mutex::new(Output::default()), Condvar::new()));
        let (mut reader, sink) = (master.try_clone().unwrap(), Arc::clone(&output));
        std::thread::spawn(move || {
            let mut buffer = [0u8; 4096];
            loop {
                let (output, changed) = &*sink;
                if output.lock().unwrap_or_else(std::sync::PoisonError::into_inner).hung_up {
                    return;
                }
                if nix::poll::poll(
                    &mut [nix::poll::PollFd::new(reader.as_fd(), nix::poll::PollFlags::POLLIN)],
                    20u8,
                ) == Ok(0)
                {
                    continue;
                }
                // EIO: the last process that had it open has gone
                let length = reader.read(&mut buffer).unwrap_or(0);
                let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                output.bytes.extend_from_slice(&buffer[..length]);
                output.ended = length == 0;
                changed.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        let terminal = Self { master, output, child };
        terminal.resize(24, 200);
        terminal
    }

    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Types a line, not faster than a person: what comes while a stopped command has not
    /// yet left its read may be read by that.
    pub fn line(&mut self, text: &str) {
        std::thread::sleep(Duration::from_millis(100));
        self.send(&format!("{text}\r"));
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(self.master.as_fd(), size).unwrap();
    }

    /// Waits until this comes out after what was expected before; returns what came
    /// between. A test types `o''k` where it expects `ok`, because typing is echoed.
    #[track_caller]
    pub fn expect(&self, text: &str) -> String {
        let (output, changed) = &*self.output;
        let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let began = Instant::now();
        loop {
            let fresh = &output.bytes[output.seen..];
            if let Some(at) = fresh.windows(text.len()).position(|window| window == text.as_bytes()) {
                let between = String::from_utf8_lossy(&fresh[..at]).into_owned();
                output.seen += at + text.len();
                return between;
            }
            let shown = || String::from_utf8_lossy(fresh).into_owned();
            assert!(!output.ended, "the terminal ended before {text:?}: {:?}", shown());
            assert!(began.elapsed() < PATIENCE, "no {text:?} in {:?}", shown());
            output = changed.wait_timeout(output, Duration::from_millis(200)).unwrap().0;
        }
    }

    /// Closes the terminal, as its window does.
    pub fn hang_up(&mut self) {
        self.output.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).hung_up = true;
        std::thread::sleep(Duration::from_millis(60));
        self.master = File::open("/dev/null").unwrap();
    }

    /// Everything that came out so far.
    pub fn all(&self) -> String {
        String::from_utf8_lossy(
            &self.output.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).bytes,
        )
        .into_owned()
    }

    /// Everything that the command writes until it ends, and its status (128 and the signal).
    #[track_caller]
    pub fn wait_for_all(mut self) -> (String, i32) {
        use std::os::unix::process::ExitStatusExt;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {:?}", self.all());
            std::thread::sleep(Duration::from_millis(10));
        };
        while !self.output.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).ended {
            assert!(began.elapsed() < 2 * PATIENCE, "its terminal is still open");
            std::thread::sleep(Duration::from_millis(10));
        }
        (self.all(), status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }

    /// The end of the command.
    #[track_caller]
    pub fn wait(mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {:?}", self.all());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
