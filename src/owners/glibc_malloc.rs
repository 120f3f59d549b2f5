//! glibc's malloc, 2.26 to 2.43, 32 and 64 bits: its arenas, heaps and mapped blocks, and every block in them.
//!
//! While the target runs, a heap changes under the walk. What was in motion is noticed: a list that ends elsewhere, a top that
//! moved, a sum that differs. Then the figures are about right, and the zone says why.

mod arena;
mod cache;
mod mapped;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::HashSet;
use std::sync::Arc;

use mmview_platform::{AddrRange, Bytes, Claim, Evidence, Result, Zone};

use super::claims::Claims;
use super::target::{Target, is_brk, is_plain};
use super::{Recognizer, Wanted};
use crate::kind::RegionKind;
use arena::{Arena, Heap, Malloc, block_at};
use cache::Caches;
use walk::{End, Probe, Stream, Tally, walk};

/// The name of the owner.
const OWNER: &str = "glibc malloc";

/// What other allocators export, which take the place of glibc's: mimalloc, jemalloc, both tcmallocs, scudo.
const OTHERS: [&str; 5] =
    ["mi_malloc", "mallctl", "tc_malloc", "TCMalloc_Internal_GetStats", "__scudo_print_stats"];

/// How often an arena whose top moves is walked again.
const ATTEMPTS: usize = 3;

/// How many places are tried to find where a heap goes on, and how many blocks these attempts visit together.
const MOST_PLACES: u64 = 1 << 20;
const MOST_STEPS: u64 = 1 << 22;

/// How much is read for such a search.
const MOST_SEARCHED: u64 = 256 << 20;

/// How many pages are tried as the start of a mapping of the main arena.
const MOST_PAGES: usize = 1 << 16;

/// More blocks than any heap holds.
const ENDLESS: u64 = u64::MAX;

/// glibc's malloc.
pub(super) struct GlibcMalloc {
    wanted: Wanted,
}

impl GlibcMalloc {
    pub fn new(wanted: Wanted) -> GlibcMalloc {
        GlibcMalloc { wanted }
    }
}

/// An arena that was walked.
struct Walked {
    name: Arc<str>,
    /// The addresses of its blocks.
    pieces: Vec<AddrRange>,
    tally: Tally,
    top: u64,
    trimmable: u64,
    doubts: Vec<String>,
}

impl Recognizer for GlibcMalloc {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        !target.images.all.is_empty()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        let all = Malloc::find_all(target)?;
        let is_several = all.len() > 1;
        for (index, malloc) in all.iter().enumerate() {
            let prefix = if is_several { format!("malloc {} ", index + 1) } else { String::new() };
            self.inspect(target, claims, malloc, &prefix)?;
        }
        // Where another allocator took over, glibc's is unused, and what looks like one of its arenas is not.
        let is_replaced =
            || OTHERS.into_iter().any(|symbol| target.images.exporting(symbol).next().is_some());
        if !all.is_empty() || is_replaced() {
            claims.settle("malloc");
        }
        Ok(())
    }
}

impl GlibcMalloc {
    fn inspect(
        &self,
        target: &Target<'_>,
        claims: &mut Claims<'_>,
        malloc: &Malloc,
        prefix: &str,
    ) -> Result<()> {
        let heaps = malloc.heaps(target)?;
        let mut walked = Vec::new();
        for (index, arena) in malloc.arenas.iter().enumerate() {
            let name = match index {
                0 => format!("{prefix}main arena"),
                index => format!("{prefix}arena {index}"),
            };
            let mut attempt = 0;
            let mut arena = arena.clone();
            let result = loop {
                attempt += 1;
                let result =
                    self.walk_arena(target, malloc, &heaps, index, &arena, Arc::from(name.as_str()))?;
                if result.doubts.is_empty() || attempt == ATTEMPTS {
                    break result;
                }
                match malloc.read_again(target)?.swap_remove(index) {
                    Some(again) if again.top != arena.top || again.system != arena.system => arena = again,
                    // It has not moved, so another walk would end at the same place.
                    _ => break result,
                }
            };
            walked.push(result);
        }
        self.take_out_cached(target, malloc, &mut walked)?;
        self.note_motion(target, malloc, &mut walked)?;
        claim_arenas(target, claims, &walked, &heaps);
        for arena in walked {
            if arena.pieces.is_empty() && arena.doubts.is_empty() {
                continue;
            }
            claims.zone(zone(arena));
        }
        mapped_blocks(target, claims, malloc, prefix, self.wanted)
    }

