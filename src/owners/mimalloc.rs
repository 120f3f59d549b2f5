//! mimalloc 2 and 3 on 64-bit systems: its segments or arenas, and the blocks in use in them.
//!
//! mimalloc maps its memory at addresses of its own choice, between 2 and 30 TiB (`src/os.c`, hinted addresses), where nothing
//! else is. Version 2 divides it into segments (`mi_segment_t` in `include/mimalloc/types.h`), version 3 into arenas
//! (`mi_arena_t`). Both keep a record of each page (`mi_page_t`), which counts the blocks in use. A block that another thread
//! has freed counts as in use until its page is visited.
//!
//! CPython contains a mimalloc from 3.13 on (`Objects/mimalloc`), for `PYTHONMALLOC=mimalloc` and for builds without the GIL.

mod arenas;
mod segments;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use mmview_platform::{
    AddrRange, Allocation, Bytes, Claim, Evidence, FactValue, Region, Result, Runtime, SizeClass, Zone,
};

use super::claims::Claims;
use super::target::{Target, is_plain, is_reserved};
use super::{Recognizer, Wanted};
use crate::kind::RegionKind;

/// The name of the owner.
const OWNER: &str = "mimalloc";

/// The owner of the mimalloc in CPython.
const CPYTHON: &str = "CPython";

/// The addresses that mimalloc prefers.
const HINTED: std::ops::Range<u64> = 0x200_0000_0000..0x1e00_0000_0000;

/// What a library or program with mimalloc exports. Static programs export nothing.
const SYMBOLS: [&str; 2] = ["mi_malloc", "mi_version"];

/// The unit of pages.
const SLICE: u64 = 64 << 10;

/// mimalloc.
pub(super) struct Mimalloc {
    wanted: Wanted,
}

impl Mimalloc {
    pub fn new(wanted: Wanted) -> Mimalloc {
        Mimalloc { wanted }
    }
}

impl Recognizer for Mimalloc {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && (target.regions.iter().any(is_hinted) || is_exported(target))
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        if target.word != 8 {
            return Ok(());
        }
        // Where a hint was refused, the memory is anywhere. Only a known mimalloc is worth that search.
        let is_known = is_exported(target);
        let open: Vec<AddrRange> = claims.open().filter(|range| is_known || is_hint(range.start())).collect();
        let mut found = segments::find(target, &open)?;
        found.extend(arenas::find(target, &open)?);
        let names = Names::of(target, is_known);
        for (index, heap) in found.iter().enumerate() {
            let zone: Arc<str> = match index {
                0 => names.title.into(),
                index => format!("{} {}", names.title, index + 1).into(),
            };
            for range in &heap.ranges {
                names.claim(claims, *range, &zone, Evidence::Memory);
            }
            claims.zone(heap.zone(names.owner, Arc::clone(&zone), self.wanted.largest));
            if names.owner == OWNER {
                let runtime = Runtime::new(OWNER, format!("mimalloc {}", heap.version));
                let runtime = runtime.fact(heap.unit, FactValue::Count(heap.ranges.len() as u64));
                claims.runtime(runtime.fact("pages in use", FactValue::Count(heap.pages.len() as u64)));
            }
        }
        if let Some(first) = found.first() {
            claim_rest(target, claims, &names, first);
            if names.owner == OWNER {
                claims.settle("malloc");
            }
        }
        Ok(())
    }
}

fn is_exported(target: &Target<'_>) -> bool {
    SYMBOLS.iter().any(|symbol| target.images.exporting(symbol).next().is_some())
}

fn is_hint(address: u64) -> bool {
    HINTED.contains(&address)
}

/// Whether a region may be of a mimalloc that got the addresses it prefers.
fn is_hinted(region: &Region) -> bool {
    is_hint(region.range.start()) && is_hint(region.range.end()) && is_plain(region)
}

/// What its memory is called.
struct Names {
    owner: &'static str,
    title: &'static str,
    reserved: &'static str,
    metadata: &'static str,
}

impl Names {
    fn of(target: &Target<'_>, is_known: bool) -> Names {
        let is_python = || target.images.exporting("Py_Version").next().is_some();
        if !is_known && is_python() {
            Names {
                owner: CPYTHON,
                title: "CPython mimalloc",
                reserved: "CPython reserve",
                metadata: "CPython mimalloc metadata",
            }
        } else {
            Names {
                owner: OWNER,
                title: "mimalloc",
                reserved: "mimalloc reserve",
                metadata: "mimalloc metadata",
            }
        }
    }

