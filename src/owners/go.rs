//! The heap of Go 1.18 and later, on machines of 64 bits: its arenas, and each span in them, by the runtime's own records.
//!
//! Go documents them in `src/runtime/mheap.go` (`heapArena`, `mspan`), `malloc.go` (arenas and their table) and `stack.go`.
//! A span counts its objects in use as `runtime.MemStats` does: those that were not swept yet are in use.

mod arena;
mod chunks;
mod span;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use mmview_platform::{
    AddrRange, Bytes, Claim, Evidence, FactValue, Region, Result, Runtime, SizeClass, Zone,
};

use super::Recognizer;
use super::claims::Claims;
use super::images::Image;
use super::target::{Target, is_brk, is_plain, is_reserved};
use crate::kind::RegionKind;
use arena::{Arena, Table};
use span::{Span, Spans, Use};

/// The name of the owner.
const OWNER: &str = "Go";

/// The title of what the runtime keeps about its heap.
const RUNTIME: &str = "Go runtime";

/// The section with the version, how it begins, and the flag for a version in the section itself.
const SECTION: &str = ".go.buildinfo";
const MAGIC: &[u8] = b"\xff Go buildinf:";
const FLAGS_AT: usize = 15;
const IS_INLINE: u8 = 2;
const VERSION_AT: usize = 32;

/// How much of the section is read.
const LONGEST_INFO: usize = 128;

/// How often the spans are read while one of so many contradicts the lists.
const ATTEMPTS: usize = 3;
const MOST_TORN: usize = 50;

/// Go's runtime.
pub(super) struct Go;

impl Recognizer for Go {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && images(target).next().is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        // Each Go library in a process has a runtime of its own; the table of the first is found.
        let Some(table) = Table::find(target)? else { return Ok(()) };
        let (arenas, spans) = read(target, &table)?;
        let version = images(target).find_map(version);
        let is_alone = images(target).any(|image| !image.elf.has_interpreter);
        claim_spans(claims, &spans);
        claim_arenas(target, claims, &arenas, &spans);
        let chunks = chunks::find(target, images(target), &spans.sorted_records())?;
        let own = own(target, &table, &arenas, &spans, chunks);
        claim_own(target, claims, &own, is_alone);
        if is_alone {
            claim_reserves(target, claims);
        }
        let name = version.map_or_else(|| OWNER.to_owned(), |version| format!("Go {version}"));
        let runtime = Runtime::new(OWNER, name)
            .fact("heap arenas", FactValue::Count(arenas.len() as u64))
            .fact("spans", FactValue::Count(spans.all.len() as u64));
        claims.runtime(runtime);
        Ok(())
    }
}

/// Reads the arenas and their spans, again if too many spans are in motion.
fn read(target: &Target<'_>, table: &Table) -> Result<(Vec<Arena>, Spans)> {
    let again = || -> Result<_> {
        let arenas = table.arenas(target)?;
        let spans = Spans::read(target, &table.layout, &arenas)?;
        Ok((arenas, spans))
    };
    let mut best = again()?;
    for _ in 1..ATTEMPTS {
        if best.1.torn * MOST_TORN <= best.1.all.len() {
            break;
        }
        let next = again()?;
        if next.1.torn * best.1.all.len() < best.1.torn * next.1.all.len() {
            best = next;
        }
    }
    Ok(best)
}

/// The images that were built by Go.
fn images<'a>(target: &'a Target<'_>) -> impl Iterator<Item = &'a Image> {
    target.images.all.iter().filter(|image| image.elf.section(SECTION).is_some())
}

/// The version that an image was built by, such as `1.19.8`.
fn version(image: &Image) -> Option<String> {
    let section = image.section(SECTION)?;
    let mut info = vec![0; LONGEST_INFO.min(usize::try_from(section.size().0).ok()?)];
    image.constant(section.start(), &mut info)?;
    version_in(&info)
}

/// The version in the build information.
fn version_in(info: &[u8]) -> Option<String> {
    if !info.starts_with(MAGIC) || info.get(FLAGS_AT)? & IS_INLINE == 0 {
        return None;
    }
    // Every version is shorter than what takes a second byte for its length.
    let length = usize::from(*info.get(VERSION_AT)?);
    let text = info.get(VERSION_AT + 1..)?.get(..length)?;
    let version = std::str::from_utf8(text).ok()?.strip_prefix("go")?;
    let is_sane = version.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    is_sane.then(|| version.to_owned())
}

/// Claims the spans, and reports zones for objects and for stacks.
fn claim_spans(claims: &mut Claims<'_>, spans: &Spans) {
    let mut heap = Zone::new(OWNER, "Go heap");
    let mut stacks = Zone::new(OWNER, "Go stacks");
    for group in spans.all.chunk_by(|one, next| one.range.end() == next.range.start() && is_alike(one, next))
    {
        let Some(range) = group.iter().map(|span| span.range).reduce(AddrRange::hull) else { continue };
        let claim = |kind: RegionKind| Claim::new(range, OWNER, kind.id());
        let claim = match group[0].use_ {
            Use::Objects => claim(RegionKind::GcHeap).title("Go heap").zone(&heap.name),
            Use::Stacks => claim(RegionKind::FiberStack).title("Go stacks").zone(&stacks.name),
            Use::Work => claim(RegionKind::RuntimeData).title(RUNTIME),
        };
        claims.add(&claim, is_plain);
    }
    count_objects(&mut heap, spans);
    stacks.committed = Some(spans.size(Use::Stacks));
    for zone in [&mut heap, &mut stacks] {
        zone.doubts.extend(spans.doubts());
    }
    claims.zone(heap);
    if stacks.committed != Some(Bytes::ZERO) {
        claims.zone(stacks);
    }
}

