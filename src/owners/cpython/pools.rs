//! Pools: pages of blocks of one size, each with a header (`struct pool_header`).

use std::collections::HashMap;

use mmview_platform::{AddrRange, Result};

use super::state::Allocator;
use crate::owners::target::Target;

/// The size of a header.
pub(super) const HEADER: u64 = 48;

/// Sizes of blocks are multiples of this (`ALIGNMENT`).
const GRAIN: u64 = 16;

/// The number of size classes: blocks of 16 to 512 bytes.
pub(super) const CLASSES: usize = 32;

/// How large pools and arenas are. Both are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub pool: u64,
    pub arena: u64,
}

/// 3.10 and later; 3.15 if it is built for huge pages; 3.8 and 3.9.
pub(super) const GEOMETRIES: [Geometry; 3] = [
    Geometry { pool: 16 << 10, arena: 1 << 20 },
    Geometry { pool: 16 << 10, arena: 2 << 20 },
    Geometry { pool: 4 << 10, arena: 256 << 10 },
];

impl Geometry {
    /// How many pools an arena at `address` has: arenas are aligned to pages only, so one can be lost.
    pub fn pools(self, address: u64) -> u64 {
        let lost = u64::from(!address.is_multiple_of(self.pool));
        self.arena / self.pool - lost
    }

    /// How many blocks of a class a pool has.
    fn blocks(self, class: usize) -> u64 {
        (self.pool - HEADER) / size_of(class)
    }
}

/// The size of the blocks of a class.
pub(super) fn size_of(class: usize) -> u64 {
    GRAIN * (class as u64 + 1)
}

/// The header of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// How many of its blocks are in use.
    pub used: u64,
    pub class: usize,
    /// The index of its arena.
    pub arena: u32,
    /// The next and the previous pool of its list.
    pub links: [u64; 2],
}

impl Pool {
    /// Reads the header of the pool at `address`; `None` if it contradicts itself.
    pub fn parse(target: &Target<'_>, geometry: Geometry, address: u64, header: &[u8]) -> Option<Pool> {
        let word = |offset| target.u64_in(header, offset);
        let half = |offset| target.u32_in(header, offset);
        let class = usize::try_from(half(36)?).ok().filter(|class| *class < CLASSES)?;
        let (used, free) = (word(0)?, word(8)?);
        let (next_offset, last_offset) = (u64::from(half(40)?), u64::from(half(44)?));
        let size = size_of(class);
        let is_block = |offset: u64| offset >= HEADER && (offset - HEADER).is_multiple_of(size);
        // Blocks behind the next offset were never used.
        let is_possible = last_offset == geometry.pool - size
            && is_block(next_offset)
            && (HEADER + size..=geometry.pool).contains(&next_offset)
            && used <= (next_offset - HEADER) / size;
        let is_full = used == geometry.blocks(class);
        let leads_to_block = || {
            let offset = free.checked_sub(address);
            offset.is_some_and(|offset| is_block(offset) && offset < next_offset)
        };
        if !is_possible || !(if is_full { free == 0 } else { leads_to_block() }) {
            return None;
        }
        Some(Pool { used, class, arena: half(32)?, links: [word(16)?, word(24)?] })
    }

    /// Whether some of its blocks are in use and some are not: then it is in the list of its class.
    pub fn is_listed(&self, geometry: Geometry) -> bool {
        self.used > 0 && self.used < geometry.blocks(self.class)
    }
}

/// The blocks of a class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Class {
    pub size: u64,
    pub used: u64,
}

/// What is allocated in the pools of an allocator.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub classes: Vec<Class>,
    /// The free blocks of pools in use.
    pub free_blocks: u64,
    pub free_bytes: u64,
    /// Pools without blocks in use.
    pub unused_pools: u64,
    /// Free pools, by the arenas.
    listed_free: u64,
    /// All pools that were ever used.
    pools: u64,
    /// Those of them that contradict themselves or changed, and those that are not in memory.
    changed: u64,
    missing: u64,
    /// Whether the tables of the allocator changed.
    has_moved: bool,
}

