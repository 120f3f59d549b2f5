//! The tables of an allocator: the heads of its lists of pools (`usedpools`), and its arenas (`struct arena_object`).
//!
//! The lists of partly used pools end in the heads, so the links of pools lead there. Since 3.12, the rest of the state follows
//! the heads (`struct _obmalloc_mgmt`). Before, one pointer in the data of the interpreter leads to the arenas.

mod search;

use std::collections::BTreeMap;
use std::ops::Range;

use mmview_platform::{AddrRange, Result};

use super::pools::{CLASSES, GEOMETRIES, Geometry, Hint, candidates, hints};
use crate::owners::claims::Claims;
use crate::owners::target::{Target, is_brk, is_plain};

/// One of so many places is looked at first: still one in each arena. The others follow only if that explains too little.
const ROUNDS: u64 = 64;

/// How many places that look like pools are enough to conclude from.
const ENOUGH: usize = 32;

/// How many places that lists may end in are tried in each round.
const MOST_BASES: usize = 64;

/// The size of the heads: two pointers for each class.
const HEADS: u64 = 16 * CLASSES as u64;

/// Where the number of arenas is in the state since 3.12, before the search fingers: one for each number of free pools.
const FINGERS: u64 = HEADS + 32;

/// The size of an `arena_object`.
const ARENA_OBJECT: u64 = 48;

/// The number of `arena_object`s is this number, doubled some times (`INITIAL_ARENA_OBJECTS`).
const FIRST_ARENAS: u32 = 16;
const MOST_ARENAS: u32 = 1 << 22;

/// How many allocators are looked for: one for each interpreter with its own lock.
const MOST_ALLOCATORS: usize = 1024;

/// Memory that pools are allocated in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arena {
    pub index: u32,
    pub range: AddrRange,
    /// The first pool that was never used.
    fresh: u64,
    /// How many pools are free, those that were never used included.
    pub free: u64,
}

impl Arena {
    /// Reads an `arena_object` that has memory. `None` if it contradicts itself or the map.
    fn parse(target: &Target<'_>, geometry: Geometry, index: u32, object: &[u8]) -> Option<Arena> {
        let (address, fresh) = (target.u64_in(object, 0)?, target.u64_in(object, 8)?);
        let (free, all) = (target.u32_in(object, 16)?, target.u32_in(object, 20)?);
        let range = AddrRange::new(address, address.checked_add(geometry.arena)?)?;
        let is_possible = address.is_multiple_of(target.page())
            && u64::from(all) == geometry.pools(address)
            && free <= all
            && fresh.is_multiple_of(geometry.pool)
            && (range.start()..=range.end()).contains(&fresh)
            && target.is_within(range, is_plain);
        is_possible.then_some(Arena { index, range, fresh, free: free.into() })
    }

    /// The addresses of its pools that were ever used.
    pub fn used_pools(&self, geometry: Geometry) -> std::iter::StepBy<Range<u64>> {
        // The arena ends where the address space does, at the latest.
        let first = self.range.start().checked_next_multiple_of(geometry.pool).unwrap_or(self.fresh);
        (first..self.fresh).step_by(geometry.pool as usize)
    }
}

/// What the state records since 3.12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    arenas: u64,
    /// The largest number of arenas so far.
    pub most: u64,
    /// Blocks too large for pools, which malloc has.
    pub raw_blocks: u64,
}

/// Where the arenas are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Table {
    address: u64,
    length: u32,
}

/// The search for allocators with pools of one size.
struct Search {
    pool: u64,
    /// Where pools can begin.
    places: Vec<u64>,
    found: Vec<Allocator>,
    /// The arenas that were found: their starts and ends.
    known: BTreeMap<u64, u64>,
    /// What looks like pools and is in none of those.
    open: Vec<Hint>,
}

impl Search {
    fn new(pool: u64, places: Vec<u64>) -> Search {
        Search { pool, places, found: Vec::new(), known: BTreeMap::new(), open: Vec::new() }
    }

