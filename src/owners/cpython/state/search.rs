//! The table of arenas before 3.12: a static pointer leads to it, whose place depends on the compiler.

use mmview_platform::{AddrRange, Bytes, Region, Result};

use super::{ARENA_OBJECT, Arena, FIRST_ARENAS, MOST_ARENAS, Table};
use crate::owners::cpython::pools::{Geometry, Hint};
use crate::owners::target::{Target, is_brk, is_plain};

/// How many pools are tried to find tables, and how many are looked up in each table.
const TRIES: usize = 4;
const SAMPLES: usize = 16;

/// The largest data of an interpreter that is searched. Real ones have some megabytes.
const LARGEST_DATA: u64 = 64 << 20;

/// Where in a page malloc returns blocks with a mapping of their own.
const MAPPED_BLOCK: u64 = 16;

/// Finds the table by which pools find their arenas, for the allocator whose heads of lists are at `base`.
pub(super) fn table(
    target: &Target<'_>,
    geometry: Geometry,
    base: u64,
    hints: &[Hint],
) -> Result<Option<Table>> {
    // Usually, malloc has it in the kernel's heap, or as a block with a mapping of its own. There are hundreds of such pointers,
    // and ten thousands of others.
    let heap = target.regions.iter().find(|region| is_brk(region)).map(|region| region.range);
    let is_usual = |pointer: u64| {
        pointer % target.page() == MAPPED_BLOCK || heap.is_some_and(|heap| heap.contains(pointer))
    };
    let step = (hints.len() / SAMPLES).max(1);
    let samples: Vec<Hint> = hints.iter().copied().step_by(step).take(SAMPLES).collect();
    for are_usual in [true, false] {
        let pointers = pointers(target, base, |pointer| is_usual(pointer) == are_usual)?;
        for sample in samples.iter().take(TRIES) {
            for pointer in lead_to(target, geometry, &pointers, sample)? {
                let mut agreeing = 0;
                for sample in &samples {
                    agreeing += lead_to(target, geometry, &[pointer], sample)?.len();
                }
                // While it runs, a pool can be gone.
                if agreeing * 4 >= samples.len() * 3 {
                    // Free entries are used first, so that no arena has a larger number than there is room for arenas.
                    let room = target
                        .regions
                        .iter()
                        .filter(|region| is_plain(region))
                        .map(Region::size)
                        .sum::<Bytes>();
                    let numbers = hints.iter().map(|(_, pool)| pool.arena);
                    let possible = numbers.filter(|number| u64::from(*number) <= room.0 / geometry.arena);
                    let last = possible.max().unwrap_or(0);
                    let length = length(target, geometry, pointer, last)?;
                    return Ok(Some(Table { address: pointer, length }));
                }
            }
        }
    }
    Ok(None)
}

/// The `wanted` pointers in the data of the image that has `base` which can lead to a table.
fn pointers(target: &Target<'_>, base: u64, wanted: impl Fn(u64) -> bool) -> Result<Vec<u64>> {
    let mut pointers = Vec::new();
    let has_base = |data: &AddrRange| data.contains(base);
    let images = target.images.all.iter().filter(|image| image.data().any(|data| has_base(&data)));
    for data in images.flat_map(|image| image.data()).filter(|data| data.size().0 <= LARGEST_DATA) {
        for run in target.resident(data)? {
            let Some(run) = run.overlap(data) else { continue };
            let bytes = target.bytes(run.start(), run.size().0 as usize)?;
            let words = bytes.chunks_exact(8).filter_map(|word| target.u64_in(word, 0));
            pointers.extend(words.filter(|word| *word != 0 && word.is_multiple_of(16) && wanted(*word)));
        }
    }
    pointers.sort_unstable();
    pointers.dedup();
    pointers.retain(|pointer| target.is_plain(*pointer));
    Ok(pointers)
}

/// Those of the pointers to tables in which this pool finds its arena.
fn lead_to(target: &Target<'_>, geometry: Geometry, tables: &[u64], hint: &Hint) -> Result<Vec<u64>> {
    let (address, pool) = hint;
    let places = tables.iter().filter_map(|table| {
        let object = table.checked_add(u64::from(pool.arena) * ARENA_OBJECT)?;
        target.is_plain(object).then_some((*table, object))
    });
    let places: Vec<(u64, u64)> = places.collect();
    let objects = target.gather(places.iter().map(|(_, object)| *object), ARENA_OBJECT as usize)?;
    let is_agreeing = |object: &[u8]| {
        let arena = Arena::parse(target, geometry, pool.arena, object);
        arena.is_some_and(|arena| arena.range.contains(*address) && *address < arena.fresh)
    };
    let places = places.iter().zip(objects.iter());
    Ok(places.filter(|(_, object)| object.is_some_and(is_agreeing)).map(|((table, _), _)| *table).collect())
}

/// How many objects a table has that has the one of index `last`: a first number, doubled as long as most of the next ones
/// that are used don't contradict themselves.
fn length(target: &Target<'_>, geometry: Geometry, table: u64, last: u32) -> Result<u32> {
    let mut length = FIRST_ARENAS;
    while length < MOST_ARENAS {
        let next = table.saturating_add(u64::from(length) * ARENA_OBJECT);
        let size = u64::from(length) * ARENA_OBJECT;
        if AddrRange::new(next, next.saturating_add(size))
            .is_none_or(|range| !target.is_within(range, is_plain))
        {
            break;
        }
        let objects = target.bytes(next, size as usize)?;
        let used = objects.chunks_exact(ARENA_OBJECT as usize).zip(length..);
        let used = used.filter(|(object, _)| target.u64_in(object, 0) != Some(0));
        let (right, wrong): (Vec<_>, Vec<_>) =
            used.partition(|(object, index)| Arena::parse(target, geometry, *index, object).is_some());
        if length > last && (right.is_empty() || right.len() < wrong.len()) {
            break;
        }
        length *= 2;
    }
    Ok(length)
}
