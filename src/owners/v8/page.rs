//! V8's pages: 256 KiB each, aligned to that, or a larger one of its own for each large object. A header at the start, or a
//! record that the header points to, says which heap and which space the page belongs to.

use std::collections::BTreeMap;

use mmview_platform::{AddrRange, Bytes, Result};

use crate::owners::target::{Gathered, Target, is_anonymous, is_reserved};

/// The alignment of all pages, and the size of most.
pub(super) const PAGE: u64 = 256 << 10;

/// How much of a header and of a record is read.
pub(super) const HEADER: usize = 128;

/// The objects of a page start at most so far behind its start.
const FARTHEST_AREA: u64 = 32 << 10;

/// How many places are tried: those in 64 GiB of memory.
const MOST_CANDIDATES: usize = 1 << 18;

/// In a larger region, only what is resident is tried.
const LARGE_REGION: u64 = 64 << 20;

/// The flags of a page in the new generation (`IN_FROM_PAGE`, `IN_TO_PAGE`; `basic-memory-chunk.h`).
const YOUNG: u64 = 0x18;

/// The spaces of a heap have these numbers at most.
const MOST_SPACES: u32 = 16;

/// Where the fields of a page are: in its header, or in the record that the header points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Whether the header has only flags and a pointer to the record.
    pub is_apart: bool,
    flags: u64,
    heap: u64,
    area_start: u64,
    area_end: u64,
    allocated: u64,
    high_water: u64,
    size: u64,
    owner: u64,
    /// Where the address of the page itself is.
    pub own: u64,
}

impl Layout {
    /// V8 9 to 11: `src/heap/basic-memory-chunk.h`, `memory-chunk-layout.h`. The page's reservation begins with its address.
    pub const V10: Layout = Layout {
        is_apart: false,
        flags: 8,
        heap: 16,
        area_start: 24,
        area_end: 32,
        allocated: 40,
        high_water: 56,
        size: 0,
        owner: 64,
        own: 80,
    };

    /// V8 12: the same, behind the flags and the page's address.
    pub const V12: Layout = Layout {
        is_apart: false,
        flags: 0,
        heap: 24,
        area_start: 32,
        area_end: 40,
        allocated: 48,
        high_water: 64,
        size: 16,
        owner: 72,
        own: 8,
    };

    /// From V8 13 on: `src/heap/memory-chunk-metadata.h`.
    pub const V13: Layout = Layout {
        is_apart: true,
        flags: 0,
        heap: 64,
        area_start: 72,
        area_end: 56,
        allocated: 24,
        high_water: 40,
        size: 48,
        owner: 80,
        own: 8,
    };

    /// Every layout.
    pub const ALL: [Layout; 3] = [Layout::V10, Layout::V12, Layout::V13];
}

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub range: AddrRange,
    /// Its heap and its space; 0 if it is read-only, and belongs to all heaps.
    pub heap: u64,
    pub owner: u64,
    /// The size of its objects, as of the last sweep.
    pub allocated: u64,
    pub is_young: bool,
}

/// A space of a heap, as its object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub heap: u64,
    pub id: u32,
    /// The size of its pages.
    pub committed: u64,
}

/// The pages of a process, and the spaces that own them, by address.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub pages: Vec<Page>,
    pub spaces: BTreeMap<u64, Space>,
    /// How many pages were dropped because they overlap others.
    pub overlapping: usize,
    /// How many pages have no record that fits.
    pub unread: usize,
}

impl Found {
    /// The number of the space that most pages of the new generation are in.
    pub fn youngest(&self) -> Option<u32> {
        let mut votes = BTreeMap::new();
        for page in self.pages.iter().filter(|page| page.is_young) {
            if let Some(space) = self.spaces.get(&page.owner) {
                *votes.entry(space.id).or_insert(0_u32) += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(id, _)| id)
    }
}

/// Every place where a page can start.
pub(super) fn candidates(target: &Target<'_>) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for region in target.regions.iter().filter(|region| is_anonymous(region)) {
        let ranges = match region.range.size().0 {
            0..=LARGE_REGION => vec![region.range],
            _ => target.resident(region.range)?,
        };
        for range in ranges {
            let Some(first) = range.start().checked_next_multiple_of(PAGE) else { continue };
            let room = MOST_CANDIDATES - found.len();
            found.extend((first..range.end()).step_by(PAGE as usize).take(room));
        }
    }
    Ok(found)
}

/// Finds the pages, in the layout that most candidates fit.
pub(super) fn find(target: &Target<'_>) -> Result<Option<(Layout, Found)>> {
    let candidates = candidates(target)?;
    let headers = target.gather(candidates.iter().copied(), HEADER)?;
    let mut best: Option<(Layout, Found)> = None;
    for layout in Layout::ALL {
        let pages = match layout.is_apart {
            false => in_headers(target, &layout, &candidates, &headers),
            true => in_records(target, &layout, &candidates, &headers)?,
        };
        let found = prove(target, pages)?;
        let owned = |found: &Found| found.pages.iter().filter(|page| page.owner != 0).count();
        if owned(&found) > best.as_ref().map_or(0, |(_, best)| owned(best)) {
            best = Some((layout, found));
        }
    }
    Ok(best)
}

fn in_headers(target: &Target<'_>, layout: &Layout, candidates: &[u64], headers: &Gathered) -> Vec<Page> {
    let fields = candidates.iter().zip(headers.iter());
    fields.filter_map(|(page, header)| read(target, layout, *page, header?, None)).collect()
}

