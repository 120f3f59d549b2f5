//! Segments of mimalloc 2 (`mi_segment_t`, `src/segment.c`): 32 MiB each or more, with a table of the pages in them first.
//!
//! Releases differ in the offsets. The right ones make the table fit: its entries follow each other up to its end. Besides, each
//! segment has a cookie, its address mixed with a secret of the process.

use std::collections::BTreeMap;

use mmview_platform::{AddrRange, Bytes, Result};

use super::{Heap, Page, SLICE};
use crate::owners::target::{Target, is_plain, is_reserved};

/// The alignment of segments, and the size of all but huge ones.
const SEGMENT: u64 = 32 << 20;

/// The most entries in the table of a segment.
const MOST_ENTRIES: u64 = SEGMENT / SLICE;

/// How many slices the header takes at most.
const MOST_INFO: u64 = 8;

/// How many places are tried as segments: 1 TiB of them.
const MOST_SEGMENTS: usize = 1 << 15;

/// The size of a header with the largest entries.
const HEADER_SIZE: u64 = 288 + 112 * (MOST_ENTRIES + 1);

/// Offsets in a header, and in the entries of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Layout {
    cookie: u64,
    /// The number of entries. The numbers of slices in the segment and in its header are words before it.
    entries: u64,
    table: u64,
    entry: u64,
    /// Whether the entry counts blocks in 16 bits, and their size in 64.
    is_late: bool,
}

/// 2.0 to 2.1.2, to 2.1.9, 2.2 and later; the larger entries are those of hardened builds.
const LAYOUTS: [Layout; 5] = [
    Layout { cookie: 216, entries: 248, table: 264, entry: 80, is_late: false },
    Layout { cookie: 216, entries: 248, table: 264, entry: 96, is_late: true },
    Layout { cookie: 216, entries: 248, table: 264, entry: 112, is_late: true },
    Layout { cookie: 224, entries: 272, table: 288, entry: 96, is_late: true },
    Layout { cookie: 224, entries: 272, table: 288, entry: 112, is_late: true },
];

/// The header of a segment, as far as it is resident.
struct Header {
    start: u64,
    bytes: Vec<u8>,
    resident: Vec<AddrRange>,
}

/// What a layout makes of a header.
#[derive(Debug)]
struct Segment {
    range: AddrRange,
    secret: u64,
    pages: Vec<Page>,
    /// The bytes of the header.
    info: u64,
    /// Whether the table was read up to its end, without a contradiction.
    is_whole: bool,
}

/// Finds the segments in `open`, by the secret that they share.
pub(super) fn find(target: &Target<'_>, open: &[AddrRange]) -> Result<Vec<Heap>> {
    let places: Vec<u64> = open.iter().flat_map(|range| aligned(*range)).take(MOST_SEGMENTS).collect();
    let starts = target.gather(places.iter().copied(), LAYOUTS[4].table as usize)?;
    let mut headers = Vec::new();
    for (place, bytes) in places.iter().zip(starts.iter()) {
        if bytes.is_some_and(|bytes| LAYOUTS.iter().any(|layout| is_header(target, layout, bytes))) {
            headers.push(Header::read(target, *place)?);
        }
    }
    let all = |layout: &Layout| -> Vec<Segment> {
        headers.iter().filter_map(|header| header.segment(target, layout)).collect()
    };
    let found = LAYOUTS.iter().map(all).rev().max_by_key(|segments| whole(segments)).unwrap_or_default();
    let mut heaps: BTreeMap<u64, Vec<Segment>> = BTreeMap::new();
    for segment in found {
        heaps.entry(segment.secret).or_default().push(segment);
    }
    let mut heaps: Vec<Vec<Segment>> = heaps.into_values().filter(|segments| whole(segments) > 0).collect();
    heaps.sort_by_key(|segments| std::cmp::Reverse(segments.len()));
    Ok(heaps.into_iter().map(heap).collect())
}

/// How many segments were read up to their ends.
fn whole(segments: &[Segment]) -> usize {
    segments.iter().filter(|segment| segment.is_whole).count()
}

/// The addresses in a range where a segment can start.
fn aligned(range: AddrRange) -> impl Iterator<Item = u64> {
    let first = range.start().checked_next_multiple_of(SEGMENT).unwrap_or(u64::MAX);
    (first..range.end()).step_by(SEGMENT as usize)
}

