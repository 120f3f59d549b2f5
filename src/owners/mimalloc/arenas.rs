//! Arenas of mimalloc 3 (`mi_arena_t`, `src/arena.c`): usually 1 GiB each, divided into slices of 64 KiB.
//!
//! The record of a page (`mi_page_t`) says of which arena it is and which slices it takes. It lies at the start of its first
//! slice, or in an array: in one after the arena's own record, or in one for each 256 MiB. Releases differ in the offsets;
//! the records themselves show where they keep the arena.

use std::collections::{BTreeMap, HashSet};

use mmview_platform::{AddrRange, Bytes, Result};

use super::{Heap, Page, SLICE};
use crate::owners::target::{Target, is_plain, is_reserved};

/// The alignment of arenas.
const ALIGNMENT: u64 = 4 << 20;

/// How many places are tried as arenas.
const MOST_PLACES: usize = 1 << 16;

/// The record of an arena lies at its start; from 3.4 on, after an array of records of pages.
const RECORD_AT: [u64; 2] = [0, 512 << 10];
const RECORD_SIZE: usize = 64;

/// Where the record has the number of slices. Its first words are the start and the size of the memory.
const SLICE_COUNT_AT: [u64; 3] = [32, 40, 48];

/// How much of an arena has an array of records of its own, and how large that is.
const GROUP: u64 = 256 << 20;
const ARRAY: u64 = 512 << 10;

/// The part of a page's record that matters.
const PAGE_RECORD: usize = 0x80;

/// Offsets in the record of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Layout {
    /// The arena, and behind it the first slice and the number of slices.
    arena: u64,
    block_size: u64,
    used: u64,
    capacity: u64,
    reserved: u64,
}

const LAYOUTS: [Layout; 4] = [
    // 3.6.
    Layout { arena: 0x68, block_size: 0x20, used: 0x28, capacity: 0x38, reserved: 0x3a },
    // 3.1 to 3.3, 3.4, and hardened builds of 3.1 to 3.3.
    Layout { arena: 0x60, block_size: 0x28, used: 0x10, capacity: 0x12, reserved: 0x14 },
    Layout { arena: 0x58, block_size: 0x28, used: 0x10, capacity: 0x12, reserved: 0x14 },
    Layout { arena: 0x70, block_size: 0x28, used: 0x10, capacity: 0x12, reserved: 0x14 },
];

/// An arena.
#[derive(Clone, Copy, Debug)]
struct Arena {
    record: u64,
    range: AddrRange,
    /// The slices of its own records.
    info: u64,
}

/// Finds the arenas in `open`.
pub(super) fn find(target: &Target<'_>, open: &[AddrRange]) -> Result<Option<Heap>> {
    let arenas = arenas(target, open)?;
    let mut votes: BTreeMap<Layout, Vec<(usize, Page)>> = BTreeMap::new();
    for (index, arena) in arenas.iter().enumerate() {
        let found = |layout, page| votes.entry(layout).or_default().push((index, page));
        arena.pages(target, found)?;
    }
    let possible = |pages: &[(usize, Page)]| {
        pages.iter().filter(|(_, page)| page.block_size > 0 && page.is_possible()).count()
    };
    let best = votes.into_values().map(|pages| (possible(&pages), pages)).max_by_key(|(count, _)| *count);
    let Some((_, pages)) = best.filter(|(count, _)| *count > 0) else { return Ok(None) };
    let mut heap = Heap { version: "3", unit: "arenas", ..Heap::default() };
    let (mut all, mut torn) = (0, 0);
    for (index, arena) in arenas.iter().enumerate() {
        heap.ranges.push(arena.range);
        heap.overhead += arena.info * SLICE;
        let of_arena = pages.iter().filter(|(of, page)| *of == index && page.block_size > 0);
        let mut pages: Vec<Page> = of_arena.map(|(_, page)| *page).collect();
        // Records of former pages stay behind.
        pages.sort_by_key(|page| (page.start, page.used == 0));
        pages.dedup();
        all += pages.len();
        let before = pages.len();
        pages.retain(Page::is_possible);
        torn += before - pages.len();
        for page in pages {
            match heap.pages.last_mut().filter(|last| page.start < last.start + last.size) {
                None => heap.pages.push(page),
                Some(last) if last.used == 0 => *last = page,
                Some(_) if page.used == 0 => {}
                Some(_) => torn += 1,
            }
        }
    }
    if torn > 0 {
        heap.doubts.push(format!("{torn} of {all} pages changed while they were read"));
    }
    Ok(Some(heap))
}

