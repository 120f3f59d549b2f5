//! Exit statuses.

use crate::error::{Error, ErrorKind};

/// How the program ends, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Everything was done.
    Done,
    /// A check failed or can't be decided.
    CheckFailed,
    /// The command line is wrong, or a name matches several processes.
    Usage,
    /// There is no such process, or no longer.
    NoSuchProcess,
    /// The system refused.
    NotPermitted,
    /// Something can't be read, or is malformed.
    Unreadable,
    /// The status of a program, or of an imitated tool.
    Status(u8),
}

impl Exit {
    /// The status.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::CheckFailed => 1,
            Exit::Usage => 2,
            Exit::NoSuchProcess => 3,
            Exit::NotPermitted => 4,
            Exit::Unreadable => 5,
            Exit::Status(status) => status,
        }
    }

    /// The status for an error.
    pub fn of(error: &Error) -> Exit {
        match error.kind() {
            ErrorKind::Usage | ErrorKind::Ambiguous | ErrorKind::Syntax => Exit::Usage,
            ErrorKind::NoSuchProcess | ErrorKind::Vanished | ErrorKind::Zombie | ErrorKind::Replaced => {
                Exit::NoSuchProcess
            }
            ErrorKind::NotPermitted => Exit::NotPermitted,
            _ => Exit::Unreadable,
        }
    }

    /// This status, or the other one if everything was done so far: the first failure decides.
    #[must_use]
    pub fn or(self, other: Exit) -> Exit {
        if self == Exit::Done { other } else { self }
    }
}
