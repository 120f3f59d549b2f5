//! How much of a region is in memory.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::Bytes;

/// The sizes of a region's pages that both systems report. `None` means *not measured*, `Some(Bytes(0))` means *measured:
/// none*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PageCounts {
    /// In physical memory and mapped by this process.
    ///
    /// Linux: `Rss` of smaps, without hugetlb pages and the zero page. macOS: `pages_resident`, which counts pages in memory
    /// whichever process brought them in, so a page of a file or of the shared cache counts even if this process never
    /// touched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<Bytes>,
    /// Resident and modified since it was read from its file, or anonymous, so it can't just be dropped.
    ///
    /// Linux: `Shared_Dirty` + `Private_Dirty` of smaps. macOS: `pages_dirtied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<Bytes>,
    /// Written to swap, or compressed.
    ///
    /// Linux: `Swap` of smaps, which for shared memory counts the whole object's swapped pages in the range. macOS:
    /// `pages_swapped_out`, in the compressor or on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped: Option<Bytes>,
    /// Resident, each page divided by the number of processes that map it (PSS). Linux only: `Pss` of smaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proportional: Option<Bytes>,
    /// Resident and mapped by no other process (USS). Linux only: `Private_Clean` + `Private_Dirty` of smaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<Bytes>,
}

impl PageCounts {
    /// Nothing was measured.
    pub const UNMEASURED: PageCounts =
        PageCounts { resident: None, dirty: None, swapped: None, proportional: None, unique: None };

    /// Everything was measured, and there is nothing. A sum starts with this.
    pub const ZERO: PageCounts = PageCounts {
        resident: Some(Bytes::ZERO),
        dirty: Some(Bytes::ZERO),
        swapped: Some(Bytes::ZERO),
        proportional: Some(Bytes::ZERO),
        unique: Some(Bytes::ZERO),
    };
}

/// If a size was not measured in one of them, it is unknown in the sum.
impl AddAssign for PageCounts {
    fn add_assign(&mut self, other: PageCounts) {
        let add = |sum: &mut Option<Bytes>, size: Option<Bytes>| {
            *sum = sum.zip(size).map(|(sum, size)| sum + size);
        };
        add(&mut self.resident, other.resident);
        add(&mut self.dirty, other.dirty);
        add(&mut self.swapped, other.swapped);
        add(&mut self.proportional, other.proportional);
        add(&mut self.unique, other.unique);
    }
}
