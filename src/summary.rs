//! What all regions come to, by type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use mmview_platform::{
    Bytes, Native, OffMapRow, PrintedRow, PrintedSummary, PrintedTable, ProcessInfo, Region, ShareMode,
    SmapsField,
};
use serde::{Serialize, Serializer};

use crate::classify::macos;
use crate::kind::RegionKind;
use crate::region::Classified;
use crate::snapshot::Snapshot;

/// A sum that tells *nothing measured* from *measured, none*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    bytes: Bytes,
    measured: u64,
    unmeasured: u64,
}

impl Sum {
    /// Adds a size, or that there was none to add.
    pub fn add(&mut self, size: Option<Bytes>) {
        match size {
            Some(size) => {
                self.bytes += size;
                self.measured += 1;
            }
            None => self.unmeasured += 1,
        }
    }

    /// The sum of what was measured; `None` where there was something to measure and nothing of it was.
    pub fn value(self) -> Option<Bytes> {
        (self.measured > 0 || self.unmeasured == 0).then_some(self.bytes)
    }

    /// The sum; `None` where something was not measured.
    pub fn whole(self) -> Option<Bytes> {
        (self.unmeasured == 0).then_some(self.bytes)
    }

    /// Whether something was measured and something was not.
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
pub struct Totals {
    /// How many regions.
    pub regions: u64,
    /// Address space.
    #[serde(rename = "virtual")]
    pub virtual_size: Bytes,
    /// In memory.
    pub resident: Sum,
    /// In memory and modified.
    pub dirty: Sum,
    /// Swapped out or compressed.
    pub swapped: Sum,
    /// In memory, shared pages divided by their users.
    pub proportional: Sum,
    /// In memory and nobody else's.
    pub unique: Sum,
    /// Purgeable memory by its state; macOS only.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub purgeable: Option<Purgeable>,
}

/// Purgeable memory by its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Purgeable {
    /// In memory, and may be taken away at any time.
    pub volatile: Sum,
    /// In memory and in use.
    pub nonvolatile: Sum,
    /// Address space whose pages were taken away.
    pub empty: Sum,
}

impl Totals {
    /// Adds a region.
    pub fn add(&mut self, region: &Region) {
        self.regions += 1;
        self.virtual_size += region.size();
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
    }

    /// Adds memory that is charged to the process and mapped nowhere in it.
    fn add_off_map(&mut self, row: &OffMapRow) {
        self.regions += 1;
        self.virtual_size += row.size;
        self.resident.add(row.resident);
        self.dirty.add(row.dirty);
        self.swapped.add(row.swapped);
    }
}

/// A line of the summary: all regions of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Their kind.
    #[serde(serialize_with = "serialize_kind")]
    pub kind: RegionKind,
    /// The name of the type.
    #[serde(rename = "type")]
    pub title: Cow<'static, str>,
    /// Their sums.
    #[serde(flatten)]
    pub totals: Totals,
}

fn serialize_kind<S: Serializer>(kind: &RegionKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.id())
}

/// The read-only portion of programs and libraries: code and constants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Libraries {
    /// Address space.
    pub total: Bytes,
    /// In memory.
    pub resident: Sum,
}

/// The writable regions that no file backs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Writable {
    /// Address space.
    pub total: Bytes,
    /// In memory or swapped out, of the private ones: each such page was written.
    pub written: Sum,
    /// In memory.
    pub resident: Sum,
    /// Swapped out or compressed.
    pub swapped: Sum,
    /// Neither in memory nor swapped out: never touched, or given back.
    pub unallocated: Option<Bytes>,
}

/// What all regions come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// A row for each type, by its name in byte order.
    pub rows: Vec<Row>,
    /// Over all regions.
    pub total: Totals,
    /// Over all but address space that is only reserved; `None` where there is none of that.
    pub total_unreserved: Option<Totals>,
    /// The read-only portion of libraries.
    pub libraries: Libraries,
    /// The writable regions.
    pub writable: Writable,
    /// The physical footprint: what would be free at once if the process ended and nobody else used it.
    ///
    /// Linux: resident anonymous memory and what is swapped out, summed over the regions; where they don't tell, by the
    /// kernel's own counters (`RssAnon` and `VmSwap`). macOS: the kernel's own.
    pub footprint: Option<Bytes>,
    /// In pages of hugetlb, which Linux doesn't count as resident.
    pub hugetlb: Bytes,
    /// How many regions count against the limit of mappings: all but the kernel's gate page.
    pub mappings: u64,
}

