//! Large blocks, which have mappings of their own (`sysmalloc_mmap`). The kernel joins neighboring ones, with each other and
//! with other memory, so each region is tiled from its start, and each gap between known parts.

use mmview_platform::{AddrRange, Result};

use super::arena::Parameters;
use crate::owners::claims::Claims;
use crate::owners::target::{Target, is_plain};

/// The flag of a mapped block; the other two flags are clear.
const MAPPED: u64 = 2;

/// The smallest block that is mapped by default (`DEFAULT_MMAP_THRESHOLD`).
const SMALLEST: u64 = 128 << 10;

/// How many pages inside of regions are tried, once the starts did not lead to all blocks.
const MOST_TRIES: usize = 8192;

/// A mapped block: all of its mapping, and where its header lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub range: AddrRange,
    pub header: u64,
}

/// How many pages are tried in one call.
const PAGES_AT_ONCE: usize = 256;

/// How many pages are read to find headers that lie elsewhere.
const MOST_CORRECTED: usize = 64 << 10;

/// What was found.
pub(super) struct Found {
    pub blocks: Vec<Mapped>,
    pub bytes: u64,
}

/// Finds the mapped blocks in what nothing else claims.
pub(super) fn find(target: &Target<'_>, claims: &Claims<'_>, parameters: &Parameters) -> Result<Found> {
    let wanted = parameters.mapped_blocks as usize;
    let mut found = Found { blocks: Vec::new(), bytes: 0 };
    if wanted == 0 {
        return Ok(found);
    }
    let regions = target.regions.iter().filter(|region| is_plain(region) && region.is_unnamed());
    let mut gaps: Vec<AddrRange> = regions.flat_map(|region| claims.unclaimed(region.range)).collect();
    // By default only blocks of 128K and more are mapped. Most programs keep that, and then the large gaps hold all of them.
    let is_small = |gap: &AddrRange| gap.size().0 < SMALLEST;
    gaps.sort_by_key(|gap| (is_small(gap), gap.start()));
    let mut tries = MOST_TRIES;
    for group in gaps.chunk_by(|one, other| is_small(one) == is_small(other)) {
        let rest = tile(target, group.to_vec(), &mut found)?;
        // First where a block of the usual size has room, then where any has.
        for least in [SMALLEST, target.page()] {
            if found.blocks.len() < wanted {
                search(target, &rest, parameters, least, &mut tries, &mut found)?;
            }
        }
        if found.blocks.len() >= wanted {
            break;
        }
    }
    // A size that is wrong can make up for a block that it hides, so the number counts too.
    if found.blocks.len() < wanted || found.bytes.abs_diff(parameters.mapped_bytes) >= target.page() {
        let freed = correct(target, claims, &mut found)?;
        tile(target, freed, &mut found)?;
    }
    found.blocks.sort_unstable_by_key(|block| block.range);
    Ok(found)
}

/// Takes block after block from the start of each gap. Returns what is left of them, if it is at least a page.
fn tile(target: &Target<'_>, gaps: Vec<AddrRange>, found: &mut Found) -> Result<Vec<AddrRange>> {
    let mut open = gaps;
    let mut left = Vec::new();
    while !open.is_empty() {
        let headers = target.gather(open.iter().map(|gap| gap.start()), 2 * target.word as usize * 2)?;
        let mut next = Vec::new();
        for (gap, header) in open.iter().zip(headers.iter()) {
            match header.map(|header| block(target, *gap, header)).transpose()?.flatten() {
                Some(block) => {
                    found.bytes += block.range.size().0;
                    found.blocks.push(block);
                    next.extend(gap.from_address(block.range.end()));
                }
                None => left.push(*gap),
            }
        }
        open = next;
    }
    Ok(left)
}