    /// Looks at the places of a round, and for allocators that explain what is open.
    fn round(&mut self, target: &Target<'_>, round: u64) -> Result<()> {
        let geometries = GEOMETRIES.iter().filter(|geometry| geometry.pool == self.pool);
        let geometries: Vec<Geometry> = geometries.copied().collect();
        let of_round = |place: &u64| (place / self.pool) % ROUNDS == round && is_open(&self.known, *place);
        let places: Vec<u64> = self.places.iter().copied().filter(of_round).collect();
        self.open.extend(hints(target, geometries[0], &places)?);
        if self.open.len() < ENOUGH && round + 1 < ROUNDS {
            return Ok(());
        }
        for base in bases(geometries[0], &self.open) {
            let is_new = self.found.iter().all(|other| other.base != base);
            if !is_new || self.found.len() >= MOST_ALLOCATORS {
                continue;
            }
            for geometry in &geometries {
                if let Some(allocator) = Allocator::at(target, *geometry, base, &self.open)? {
                    let arenas =
                        allocator.arenas.iter().map(|arena| (arena.range.start(), arena.range.end()));
                    self.known.extend(arenas);
                    self.found.push(allocator);
                    break;
                }
            }
        }
        self.open.retain(|(place, _)| is_open(&self.known, *place));
        Ok(())
    }
}

/// Whether no known arena holds `place`.
fn is_open(known: &BTreeMap<u64, u64>, place: u64) -> bool {
    let before = known.range(..=place).next_back();
    before.is_none_or(|(_, end)| *end <= place)
}

/// An allocator of an interpreter.
#[derive(Debug)]
pub(super) struct Allocator {
    pub geometry: Geometry,
    /// Ordered by address.
    pub arenas: Vec<Arena>,
    /// `None` before 3.12.
    pub counters: Option<Counters>,
    /// Why the list of arenas may be wrong.
    pub doubts: Vec<String>,
    base: u64,
    heads: Vec<u8>,
    table: Table,
    objects: Vec<u8>,
}

impl Allocator {
    /// Finds every allocator in what nothing else claims; that of the main interpreter first.
    pub fn find_all(target: &Target<'_>, claims: &Claims<'_>) -> Result<Vec<Allocator>> {
        let is_brk = |range: &AddrRange| target.region_at(range.start()).is_some_and(is_brk);
        let ranges: Vec<AddrRange> = claims.open().filter(|range| !is_brk(range)).collect();
        let mut searches = Vec::new();
        for pool in [GEOMETRIES[0].pool, GEOMETRIES[2].pool] {
            searches.push(Search::new(pool, candidates(target, &ranges, pool)?));
        }
        // A program has pools of one size.
        let mut size = None;
        for round in 0..ROUNDS {
            for search in &mut searches {
                if size.is_none_or(|size| size == search.pool) {
                    search.round(target, round)?;
                    size = size.or((!search.found.is_empty()).then_some(search.pool));
                }
            }
            if searches.iter().any(|search| Some(search.pool) == size && search.open.is_empty()) {
                break;
            }
        }
        let mut found: Vec<Allocator> = searches.into_iter().flat_map(|search| search.found).collect();
        let is_own = |allocator: &Allocator| target.is_plain(allocator.base);
        found.sort_by_key(|allocator| (is_own(allocator), std::cmp::Reverse(allocator.arenas.len())));
        Ok(found)
    }

    /// The allocator whose heads are at `base`, if they are.
    fn at(target: &Target<'_>, geometry: Geometry, base: u64, hints: &[Hint]) -> Result<Option<Allocator>> {
        let pools = geometry.arena / geometry.pool;
        let end = FINGERS + 8 * (pools + 1);
        let state = target.bytes(base, (end + 32) as usize)?;
        if !are_heads(target, geometry, base, &state) {
            return Ok(None);
        }
        let behind = table_behind(target, &state, end);
        let (table, counters) = match behind {
            Some((table, counters)) => (Some(table), Some(counters)),
            None => (search::table(target, geometry, base, hints)?, None),
        };
        let Some(table) = table else { return Ok(None) };
        let Some(Listed { objects, arenas }) = Listed::read(target, geometry, table)? else {
            return Ok(None);
        };
        let heads = state[..HEADS as usize].to_vec();
        let mut allocator =
            Allocator { geometry, arenas, counters, doubts: Vec::new(), base, heads, table, objects };
        allocator.check();
        Ok(Some(allocator))
    }

    /// Orders the arenas, drops those that overlap others, and compares them with the counters.
    fn check(&mut self) {
        let found = self.arenas.len();
        self.arenas.sort_by_key(|arena| arena.range);
        let mut end = 0;
        self.arenas.retain(|arena| {
            let is_apart = arena.range.start() >= end;
            end = end.max(arena.range.end());
            is_apart
        });
        let count = self.counters.map_or(found as u64, |counters| counters.arenas);
        if count != self.arenas.len() as u64 {
            self.doubts.push(format!("it counts {count} arenas, and {} were found", self.arenas.len()));
        }
    }

