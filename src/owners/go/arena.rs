//! Where Go's heap is: arenas of 64 MiB, and the table that leads from each to a record with its spans.
//!
//! The runtime keeps the table's address in a variable that a stripped program doesn't name. So the table is found by its
//! content: an entry at the place for an arena of the map leads to a record whose spans lie in that arena.

use std::collections::BTreeSet;

use mmview_platform::{AddrRange, Bytes, Region, Result};

use super::span::{self, Records};
use crate::owners::target::{Target, is_plain, is_reserved};

/// The size of an arena, and its alignment (`heapArenaBytes`).
pub(super) const ARENA: u64 = 64 << 20;

/// The unit of spans (`pageSize`).
pub(super) const PAGE: u64 = 8 << 10;

/// How many pages an arena has, and the size of its list of spans.
const PAGES: u64 = ARENA / PAGE;
const SPANS_SIZE: u64 = 8 * PAGES;

/// The size of the table (`arenaL2Bits` of 22).
const TABLE: u64 = 8 << 22;

/// What is added to an address for its place in the table (`arenaBaseOffset`): on x86-64, and elsewhere.
const BASES: [u64; 2] = [1 << 47, 0];

/// Where a record (`heapArena`) has its spans: in Go 1.22 and later, in 1.20 and 1.21, and before, behind the bitmap of
/// pointers.
const SPANS_AT: [u64; 3] = [0, (1 << 20) + (16 << 10), 2 << 20];

/// What lies behind the spans: bitmaps of 1 KiB each, and a few words.
const BEHIND_SPANS: u64 = (3 << 10) + 8;

/// How many arenas are tried to find the table, and how many resident pages for each.
const MOST_TRIED: usize = 8;
const MOST_PAGES: usize = 1 << 17;

/// How many arenas are read at most: 4 TiB of heap.
const MOST_ARENAS: usize = 1 << 16;

/// So many pages that their spans confirm are enough, whatever others say.
const ENOUGH_FITTING: usize = 32;

/// How much is read in one piece.
const PIECE: usize = 4096;

/// The table of arenas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub range: AddrRange,
    pub layout: span::Layout,
    base: u64,
    spans_at: u64,
}

/// An arena that is in use.
#[derive(Clone, Debug)]
pub(super) struct Arena {
    pub range: AddrRange,
    /// Its record.
    pub record: AddrRange,
    /// The numbers of the pages that have a span, in ascending order, and the records of those spans.
    pub spans: Vec<(u64, u64)>,
    /// How much of the list could not be read: pages of it that are not resident have no spans.
    pub swapped: u64,
}

/// The place of the entry for an arena, from the start of the table.
fn place(arena: u64, base: u64) -> u64 {
    8 * (arena.wrapping_add(base) / ARENA % (TABLE / 8))
}

impl Table {
    /// Finds the table.
    pub fn find(target: &Target<'_>) -> Result<Option<Table>> {
        let mut pages_left = MOST_PAGES;
        let ranges = ranges_for_table(target)?;
        let arenas = likely_arenas(target);
        for (range, runs) in &ranges {
            for (first, base) in arenas.iter().flat_map(|first| BASES.map(|base| (*first, base))) {
                let place = place(first - first % ARENA, base);
                let page_place = place - place % target.page();
                // Where the entry can be, so that all of the table has room.
                let lowest = range.start() + page_place;
                let highest = range.end() - TABLE + page_place;
                let pages =
                    runs.iter().flat_map(|run| (run.start()..run.end()).step_by(target.page() as usize));
                let pages = pages.filter(|page| (lowest..=highest).contains(page));
                let tables: Vec<u64> = pages.map(|page| page - page_place).take(pages_left).collect();
                pages_left -= tables.len();
                if let Some(table) = Table::among(target, &tables, first, base)? {
                    return Ok(Some(table));
                }
            }
        }
        Ok(None)
    }

    /// The one of these addresses that is a table with the arena that holds `first`.
    fn among(target: &Target<'_>, tables: &[u64], first: u64, base: u64) -> Result<Option<Table>> {
        let place = place(first - first % ARENA, base);
        let entries = target.gather(tables.iter().map(|table| table + place), 8)?;
        for (table, entry) in tables.iter().zip(entries.iter()) {
            let record = entry.and_then(|entry| target.u64_in(entry, 0)).unwrap_or_default();
            if record == 0 || !record.is_multiple_of(target.page()) || !target.is_plain(record) {
                continue;
            }
            for spans_at in SPANS_AT {
                let Some(range) = AddrRange::with_size(*table, Bytes(TABLE)) else { continue };
                if let Some(layout) = confirm(target, record, first, spans_at)? {
                    return Ok(Some(Table { range, layout, base, spans_at }));
                }
            }
        }
        Ok(None)
    }

    /// Reads the arenas of the map that the table has.
    pub fn arenas(&self, target: &Target<'_>) -> Result<Vec<Arena>> {
        let mut starts: Vec<u64> = Vec::new();
        for region in target.regions.iter().filter(|region| is_plain(region)) {
            let first = region.range.start() - region.range.start() % ARENA;
            let room = MOST_ARENAS - starts.len();
            let all = (first..region.range.end()).step_by(ARENA as usize);
            starts
                .extend(all.skip_while(|start| starts.last() == Some(start)).take(room).collect::<Vec<_>>());
        }
        let places = starts.iter().map(|start| self.range.start() + place(*start, self.base));
        let entries = target.gather(places, 8)?;
        let mut arenas: Vec<Arena> = Vec::new();
        let mut used = BTreeSet::new();
        for (start, entry) in starts.iter().zip(entries.iter()) {
            let record = entry.and_then(|entry| target.u64_in(entry, 0)).unwrap_or_default();
            let size = self.spans_at + SPANS_SIZE + BEHIND_SPANS;
            let range = AddrRange::with_size(*start, Bytes(ARENA));
            let (Some(range), Some(record)) = (range, AddrRange::with_size(record, Bytes(size))) else {
                continue;
            };
            // Each arena has its own record.
            if target.is_within(record, is_plain) && used.insert(record.start()) {
                let (spans, swapped) = self.spans_of(target, record.start())?;
                arenas.push(Arena { range, record, spans, swapped });
            }
        }
        Ok(arenas)
    }

