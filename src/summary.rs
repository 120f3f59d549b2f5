//! Totals of a map by type.

mod native;
mod totals;

use std::borrow::Cow;
use std::collections::BTreeMap;

use mmview_platform::{
    Bytes, Evidence, Native, OffMapRow, PrintedRow, PrintedSummary, ProcessInfo, Region, ShareMode,
    SmapsField,
};
use serde::{Serialize, Serializer};

use crate::classify::macos;
use crate::kind::RegionKind;
use crate::ownership::owner_of;
use crate::region::{Classified, Part};
use crate::snapshot::Snapshot;
use native::NativeSizes;
pub use totals::{Purgeable, Sum, Totals};

/// What the rows of a summary stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grouping {
    /// A type of regions.
    #[default]
    Type,
    /// An allocator or runtime that owns them, or else what they are for.
    Owner,
}

/// A row of the summary: all regions of one type, or of one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// Their kind; of an owner's parts, the kind of the first.
    #[serde(serialize_with = "serialize_kind")]
    pub kind: RegionKind,
    /// The name of the type, or of the owner.
    #[serde(rename = "type")]
    pub title: Cow<'static, str>,
    /// How their purpose is known.
    pub evidence: Certainty,
    /// Their sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// How the purpose of several regions is known: as well as of the one that is least certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Certainty(Option<Evidence>);

impl Certainty {
    /// Takes another region into account: a shape is less certain than what the kernel or the memory says.
    #[must_use]
    pub(crate) fn with(self, evidence: Evidence) -> Certainty {
        Certainty(Some(match self.0 {
            Some(Evidence::Shape) => Evidence::Shape,
            Some(Evidence::Kernel) if evidence != Evidence::Shape => Evidence::Kernel,
            _ => evidence,
        }))
    }

    /// The evidence; `None` if there are no regions.
    pub fn evidence(self) -> Option<Evidence> {
        self.0
    }
}

impl Serialize for Certainty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.map(Evidence::id).serialize(serializer)
    }
}

fn serialize_kind<S: Serializer>(kind: &RegionKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.id())
}

/// The read-only part of programs and libraries: code and constants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Libraries {
    /// Address space.
    pub total: Sum,
    /// Resident.
    pub resident: Sum,
}

/// The writable regions that no file backs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Writable {
    /// Address space.
    pub total: Sum,
    /// Resident or swapped out in private regions: pages that were written.
    pub written: Sum,
    /// Resident.
    pub resident: Sum,
    /// Swapped out or compressed.
    pub swapped: Sum,
    /// Neither resident nor swapped out, nor in hugetlb pages: never touched, or freed.
    pub unallocated: Option<Bytes>,
}

/// The totals of a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// What the rows stand for.
    pub grouping: Grouping,
    /// A row for each type, sorted by name in byte order; or for each owner, the one with the most memory first.
    pub rows: Vec<Row>,
    /// The sums over all regions.
    pub total: Totals,
    /// The sums over all regions but reserved address space; `None` if nothing is reserved.
    pub total_unreserved: Option<Totals>,
    /// The read-only part of programs and libraries.
    pub libraries: Libraries,
    /// The writable regions that no file backs.
    pub writable: Writable,
    /// The physical footprint: the memory that would be freed if the process ended.
    ///
    /// On Linux, the anonymous resident and the swapped memory of all regions, or if that was not measured, the kernel's
    /// `RssAnon` and `VmSwap`. On macOS, the kernel's `phys_footprint`.
    pub footprint: Option<Bytes>,
    /// Memory in hugetlb pages, which Linux doesn't count as resident.
    pub hugetlb: Bytes,
    /// The number of regions that consist of several parts. Rows count parts; totals count regions.
    pub divided: u64,
    /// The number of regions that count against the limit of mappings: all but the kernel's gate page.
    pub mappings: u64,
}

impl Summary {
    /// Whether some regions were measured and others were not.
    pub fn is_partial(&self) -> bool {
        self.total.resident.is_partial() || self.total.dirty.is_partial()
    }

