//! Orders regions by address and removes overlaps.
//!
//! The kernel's documentation promises that addresses never go back and no two regions overlap
//! (`Documentation/filesystems/proc.rst`). In fact they do: since 6.17 `maps` drops its lock between lines, and a region that
//! has just merged with its neighbor is listed again from its old, lower start. `smaps` does the same between two reads. On
//! macOS each region is queried by itself, so one that has just grown downwards is reported with an address that was already
//! listed.

use crate::model::{AddrRange, Native, PageCounts, Region, SmapsCounters};
use crate::warning::Warning;

/// Clips regions that overlap the ones before them.
#[derive(Debug, Default)]
pub(crate) struct Order {
    end: u64,
    torn: u64,
    first: Option<AddrRange>,
}

impl Order {
    /// The part of `region` that no earlier region covers, or `None` if nothing is left.
    ///
    /// A clipped region has no counts, because how much of its rest is resident is unknown.
    pub fn clip(&mut self, mut region: Region) -> Option<Region> {
        let range = region.range;
        if range.start() >= self.end {
            self.end = range.end();
            return Some(region);
        }
        self.torn += 1;
        self.first.get_or_insert(range);
        let rest = range.from_address(self.end)?;
        region.offset = region.offset.wrapping_add(rest.start() - range.start());
        region.range = rest;
        region.counts = PageCounts::UNMEASURED;
        region.pages = None;
        match &mut region.native {
            Native::Linux(native) => native.smaps = SmapsCounters::default(),
            Native::Macos(native) => native.clear_counts(),
            Native::Windows(_) => {}
        }
        self.end = rest.end();
        Some(region)
    }

    /// A warning, if anything was clipped.
    pub fn warning(&self) -> Option<Warning> {
        Some(Warning::Torn { regions: self.torn, first: self.first? })
    }
}

/// Sorts the regions of a capture and clips overlaps. The warnings report what was necessary.
pub(crate) fn in_order(mut regions: Vec<Region>) -> (Vec<Region>, Vec<Warning>) {
    let mut warnings = Vec::new();
    let backward = regions.windows(2).filter(|pair| pair[1].range.start() < pair[0].range.start()).count();
    if backward > 0 {
        regions.sort_by_key(|region| region.range.start());
        warnings.push(Warning::Unsorted { regions: backward as u64 });
    }
    let mut order = Order::default();
    let regions = regions.into_iter().filter_map(|region| order.clip(region)).collect();
    warnings.extend(order.warning());
    (regions, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::maps::MapsLine;
    use crate::model::Bytes;

    fn region(line: &str) -> Region {
        let mut region = MapsLine::parse(line.as_bytes()).unwrap().into_region(None);
        region.counts.resident = Some(Bytes(4096));
        region
    }

    fn ranges(regions: &[Region]) -> Vec<String> {
        regions.iter().map(|region| region.range.to_string()).collect()
    }

    #[test]
    fn a_region_listed_again_from_its_lower_start_is_clipped() {
        let (regions, warnings) =
            in_order(vec![region("1000-3000 r--p 0 00:00 0"), region("2000-6000 rw-p 5000 08:01 7")]);
        assert_eq!(ranges(&regions), ["1000-3000", "3000-6000"]);
        assert_eq!(regions[1].offset, 0x6000);
        assert_eq!(regions[1].counts, PageCounts::UNMEASURED);
        assert_eq!(regions[0].counts.resident, Some(Bytes(4096)));
        let first = AddrRange::new(0x2000, 0x6000).unwrap();
        assert_eq!(warnings, [Warning::Torn { regions: 1, first }]);
    }

    #[test]
    fn a_region_wholly_listed_before_is_left_out() {
        let mut order = Order::default();
        assert!(order.clip(region("1000-5000 r--p 0 00:00 0")).is_some());
        assert!(order.clip(region("2000-3000 r--p 0 00:00 0")).is_none());
        assert!(order.clip(region("5000-6000 r--p 0 00:00 0")).is_some());
        assert!(order.warning().is_some());
    }

    #[test]
    fn an_unsorted_capture_loses_nothing() {
        let (regions, warnings) = in_order(vec![
            region("3000-4000 r--p 0 00:00 0"),
            region("1000-2000 r--p 0 00:00 0"),
            region("4000-5000 r--p 0 00:00 0"),
        ]);
        assert_eq!(ranges(&regions), ["1000-2000", "3000-4000", "4000-5000"]);
        assert_eq!(warnings, [Warning::Unsorted { regions: 1 }]);
    }

    #[test]
    fn regions_that_touch_are_in_order() {
        let (regions, warnings) = in_order(vec![
            region("1000-2000 r--p 0 00:00 0"),
            region("2000-2000 r--p 0 00:00 0"),
            region("2000-3000 r--p 0 00:00 0"),
        ]);
        assert_eq!(regions.len(), 3);
        assert!(warnings.is_empty());
    }
}
