//! What is different between two maps: which regions came, went, grew, were split or re-protected, and what that comes to by
//! type and by file.
//!
//! Pure, and complete: [`apply`] makes the second map out of the first and the difference. Regions are matched by address
//! where they overlap and have the same thing behind them, so that a region split by `mprotect`, grown by `brk` or merged
//! with its neighbour is one change. In another run of a program everything lies elsewhere; then regions are matched by what
//! they are called and how large they are.

mod matching;
mod totals;

use std::cmp::Reverse;
use std::collections::HashSet;

use mmview_platform::{AddrRange, Bytes, PageCounts, Region};

use crate::region::Classified;
use crate::snapshot::Snapshot;

pub use totals::{FileChange, TypeChange, by_file, by_type};

/// What happened to the regions of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It covers more addresses.
    Grown,
    /// It covers fewer.
    Shrunk,
    /// It became several: by `mprotect` or `madvise` of a part, or by unmapping its middle.
    Split,
    /// Several became one.
    Merged,
    /// Several became several others.
    Reshaped,
    /// The same thing lies elsewhere.
    Moved,
    /// Other accesses are allowed.
    Reprotected,
    /// It has another name, or another type by its neighbours; its file was deleted.
    Renamed,
    /// More or less of it is resident, dirty or swapped.
    Recounted,
    /// Something else: shares of pages with other processes, which pages were referenced, flags.
    Incidental,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [ChangeKind; 12] = [
        ChangeKind::Added,
        ChangeKind::Removed,
        ChangeKind::Grown,
        ChangeKind::Shrunk,
        ChangeKind::Split,
        ChangeKind::Merged,
        ChangeKind::Reshaped,
        ChangeKind::Moved,
        ChangeKind::Reprotected,
        ChangeKind::Renamed,
        ChangeKind::Recounted,
        ChangeKind::Incidental,
    ];

    /// The identifier in machine formats.
    pub const fn id(self) -> &'static str {
        match self {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Grown => "grown",
            ChangeKind::Shrunk => "shrunk",
            ChangeKind::Split => "split",
            ChangeKind::Merged => "merged",
            ChangeKind::Reshaped => "reshaped",
            ChangeKind::Moved => "moved",
            ChangeKind::Reprotected => "reprotected",
            ChangeKind::Renamed => "renamed",
            ChangeKind::Recounted => "recounted",
            ChangeKind::Incidental => "incidental",
        }
    }

    /// The mark before it in a list: `+`, `-` or `~`.
    pub const fn mark(self) -> &'static str {
        match self {
            ChangeKind::Added => "+",
            ChangeKind::Removed => "-",
            _ => "~",
        }
    }

    /// Whether the map itself is different: addresses, protection or names, not only what is in memory.
    pub const fn is_of_layout(self) -> bool {
        !matches!(self, ChangeKind::Recounted | ChangeKind::Incidental)
    }
}

/// Regions that belong together, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened; the first that applies, in the order of [`ChangeKind`].
    pub kind: ChangeKind,
    /// The regions that it was, by address; none where it is new.
    pub before: Vec<Classified>,
    /// The regions that it is now; none where it is gone.
    pub after: Vec<Classified>,
}

impl Change {
    /// By how much the sizes are different.
    pub fn delta(&self) -> Delta {
        Delta::between(sizes(&self.before), sizes(&self.after))
    }

    /// Where it is, from the first of the regions to the last, before and after; of a region that has moved, where it is now.
    pub fn range(&self) -> AddrRange {
        let one = self.region().range();
        if self.before.len() <= 1 && self.after.len() <= 1 {
            return one;
        }
        let all = self.before.iter().chain(&self.after).map(|classified| classified.range());
        all.fold(one, AddrRange::hull)
    }

    /// The first of the regions as they are now, or as they were.
    pub fn region(&self) -> &Classified {
        self.after.first().or(self.before.first()).expect("a change is of some region")
    }

    /// Whether something of it is worth a line: not what else changes all the time, nor the place alone.
    pub fn is_telling(&self) -> bool {
        match self.kind {
            ChangeKind::Incidental => false,
            ChangeKind::Moved => !self.delta().is_zero(),
            _ => true,
        }
    }
}

/// Sizes of some regions together. A size is `None` where it wasn't measured of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sizes {
    regions: u64,
    virtual_size: Bytes,
    counts: PageCounts,
}

impl Sizes {
    const NONE: Sizes = Sizes { regions: 0, virtual_size: Bytes::ZERO, counts: PageCounts::ZERO };

    fn add(&mut self, region: &Region) {
        self.regions += 1;
        self.virtual_size += region.size();
        self.counts += region.counts;
    }
}

fn sizes(regions: &[Classified]) -> Sizes {
    let mut sizes = Sizes::NONE;
    regions.iter().for_each(|classified| sizes.add(classified.facts()));
    sizes
}

