//! How a map was read.

use std::time::Duration;

/// How a map was read, and what that cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// The method, such as `smaps` or `PAGEMAP_SCAN`.
    pub method: &'static str,
    /// The number of system calls.
    pub calls: u64,
    /// The duration of the longest call, which limits how long the lock of the process's map was held.
    pub longest: Duration,
    /// The duration of all calls together.
    pub busy: Duration,
    /// The duration of all pauses between calls, which let the process run.
    pub slept: Duration,
    /// The maximum duration of a call, if one was requested.
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