    fn spans_of(&self, target: &Target<'_>, record: u64) -> Result<(Vec<(u64, u64)>, u64)> {
        let first = record + self.spans_at;
        let pieces = target.gather((first..first + SPANS_SIZE).step_by(PIECE), PIECE)?;
        let mut spans = Vec::new();
        for (piece, content) in (0..).zip(pieces.iter()) {
            let Some(content) = content else { continue };
            let words = (0..PIECE as u64 / 8).map(|index| (index, target.u64_in(content, 8 * index)));
            let used =
                words.filter_map(|(index, word)| word.filter(|word| *word != 0).map(|word| (index, word)));
            spans.extend(used.map(|(index, word)| (piece * (PIECE as u64 / 8) + index, word)));
        }
        let list = AddrRange::with_size(first, Bytes(SPANS_SIZE));
        let states = list.map(|list| target.memory().pages(list)).transpose()?.unwrap_or_default();
        let swapped = states.iter().filter(|run| run.state.is_swapped()).map(|run| run.range.size().0).sum();
        Ok((spans, swapped))
    }
}

/// The memory that has room for the table, and what of it is resident. The least is first: the table is almost empty. The
/// kernel can split a region where a part is for huge pages, so neighbors count as one.
fn ranges_for_table(target: &Target<'_>) -> Result<Vec<(AddrRange, Vec<AddrRange>)>> {
    let follow = |one: &Region, next: &Region| {
        one.range.end() == next.range.start() && is_plain(one) && is_plain(next)
    };
    let groups = target.regions.chunk_by(follow).filter(|group| group.iter().all(is_plain));
    let ranges = groups.filter_map(|group| group.iter().map(|region| region.range).reduce(AddrRange::hull));
    let mut found = Vec::new();
    for range in ranges.filter(|range| range.size().0 >= TABLE) {
        found.push((range, target.resident(range)?));
    }
    found.sort_by_key(|(_, runs)| runs.iter().map(|run| run.size()).sum::<Bytes>());
    Ok(found)
}

/// Addresses that lie in arenas likely: where writable memory begins in each arena of memory that ends as an arena does. Parts of it
/// that are for huge pages are regions of their own.
fn likely_arenas(target: &Target<'_>) -> Vec<u64> {
    let follow = |one: &Region, next: &Region| {
        one.range.end() == next.range.start() && is_plain(one) && is_plain(next)
    };
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut next = 0;
    for group in target.regions.chunk_by(follow) {
        next += group.len();
        let range = group[0].range.hull(group[group.len() - 1].range);
        let reserve = target.regions.get(next);
        let reserve = reserve.filter(|next| next.range.start() == range.end() && is_reserved(next));
        let end = reserve.map_or(range.end(), |reserve| reserve.range.end());
        if !is_plain(&group[0]) || !end.is_multiple_of(ARENA) {
            continue;
        }
        let arenas = (range.start() - range.start() % ARENA..range.end()).step_by(ARENA as usize);
        let arenas = arenas.take(MOST_ARENAS).filter_map(|arena| AddrRange::with_size(arena, Bytes(ARENA)));
        let used = arenas.filter_map(|arena| arena.overlap(range));
        found.extend(used.map(|used| (used.size().0, used.start())));
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(MOST_TRIED);
    found.into_iter().map(|(_, start)| start).collect()
}

/// Whether `record` is that of the arena that `first` lies in: the spans in it are where it says. Returns their layout.
fn confirm(target: &Target<'_>, record: u64, first: u64, spans_at: u64) -> Result<Option<span::Layout>> {
    let arena = first - first % ARENA;
    let entries = PIECE as u64 / 8;
    let start = (first - arena) / PAGE / entries;
    for piece in (0..PAGES / entries).map(|piece| (start + piece) % (PAGES / entries)) {
        let into = piece * entries;
        let Some(list) = record.checked_add(spans_at + 8 * into) else { return Ok(None) };
        let list = target.bytes(list, PIECE)?;
        let mut pointers: Vec<(u64, u64)> = (0..entries)
            .filter_map(|index| Some((target.u64_in(&list, 8 * index)?, arena + (into + index) * PAGE)))
            .filter(|(pointer, _)| *pointer != 0 && pointer.is_multiple_of(8) && target.is_plain(*pointer))
            .collect();
        // Where the arena begins, there are spans.
        if pointers.is_empty() && piece == start {
            break;
        }
        pointers.sort_unstable();
        let records = Records::read(target, pointers.iter().map(|(pointer, _)| *pointer))?;
        for layout in span::Layout::of(spans_at) {
            let fits = |(pointer, page): &&(u64, u64)| {
                let span = records.get(*pointer).and_then(|record| layout.span(target, &record));
                span.is_some_and(|span| span.range.contains(*page))
            };
            // Pages of spans that were freed may still have their old pointer. While the collector works, that can be most
            // of a piece, and none of another.
            let fitting = pointers.iter().filter(fits).count();
            if fitting * 2 > pointers.len() || fitting >= ENOUGH_FITTING {
                return Ok(Some(layout));
            }
        }
    }
    Ok(None)
}