/// By how much sizes are different, in bytes; `None` where either wasn't measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delta {
    /// Regions.
    pub regions: i64,
    /// Address space.
    #[serde(rename = "virtual")]
    pub virtual_size: i64,
    /// In memory.
    pub resident: Option<i64>,
    /// In memory and modified.
    pub dirty: Option<i64>,
    /// Swapped out or compressed.
    pub swapped: Option<i64>,
}

impl Delta {
    fn between(before: Sizes, after: Sizes) -> Delta {
        let measured = |before: Option<Bytes>, after: Option<Bytes>| Some(change(before?.0, after?.0));
        Delta {
            regions: change(before.regions, after.regions),
            virtual_size: change(before.virtual_size.0, after.virtual_size.0),
            resident: measured(before.counts.resident, after.counts.resident),
            dirty: measured(before.counts.dirty, after.counts.dirty),
            swapped: measured(before.counts.swapped, after.counts.swapped),
        }
    }

    /// Whether nothing is different, of what was measured in both.
    pub fn is_zero(&self) -> bool {
        let none = |size: Option<i64>| size.unwrap_or(0) == 0;
        self.regions == 0
            && self.virtual_size == 0
            && none(self.resident)
            && none(self.dirty)
            && none(self.swapped)
    }

    /// How big a difference is, for a list that has the biggest first: what it is in memory or in swap, then what is dirty,
    /// then address space.
    fn weight(&self) -> (u64, u64, u64) {
        let size = |size: Option<i64>| size.map_or(0, i64::unsigned_abs);
        (
            size(self.resident).saturating_add(size(self.swapped)),
            size(self.dirty),
            self.virtual_size.unsigned_abs(),
        )
    }
}

/// The difference as a number with a sign; saturated, as sizes are.
fn change(before: u64, after: u64) -> i64 {
    i64::try_from(i128::from(after) - i128::from(before)).unwrap_or(if after > before {
        i64::MAX
    } else {
        i64::MIN
    })
}

/// What is different between two maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The changes, by address. Of several at one address, what is gone comes first.
    pub changes: Vec<Change>,
    /// How many regions are the same in every fact.
    pub unchanged: u64,
}

impl Diff {
    /// Compares two maps. Costs a pass over both.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Diff {
        // A report that lists no regions says nothing of those that the other lists.
        if is_by_type_only(before, after) {
            return Diff::default();
        }
        matching::compare(&before.regions, &after.regions, !is_same_run(before, after))
    }

    /// Compares two lists of regions, each by address, of one run of a program: nothing in them moves by itself.
    pub fn in_place(before: &[Classified], after: &[Classified]) -> Diff {
        matching::compare(before, after, false)
    }

    /// The changes that are worth a line, the biggest first.
    pub fn biggest(&self) -> Vec<&Change> {
        let mut changes: Vec<_> = self.changes.iter().filter(|change| change.is_telling()).collect();
        changes.sort_by_cached_key(|change| Reverse(change.delta().weight()));
        changes
    }
}

/// Whether one of two maps is a report that lists no regions, so that only types can be compared.
pub fn is_by_type_only(before: &Snapshot, after: &Snapshot) -> bool {
    before.is_summary() != after.is_summary()
}

/// Whether both are of one run of one program, whose regions don't move by themselves: the same process at two times, or, where
/// that isn't known, two maps of which half lies at the same addresses. Two runs have little but a program that was linked
/// to a fixed address in common.
///
/// Of one run either may differ, the time of the start (where the clock was set) or the path (where the program was replaced).
fn is_same_run(before: &Snapshot, after: &Snapshot) -> bool {
    let (one, other) = (&before.process, &after.process);
    if one.pid.is_some() && other.pid.is_some() && one.pid != other.pid {
        return false;
    }
    if one.pid.is_some() && one.pid == other.pid && one.started == other.started && one.path == other.path {
        return true;
    }
    let places = |snapshot: &Snapshot| -> HashSet<AddrRange> {
        snapshot.regions.iter().map(|classified| classified.range()).collect()
    };
    let (one, other) = (places(before), places(after));
    one.intersection(&other).count() * 2 >= one.len().min(other.len())
}

/// The second map, out of the first and the difference.
pub fn apply(before: &[Classified], diff: &Diff) -> Vec<Classified> {
    let place = |classified: &Classified| (classified.range().start(), classified.range().end());
    let mut gone: Vec<_> = diff.changes.iter().flat_map(|change| &change.before).collect();
    gone.sort_by_key(|classified| place(classified));
    let mut gone = gone.into_iter().peekable();
    let mut regions: Vec<_> = before
        .iter()
        .filter(|classified| gone.next_if(|next| next == classified).is_none())
        .chain(diff.changes.iter().flat_map(|change| &change.after))
        .cloned()
        .collect();
    regions.sort_by_key(place);
    regions
}

#[cfg(test)]
pub(crate) mod tests;
