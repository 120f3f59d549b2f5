//! Finds the image and the segment that cover an address, and cuts regions where segments end.
//!
//! Outside the shared cache the kernel's regions end where segments end. Inside it, thousands of segments of hundreds of
//! images lie in a handful of regions. vmmap cuts those at segment bounds, to the byte, and so does this.

use super::images::LoadedImage;
use crate::model::{AddrRange, Bytes, Name, NameKind, Native, PageRun, PageSize, PageState, Region, join};

/// The detail that vmmap prints for the one `__LINKEDIT` that all images of the shared cache have in common.
const COMBINED_LINKEDIT: &[u8] = b"dyld shared cache combined __LINKEDIT";

/// A range that belongs to a segment.
#[derive(Clone, Debug)]
struct Covered {
    range: AddrRange,
    segment: Box<str>,
    /// `None` if the path of the image could not be read.
    image: Option<Name>,
}

/// The segments of all images, ordered by address, none overlapping another.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentMap {
    covered: Vec<Covered>,
    /// From the first to the last segment in the shared cache.
    shared_cache: Option<AddrRange>,
}

/// The state of one page, from `mach_vm_page_range_query` (`VM_PAGE_QUERY_…` of `mach/vm_statistics.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disposition(pub i32);

impl Disposition {
    const PRESENT: i32 = 0x1;
    const DIRTY: i32 = 0x8;
    const PAGED_OUT: i32 = 0x10;
    const COPIED: i32 = 0x20;
    const EXTERNAL: i32 = 0x80;

    /// The same by their names in `mach/vm_statistics.h`.
    #[cfg(test)]
    pub const NUMBERS: &[(&str, i32)] = &[
        ("VM_PAGE_QUERY_PAGE_PRESENT", Disposition::PRESENT),
        ("VM_PAGE_QUERY_PAGE_DIRTY", Disposition::DIRTY),
        ("VM_PAGE_QUERY_PAGE_PAGED_OUT", Disposition::PAGED_OUT),
        ("VM_PAGE_QUERY_PAGE_COPIED", Disposition::COPIED),
        ("VM_PAGE_QUERY_PAGE_EXTERNAL", Disposition::EXTERNAL),
    ];

    pub fn is_resident(self) -> bool {
        self.0 & Disposition::PRESENT != 0
    }

    fn is_dirty(self) -> bool {
        self.is_resident() && self.0 & Disposition::DIRTY != 0
    }

    /// Compressed or on disk. A page that is also present counts as resident only, as in the kernel's region counts.
    fn is_swapped(self) -> bool {
        !self.is_resident() && self.0 & Disposition::PAGED_OUT != 0
    }

    fn state(self) -> PageState {
        PageState::default()
            .with_if(PageState::PRESENT, self.is_resident())
            .with_if(PageState::DIRTY, self.is_dirty())
            .with_if(PageState::SWAPPED, self.is_swapped())
            .with_if(PageState::FILE, self.is_resident() && self.0 & Disposition::EXTERNAL != 0)
            .with_if(PageState::COPIED, self.is_resident() && self.0 & Disposition::COPIED != 0)
    }

    /// Whether this process has its own page here.
    fn is_own(self) -> bool {
        self.is_dirty() || self.is_swapped()
    }
}

/// The pages of a region to be cut.
#[derive(Clone, Copy)]
pub(crate) struct PageStates<'a> {
    /// The state of each page of the region, from its first one on.
    pub dispositions: &'a [Disposition],
    /// Their size.
    pub page_size: PageSize,
}

impl PageStates<'_> {
    /// The states in `range`, for a region that starts at `start`.
    pub fn runs(self, start: u64, range: AddrRange) -> Box<[PageRun]> {
        let size = self.page_size.bytes().0;
        let first = range.start().saturating_sub(start) / size;
        let pages = self.dispositions.iter().zip(0u64..).skip(first as usize);
        let runs = pages.map_while(|(page, index)| {
            let from = start.checked_add(index.checked_mul(size)?)?;
            let to = from.saturating_add(size).min(range.end());
            Some(PageRun { range: AddrRange::new(from.max(range.start()), to)?, state: page.state() })
        });
        join(runs)
    }
}

