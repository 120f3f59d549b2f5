//! The changes by zone: what was allocated and freed between two maps.

use std::cmp::Reverse;

use mmview_platform::{Bytes, Zone};

use super::delta::change;
use crate::heap::{HeapZone, ZoneMemory};
use crate::snapshot::Snapshot;

/// How a zone changed. A figure is `None` if it was not known in both maps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZoneChange {
    /// The name of the zone.
    pub zone: String,
    /// The allocator or runtime.
    pub owner: String,
    /// By how many blocks in use.
    pub allocations: Option<i64>,
    /// By how many bytes in them.
    pub allocated: Option<i64>,
    /// By how much address space.
    pub virtual_size: i64,
    /// By how much resident memory.
    pub resident: Option<i64>,
    /// Whether both figures are exact.
    pub is_exact: bool,
}

impl ZoneChange {
    fn is_zero(&self) -> bool {
        let is_zero = |change: Option<i64>| change.is_none_or(|change| change == 0);
        is_zero(self.allocations)
            && is_zero(self.allocated)
            && is_zero(self.resident)
            && self.virtual_size == 0
    }
}

/// Returns the changes by zone, the largest first. Zones without a change are omitted; if the memory of one was not read, all
/// are.
pub fn by_zone(before: &Snapshot, after: &Snapshot) -> Vec<ZoneChange> {
    if before.findings.inspection.is_none() || after.findings.inspection.is_none() {
        return Vec::new();
    }
    let (before, after) = (before.zones().zones, after.zones().zones);
    let nothing = |zone: &HeapZone| {
        let mut empty = Zone::new(zone.zone.owner.clone(), zone.zone.name.clone());
        (empty.allocations, empty.allocated) = (Some(0), Some(Bytes::ZERO));
        let mut none = HeapZone::default();
        (none.zone, none.memory) = (empty, ZoneMemory::default());
        none
    };
    let find = |zones: &[HeapZone], zone: &HeapZone| {
        zones
            .iter()
            .find(|other| other.zone.name == zone.zone.name && other.zone.owner == zone.zone.owner)
            .cloned()
    };
    let mut changes: Vec<ZoneChange> = Vec::new();
    for zone in &after {
        changes.push(between(&find(&before, zone).unwrap_or_else(|| nothing(zone)), zone));
    }
    for zone in before.iter().filter(|zone| find(&after, zone).is_none()) {
        changes.push(between(zone, &nothing(zone)));
    }
    changes.retain(|change| !change.is_zero());
    changes.sort_by_key(|change| Reverse(change.allocated.unwrap_or(change.virtual_size).unsigned_abs()));
    changes
}

fn between(before: &HeapZone, after: &HeapZone) -> ZoneChange {
    let bytes = |before: Option<Bytes>, after: Option<Bytes>| Some(change(before?.0, after?.0));
    let (one, other) = (&before.zone, &after.zone);
    ZoneChange {
        zone: other.name.to_string(),
        owner: other.owner.to_string(),
        allocations: one.allocations.zip(other.allocations).map(|(one, other)| change(one, other)),
        allocated: bytes(one.allocated, other.allocated),
        virtual_size: change(before.memory.virtual_size.0, after.memory.virtual_size.0),
        resident: bytes(before.memory.resident.whole(), after.memory.resident.whole()),
        is_exact: one.is_exact() && other.is_exact(),
    }
}
