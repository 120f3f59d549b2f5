//! Zones: what is allocated in the memory of an allocator or runtime, and what that memory costs.
//!
//! What is allocated comes from the allocator's own structures ([`Zone`]); how much of it is resident, dirty and swapped from
//! the kernel, for the parts of regions that the zone owns.

use std::collections::BTreeMap;

use mmview_platform::{Bytes, PageCounts, Zone};

use crate::region::{Classified, Part};
use crate::snapshot::Snapshot;
use crate::summary::Sum;

/// What the memory of a zone costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZoneMemory {
    /// Address space.
    pub virtual_size: Bytes,
    /// Resident.
    pub resident: Sum,
    /// Resident and modified.
    pub dirty: Sum,
    /// Swapped out.
    pub swapped: Sum,
    /// The number of regions, and of parts of regions.
    pub regions: u64,
}

impl ZoneMemory {
    fn add(&mut self, part: &Part) {
        let PageCounts { resident, dirty, swapped, .. } = part.counts();
        self.virtual_size += part.range().size();
        self.resident.add(resident);
        self.dirty.add(dirty);
        self.swapped.add(swapped);
        self.regions += 1;
    }

    fn add_all(&mut self, other: &ZoneMemory) {
        self.virtual_size += other.virtual_size;
        self.resident.add_sum(other.resident);
        self.dirty.add_sum(other.dirty);
        self.swapped.add_sum(other.swapped);
        self.regions += other.regions;
    }
}

/// A zone and what its memory costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapZone {
    /// What is allocated in it.
    pub zone: Zone,
    /// What its memory costs.
    pub memory: ZoneMemory,
    /// The memory that is dirty or swapped out and holds no block: free, or lost between blocks. As vmmap computes it; if the
    /// dirty size was not measured, the resident one takes its place, because malloc's memory is dirty once it is touched.
    pub fragmentation: Option<Bytes>,
}

impl HeapZone {
    fn new(zone: Zone, memory: ZoneMemory) -> HeapZone {
        let mut heap = HeapZone { zone, memory, fragmentation: None };
        heap.fragmentation =
            heap.used_memory().zip(heap.zone.allocated).map(|(used, blocks)| used.saturating_sub(blocks));
        heap
    }

    /// The lost memory as a percentage of the memory that is dirty or swapped out, rounded up.
    pub fn fragmentation_percent(&self) -> Option<u64> {
        let (lost, used) = (self.fragmentation?, self.used_memory()?);
        Some(if used == Bytes::ZERO { 0 } else { (lost.0 * 100).div_ceil(used.0) })
    }

    fn used_memory(&self) -> Option<Bytes> {
        let dirty = self.memory.dirty.whole().or(self.memory.resident.whole())?;
        Some(dirty + self.memory.swapped.whole().unwrap_or_default())
    }
}

/// The zones of a map, and their total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Zones {
    /// Each zone.
    pub zones: Vec<HeapZone>,
    /// Their sum.
    pub total: HeapZone,
}

/// Adds up the memory of zones, region by region.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    memory: BTreeMap<String, ZoneMemory>,
}

impl Builder {
    /// Adds a region.
    pub fn add(&mut self, region: &Classified) {
        for part in region.pieces().iter() {
            if let Some(zone) = part.zone() {
                match self.memory.get_mut(zone) {
                    Some(memory) => memory.add(part),
                    None => self.memory.entry(zone.to_owned()).or_default().add(part),
                }
            }
        }
    }

    /// Returns the sums for `zones`.
    pub fn finish(self, zones: &[Zone]) -> Zones {
        let mut result = Zones::default();
        for zone in zones {
            let memory = self.memory.get(&*zone.name).copied().unwrap_or_default();
            result.zones.push(HeapZone::new(zone.clone(), memory));
        }
        let total = &mut result.total;
        total.zone = Zone::new("", "TOTAL");
        for (index, HeapZone { zone, memory, fragmentation }) in result.zones.iter().enumerate() {
            total.memory.add_all(memory);
            total.fragmentation = match index {
                0 => *fragmentation,
                _ => total.fragmentation.zip(*fragmentation).map(|(one, other)| one + other),
            };
            add(&mut total.zone, zone, index == 0);
        }
        result
    }
}

/// Adds the figures of a zone to a total; `is_first` if the total is still empty.
fn add(total: &mut Zone, zone: &Zone, is_first: bool) {
    fn sum<T: std::ops::Add<Output = T> + Copy>(total: &mut Option<T>, more: Option<T>, is_first: bool) {
        *total = if is_first { more } else { total.zip(more).map(|(one, other)| one + other) };
    }
    sum(&mut total.allocations, zone.allocations, is_first);
    sum(&mut total.allocated, zone.allocated, is_first);
    sum(&mut total.free, zone.free, is_first);
    sum(&mut total.free_blocks, zone.free_blocks, is_first);
    sum(&mut total.top, zone.top, is_first);
    sum(&mut total.trimmable, zone.trimmable, is_first);
    sum(&mut total.cached, zone.cached, is_first);
    sum(&mut total.cached_blocks, zone.cached_blocks, is_first);
    total.largest_free = total.largest_free.max(zone.largest_free);
    total.doubts.extend(zone.doubts.iter().map(|doubt| format!("{}: {doubt}", zone.name).into()));
}

impl Snapshot {
    /// What is allocated in each zone, and what its memory costs. Empty if the target's memory was not read, or nothing is
    /// known of its allocator.
    ///
    /// ```
    /// use mmview::Snapshot;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let snapshot = Snapshot::of_self()?;
    /// for zone in snapshot.zones().zones {
    ///     println!("{}: {:?} blocks in {:?}", zone.zone.name, zone.zone.allocations, zone.memory.resident.value());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn zones(&self) -> Zones {
        let mut builder = Builder::default();
        if !self.findings.zones.is_empty() {
            self.regions.iter().for_each(|region| builder.add(region));
        }
        builder.finish(&self.findings.zones)
    }
}
