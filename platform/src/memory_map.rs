//! A whole map at one time.

use std::time::SystemTime;

use crate::detail::Detail;
use crate::model::{PrintedSummary, ProcessInfo, Region, SourceInfo, region_at};
use crate::warning::Warning;

/// Everything that a source said at one time. Facts only: kinds and totals are computed from it, never stored in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemoryMap {
    /// Where it comes from.
    pub source: SourceInfo,
    /// The process.
    pub process: ProcessInfo,
    /// When the map was read; `None` for a capture that doesn't say.
    pub taken: Option<SystemTime>,
    /// How much was read of each region.
    pub detail: Detail,
    /// The regions by address, none overlapping another.
    pub regions: Vec<Region>,
    /// What a saved report says in its own summary: all there is where it lists no regions.
    pub printed: Option<PrintedSummary>,
    /// What is doubtful or missing.
    pub warnings: Vec<Warning>,
}

impl MemoryMap {
    /// A map of `regions`, which are ordered by address and do not overlap. Its time and all else is unknown.
    pub fn new(source: SourceInfo, process: ProcessInfo, detail: Detail, regions: Vec<Region>) -> MemoryMap {
        MemoryMap { source, process, taken: None, detail, regions, printed: None, warnings: Vec::new() }
    }

    /// The region that holds `address`. Costs a binary search.
    pub fn region_at(&self, address: u64) -> Option<&Region> {
        region_at(&self.regions, address)
    }
}
