//! The core trait: something that has a memory map.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::detail::Detail;
use crate::error::Result;
use crate::memory::Memory;
use crate::memory_map::MemoryMap;
use crate::model::{Ending, PrintedSummary, ProcessInfo, ProcessTotals, Reading, Region, SourceInfo};
use crate::warning::Warning;

/// The regions of a source as they are read, with the detail that they really have.
pub struct Regions<'a> {
    detail: Detail,
    iter: Box<dyn Iterator<Item = Result<Region>> + 'a>,
}

impl<'a> Regions<'a> {
    /// Regions that have `detail`.
    pub fn new(detail: Detail, iter: impl Iterator<Item = Result<Region>> + 'a) -> Regions<'a> {
        Regions { detail, iter: Box::new(iter) }
    }

    /// How much is read of each region: what was asked for, or the most that the source has.
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

/// How many regions [`RegionSource::around`] gives before and after the one that it is about.
pub(crate) const AROUND_BEFORE: usize = 16;
pub(crate) const AROUND_AFTER: usize = 8;

/// Of `regions`, the one that holds `address`; read no further than up to there.
// macOS and Linux have backends that look for one so; elsewhere nothing does.
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

/// Of `regions`, those around `address`.
pub(crate) fn collect_around(
    regions: impl Iterator<Item = Result<Region>>,
    address: u64,
) -> Result<Vec<Region>> {
    let mut around = VecDeque::new();
    let mut after = 0;
    for region in regions {
        let region = region?;
        if region.range.end() > address {
            after += 1;
        }
        around.push_back(region);
        if after > AROUND_AFTER {
            break;
        }
        // One more than before the region at the address, which is not known to be it yet.
        if around.len() > AROUND_BEFORE + 1 + after {
            around.pop_front();
        }
    }
    Ok(around.into())
}

/// Something that has a memory map: a live process, a saved map.
///
/// Regions come ordered by start address, never overlapping, every size in bytes. A source does not merge, classify, sort
/// or print.
pub trait RegionSource: Send {
    /// What is known before anything is read.
    fn info(&self) -> &SourceInfo;

    /// The facts of the process. A source that has none gives an empty record; what this user may not know is `None`.
    ///
    /// # Errors
    ///
    /// [`Error::Vanished`] where the process has ended.
    fn process(&mut self) -> Result<ProcessInfo>;

    /// The id, name, command line and state of the process, and nothing that costs more: no threads, no images, no totals.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::process`].
    fn identity(&mut self) -> Result<ProcessInfo> {
        self.process()
    }

    /// The totals that the kernel keeps: what is resident costs one small file or call, and nothing of the map is read.
    ///
    /// # Errors
    ///
    /// [`Error::Vanished`] where the process has ended.
    fn totals(&mut self) -> Result<ProcessTotals> {
        Ok(self.process()?.totals)
    }

    /// Reads the map anew. `detail` is a ceiling: a source that has less gives less, says so in [`Regions::detail`], and
    /// warns where it should have had more.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] where this user may not look. Each region may fail too; the first failure is the last item.
    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>>;

    /// The region that holds `address`, at the cost of one look-up where the system can do that.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::regions`].
    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>>;

    /// The region that holds `address`, or the first after it, with some before and after it, in order and with
    /// [`Detail::Layout`]: enough to explain it by its neighbours. Costs some dozens of look-ups where the system can do
    /// that, else reading up to there.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::regions`].
    fn around(&mut self, address: u64) -> Result<Vec<Region>> {
        collect_around(self.regions(Detail::Layout)?, address)
    }

    /// The target's memory; `None` if the source has none. It is independent of this source: it can be used while regions
    /// stream, and by other threads. Files are opened on first use, so a refusal shows then.
    ///
    /// After [`Error::Replaced`](crate::Error::Replaced), ask again for the memory of the new program.
    fn memory(&self) -> Option<Arc<dyn Memory>> {
        None
    }

    /// How the process ended, once its map is gone; an end that has begun is waited for, a second at most. `None` where the system
    /// doesn't tell whoever is not its parent: before Linux 6.15 it does so only until the parent has waited for it, and on macOS
    /// never.
    fn ending(&mut self) -> Option<Ending> {
        None
    }

    /// How the map was read last; `None` where nothing is to be told of it.
    fn reading(&self) -> Option<Reading> {
        None
    }

    /// What a saved report says in its own summary; `None` for whatever is no such report.
    fn printed(&self) -> Option<&PrintedSummary> {
        None
    }

    /// The doubts about what was read since the last call.
    fn take_warnings(&mut self) -> Vec<Warning>;

    /// Reads everything once: the process, then its map.
    ///
    /// # Errors
    ///
    /// The first error of reading the map. [`Error::Replaced`](crate::Error::Replaced) if the process starts another program
    /// meanwhile: read again.
    fn read(&mut self, detail: Detail) -> Result<MemoryMap> {
        let process = self.process()?;
        let taken = self.info().time();
        let regions = self.regions(detail)?;
        let detail = regions.detail();
        let regions = regions.collect::<Result<Vec<_>>>()?;
        Ok(MemoryMap {
            source: self.info().clone(),
            process,
            taken,
            detail,
            regions,
            printed: self.printed().cloned(),
            warnings: self.take_warnings(),
        })
    }
}
