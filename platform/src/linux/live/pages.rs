//! Adds the results of page scans to regions, batch by batch, so that a listing streams.

use std::collections::VecDeque;
use std::fs::File;

use rustix::io::Errno;

use super::query;
use super::scan::{self, Scanner, Split};
use crate::model::{AddrRange, Bytes, NameKind, Native, PageSize, Region, SmapsField};

/// The number of regions in one scan. More saves nothing; fewer costs more calls.
const BATCH: usize = 1024;

/// From this much accessible address space on, several threads scan a batch.
const LARGE: Bytes = Bytes(256 << 20);

/// More threads than this would only wait for each other.
const MOST_THREADS: usize = 4;

/// Large ranges are cut at multiples of this, which no huge page crosses.
const CUT: u64 = 1 << 30;

/// What a scan should find for each region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The resident and swapped sizes.
    Counts,
    /// The state of each page. The resident size is already known.
    Pages,
}

/// Adds the results of scans to regions as they are read.
pub(super) struct Resident {
    pub scanner: Scanner,
    wanted: Wanted,
    /// An open `maps`, to query the page size of a region.
    maps: File,
    page_size: PageSize,
    /// Without swap, shared memory can't be swapped out either.
    has_swap: bool,
    ready: VecDeque<Region>,
}

impl Resident {
    pub fn new(
        scanner: Scanner,
        wanted: Wanted,
        maps: File,
        page_size: PageSize,
        has_swap: bool,
    ) -> Resident {
        Resident { scanner, wanted, maps, page_size, has_swap, ready: VecDeque::new() }
    }

    /// The next region. `read` returns regions that are not scanned yet.
    ///
    /// # Errors
    ///
    /// Those of `read`, after the regions that were read before; and `ESRCH` of the scan, as the second variant.
    pub fn next<E>(
        &mut self,
        mut read: impl FnMut() -> Result<Option<Region>, E>,
    ) -> Result<Option<Region>, BatchError<E>> {
        if self.ready.is_empty() {
            let mut batch = Vec::new();
            while batch.len() < BATCH
                && let Some(region) = read().map_err(BatchError::Reading)?
            {
                batch.push(region);
            }
            self.fill_in(&mut batch).map_err(BatchError::Scanning)?;
            self.ready = batch.into();
        }
        Ok(self.ready.pop_front())
    }

    fn fill_in(&mut self, batch: &mut [Region]) -> Result<(), Errno> {
        // The gate page at the top of the address space appears in the listing only. The kernel refuses to scan that far.
        let user = batch.partition_point(|region| region.range.end() < 1 << 63);
        let (user, gates) = batch.split_at_mut(user);
        if let (Some(first), Some(last)) = (user.first(), user.last())
            && let Some(whole) = AddrRange::new(first.range.start(), last.range.end())
        {
            let parts = parts(user, whole);
            let runs = match parts.as_slice() {
                [_] => self.scanner.scan(whole)?,
                _ if self.scanner.reading.budget.is_some() => self.scanner.scan(whole)?,
                parts => self.scanner.scan_in_parallel(parts)?,
            };
            let mut split = Split::new(runs);
            for region in user {
                self.add_counts(region, &mut split);
            }
        }
        for gate in gates {
            self.add_counts(gate, &mut Split::new(Vec::new()));
        }
        Ok(())
    }

    fn add_counts(&self, region: &mut Region, split: &mut Split) {
        if self.wanted == Wanted::Pages {
            region.pages = Some(scan::page_runs(split.take(region.range)));
            return;
        }
        let mut counts = scan::count(split.take(region.range));
        if counts.huge > Bytes::ZERO && self.is_hugetlb(region) {
            counts.resident = Bytes::ZERO;
            counts.anonymous = Bytes::ZERO;
        }
        region.counts.resident = Some(counts.resident);
        region.counts.swapped = (!self.may_hide_swap(region)).then_some(counts.swapped);
        if self.scanner.with_files()
            && let Native::Linux(native) = &mut region.native
        {
            native.smaps.set(SmapsField::Anonymous, counts.anonymous);
        }
    }

