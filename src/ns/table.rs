//! Init's memory: who is connected, which commands run. Of fixed size, made by the
//! launcher before the clone, so that init never allocates.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Connections at most; each may have a command.
pub(super) const PLACES: usize = 1024;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Has said nothing yet, or only asks: does not keep the session alive.
    Visitor,
    /// A launcher.
    Run,
    /// A launcher that waits for what is left to end by itself.
    Waiting,
}

pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    pub(super) role: Role,
    /// The launcher's pid as it calls itself.
    pub(super) launcher: i32,
    /// It asked to leave unless the session is shared: told so, it stays.
    pub(super) stays: bool,
}

pub(super) struct Running {
    pub(super) pidfd: OwnedFd,
    pub(super) pid: i32,
    /// Place of its launcher's connection.
    pub(super) connection: usize,
    /// When SIGKILL follows, in `sys::now_ms` time; set when its launcher has died.
    pub(super) kill_at: Option<i64>,
}

/// The table and the memory to poll it.
pub(super) struct Table {
    pub(super) connections: Vec<Option<Connection>>,
    pub(super) commands: Vec<Option<Running>>,
    polls: Vec<libc::pollfd>,
}

/// Entries before the connections: SIGCHLD, the listener, the mover's door.
pub(super) const FIXED: usize = 3;

impl Table {
    pub(super) fn new() -> Self {
        let idle = libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 };
        Self {
            connections: std::iter::repeat_with(|| None).take(PLACES).collect(),
            commands: std::iter::repeat_with(|| None).take(PLACES).collect(),
            polls: vec![idle; FIXED + 2 * PLACES],
        }
    }

    /// A poll list of what is open, in place order: the fixed ones, connections, commands.
    pub(super) fn poll_list(&mut self, fixed: [i32; FIXED]) -> &mut [libc::pollfd] {
        let connections = self.connections.iter().flatten().map(|c| c.socket.as_fd().as_raw_fd());
        let commands = self.commands.iter().flatten().map(|c| c.pidfd.as_fd().as_raw_fd());
        let mut count = 0;
        for (entry, fd) in self.polls.iter_mut().zip(fixed.into_iter().chain(connections).chain(commands)) {
            (entry.fd, entry.revents) = (fd, 0);
            count += 1;
        }
        self.polls.get_mut(..count).unwrap_or(&mut [])
    }

    /// Whether the last poll found something at this descriptor.
    pub(super) fn is_ready(&self, fd: i32) -> bool {
        self.polls.iter().any(|entry| entry.fd == fd && entry.revents != 0)
    }

    /// Connections that keep the session alive, but for this place.
    pub(super) fn others(&self, place: usize) -> bool {
        let counts = |(at, c): (usize, &Option<Connection>)| {
            at != place && c.as_ref().is_some_and(|c| c.role != Role::Visitor)
        };
        self.connections.iter().enumerate().any(counts)
    }

    /// Puts a connection at a free place among the first `limit`.
    pub(super) fn admit(&mut self, connection: Connection, limit: usize) -> Result<(), Connection> {
        match self.connections.iter_mut().take(limit).find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(connection);
                Ok(())
            }
            None => Err(connection),
        }
    }

    /// Drops the command of this place when the last poll found that it has ended.
    pub(super) fn forget_if_ready(&mut self, at: usize) {
        let fd = self.commands.get(at).and_then(Option::as_ref).map(|command| command.pidfd.as_raw_fd());
        if fd.is_some_and(|fd| self.is_ready(fd))
            && let Some(place) = self.commands.get_mut(at)
        {
            *place = None;
        }
    }

    pub(super) fn note_command(&mut self, command: Running) {
        if let Some(place) = self.commands.iter_mut().find(|place| place.is_none()) {
            *place = Some(command);
        }
    }
}
