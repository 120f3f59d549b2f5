//! PartitionAlloc, Chromium's malloc, since 2025: its pools, and the partitions that have memory in them.
//!
//! Chromium documents it in `base/allocator/partition_allocator`: `partition_page_constants.h`,
//! `partition_alloc_constants.h` and `partition_superpage_extent_entry.h`. A pool has 16 GiB, in super pages of 2 MiB. The
//! metadata of all pools are apart, in a reserve as large as a pool, at the same distance as the super page that they
//! describe. So pool and metadata prove each other.

use std::collections::{BTreeMap, BTreeSet};

use mmview_platform::{AddrRange, Bytes, Claim, FactValue, Result, Runtime, Zone};

use super::Recognizer;
use super::claims::Claims;
use super::target::{Target, groups, is_plain, is_reserved};
use crate::kind::RegionKind;

/// The name of the owner.
const OWNER: &str = "PartitionAlloc";

/// The size and the alignment of a pool, and the size of the reserve for the metadata.
const POOL: u64 = 16 << 30;

/// The size of a super page.
const SUPER_PAGE: u64 = 2 << 20;

/// The pools: where their metadata lie in those of a super page, and their names.
const POOLS: [(u64, &str); 3] =
    [(4 << 10, "regular pool"), (12 << 10, "BRP pool"), (20 << 10, "configurable pool")];

/// Fewer super pages whose metadata are at their place are chance.
const FEWEST: usize = 2;

/// Chromium's malloc.
pub(super) struct PartitionAlloc;

/// The metadata of the super pages of one pool: their numbers, and the partitions they belong to.
type Metadata = BTreeMap<u64, u64>;

/// A pool.
struct Pool {
    range: AddrRange,
    name: &'static str,
    /// The numbers of the super pages in use.
    used: BTreeSet<u64>,
    metadata: Metadata,
}

impl Recognizer for PartitionAlloc {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && target.images.has_browser() && reserves(target).next().is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        for reserve in reserves(target) {
            let metadata = metadata(target, reserve)?;
            let count: usize = metadata.iter().map(Metadata::len).sum();
            if count < FEWEST {
                continue;
            }
            let pools = pools(target, reserve, metadata);
            if pools.is_empty() {
                continue;
            }
            report(target, claims, reserve, &pools);
            break;
        }
        Ok(())
    }
}

/// The reserves that may be the one for metadata.
fn reserves(target: &Target<'_>) -> impl Iterator<Item = AddrRange> {
    groups(target.regions).into_iter().filter(|range| range.size().0 == POOL)
}

/// Reads the metadata pages in a reserve, by pool.
fn metadata(target: &Target<'_>, reserve: AddrRange) -> Result<[Metadata; POOLS.len()]> {
    let mut found: [Metadata; POOLS.len()] = Default::default();
    let pages = plain_in(target, reserve)
        .flat_map(|range| (range.start()..range.end()).step_by(target.page() as usize));
    let pages: Vec<(usize, u64, u64)> = pages
        .filter_map(|page| {
            let into = page - reserve.start();
            let pool = POOLS.iter().position(|(offset, _)| *offset == into % SUPER_PAGE)?;
            Some((pool, into / SUPER_PAGE, page))
        })
        .collect();
    let words = target.gather(pages.iter().map(|(_, _, page)| *page), 8)?;
    for ((pool, number, _), word) in pages.iter().zip(words.iter()) {
        // The partition is a variable of the program.
        let partition = word.and_then(|word| target.u64_in(word, 0)).unwrap_or_default();
        if target.images.all.iter().any(|image| image.data().any(|data| data.contains(partition))) {
            found[*pool].insert(*number, partition);
        }
    }
    Ok(found)
}

/// The plain memory in `range`.
fn plain_in<'a>(target: &Target<'a>, range: AddrRange) -> impl Iterator<Item = AddrRange> + use<'a> {
    let regions = target.regions;
    let first = regions.partition_point(|region| region.range.end() <= range.start());
    let inside = regions[first..].iter().take_while(move |region| region.range.start() < range.end());
    inside.filter(|region| is_plain(region)).filter_map(move |region| region.range.overlap(range))
}

/// Finds the pools whose super pages are those that the metadata describe.
fn pools(target: &Target<'_>, reserve: AddrRange, metadata: [Metadata; POOLS.len()]) -> Vec<Pool> {
    let places: Vec<(AddrRange, BTreeSet<u64>)> = groups(target.regions)
        .into_iter()
        .filter(|group| *group != reserve)
        .flat_map(|group| {
            let first = group.start().checked_next_multiple_of(POOL).unwrap_or(u64::MAX);
            (first..group.end()).step_by(POOL as usize)
        })
        .filter_map(|start| AddrRange::with_size(start, Bytes(POOL)))
        .map(|range| (range, super_pages(target, range)))
        .filter(|(_, used)| !used.is_empty())
        .collect();
    let mut pools: Vec<Pool> = Vec::new();
    for ((_, name), metadata) in POOLS.into_iter().zip(metadata) {
        // A large block has metadata for its first super page only.
        let hits = |used: &BTreeSet<u64>| metadata.keys().filter(|number| used.contains(number)).count();
        let free = places.iter().filter(|(range, _)| !pools.iter().any(|pool| pool.range == *range));
        let best = free.max_by_key(|(_, used)| 2 * hits(used) as i64 - used.len() as i64);
        let Some((range, used)) = best.filter(|(_, used)| hits(used) > 0 && hits(used) == metadata.len())
        else {
            continue;
        };
        pools.push(Pool { range: *range, name, used: used.clone(), metadata });
    }
    pools
}

/// The numbers of the super pages of a pool that have memory.
fn super_pages(target: &Target<'_>, pool: AddrRange) -> BTreeSet<u64> {
    let numbers = plain_in(target, pool).flat_map(|range| {
        let (first, last) = (range.start() - pool.start(), range.end() - 1 - pool.start());
        first / SUPER_PAGE..=last / SUPER_PAGE
    });
    numbers.collect()
}

/// Claims the memory of the pools, and the metadata.
fn report(target: &Target<'_>, claims: &mut Claims<'_>, reserve: AddrRange, pools: &[Pool]) {
    for pool in pools {
        let mut zone = Zone::new(OWNER, format!("{OWNER} {}", pool.name));
        let memory = Claim::new(pool.range, OWNER, RegionKind::Malloc.id()).title(OWNER).zone(&zone.name);
        claims.add(&memory, is_plain);
        let reserved = Claim::new(pool.range, OWNER, RegionKind::Reserved.id());
        claims.add(&reserved.title("PartitionAlloc reserve"), is_reserved);
        zone.committed = Some(plain_in(target, pool.range).map(AddrRange::size).sum());
        claims.zone(zone);
    }
    let metadata = Claim::new(reserve, OWNER, RegionKind::RuntimeData.id()).title("PartitionAlloc metadata");
    claims.add(&metadata, is_plain);
    let reserved = Claim::new(reserve, OWNER, RegionKind::Reserved.id());
    claims.add(&reserved.title("PartitionAlloc reserve"), is_reserved);
    let partitions: BTreeSet<u64> = pools.iter().flat_map(|pool| pool.metadata.values().copied()).collect();
    let used: usize = pools.iter().map(|pool| pool.used.len()).sum();
    let runtime = Runtime::new(OWNER, OWNER)
        .fact("partitions", FactValue::Count(partitions.len() as u64))
        .fact("super pages", FactValue::Count(used as u64));
    claims.runtime(runtime);
}