impl Summary {
    /// Whether some regions were measured and others not.
    pub fn is_partial(&self) -> bool {
        self.total.resident.is_partial() || self.total.dirty.is_partial()
    }
}

impl Sum {
    /// A sum of one size, or of nothing that was measured.
    fn of(size: Option<Bytes>) -> Sum {
        let mut sum = Sum::default();
        sum.add(size);
        sum
    }
}

impl Summary {
    /// What the regions of `snapshot` come to; where it is a report that lists none, what the report says itself.
    pub fn of(snapshot: &Snapshot) -> Summary {
        match &snapshot.printed {
            Some(printed) if snapshot.regions.is_empty() => Summary::printed(printed, &snapshot.process),
            printed => Summary::listed(&snapshot.regions, printed.as_ref(), &snapshot.process),
        }
    }

    /// What `regions` come to, with what a report lists beside them.
    pub fn listed(
        regions: &[Classified],
        printed: Option<&PrintedSummary>,
        process: &ProcessInfo,
    ) -> Summary {
        let mut builder = Builder::default();
        regions.iter().for_each(|classified| builder.add(classified));
        printed.iter().flat_map(|printed| &printed.off_map).for_each(|row| builder.add_off_map(row));
        builder.finish(process)
    }

    /// What a report says in its own summary, exact to the digits that it prints.
    pub fn printed(printed: &PrintedSummary, process: &ProcessInfo) -> Summary {
        let mut summary = Summary { footprint: process.totals.footprint, ..Summary::default() };
        if let Some(table) = &printed.types {
            let row = |row: &PrintedRow| Row {
                kind: macos::kind_of_title(&row.name),
                title: Cow::Owned(row.name.to_string()),
                totals: Totals::printed(table, row),
            };
            summary.rows = table.rows.iter().map(row).collect();
            let total = |name: &str| {
                let row = table.totals.iter().find(|row| &*row.name == name)?;
                Some(Totals::printed(table, row))
            };
            summary.total = total("TOTAL").unwrap_or_default();
            summary.total_unreserved = total("TOTAL, minus reserved VM space");
        }
        if let Some(libraries) = printed.libraries {
            summary.libraries =
                Libraries { total: libraries.total, resident: Sum::of(Some(libraries.resident)) };
        }
        if let Some(writable) = printed.writable {
            summary.writable = Writable {
                total: writable.total,
                written: Sum::of(Some(writable.written)),
                resident: Sum::of(Some(writable.resident)),
                swapped: Sum::of(Some(writable.swapped_out)),
                unallocated: Some(writable.unallocated),
            };
        }
        summary.mappings = summary.total.regions;
        summary
    }
}

impl Totals {
    fn printed(table: &PrintedTable, row: &PrintedRow) -> Totals {
        let size = |title: &str| table.column(title).and_then(|column| row.size(column));
        let sum = |title: &str| Sum::of(size(title));
        let count = |title: &str| table.column(title).and_then(|column| row.count(column));
        Totals {
            regions: count("REGION COUNT").unwrap_or_default(),
            virtual_size: size("VIRTUAL SIZE").or_else(|| size("VIRTUAL")).unwrap_or_default(),
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
        }
    }
}

/// Adds up regions as they come, in memory for the types only.
#[derive(Debug, Default)]
pub struct Builder {
    rows: BTreeMap<Cow<'static, str>, Row>,
    unreserved: Totals,
    footprint: Sum,
    summary: Summary,
}

impl Builder {
    /// Adds a region.
    pub fn add(&mut self, classified: &Classified) {
        let region = classified.facts();
        if is_left_out(classified) {
            return;
        }
        self.row(classified.kind(), classified.title()).add(region);
        self.summary.total.add(region);
        if !classified.kind().is_reserved() {
            self.unreserved.add(region);
        }
        if classified.kind().is_library() {
            self.summary.libraries.total += region.size();
            self.summary.libraries.resident.add(region.counts.resident);
        }
        if region.protection.is_writable() && !is_file_backed(region) {
            self.summary.writable.add(region);
        }
        self.footprint.add(footprint(region));
        self.summary.hugetlb += hugetlb(region);
        self.summary.mappings += u64::from(classified.kind() != RegionKind::Vsyscall);
    }

