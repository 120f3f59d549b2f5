//! Opening processes: the one place that knows which backend this build has.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;
use crate::processes::ProcessEntry;
use crate::source::RegionSource;

#[cfg(target_os = "linux")]
use crate::linux::live as backend;
#[cfg(target_os = "macos")]
use crate::macos::live as backend;

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

/// Opens a live process.
///
/// The process stays the same one for as long as the source lives: should it end and its id be given to another, the source
/// says [`Error::Vanished`](crate::Error::Vanished).
///
/// # Errors
///
/// [`Error::NoSuchProcess`](crate::Error::NoSuchProcess). Whether its map may be read shows only when it is.
pub fn open_process(pid: u32, options: &OpenOptions) -> Result<Box<dyn RegionSource>> {
    backend::open(pid, options)
}

/// Opens this process.
///
/// # Errors
///
/// As [`open_process`].
pub fn open_self(options: &OpenOptions) -> Result<Box<dyn RegionSource>> {
    open_process(std::process::id(), options)
}

/// The processes of this machine by id, without those that end while the list is made.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) where they can't be listed.
pub fn processes(options: &OpenOptions) -> Result<Vec<ProcessEntry>> {
    backend::processes(options)
}
