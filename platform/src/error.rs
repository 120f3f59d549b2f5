//! What can go wrong, sorted by what a caller would do about it.

use std::io;
use std::path::PathBuf;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a map could not be read.
///
/// The text names the thing; the cause is the [`source`](std::error::Error::source), and [`Error::way_out`] says what
/// would help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such process.
    #[error("no process with PID {pid}")]
    NoSuchProcess {
        /// The id that was asked for.
        pid: u32,
    },
    /// The process ended while it was being looked at, so what was read of its map is not whole.
    #[error("process {pid} ended while its memory map was being read")]
    Vanished {
        /// The process.
        pid: u32,
    },
    /// The process has ended, and its parent has not yet taken note: there is no map any more.
    #[error("process {pid} has ended (it is a zombie): its memory is gone")]
    Zombie {
        /// The process.
        pid: u32,
    },
    /// The process started another program (`exec`) while its map was being read.
    #[error("process {pid} started another program while its memory map was being read")]
    Replaced {
        /// The process.
        pid: u32,
    },
    /// The system does not let this user look.
    #[error("not permitted to {action} of process {pid}")]
    NotPermitted {
        /// What was refused, such as `read the memory map`.
        action: &'static str,
        /// The process.
        pid: u32,
        /// What would help, a sentence each.
        way_out: Vec<String>,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A system call or a read failed.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not what it was taken for.
    #[error("`{}` {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// A system call on this process itself, or on a child of it, failed.
    #[error("{call} failed")]
    Call {
        /// The call, such as `mmap`.
        call: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// This system or source can't do that.
    #[error("{what} is not supported {place}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// Where, such as `for a saved capture`.
        place: &'static str,
    },
}

impl Error {
    /// What the user can do about it, a sentence each; empty where there is nothing.
    pub fn way_out(&self) -> &[String] {
        match self {
            Error::NotPermitted { way_out, .. } => way_out,
            _ => &[],
        }
    }
}
