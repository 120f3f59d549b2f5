//! The code cache: what the interpreter and the compilers generate (`src/hotspot/share/code/codeCache.hpp`,
//! `src/hotspot/share/memory/heap.hpp`). Each segment of it is a chain of blocks, from its start to the end of what was ever
//! in use.

use std::sync::Arc;

use mmview_platform::{AddrRange, Allocation, Bytes, Claim, Region, Zone};

use super::heap::{GREW, committed};
use super::spaces::committed_range;
use super::tables::optional;
use super::vm::Vm;
use super::{CODE, Fault, Read};
use crate::kind::RegionKind;
use crate::owners::claims::Claims;

/// How many segments there can be: one, or one for each kind of code.
const MOST_SEGMENTS: u32 = 16;

/// The largest code cache that the VM allows.
const LARGEST_SEGMENT: u64 = 2 << 30;

/// How many blocks of a segment are followed.
const MOST_BLOCKS: u64 = 500_000;

/// The binary logarithms of the units of a segment that are possible. It is 7.
const UNITS: std::ops::RangeInclusive<u32> = 4..=16;

/// A segment of the code cache.
struct Segment {
    /// The VM's object for it.
    object: u64,
    name: String,
    reserved: AddrRange,
    committed: AddrRange,
    /// The table that leads from an address to its block.
    map: AddrRange,
    /// The size that the sizes of blocks are counted in.
    unit: u64,
}

/// The blocks of a segment.
#[derive(Default)]
struct Blocks {
    used: u64,
    used_bytes: u64,
    free: u64,
    free_bytes: u64,
    largest_free: u64,
    largest: Vec<Allocation>,
    /// Where the last block ends.
    end: u64,
}

/// Claims the code cache, and counts its blocks.
pub(super) fn inspect(vm: &Vm<'_, '_>, claims: &mut Claims<'_>, largest: usize) -> Read<()> {
    let list = vm.value(&["CodeCache::_heaps", "CodeCache::_heap"])?;
    let objects = if vm.tables.has("CodeCache::_heaps") { elements(vm, list)? } else { vec![list] };
    for (index, object) in objects.into_iter().enumerate() {
        let Some(segment) = optional(segment(vm, object, index))? else { continue };
        claim(claims, &segment);
        claims.zone(zone(vm, &segment, largest)?);
    }
    Ok(())
}

/// The pointers in a `GrowableArray`.
fn elements(vm: &Vm<'_, '_>, array: u64) -> Read<Vec<u64>> {
    const LENGTH: &[&str] = &["GrowableArrayBase::_len", "GenericGrowableArray::_len"];
    let count = vm.u32(vm.field(array, LENGTH)?)?;
    let data = vm.object_of(array, &["GrowableArray<int>::_data"])?;
    if count > MOST_SEGMENTS {
        return Err(Fault::Absent);
    }
    let place = |index: u32| data.checked_add(u64::from(index) * vm.target.word).ok_or(Fault::Absent);
    (0..count).map(|index| vm.pointer(place(index)?)).collect()
}

fn segment(vm: &Vm<'_, '_>, object: u64, index: usize) -> Read<Segment> {
    vm.check(object)?;
    let memory = vm.field(object, &["CodeHeap::_memory"])?;
    let map = vm.field(object, &["CodeHeap::_segmap"])?;
    let low = &["VirtualSpace::_low_boundary"];
    let high = &["VirtualSpace::_high_boundary"];
    let reserved = vm.range_of(memory, low, high)?;
    let unit = vm.u32(vm.field(object, &["CodeHeap::_log2_segment_size"])?)?;
    let is_possible = reserved.size().0 <= LARGEST_SEGMENT
        && reserved.start().is_multiple_of(vm.target.page())
        && UNITS.contains(&unit)
        && vm.target.is_within(reserved, is_own);
    if !is_possible {
        return Err(Fault::Absent);
    }
    let unit = 1 << unit;
    let committed = committed_range(vm, memory)?;
    let map = vm.range_of(map, low, high)?;
    let map_fits = map.size().0 <= reserved.size().0 && vm.target.is_within(map, is_own);
    let map = if map_fits { map } else { AddrRange::with_size(0, Bytes(0)).ok_or(Fault::Absent)? };
    Ok(Segment { object, name: name(vm, object, index)?, reserved, committed, map, unit })
}

/// The name that the VM has for a segment, such as `CodeHeap 'non-nmethods'`: one of the words of its object leads to it.
fn name(vm: &Vm<'_, '_>, object: u64, index: usize) -> Read<String> {
    let size = vm.tables.size(&["CodeHeap"]).unwrap_or(LARGEST_WITH_NAME).min(LARGEST_WITH_NAME);
    for place in (0..size).step_by(vm.target.word as usize) {
        let pointer = vm.word(object.checked_add(place).ok_or(Fault::Absent)?)?;
        let Some(text) = vm.text(pointer) else { continue };
        let quoted = text.strip_prefix("CodeHeap '").and_then(|rest| rest.strip_suffix('\''));
        if let Some(name) = quoted {
            // All but one hold methods that were compiled (nmethods).
            let short = name.strip_suffix(" nmethods").unwrap_or(name);
            return Ok(format!("Java code: {short}"));
        }
    }
    Ok(if index == 0 { "Java code".to_owned() } else { format!("Java code: segment {}", index + 1) })
}

