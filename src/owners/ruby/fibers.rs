//! The pool of stacks for fibers (`struct fiber_pool` in `cont.c`): a list of mappings, each cut into stacks and their guards.

use mmview_platform::{AddrRange, Bytes, Claim, Result};

use super::OWNER;
use crate::kind::RegionKind;
use crate::owners::claims::Claims;
use crate::owners::images::Image;
use crate::owners::target::{Target, is_plain};

/// The largest data of an interpreter that is searched. Real ones have some hundred kilobytes.
const LARGEST_DATA: u64 = 16 << 20;

/// How many mappings are followed, and how many stacks they can have: more than any program has.
const MOST_MAPPINGS: usize = 4096;
const MOST_STACKS: u64 = 1 << 20;

/// The size of a `fiber_pool_allocation`.
const MAPPING: usize = 64;

/// A mapping of stacks.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    base: u64,
    /// The size of a stack, without its guard.
    size: u64,
    stride: u64,
    count: u64,
    next: u64,
}

/// Claims the stacks of fibers and their guards. Returns how many stacks there are.
pub(super) fn claim<'i>(
    target: &Target<'_>,
    claims: &mut Claims<'_>,
    images: impl Iterator<Item = &'i Image>,
) -> Result<u64> {
    let mut stacks = 0;
    for data in images.flat_map(Image::data).filter(|data| data.size().0 <= LARGEST_DATA) {
        for run in target.resident(data)? {
            let Some(run) = run.overlap(data) else { continue };
            let bytes = target.bytes(run.start(), run.size().0 as usize)?;
            for mapping in find(target, run.start(), &bytes)? {
                for index in 0..mapping.count {
                    claim_stack(target, claims, mapping, mapping.base + index * mapping.stride);
                }
                stacks += mapping.count;
            }
        }
    }
    Ok(stacks)
}

fn claim_stack(target: &Target<'_>, claims: &mut Claims<'_>, mapping: Mapping, guard: u64) {
    let base = guard + target.page();
    if let Some(guard) = AddrRange::new(guard, base) {
        let claim = Claim::new(guard, OWNER, RegionKind::StackGuard.id());
        claims.add(&claim, |region| region.protection.is_none());
    }
    if let Some(stack) = AddrRange::with_size(base, Bytes(mapping.size)) {
        claims.add(&Claim::new(stack, OWNER, RegionKind::FiberStack.id()), is_plain);
    }
}

/// Finds the pool in the data of the interpreter, and the mappings in its list.
fn find(target: &Target<'_>, start: u64, bytes: &[u8]) -> Result<Vec<Mapping>> {
    for offset in (0..bytes.len() as u64).step_by(8) {
        let word = |index: u64| target.u64_in(bytes, offset + 8 * index);
        // The mappings, the free stacks, the size of a stack, and how many there are.
        let (Some(first), Some(size), Some(count)) = (word(0), word(2), word(3)) else { break };
        let is_pool = size > 0
            && size.is_multiple_of(target.page())
            && (1..=MOST_STACKS).contains(&count)
            && first.is_multiple_of(8)
            && target.is_plain(first);
        if !is_pool {
            continue;
        }
        let pool = start + offset;
        let mut mappings: Vec<Mapping> = Vec::new();
        let mut next = first;
        while next != 0 && mappings.len() < MOST_MAPPINGS {
            let Some(mapping) = Mapping::read(target, next, pool, size)? else { break };
            next = mapping.next;
            // A list that does not end visits a mapping twice.
            if mappings.iter().any(|other| other.base == mapping.base) {
                break;
            }
            mappings.push(mapping);
        }
        if !mappings.is_empty() {
            return Ok(mappings);
        }
    }
    Ok(Vec::new())
}

impl Mapping {
    /// Reads a mapping of a pool; `None` if it contradicts itself or the map.
    fn read(target: &Target<'_>, address: u64, pool: u64, stack: u64) -> Result<Option<Mapping>> {
        if !target.is_plain(address) {
            return Ok(None);
        }
        let bytes = target.bytes(address, MAPPING)?;
        let word = |index: u64| target.u64_in(&bytes, 8 * index);
        // Some builds have two more fields.
        let after = [4, 5].into_iter().find(|index| word(*index) == Some(pool));
        let Some(next) = after.and_then(|index| word(if index == 4 { 5 } else { 7 })) else {
            return Ok(None);
        };
        let fields = word(0).zip(word(1)).zip(word(2).zip(word(3)));
        let Some(((base, size), (stride, count))) = fields else { return Ok(None) };
        let is_possible = size == stack
            && stack.checked_add(target.page()) == Some(stride)
            && base.is_multiple_of(target.page())
            && (1..=MOST_STACKS).contains(&count);
        let end = stride.checked_mul(count).and_then(|size| base.checked_add(size));
        let range = end.and_then(|end| AddrRange::new(base, end)).filter(|_| is_possible);
        let is_mapped = |range| target.is_within(range, |region| region.is_unnamed());
        Ok(range.filter(|range| is_mapped(*range)).map(|_| Mapping { base, size, stride, count, next }))
    }
}
