//! By how much sizes changed.

use mmview_platform::{Bytes, PageCounts, Region};

use crate::region::Classified;

/// The sums over some regions. A size is `None` unless it was measured for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub regions: u64,
    pub virtual_size: Bytes,
    pub counts: PageCounts,
}

impl Sizes {
    pub const NONE: Sizes = Sizes { regions: 0, virtual_size: Bytes::ZERO, counts: PageCounts::ZERO };

    pub fn add(&mut self, region: &Region) {
        self.regions += 1;
        self.virtual_size += region.size();
        self.counts += region.counts;
    }
}

fn sizes(regions: &[Classified]) -> Sizes {
    let mut sizes = Sizes::NONE;
    regions.iter().for_each(|region| sizes.add(region.facts()));
    sizes
}

/// By how much sizes changed, in bytes; `None` if one of the two was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Delta {
    /// The number of regions.
    pub regions: i64,
    /// Address space.
    #[serde(rename = "virtual")]
    pub virtual_size: i64,
    /// Resident.
    pub resident: Option<i64>,
    /// Resident and modified.
    pub dirty: Option<i64>,
    /// Swapped out or compressed.
    pub swapped: Option<i64>,
}

impl Delta {
    pub(super) fn between_regions(before: &[Classified], after: &[Classified]) -> Delta {
        Delta::between(sizes(before), sizes(after))
    }

    pub(super) fn between(before: Sizes, after: Sizes) -> Delta {
        let measured = |before: Option<Bytes>, after: Option<Bytes>| Some(change(before?.0, after?.0));
        Delta {
            regions: change(before.regions, after.regions),
            virtual_size: change(before.virtual_size.0, after.virtual_size.0),
            resident: measured(before.counts.resident, after.counts.resident),
            dirty: measured(before.counts.dirty, after.counts.dirty),
            swapped: measured(before.counts.swapped, after.counts.swapped),
        }
    }

    /// Whether nothing changed that was measured in both.
    pub fn is_zero(&self) -> bool {
        let none = |size: Option<i64>| size.unwrap_or(0) == 0;
        self.regions == 0
            && self.virtual_size == 0
            && none(self.resident)
            && none(self.dirty)
            && none(self.swapped)
    }

    /// The sort key of a list with the largest change first: resident and swapped memory, then dirty memory, then address
    /// space.
    pub(super) fn weight(&self) -> (u64, u64, u64) {
        let size = |size: Option<i64>| size.map_or(0, i64::unsigned_abs);
        (
            size(self.resident).saturating_add(size(self.swapped)),
            size(self.dirty),
            self.virtual_size.unsigned_abs(),
        )
    }
}

/// The signed difference, saturating.
pub(super) fn change(before: u64, after: u64) -> i64 {
    i64::try_from(i128::from(after) - i128::from(before)).unwrap_or(if after > before {
        i64::MAX
    } else {
        i64::MIN
    })
}