    /// Whether a region with huge pages is a hugetlb mapping, whose pages `Rss` does not count. Such regions have names.
    fn is_hugetlb(&self, region: &Region) -> bool {
        region.name.is_some()
            && query::page_size_at(&self.maps, region.range.start())
                .is_some_and(|size| size > self.page_size.bytes())
    }

    /// Whether pages of the region may be swapped out without a trace in the page tables. That applies to shared memory, which
    /// includes tmpfs; both have devices without a number.
    fn may_hide_swap(&self, region: &Region) -> bool {
        let is_without_device = region.native.linux().is_some_and(|native| native.device.major == 0);
        let is_memory =
            |kind| matches!(kind, NameKind::File | NameKind::MemoryObject | NameKind::GivenShared);
        self.has_swap && is_without_device && region.name.as_ref().is_some_and(|name| is_memory(name.kind()))
    }
}

/// Why a batch is missing.
pub(super) enum BatchError<E> {
    /// The regions could not be read.
    Reading(E),
    /// Their pages could not be scanned.
    Scanning(Errno),
}

/// Splits the whole range into parts with about the same amount of accessible address space; a small one stays whole.
fn parts(regions: &[Region], whole: AddrRange) -> Vec<AddrRange> {
    let accessible = |region: &&Region| !region.protection.is_none();
    let total: Bytes = regions.iter().filter(accessible).map(Region::size).sum();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS) as u64;
    if total < LARGE || threads < 2 {
        return vec![whole];
    }
    let share = (total.0 / threads).max(1);
    let mut cuts = Vec::new();
    let mut seen = 0;
    for region in regions.iter().filter(accessible) {
        let size = region.size().0;
        while (cuts.len() as u64) + 1 < threads && seen + size >= share * (cuts.len() as u64 + 1) {
            let into = share * (cuts.len() as u64 + 1) - seen;
            let unit = if size >= 2 * CUT { CUT } else { 2 << 20 };
            cuts.push((region.range.start() + into) / unit * unit);
        }
        seen += size;
    }
    let mut parts = Vec::new();
    let mut start = whole.start();
    for cut in cuts.into_iter().chain([whole.end()]) {
        if let Some(part) = AddrRange::new(start, cut.clamp(start, whole.end()))
            && !part.is_empty()
        {
            start = part.end();
            parts.push(part);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::maps::MapsLine;

    fn region(line: &str) -> Region {
        MapsLine::parse(line.as_bytes()).unwrap().into_region(None)
    }

    fn parts_of(lines: &[&str]) -> Vec<AddrRange> {
        let regions: Vec<_> = lines.iter().map(|line| region(line)).collect();
        let whole = AddrRange::new(regions[0].range.start(), regions.last().unwrap().range.end()).unwrap();
        parts(&regions, whole)
    }

    #[test]
    fn a_small_range_is_scanned_in_one_part() {
        assert_eq!(parts_of(&["1000-2000 rw-p 0 00:00 0"]).len(), 1);
        assert_eq!(parts_of(&["100000000-4100000000 ---p 0 00:00 0"]).len(), 1, "nothing can be there");
    }

    #[test]
    fn parts_follow_each_other_and_leave_nothing_out() {
        let parts = parts_of(&["1000-2000 rw-p 0 00:00 0", "7f0000000000-7f0200000000 rw-p 0 00:00 0"]);
        if std::thread::available_parallelism().is_ok_and(|threads| threads.get() > 1) {
            assert!(parts.len() > 1);
        }
        assert_eq!(parts[0].start(), 0x1000);
        assert_eq!(parts.last().unwrap().end(), 0x7f02_0000_0000);
        assert!(parts.windows(2).all(|pair| pair[0].end() == pair[1].start()));
    }
}
