//! Heaps of many regions of the same size: G1 and Shenandoah (`src/hotspot/share/gc/g1/vmStructs_g1.hpp`,
//! `src/hotspot/share/gc/shenandoah/vmStructs_shenandoah.hpp`).

use mmview_platform::{AddrRange, Bytes};

use super::heap::Space;
use super::vm::Vm;
use super::{Fault, Read};

/// How many regions are read. A heap of 32 TiB has a million of the largest ones.
const MOST_REGIONS: u64 = 1 << 20;

/// How many of them are read at once.
const BATCH: usize = 4096;

/// The fields of a region. Those of G1 moved between types.
struct Fields {
    bottom: u64,
    end: u64,
    top: u64,
    /// What it is used for; version 8 of G1 doesn't export it.
    state: Option<u64>,
    /// How much of a region must be read to have all of them.
    size: usize,
}

impl Fields {
    fn new(bottom: u64, end: u64, top: u64, state: Option<u64>) -> Fields {
        let last = [Some(bottom), Some(end), Some(top), state].into_iter().flatten().max().unwrap_or(0);
        Fields { bottom, end, top, state, size: last as usize + 8 }
    }
}

/// The state of a region, its bounds and its top.
struct Found {
    state: Option<u32>,
    range: AddrRange,
    top: u64,
}

/// The regions of G1.
pub(super) fn g1(vm: &Vm<'_, '_>, heap: u64, reserved: AddrRange) -> Read<Vec<Space>> {
    const MANAGER: &[&str] = &["G1HeapRegionManager::_regions", "HeapRegionManager::_regions"];
    const BOTTOM: &[&str] = &["G1HeapRegion::_bottom", "HeapRegion::_bottom", "Space::_bottom"];
    const END: &[&str] = &["G1HeapRegion::_end", "HeapRegion::_end", "Space::_end"];
    const TOP: &[&str] = &[
        "G1HeapRegion::_top",
        "HeapRegion::_top",
        "G1ContiguousSpace::_top",
        "G1OffsetTableContigSpace::_top",
    ];
    let tables = &vm.tables;
    let manager = vm.field(heap, &["G1CollectedHeap::_hrm"])?;
    let table = vm.field(manager, MANAGER)?;
    let array = vm.object_of(table, &["G1HeapRegionTable::_base"])?;
    let count = vm.word_of(table, &["G1HeapRegionTable::_length"])?;
    let grain = vm.value(&["G1HeapRegion::GrainBytes", "HeapRegion::GrainBytes"])?;
    let kind = tables.offset(&["G1HeapRegion::_type", "HeapRegion::_type"]);
    let tag = tables.offset(&["G1HeapRegionType::_tag", "HeapRegionType::_tag"]);
    let state = kind.ok().zip(tag.ok()).and_then(|(kind, tag)| kind.checked_add(tag));
    let fields = Fields::new(tables.offset(BOTTOM)?, tables.offset(END)?, tables.offset(TOP)?, state);
    let tags = Tags::of(vm);
    let mut spaces = Vec::new();
    for Found { state, range, top } in read(vm, array, count, grain, reserved, &fields)? {
        let zone = match state {
            Some(state) => tags.zone(state),
            None if top > range.start() => "Java regions in use",
            None => FREE,
        };
        spaces.push(Space::up_to(zone, range, top)?);
    }
    Ok(spaces)
}

const FREE: &str = "Java free regions";
const HUMONGOUS: &str = "Java humongous";

/// The tags of G1's regions, whose values change with the version.
struct Tags {
    free: Option<u64>,
    eden: Option<u64>,
    survivor: Option<u64>,
    humongous: [Option<u64>; 2],
    archive: Option<u64>,
    old: Option<u64>,
}

impl Tags {
    fn of(vm: &Vm<'_, '_>) -> Tags {
        let tag = |name: &str| {
            vm.tables.constant(&[&format!("G1HeapRegionType::{name}"), &format!("HeapRegionType::{name}")])
        };
        Tags {
            free: tag("FreeTag"),
            eden: tag("EdenTag"),
            survivor: tag("SurvTag"),
            humongous: [tag("StartsHumongousTag"), tag("ContinuesHumongousTag")],
            archive: tag("ArchiveMask"),
            old: tag("OldMask"),
        }
    }

    fn zone(&self, tag: u32) -> &'static str {
        let tag = u64::from(tag);
        let has = |mask: Option<u64>| mask.is_some_and(|mask| tag & mask != 0);
        match Some(tag) {
            tag if tag == self.free => FREE,
            tag if tag == self.eden => "Java eden",
            tag if tag == self.survivor => "Java survivor",
            tag if self.humongous.contains(&tag) => HUMONGOUS,
            _ if has(self.archive) => "Java archived objects",
            _ if has(self.old) => "Java old",
            _ => "Java other regions",
        }
    }
}

