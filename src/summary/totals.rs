//! Sums of sizes.

use mmview_platform::{Bytes, Native, OffMapRow, PrintedRow, PrintedTable, Region};
use serde::{Serialize, Serializer};

use super::native::{NativeSizes, NativeSums};
use crate::field::Field;
use crate::region::Part;

/// A sum of sizes that may not have been measured. Keeps *not measured* apart from *measured, none*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    bytes: Bytes,
    measured: u64,
    unmeasured: u64,
    /// Whether it lacks a part of a size that is known only as a whole.
    is_undivided: bool,
}

impl Sum {
    pub(super) fn of(size: Option<Bytes>) -> Sum {
        let mut sum = Sum::default();
        sum.add(size);
        sum
    }

    /// Adds another sum.
    pub(crate) fn add_sum(&mut self, other: Sum) {
        self.bytes += other.bytes;
        self.measured += other.measured;
        self.unmeasured += other.unmeasured;
        self.is_undivided |= other.is_undivided;
    }

    /// Adds the size of a part of something whose size is `whole`.
    pub(super) fn add_part(&mut self, part: Option<Bytes>, whole: Option<Bytes>) {
        self.add(part);
        self.is_undivided |= part.is_none() && whole.is_some();
    }

    /// Adds a size, or counts one that was not measured.
    pub(crate) fn add(&mut self, size: Option<Bytes>) {
        match size {
            Some(size) => {
                self.bytes += size;
                self.measured += 1;
            }
            None => self.unmeasured += 1,
        }
    }

    /// The sum of the sizes that were measured; `None` if there were sizes to measure and none was.
    pub fn value(self) -> Option<Bytes> {
        (!self.is_undivided && (self.measured > 0 || self.unmeasured == 0)).then_some(self.bytes)
    }

    /// The sum; `None` if any size was not measured.
    pub fn whole(self) -> Option<Bytes> {
        (self.unmeasured == 0).then_some(self.bytes)
    }

    /// Whether some sizes were measured and others were not.
    pub fn is_partial(self) -> bool {
        self.measured > 0 && self.unmeasured > 0
    }
}

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

/// Sums over regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// The number of regions.
    pub regions: u64,
    /// Address space.
    #[serde(rename = "virtual")]
    pub virtual_size: Sum,
    /// Resident.
    pub resident: Sum,
    /// Resident and modified.
    pub dirty: Sum,
    /// Swapped out or compressed.
    pub swapped: Sum,
    /// Resident, with each shared page divided by the number of its users.
    pub proportional: Sum,
    /// Resident and not shared with another process.
    pub unique: Sum,
    /// Purgeable memory by state; macOS only.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub purgeable: Option<Purgeable>,
    /// What only one system reports.
    #[serde(flatten)]
    native: NativeSums,
}

/// Purgeable memory by its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Purgeable {
    /// Resident, and can be purged at any time.
    pub volatile: Sum,
    /// Resident and in use.
    pub nonvolatile: Sum,
    /// Address space whose pages were purged.
    pub empty: Sum,
}

impl Totals {
    /// Adds a region.
    pub(super) fn add(&mut self, region: &Region, native: &NativeSizes) {
        self.regions += 1;
        self.virtual_size.add(region.known_size());
        self.resident.add(region.counts.resident);
        self.dirty.add(region.counts.dirty);
        self.swapped.add(region.counts.swapped);
        self.proportional.add(region.counts.proportional);
        self.unique.add(region.counts.unique);
        if let Native::Macos(native) = &region.native {
            let purgeable = self.purgeable.get_or_insert_default();
            purgeable.volatile.add(native.volatile);
            purgeable.nonvolatile.add(native.nonvolatile);
            purgeable.empty.add(native.empty);
        }
        self.native.add(native);
    }

    /// Adds a part of a region.
    pub(super) fn add_part(&mut self, part: &Part, region: &Region, native: &NativeSizes) {
        let (counts, whole) = (part.counts(), region.counts);
        self.regions += 1;
        self.virtual_size.add(Some(part.range().size()));
        self.resident.add_part(counts.resident, whole.resident);
        self.dirty.add_part(counts.dirty, whole.dirty);
        self.swapped.add_part(counts.swapped, whole.swapped);
        self.proportional.add_part(counts.proportional, whole.proportional);
        self.unique.add_part(counts.unique, whole.unique);
        self.native.add_part(native);
    }

    /// Returns the sum of a size by its name, such as `lazyfree` or `swap-pss`: those that `mmview --columns help` lists. `None`
    /// if it was not measured, or if there is no such size.
    pub fn size(&self, name: &str) -> Option<Bytes> {
        self.sum(Field::named(name)?)
    }

    /// The sum of a size.
    pub(crate) fn sum(&self, field: &Field) -> Option<Bytes> {
        let purgeable = |of: fn(Purgeable) -> Sum| of(self.purgeable?).value();
        match field.name {
            "size" => self.virtual_size.value(),
            "resident" => self.resident.value(),
            "dirty" => self.dirty.value(),
            "swapped" => self.swapped.value(),
            "pss" => self.proportional.value(),
            "unique" => self.unique.value(),
            "volatile" => purgeable(|purgeable| purgeable.volatile),
            "nonvolatile" => purgeable(|purgeable| purgeable.nonvolatile),
            "empty" => purgeable(|purgeable| purgeable.empty),
            _ => self.native.get(field)?.value(),
        }
    }

    /// Whether its regions are those of the system that reports a size.
    #[cfg(feature = "cli")]
    pub(crate) fn reports(&self, field: &Field) -> bool {
        self.native.get(field).is_some()
    }

    /// Adds memory that is charged to the process but not mapped in it.
    pub(super) fn add_off_map(&mut self, row: &OffMapRow) {
        self.regions += 1;
        self.virtual_size.add(Some(row.size));
        self.resident.add(row.resident);
        self.dirty.add(row.dirty);
        self.swapped.add(row.swapped);
    }

    /// Reads a row of a report's own summary.
    pub(super) fn printed(table: &PrintedTable, row: &PrintedRow) -> Totals {
        let size = |title: &str| table.column(title).and_then(|column| row.size(column));
        let sum = |title: &str| Sum::of(size(title));
        let count = |title: &str| table.column(title).and_then(|column| row.count(column));
        Totals {
            regions: count("REGION COUNT").unwrap_or_default(),
            virtual_size: Sum::of(size("VIRTUAL SIZE").or_else(|| size("VIRTUAL"))),
            resident: sum("RESIDENT SIZE"),
            dirty: sum("DIRTY SIZE"),
            swapped: sum("SWAPPED SIZE"),
            proportional: Sum::of(None),
            unique: Sum::of(None),
            purgeable: Some(Purgeable {
                volatile: sum("VOLATILE SIZE"),
                nonvolatile: sum("NONVOL SIZE"),
                empty: sum("EMPTY SIZE"),
            }),
            native: NativeSums::default(),
        }
    }
}