    fn walk_arena(
        &self,
        target: &Target<'_>,
        malloc: &Malloc,
        heaps: &[Heap],
        index: usize,
        arena: &Arena,
        name: Arc<str>,
    ) -> Result<Walked> {
        let tally = Tally::new(target, self.wanted.largest, cache::sizes(target.word));
        let mut walked = Walked { name, pieces: Vec::new(), tally, top: 0, trimmable: 0, doubts: Vec::new() };
        if index == 0 {
            walk_main(target, malloc, heaps, arena, &mut walked)?;
        } else {
            walk_heaps(target, malloc, heaps, index, arena, &mut walked)?;
        }
        Ok(walked)
    }

    /// Takes out of the blocks in use those that wait in caches of threads and in fast bins.
    fn take_out_cached(&self, target: &Target<'_>, malloc: &Malloc, walked: &mut [Walked]) -> Result<()> {
        let pieces: Vec<Vec<AddrRange>> = walked.iter().map(|arena| arena.pieces.clone()).collect();
        let holds = |pieces: &[AddrRange], address: u64| pieces.iter().any(|piece| piece.contains(address));
        let mut sorted: Vec<AddrRange> = pieces.iter().flatten().copied().collect();
        sorted.sort_unstable();
        let is_heap = |address: u64| {
            let after = sorted.partition_point(|piece| piece.end() <= address);
            sorted.get(after).is_some_and(|piece| piece.contains(address))
        };
        let candidates: Vec<_> =
            walked.iter().flat_map(|arena| arena.tally.candidates.iter().copied()).collect();
        let cached = malloc.parameters.map_or(0, |parameters| parameters.cached);
        let caches = Caches::find(target, &candidates, cached, &is_heap)?;
        for ((arena, state), pieces) in walked.iter_mut().zip(&malloc.arenas).zip(&pieces) {
            let tally = &arena.tally;
            let (fast, is_whole) = cache::fast_blocks(
                target,
                state,
                &malloc.layout,
                caches.is_mangled,
                &|size| tally.count_of(size),
                &is_heap,
            )?;
            let mut waiting = fast;
            waiting.extend(caches.blocks.iter().filter(|(address, _)| holds(pieces, *address)));
            arena.tally.remove(&waiting);
            if !is_whole {
                arena.doubts.push("a list of fast bins does not end".to_owned());
            }
        }
        if caches.torn > 0 {
            let doubt = "a list in a thread's cache does not fit its counter";
            walked.iter_mut().for_each(|arena| arena.doubts.push(doubt.to_owned()));
        }
        if caches.have_changed(target)? {
            walked
                .iter_mut()
                .for_each(|arena| arena.doubts.push("a thread's cache changed meanwhile".to_owned()));
        }
        Ok(())
    }

    /// Notes for each arena whether it changed while it was read.
    fn note_motion(&self, target: &Target<'_>, malloc: &Malloc, walked: &mut [Walked]) -> Result<()> {
        let again = malloc.read_again(target)?;
        for ((before, after), arena) in malloc.arenas.iter().zip(again).zip(walked) {
            if after.is_none_or(|after| after.state != before.state) {
                arena.doubts.push("the arena changed while it was read".to_owned());
            }
        }
        Ok(())
    }
}