fn heap(mut segments: Vec<Segment>) -> Heap {
    segments.sort_by_key(|segment| segment.range);
    segments.dedup_by(|later, earlier| later.range.start() < earlier.range.end());
    let mut heap = Heap { version: "2", unit: "segments", ..Heap::default() };
    let torn = segments.len() - whole(&segments);
    if torn > 0 {
        heap.doubts.push(format!("{torn} of {} segments changed while they were read", segments.len()));
    }
    for segment in segments {
        heap.ranges.push(segment.range);
        heap.overhead += segment.info;
        heap.pages.extend(segment.pages);
    }
    heap
}

/// The numbers of entries, of slices, and of slices of the header, if they are possible.
fn sizes(target: &Target<'_>, layout: &Layout, bytes: &[u8]) -> Option<(u64, u64, u64)> {
    let word = |offset| target.u64_in(bytes, offset);
    let (entries, slices, info) =
        (word(layout.entries)?, word(layout.entries - 24)?, word(layout.entries - 16)?);
    let is_possible = (1..=MOST_ENTRIES).contains(&entries)
        && entries <= slices
        && (1..=MOST_INFO).contains(&info)
        && info < entries
        && word(layout.entries - 8)? & 0xffff_ffff <= 1
        && word(layout.cookie)? != 0;
    is_possible.then_some((entries, slices, info))
}

fn is_header(target: &Target<'_>, layout: &Layout, bytes: &[u8]) -> bool {
    sizes(target, layout, bytes).is_some()
}

impl Header {
    fn read(target: &Target<'_>, start: u64) -> Result<Header> {
        let mut header = Header { start, bytes: vec![0; HEADER_SIZE as usize], resident: Vec::new() };
        let Some(range) = AddrRange::with_size(start, Bytes(HEADER_SIZE)) else { return Ok(header) };
        target.scan(range, |at, bytes| {
            let place = (at - start) as usize;
            header.bytes[place..place + bytes.len()].copy_from_slice(bytes);
            header.resident.extend(AddrRange::with_size(at, Bytes(bytes.len() as u64)));
        })?;
        Ok(header)
    }

    /// The entry at an offset, if it is resident.
    fn entry(&self, offset: u64, size: u64) -> Option<&[u8]> {
        let range = AddrRange::with_size(self.start.checked_add(offset)?, Bytes(size))?;
        let first = self.resident.partition_point(|run| run.end() < range.end());
        // An entry can lie in two pages.
        let is_resident = self.resident.get(first).is_some_and(|run| range.within(*run));
        self.bytes.get(offset as usize..(offset + size) as usize).filter(|_| is_resident)
    }

    fn segment(&self, target: &Target<'_>, layout: &Layout) -> Option<Segment> {
        let (entries, slices, info) = sizes(target, layout, &self.bytes)?;
        let range = AddrRange::with_size(self.start, Bytes(slices.checked_mul(SLICE)?))?;
        if !target.is_within(range, |region| is_plain(region) || is_reserved(region)) {
            return None;
        }
        let secret = target.u64_in(&self.bytes, layout.cookie)? ^ self.start;
        let mut segment = Segment { range, secret, pages: Vec::new(), info: info * SLICE, is_whole: false };
        let mut index = info;
        while index < entries {
            let Some(entry) = self.entry(layout.table + index * layout.entry, layout.entry) else { break };
            let count = target.u32_in(entry, 0).map_or(0, u64::from);
            let rest = slices - index;
            // A huge segment has one page, and fewer entries than slices.
            if count == 0 || count > rest || target.u32_in(entry, 4) != Some(0) {
                break;
            }
            let page = page(target, layout, entry, self.start + index * SLICE, count * SLICE);
            match page {
                Some(page) if page.block_size <= 1 => {}
                Some(page) if page.is_possible() => segment.pages.push(page),
                _ => break,
            }
            index += count;
        }
        segment.is_whole = index >= entries;
        Some(segment)
    }
}

fn page(target: &Target<'_>, layout: &Layout, entry: &[u8], start: u64, size: u64) -> Option<Page> {
    let (used, block_size) = if layout.is_late {
        (target.u16_in(entry, 32)?.into(), target.u64_in(entry, 40)?)
    } else {
        (target.u32_in(entry, 24)?.into(), target.u32_in(entry, 28)?.into())
    };
    let (capacity, reserved) = (target.u16_in(entry, 10)?.into(), target.u16_in(entry, 12)?.into());
    // Older releases don't keep the size of blocks above 2 GiB.
    let block_size = if !layout.is_late && block_size >= 1 << 31 { size } else { block_size };
    Some(Page { start, size, block_size, used, capacity, reserved })
}
