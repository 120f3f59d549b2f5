//! ZGC's heap, which is a file in memory (`src/hotspot/share/gc/z/vmStructs_z.hpp`). To version 20, and without generations to
//! 23, the VM maps each page of it three times.

use std::sync::Arc;

use mmview_platform::{AddrRange, Bytes, Claim, Evidence, Region, Zone};

use super::heap::{Collector, GREW, Heap};
use super::vm::Vm;
use super::{Fault, HEAP, Read};
use crate::kind::RegionKind;
use crate::owners::claims::Claims;

/// The name of the file.
const FILE: &[u8] = b"/memfd:java_heap";

const ZONE: &str = "Java heap pages";

/// The least reserved address space that is taken for the heap's. Real ones have terabytes.
const SMALLEST_RESERVE: u64 = 256 << 20;

/// How many partitions, one for each memory node.
const MOST_PARTITIONS: u64 = 1024;

/// What the allocator of pages records, in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Figures {
    used: u64,
    capacity: u64,
}

pub(super) fn inspect(
    vm: &Vm<'_, '_>,
    claims: &mut Claims<'_>,
    object: u64,
    collections: Option<u64>,
) -> Read<Heap> {
    let before = figures(vm, object)?;
    vm.forget();
    let after = figures(vm, object);
    let is_heap = |region: &Region| region.name.as_ref().is_some_and(|name| name.bytes().starts_with(FILE));
    let ranges: Vec<AddrRange> =
        vm.target.regions.iter().filter(|region| is_heap(region)).map(|region| region.range).collect();
    let zone: Arc<str> = ZONE.into();
    for range in &ranges {
        let claim = Claim::new(*range, HEAP, RegionKind::GcHeap.id()).title(Collector::Z.title());
        claims.add(&claim.zone(&zone).note("pages"), is_heap);
    }
    claim_reserved(vm, claims, &ranges);
    let mut found = Zone::new(HEAP, ZONE);
    found.committed = Some(Bytes(before.capacity));
    found.allocated = Some(Bytes(before.used));
    found.free = Some(Bytes(before.capacity.saturating_sub(before.used)));
    if after.is_ok_and(|after| after != before) {
        found.doubts.push("it changed while it was read".into());
    }
    if ranges.iter().map(|range| range.size().0).sum::<u64>() < before.capacity {
        found.doubts.push(GREW.into());
    }
    claims.zone(found);
    Ok(Heap {
        collector: Collector::Z,
        object,
        reserved: None,
        committed: before.capacity,
        used: Some(before.used),
        collections,
    })
}

/// What the allocator of pages records. Version 25 has one for each memory node. Where a version has a ZGC with and one without
/// generations, the names of the latter begin with X.
fn figures(vm: &Vm<'_, '_>, object: u64) -> Read<Figures> {
    let is_x = vm.tables.has("XCollectedHeap::_heap") && vm.flag("ZGenerational") != Some(true);
    let letter = if is_x { "X" } else { "Z" };
    let heap = vm.field(object, &[&format!("{letter}CollectedHeap::_heap")])?;
    let allocator = vm.field(heap, &[&format!("{letter}Heap::_page_allocator")])?;
    let field = |name: &str| vm.word_of(allocator, &[&format!("{letter}PageAllocator::{name}")]);
    let figures = match (field("_used"), field("_capacity").or_else(|_| physical(vm, allocator))) {
        (Ok(used), Ok(capacity)) => Figures { used, capacity },
        _ => partitions(vm, allocator)?,
    };
    if figures.used <= figures.capacity { Ok(figures) } else { Err(Fault::Absent) }
}

/// The capacity in version 11.
fn physical(vm: &Vm<'_, '_>, allocator: u64) -> Read<u64> {
    let physical = vm.field(allocator, &["ZPageAllocator::_physical"])?;
    vm.word_of(physical, &["ZPhysicalMemoryManager::_capacity"])
}

fn partitions(vm: &Vm<'_, '_>, allocator: u64) -> Read<Figures> {
    let array = vm.field(allocator, &["ZPageAllocator::_partitions"])?;
    let first = vm.object_of(array, &["ZPerNUMAZPartition::_addr"])?;
    let count = u64::from(vm.u32(vm.tables.variable(&["ZNUMA::_count"])?)?);
    let size = vm.tables.size(&["ZPartition"])?;
    if count > MOST_PARTITIONS {
        return Err(Fault::Absent);
    }
    let mut sum = Figures { used: 0, capacity: 0 };
    for index in 0..count {
        let partition = first.checked_add(index * size).ok_or(Fault::Absent)?;
        let add = |one: u64, other: u64| one.checked_add(other).ok_or(Fault::Absent);
        sum.used = add(sum.used, vm.word_of(partition, &["ZPartition::_used"])?)?;
        sum.capacity = add(sum.capacity, vm.word_of(partition, &["ZPartition::_capacity"])?)?;
    }
    Ok(sum)
}

/// Claims the address space around the pages. The VM doesn't export how much it reserved: its size suggests it.
fn claim_reserved(vm: &Vm<'_, '_>, claims: &mut Claims<'_>, ranges: &[AddrRange]) {
    let is_beside = |range: AddrRange| {
        ranges.iter().any(|pages| pages.end() == range.start() || pages.start() == range.end())
    };
    let is_reserved = |region: &Region| {
        region.is_unnamed() && region.protection.is_none() && region.size().0 >= SMALLEST_RESERVE
    };
    for region in vm.target.regions.iter().filter(|region| is_reserved(region) && is_beside(region.range)) {
        let mut claim = Claim::new(region.range, HEAP, RegionKind::Reserved.id()).title("Java heap reserve");
        claim.evidence = Evidence::Shape;
        claims.add(&claim, is_reserved);
    }
}
