//! Heaps of a few spaces: Serial (and CMS), Parallel, Epsilon (`src/hotspot/share/gc/*/vmStructs_*.hpp`).

use mmview_platform::AddrRange;

use super::heap::Space;
use super::vm::Vm;
use super::{Fault, Read};

const BOTTOM: &[&str] = &["ContiguousSpace::_bottom", "Space::_bottom"];
const TOP: &[&str] = &["ContiguousSpace::_top"];
const END: &[&str] = &["ContiguousSpace::_end", "Space::_end"];

const MUTABLE_BOTTOM: &[&str] = &["MutableSpace::_bottom", "ImmutableSpace::_bottom"];
const MUTABLE_END: &[&str] = &["MutableSpace::_end", "ImmutableSpace::_end"];

/// The zones of the generations.
const EDEN: &str = "Java eden";
const SURVIVOR: &str = "Java survivor";
const OLD: &str = "Java old";

/// The spaces of Serial, and of CMS, whose old generation has free lists in place of a top.
pub(super) fn serial(vm: &Vm<'_, '_>, heap: u64) -> Read<Vec<Space>> {
    let [young, old] = generations(vm, heap)?;
    let mut spaces = Vec::new();
    for (zone, field) in [
        (EDEN, "DefNewGeneration::_eden_space"),
        (SURVIVOR, "DefNewGeneration::_from_space"),
        (SURVIVOR, "DefNewGeneration::_to_space"),
    ] {
        spaces.push(contiguous(vm, zone, vm.object_of(young, &[field])?)?);
    }
    if vm.flag("UseConcMarkSweepGC") == Some(true) {
        let committed = vm.field(old, &["Generation::_virtual_space"])?;
        spaces.push(Space { zone: OLD, range: committed_range(vm, committed)?, used: None });
    } else {
        let space = ["TenuredGeneration::_the_space", "OneContigSpaceCardGeneration::_the_space"];
        spaces.push(contiguous(vm, OLD, vm.object_of(old, &space)?)?);
    }
    Ok(spaces)
}

/// The young and the old generation of Serial. Version 8 has an array of them.
fn generations(vm: &Vm<'_, '_>, heap: u64) -> Read<[u64; 2]> {
    const YOUNG: &[&str] = &["SerialHeap::_young_gen", "GenCollectedHeap::_young_gen"];
    const OLD: &[&str] = &["SerialHeap::_old_gen", "GenCollectedHeap::_old_gen"];
    match vm.object_of(heap, YOUNG) {
        Ok(young) => Ok([young, vm.object_of(heap, OLD)?]),
        Err(Fault::Absent) => {
            let all = vm.field(heap, &["GenCollectedHeap::_gens"])?;
            let second = all.checked_add(vm.target.word).ok_or(Fault::Absent)?;
            Ok([vm.pointer(all)?, vm.pointer(second)?])
        }
        Err(fault) => Err(fault),
    }
}

pub(super) fn parallel(vm: &Vm<'_, '_>) -> Read<Vec<Space>> {
    let young = vm.pointer(vm.tables.variable(&["ParallelScavengeHeap::_young_gen"])?)?;
    let old = vm.pointer(vm.tables.variable(&["ParallelScavengeHeap::_old_gen"])?)?;
    let places = [
        (EDEN, young, "PSYoungGen::_eden_space"),
        (SURVIVOR, young, "PSYoungGen::_from_space"),
        (SURVIVOR, young, "PSYoungGen::_to_space"),
        (OLD, old, "PSOldGen::_object_space"),
    ];
    let mut spaces = Vec::new();
    for (zone, generation, field) in places {
        let space = vm.object_of(generation, &[field])?;
        let range = vm.range_of(space, MUTABLE_BOTTOM, MUTABLE_END)?;
        spaces.push(Space::up_to(zone, range, vm.word_of(space, &["MutableSpace::_top"])?)?);
    }
    Ok(spaces)
}

pub(super) fn epsilon(vm: &Vm<'_, '_>, heap: u64) -> Read<Vec<Space>> {
    Ok(vec![contiguous(vm, "Java heap space", vm.object_of(heap, &["EpsilonHeap::_space"])?)?])
}

fn contiguous(vm: &Vm<'_, '_>, zone: &'static str, space: u64) -> Read<Space> {
    Space::up_to(zone, vm.range_of(space, BOTTOM, END)?, vm.word_of(space, TOP)?)
}

/// The committed part of a `VirtualSpace`.
pub(super) fn committed_range(vm: &Vm<'_, '_>, space: u64) -> Read<AddrRange> {
    let reserved = vm.range_of(space, &["VirtualSpace::_low_boundary"], &["VirtualSpace::_high_boundary"])?;
    let committed = vm.range_of(space, &["VirtualSpace::_low"], &["VirtualSpace::_high"])?;
    if committed.within(reserved) { Ok(committed) } else { Err(Fault::Absent) }
}
