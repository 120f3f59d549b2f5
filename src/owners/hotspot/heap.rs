//! The Java heap: the spaces and regions of each collector.

use std::sync::Arc;

use mmview_platform::{AddrRange, Bytes, Claim, Region, Zone};

use super::tables::optional;
use super::vm::Vm;
use super::{Fault, HEAP, Read, regions, spaces, zgc};
use crate::kind::RegionKind;
use crate::owners::claims::Claims;

/// The doubt of a zone if the VM uses more of it than the map has.
pub(super) const GREW: &str = "it grew after the map was read";

/// A collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collector {
    Serial,
    Parallel,
    ConcurrentMarkSweep,
    G1,
    Shenandoah,
    Z,
    Epsilon,
}

impl Collector {
    /// The collector that the flags select.
    fn of(vm: &Vm<'_, '_>) -> Read<Collector> {
        let flags = [
            ("UseG1GC", Collector::G1),
            ("UseConcMarkSweepGC", Collector::ConcurrentMarkSweep),
            ("UseParallelGC", Collector::Parallel),
            ("UseParallelOldGC", Collector::Parallel),
            ("UseShenandoahGC", Collector::Shenandoah),
            ("UseZGC", Collector::Z),
            ("UseEpsilonGC", Collector::Epsilon),
            ("UseSerialGC", Collector::Serial),
        ];
        let set = flags.into_iter().find(|(flag, _)| vm.flag(flag) == Some(true));
        set.map(|(_, collector)| collector).ok_or(Fault::Absent)
    }

    pub fn name(self) -> &'static str {
        match self {
            Collector::Serial => "Serial",
            Collector::Parallel => "Parallel",
            Collector::ConcurrentMarkSweep => "CMS",
            Collector::G1 => "G1",
            Collector::Shenandoah => "Shenandoah",
            Collector::Z => "ZGC",
            Collector::Epsilon => "Epsilon",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Collector::Serial => "Java heap (Serial)",
            Collector::Parallel => "Java heap (Parallel)",
            Collector::ConcurrentMarkSweep => "Java heap (CMS)",
            Collector::G1 => "Java heap (G1)",
            Collector::Shenandoah => "Java heap (Shenandoah)",
            Collector::Z => "Java heap (ZGC)",
            Collector::Epsilon => "Java heap (Epsilon)",
        }
    }
}

/// A part of the heap that objects are allocated in from the bottom on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// The zone that it counts for.
    pub zone: &'static str,
    pub range: AddrRange,
    /// How much of it is in use, if the VM records it.
    pub used: Option<u64>,
}

impl Space {
    /// A space that is in use up to `top`.
    pub fn up_to(zone: &'static str, range: AddrRange, top: u64) -> Read<Space> {
        let is_possible = (range.start()..=range.end()).contains(&top);
        let used = is_possible.then_some(top - range.start()).ok_or(Fault::Absent)?;
        Ok(Space { zone, range, used: Some(used) })
    }
}

/// What was found of the heap.
pub(super) struct Heap {
    pub collector: Collector,
    /// The address of the VM's object for it.
    pub object: u64,
    /// Its addresses; ZGC has several ranges.
    pub reserved: Option<AddrRange>,
    pub committed: u64,
    pub used: Option<u64>,
    pub collections: Option<u64>,
}

/// Claims the heap. `None` if the VM is still starting.
pub(super) fn inspect(vm: &Vm<'_, '_>, claims: &mut Claims<'_>) -> Read<Heap> {
    let collector = Collector::of(vm)?;
    let object = vm.pointer(vm.tables.variable(&["Universe::_collectedHeap"])?)?;
    let collections = vm.field(object, &["CollectedHeap::_total_collections"]).and_then(|at| vm.u32(at));
    let collections = optional(collections)?.map(u64::from);
    if collector == Collector::Z {
        return zgc::inspect(vm, claims, object, collections);
    }
    let reserved = reserved(vm, object)?;
    let spaces = read_spaces(vm, collector, object, reserved)?;
    vm.forget();
    let again = optional(read_spaces(vm, collector, object, reserved))?.unwrap_or_default();
    let mut heap =
        Heap { collector, object, reserved: Some(reserved), committed: 0, used: None, collections };
    heap.committed = committed(vm, reserved);
    heap.used = spaces.iter().map(|space| space.used).sum();
    claim(vm, claims, collector, reserved, &spaces);
    for zone in zones(vm, &spaces, &again) {
        claims.zone(zone);
    }
    Ok(heap)
}

/// The address range of the heap, which must be the process's own.
fn reserved(vm: &Vm<'_, '_>, heap: u64) -> Read<AddrRange> {
    let range = vm.field(heap, &["CollectedHeap::_reserved"])?;
    let start = vm.word_of(range, &["MemRegion::_start"])?;
    let words = vm.word_of(range, &["MemRegion::_word_size"])?;
    let size = words.checked_mul(vm.target.word).ok_or(Fault::Absent)?;
    let range = AddrRange::with_size(start, Bytes(size)).ok_or(Fault::Absent)?;
    let page = vm.target.page();
    let is_possible = size > 0
        && (start | size).is_multiple_of(page)
        && vm.target.is_within(range, |region| !region.share.is_shared());
    if is_possible { Ok(range) } else { Err(Fault::Absent) }
}