/// Walks the main arena: from the start of the kernel's heap, over what others took of it, to the top; and through mappings
/// if the heap could not grow.
fn walk_main(
    target: &Target<'_>,
    malloc: &Malloc,
    heaps: &[Heap],
    arena: &Arena,
    walked: &mut Walked,
) -> Result<()> {
    let start = match malloc.parameters {
        Some(parameters) if parameters.heap_start != 0 => Some(block_at(parameters.heap_start, target.word)),
        _ => None,
    };
    // Without any allocation, the top is a place in the arena itself.
    if arena.system == 0
        || (malloc.arenas[0].address..malloc.arenas[0].address + malloc.layout.size).contains(&arena.top)
    {
        return Ok(());
    }
    let (mut has_reached_top, mut is_mapped) = (false, false);
    if let Some(start) = start.filter(|start| target.is_plain(*start)) {
        let end = end_of_plain(target, start);
        has_reached_top = walk_pieces(target, arena.top, start, end, walked)?;
    }
    if !has_reached_top {
        has_reached_top = walk_mappings(target, heaps, arena, walked)?;
        is_mapped = true;
    }
    let taken: u64 = walked.pieces.iter().map(|piece| piece.size().0).sum();
    if !has_reached_top {
        if walked.doubts.is_empty() {
            walked.doubts.push("the walk did not reach the top".to_owned());
        }
    } else if taken > arena.system || (is_mapped && taken.abs_diff(arena.system) >= target.page()) {
        walked
            .doubts
            .push(format!("its blocks have {taken} bytes, but it got {} from the system", arena.system));
    }
    Ok(())
}

/// The end of the plain memory that goes on from `address` without a gap.
fn end_of_plain(target: &Target<'_>, address: u64) -> u64 {
    let mut end = address;
    while let Some(region) = target.region_at(end).filter(|region| is_plain(region)) {
        end = region.range.end();
    }
    end
}

/// Walks through the pieces of a heap that others have taken parts of. Returns whether it reached the top.
fn walk_pieces(target: &Target<'_>, top: u64, start: u64, end: u64, walked: &mut Walked) -> Result<bool> {
    let Some(area) = AddrRange::new(start, end) else { return Ok(false) };
    let mut stream = Stream::new(target, area)?;
    let fences = 4 * target.word;
    let mut at = start;
    loop {
        let reached = walk(&mut stream, at, end, top, &mut { ENDLESS }, &mut walked.tally)?;
        match reached {
            End::Top(size) => {
                walked.pieces.extend(AddrRange::new(at, top + size));
                add_top(&stream, target, top, size, walked, true);
                walked.trimmable += walked.tally.trimmable(&stream);
                return Ok(true);
            }
            End::Fence(fence) => {
                walked.pieces.extend(AddrRange::new(at, fence + fences));
                match resume(&mut stream, target.word, fence + fences, end, top)? {
                    Some(next) => at = next,
                    None => {
                        walked.trimmable += walked.tally.trimmable(&stream);
                        walked.tally.large_free.clear();
                        return Ok(false);
                    }
                }
            }
            End::Torn(place) | End::Missing(place) => {
                walked.pieces.extend(AddrRange::new(at, place).filter(|piece| !piece.is_empty()));
                walked.doubts.push(stopped(reached));
                return Ok(false);
            }
            End::TooLong => return Ok(false),
        }
    }
}

fn stopped(end: End) -> String {
    match end {
        End::Missing(place) => format!("the walk stopped at {place:x}, whose page is not in memory"),
        End::Torn(place) => {
            format!("the walk stopped at {place:x}: the block there contradicts its neighbors")
        }
        _ => "the walk did not reach the top".to_owned(),
    }
}

/// Where a heap goes on after what someone else took of it: the first place whose blocks lead to the top or to other fence
/// posts.
fn resume(stream: &mut Stream<'_, '_>, word: u64, from: u64, end: u64, top: u64) -> Result<Option<u64>> {
    let mut steps = MOST_STEPS;
    stream.allowance = MOST_SEARCHED;
    let found = resume_within(stream, word, (from, end), top, &mut steps)?;
    stream.allowance = u64::MAX;
    Ok(found)
}

