//! A whole map at one point in time.

use std::time::SystemTime;

use crate::detail::Detail;
use crate::model::{Findings, PrintedSummary, ProcessInfo, Region, SourceInfo, region_at};
use crate::warning::Warning;

/// Everything that a source reported at one point in time. It contains facts only; kinds and totals are computed from it and
/// never stored in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemoryMap {
    /// The source.
    pub source: SourceInfo,
    /// The process.
    pub process: ProcessInfo,
    /// When the map was read; `None` for a capture that does not say.
    pub taken: Option<SystemTime>,
    /// The level of detail of each region.
    pub detail: Detail,
    /// The regions, ordered by address, none overlapping another.
    pub regions: Vec<Region>,
    /// What the target's memory shows. Empty if it was not read.
    pub findings: Findings,
    /// The summary of a saved vmmap report. If the report lists no regions, that is all there is.
    pub printed: Option<PrintedSummary>,
    /// What is doubtful or missing.
    pub warnings: Vec<Warning>,
}

impl MemoryMap {
    /// A map of `regions`, which must be ordered by address and must not overlap. Its time is unknown, and it has no
    /// warnings.
    pub fn new(source: SourceInfo, process: ProcessInfo, detail: Detail, regions: Vec<Region>) -> MemoryMap {
        MemoryMap {
            source,
            process,
            taken: None,
            detail,
            regions,
            findings: Findings::default(),
            printed: None,
            warnings: Vec::new(),
        }
    }

    /// The region that holds `address`. Costs a binary search.
    pub fn region_at(&self, address: u64) -> Option<&Region> {
        region_at(&self.regions, address)
    }
}
