//! From piece to piece of an arena: over what others took of the kernel's heap, through mappings, and through its heaps.

use std::sync::Arc;

use mmview_platform::{AddrRange, Result};

use super::arena::{Arena, Heap, Malloc, block_at};
use super::walk::{End, Probe, Stream, Tally, walk};
use crate::owners::target::{Target, is_plain};

/// How many places are tried to find where a heap goes on, and how many blocks these attempts visit together.
const MOST_PLACES: u64 = 1 << 20;
const MOST_STEPS: u64 = 1 << 22;

/// How much is read for such a search.
const MOST_SEARCHED: u64 = 256 << 20;

/// How many pages are tried as the start of a mapping of the main arena.
const MOST_PAGES: usize = 1 << 16;

/// More blocks than any heap holds.
const ENDLESS: u64 = u64::MAX;

/// An arena that was walked.
pub(super) struct Walked {
    pub name: Arc<str>,
    /// The addresses of its blocks.
    pub pieces: Vec<AddrRange>,
    pub tally: Tally,
    pub top: u64,
    pub trimmable: u64,
    pub doubts: Vec<String>,
}

/// Walks the main arena: from the start of the kernel's heap, over what others took of it, to the top; and through mappings
/// if the heap could not grow.
pub(super) fn walk_main(
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
pub(super) fn walk_heaps(
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