/// Corrects blocks whose size is that of a header which was left behind: an aligned block that moved can have its own header
/// in any page, at the place before an aligned address in it. Returns what they covered before and do not now.
fn correct(target: &Target<'_>, claims: &Claims<'_>, found: &mut Found) -> Result<Vec<AddrRange>> {
    let mut freed: Vec<AddrRange> = Vec::new();
    found.blocks.sort_unstable_by_key(|block| block.range);
    let mut pages_left = MOST_CORRECTED;
    let old = std::mem::take(&mut found.blocks);
    let mut end_of_last = 0;
    for (index, block) in old.iter().enumerate() {
        let start = block.range.start();
        if start < end_of_last {
            // It is a part of the block before, which has grown.
            continue;
        }
        let Some(region) = target.region_at(start) else { continue };
        let rest = claims.unclaimed(region.range).into_iter().find_map(|gap| gap.from_address(start));
        let next = old.get(index + 1).map(|next| next.range.start());
        let has_rest =
            rest.is_some_and(|rest| rest.end() != block.range.end() && next != Some(block.range.end()));
        let overlaps_next = next.is_some_and(|next| next < block.range.end());
        let mut right = *block;
        if (has_rest || overlaps_next || block.header == start + usual_offset(target))
            && let Some(rest) = rest
        {
            right = header_in_a_page(target, rest, block.range, &mut pages_left)?.unwrap_or(right);
        }
        end_of_last = right.range.end();
        freed.extend(AddrRange::new(end_of_last, block.range.end()).filter(|freed| !freed.is_empty()));
        found.blocks.push(right);
    }
    found.bytes = found.blocks.iter().map(|block| block.range.size().0).sum();
    Ok(freed.into_iter().flat_map(|freed| between(&found.blocks, freed)).collect())
}

/// What the blocks, which are sorted, leave free of `range`.
fn between(blocks: &[Mapped], range: AddrRange) -> Vec<AddrRange> {
    let first = blocks.partition_point(|block| block.range.end() <= range.start());
    let mut free = Vec::new();
    let mut next = range.start();
    for block in blocks[first..].iter().take_while(|block| block.range.start() < range.end()) {
        free.extend(AddrRange::new(next, block.range.start()).filter(|gap| !gap.is_empty()));
        next = next.max(block.range.end());
    }
    free.extend(AddrRange::new(next, range.end()).filter(|gap| !gap.is_empty()));
    free
}

/// Looks for the header of a block in the resident pages of what it seems to cover.
fn header_in_a_page(
    target: &Target<'_>,
    gap: AddrRange,
    block: AddrRange,
    pages_left: &mut usize,
) -> Result<Option<Mapped>> {
    let header = 2 * target.word;
    let page = target.page();
    for run in target.resident(block)? {
        let Some(run) = run.overlap(block) else { continue };
        let mut ends =
            (run.start() + page..=run.end()).step_by(page as usize).filter(|end| end - page > block.start());
        loop {
            let places: Vec<u64> = ends.by_ref().take(512.min(*pages_left)).map(|end| end - header).collect();
            if places.is_empty() {
                break;
            }
            *pages_left -= places.len();
            let headers = target.gather(places.iter().copied(), header as usize)?;
            for (place, bytes) in places.iter().zip(headers.iter()) {
                let Some(bytes) = bytes else { continue };
                let (before, field) = (target.word_in(bytes, 0), target.word_in(bytes, target.word));
                if let Some(block) = fit(target, gap, place - gap.start(), before, field) {
                    return Ok(Some(block));
                }
            }
        }
    }
    Ok(None)
}

/// Tries the other pages of the gaps, the small gaps first.
fn search(
    target: &Target<'_>,
    gaps: &[AddrRange],
    parameters: &Parameters,
    least: u64,
    tries: &mut usize,
    found: &mut Found,
) -> Result<()> {
    let (page, wanted) = (target.page(), parameters.mapped_blocks as usize);
    let mut gaps = gaps.to_vec();
    gaps.sort_by_key(|gap| gap.size());
    for gap in gaps {
        // The last block that is missing has all the bytes that are.
        let missing = parameters.mapped_bytes.saturating_sub(found.bytes);
        let least = match wanted.saturating_sub(found.blocks.len()) {
            1 => missing.saturating_sub(page).max(least),
            _ => least,
        };
        // The start of each gap was tried, and so near to its end nothing fits.
        let (first, last) = (gap.start() + page, gap.end().saturating_sub(least));
        let Some(room) = AddrRange::new(first, last + 1).filter(|_| first <= last) else { continue };
        let runs = target.resident(gap)?.into_iter().filter_map(|run| run.overlap(room));
        let pages: Vec<u64> = runs.flat_map(|run| (run.start()..run.end()).step_by(page as usize)).collect();
        let mut next = first;
        for batch in pages.chunks(PAGES_AT_ONCE) {
            if *tries == 0 || found.blocks.len() >= wanted {
                return Ok(());
            }
            let untried: Vec<u64> = batch.iter().copied().filter(|page| *page >= next).collect();
            *tries = tries.saturating_sub(untried.len());
            let headers = target.gather(untried.iter().copied(), 4 * target.word as usize)?;
            for (page, header) in untried.iter().zip(headers.iter()) {
                let (Some(header), Some(rest)) = (header, gap.from_address(*page)) else { continue };
                if *page >= next
                    && let Some(block) = block(target, rest, header)?
                {
                    found.bytes += block.range.size().0;
                    found.blocks.push(block);
                    next = block.range.end();
                }
            }
        }
    }
    Ok(())
}

