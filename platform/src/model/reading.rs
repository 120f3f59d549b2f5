//! How a map was read.

use std::time::Duration;

/// How a map was read, and what that asked of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// By which means, such as `smaps` or `PAGEMAP_SCAN`.
    pub method: &'static str,
    /// By how many system calls.
    pub calls: u64,
    /// The longest of them: the longest that the lock of the process's map can have been held at a time.
    pub longest: Duration,
    /// All of them together.
    pub busy: Duration,
    /// How long was waited between them, so that the process has its turn.
    pub slept: Duration,
    /// The longest that one of them should take, where that was asked for.
    pub budget: Option<Duration>,
}

#[cfg(target_os = "linux")]
impl Reading {
    pub(crate) fn new(method: &'static str) -> Reading {
        let none = Duration::ZERO;
        Reading { method, calls: 0, longest: none, busy: none, slept: none, budget: None }
    }

    pub(crate) fn add(&mut self, took: Duration) {
        self.busy += took;
        self.longest = self.longest.max(took);
    }
}
