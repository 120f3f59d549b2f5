//! Metadata blocks (`base_block_t` in `base.h`), which hold records, leaves and arenas.

use std::collections::BTreeSet;

use mmview_platform::{AddrRange, Bytes, Result};

use crate::owners::target::{Target, is_plain};

/// The alignment of metadata blocks, and the unit of their sizes.
const UNIT: u64 = 2 << 20;

/// How many units before a record or leaf its block is searched. Leaves take more than a unit.
const MOST_UNITS: u64 = 64;

/// The largest block.
const LARGEST_BLOCK: u64 = 1 << 36;

/// The header: the size of the block, the next block, and the record of its unused end, which has flags first.
const HEADER_SIZE: usize = 40;
const NEXT: u64 = 8;
const UNUSED: u64 = 24;
const UNUSED_SIZE: u64 = 32;

/// The blocks that `places` lie in, and those that they lead to; ordered by address.
pub(super) fn find(target: &Target<'_>, places: &[u64]) -> Result<Vec<AddrRange>> {
    let mut units: BTreeSet<u64> = places.iter().map(|place| place / UNIT * UNIT).collect();
    let mut blocks: Vec<AddrRange> = Vec::new();
    let mut tried = BTreeSet::new();
    while let Some(unit) = units.pop_first() {
        if blocks.iter().any(|block| block.contains(unit)) {
            continue;
        }
        let starts = (0..MOST_UNITS).map_while(|index| unit.checked_sub(index * UNIT));
        for start in starts.take_while(|start| target.is_plain(*start)) {
            if !tried.insert(start) {
                break;
            }
            if let Some((block, next)) = read(target, start)? {
                units.extend(Some(next).filter(|next| next.is_multiple_of(UNIT) && *next != 0));
                if block.contains(unit) && !blocks.iter().any(|other| other.overlaps(block)) {
                    blocks.push(block);
                }
                break;
            }
        }
    }
    blocks.sort_unstable();
    Ok(blocks)
}

/// The block that starts here and the next one, if what its header says of its unused end is possible.
fn read(target: &Target<'_>, start: u64) -> Result<Option<(AddrRange, u64)>> {
    let bytes = target.bytes(start, HEADER_SIZE)?;
    let block = || {
        let word = |offset| target.u64_in(&bytes, offset);
        let (size, next) = (word(0)?, word(NEXT)?);
        let block = AddrRange::with_size(start, Bytes(size))?;
        let is_possible = size > 0
            && size.is_multiple_of(UNIT)
            && size <= LARGEST_BLOCK
            && word(UNUSED)? > start
            && word(UNUSED)?.checked_add(word(UNUSED_SIZE)?)? == block.end()
            && target.is_within(block, is_plain);
        is_possible.then_some((block, next))
    };
    Ok(block())
}
