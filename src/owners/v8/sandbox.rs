//! V8 with its sandbox, as in Chromium. A page's header has no pointer, only flags and an index into a table of records that
//! lies outside of the sandbox (`src/heap/memory-chunk.h`, `memory-chunk-metadata.h`, `src/sandbox/sandbox.h`).
//!
//! The index is the page's own place: in the cage for objects, the cage for trusted objects, or the range for code. So it
//! proves itself. The table is found by two searches of what may hold it: for the record of a page, which has the page's
//! address, and for the entry, which has the record's.

use std::collections::{BTreeMap, HashMap};

use mmview_platform::{AddrRange, Region, Result};

use super::page::{self, Found, HEADER, Layout, PAGE, Page};
use crate::owners::target::{Target, groups, is_plain};

/// A sandbox takes this much address space at least, with its guards.
const SMALLEST: u64 = 128 << 30;

/// The alignment of the cage for objects, and its size.
const CAGE: u64 = 4 << 30;

/// The first index of each range: of the cage for objects, of the one for trusted objects, and of the code; and their end.
const TRUSTED: u32 = 0x4000;
const CODE: u32 = 0x5000;
const END: u32 = 0x6000;

/// The size of an entry of the table, which begins with the address of the record.
const ENTRY: u64 = 16;

/// Fewer pages with their own index are chance.
const FEWEST_PAGES: usize = 3;

/// How much is searched at most, how much at once, and for how many records.
const MOST_SEARCHED: u64 = 128 << 20;
const AT_ONCE: usize = 1 << 20;
const MOST_RECORDS: usize = 4;

/// A page that has the index of its own place.
#[derive(Clone, Copy, Debug)]
struct Indexed {
    page: u64,
    index: u32,
    flags: u64,
}

/// The address space of a sandbox, with its guards, if the map has one.
pub(super) fn reserve(target: &Target<'_>) -> Option<AddrRange> {
    let is_sandbox = |range: &AddrRange| range.size().0 >= SMALLEST;
    groups(target.regions).into_iter().filter(is_sandbox).max_by_key(|range| range.size())
}

/// Finds the pages of the heaps whose objects lie in the sandbox.
pub(super) fn find(target: &Target<'_>, sandbox: AddrRange) -> Result<Option<Found>> {
    let pages = indexed(target, sandbox)?;
    if pages.len() < FEWEST_PAGES {
        return Ok(None);
    }
    let Some(records) = records(target, sandbox, &pages)? else { return Ok(None) };
    let contents = target.gather(records.iter().copied(), HEADER)?;
    let read = |(page, record): (&Indexed, Option<&[u8]>)| -> Option<Page> {
        page::read(target, &Layout::V13, page.page, record?, Some(page.flags))
    };
    let read = pages.iter().zip(contents.iter()).filter_map(read).collect();
    let mut found = page::prove(target, read)?;
    found.unread = pages.len().saturating_sub(found.pages.len() + found.overlapping);
    Ok(Some(found))
}

/// The pages whose index is that of their place.
fn indexed(target: &Target<'_>, sandbox: AddrRange) -> Result<Vec<Indexed>> {
    let candidates = page::candidates(target)?;
    let headers = target.gather(candidates.iter().copied(), 16)?;
    let read = |(page, header): (&u64, Option<&[u8]>)| {
        let (flags, index) = (target.u64_in(header?, 0)?, target.u32_in(header?, 8)?);
        (flags >> 32 == 0 && index < END).then_some(Indexed { page: *page, index, flags })
    };
    let all: Vec<Indexed> = candidates.iter().zip(headers.iter()).filter_map(read).collect();
    let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
    for page in all.iter().filter(|page| page.index < TRUSTED) {
        if let Some(base) = page.base().filter(|base| base.is_multiple_of(CAGE) && sandbox.contains(*base)) {
            *votes.entry(base).or_default() += 1;
        }
    }
    let Some((cage, _)) = votes.into_iter().max_by_key(|(_, votes)| *votes) else { return Ok(Vec::new()) };
    let starts: Vec<u64> = groups(target.regions).iter().map(|range| range.start()).collect();
    let is_at_place = |page: &Indexed| {
        page.base().is_some_and(|base| match page.index {
            ..TRUSTED => base == cage,
            // These have a reserve of their own.
            _ => starts.binary_search(&base).is_ok(),
        })
    };
    Ok(all.into_iter().filter(is_at_place).collect())
}