    /// Claims memory: what is readable, and what is only reserved.
    fn claim(&self, claims: &mut Claims<'_>, range: AddrRange, zone: &Arc<str>, evidence: Evidence) {
        let claim = |kind: RegionKind, title: Cow<'static, str>| {
            let mut claim = Claim::new(range, self.owner, kind.id()).title(title).zone(zone);
            claim.evidence = evidence;
            claim
        };
        claims.add(&claim(RegionKind::Malloc, self.title.into()), is_plain);
        claims.add(&claim(RegionKind::Reserved, self.reserved.into()), is_reserved);
    }
}

/// Claims the rest of the regions that contain its memory, which it has reserved for more, and what else lies where only
/// mimalloc maps memory: records of threads and maps of pages.
fn claim_rest(target: &Target<'_>, claims: &mut Claims<'_>, names: &Names, heap: &Heap) {
    let has = |region: &Region| heap.ranges.iter().any(|range| range.overlaps(region.range));
    let mut was_own = None;
    for region in target.regions.iter().filter(|region| is_hint(region.range.start())) {
        let follows = was_own == Some(region.range.start());
        if is_plain(region) {
            let is_own = follows || has(region);
            let (kind, title) = match is_own {
                true => (RegionKind::Malloc, names.title),
                false => (RegionKind::RuntimeData, names.metadata),
            };
            claims.add(&Claim::new(region.range, names.owner, kind.id()).title(title), is_plain);
            was_own = is_own.then_some(region.range.end());
        } else if is_reserved(region) && follows {
            let claim = Claim::new(region.range, names.owner, RegionKind::Reserved.id());
            claims.add(&claim.title(names.reserved), is_reserved);
            was_own = Some(region.range.end());
        }
    }
}

/// A page: blocks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    start: u64,
    size: u64,
    block_size: u64,
    used: u64,
    capacity: u64,
    reserved: u64,
}

impl Page {
    /// Whether the numbers agree with each other and with the size of the page.
    fn is_possible(&self) -> bool {
        let blocks = self.reserved.checked_mul(self.block_size);
        self.used <= self.capacity
            && self.capacity <= self.reserved
            && blocks.is_some_and(|blocks| blocks <= self.size)
    }
}

/// One mimalloc in the process.
#[derive(Debug, Default)]
struct Heap {
    version: &'static str,
    /// What its ranges are called.
    unit: &'static str,
    /// The memory that its records are for, ordered by address.
    ranges: Vec<AddrRange>,
    pages: Vec<Page>,
    /// The bytes of its own records.
    overhead: u64,
    doubts: Vec<String>,
}

impl Heap {
    fn zone(&self, owner: &'static str, name: Arc<str>, largest: usize) -> Zone {
        let mut zone = Zone::new(owner, name);
        let mut sizes: BTreeMap<u64, SizeClass> = BTreeMap::new();
        let (mut free, mut free_blocks, mut largest_free) = (0, 0, 0);
        for page in &self.pages {
            let blocks = page.reserved - page.used;
            free += blocks * page.block_size;
            free_blocks += blocks;
            largest_free = largest_free.max(if blocks > 0 { page.block_size } else { 0 });
            if page.used > 0 {
                let class = sizes.entry(page.block_size).or_default();
                class.size = Bytes(page.block_size);
                class.allocations += page.used;
                class.allocated += Bytes(page.used * page.block_size);
            }
        }
        zone.allocations = Some(sizes.values().map(|class| class.allocations).sum());
        zone.allocated = Some(sizes.values().map(|class| class.allocated).sum());
        zone.free = Some(Bytes(free));
        zone.free_blocks = Some(free_blocks);
        zone.largest_free = Some(Bytes(largest_free));
        zone.committed = Some(Bytes(self.overhead + self.pages.iter().map(|page| page.size).sum::<u64>()));
        zone.sizes = sizes.into_values().collect();
        // Which blocks of a page are in use is in its lists only; but a page with one block is clear.
        let single = self.pages.iter().filter(|page| page.reserved == 1 && page.used == 1);
        zone.largest = single.map(|page| Allocation::new(Bytes(page.block_size), page.start)).collect();
        zone.largest.sort_unstable_by(|one, other| other.cmp(one));
        zone.largest.truncate(largest);
        zone.doubts = self.doubts.iter().map(|doubt| doubt.as_str().into()).collect();
        zone
    }
}
