//! The core trait: something that has a memory map.

use std::fmt;
use std::sync::Arc;

use crate::detail::Detail;
use crate::error::Result;
use crate::memory::Memory;
use crate::memory_map::MemoryMap;
use crate::model::{
    Ending, Findings, PrintedSummary, ProcessInfo, ProcessTotals, Reading, Region, SourceInfo,
};
use crate::warning::Warning;

/// The regions of a source, streamed, and their actual level of detail.
pub struct Regions<'a> {
    detail: Detail,
    iter: Box<dyn Iterator<Item = Result<Region>> + 'a>,
}

impl<'a> Regions<'a> {
    /// Wraps regions that have `detail`.
    pub fn new(detail: Detail, iter: impl Iterator<Item = Result<Region>> + 'a) -> Regions<'a> {
        Regions { detail, iter: Box::new(iter) }
    }

    /// The level of detail of each region: the requested one, or the most that the source has.
    pub fn detail(&self) -> Detail {
        self.detail
    }
}

impl fmt::Debug for Regions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regions").field("detail", &self.detail).finish_non_exhaustive()
    }
}

impl Iterator for Regions<'_> {
    type Item = Result<Region>;

    fn next(&mut self) -> Option<Self::Item> {
        self.iter.next()
    }
}

/// Finds the region that holds `address`, and reads no further than that.
// Only macOS and Linux have backends that search this way.
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))]
pub(crate) fn find_at(regions: impl Iterator<Item = Result<Region>>, address: u64) -> Result<Option<Region>> {
    for region in regions {
        let region = region?;
        if region.range.contains(address) {
            return Ok(Some(region));
        }
        if region.range.start() > address {
            break;
        }
    }
    Ok(None)
}

/// Something that has a memory map: a live process or a capture.
///
/// Regions are ordered by start address and never overlap, and every size is in bytes. A source does not merge, classify,
/// sort or print.
pub trait RegionSource: Send {
    /// What is known before the map is read.
    fn info(&self) -> &SourceInfo;

    /// Reads the facts of the process. A source without any returns an empty record; a fact that this user may not see is
    /// `None`.
    ///
    /// # Errors
    ///
    /// [`Error::Vanished`](crate::Error::Vanished) if the process has exited.
    fn process(&mut self) -> Result<ProcessInfo>;

    /// Reads only the ID, name, command line and state of the process. Costs less than [`RegionSource::process`], because it
    /// reads no threads, images or totals.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::process`].
    fn identity(&mut self) -> Result<ProcessInfo> {
        self.process()
    }

    /// Reads the totals that the kernel keeps. Costs one small file or call, and does not read the map.
    ///
    /// # Errors
    ///
    /// [`Error::Vanished`](crate::Error::Vanished) if the process has exited.
    fn totals(&mut self) -> Result<ProcessTotals> {
        Ok(self.process()?.totals)
    }

    /// Reads the map. `detail` is a ceiling: a source may have less. [`Regions::detail`] is the actual level, and a warning
    /// explains why it is lower than it should be.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`](crate::Error::NotPermitted) if this user may not read the map. Each region may fail too; the
    /// first failure is the last item.
    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>>;

    /// The region that holds `address`. Costs one look-up if the system supports that.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::regions`].
    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>>;

    /// The target's memory; `None` if the source has none.
    ///
    /// It is independent of this source: use it while regions stream, and from other threads. Files are opened on first use,
    /// so a refusal shows then. After [`Error::Replaced`](crate::Error::Replaced), call this again to get the memory of the
    /// new program.
    fn memory(&self) -> Option<Arc<dyn Memory>> {
        None
    }

    /// How the process ended, after its map is gone. Waits up to a second for an exit that has begun.
    ///
    /// `None` if the system reports it to the parent only: before Linux 6.15 others see it only until the parent has waited for the
    /// process, and on macOS never.
    fn ending(&mut self) -> Option<Ending> {
        None
    }

    /// How the map was last read; `None` if that was not recorded.
    fn reading(&self) -> Option<Reading> {
        None
    }

    /// The summary that a saved vmmap report contains; `None` for every other source.
    fn printed(&self) -> Option<&PrintedSummary> {
        None
    }

    /// What the target's memory has shown, as an archive records it; `None` for every other source.
    fn findings(&self) -> Option<&Findings> {
        None
    }

    /// Takes the warnings about what was read since the last call.
    fn take_warnings(&mut self) -> Vec<Warning>;

    /// Reads everything once: the process, then its map.
    ///
    /// # Errors
    ///
    /// The first error of reading the map. After [`Error::Replaced`](crate::Error::Replaced), which means that the process
    /// has started another program, read again.
    fn read(&mut self, detail: Detail) -> Result<MemoryMap> {
        let process = self.process()?;
        let taken = self.info().time();
        let regions = self.regions(detail)?;
        let detail = regions.detail();
        let regions = regions.collect::<Result<Vec<_>>>()?;
        let mut map = MemoryMap::new(self.info().clone(), process, detail, regions);
        map.taken = taken;
        map.printed = self.printed().cloned();
        map.findings = self.findings().cloned().unwrap_or_default();
        map.warnings = self.take_warnings();
        Ok(map)
    }
}