fn in_records(
    target: &Target<'_>,
    layout: &Layout,
    candidates: &[u64],
    headers: &Gathered,
) -> Result<Vec<Page>> {
    let pairs: Vec<(u64, u64, u64)> = candidates
        .iter()
        .zip(headers.iter())
        .filter_map(|(page, header)| {
            let (flags, record) = (target.u64_in(header?, layout.flags)?, target.u64_in(header?, 8)?);
            // A read-only page can have its record inside.
            let is_readable = target.region_at(record).is_some_and(is_anonymous);
            let is_record = flags >> 32 == 0 && record.is_multiple_of(8) && is_readable;
            is_record.then_some((*page, record, flags))
        })
        .collect();
    let records = target.gather(pairs.iter().map(|(_, record, _)| *record), HEADER)?;
    let fields = pairs.iter().zip(records.iter());
    Ok(fields
        .filter_map(|((page, _, flags), record)| read(target, layout, *page, record?, Some(*flags)))
        .collect())
}

/// The page at this address, if the fields in its header or its record are possible. `flags` are in the header.
pub(super) fn read(
    target: &Target<'_>,
    layout: &Layout,
    page: u64,
    fields: &[u8],
    flags: Option<u64>,
) -> Option<Page> {
    let field = |offset| target.u64_in(fields, offset);
    let size = field(layout.size)?;
    let (area_start, area_end) = (field(layout.area_start)?, field(layout.area_end)?);
    let range = AddrRange::with_size(page, Bytes(size))?;
    let own = field(layout.own)?;
    let is_possible = size > target.page()
        && size.is_multiple_of(target.page())
        && (page + 1..=page + FARTHEST_AREA).contains(&area_start)
        && (area_start + 1..=range.end()).contains(&area_end)
        && field(layout.allocated)? <= size
        && field(layout.high_water)? <= size;
    let (heap, owner) = (field(layout.heap)?, field(layout.owner)?);
    // A read-only page belongs to no heap, and some do not have their own address: its bounds fit exactly instead.
    let is_read_only = || {
        let region = target.region_at(page);
        let is_protected = region.is_some_and(|region| !region.protection.is_writable());
        heap == 0 && (own == page || own == 0) && area_end == range.end() && is_protected
    };
    // In V8 10, a page has its own address only if it has a reservation.
    let is_named = own == page || *layout == Layout::V10 || (layout.is_apart && own == 0);
    let is_known = if owner == 0 { is_read_only() } else { heap != 0 && is_named };
    if !is_possible || !is_known {
        return None;
    }
    let is_own = |region: &_| is_anonymous(region) || is_reserved(region);
    target.is_within(range, is_own).then_some(Page {
        range,
        heap,
        owner,
        allocated: field(layout.allocated)?,
        is_young: flags.or(field(layout.flags))? & YOUNG != 0,
    })
}

/// Keeps the pages whose space points back to their heap, and none that overlaps another.
pub(super) fn prove(target: &Target<'_>, pages: Vec<Page>) -> Result<Found> {
    let mut owners: Vec<u64> = pages.iter().map(|page| page.owner).filter(|owner| *owner != 0).collect();
    owners.sort_unstable();
    owners.dedup();
    owners.retain(|owner| owner.is_multiple_of(8) && target.is_plain(*owner));
    let objects = target.gather(owners.iter().copied(), 40)?;
    let space = |object: &[u8]| {
        let space = Space {
            heap: target.u64_in(object, 8)?,
            id: target.u32_in(object, 16)?,
            committed: target.u64_in(object, 24)?,
        };
        (space.id < MOST_SPACES && target.is_plain(space.heap)).then_some(space)
    };
    let spaces: BTreeMap<u64, Space> = owners
        .iter()
        .zip(objects.iter())
        .filter_map(|(owner, object)| Some((*owner, space(object?)?)))
        .collect();
    let is_proven =
        |page: &Page| page.owner == 0 || spaces.get(&page.owner).is_some_and(|space| space.heap == page.heap);
    let mut pages: Vec<Page> = pages.into_iter().filter(is_proven).collect();
    pages.sort_unstable_by_key(|page| page.range);
    let before = pages.len();
    let pages = apart(pages);
    Ok(Found { overlapping: before - pages.len(), unread: 0, pages, spaces })
}

/// Drops the pages that overlap another one. They are ordered by address.
fn apart(pages: Vec<Page>) -> Vec<Page> {
    let mut end = 0;
    let starts: Vec<u64> = pages.iter().skip(1).map(|page| page.range.start()).chain([u64::MAX]).collect();
    let is_apart = |page: &Page, next: u64| {
        let is_apart = page.range.start() >= end && page.range.end() <= next;
        end = end.max(page.range.end());
        is_apart
    };
    let mut is_apart = is_apart;
    pages.into_iter().zip(starts).filter(|(page, next)| is_apart(page, *next)).map(|(page, _)| page).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(start: u64, end: u64) -> Page {
        let range = AddrRange::new(start * PAGE, end * PAGE).unwrap();
        Page { range, heap: 8, owner: 8, allocated: 0, is_young: false }
    }

    #[test]
    fn of_pages_that_overlap_none_is_kept() {
        // One that claims to be larger than it is covers others, and who is right is unknown.
        let pages = vec![page(0, 1), page(1, 5), page(2, 3), page(4, 5), page(5, 6), page(6, 8), page(7, 9)];
        assert_eq!(apart(pages), [page(0, 1), page(5, 6)]);
    }
}
