//! The errors of this crate, one variant for each thing that a caller would do about them.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a process or a capture could not be read.
///
/// The text names the thing that failed. The cause is the [`source`](std::error::Error::source) and not part of the text.
/// [`Error::kind`] sorts errors for callers, and [`Error::hints`] suggests a way out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no such process.
    NoSuchProcess {
        /// The requested process ID.
        pid: u32,
    },
    /// The process exited while it was being read, so the part that was read is incomplete.
    Vanished {
        /// The process.
        pid: u32,
    },
    /// The process has exited, but its parent has not waited for it yet. Its memory map is gone.
    Zombie {
        /// The process.
        pid: u32,
    },
    /// The process started another program (`exec`) while its map was being read.
    Replaced {
        /// The process.
        pid: u32,
    },
    /// The system denies this user access to the process.
    NotPermitted {
        /// The operation that was denied, such as `read the memory map`.
        action: &'static str,
        /// The process.
        pid: u32,
        /// Ways to get access, one sentence each.
        hints: Vec<String>,
        /// The error that the system reported.
        source: io::Error,
    },
    /// A system call or a read failed.
    Io {
        /// The operation that failed, such as `read`.
        action: &'static str,
        /// The file or other object of the operation.
        path: PathBuf,
        /// The error that the system reported.
        source: io::Error,
    },
    /// A file is not a capture of a memory map, or it is damaged.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The problem, as the rest of a sentence that starts with the path.
        problem: String,
    },
    /// A system call on this process itself, or on a child of it, failed.
    Call {
        /// The call, such as `mmap`.
        call: &'static str,
        /// The error that the system reported.
        source: io::Error,
    },
    /// This system or source does not support the operation.
    Unsupported {
        /// The requested operation.
        what: &'static str,
        /// The place that lacks it, such as `for a saved capture`.
        place: &'static str,
    },
}

impl Error {
    /// The kind of this error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Error::NoSuchProcess { .. } => ErrorKind::NoSuchProcess,
            Error::Vanished { .. } => ErrorKind::Vanished,
            Error::Zombie { .. } => ErrorKind::Zombie,
            Error::Replaced { .. } => ErrorKind::Replaced,
            Error::NotPermitted { .. } => ErrorKind::NotPermitted,
            Error::Malformed { .. } => ErrorKind::Malformed,
            Error::Unsupported { .. } => ErrorKind::Unsupported,
            Error::Io { .. } | Error::Call { .. } => ErrorKind::Unreadable,
        }
    }

    /// Ways to solve the problem, one sentence each. Empty if there is none.
    pub fn hints(&self) -> &[String] {
        match self {
            Error::NotPermitted { hints, .. } => hints,
            _ => &[],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchProcess { pid } => write!(f, "no process with PID {pid}"),
            Error::Vanished { pid } => write!(f, "process {pid} exited while its memory map was being read"),
            Error::Zombie { pid } => {
                write!(f, "process {pid} has exited (it is a zombie): it has no memory map anymore")
            }
            Error::Replaced { pid } => {
                write!(f, "process {pid} started another program while its memory map was being read")
            }
            Error::NotPermitted { action, pid, .. } => {
                write!(f, "not permitted to {action} of process {pid}")
            }
            Error::Io { action, path, .. } => write!(f, "failed to {action} `{}`", path.display()),
            Error::Malformed { path, problem } => write!(f, "`{}` {problem}", path.display()),
            Error::Call { call, .. } => write!(f, "{call} failed"),
            Error::Unsupported { what, place } => write!(f, "{what} is not supported {place}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::NotPermitted { source, .. } | Error::Io { source, .. } | Error::Call { source, .. } => {
                Some(source)
            }
            _ => None,
        }
    }
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such process.
    NoSuchProcess,
    /// The process exited while it was being read.
    Vanished,
    /// The process has exited and waits for its parent.
    Zombie,
    /// The process started another program while it was being read.
    Replaced,
    /// The system denies this user access.
    NotPermitted,
    /// A file is not a capture, or it is damaged.
    Malformed,
    /// The system or the source does not support the operation.
    Unsupported,
    /// A system call or a read failed.
    Unreadable,
}

impl ErrorKind {
    /// The identifier in machine formats, such as `not-permitted`.
    pub const fn id(self) -> &'static str {
        match self {
            ErrorKind::NoSuchProcess => "no-such-process",
            ErrorKind::Vanished => "vanished",
            ErrorKind::Zombie => "zombie",
            ErrorKind::Replaced => "replaced",
            ErrorKind::NotPermitted => "not-permitted",
            ErrorKind::Malformed => "malformed",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Unreadable => "unreadable",
        }
    }
}
