//! musl's malloc from 1.2.1 on (`src/malloc/mallocng`): its groups of slots, and the blocks in use in them.
//!
//! The records of groups (`struct meta` in `meta.h`) lie in pages of their own, the meta areas, each with the secret of the
//! process first. A record points to its group and the group's first word points back, which proves both. A group is a
//! mapping, a slot of a larger group, or lies in memory that the loader donated (`donate.c`).
//!
//! The break (`[heap]`) holds meta areas only.

mod groups;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use mmview_platform::{AddrRange, Allocation, Bytes, Claim, FactValue, Result, Runtime, SizeClass, Zone};

use super::claims::Claims;
use super::target::{Target, is_brk, is_plain};
use super::{Recognizer, Wanted};
use crate::kind::RegionKind;
use groups::{Group, Groups};

/// The name of the owner.
const OWNER: &str = "musl malloc";

/// musl's malloc.
pub(super) struct MuslMalloc {
    wanted: Wanted,
}

impl MuslMalloc {
    pub fn new(wanted: Wanted) -> MuslMalloc {
        MuslMalloc { wanted }
    }
}

impl Recognizer for MuslMalloc {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        let is_musl = |image: &super::images::Image| {
            image.path.windows(4).any(|part| part == b"musl") || !image.elf.has_interpreter
        };
        target.word == 8 && target.images.glibc().next().is_none() && target.images.all.iter().any(is_musl)
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        if target.word != 8 {
            return Ok(());
        }
        let open: Vec<AddrRange> = claims.open().collect();
        let Some(found) = Groups::find(target, &open)? else { return Ok(()) };
        let zone: Arc<str> = OWNER.into();
        let adjoin = |one: &AddrRange, other: &AddrRange| one.end() == other.start();
        for group in found.mappings().chunk_by(adjoin) {
            let Some(range) = group.iter().copied().reduce(AddrRange::hull) else { continue };
            let claim = Claim::new(range, OWNER, RegionKind::Malloc.id()).zone(&zone);
            claims.add(&claim.title("musl malloc"), is_plain);
        }
        // A meta area is a page, and the allocator takes many at once.
        for area in &found.areas {
            let region = target.region_at(*area).filter(|region| is_brk(region)).map(|region| region.range);
            let range = region.or(AddrRange::with_size(*area, Bytes(groups::AREA)));
            if let Some(range) = range {
                let claim = Claim::new(range, OWNER, RegionKind::RuntimeData.id());
                claims.add(&claim.title("musl malloc metadata"), is_plain);
            }
        }
        claims.settle("malloc");
        claims.zone(tally(&found, zone, self.wanted.largest));
        let metadata = Bytes(found.areas.len() as u64 * groups::AREA);
        let runtime = Runtime::new(OWNER, "musl malloc (mallocng)");
        let runtime = runtime.fact("groups", FactValue::Count(found.groups.len() as u64));
        claims.runtime(runtime.fact("metadata", FactValue::Size(metadata)));
        Ok(())
    }
}

/// The figures of all groups.
fn tally(found: &Groups, name: Arc<str>, largest: usize) -> Zone {
    let mut zone = Zone::new(OWNER, name);
    let mut sizes: BTreeMap<u64, SizeClass> = BTreeMap::new();
    let (mut free, mut free_blocks, mut largest_free) = (0, 0, 0);
    for group in &found.groups {
        let Group { slot_size, slots, used, nested, .. } = *group;
        let (idle, count) = (slots - used, used - nested);
        free += idle * slot_size;
        free_blocks += idle;
        largest_free = largest_free.max(if idle > 0 { slot_size } else { 0 });
        if count > 0 {
            let class = sizes.entry(slot_size).or_default();
            class.size = Bytes(slot_size);
            class.allocations += count;
            class.allocated += Bytes(count * slot_size);
        }
    }
    zone.allocations = Some(sizes.values().map(|class| class.allocations).sum());
    zone.allocated = Some(sizes.values().map(|class| class.allocated).sum());
    zone.free = Some(Bytes(free));
    zone.free_blocks = Some(free_blocks);
    zone.largest_free = Some(Bytes(largest_free));
    zone.sizes = sizes.into_values().collect();
    let single = found.groups.iter().filter(|group| group.is_single() && group.used > 0);
    let block = |group: &Group| Allocation::new(Bytes(group.slot_size), group.address + groups::HEADER);
    zone.largest = single.map(block).collect();
    zone.largest.sort_unstable_by(|one, other| other.cmp(one));
    zone.largest.truncate(largest);
    zone.doubts = found.doubts.iter().map(|doubt| doubt.as_str().into()).collect();
    zone
}