fn resume_within(
    stream: &mut Stream<'_, '_>,
    word: u64,
    (from, end): (u64, u64),
    top: u64,
    steps: &mut u64,
) -> Result<Option<u64>> {
    let places = (block_at(from, word)..end).step_by(16).take(MOST_PLACES as usize);
    for place in places {
        match walk(stream, place, end, top, steps, &mut Probe)? {
            End::Top(_) => return Ok(Some(place)),
            End::Fence(fence) if fence > place && is_second_fence(stream, word, fence + 2 * word)? => {
                return Ok(Some(place));
            }
            End::TooLong => break,
            _ => {}
        }
    }
    Ok(None)
}

/// Whether the second of two fence posts is at `address`: it is as small as the first, or in an arena empty, and says that the
/// first is in use.
fn is_second_fence(stream: &mut Stream<'_, '_>, word: u64, address: u64) -> Result<bool> {
    let field = stream.header(address)?.map(|(_, field)| field);
    Ok(field.is_some_and(|field| field & 1 == 1 && (field & !7 == 2 * word || field & !7 == 0)))
}

/// Counts the top block as free. `may_shrink` says that the arena gives its end back to the system (`systrim`).
fn add_top(
    stream: &Stream<'_, '_>,
    target: &Target<'_>,
    top: u64,
    size: u64,
    walked: &mut Walked,
    may_shrink: bool,
) {
    walked.top = size;
    if may_shrink {
        // One block of the smallest size stays.
        let spare = size.saturating_sub(4 * target.word + 1);
        let whole = spare - spare % target.page();
        let end = top + size;
        walked.trimmable += AddrRange::new(end - whole, end).map_or(0, |range| stream.resident_in(range));
    }
}

/// Walks through mappings that the main arena got because the kernel's heap could not grow. Each piece starts at a page and
/// ends with fence posts, the one of the top with the top. Returns whether it found the top.
fn walk_mappings(target: &Target<'_>, heaps: &[Heap], arena: &Arena, walked: &mut Walked) -> Result<bool> {
    let word = target.word;
    let mut has_top = false;
    let mut taken: u64 = walked.pieces.iter().map(|piece| piece.size().0).sum();
    let (mut pages_left, mut steps) = (MOST_PAGES, MOST_STEPS);
    let mut allowance = MOST_SEARCHED;
    let is_elsewhere = |address: u64| !heaps.iter().any(|heap| heap.writable.contains(address));
    let regions = target.regions.iter().filter(|region| is_plain(region) && region.is_unnamed());
    for range in regions.map(|region| region.range) {
        if taken >= arena.system || pages_left == 0 || steps == 0 {
            break;
        }
        let mut stream = Stream::new(target, range)?;
        let pages = stream.resident.iter().filter_map(|run| run.overlap(range));
        let pages = pages.flat_map(|run| (run.start()..run.end()).step_by(target.page() as usize));
        let starts = pages.map(|page| block_at(page, word)).filter(|start| is_elsewhere(*start));
        let starts: Vec<u64> = starts.take(pages_left).collect();
        pages_left -= starts.len();
        let headers = target.gather(starts.iter().copied(), 2 * word as usize)?;
        let mut next = range.start();
        for (at, header) in starts.into_iter().zip(headers.iter()) {
            let field = header.and_then(|header| target.word_in(header, word)).unwrap_or(0);
            // The first block of a piece is of the main arena, and none before it is free.
            let is_possible =
                field & 7 == 1 && field >= 4 * word && (field & !7) <= range.end().saturating_sub(at);
            if at < next || !is_possible {
                continue;
            }
            stream.allowance = allowance;
            let end = walk(&mut stream, at, range.end(), arena.top, &mut steps, &mut Probe)?;
            allowance = std::mem::replace(&mut stream.allowance, u64::MAX);
            let after = match end {
                End::Top(size) => arena.top + size,
                End::Fence(fence) if is_second_fence(&mut stream, word, fence + 2 * word)? => {
                    fence + 4 * word
                }
                _ => continue,
            };
            // In a mapping, fence posts end at the end of a page.
            if !matches!(end, End::Top(_)) && block_at(after, word) != after {
                continue;
            }
            walk(&mut stream, at, range.end(), arena.top, &mut { ENDLESS }, &mut walked.tally)?;
            if let End::Top(size) = end {
                has_top = true;
                add_top(&stream, target, arena.top, size, walked, false);
            }
            let piece = AddrRange::new(at, after);
            taken += piece.map_or(0, |piece| piece.size().0);
            walked.pieces.extend(piece);
            next = after;
        }
        walked.trimmable += walked.tally.trimmable(&stream);
        walked.tally.large_free.clear();
    }
    Ok(has_top)
}

