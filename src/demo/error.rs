//! Why a lesson ends early.

use std::io;

use crate::error::ErrorKind;
use crate::interrupt::Interrupted;

/// Why a lesson, or the whole demo, ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A signal asked the program to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The output can't be written, by this lesson or by any other.
    #[error("failed to write the output")]
    Output(#[source] io::Error),
    /// No lesson has this name.
    #[error("no lesson `{name}`; the lessons are {}", super::names())]
    NoSuchLesson {
        /// The name that was asked for.
        name: String,
    },
    /// Something that the lesson needs failed. Other lessons can still run.
    #[error(transparent)]
    Failed(#[from] crate::Error),
}

impl From<mmview_platform::Error> for Error {
    fn from(error: mmview_platform::Error) -> Error {
        Error::Failed(error.into())
    }
}

/// The error of a lesson that lacks something it needs.
pub(super) fn failure(text: impl Into<String>) -> crate::Error {
    crate::Error::new(ErrorKind::Unreadable, text)
}

/// The result of a lesson, and of each of its steps.
pub(super) type Result<T> = std::result::Result<T, Error>;
