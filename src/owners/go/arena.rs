//! Where Go's heap is: arenas of 64 MiB, and the table that leads from each to a record with its spans.
//!
//! The runtime keeps the table's address in a variable that a stripped program doesn't name. So the table is found by its
//! content: an entry at the place for an arena of the map leads to a record whose spans lie in that arena.

use mmview_platform::{AddrRange, Bytes, Result};

use super::span::{self, Span};
use crate::owners::target::{Target, is_plain, is_reserved};

/// The size of an arena, and its alignment (`heapArenaBytes`).
pub(super) const ARENA: u64 = 64 << 20;

/// The unit of spans (`pageSize`).
pub(super) const PAGE: u64 = 8 << 10;

/// How many pages an arena has, and the size of its list of spans.
const PAGES: u64 = ARENA / PAGE;
const SPANS_SIZE: u64 = 8 * PAGES;

/// The size of the table (`arenaL2Bits` of 22), and what is added to an address for its place in it (`arenaBaseOffset`).
const TABLE: u64 = 8 << 22;
const BASE: u64 = 1 << 47;

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

/// How much is read in one piece.
const PIECE: usize = 4096;

/// The table of arenas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub address: u64,
    pub spans_at: u64,
    pub layout: span::Layout,
}

/// An arena that is in use.
#[derive(Clone, Debug)]
pub(super) struct Arena {
    pub range: AddrRange,
    /// Its record.
    pub record: AddrRange,
    /// The record of the span of each page; 0 for none.
    pub spans: Vec<u64>,
    /// How much of the list could not be read: pages of it that are not resident have no spans.
    pub swapped: u64,
}

/// The place of the entry for an arena, from the start of the table.
fn place(arena: u64) -> u64 {
    8 * (arena.wrapping_add(BASE) / ARENA % (TABLE / 8))
}

impl Table {
    pub fn range(&self) -> Option<AddrRange> {
        AddrRange::with_size(self.address, Bytes(TABLE))
    }

    /// Finds the table.
    pub fn find(target: &Target<'_>) -> Result<Option<Table>> {
        let mut pages = MOST_PAGES;
        let regions = regions_for_table(target)?;
        for first in likely_arenas(target) {
            let arena = first - first % ARENA;
            let place = place(arena);
            for runs in &regions {
                let (page, inside) = (target.page(), place % target.page());
                let all = runs.iter().flat_map(|run| (run.start()..run.end()).step_by(page as usize));
                let tried: Vec<u64> = all.take(pages).map(|page| page + inside).collect();
                pages -= tried.len();
                let words = target.gather(tried.iter().copied(), 8)?;
                for (entry, word) in tried.iter().zip(words.iter()) {
                    let record = word.and_then(|word| target.u64_in(word, 0)).unwrap_or_default();
                    if record == 0 || !record.is_multiple_of(page) || !target.is_plain(record) {
                        continue;
                    }
                    if let Some((spans_at, layout)) = confirm(target, record, first)?
                        && let Some(address) = entry.checked_sub(place)
                    {
                        return Ok(Some(Table { address, spans_at, layout }));
                    }
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
        let places = starts.iter().map(|start| self.address.wrapping_add(place(*start)));
        let entries = target.gather(places, 8)?;
        let mut arenas = Vec::new();
        for (start, entry) in starts.iter().zip(entries.iter()) {
            let record = entry.and_then(|entry| target.u64_in(entry, 0)).unwrap_or_default();
            let size = self.spans_at + SPANS_SIZE + BEHIND_SPANS;
            let range = AddrRange::with_size(*start, Bytes(ARENA));
            let (Some(range), Some(record)) = (range, AddrRange::with_size(record, Bytes(size))) else {
                continue;
            };
            if target.is_within(record, is_plain) {
                let (spans, swapped) = self.spans_of(target, record.start())?;
                arenas.push(Arena { range, record, spans, swapped });
            }
        }
        Ok(arenas)
    }

    fn spans_of(&self, target: &Target<'_>, record: u64) -> Result<(Vec<u64>, u64)> {
        let first = record + self.spans_at;
        let pieces = (first..first + SPANS_SIZE).step_by(PIECE);
        let pieces = target.gather(pieces, PIECE)?;
        let mut spans = Vec::with_capacity(PAGES as usize);
        for piece in pieces.iter() {
            let words = (0..PIECE as u64).step_by(8);
            spans
                .extend(words.map(|at| piece.and_then(|piece| target.u64_in(piece, at)).unwrap_or_default()));
        }
        let list = AddrRange::with_size(first, Bytes(SPANS_SIZE));
        let states = list.map(|list| target.memory().pages(list)).transpose()?.unwrap_or_default();
        let swapped = states.iter().filter(|run| run.state.is_swapped()).map(|run| run.range.size().0).sum();
        Ok((spans, swapped))
    }
}

/// The resident parts of each region that has room for the table, those with the least first: the table is almost empty.
fn regions_for_table(target: &Target<'_>) -> Result<Vec<Vec<AddrRange>>> {
    let mut found = Vec::new();
    for region in target.regions.iter().filter(|region| is_plain(region) && region.range.size().0 >= TABLE) {
        found.push(target.resident(region.range)?);
    }
    found.sort_by_key(|runs| runs.iter().map(|run| run.size()).sum::<Bytes>());
    Ok(found)
}

/// Addresses that lie in arenas likely: where writable memory begins in memory that ends as an arena does.
fn likely_arenas(target: &Target<'_>) -> Vec<u64> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for (index, region) in target.regions.iter().enumerate().filter(|(_, region)| is_plain(region)) {
        let next = target.regions.get(index + 1);
        let next = next.filter(|next| next.range.start() == region.range.end() && is_reserved(next));
        let end = next.map_or(region.range.end(), |next| next.range.end());
        if end.is_multiple_of(ARENA) {
            found.push((region.range.size().0, region.range.start()));
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(MOST_TRIED);
    found.into_iter().map(|(_, start)| start).collect()
}

/// Whether `record` is that of the arena that `first` lies in: the spans in it are where it says. Returns the layouts.
fn confirm(target: &Target<'_>, record: u64, first: u64) -> Result<Option<(u64, span::Layout)>> {
    let arena = first - first % ARENA;
    let into = (first - arena) / PAGE / (PIECE as u64 / 8) * (PIECE as u64 / 8);
    for spans_at in SPANS_AT {
        let Some(list) = record.checked_add(spans_at + 8 * into) else { continue };
        let list = target.bytes(list, PIECE)?;
        let pointers: Vec<(u64, u64)> = (0..PIECE as u64 / 8)
            .filter_map(|index| Some((arena + (into + index) * PAGE, target.u64_in(&list, 8 * index)?)))
            .filter(|(_, pointer)| *pointer != 0 && pointer.is_multiple_of(8) && target.is_plain(*pointer))
            .collect();
        let spans = span::read(target, &pointers.iter().map(|(_, pointer)| *pointer).collect::<Vec<_>>())?;
        for layout in span::Layout::of(spans_at) {
            let holds = |page: u64, span: &Span| span.range.contains(page);
            let fitting = pointers.iter().zip(spans.iter()).filter(|((page, _), raw)| {
                raw.and_then(|raw| layout.span(target, raw)).is_some_and(|span| holds(*page, &span))
            });
            // Pages of spans that were freed may still have their old pointer.
            if fitting.count() * 2 > pointers.len() {
                return Ok(Some((spans_at, layout)));
            }
        }
    }
    Ok(None)
}