impl SegmentMap {
    /// Collects the segments of `images`. If two overlap, the one that starts first gets the bytes.
    ///
    /// A segment that is loaded by itself gets its last page up to the end. In the shared cache the next one starts at the
    /// next byte.
    pub fn new(images: &[LoadedImage], page_size: PageSize) -> SegmentMap {
        let mut all = Vec::new();
        let mut linkedits = Vec::new();
        let mut shared_cache: Option<AddrRange> = None;
        for loaded in images {
            let path = &loaded.image.path;
            let image = (!path.is_empty()).then(|| Name::file(path.to_vec()));
            for (segment, range) in &loaded.image.segments {
                if loaded.header.is_in_shared_cache {
                    shared_cache = Some(hull(shared_cache.unwrap_or(*range), *range));
                    if &**segment == "__LINKEDIT" {
                        linkedits.push(*range);
                        continue;
                    }
                }
                let range =
                    if loaded.header.is_in_shared_cache { *range } else { whole_pages(*range, page_size) };
                all.push(Covered { range, segment: segment.clone(), image: image.clone() });
            }
        }
        let combined = Name::new(NameKind::Other, COMBINED_LINKEDIT);
        all.extend(union(linkedits).into_iter().map(|range| Covered {
            range,
            segment: "__LINKEDIT".into(),
            image: Some(combined.clone()),
        }));
        SegmentMap { covered: without_overlaps(all), shared_cache }
    }

    /// The segments that overlap `range`.
    fn overlapping(&self, range: AddrRange) -> &[Covered] {
        let first = self.covered.partition_point(|covered| covered.range.end() <= range.start());
        let rest = &self.covered[first..];
        &rest[..rest.partition_point(|covered| covered.range.start() < range.end())]
    }

    /// Whether no segment overlaps `range`.
    pub fn is_clear(&self, range: AddrRange) -> bool {
        self.overlapping(range).is_empty()
    }

    /// Whether a region must be cut: more than one segment covers it, one covers a part of it, or none does and it is unused
    /// shared cache with pages that this process wrote.
    pub fn cuts(&self, region: &Region) -> bool {
        match self.overlapping(region.range) {
            _ if is_submap(region) => false,
            [] => self.is_in_shared_cache(region) && has_own_pages(region),
            [only] => !contains(only.range, region.range),
            _ => true,
        }
    }

    /// The parts of `region`, in order. The counts of the parts come from the states of its pages. Without `pages` a region
    /// with counts stays whole and unnamed, because the distribution of its pages is unknown.
    pub fn cut(&self, region: Region, pages: Option<PageStates<'_>>) -> Vec<Region> {
        let overlapping = self.overlapping(region.range);
        let in_cache = self.is_in_shared_cache(&region);
        if !self.cuts(&region) || (pages.is_none() && region.counts.resident.is_some()) {
            let only = overlapping.first().filter(|only| contains(only.range, region.range));
            return vec![named(region, only, in_cache)];
        }
        let mut parts = Vec::new();
        let mut next = region.range.start();
        let rest = |from: u64, to: u64, parts: &mut Vec<Region>| {
            for range in unused(AddrRange::new(from, to), region.range, pages) {
                parts.push(named(part(&region, range, pages), None, in_cache));
            }
        };
        for covered in overlapping {
            let start = covered.range.start().max(next);
            let end = covered.range.end().min(region.range.end());
            rest(next, start, &mut parts);
            if let Some(range) = AddrRange::new(start, end) {
                parts.push(named(part(&region, range, pages), Some(covered), in_cache));
            }
            next = end;
        }
        rest(next, region.range.end(), &mut parts);
        parts
    }

