//! Reading one snapshot.

use std::path::Path;

use mmview_platform::{Detail, OpenOptions, RegionSource, open_file, open_process, open_self};

use super::retry;
use crate::error::Result;
use crate::owners::Wanted;
use crate::snapshot::Snapshot;

impl Snapshot {
    /// Reads the map of this process, in full detail. On Linux this walks the page tables twice, which costs about 40 ns for
    /// each resident page.
    ///
    /// # Errors
    ///
    /// The map can't be read.
    pub fn of_self() -> Result<Snapshot> {
        Snapshot::read(open_self(&OpenOptions::default())?.as_mut(), Detail::Pages)
    }

    /// Reads the map of a process on this machine.
    ///
    /// # Errors
    ///
    /// The process doesn't exist, or this user may not inspect it.
    pub fn of_process(pid: u32, detail: Detail) -> Result<Snapshot> {
        Snapshot::read(open_process(pid, &OpenOptions::default())?.as_mut(), detail)
    }

    /// Reads a capture: a saved `maps` or `smaps`, a report of vmmap, or an archive.
    ///
    /// # Errors
    ///
    /// The file can't be read, or is not a capture.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Snapshot> {
        Snapshot::read(open_file(path.as_ref(), &OpenOptions::new())?.as_mut(), Detail::Pages)
    }

    /// Reads the map of any source. A process that starts another program meanwhile is read again.
    ///
    /// # Errors
    ///
    /// The map can't be read.
    pub fn read(source: &mut dyn RegionSource, detail: Detail) -> Result<Snapshot> {
        Ok(retry::map(source, detail, Wanted::default())?.into())
    }
}