/// The regions of Shenandoah. Version 11 doesn't export them; then the whole heap is one space.
pub(super) fn shenandoah(vm: &Vm<'_, '_>, heap: u64, reserved: AddrRange) -> Read<Vec<Space>> {
    let tables = &vm.tables;
    let array = match vm.object_of(heap, &["ShenandoahHeap::_regions"]) {
        Err(Fault::Absent) => {
            let used = vm.word_of(heap, &["ShenandoahHeap::_used"])?;
            let used = Some(used).filter(|used| *used <= reserved.size().0);
            return Ok(vec![Space { zone: "Java heap regions", range: reserved, used }]);
        }
        array => array?,
    };
    let count = vm.word_of(heap, &["ShenandoahHeap::_num_regions"])?;
    let size = vm.value(&["ShenandoahHeapRegion::RegionSizeBytes"])?;
    let offset = |name| tables.offset(&[name]);
    let fields = Fields::new(
        offset("ShenandoahHeapRegion::_bottom")?,
        offset("ShenandoahHeapRegion::_end")?,
        offset("ShenandoahHeapRegion::_top")?,
        Some(offset("ShenandoahHeapRegion::_state")?),
    );
    let mut spaces = Vec::new();
    for Found { state, range, top } in read(vm, array, count, size, reserved, &fields)? {
        let is = |names: &[&str]| {
            let name = |name: &&str| tables.constant(&[&format!("ShenandoahHeapRegion::{name}")]);
            names.iter().filter_map(name).any(|value| state.is_some_and(|state| value == u64::from(state)))
        };
        let zone = match () {
            () if is(&["_empty_uncommitted"]) => continue,
            () if is(&["_empty_committed"]) => FREE,
            () if is(&["_humongous_start", "_humongous_cont", "_pinned_humongous_start"]) => HUMONGOUS,
            () if is(&["_cset", "_pinned_cset", "_trash"]) => "Java collection set",
            () => "Java regular regions",
        };
        spaces.push(Space::up_to(zone, range, top)?);
    }
    Ok(spaces)
}

/// Reads the regions that an array of pointers leads to. Each must be where its place in the array says.
fn read(
    vm: &Vm<'_, '_>,
    array: u64,
    count: u64,
    size: u64,
    reserved: AddrRange,
    fields: &Fields,
) -> Read<Vec<Found>> {
    let target = vm.target;
    let is_possible = size.is_power_of_two()
        && size.is_multiple_of(target.page())
        && count <= MOST_REGIONS
        && count.checked_mul(size).is_some_and(|all| all <= reserved.size().0);
    if !is_possible {
        return Err(Fault::Absent);
    }
    let pointers = target.bytes(array, (count * target.word) as usize)?;
    if pointers.len() as u64 != count * target.word {
        return Err(Fault::Absent);
    }
    let pointer = |index: u64| target.word_in(&pointers, index * target.word);
    // A region has an object once it was committed for the first time.
    let present = (0..count).filter_map(|index| Some((index, pointer(index).filter(|at| *at != 0)?)));
    let (places, objects): (Vec<_>, Vec<_>) = present.unzip();
    for object in &objects {
        vm.check(*object)?;
    }
    let mut found = Vec::new();
    for (places, objects) in places.chunks(BATCH).zip(objects.chunks(BATCH)) {
        let read = target.gather(objects.iter().copied(), fields.size)?;
        for (index, bytes) in places.iter().zip(read.iter()) {
            let bottom = reserved.start() + index * size;
            let range = AddrRange::with_size(bottom, Bytes(size)).ok_or(Fault::Absent)?;
            found.push(check(vm, fields, bytes.ok_or(Fault::Absent)?, range, reserved)?);
        }
    }
    Ok(found)
}

/// Checks that a region is the one that has this range.
fn check(
    vm: &Vm<'_, '_>,
    fields: &Fields,
    bytes: &[u8],
    range: AddrRange,
    reserved: AddrRange,
) -> Read<Found> {
    let word = |offset| vm.target.word_in(bytes, offset).ok_or(Fault::Absent);
    let (bottom, end, top) = (word(fields.bottom)?, word(fields.end)?, word(fields.top)?);
    // In version 8, the first region of a humongous object ends with the object.
    let is_possible = bottom == range.start()
        && end >= range.end()
        && end <= reserved.end()
        && (bottom..=end).contains(&top);
    if !is_possible {
        return Err(Fault::Absent);
    }
    let state = fields.state.and_then(|offset| vm.target.u32_in(bytes, offset));
    Ok(Found { state, range, top: top.min(range.end()) })
}