    /// The sums of the row of that title, in which all unused data of libraries is one.
    fn row(&mut self, kind: RegionKind, title: &str) -> &mut Totals {
        let title = if kind == RegionKind::UnusedLibrary { UNUSED } else { title };
        if !self.rows.contains_key(title) {
            let row = Row { kind, title: Cow::Owned(title.to_owned()), totals: Totals::default() };
            self.rows.insert(row.title.clone(), row);
        }
        &mut self.rows.get_mut(title).expect("inserted just now").totals
    }

    /// Adds memory that a report charges to the process and that is mapped nowhere in it.
    pub fn add_off_map(&mut self, row: &OffMapRow) {
        self.row(RegionKind::KernelPage, &row.kind).add_off_map(row);
        self.summary.total.add_off_map(row);
        self.unreserved.add_off_map(row);
    }

    /// The sums. `process` tells the footprint where its system does.
    pub fn finish(self, process: &ProcessInfo) -> Summary {
        let mut summary = self.summary;
        let kept_by_kernel = process.totals.anonymous.zip(process.totals.swapped);
        summary.footprint = process
            .totals
            .footprint
            .or_else(|| self.footprint.value())
            .or(kept_by_kernel.map(|(anonymous, swapped)| anonymous + swapped));
        summary.rows = self.rows.into_values().collect();
        summary.total_unreserved =
            (self.unreserved.regions < summary.total.regions).then_some(self.unreserved);
        let writable = &mut summary.writable;
        writable.unallocated = writable
            .resident
            .value()
            .zip(writable.swapped.value())
            .map(|(resident, swapped)| writable.total.saturating_sub(resident + swapped));
        summary
    }
}

impl Writable {
    fn add(&mut self, region: &Region) {
        let (resident, swapped) = (region.counts.resident, region.counts.swapped);
        self.total += region.size();
        self.resident.add(resident);
        self.swapped.add(swapped);
        if region.share == ShareMode::Private {
            self.written.add(resident.zip(swapped).map(|(resident, swapped)| resident + swapped));
        }
    }
}

/// What vmmap calls the row of unused data of libraries, which has pages only where it lies beside data in use.
const UNUSED: &str = "unused but dirty shlib __DATA";

/// Whether vmmap leaves a region out of its table: address space that the system sets aside in every process, and what lies
/// between the segments of the shared cache on pages that were never written.
fn is_left_out(classified: &Classified) -> bool {
    let Native::Macos(native) = &classified.native() else { return false };
    let is_unused = classified.kind() == RegionKind::UnusedLibrary && native.printed_type.is_none();
    let counts = &classified.counts();
    let is_clean =
        [counts.dirty, counts.swapped].iter().all(|size| size.is_none_or(|size| size == Bytes::ZERO));
    matches!(classified.title(), "commpage (reserved)" | "GPU Carveout (reserved)") || (is_unused && is_clean)
}

/// Whether a file backs a region, as the line about writable regions counts. macOS: as the kernel says, which stops looking
/// at a private copy.
fn is_file_backed(region: &Region) -> bool {
    match &region.native {
        Native::Macos(native) => native.external_pager,
        _ => region.is_file_backed(),
    }
}

/// Anonymous memory and swapped memory. Kernels before 2.6.37 don't tell the first; then it is what is dirty and private.
fn footprint(region: &Region) -> Option<Bytes> {
    let smaps = &region.native.linux()?.smaps;
    let anonymous = smaps.get(SmapsField::Anonymous).or_else(|| smaps.get(SmapsField::PrivateDirty))?;
    Some(anonymous + region.counts.swapped.unwrap_or_default())
}

fn hugetlb(region: &Region) -> Bytes {
    let Some(native) = region.native.linux() else { return Bytes::ZERO };
    native.smaps.sum(SmapsField::SharedHugetlb, SmapsField::PrivateHugetlb).unwrap_or_default()
}