fn arenas(target: &Target<'_>, open: &[AddrRange]) -> Result<Vec<Arena>> {
    let mut places: Vec<u64> = Vec::new();
    for range in open {
        let first = range.start().checked_next_multiple_of(SLICE).unwrap_or(u64::MAX);
        let aligned = range.start().checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX);
        let starts = Some(first).into_iter().chain((aligned..range.end()).step_by(ALIGNMENT as usize));
        places.extend(starts.take(MOST_PLACES - places.len().min(MOST_PLACES)));
    }
    places.sort_unstable();
    places.dedup();
    let mut arenas: Vec<Arena> = Vec::new();
    for before in RECORD_AT {
        let records: Vec<u64> = places.iter().filter_map(|place| place.checked_add(before)).collect();
        let bytes = target.gather(records.iter().copied(), RECORD_SIZE)?;
        for (record, bytes) in records.iter().zip(bytes.iter()) {
            arenas.extend(bytes.and_then(|bytes| Arena::parse(target, *record, before, bytes)));
        }
    }
    arenas.sort_by_key(|arena| arena.range);
    arenas.dedup_by(|later, earlier| later.range.start() < earlier.range.end());
    Ok(arenas)
}

impl Arena {
    fn parse(target: &Target<'_>, record: u64, before: u64, bytes: &[u8]) -> Option<Arena> {
        let word = |offset| target.u64_in(bytes, offset);
        let (start, size) = (word(0)?, word(8)?);
        let count_at = SLICE_COUNT_AT.into_iter().find(|at| {
            word(*at)
                .and_then(|count| count.checked_mul(SLICE))
                .is_some_and(|bytes| bytes > 0 && bytes == size)
        })?;
        let info = word(count_at + 8)?;
        let range = AddrRange::with_size(start, Bytes(size))?;
        let is_possible = start.checked_add(before)? == record
            && (1..size / SLICE).contains(&info)
            && target.is_within(range, |region| is_plain(region) || is_reserved(region));
        is_possible.then_some(Arena { record, range, info })
    }

    /// Passes each record of a page of this arena, with the layout that makes it one.
    fn pages(&self, target: &Target<'_>, mut found: impl FnMut(Layout, Page)) -> Result<()> {
        let info_end = self.range.start() + self.info * SLICE;
        let info = AddrRange::new(self.range.start(), info_end);
        let groups = (self.range.start()..self.range.end()).step_by(GROUP as usize).skip(1);
        let arrays = groups.filter_map(|start| AddrRange::with_size(start, Bytes(ARRAY)));
        let mut known = HashSet::new();
        for array in info.into_iter().chain(arrays) {
            self.records_in(target, array, |layout, page| {
                if page.used > 0 && page.is_possible() {
                    known.insert(page.start);
                }
                found(layout, page);
            })?;
        }
        let resident = target.resident(self.range)?;
        let is_wanted = |slice: &u64| {
            let after = resident.partition_point(|run| run.end() <= *slice);
            !known.contains(slice) && resident.get(after).is_some_and(|run| run.contains(*slice))
        };
        let slices = (info_end..self.range.end()).step_by(SLICE as usize).filter(is_wanted);
        let slices: Vec<u64> = slices.collect();
        for (slice, bytes) in slices.iter().zip(target.gather(slices.iter().copied(), PAGE_RECORD)?.iter()) {
            for layout in &LAYOUTS {
                let page = bytes.and_then(|bytes| self.page(target, layout, bytes));
                if let Some(page) = page.filter(|page| page.start == *slice) {
                    found(*layout, page);
                }
            }
        }
        Ok(())
    }

    /// Passes each record in an array, by the arena that it names. A record can begin in one piece and end in the next.
    fn records_in(
        &self,
        target: &Target<'_>,
        array: AddrRange,
        mut found: impl FnMut(Layout, Page),
    ) -> Result<()> {
        let mut last: Vec<u8> = Vec::new();
        target.scan(array, |_, bytes| {
            let joined = [&last[..], bytes].concat();
            for offset in (0..joined.len() as u64).step_by(8) {
                if target.u64_in(&joined, offset) != Some(self.record) {
                    continue;
                }
                for layout in &LAYOUTS {
                    let record =
                        offset.checked_sub(layout.arena).and_then(|start| joined.get(start as usize..));
                    if let Some(page) = record.and_then(|record| self.page(target, layout, record)) {
                        found(*layout, page);
                    }
                }
            }
            last = joined[joined.len().saturating_sub(PAGE_RECORD - 8)..].to_vec();
        })
    }

    /// The page of a record; `None` if it names another arena, or slices that this one doesn't have.
    fn page(&self, target: &Target<'_>, layout: &Layout, bytes: &[u8]) -> Option<Page> {
        if target.u64_in(bytes, layout.arena)? != self.record {
            return None;
        }
        let slice = u64::from(target.u32_in(bytes, layout.arena + 8)?);
        let count = u64::from(target.u32_in(bytes, layout.arena + 12)?);
        if count == 0 || slice < self.info || slice + count > self.range.size().0 / SLICE {
            return None;
        }
        Some(Page {
            start: self.range.start() + slice * SLICE,
            size: count * SLICE,
            block_size: target.u64_in(bytes, layout.block_size)?,
            used: target.u16_in(bytes, layout.used)?.into(),
            capacity: target.u16_in(bytes, layout.capacity)?.into(),
            reserved: target.u16_in(bytes, layout.reserved)?.into(),
        })
    }
}