fn is_alike(one: &Span, other: &Span) -> bool {
    one.use_ == other.use_
}

/// Counts the objects in use.
fn count_objects(zone: &mut Zone, spans: &Spans) {
    let mut classes: BTreeMap<u64, SizeClass> = BTreeMap::new();
    for span in spans.all.iter().filter(|span| span.use_ == Use::Objects && span.used > 0) {
        // A large object has a size of its own, so its class is up to the next power of two.
        let size = match span.is_large {
            true => span.object_size.checked_next_power_of_two().unwrap_or(u64::MAX),
            false => span.object_size,
        };
        let class = classes.entry(size).or_insert(SizeClass::new(Bytes(size), 0, Bytes::ZERO));
        class.allocations += span.used;
        class.allocated += Bytes(span.used_bytes());
    }
    let committed = spans.size(Use::Objects);
    let allocated: Bytes = classes.values().map(|class| class.allocated).sum();
    zone.allocations = Some(classes.values().map(|class| class.allocations).sum());
    zone.allocated = Some(allocated);
    zone.committed = Some(committed);
    zone.free = Some(Bytes(committed.0.saturating_sub(allocated.0)));
    zone.sizes = classes.into_values().collect();
}

/// Claims what arenas have besides spans: pages that are free, and address space.
fn claim_arenas(target: &Target<'_>, claims: &mut Claims<'_>, arenas: &[Arena], spans: &Spans) {
    for arena in arenas {
        let at = spans.all.partition_point(|span| span.range.end() <= arena.range.start());
        let first = spans.all.get(at).filter(|span| arena.range.contains(span.range.start()));
        // A heap that begins at a random address leaves the memory before it to others.
        let region = first.and_then(|span| target.region_at(span.range.start()));
        let start =
            region.map_or(arena.range.start(), |region| region.range.start().max(arena.range.start()));
        let Some(range) = AddrRange::new(start, arena.range.end()) else { continue };
        let free = Claim::new(range, OWNER, RegionKind::GcHeap.id()).title("Go heap (free)");
        claims.add(&free, is_plain);
        let reserved = Claim::new(range, OWNER, RegionKind::Reserved.id()).title("Go heap reserve");
        claims.add(&reserved, is_reserved);
    }
}

/// The memory of the runtime's records of its heap.
fn own(
    target: &Target<'_>,
    table: &Table,
    arenas: &[Arena],
    spans: &Spans,
    chunks: Vec<AddrRange>,
) -> Vec<AddrRange> {
    let size = target.page();
    let pages: BTreeSet<u64> = spans.records().map(|address| address - address % size).collect();
    let mut ranges = chunks;
    ranges.push(table.range);
    ranges.extend(arenas.iter().map(|arena| arena.record));
    for page in pages.into_iter().filter_map(|page| AddrRange::with_size(page, Bytes(size))) {
        match ranges.last_mut() {
            Some(last) if last.end() == page.start() => *last = last.hull(page),
            _ => ranges.push(page),
        }
    }
    ranges
}

/// Claims the runtime's own memory, and the rest of the regions that it lies in, if the program is Go's alone.
fn claim_own(target: &Target<'_>, claims: &mut Claims<'_>, ranges: &[AddrRange], is_alone: bool) {
    let data = |range| Claim::new(range, OWNER, RegionKind::RuntimeData.id()).title(RUNTIME);
    for range in ranges {
        claims.add(&data(*range), is_plain);
    }
    if is_alone {
        let mut done = 0;
        for region in ranges.iter().filter_map(|range| target.region_at(range.start())) {
            if region.range.start() != done && is_plain(region) && !is_brk(region) {
                let mut rest = data(region.range);
                rest.evidence = Evidence::Shape;
                claims.add(&rest, is_plain);
                done = region.range.start();
            }
        }
    }
}

/// Claims the address space for the runtime's other tables, the summaries of free pages. Almost nothing of it is in use.
fn claim_reserves(target: &Target<'_>, claims: &mut Claims<'_>) {
    let is_part = |region: &Region| is_reserved(region) || is_plain(region) && !is_brk(region);
    let groups = target
        .regions
        .chunk_by(|one, next| one.range.end() == next.range.start() && is_part(one) && is_part(next));
    for group in groups.filter(|group| group.len() > 1 && group.iter().any(is_reserved)) {
        let Some(range) = group.iter().map(|region| region.range).reduce(AddrRange::hull) else { continue };
        let claim = |kind: RegionKind, title| {
            let mut claim = Claim::new(range, OWNER, kind.id()).title(title);
            claim.evidence = Evidence::Shape;
            claim
        };
        claims.add(&claim(RegionKind::RuntimeData, RUNTIME), is_plain);
        claims.add(&claim(RegionKind::Reserved, "Go runtime reserve"), is_reserved);
    }
}