/// Walks the heaps of an arena but the main one.
fn walk_heaps(
    target: &Target<'_>,
    malloc: &Malloc,
    heaps: &[Heap],
    index: usize,
    arena: &Arena,
    walked: &mut Walked,
) -> Result<()> {
    let mut system = 0;
    let mut has_top = false;
    for heap in heaps.iter().filter(|heap| heap.arena == index) {
        let start = heap.first_block(target.word, arena.address, malloc.layout.size);
        let mut stream = Stream::new(target, heap.used)?;
        let end = walk(&mut stream, start, heap.used.end(), arena.top, &mut { ENDLESS }, &mut walked.tally)?;
        match end {
            End::Top(size) => {
                has_top = true;
                add_top(&stream, target, arena.top, size, walked, false);
            }
            End::Fence(fence) if is_second_fence(&mut stream, target.word, fence + 2 * target.word)? => {}
            end => walked.doubts.push(stopped(end)),
        }
        system += heap.used.size().0;
        walked.pieces.push(heap.used);
        walked.trimmable += walked.tally.trimmable(&stream);
        walked.tally.large_free.clear();
    }
    if !has_top {
        walked.doubts.push("its top is in no heap".to_owned());
    }
    if system != arena.system {
        walked
            .doubts
            .push(format!("its heaps have {system} bytes, but it got {} from the system", arena.system));
    }
    Ok(())
}

/// Claims the memory of the arenas.
fn claim_arenas(target: &Target<'_>, claims: &mut Claims<'_>, walked: &[Walked], heaps: &[Heap]) {
    for (index, arena) in walked.iter().enumerate() {
        for (place, piece) in arena.pieces.iter().enumerate() {
            let is_heap = target.region_at(piece.start()).is_some_and(is_brk);
            let kind = if is_heap { RegionKind::Heap } else { RegionKind::MallocArena };
            let note = match arena.pieces.len() {
                1 => arena.name.to_string(),
                count if index > 0 => format!("{}, heap {} of {count}", arena.name, place + 1),
                count => format!("{}, piece {} of {count}", arena.name, place + 1),
            };
            claims.add(&Claim::new(*piece, OWNER, kind.id()).zone(&arena.name).note(note), is_plain);
        }
        for heap in heaps.iter().filter(|heap| heap.arena == index) {
            // What the arena gave back of a heap stays writable.
            let spare = Claim::new(heap.writable, OWNER, RegionKind::MallocArena.id());
            claims.add(&spare.zone(&arena.name).note(arena.name.to_string()), is_plain);
            if let Some(reserved) = AddrRange::new(heap.writable.end(), heap.reserved_end) {
                let claim = Claim::new(reserved, OWNER, RegionKind::MallocReserved.id());
                claims.add(&claim.note(arena.name.to_string()), |region| {
                    region.protection.is_none() && region.is_unnamed()
                });
            }
        }
    }
}

