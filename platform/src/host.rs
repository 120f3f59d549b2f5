//! Opening processes: the one place that knows which backend this build has.

use crate::error::Result;
use crate::model::ProcessEntry;
use crate::options::OpenOptions;
use crate::source::RegionSource;

#[cfg(target_os = "linux")]
use crate::linux::live as backend;
#[cfg(target_os = "macos")]
use crate::macos::live as backend;

/// A host without a backend: captures open, live processes do not.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod backend {
    use crate::error::{Error, Result};
    use crate::model::ProcessEntry;
    use crate::options::OpenOptions;
    use crate::source::RegionSource;

    const PLACE: &str = "on this system; open a saved map instead";

    pub(super) fn open(_: u32, _: &OpenOptions) -> Result<Box<dyn RegionSource>> {
        Err(Error::Unsupported { what: "reading a live process", place: PLACE })
    }

    pub(super) fn processes(_: &OpenOptions) -> Result<Vec<ProcessEntry>> {
        Err(Error::Unsupported { what: "listing processes", place: PLACE })
    }
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
