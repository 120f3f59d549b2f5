//! What all regions come to, by type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use mmview_platform::{Bytes, Region, ShareMode, SmapsField};
use serde::{Serialize, Serializer};

use crate::classify::Classified;
use crate::kind::RegionKind;

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
    /// Linux: resident anonymous memory and what is swapped out, summed over the regions.
    pub footprint: Sum,
    /// In pages of hugetlb, which Linux doesn't count as resident.
    pub hugetlb: Bytes,
    /// How many regions count against the limit of mappings: all but the kernel's gate page.
    pub mappings: u64,
}

impl Summary {
    /// Adds up `regions`.
    pub fn of<'a>(regions: impl IntoIterator<Item = &'a Classified>) -> Summary {
        let mut builder = Builder::default();
        for region in regions {
            builder.add(region);
        }
        builder.finish()
    }

    /// Whether some regions were measured and others not.
    pub fn is_partial(&self) -> bool {
        self.total.resident.is_partial() || self.total.dirty.is_partial()
    }
}

/// Adds up regions as they come, in memory for the types only.
#[derive(Debug, Default)]
pub struct Builder {
    rows: BTreeMap<Cow<'static, str>, Row>,
    unreserved: Totals,
    summary: Summary,
}

impl Builder {
    /// Adds a region.
    pub fn add(&mut self, classified: &Classified) {
        let Classified { region, meaning } = classified;
        if !self.rows.contains_key(&meaning.title) {
            let row = Row { kind: meaning.kind, title: meaning.title.clone(), totals: Totals::default() };
            self.rows.insert(meaning.title.clone(), row);
        }
        if let Some(row) = self.rows.get_mut(&meaning.title) {
            row.totals.add(region);
        }
        self.summary.total.add(region);
        if !meaning.kind.is_reserved() {
            self.unreserved.add(region);
        }
        if meaning.kind.is_library() {
            self.summary.libraries.total += region.size();
            self.summary.libraries.resident.add(region.counts.resident);
        }
        if region.protection.is_writable() && !region.is_file_backed() {
            self.summary.writable.add(region);
        }
        self.summary.footprint.add(footprint(region));
        self.summary.hugetlb += hugetlb(region);
        self.summary.mappings += u64::from(meaning.kind != RegionKind::Vsyscall);
    }

    /// The sums.
    pub fn finish(self) -> Summary {
        let mut summary = self.summary;
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