fn zone(arena: Walked) -> Zone {
    let Walked { name, mut tally, top, trimmable, doubts, .. } = arena;
    let mut zone = Zone::new(OWNER, name);
    zone.allocations = Some(tally.used);
    zone.allocated = Some(Bytes(tally.used_bytes));
    zone.free = Some(Bytes(tally.free_bytes + top));
    zone.free_blocks = Some(tally.free);
    zone.largest_free = Some(Bytes(tally.largest_free.max(top)));
    zone.top = Some(Bytes(top));
    zone.trimmable = Some(Bytes(trimmable));
    zone.cached = Some(Bytes(tally.cached_bytes));
    zone.cached_blocks = Some(tally.cached);
    zone.sizes = tally.sizes();
    zone.largest = tally.largest();
    let mut seen = HashSet::new();
    zone.doubts = doubts.into_iter().filter(|doubt| seen.insert(doubt.clone())).map(Into::into).collect();
    zone
}

/// Claims the mapped blocks, which have a zone of their own.
fn mapped_blocks(
    target: &Target<'_>,
    claims: &mut Claims<'_>,
    malloc: &Malloc,
    prefix: &str,
    wanted: Wanted,
) -> Result<()> {
    let Some(parameters) = malloc.parameters else { return Ok(()) };
    let found = mapped::find(target, claims, &parameters)?;
    if found.blocks.is_empty() && parameters.mapped_blocks == 0 {
        return Ok(());
    }
    let name: Arc<str> = format!("{prefix}mapped blocks").into();
    let mut zone = Zone::new(OWNER, Arc::clone(&name));
    let mut tally = Tally::new(target, wanted.largest, &[]);
    for block in &found.blocks {
        walk::Visit::used(&mut tally, block.header, block.range.size().0);
    }
    zone.allocations = Some(tally.used);
    zone.allocated = Some(Bytes(tally.used_bytes));
    zone.free = Some(Bytes::ZERO);
    zone.free_blocks = Some(0);
    zone.largest_free = Some(Bytes::ZERO);
    zone.top = Some(Bytes::ZERO);
    zone.trimmable = Some(Bytes::ZERO);
    zone.cached = Some(Bytes::ZERO);
    zone.cached_blocks = Some(0);
    zone.sizes = tally.sizes();
    zone.largest = tally.largest();
    let (blocks, expected) = (found.blocks.len() as u64, u64::from(parameters.mapped_blocks));
    if blocks != expected {
        zone.doubts.push(format!("glibc counts {expected} mapped blocks, and {blocks} were found").into());
    }
    // From 2.43 on, glibc's own sum drifts by a few bytes after some calls of realloc.
    let drift = parameters.mapped_bytes.abs_diff(found.bytes);
    if drift >= target.page() {
        zone.doubts.push(
            format!(
                "glibc counts {} bytes of mapped blocks, and {} were found",
                parameters.mapped_bytes, found.bytes
            )
            .into(),
        );
    }
    let now = target.bytes(parameters.address, 4)?;
    if target.u32_in(&now, 0) != Some(parameters.mapped_blocks) {
        zone.doubts.push("the number of mapped blocks changed while they were read".into());
    }
    // Neighbors are one claim, so that a region with many of them does not have as many parts.
    for group in found.blocks.chunk_by(|one, other| one.range.end() == other.range.start()) {
        let range = group.iter().map(|block| block.range).reduce(AddrRange::hull);
        let note = match group.len() {
            1 => "1 mapped block".to_owned(),
            count => format!("{count} mapped blocks"),
        };
        if let Some(range) = range {
            let mut claim = Claim::new(range, OWNER, RegionKind::MallocLarge.id()).zone(&name).note(note);
            // Two words are a weak proof. glibc's own count and sum make it a strong one.
            if !zone.is_exact() {
                claim.evidence = Evidence::Shape;
            }
            claims.add(&claim, is_plain);
        }
    }
    claims.zone(zone);
    Ok(())
}