/// Where in its mapping the header of a block lies, so that what follows it is aligned.
fn usual_offset(target: &Target<'_>) -> u64 {
    if target.word == 8 { 0 } else { 8 }
}

/// The block at the start of `gap`, where `start` was read.
fn block(target: &Target<'_>, gap: AddrRange, start: &[u8]) -> Result<Option<Mapped>> {
    let word = target.word;
    let first = usual_offset(target);
    let usual = fit(target, gap, first, target.word_in(start, first), target.word_in(start, first + word));
    let looks_like = target.word_in(start, first + word).is_some_and(|field| field & 7 == MAPPED);
    if usual.is_none() && !looks_like {
        return Ok(None);
    }
    // An aligned block has its header further on, and leaves the first one behind, which is wrong after a change of its size.
    Ok(moved(target, gap, first, usual.is_none())?.or(usual))
}

/// The block whose header is at `offset` of `gap`.
fn fit(
    target: &Target<'_>,
    gap: AddrRange,
    offset: u64,
    before: Option<u64>,
    field: Option<u64>,
) -> Option<Mapped> {
    let (before, field) = (before?, field?);
    let (size, page) = (field & !7, target.page());
    // What lies before the header: all of it, or in 2.43 without the alignment of the first header, and with a flag.
    let is_offset = before == offset || (before & !7) == offset;
    let first = usual_offset(target);
    let is_offset = is_offset || (offset >= first && before == offset - first);
    if field & 7 != MAPPED || !is_offset || size < 4 * target.word {
        return None;
    }
    // From 2.43 on, the header counts as part of the mapping, but not of the block.
    let whole = [0, 2 * target.word].into_iter().find_map(|header| {
        let whole = offset.checked_add(size)?.checked_add(header)?;
        whole.is_multiple_of(page).then_some(whole)
    })?;
    let end = gap.start().checked_add(whole).filter(|end| *end <= gap.end())?;
    Some(Mapped { range: AddrRange::new(gap.start(), end)?, header: gap.start() + offset })
}

/// The block whose header was moved to align it: somewhere in the first page, or before a multiple of a power of two.
fn moved(target: &Target<'_>, gap: AddrRange, first: u64, is_lost: bool) -> Result<Option<Mapped>> {
    let header = 2 * target.word;
    let page = target.page();
    let content = target.bytes(gap.start(), page.min(gap.size().0) as usize)?;
    for offset in (first + 16..page).step_by(16) {
        let before = target.word_in(&content, offset);
        // Almost every other word differs from its own place.
        if before.is_none_or(|before| before != offset && before != offset - first && before & !7 != offset) {
            continue;
        }
        let field = target.word_in(&content, offset + target.word);
        if let Some(block) = fit(target, gap, offset, before, field) {
            return Ok(Some(block));
        }
    }
    // With a first header that fits, glibc's sum shows whether to look further.
    if !is_lost {
        return Ok(None);
    }
    let start = gap.start();
    let limit = gap.end().saturating_sub(header);
    let mut places: Vec<u64> = (page.trailing_zeros()..40)
        .filter_map(|power| (start + header).checked_next_multiple_of(1 << power))
        .flat_map(|aligned| [aligned - header])
        .filter(|place| *place >= start + page && *place < limit)
        .collect();
    places.dedup();
    let headers = target.gather(places.iter().copied(), header as usize)?;
    for (place, bytes) in places.iter().zip(headers.iter()) {
        let Some(bytes) = bytes else { continue };
        let (before, field) = (target.word_in(bytes, 0), target.word_in(bytes, target.word));
        if let Some(block) = fit(target, gap, place - start, before, field) {
            return Ok(Some(block));
        }
    }
    Ok(None)
}
