//! Zones: what is allocated in the memory of an allocator or runtime, and what that memory costs.
//!
//! What is allocated comes from the allocator's own structures ([`Zone`]); how much of it is resident, dirty and swapped from
//! the kernel, for the parts of regions that the zone owns.

use std::collections::BTreeMap;

use mmview_platform::{Bytes, PageCounts, SizeClass, Zone};

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

    /// Adds another zone to a sum; `is_first` if the sum is still empty.
    fn add(&mut self, other: &HeapZone, is_first: bool) {
        self.memory.add_all(&other.memory);
        self.fragmentation = match is_first {
            true => other.fragmentation,
            false => self.fragmentation.zip(other.fragmentation).map(|(one, other)| one + other),
        };
        add(&mut self.zone, &other.zone, is_first);
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

impl Zones {
    /// The same with one zone for each owner, which has the owner's name.
    #[must_use]
    pub fn by_owner(self) -> Zones {
        let mut owners: Vec<Vec<HeapZone>> = Vec::new();
        for zone in self.zones {
            match owners.iter_mut().find(|zones| zones[0].zone.owner == zone.zone.owner) {
                Some(zones) => zones.push(zone),
                None => owners.push(vec![zone]),
            }
        }
        let sum = |zones: Vec<HeapZone>| {
            let owner = zones[0].zone.owner.clone();
            let mut sum = HeapZone { zone: Zone::new(owner.clone(), &*owner), ..HeapZone::default() };
            zones.iter().enumerate().for_each(|(index, zone)| sum.add(zone, index == 0));
            sum.zone.sizes = size_classes(zones.iter().map(|zone| &zone.zone));
            sum.zone.largest = zones.iter().flat_map(|zone| zone.zone.largest.iter().copied()).collect();
            sum.zone.largest.sort_unstable_by_key(|block| std::cmp::Reverse(*block));
            // No zone lists more than were asked for.
            let most = zones.iter().map(|zone| zone.zone.largest.len()).max().unwrap_or_default();
            sum.zone.largest.truncate(most);
            sum
        };
        Zones { zones: owners.into_iter().map(sum).collect(), total: self.total }
    }
}

/// The size classes of several zones together.
pub(crate) fn size_classes<'a>(zones: impl Iterator<Item = &'a Zone>) -> Vec<SizeClass> {
    let mut classes = BTreeMap::<_, SizeClass>::new();
    for class in zones.flat_map(|zone| &zone.sizes) {
        let sum = classes.entry(class.size).or_insert(SizeClass::new(class.size, 0, Bytes::ZERO));
        sum.allocations += class.allocations;
        sum.allocated += class.allocated;
    }
    classes.into_values().collect()
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
        for (index, zone) in result.zones.iter().enumerate() {
            total.add(zone, index == 0);
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
    sum(&mut total.committed, zone.committed, is_first);
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