impl Indexed {
    /// Where the range starts that it lies in, by its index.
    fn base(&self) -> Option<u64> {
        let first = match self.index {
            ..TRUSTED => 0,
            TRUSTED..CODE => TRUSTED,
            _ => CODE,
        };
        self.page.checked_sub(u64::from(self.index - first) * PAGE)
    }
}

/// The addresses of the pages' records, if the table of records is found.
fn records(target: &Target<'_>, sandbox: AddrRange, pages: &[Indexed]) -> Result<Option<Vec<u64>>> {
    let by_page: HashMap<u64, &Indexed> = pages.iter().map(|page| (page.page, page)).collect();
    let ranges = searched(target, sandbox);
    // So few that a look at each is faster than a map.
    let mut records: Vec<(u64, &Indexed)> = Vec::new();
    search(target, &ranges, |address, words| {
        let own = target.u64_in(words, Layout::V13.own).unwrap_or_default();
        if own != 0
            && own.is_multiple_of(PAGE)
            && let Some(page) = by_page.get(&own)
            && let Some(words) = words.get(..HEADER)
            && page::read(target, &Layout::V13, page.page, words, Some(page.flags)).is_some()
        {
            records.push((address, page));
        }
        records.len() >= MOST_RECORDS
    })?;
    let mut tables: BTreeMap<u64, usize> = BTreeMap::new();
    search(target, &ranges, |address, words| {
        let record = target.u64_in(words, 0).unwrap_or_default();
        if let Some((_, page)) = records.iter().find(|(address, _)| *address == record)
            && let Some(table) = address.checked_sub(ENTRY * u64::from(page.index))
        {
            let votes = tables.entry(table).or_default();
            *votes += 1;
            // Another record at its place in the same table leaves no doubt.
            return *votes >= 2.min(records.len());
        }
        false
    })?;
    let Some((table, _)) = tables.into_iter().max_by_key(|(_, votes)| *votes) else { return Ok(None) };
    let entries = pages.iter().map(|page| table + ENTRY * u64::from(page.index));
    let entries = target.gather(entries, 8)?;
    Ok(Some(
        entries
            .iter()
            .map(|entry| entry.and_then(|entry| target.u64_in(entry, 0)).unwrap_or_default())
            .collect(),
    ))
}

/// The memory that may hold the table and the records, that of the largest reserves first: V8 gets them from malloc.
fn searched(target: &Target<'_>, sandbox: AddrRange) -> Vec<AddrRange> {
    let mut groups = groups(target.regions);
    groups.retain(|group| *group != sandbox);
    groups.sort_by_key(|group| (std::cmp::Reverse(group.size()), group.start()));
    let inside = |group: AddrRange| {
        let first = target.regions.partition_point(|region| region.range.end() <= group.start());
        let regions =
            target.regions[first..].iter().take_while(move |region| region.range.start() < group.end());
        regions.filter(|region: &&Region| is_plain(region)).map(|region| region.range)
    };
    groups.into_iter().flat_map(inside).collect()
}

/// Calls `visit` with the address of each word of `ranges`, and the memory from there on, until it returns `true`.
fn search(
    target: &Target<'_>,
    ranges: &[AddrRange],
    mut visit: impl FnMut(u64, &[u8]) -> bool,
) -> Result<()> {
    let mut left = MOST_SEARCHED;
    for range in ranges {
        for run in target.resident(*range)? {
            for start in (run.start()..run.end()).step_by(AT_ONCE) {
                // A record that crosses the end of a part is not seen; any other one will do.
                let size = (run.end() - start).min(AT_ONCE as u64).min(left);
                left -= size;
                let content = target.bytes(start, size as usize)?;
                for offset in (0..content.len()).step_by(8) {
                    if visit(start + offset as u64, &content[offset..]) {
                        return Ok(());
                    }
                }
                if left == 0 {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
