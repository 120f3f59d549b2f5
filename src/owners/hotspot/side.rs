//! What collectors keep beside the heap: the card table, which libjvm exports, and tables of G1 that lie one pointer away from
//! the object of its heap (`src/hotspot/share/gc/shared/markBitMap.hpp`, `src/hotspot/share/gc/g1/g1BlockOffsetTable.hpp`).
//! Each of those repeats the bounds of the heap.

use mmview_platform::{AddrRange, Bytes, Claim, Region};

use super::heap::{Collector, Heap};
use super::tables::optional;
use super::vm::Vm;
use super::{Fault, HEAP, Read};
use crate::kind::RegionKind;
use crate::owners::claims::Claims;

const TITLE: &str = "Java GC data";
const RESERVED_TITLE: &str = "Java GC data reserve";

/// How much of each object is searched for the bounds of the heap.
const SEARCHED: usize = 4096;

/// The bytes of the heap for each byte of the table of block offsets.
const BLOCK: u64 = 512;

/// Claims the tables.
pub(super) fn inspect(vm: &Vm<'_, '_>, claims: &mut Claims<'_>, heap: &Heap) -> Read<()> {
    let Some(reserved) = heap.reserved else { return Ok(()) };
    if let Some(cards) = optional(card_table(vm, heap.object))?
        && cards.size().0 <= reserved.size().0
    {
        claim(vm, claims, cards, "card table");
    }
    if heap.collector == Collector::G1 {
        tables_of_g1(vm, claims, heap.object, reserved)?;
    }
    Ok(())
}

/// Claims a table, which must lie in the process's own memory.
fn claim(vm: &Vm<'_, '_>, claims: &mut Claims<'_>, range: AddrRange, note: &'static str) {
    if !vm.target.is_within(range, is_own) {
        return;
    }
    let of = |kind: RegionKind, title| Claim::new(range, HEAP, kind.id()).title(title).note(note);
    claims.add(&of(RegionKind::RuntimeData, TITLE), |region| is_own(region) && !region.protection.is_none());
    claims.add(&of(RegionKind::Reserved, RESERVED_TITLE), |region| {
        is_own(region) && region.protection.is_none()
    });
}

fn is_own(region: &Region) -> bool {
    region.is_unnamed() && !region.share.is_shared() && !region.protection.is_executable()
}

/// The table that has a byte for each 512 bytes of the heap.
fn card_table(vm: &Vm<'_, '_>, heap: u64) -> Read<AddrRange> {
    let set = match vm.tables.variable(&["BarrierSet::_barrier_set"]) {
        Ok(variable) => vm.pointer(variable)?,
        Err(_) => vm.object_of(heap, &["CollectedHeap::_barrier_set"])?,
    };
    let table = match vm.object_of(set, &["CardTableBarrierSet::_card_table"]) {
        Err(Fault::Absent) => set,
        table => table?,
    };
    let start = vm.word_of(table, &["CardTable::_byte_map", "CardTableModRefBS::_byte_map"])?;
    let size = vm.word_of(table, &["CardTable::_byte_map_size", "CardTableModRefBS::_byte_map_size"])?;
    let range = AddrRange::with_size(start, Bytes(size)).ok_or(Fault::Absent)?;
    if start.is_multiple_of(vm.target.page()) && size > 0 { Ok(range) } else { Err(Fault::Absent) }
}

/// Searches the object of the heap, and what it points to, for the bounds of the heap: the objects of mark bitmaps and of the
/// table of block offsets have them first, and their address next.
fn tables_of_g1(vm: &Vm<'_, '_>, claims: &mut Claims<'_>, heap: u64, reserved: AddrRange) -> Read<()> {
    let target = vm.target;
    let size = vm.tables.size(&["G1CollectedHeap"])? as usize;
    let object = vm.bytes(heap, size)?;
    let words = |bytes: &[u8]| -> Vec<u64> {
        (0..bytes.len() as u64)
            .step_by(target.word as usize)
            .map_while(|at| target.word_in(bytes, at))
            .collect()
    };
    let mut pointers = words(&object);
    pointers.retain(|pointer| {
        pointer.is_multiple_of(target.word) && target.is_plain(*pointer) && !reserved.contains(*pointer)
    });
    pointers.sort_unstable();
    pointers.dedup();
    for pointer in pointers {
        // As much as is resident: an object may end before.
        let words = words(&target.bytes(pointer, SEARCHED)?);
        for place in words.windows(5) {
            if place[0] == reserved.start() && place[1] == reserved.size().0 / target.word {
                table_of_g1(vm, claims, reserved, place);
            }
        }
    }
    Ok(())
}

/// Claims the table that the words after the bounds of the heap describe.
fn table_of_g1(vm: &Vm<'_, '_>, claims: &mut Claims<'_>, reserved: AddrRange, words: &[u64]) {
    let target = vm.target;
    let starts_region =
        |start: u64| start.is_multiple_of(target.page()) && target.region_at(start).is_some_and(is_own);
    // A bitmap: a shift, its address, and its size in bits, one for each object's start that is possible.
    if let [_, heap_words, shift, start, bits, ..] = *words
        && shift < 8
        && bits == heap_words >> shift
        && starts_region(start)
        && let Some(range) = AddrRange::with_size(start, Bytes(bits / 8))
    {
        return claim(vm, claims, range, "mark bitmap");
    }
    // Block offsets: their address, or what it would be for the address 0.
    let [_, _, start, ..] = *words else { return };
    let biased = start.wrapping_add(reserved.start() / BLOCK);
    let place = [biased, start].into_iter().find(|start| starts_region(*start));
    if let Some(range) = place.and_then(|start| AddrRange::with_size(start, Bytes(reserved.size().0 / BLOCK)))
    {
        claim(vm, claims, range, "block offsets");
    }
}

/// Claims the counters of jvmstat if they are not in a file.
pub(super) fn counters(vm: &Vm<'_, '_>, claims: &mut Claims<'_>) -> Read<()> {
    const LARGEST: u64 = 64 << 20;
    let start = vm.value(&["PerfMemory::_start"])?;
    let end = vm.value(&["PerfMemory::_end"])?;
    let range = AddrRange::new(start, end).filter(|range| !range.is_empty() && range.size().0 <= LARGEST);
    if let Some(range) = range.filter(|range| range.start().is_multiple_of(vm.target.page())) {
        let claim =
            Claim::new(range, HEAP, RegionKind::RuntimeData.id()).title("Java counters").note("jvmstat");
        claims.add(&claim, is_own);
    }
    Ok(())
}