fn read_spaces(vm: &Vm<'_, '_>, collector: Collector, heap: u64, reserved: AddrRange) -> Read<Vec<Space>> {
    let mut spaces = match collector {
        Collector::Serial | Collector::ConcurrentMarkSweep => spaces::serial(vm, heap)?,
        Collector::Parallel => spaces::parallel(vm)?,
        Collector::Epsilon => spaces::epsilon(vm, heap)?,
        Collector::G1 => regions::g1(vm, heap, reserved)?,
        Collector::Shenandoah => regions::shenandoah(vm, heap, reserved)?,
        Collector::Z => Vec::new(),
    };
    spaces.retain(|space| !space.range.is_empty());
    spaces.sort_unstable_by_key(|space| space.range);
    let are_apart = spaces.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start());
    let are_inside = spaces.iter().all(|space| space.range.within(reserved));
    if are_apart && are_inside { Ok(spaces) } else { Err(Fault::Absent) }
}

/// Whether the heap can use a region of its range: it is not only reserved.
fn is_committed(region: &Region) -> bool {
    !region.share.is_shared() && !region.protection.is_none()
}

/// How much of `range` is not only reserved.
pub(super) fn committed(vm: &Vm<'_, '_>, range: AddrRange) -> u64 {
    let first = vm.target.regions.partition_point(|region| region.range.end() <= range.start());
    let regions = vm.target.regions[first..].iter().take_while(|region| region.range.start() < range.end());
    let parts =
        regions.filter(|region| is_committed(region)).filter_map(|region| region.range.overlap(range));
    parts.map(|part| part.size().0).sum()
}

/// Claims the range: a claim for each run of neighbors of a zone, and what is only reserved.
fn claim(
    vm: &Vm<'_, '_>,
    claims: &mut Claims<'_>,
    collector: Collector,
    reserved: AddrRange,
    spaces: &[Space],
) {
    let of = |range, kind: RegionKind| Claim::new(range, HEAP, kind.id());
    let are_neighbors =
        |one: &Space, other: &Space| one.zone == other.zone && one.range.end() == other.range.start();
    for run in spaces.chunk_by(are_neighbors) {
        let Some(range) = run.iter().map(|space| space.range).reduce(AddrRange::hull) else { continue };
        let note = match run.len() {
            1 => run[0].zone.to_owned(),
            count => format!("{}, {count} regions", run[0].zone),
        };
        let claim = of(range, RegionKind::GcHeap).title(collector.title()).note(note);
        claims.add(&claim.zone(&Arc::from(run[0].zone)), is_committed);
    }
    claims.add(&of(reserved, RegionKind::GcHeap).title(collector.title()), is_committed);
    let rest = of(reserved, RegionKind::Reserved).title("Java heap reserve");
    claims.add(&rest, |region| region.protection.is_none() && !vm.target.is_plain(region.range.start()));
}

/// The zones of the spaces, which were read twice.
fn zones(vm: &Vm<'_, '_>, spaces: &[Space], again: &[Space]) -> Vec<Zone> {
    let mut names: Vec<&'static str> = Vec::new();
    for space in spaces {
        if !names.contains(&space.zone) {
            names.push(space.zone);
        }
    }
    let of = |spaces: &[Space], name: &str| -> Vec<Space> {
        spaces.iter().filter(|space| space.zone == name).copied().collect()
    };
    names.into_iter().map(|name| zone(vm, name, &of(spaces, name), &of(again, name))).collect()
}

fn zone(vm: &Vm<'_, '_>, name: &'static str, spaces: &[Space], again: &[Space]) -> Zone {
    let mut zone = Zone::new(HEAP, name);
    let committed: u64 = spaces.iter().map(|space| committed(vm, space.range)).sum();
    let used: Option<u64> = spaces.iter().map(|space| space.used).sum();
    zone.committed = Some(Bytes(committed));
    zone.allocated = used.map(Bytes);
    zone.free = used.map(|used| Bytes(committed.saturating_sub(used)));
    if used.is_some_and(|used| used > committed) {
        zone.doubts.push(GREW.into());
    }
    let is_same = |space: &Space| {
        let place = again.binary_search_by_key(&space.range, |other| other.range);
        place.is_ok_and(|place| again[place] == *space)
    };
    let changed = spaces.iter().filter(|space| !is_same(space)).count();
    if changed > 0 {
        zone.doubts.push(match spaces.len() {
            1 => "it changed while it was read".into(),
            count => format!("{changed} of {count} regions changed while they were read").into(),
        });
    }
    zone
}