/// How much of the object for a segment is searched for its name.
const LARGEST_WITH_NAME: u64 = 512;

/// Whether a region can be a part of the code cache.
fn is_own(region: &Region) -> bool {
    region.is_unnamed() && !region.share.is_shared()
}

fn claim(claims: &mut Claims<'_>, segment: &Segment) {
    let zone: Arc<str> = segment.name.as_str().into();
    let of = |range, kind: RegionKind, title: &'static str| {
        Claim::new(range, CODE, kind.id()).title(title).note(segment.name.as_str())
    };
    let code = of(segment.committed, RegionKind::JitCode, "Java code cache").zone(&zone);
    claims.add(&code, |region| is_own(region) && !region.protection.is_none());
    claims.add(&of(segment.reserved, RegionKind::Reserved, "Java code reserve"), is_own);
    let note = format!("segment map of {}", segment.name);
    let map = of(segment.map, RegionKind::RuntimeData, "Java code data").note(note.as_str());
    claims.add(&map, |region| is_own(region) && !region.protection.is_none());
    let rest = of(segment.map, RegionKind::Reserved, "Java code reserve").note(note);
    claims.add(&rest, |region| is_own(region) && region.protection.is_none());
}

fn zone(vm: &Vm<'_, '_>, segment: &Segment, largest: usize) -> Read<Zone> {
    let mut zone = Zone::new(CODE, segment.name.as_str());
    zone.committed = Some(segment.committed.size());
    if committed(vm, segment.committed) < segment.committed.size().0 {
        zone.doubts.push(GREW.into());
    }
    if has_swapped(vm, segment.committed)? {
        zone.doubts.push("a part of it is swapped out".into());
    }
    let size = vm.tables.size(&["CodeHeap"]).unwrap_or(LARGEST_WITH_NAME) as usize;
    let before = vm.target.bytes(segment.object, size)?;
    let blocks = match walk(vm, segment, largest) {
        Err(Fault::Absent) => {
            zone.doubts.push("its blocks could not be followed to the end".into());
            return Ok(zone);
        }
        blocks => blocks?,
    };
    if vm.target.bytes(segment.object, size)? != before {
        zone.doubts.push("it changed while it was read".into());
    }
    let top = segment.committed.end() - blocks.end;
    zone.allocations = Some(blocks.used);
    zone.allocated = Some(Bytes(blocks.used_bytes));
    zone.free = Some(Bytes(blocks.free_bytes + top));
    zone.free_blocks = Some(blocks.free);
    zone.largest_free = Some(Bytes(blocks.largest_free.max(top)));
    zone.top = Some(Bytes(top));
    zone.largest = blocks.largest;
    Ok(zone)
}

/// Whether pages of a range are swapped out. In those, no block can be seen.
fn has_swapped(vm: &Vm<'_, '_>, range: AddrRange) -> Read<bool> {
    Ok(vm.target.memory().pages(range)?.iter().any(|run| run.state.is_swapped()))
}

/// Follows the blocks from the start of a segment: each header has the size of its block.
fn walk(vm: &Vm<'_, '_>, segment: &Segment, largest: usize) -> Read<Blocks> {
    let header = vm.tables.offset(&["HeapBlock::_header"]).unwrap_or(0);
    let length = header + vm.tables.offset(&["HeapBlock::Header::_length"])?;
    let used = header + vm.tables.offset(&["HeapBlock::Header::_used"])?;
    // From version 25 on, a length has 32 bits.
    let is_short = used.abs_diff(length) == 4;
    let size = (length.max(used) + vm.target.word) as usize;
    let data = vm.tables.size(&["HeapBlock"]).unwrap_or(size as u64);
    let mut blocks = Blocks { end: segment.committed.start(), ..Blocks::default() };
    while blocks.end < segment.committed.end() {
        if blocks.used + blocks.free >= MOST_BLOCKS {
            return Err(Fault::Absent);
        }
        let room = segment.committed.end() - blocks.end;
        let address = blocks.end.checked_add(length).ok_or(Fault::Absent)?;
        let is_never_touched = !vm.is_resident(blocks.end)?;
        let count = match is_short {
            _ if is_never_touched => 0,
            true => u64::from(vm.u32(address)?),
            false => vm.word(address)?,
        };
        if count == 0 {
            break;
        }
        let size = count.checked_mul(segment.unit).filter(|size| *size <= room).ok_or(Fault::Absent)?;
        let is_used = vm.bytes(blocks.end.checked_add(used).ok_or(Fault::Absent)?, 1)? == [1];
        if is_used {
            blocks.used += 1;
            blocks.used_bytes += size;
            blocks.largest.push(Allocation::new(Bytes(size), blocks.end + data));
        } else {
            blocks.free += 1;
            blocks.free_bytes += size;
            blocks.largest_free = blocks.largest_free.max(size);
        }
        blocks.end += size;
    }
    blocks.largest.sort_unstable_by(|one, other| other.cmp(one));
    blocks.largest.truncate(largest);
    Ok(blocks)
}
