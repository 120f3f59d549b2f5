//! The garbage-collected heaps of Blink, Chromium's page renderer, by the headers of their pages.
//!
//! cppgc documents them in V8's `src/heap/cppgc/heap-page.h` and `page-memory.h`. A normal page has 128 KiB; a large object has
//! a page of its own. All of them lie in one reserve, and each names its heap, which all pages of a thread share.

use std::collections::BTreeMap;

use mmview_platform::{AddrRange, Bytes, Claim, FactValue, Result, Runtime, Zone};

use super::Recognizer;
use super::claims::Claims;
use super::target::{Target, groups, is_plain, is_reserved};
use crate::kind::RegionKind;

/// The name of the owner.
const OWNER: &str = "Blink";

/// The size of a normal page, and the alignment of all.
const PAGE: u64 = 128 << 10;

/// The alignment of the reserve, and its least size.
const CAGE: u64 = 4 << 30;

/// The header: the heap, the space, the type, and for a large page the size of its object, which follows.
const SPACE: u64 = 8;
const TYPE: u64 = 16;
const IS_LARGE: u8 = 1;
const OBJECT_SIZE: u64 = 56;
const HEADER: u64 = 72;

/// Fewer pages that name the same heap are chance.
const FEWEST_PAGES: usize = 3;

/// Blink's heaps.
pub(super) struct CppGc;

/// A page of a heap.
struct Page {
    range: AddrRange,
    /// Its size without the rest of the last page of memory.
    size: u64,
    heap: u64,
}

impl Recognizer for CppGc {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && target.images.has_browser() && cages(target).next().is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        for cage in cages(target) {
            let (pages, unknown) = pages(target, cage)?;
            let mut heaps: BTreeMap<u64, Vec<&Page>> = BTreeMap::new();
            for page in &pages {
                heaps.entry(page.heap).or_default().push(page);
            }
            heaps.retain(|_, pages| pages.len() >= FEWEST_PAGES);
            if heaps.is_empty() {
                continue;
            }
            report(claims, cage, &heaps, unknown);
            break;
        }
        Ok(())
    }
}

/// The reserves that may be one for heaps.
fn cages(target: &Target<'_>) -> impl Iterator<Item = AddrRange> {
    let is_cage = |range: &AddrRange| range.start().is_multiple_of(CAGE) && range.size().0 >= CAGE;
    groups(target.regions).into_iter().filter(is_cage)
}

/// The pages in a reserve, and how many places in use have none.
fn pages(target: &Target<'_>, cage: AddrRange) -> Result<(Vec<Page>, usize)> {
    let first = target.regions.partition_point(|region| region.range.end() <= cage.start());
    let regions = target.regions[first..].iter().take_while(|region| region.range.start() < cage.end());
    let is_part = |range: &AddrRange| range.start().is_multiple_of(PAGE);
    let ranges = regions.filter(|region| is_plain(region)).map(|region| region.range).filter(is_part);
    let (mut pages, mut unknown) = (Vec::new(), 0);
    for range in ranges {
        // Of a large object, most may not be resident.
        let runs = target.resident(range)?;
        let first = |run: &AddrRange| run.start().checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
        let places: Vec<u64> =
            runs.iter().flat_map(|run| (first(run)..run.end()).step_by(PAGE as usize)).collect();
        let headers = target.gather(places.iter().copied(), HEADER as usize)?;
        let mut next = range.start();
        for (place, header) in places.iter().zip(headers.iter()) {
            if *place < next {
                continue;
            }
            match header.and_then(|header| page(target, cage, range, *place, header)) {
                Some(page) => {
                    next = page.range.end();
                    pages.push(page);
                }
                None => unknown += 1,
            }
        }
    }
    Ok((pages, unknown))
}

/// The page at this place, by its header.
fn page(target: &Target<'_>, cage: AddrRange, range: AddrRange, place: u64, header: &[u8]) -> Option<Page> {
    let (heap, space) = (target.u64_in(header, 0)?, target.u64_in(header, SPACE)?);
    let is_outside =
        |address: u64| address.is_multiple_of(8) && target.is_plain(address) && !cage.contains(address);
    let size = match *header.get(TYPE as usize)? {
        0 => PAGE,
        IS_LARGE => target.u64_in(header, OBJECT_SIZE)?.checked_add(HEADER)?,
        _ => return None,
    };
    let end = place.checked_add(size)?.checked_next_multiple_of(target.page())?;
    let is_possible = is_outside(heap) && is_outside(space) && end <= range.end();
    is_possible.then_some(Page { range: AddrRange::new(place, end)?, size, heap })
}

/// Claims the pages of each heap, and the rest of the reserve.
fn report(claims: &mut Claims<'_>, cage: AddrRange, heaps: &BTreeMap<u64, Vec<&Page>>, unknown: usize) {
    for (index, pages) in heaps.values().enumerate() {
        let name = if index == 0 { "Blink heap".to_owned() } else { format!("Blink heap {}", index + 1) };
        let mut zone = Zone::new(OWNER, name);
        for group in pages.chunk_by(|one, next| one.range.end() == next.range.start()) {
            if let Some(range) = group.iter().map(|page| page.range).reduce(AddrRange::hull) {
                let claim =
                    Claim::new(range, OWNER, RegionKind::GcHeap.id()).title("Blink heap").zone(&zone.name);
                claims.add(&claim, is_plain);
            }
        }
        zone.committed = Some(Bytes(pages.iter().map(|page| page.size).sum()));
        if unknown > 0 {
            zone.doubts.push(format!("{unknown} pages in the reserve have no valid header").into());
        }
        claims.zone(zone);
    }
    let reserved = Claim::new(cage, OWNER, RegionKind::Reserved.id()).title("Blink heap reserve");
    claims.add(&reserved, is_reserved);
    let pages: usize = heaps.values().map(Vec::len).sum();
    let runtime = Runtime::new(OWNER, "Blink's garbage collector")
        .fact("heaps", FactValue::Count(heaps.len() as u64))
        .fact("heap pages", FactValue::Count(pages as u64));
    claims.runtime(runtime);
}