impl Tally {
    /// Counts the blocks in every pool of the arenas.
    pub fn count(target: &Target<'_>, allocator: &Allocator) -> Result<Tally> {
        let geometry = allocator.geometry;
        let classes = (0..CLASSES).map(|class| Class { size: size_of(class), used: 0 }).collect();
        let mut tally = Tally { classes, ..Tally::default() };
        let mut places = Vec::new();
        for arena in &allocator.arenas {
            let used = arena.used_pools(geometry);
            tally.unused_pools += geometry.pools(arena.range.start()) - used.clone().count() as u64;
            places.extend(used.map(|pool| (pool, arena.index)));
            tally.listed_free += arena.free;
        }
        tally.pools = places.len() as u64;
        let headers = target.gather(places.iter().map(|(pool, _)| *pool), HEADER as usize)?;
        let mut listed = HashMap::new();
        for ((address, arena), header) in places.into_iter().zip(headers.iter()) {
            let Some(header) = header else {
                tally.missing += 1;
                continue;
            };
            match Pool::parse(target, geometry, address, header).filter(|pool| pool.arena == arena) {
                Some(pool) => {
                    tally.add(geometry, &pool);
                    if pool.is_listed(geometry) {
                        listed.insert(address, pool);
                    }
                }
                None => tally.changed += 1,
            }
        }
        tally.note_motion(target, allocator, &listed)?;
        Ok(tally)
    }

    fn add(&mut self, geometry: Geometry, pool: &Pool) {
        if pool.used == 0 {
            self.unused_pools += 1;
            return;
        }
        let class = &mut self.classes[pool.class];
        class.used += pool.used;
        let free = geometry.blocks(pool.class).saturating_sub(pool.used);
        self.free_blocks += free;
        self.free_bytes += free * class.size;
    }

    /// Notes what changed meanwhile: the tables, or the pools that they name. Every allocation takes its block from one of those.
    fn note_motion(
        &mut self,
        target: &Target<'_>,
        allocator: &Allocator,
        listed: &HashMap<u64, Pool>,
    ) -> Result<()> {
        let Some(fronts) = allocator.unchanged(target)? else {
            self.has_moved = true;
            return Ok(());
        };
        let headers = target.gather(fronts.iter().copied(), HEADER as usize)?;
        for (front, header) in fronts.iter().zip(headers.iter()) {
            let now = header.and_then(|header| Pool::parse(target, allocator.geometry, *front, header));
            if now.as_ref() != listed.get(front) {
                self.changed += 1;
            }
        }
        Ok(())
    }

    /// Why the figures may be wrong.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.missing > 0 {
            doubts.push(format!("{} of {} pools are not in memory", self.missing, self.pools));
        }
        let is_sum = self.unused_pools == self.listed_free || self.missing > 0 || self.changed > 0;
        if !is_sum && !self.has_moved {
            doubts.push(format!("{} pools are free, and {} should be", self.unused_pools, self.listed_free));
        }
        if self.changed > 0 {
            doubts.push(format!("{} of {} pools changed while they were read", self.changed, self.pools));
        }
        if self.has_moved {
            doubts.push("the lists of pools changed while they were read".to_owned());
        }
        doubts
    }
}

/// A place that may be the start of a pool, and its header.
pub(super) type Hint = (u64, Pool);

/// Reads the headers at these addresses; returns those that can be headers.
pub(super) fn hints(target: &Target<'_>, geometry: Geometry, addresses: &[u64]) -> Result<Vec<Hint>> {
    let headers = target.gather(addresses.iter().copied(), HEADER as usize)?;
    let pools = addresses
        .iter()
        .zip(headers.iter())
        .filter_map(|(&address, header)| Some((address, Pool::parse(target, geometry, address, header?)?)));
    Ok(pools.collect())
}

/// The multiples of the size of a pool in the resident parts of `ranges`.
pub(super) fn candidates(target: &Target<'_>, ranges: &[AddrRange], pool: u64) -> Result<Vec<u64>> {
    let mut addresses = Vec::new();
    for range in ranges {
        for run in target.resident(*range)? {
            let Some(run) = run.overlap(*range) else { continue };
            let first = run.start().checked_next_multiple_of(pool).unwrap_or(u64::MAX);
            addresses.extend((first..run.end()).step_by(pool as usize));
        }
    }
    Ok(addresses)
}
