//! A map that was read as a whole, as a source.

use crate::detail::Detail;
use crate::error::Result;
use crate::memory_map::MemoryMap;
use crate::model::{Findings, Native, PageCounts, PrintedSummary, ProcessInfo, Region, SourceInfo};
use crate::source::{RegionSource, Regions};
use crate::warning::Warning;

/// Serves the regions of a map.
pub(super) struct Saved(pub MemoryMap);

impl RegionSource for Saved {
    fn info(&self) -> &SourceInfo {
        &self.0.source
    }

    fn process(&mut self) -> Result<ProcessInfo> {
        Ok(self.0.process.clone())
    }

    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>> {
        let detail = detail.min(self.0.source.capabilities.detail);
        Ok(Regions::new(detail, self.0.regions.iter().map(move |region| Ok(limited(region, detail)))))
    }

    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>> {
        Ok(self.0.region_at(address).map(|region| limited(region, detail)))
    }

    fn printed(&self) -> Option<&PrintedSummary> {
        self.0.printed.as_ref()
    }

    fn findings(&self) -> Option<&Findings> {
        Some(&self.0.findings)
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.0.warnings.clone()
    }
}

/// The region with no more than `detail`.
fn limited(region: &Region, detail: Detail) -> Region {
    let mut region = region.clone();
    if detail < Detail::Pages {
        region.pages = None;
    }
    match &mut region.native {
        _ if detail >= Detail::Counts => {}
        Native::Linux(native) if detail == Detail::Layout => {
            region.counts = PageCounts::UNMEASURED;
            region.max_protection = None;
            native.smaps = Default::default();
            native.vm_flags = None;
            native.thp_eligible = None;
            native.protection_key = None;
            native.numa = None;
            native.unknown = Default::default();
        }
        Native::Linux(_) => {}
        Native::Macos(native) if detail == Detail::Layout => {
            region.counts = PageCounts::UNMEASURED;
            native.clear_counts();
        }
        Native::Macos(_) => region.counts.dirty = None,
        Native::Windows(_) => {}
    }
    region
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(text: &str) -> Saved {
        Saved(crate::capture::text::tests::map(text))
    }

    #[test]
    fn detail_is_a_ceiling() {
        let mut smaps = saved("1000-2000 r--p 0 00:00 0\nRss: 4 kB\nVmFlags: rd\n");
        assert_eq!(smaps.regions(Detail::Pages).unwrap().detail(), Detail::Counts);
        let layout: Vec<_> = smaps.regions(Detail::Layout).unwrap().map(Result::unwrap).collect();
        assert_eq!(layout[0].counts, PageCounts::UNMEASURED);
        let mut maps = saved("1000-2000 r--p 0 00:00 0\n");
        assert_eq!(maps.regions(Detail::Counts).unwrap().detail(), Detail::Layout);
    }

    #[test]
    fn region_at_looks_inside_ranges_only() {
        let mut capture = saved("1000-2000 r--p 0 00:00 0\n3000-4000 r--p 0 00:00 0\n");
        let mut start =
            |address| capture.region_at(address, Detail::Layout).unwrap().map(|region| region.range.start());
        assert_eq!(start(0x1fff), Some(0x1000));
        assert_eq!(start(0x2000), None);
        assert_eq!(start(0x3000), Some(0x3000));
        assert_eq!(start(0x4000), None);
    }
}