    /// Whether a region lies in the shared cache, by its tag or by the addresses of the images there. If no image is known,
    /// the used part of the cache is unknown too, and only a whole submap counts.
    fn is_in_shared_cache(&self, region: &Region) -> bool {
        let by_tag = region.native.macos().is_some_and(|native| native.shared_cache);
        let by_place = self.shared_cache.is_some_and(|cache| cache.overlaps(region.range));
        if self.covered.is_empty() { by_tag && is_submap(region) } else { by_tag || by_place }
    }
}

fn is_submap(region: &Region) -> bool {
    region.native.macos().is_some_and(|native| native.submap)
}

/// Whether this process wrote to any of its pages.
fn has_own_pages(region: &Region) -> bool {
    [region.counts.dirty, region.counts.swapped].into_iter().flatten().any(|size| size > Bytes::ZERO)
}

fn contains(outer: AddrRange, inner: AddrRange) -> bool {
    outer.start() <= inner.start() && inner.end() <= outer.end()
}

/// Extends the range to the end of its last page.
fn whole_pages(range: AddrRange, page_size: PageSize) -> AddrRange {
    let end = range.end().checked_next_multiple_of(page_size.bytes().0);
    end.and_then(|end| AddrRange::new(range.start(), end)).unwrap_or(range)
}

fn hull(a: AddrRange, b: AddrRange) -> AddrRange {
    let (start, end) = (a.start().min(b.start()), a.end().max(b.end()));
    AddrRange::new(start, end).expect("the smaller start lies before the larger end")
}

/// Joins ranges that touch or overlap.
fn union(mut ranges: Vec<AddrRange>) -> Vec<AddrRange> {
    ranges.sort_unstable();
    let mut merged: Vec<AddrRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start() <= last.end() => *last = hull(*last, range),
            _ => merged.push(range),
        }
    }
    merged
}

fn without_overlaps(mut all: Vec<Covered>) -> Vec<Covered> {
    all.sort_by_key(|covered| covered.range);
    let mut end = 0;
    all.retain_mut(|covered| {
        let Some(range) = covered.range.from_address(end) else { return false };
        covered.range = range;
        end = range.end();
        true
    });
    all
}

/// Cuts the space between two segments. Pages there that this process wrote count in vmmap (`unused but dirty shlib __DATA`),
/// others do not, so it is cut between the two sorts.
fn unused(range: Option<AddrRange>, whole: AddrRange, pages: Option<PageStates<'_>>) -> Vec<AddrRange> {
    let Some(range) = range.filter(|range| !range.is_empty()) else { return Vec::new() };
    let Some(pages) = pages else { return vec![range] };
    let size = pages.page_size.bytes().0;
    let mut parts = Vec::new();
    let mut start = range.start();
    let mut at = start;
    let mut is_own = None;
    while at < range.end() {
        let index = (at - whole.start()) / size;
        let own = pages.dispositions.get(index as usize).is_some_and(|page| page.is_own());
        if is_own.is_some_and(|before| before != own) {
            parts.extend(AddrRange::new(start, at));
            start = at;
        }
        is_own = Some(own);
        at = (index + 1).saturating_mul(size).saturating_add(whole.start());
    }
    parts.extend(AddrRange::new(start, range.end()));
    parts
}

/// The part of `region` in `range`.
fn part(region: &Region, range: AddrRange, pages: Option<PageStates<'_>>) -> Region {
    let mut part = region.clone();
    part.range = range;
    part.offset = region.offset.wrapping_add(range.start() - region.range.start());
    let Some(pages) = pages else { return part };
    let size = pages.page_size.bytes().0;
    let first = (range.start() - region.range.start()) / size;
    let mut sums = [Bytes::ZERO; 3];
    let mut page_start = region.range.start() + first * size;
    for page in pages.dispositions.iter().skip(first as usize) {
        if page_start >= range.end() {
            break;
        }
        let page_end = page_start.saturating_add(size);
        let bytes = Bytes(page_end.min(range.end()) - page_start.max(range.start()));
        for (sum, is_it) in sums.iter_mut().zip([page.is_resident(), page.is_dirty(), page.is_swapped()]) {
            if is_it {
                *sum += bytes;
            }
        }
        page_start = page_end;
    }
    part.counts.resident = Some(sums[0]);
    part.counts.dirty = Some(sums[1]);
    part.counts.swapped = Some(sums[2]);
    if let Native::Macos(native) = &mut part.native {
        // Counted for the whole region, and unknown for single pages.
        native.reusable = None;
        native.wired = None;
        native.shared_now_private = None;
        native.set_purge(native.purge, part.counts.resident, part.range.size());
    }
    part
}

