//! How to open and read a process.

use std::path::PathBuf;
use std::time::Duration;

/// Options for opening a process.
///
/// ```
/// # use mmview_platform::OpenOptions;
/// let gentle = OpenOptions::new().max_stall(std::time::Duration::from_millis(1));
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// See [`OpenOptions::procfs`](method@OpenOptions::procfs).
    pub procfs: Option<PathBuf>,
    /// See [`OpenOptions::with_anonymous`](method@OpenOptions::with_anonymous).
    pub with_anonymous: bool,
    /// See [`OpenOptions::max_stall`](method@OpenOptions::max_stall).
    pub max_stall: Option<Duration>,
    /// See [`OpenOptions::part`](method@OpenOptions::part).
    pub part: Option<usize>,
}

impl OpenOptions {
    /// The default options.
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// Reads processes from another root than `/proc`, which may be mounted or saved. Linux only; macOS has no `/proc` and
    /// refuses it.
    #[must_use]
    pub fn procfs(mut self, root: impl Into<Option<PathBuf>>) -> OpenOptions {
        self.procfs = root.into();
        self
    }

    /// Chooses one of several memory maps in a text, by its number from 1. Without it, the one with the most facts is opened, with a
    /// warning.
    #[must_use]
    pub fn part(mut self, part: impl Into<Option<usize>>) -> OpenOptions {
        self.part = part.into();
        self
    }

    /// Makes [`Detail::Resident`](crate::Detail::Resident) distinguish anonymous memory from the memory of files. On Linux
    /// that triples its cost; on macOS it is free and always done.
    #[must_use]
    pub fn with_anonymous(mut self, with_anonymous: bool) -> OpenOptions {
        self.with_anonymous = with_anonymous;
        self
    }

    /// Limits the time for which one system call should hold the lock of the process's map. Reading then takes small steps
    /// with sleeps between them, and takes longer. Linux only: on macOS each call reads one region.
    #[must_use]
    pub fn max_stall(mut self, time: impl Into<Option<Duration>>) -> OpenOptions {
        self.max_stall = time.into();
        self
    }
}
