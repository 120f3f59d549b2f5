//! Opens processes: the one place that knows the backend of this build.

use crate::error::Result;
use crate::model::ProcessEntry;
use crate::options::OpenOptions;
use crate::source::RegionSource;

#[cfg(target_os = "linux")]
use crate::linux::live as backend;
#[cfg(target_os = "macos")]
use crate::macos::live as backend;

/// A host without a backend opens captures but no live processes.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod backend {
    use crate::error::{Error, Result};
    use crate::model::ProcessEntry;
    use crate::options::OpenOptions;
    use crate::source::RegionSource;

    const PLACE: &str = "on this system: open a saved map instead";

    pub(super) fn open(_: u32, _: &OpenOptions) -> Result<Box<dyn RegionSource>> {
        Err(Error::Unsupported { what: "reading a live process", place: PLACE })
    }

    pub(super) fn processes(_: &OpenOptions) -> Result<Vec<ProcessEntry>> {
        Err(Error::Unsupported { what: "listing processes", place: PLACE })
    }
}

/// Opens a live process.
///
/// The source refers to this process as long as it lives. If the process exits and the kernel gives its ID to another one,
/// the source returns [`Error::Vanished`](crate::Error::Vanished).
///
/// # Errors
///
/// [`Error::NoSuchProcess`](crate::Error::NoSuchProcess). A missing permission shows only when the map is read.
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

/// Lists the processes of this machine by ID. Processes that exit in the meantime are left out.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) if they can't be listed.
pub fn processes(options: &OpenOptions) -> Result<Vec<ProcessEntry>> {
    backend::processes(options)
}