fn named(mut region: Region, covered: Option<&Covered>, in_cache: bool) -> Region {
    if let Some(covered) = covered {
        region.name = covered.image.clone();
    }
    if let Native::Macos(native) = &mut region.native {
        native.segment = covered.map(|covered| covered.segment.clone());
        native.shared_cache = in_cache;
    }
    region
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decode::{RawPages, RawRegion};
    use super::super::macho::MachHeader;
    use super::*;
    use crate::model::Image;

    fn loaded(path: &str, is_in_shared_cache: bool, segments: &[(&str, u64, u64)]) -> LoadedImage {
        let segments: Vec<_> = segments
            .iter()
            .map(|(name, start, end)| ((*name).into(), AddrRange::new(*start, *end).unwrap()))
            .collect();
        LoadedImage {
            image: Image {
                path: path.as_bytes().into(),
                load_address: segments[0].1.start(),
                segments: segments.clone(),
            },
            header: MachHeader { code_type: None, platform: None, is_in_shared_cache, segments },
        }
    }

    fn region(start: u64, end: u64) -> Region {
        let raw = RawRegion {
            address: start,
            size: end - start,
            pages: Some(RawPages::default()),
            ..RawRegion::default()
        };
        raw.into_region(PAGE, None).unwrap()
    }

    const PAGE: PageSize = PageSize::new(0x1000).unwrap();

    fn shown(parts: &[Region]) -> Vec<String> {
        let show = |part: &Region| {
            let segment = part.native.macos().unwrap().segment.as_deref().unwrap_or("-");
            let name = part.name.as_ref().map_or("-".into(), |name| String::from_utf8_lossy(name.bytes()));
            format!("{} {segment} {name}", part.range)
        };
        parts.iter().map(show).collect()
    }

    #[test]
    fn a_region_of_one_segment_stays_whole() {
        let map = SegmentMap::new(&[loaded("/bin/a", false, &[("__TEXT", 0x1000, 0x5000)])], PAGE);
        assert!(!map.cuts(&region(0x2000, 0x3000)));
        assert_eq!(shown(&map.cut(region(0x2000, 0x3000), None)), ["2000-3000 __TEXT /bin/a"]);
        assert_eq!(shown(&map.cut(region(0x8000, 0x9000), None)), ["8000-9000 - -"]);
    }

    #[test]
    fn parts_are_cut_to_the_byte_and_counted_by_page() {
        let map = SegmentMap::new(
            &[
                loaded("/lib/a", true, &[("__DATA", 0x1010, 0x1030)]),
                loaded("/lib/b", true, &[("__AUTH", 0x1030, 0x2800)]),
            ],
            PAGE,
        );
        let dispositions = [0x1 | 0x8, 0x10, 0].map(Disposition);
        let parts = map
            .cut(region(0x1000, 0x4000), Some(PageStates { dispositions: &dispositions, page_size: PAGE }));
        assert_eq!(
            shown(&parts),
            [
                "1000-1010 - -",
                "1010-1030 __DATA /lib/a",
                "1030-2800 __AUTH /lib/b",
                "2800-3000 - -",
                "3000-4000 - -"
            ]
        );
        let counts = |index: usize| {
            let counts = parts[index].counts;
            [counts.resident, counts.dirty, counts.swapped].map(|bytes| bytes.unwrap().0)
        };
        assert_eq!(counts(1), [0x20, 0x20, 0]);
        assert_eq!(counts(2), [0xfd0, 0xfd0, 0x800]);
        assert_eq!(counts(3), [0, 0, 0x800]);
        assert_eq!(counts(4), [0, 0, 0]);
        assert!(parts.iter().all(|part| part.native.macos().unwrap().shared_cache));
    }

    #[test]
    fn outside_the_cache_a_segment_has_its_last_page() {
        let map = SegmentMap::new(&[loaded("/bin/a", false, &[("__DATA", 0x1000, 0x1010)])], PAGE);
        assert_eq!(shown(&map.cut(region(0x1000, 0x2000), None)), ["1000-2000 __DATA /bin/a"]);
    }

    #[test]
    fn without_page_states_counts_stay_with_the_whole() {
        let map = SegmentMap::new(&[loaded("/lib/a", true, &[("__DATA", 0x1010, 0x1030)])], PAGE);
        assert_eq!(shown(&map.cut(region(0x1000, 0x2000), None)), ["1000-2000 - -"]);
        let mut layout = region(0x1000, 0x2000);
        layout.counts.resident = None;
        assert_eq!(map.cut(layout, None).len(), 3);
    }

    #[test]
    fn unused_cache_is_cut_where_it_was_written() {
        let map = SegmentMap::new(&[loaded("/lib/a", true, &[("__TEXT", 0x1000, 0x2000)])], PAGE);
        let mut cache = region(0x8000, 0xb000);
        if let Native::Macos(native) = &mut cache.native {
            native.shared_cache = true;
        }
        assert!(!map.cuts(&cache));
        cache.counts.dirty = Some(Bytes(0x1000));
        assert!(map.cuts(&cache));
        let dispositions = [1, 1 | 8, 1].map(Disposition);
        let pages = PageStates { dispositions: &dispositions, page_size: PAGE };
        assert_eq!(
            shown(&map.cut(cache.clone(), Some(pages))),
            ["8000-9000 - -", "9000-a000 - -", "a000-b000 - -"]
        );
        // If no image is known, the unused part is unknown too.
        let unknown = SegmentMap::default().cut(cache, None).remove(0);
        assert!(!unknown.native.macos().unwrap().shared_cache);
    }

    #[test]
    fn the_shared_linkedit_is_one() {
        let map = SegmentMap::new(
            &[
                loaded("/lib/a", true, &[("__TEXT", 0x1000, 0x2000), ("__LINKEDIT", 0x8000, 0x9000)]),
                loaded("/lib/b", true, &[("__TEXT", 0x2000, 0x3000), ("__LINKEDIT", 0x8000, 0xb000)]),
            ],
            PAGE,
        );
        let parts = map.cut(region(0x8000, 0xb000), None);
        assert_eq!(shown(&parts), ["8000-b000 __LINKEDIT dyld shared cache combined __LINKEDIT"]);
    }

    proptest! {
        #[test]
        fn parts_make_the_whole(
            segments in proptest::collection::vec((0u64..0x9000, 1u64..0x3000, any::<bool>()), 0..12),
            dispositions in proptest::collection::vec(0i32..0x20, 8),
        ) {
            let images: Vec<_> = segments
                .iter()
                .map(|(start, size, in_cache)| loaded("/lib", *in_cache, &[("__DATA", *start, start + size)]))
                .collect();
            let map = SegmentMap::new(&images, PAGE);
            let whole = region(0x1000, 0x9000);
            let dispositions: Vec<_> = dispositions.into_iter().map(Disposition).collect();
            let parts = map.cut(whole.clone(), Some(PageStates { dispositions: &dispositions, page_size: PAGE }));
            prop_assert_eq!(parts[0].range.start(), whole.range.start());
            prop_assert_eq!(parts.last().unwrap().range.end(), whole.range.end());
            for pair in parts.windows(2) {
                prop_assert_eq!(pair[0].range.end(), pair[1].range.start());
            }
            if parts.len() > 1 {
                let resident = dispositions.iter().filter(|page| page.is_resident()).count() as u64;
                let sum: Bytes = parts.iter().map(|part| part.counts.resident.unwrap()).sum();
                prop_assert_eq!(sum, Bytes::from_pages(resident, PAGE));
            }
        }
    }
}
