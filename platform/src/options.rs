//! How to open and read a process.

use std::path::PathBuf;
use std::time::Duration;

/// How to find processes.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Another root than `/proc`: a mounted or a saved one. Linux only; elsewhere it is refused.
    pub procfs: Option<PathBuf>,
    /// Whether [`Detail::Resident`](crate::Detail::Resident) tells anonymous memory from files', at three times its cost.
    /// Linux only; elsewhere that costs nothing and is always told.
    pub tell_anonymous: bool,
    /// The longest that one reading call should hold the lock of the process's map; then reading is done in small steps with
    /// sleeps between, and takes longer. Linux only: on macOS a call looks at one region, and the kernel yields within it.
    pub max_stall: Option<Duration>,
}