    /// If the tables are as they were: the first pool of each list.
    pub fn unchanged(&self, target: &Target<'_>) -> Result<Option<Vec<u64>>> {
        let heads = target.bytes(self.base, HEADS as usize)?;
        let objects = target.bytes(self.table.address, self.objects.len())?;
        if heads != self.heads || objects != self.objects {
            return Ok(None);
        }
        let firsts = (0..CLASSES as u64).filter_map(|class| target.u64_in(&heads, 16 * class));
        Ok(Some(firsts.filter(|first| first.is_multiple_of(self.geometry.pool)).collect()))
    }
}

/// Where the lists of pools may end, the most likely first.
fn bases(geometry: Geometry, hints: &[Hint]) -> Vec<u64> {
    let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, pool) in hints.iter().filter(|(_, pool)| pool.is_listed(geometry)) {
        // The head of a list poses as a pool that has only its links.
        for end in pool.links.into_iter().filter(|link| !link.is_multiple_of(geometry.pool)) {
            let base = end.checked_add(16).and_then(|end| end.checked_sub(16 * pool.class as u64));
            if let Some(base) = base.filter(|base| base.is_multiple_of(8)) {
                *votes.entry(base).or_default() += 1;
            }
        }
    }
    let mut bases: Vec<(u64, usize)> = votes.into_iter().collect();
    bases.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
    bases.into_iter().take(MOST_BASES).map(|(base, _)| base).collect()
}

/// Whether the heads of lists lead to themselves or to what can be pools: while it runs, they can be newer than the map.
fn are_heads(target: &Target<'_>, geometry: Geometry, base: u64, state: &[u8]) -> bool {
    (0..2 * CLASSES as u64).all(|index| {
        let itself = base.wrapping_add(16 * (index / 2)).wrapping_sub(16);
        let is_pool = |link: u64| link != 0 && link.is_multiple_of(geometry.pool);
        target.u64_in(state, 8 * index).is_some_and(|link| link == itself || is_pool(link))
    })
}

/// The table and the counters that follow the heads since 3.12.
fn table_behind(target: &Target<'_>, state: &[u8], end: u64) -> Option<(Table, Counters)> {
    let word = |offset| target.u64_in(state, offset);
    let table = Table { address: word(HEADS)?, length: target.u32_in(state, HEADS + 8)? };
    let (arenas, ever, most) = (word(end)?, word(end + 8)?, word(end + 16)?);
    let is_doubled =
        table.length.is_multiple_of(FIRST_ARENAS) && (table.length / FIRST_ARENAS).is_power_of_two();
    let is_possible = is_doubled
        && table.length <= MOST_ARENAS
        && table.address.is_multiple_of(8)
        && (1..=most).contains(&arenas)
        && most <= ever
        && arenas <= u64::from(table.length);
    is_possible.then_some((table, Counters { arenas, most, raw_blocks: word(end + 24)? }))
}

/// What a table lists.
struct Listed {
    /// The objects, up to the last that has memory.
    objects: Vec<u8>,
    arenas: Vec<Arena>,
}

impl Listed {
    /// Reads the objects of a table. `None` if most of them contradict the map, in which the newest can be missing.
    fn read(target: &Target<'_>, geometry: Geometry, table: Table) -> Result<Option<Listed>> {
        let size = u64::from(table.length) * ARENA_OBJECT;
        let end = table.address.saturating_add(size);
        let Some(range) = AddrRange::new(table.address, end) else { return Ok(None) };
        if !target.is_within(range, is_plain) {
            return Ok(None);
        }
        // Objects that were never used need not be in memory.
        let first = target.resident(range)?.first().and_then(|run| run.overlap(range));
        let Some(present) = first.filter(|run| run.start() == range.start()) else { return Ok(None) };
        let mut listed =
            Listed { objects: target.bytes(range.start(), present.size().0 as usize)?, arenas: vec![] };
        let (mut used, mut wrong) = (0, 0);
        for (index, object) in (0..table.length).zip(listed.objects.chunks_exact(ARENA_OBJECT as usize)) {
            if target.u64_in(object, 0) == Some(0) {
                continue;
            }
            used = (u64::from(index) + 1) * ARENA_OBJECT;
            match Arena::parse(target, geometry, index, object) {
                Some(arena) => listed.arenas.push(arena),
                None => wrong += 1,
            }
        }
        listed.objects.truncate(used as usize);
        let is_possible = !listed.arenas.is_empty() && wrong <= listed.arenas.len();
        Ok(is_possible.then_some(listed))
    }
}
