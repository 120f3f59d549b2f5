//! The transient heap of 2.7 to 3.2 (`transient_heap.c`): one mapping of 32 MiB, in blocks for the contents of short-lived
//! objects.

use mmview_platform::{AddrRange, Bytes, Claim, Result};

use super::OWNER;
use crate::kind::RegionKind;
use crate::owners::claims::Claims;
use crate::owners::target::{Target, is_plain};

/// The name of its type in tables.
const TITLE: &str = "Ruby transient heap";

/// The size of the heap and of a block.
const SIZE: u64 = 32 << 20;
pub(super) const BLOCK: u64 = 32 << 10;

/// The number of blocks, and how many of them lead to another one, at least: those that are free do, in a list.
pub(super) const BLOCKS: usize = (SIZE / BLOCK) as usize;
const LEAST_LINKS: usize = BLOCKS / 4;

/// How many places are tried as the start.
const MOST_TRIES: usize = 4096;

/// The flag of glibc's blocks that have mappings of their own, in the size before a block.
const MAPPED: u64 = 2;

/// The header of a block: three numbers of 16 bits, and the next block.
const HEADER: u64 = 16;

/// Claims the transient heap, if there is one: so many blocks with headers that lead to each other.
pub(super) fn claim(target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
    let open: Vec<AddrRange> = claims.open().filter(|range| range.size().0 >= SIZE).collect();
    for range in open {
        let mut places = Vec::new();
        for run in target.resident(range)? {
            let Some(run) = run.overlap(range) else { continue };
            let first = run.start().checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
            places.extend((first..run.end()).step_by(BLOCK as usize));
        }
        let headers = target.gather(places.iter().copied(), HEADER as usize)?;
        let headers = places.into_iter().zip(headers.iter());
        let blocks: Vec<(u64, u64)> =
            headers.filter_map(|(place, header)| Some((place, next(target, header?)?))).collect();
        // The kernel joins it with its neighbors, so it can start anywhere.
        if let Some(heap) = blocks.windows(BLOCKS).take(MOST_TRIES).find_map(heap) {
            if is_of_malloc(target, heap)? {
                return Ok(());
            }
            claims.add(&Claim::new(heap, OWNER, RegionKind::GcHeap.id()).title(TITLE), is_plain);
            return Ok(());
        }
    }
    Ok(())
}

/// Whether malloc has the heap as a block with a mapping of its own, as in 2.7: then it counts it.
fn is_of_malloc(target: &Target<'_>, heap: AddrRange) -> Result<bool> {
    let size = target.bytes(heap.start().saturating_sub(8), 8)?;
    let size = target.u64_in(&size, 0).unwrap_or(0);
    Ok(size & 7 == MAPPED && size > SIZE && target.is_plain(heap.start().saturating_sub(1)))
}

/// The addresses of these blocks, if they are all of a heap.
pub(super) fn heap(blocks: &[(u64, u64)]) -> Option<AddrRange> {
    let (first, last) = (blocks.first()?.0, blocks.last()?.0);
    let heap = AddrRange::with_size(first, Bytes(SIZE))?;
    if last.checked_add(BLOCK) != Some(heap.end()) {
        return None;
    }
    let mut links = blocks.iter().map(|(_, next)| *next).filter(|next| *next != 0);
    let count = links.clone().take(LEAST_LINKS).count();
    (count == LEAST_LINKS && links.all(|next| heap.contains(next))).then_some(heap)
}

/// The next block, if this is the header of a block: as much as it uses fits into it, and no less is marked.
fn next(target: &Target<'_>, header: &[u8]) -> Option<u64> {
    let (used, marked) = (target.u16_in(header, 0)?, target.u16_in(header, 2)?);
    let next = target.u64_in(header, 8)?;
    let is_header = u64::from(used) <= BLOCK && (marked == u16::MAX || marked <= used);
    (is_header && next.is_multiple_of(BLOCK)).then_some(next)
}
