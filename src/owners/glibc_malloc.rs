//! glibc's malloc, 2.26 to 2.43, 32 and 64 bits: its arenas, heaps and mapped blocks, and every block in them.
//!
//! While the target runs, a heap changes under the walk. What was in motion is noticed: a list that ends elsewhere, a top that
//! moved, a sum that differs. Then the figures are about right, and the zone says why.

mod arena;
mod cache;
mod mapped;
mod pieces;
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
use arena::{Arena, Heap, Malloc};
use cache::Caches;
use pieces::{Walked, walk_heaps, walk_main};
use walk::Tally;

/// The name of the owner.
const OWNER: &str = "glibc malloc";

/// What other allocators export, which take the place of glibc's: mimalloc, jemalloc, both tcmallocs, scudo.
const OTHERS: [&str; 5] =
    ["mi_malloc", "mallctl", "tc_malloc", "TCMalloc_Internal_GetStats", "__scudo_print_stats"];

/// How often an arena whose top moves is walked again.
const ATTEMPTS: usize = 3;

/// glibc's malloc.
pub(super) struct GlibcMalloc {
    wanted: Wanted,
}

impl GlibcMalloc {
    pub fn new(wanted: Wanted) -> GlibcMalloc {
        GlibcMalloc { wanted }
    }
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
    let Walked { name, tally, top, trimmable, doubts, .. } = arena;
    let mut zone = counted(name, tally, top, trimmable);
    let mut seen = HashSet::new();
    zone.doubts = doubts.into_iter().filter(|doubt| seen.insert(doubt.clone())).map(Into::into).collect();
    zone
}

/// A zone with the figures of `tally`, and `top` bytes that no block has used yet.
fn counted(name: Arc<str>, mut tally: Tally, top: u64, trimmable: u64) -> Zone {
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
    let mut tally = Tally::new(target, wanted.largest, &[]);
    for block in &found.blocks {
        walk::Visit::used(&mut tally, block.header, block.range.size().0);
    }
    let mut zone = counted(Arc::clone(&name), tally, 0, 0);
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