    /// Adds up the regions of `snapshot`. If it is a report that lists none, returns the report's own summary.
    pub fn of(snapshot: &Snapshot) -> Summary {
        match &snapshot.printed {
            Some(printed) if snapshot.regions.is_empty() => Summary::printed(printed, &snapshot.process),
            printed => Summary::listed(&snapshot.regions, printed.as_ref(), &snapshot.process),
        }
    }

    /// Adds up `regions`, and the memory that a report lists apart from them.
    pub(crate) fn listed(
        regions: &[Classified],
        printed: Option<&PrintedSummary>,
        process: &ProcessInfo,
    ) -> Summary {
        let mut builder = Builder::default();
        regions.iter().for_each(|region| builder.add(region));
        printed.iter().flat_map(|printed| &printed.off_map).for_each(|row| builder.add_off_map(row));
        builder.finish(process)
    }

    /// Converts the summary in a report, which is exact to the digits that it prints.
    pub(crate) fn printed(printed: &PrintedSummary, process: &ProcessInfo) -> Summary {
        let mut summary = Summary { footprint: process.totals.footprint, ..Summary::default() };
        if let Some(table) = &printed.types {
            let row = |row: &PrintedRow| Row {
                kind: macos::kind_of_title(&row.name),
                title: Cow::Owned(row.name.to_string()),
                evidence: Certainty(Some(Evidence::Kernel)),
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
            summary.libraries = Libraries {
                total: Sum::of(Some(libraries.total)),
                resident: Sum::of(Some(libraries.resident)),
            };
        }
        if let Some(writable) = printed.writable {
            summary.writable = Writable {
                total: Sum::of(Some(writable.total)),
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

/// Adds up regions one at a time. Its size depends on the number of types only.
#[derive(Debug, Default)]
pub struct Builder {
    rows: BTreeMap<Cow<'static, str>, Row>,
    unreserved: Totals,
    footprint: Sum,
    writable_hugetlb: Bytes,
    summary: Summary,
    grouping: Grouping,
}

impl Builder {
    /// Adds up by type or by owner.
    pub fn by(grouping: Grouping) -> Builder {
        Builder { grouping, ..Builder::default() }
    }

    /// Adds a region.
    pub fn add(&mut self, region: &Classified) {
        if is_excluded(region) {
            return;
        }
        let (kind, facts) = (region.kind(), region.facts());
        let native = NativeSizes::of(&facts.native);
        if region.parts().is_empty() {
            let row = self.row_of(&region.as_part());
            row.totals.add(facts, &native);
            row.evidence = row.evidence.with(region.evidence());
        } else {
            for part in region.parts() {
                let row = self.row_of(part);
                row.totals.add_part(part, facts, &native);
                row.evidence = row.evidence.with(part.evidence());
            }
            self.summary.divided += 1;
        }
        self.summary.total.add(facts, &native);
        if !kind.is_reserved() {
            self.unreserved.add(facts, &native);
        }
        if kind.is_library() {
            self.summary.libraries.total.add(region.known_size());
            self.summary.libraries.resident.add(region.counts().resident);
        }
        if (region.protection().is_writable() || !region.protection().is_known()) && !has_pager(region) {
            self.summary.writable.add(facts);
            self.writable_hugetlb += hugetlb(region);
        }
        self.footprint.add(footprint(region));
        self.summary.hugetlb += hugetlb(region);
        self.summary.mappings += u64::from(kind != RegionKind::Vsyscall);
    }

    fn row_of(&mut self, part: &Part) -> &mut Row {
        match self.grouping {
            Grouping::Type => self.row(part.kind(), part.title()),
            Grouping::Owner => self.row(part.kind(), &owner_of(part)),
        }
    }

    /// Returns the sums of the row with this title. All unused data of libraries is in one row.
    fn row(&mut self, kind: RegionKind, title: &str) -> &mut Row {
        let is_unused = kind == RegionKind::UnusedLibrary && self.grouping == Grouping::Type;
        let title = if is_unused { UNUSED } else { title };
        if !self.rows.contains_key(title) {
            let title = Cow::Owned(title.to_owned());
            let row = Row { kind, title, evidence: Certainty::default(), totals: Totals::default() };
            self.rows.insert(row.title.clone(), row);
        }
        self.rows.get_mut(title).expect("inserted just now")
    }

    /// Adds memory that a report charges to the process but that is not mapped in it.
    pub fn add_off_map(&mut self, row: &OffMapRow) {
        self.row(RegionKind::KernelPage, &row.kind).totals.add_off_map(row);
        self.summary.total.add_off_map(row);
        self.unreserved.add_off_map(row);
    }

    /// Returns the summary. If `process` has a footprint from the kernel, that one counts.
    pub fn finish(self, process: &ProcessInfo) -> Summary {
        let mut summary = Summary { grouping: self.grouping, ..self.summary };
        let kept_by_kernel = process.totals.anonymous.zip(process.totals.swapped);
        summary.footprint = process
            .totals
            .footprint
            .or_else(|| self.footprint.value())
            .or(kept_by_kernel.map(|(anonymous, swapped)| anonymous + swapped));
        summary.rows = self.rows.into_values().collect();
        if self.grouping == Grouping::Owner {
            let size = |row: &Row| (row.totals.resident.value(), row.totals.virtual_size.value());
            summary.rows.sort_by_key(|row| std::cmp::Reverse(size(row)));
        }
        summary.total_unreserved =
            (self.unreserved.regions < summary.total.regions).then_some(self.unreserved);
        let writable = &mut summary.writable;
        writable.unallocated =
            writable.resident.whole().zip(writable.swapped.whole()).zip(writable.total.whole()).map(
                |((resident, swapped), total)| {
                    total.saturating_sub(resident + swapped + self.writable_hugetlb)
                },
            );
        summary
    }
}

impl Writable {
    fn add(&mut self, region: &Region) {
        if !region.protection.is_known() {
            for sum in [&mut self.total, &mut self.written, &mut self.resident, &mut self.swapped] {
                sum.add(None);
            }
            return;
        }
        let (resident, swapped) = (region.counts.resident, region.counts.swapped);
        self.total.add(region.known_size());
        self.resident.add(resident);
        self.swapped.add(swapped);
        match region.share {
            ShareMode::Private => {
                self.written.add(resident.zip(swapped).map(|(resident, swapped)| resident + swapped));
            }
            ShareMode::Unknown => self.written.add(None),
            _ => {}
        }
    }
}

/// vmmap's name for unused data of libraries. Such data is resident only next to data in use.
const UNUSED: &str = "unused but dirty shlib __DATA";

/// Whether vmmap excludes a region from its table: address space that the system reserves in every process, and clean pages
/// between the segments of the shared cache.
fn is_excluded(region: &Classified) -> bool {
    let Native::Macos(native) = region.native() else { return false };
    let is_unused = region.kind() == RegionKind::UnusedLibrary && native.printed_type.is_none();
    let counts = region.counts();
    let is_clean =
        [counts.dirty, counts.swapped].iter().all(|size| size.is_none_or(|size| size == Bytes::ZERO));
    matches!(region.title(), "commpage (reserved)" | "GPU Carveout (reserved)") || (is_unused && is_clean)
}

/// Whether a file backs a region, for the totals of writable regions. On macOS the kernel's answer, which doesn't look below a
/// private copy.
fn has_pager(region: &Classified) -> bool {
    match region.native() {
        Native::Macos(native) => native.external_pager,
        _ => region.is_file_backed(),
    }
}

/// Anonymous and swapped memory. Kernels before 2.6.37 don't report anonymous memory; private dirty memory takes its place.
fn footprint(region: &Classified) -> Option<Bytes> {
    let smaps = &region.native().linux()?.smaps;
    let anonymous = smaps.get(SmapsField::Anonymous).or_else(|| smaps.get(SmapsField::PrivateDirty))?;
    Some(anonymous + region.counts().swapped.unwrap_or_default())
}

fn hugetlb(region: &Classified) -> Bytes {
    let Some(native) = region.native().linux() else { return Bytes::ZERO };
    native.smaps.sum(SmapsField::SharedHugetlb, SmapsField::PrivateHugetlb).unwrap_or_default()
}
