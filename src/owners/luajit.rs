//! LuaJIT on 64-bit systems: the segments and large blocks of its allocator, and the areas with machine code.
//!
//! `src/lj_alloc.c`, which is derived from dlmalloc, documents the allocator, and `src/lj_jit.h` the areas (`MCLink`). The state of
//! an allocator begins the first segment that it got, and leads to all others. Each large block has its header and end mark.

mod heap;
#[cfg(test)]
mod tests;

use mmview_platform::{AddrRange, Bytes, Claim, FactValue, Region, Result, Runtime, Zone};

use super::claims::Claims;
use super::target::{Target, is_anonymous, is_plain};
use super::{Recognizer, Wanted};
use crate::kind::RegionKind;
use heap::Heap;

/// The name of the owner.
const OWNER: &str = "LuaJIT";

/// The name of the type of its memory in tables, and of its zone.
const HEAP: &str = "LuaJIT heap";

/// A function that every version exports, and no other implementation of Lua.
const FUNCTION: &str = "luaJIT_setmode";

/// The header of an area with machine code: the next area, and the size.
const CODE_SIZE: u64 = 8;
const CODE_HEADER: usize = 16;

/// The most areas that are looked at.
const MOST_AREAS: u64 = 4096;

/// LuaJIT.
pub(super) struct LuaJit {
    wanted: Wanted,
}

impl LuaJit {
    pub fn new(wanted: Wanted) -> LuaJit {
        LuaJit { wanted }
    }
}

impl Recognizer for LuaJit {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && target.images.exporting(FUNCTION).next().is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        if target.word != 8 {
            return Ok(());
        }
        let mut heap = Heap::find(target, claims)?;
        if heap.states.is_empty() {
            return Ok(());
        }
        heap.count(target)?;
        let mut zone = Zone::new(OWNER, HEAP);
        let claim = |range| Claim::new(range, OWNER, RegionKind::Malloc.id()).title(HEAP);
        for range in heap.segments() {
            claims.add(&claim(range).zone(&zone.name).note("segment"), is_plain);
        }
        for block in &heap.blocks {
            claims.add(&claim(block.range).zone(&zone.name).note("large block"), is_plain);
        }
        let code = code(target, claims)?;
        let runtime = Runtime::new(OWNER, OWNER)
            .fact("allocators", FactValue::Count(heap.states.len() as u64))
            .fact("large blocks", FactValue::Count(heap.blocks.len() as u64))
            .fact("machine code", FactValue::Size(code));
        let tally = heap.tally(self.wanted.largest);
        zone.allocations = Some(tally.blocks);
        zone.allocated = Some(Bytes(tally.allocated));
        zone.free = Some(Bytes(tally.free));
        zone.free_blocks = Some(tally.free_blocks);
        zone.committed = Some(Bytes(tally.committed));
        zone.largest = tally.largest;
        zone.doubts = heap.doubts.into_iter().map(Into::into).collect();
        claims.zone(zone);
        claims.runtime(runtime);
        Ok(())
    }
}

/// Claims the areas with machine code. Returns their size.
fn code(target: &Target<'_>, claims: &mut Claims<'_>) -> Result<Bytes> {
    let mut size = Bytes::ZERO;
    let mut left = MOST_AREAS;
    for region in target.regions.iter().filter(|region| is_code(region)) {
        let mut next = region.range.start();
        while next < region.range.end() && left > 0 {
            left -= 1;
            let header = target.bytes(next, CODE_HEADER)?;
            let Some(area) = area(target, next, &header).filter(|area| area.within(region.range)) else {
                break;
            };
            let claim = Claim::new(area, OWNER, RegionKind::JitCode.id()).title("LuaJIT code");
            claims.add(&claim, is_code);
            size += area.size();
            next = area.end();
        }
    }
    Ok(size)
}

/// The area that begins here, by its header.
fn area(target: &Target<'_>, start: u64, header: &[u8]) -> Option<AddrRange> {
    let (next, size) = (target.u64_in(header, 0)?, target.u64_in(header, CODE_SIZE)?);
    let is_area = size > 0
        && size.is_multiple_of(target.page())
        && next.is_multiple_of(target.page())
        && (next == 0 || target.region_at(next).is_some_and(is_code));
    if is_area { AddrRange::with_size(start, Bytes(size)) } else { None }
}

/// Whether machine code can lie in a region. It is writable at times.
fn is_code(region: &Region) -> bool {
    is_anonymous(region) && region.is_unnamed() && region.protection.is_executable()
}
