//! The error of this crate.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done.
///
/// [`Error::kind`] is for programs: it decides what to do about it. [`Error::hints`] are for people: what would help. The text
/// names the thing and what failed; `{:#}` adds the causes.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    /// What failed; `None` if the cause says it all.
    message: Option<String>,
    hints: Vec<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// What sort of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such process.
    NoSuchProcess,
    /// The process ended while it was read.
    Vanished,
    /// The process has ended; its parent hasn't collected its exit status.
    Zombie,
    /// The process started another program while it was read.
    Replaced,
    /// The system refused.
    NotPermitted,
    /// A file is not what it should be.
    Malformed,
    /// This system or source can't do that.
    Unsupported,
    /// Something could not be read or called.
    Unreadable,
    /// A check is not understood.
    Syntax,
    /// The command line is wrong.
    Usage,
    /// A name matches several processes.
    Ambiguous,
    /// The output can't be written.
    Output,
    /// No one reads the output any more.
    BrokenPipe,
    /// A signal asked for the end.
    Interrupted,
}

impl ErrorKind {
    /// The identifier in machine formats.
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
            ErrorKind::Syntax => "syntax",
            ErrorKind::Usage => "usage",
            ErrorKind::Ambiguous => "ambiguous",
            ErrorKind::Output => "output",
            ErrorKind::BrokenPipe => "broken-pipe",
            ErrorKind::Interrupted => "interrupted",
        }
    }
}

impl Error {
    /// An error with the text of its cause.
    pub(crate) fn from_cause(kind: ErrorKind, cause: impl StdError + Send + Sync + 'static) -> Error {
        Error { kind, message: None, hints: Vec::new(), cause: Some(Box::new(cause)) }
    }

    /// What sort of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What would help, a line each; empty if nothing is known to.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

/// What only the program makes.
#[cfg(feature = "cli")]
impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: Some(message.into()), hints: Vec::new(), cause: None }
    }

    /// The failure of the output.
    pub(crate) fn output(error: io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
            _ => ErrorKind::Output,
        };
        let message = Some("failed to write the output".to_owned());
        Error { kind, message, hints: Vec::new(), cause: Some(Box::new(error)) }
    }

    /// Whether the output failed, so that there is no point in going on.
    pub(crate) fn is_output(&self) -> bool {
        matches!(self.kind, ErrorKind::Output | ErrorKind::BrokenPipe)
    }

    pub(crate) fn with_hints(self, hints: Vec<String>) -> Error {
        Error { hints, ..self }
    }

    /// The same error with what failed in front of it.
    pub(crate) fn context(self, message: impl Into<String>) -> Error {
        match self.message {
            None => Error { message: Some(message.into()), ..self },
            Some(_) => Error {
                kind: self.kind,
                message: Some(message.into()),
                hints: self.hints.clone(),
                cause: Some(Box::new(self)),
            },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause: Option<&(dyn StdError + 'static)> = self.source();
        match (&self.message, &self.cause) {
            (Some(message), _) => f.write_str(message)?,
            (None, Some(transparent)) => write!(f, "{transparent}")?,
            (None, None) => f.write_str(self.kind.id())?,
        }
        while let Some(error) = cause.filter(|_| f.alternate()) {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let cause = self.cause.as_deref()?;
        // An error without a text of its own shows its cause's, and goes on with that one's cause.
        if self.message.is_some() { Some(cause) } else { cause.source() }
    }
}

impl From<mmview_platform::Error> for Error {
    fn from(error: mmview_platform::Error) -> Error {
        use mmview_platform::ErrorKind as Platform;
        let kind = match error.kind() {
            Platform::NoSuchProcess => ErrorKind::NoSuchProcess,
            Platform::Vanished => ErrorKind::Vanished,
            Platform::Zombie => ErrorKind::Zombie,
            Platform::Replaced => ErrorKind::Replaced,
            Platform::NotPermitted => ErrorKind::NotPermitted,
            Platform::Malformed => ErrorKind::Malformed,
            Platform::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Unreadable,
        };
        Error { kind, message: None, hints: error.hints().to_vec(), cause: Some(Box::new(error)) }
    }
}

/// A failure of reading or calling something.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::from_cause(ErrorKind::Unreadable, error)
    }
}

/// Adds what failed to an error.
#[cfg(feature = "cli")]
pub(crate) trait Context<T> {
    fn context(self, message: impl Into<String>) -> Result<T>;
    fn with_context(self, message: impl FnOnce() -> String) -> Result<T>;
}

#[cfg(feature = "cli")]
impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.into().context(message))
    }

    fn with_context(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().context(message()))
    }
}

/// A thing that is missing is an error by its message alone.
#[cfg(feature = "cli")]
impl<T> Context<T> for Option<T> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.ok_or_else(|| Error::new(ErrorKind::Unreadable, message))
    }

    fn with_context(self, message: impl FnOnce() -> String) -> Result<T> {
        self.ok_or_else(|| Error::new(ErrorKind::Unreadable, message()))
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn causes_are_shown_once_each() {
        let io = || io::Error::new(io::ErrorKind::NotFound, "gone");
        assert_eq!(format!("{:#}", Error::from(io())), "gone");
        assert_eq!(format!("{:#}", Error::from(io()).context("failed to read")), "failed to read: gone");
        let platform = mmview_platform::Error::Io { action: "read", path: "/x".into(), source: io() };
        let error = Error::from(platform);
        assert_eq!(error.to_string(), "failed to read `/x`");
        assert_eq!(format!("{error:#}"), "failed to read `/x`: gone");
        assert_eq!(
            format!("{:#}", error.context("there is no summary")),
            "there is no summary: failed to read `/x`: gone"
        );
    }
}
