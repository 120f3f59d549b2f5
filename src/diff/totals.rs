//! The changes by type and by file.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use mmview_platform::PageCounts;

use super::delta::{Delta, Sizes};
use crate::kind::RegionKind;
use crate::snapshot::Snapshot;
use crate::summary::{Summary, Totals};

/// How the regions of a type changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypeChange {
    /// Their kind.
    pub kind: RegionKind,
    /// The name of the type.
    pub title: String,
    /// By how much.
    pub delta: Delta,
}

/// How the regions of a file, or of another memory object with a path, changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileChange {
    /// Its path.
    pub path: Box<[u8]>,
    /// By how much.
    pub delta: Delta,
}

/// Sizes before and after.
#[derive(Clone, Copy, Debug)]
struct Both {
    before: Sizes,
    after: Sizes,
}

impl Both {
    const NONE: Both = Both { before: Sizes::NONE, after: Sizes::NONE };

    fn delta(&self) -> Delta {
        Delta::between(self.before, self.after)
    }
}

/// Returns the changes by type, the largest first, and the change of the whole map. Types without a change are omitted.
///
/// A report that lists no regions is compared by its own table, which is exact to the digits that it prints.
pub fn by_type(before: &Snapshot, after: &Snapshot) -> (Vec<TypeChange>, Delta) {
    let mut types: BTreeMap<String, (RegionKind, Both)> = BTreeMap::new();
    let mut total = Both::NONE;
    let mut sum = |snapshot: &Snapshot, side: fn(&mut Both) -> &mut Sizes| {
        let summary = Summary::of(snapshot);
        for row in &summary.rows {
            let (_, both) = types.entry(row.title.to_string()).or_insert((row.kind, Both::NONE));
            side(both).add_totals(&row.totals);
        }
        side(&mut total).add_totals(&summary.total);
    };
    sum(before, |both| &mut both.before);
    sum(after, |both| &mut both.after);
    let mut changes: Vec<_> = types
        .into_iter()
        .map(|(title, (kind, both))| TypeChange { kind, title, delta: both.delta() })
        .filter(|change| !change.delta.is_zero())
        .collect();
    changes.sort_by_key(|change| Reverse(change.delta.weight()));
    (changes, total.delta())
}

/// Returns the changes by file, the largest first. Files without a change are omitted; if one map is a report that lists no
/// regions, all are.
pub fn by_file<'a>(before: &'a Snapshot, after: &'a Snapshot) -> Vec<FileChange> {
    if before.is_summary() != after.is_summary() {
        return Vec::new();
    }
    let mut files: BTreeMap<&'a [u8], Both> = BTreeMap::new();
    let mut sum = |snapshot: &'a Snapshot, side: fn(&mut Both) -> &mut Sizes| {
        for region in &snapshot.regions {
            if let Some(path) = region.path() {
                side(files.entry(path).or_insert(Both::NONE)).add(region.facts());
            }
        }
    };
    sum(before, |both| &mut both.before);
    sum(after, |both| &mut both.after);
    let mut changes: Vec<_> = files
        .into_iter()
        .map(|(path, both)| FileChange { path: path.into(), delta: both.delta() })
        .filter(|change| !change.delta.is_zero())
        .collect();
    changes.sort_by_key(|change| Reverse(change.delta.weight()));
    changes
}

impl Sizes {
    fn add_totals(&mut self, totals: &Totals) {
        self.regions += totals.regions;
        self.virtual_size += totals.virtual_size.value().unwrap_or_default();
        let mut counts = PageCounts::UNMEASURED;
        counts.resident = totals.resident.whole();
        counts.dirty = totals.dirty.whole();
        counts.swapped = totals.swapped.whole();
        counts.proportional = totals.proportional.whole();
        counts.unique = totals.unique.whole();
        self.counts += counts;
    }
}
