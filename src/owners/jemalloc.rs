//! jemalloc 5.2 and 5.3 on 64-bit systems with pages of 4 KiB: every extent, the blocks in it, and jemalloc's metadata.
//!
//! A radix tree (`rtree.h`, `emap.h`) leads from each page to the record of its extent (`edata.h`; `extent_structs.h` in 5.2).
//! Its root lies in the data of the module that holds jemalloc, which may be the program itself. The records and the leaves
//! lie in metadata blocks (`base.h`). Size classes are those of `sc.h`.
//!
//! Blocks that wait in the caches of threads count as in use: the slabs they come from don't tell them apart.

mod extents;
mod metadata;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use mmview_platform::{
    AddrRange, Allocation, Bytes, Claim, FactValue, Region, Result, Runtime, SizeClass, Zone,
};

use super::claims::Claims;
use super::radix::Root;
use super::target::{Target, is_plain, is_reserved};
use super::{Recognizer, Wanted};
use crate::kind::RegionKind;
use extents::{Extent, Extents, Layout, State, TREE};

/// The name of the owner.
const OWNER: &str = "jemalloc";

/// jemalloc.
pub(super) struct Jemalloc {
    wanted: Wanted,
}

impl Jemalloc {
    pub fn new(wanted: Wanted) -> Jemalloc {
        Jemalloc { wanted }
    }
}

impl Recognizer for Jemalloc {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        TREE.may_exist(target)
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        if !self.may_apply(target) {
            return Ok(());
        }
        let roots = TREE.roots(target, |entries| extents::confirm(target, entries))?;
        for (index, root) in roots.iter().enumerate() {
            let prefix = if index == 0 { OWNER.to_owned() } else { format!("{OWNER} {}", index + 1) };
            self.inspect(target, claims, *root, &prefix)?;
        }
        if !roots.is_empty() {
            claims.settle("malloc");
        }
        Ok(())
    }
}

impl Jemalloc {
    fn inspect(
        &self,
        target: &Target<'_>,
        claims: &mut Claims<'_>,
        root: Root<Layout>,
        prefix: &str,
    ) -> Result<()> {
        let found = Extents::read(target, root)?;
        let name = |arena: u16| -> Arc<str> { format!("{prefix} arena {arena}").into() };
        let adjoin =
            |one: &Extent, other: &Extent| one.range.end() == other.range.start() && one.arena == other.arena;
        for group in found.extents.chunk_by(adjoin) {
            let Some(range) = group.iter().map(|extent| extent.range).reduce(AddrRange::hull) else {
                continue;
            };
            claim(claims, range, |range, kind| {
                Claim::new(range, OWNER, kind.id()).zone(&name(group[0].arena))
            });
        }
        let is_cache_oblivious = found.is_cache_oblivious();
        let mut arenas: BTreeMap<u16, Tally> = BTreeMap::new();
        for extent in &found.extents {
            arenas.entry(extent.arena).or_default().add(extent, is_cache_oblivious);
        }
        let count = arenas.len() as u64;
        for (arena, tally) in arenas {
            claims.zone(tally.zone(name(arena), self.wanted.largest, &found.doubts));
        }
        let blocks = metadata::find(target, &found.places)?;
        for block in &blocks {
            let metadata = Claim::new(*block, OWNER, RegionKind::RuntimeData.id());
            claims.add(&metadata.title("jemalloc metadata"), is_plain);
        }
        let metadata = FactValue::Size(blocks.iter().map(|block| block.size()).sum());
        let runtime = Runtime::new(OWNER, format!("jemalloc {}", root.tag.version()));
        let runtime = runtime.fact("arenas", FactValue::Count(count)).fact("metadata", metadata);
        claims.runtime(runtime.fact("extents", FactValue::Count(found.extents.len() as u64)));
        Ok(())
    }
}

/// Claims the memory of extents: what is readable, and what is only reserved.
fn claim(claims: &mut Claims<'_>, range: AddrRange, make: impl Fn(AddrRange, RegionKind) -> Claim) {
    claims.add(&make(range, RegionKind::Malloc).title("jemalloc"), is_plain);
    claims.add(&make(range, RegionKind::Reserved).title("jemalloc reserve"), is_reserved);
}

/// Whether jemalloc can have such a region.
fn is_own(region: &Region) -> bool {
    is_plain(region) || is_reserved(region)
}

/// The figures of an arena.
#[derive(Debug, Default)]
struct Tally {
    blocks: u64,
    bytes: u64,
    free_blocks: u64,
    free_bytes: u64,
    largest_free: u64,
    committed: u64,
    /// By size class.
    sizes: BTreeMap<u64, SizeClass>,
    large: Vec<Allocation>,
}

impl Tally {
    fn add(&mut self, extent: &Extent, is_cache_oblivious: bool) {
        let size = extent.range.size().0;
        match extent.state {
            State::Retained => return,
            State::Cached => self.add_free(1, size),
            State::Slab { size, objects, free } => {
                self.add_blocks(size, objects - free, (objects - free) * size);
                self.add_free(free, size);
            }
            State::Large { class_size } => {
                let size = extent.usable(is_cache_oblivious);
                self.add_blocks(class_size, 1, size);
                self.large.push(Allocation::new(Bytes(size), extent.address));
            }
        }
        self.committed += size;
    }

    fn add_blocks(&mut self, class_size: u64, count: u64, bytes: u64) {
        if count > 0 {
            let class = self.sizes.entry(class_size).or_default();
            class.size = Bytes(class_size);
            class.allocations += count;
            class.allocated += Bytes(bytes);
            self.blocks += count;
            self.bytes += bytes;
        }
    }

    fn add_free(&mut self, count: u64, size: u64) {
        if count > 0 {
            self.free_blocks += count;
            self.free_bytes += count * size;
            self.largest_free = self.largest_free.max(size);
        }
    }

    fn zone(mut self, name: Arc<str>, largest: usize, doubts: &[String]) -> Zone {
        let mut zone = Zone::new(OWNER, name);
        zone.allocations = Some(self.blocks);
        zone.allocated = Some(Bytes(self.bytes));
        zone.free = Some(Bytes(self.free_bytes));
        zone.free_blocks = Some(self.free_blocks);
        zone.largest_free = Some(Bytes(self.largest_free));
        zone.committed = Some(Bytes(self.committed));
        zone.sizes = self.sizes.into_values().collect();
        self.large.sort_unstable_by(|one, other| other.cmp(one));
        self.large.truncate(largest);
        zone.largest = self.large;
        zone.doubts = doubts.iter().map(|doubt| doubt.as_str().into()).collect();
        zone
    }
}
