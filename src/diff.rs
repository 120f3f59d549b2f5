//! Compares two maps: which regions were added, removed, grown, split or re-protected, and the totals by type and by file.
//!
//! The result is complete: [`apply`] computes the second map from the first and the difference. Regions match by address if they
//! overlap and have the same backing, so a region that `mprotect` splits, that `brk` grows or that merges with its neighbor is
//! one change. In another run of a program every address differs; then regions match by name, type and size.
//!
//! ```
//! use mmview::Snapshot;
//! use mmview::diff::Diff;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let before = Snapshot::of_self()?;
//! let buffer = vec![1_u8; 8 << 20];
//! let after = Snapshot::of_self()?;
//! let diff = Diff::between(&before, &after);
//! assert!(diff.biggest()[0].delta().resident >= Some(8 << 20));
//! # drop(buffer);
//! # Ok(())
//! # }
//! ```

mod change;
mod delta;
mod matching;
mod totals;
mod zones;

use std::cmp::Reverse;
use std::collections::HashSet;

use mmview_platform::AddrRange;

use crate::region::Classified;
use crate::snapshot::Snapshot;

pub use change::{Change, ChangeKind};
pub use delta::Delta;
pub use totals::{FileChange, TypeChange, by_file, by_type};
pub use zones::{ZoneChange, by_zone};

/// The difference between two maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diff {
    /// The changes by address. At the same address, a removed region comes first.
    pub changes: Vec<Change>,
    /// The number of regions that are equal in every fact.
    pub unchanged: u64,
}

impl Diff {
    /// Compares two maps, in one pass over both.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Diff {
        // A report that lists no regions can't be compared with the regions of another map.
        if is_by_type_only(before, after) {
            return Diff::default();
        }
        Diff::of_regions(&before.regions, &after.regions, !is_same_run(before, after))
    }

    /// Compares two lists of regions, each by address, of one process, whose regions don't move by themselves.
    pub(crate) fn in_place(before: &[Classified], after: &[Classified]) -> Diff {
        Diff::of_regions(before, after, false)
    }

    fn of_regions(before: &[Classified], after: &[Classified], may_move: bool) -> Diff {
        let (changes, unchanged) = matching::compare(before, after, may_move);
        Diff { changes, unchanged }
    }

    /// Returns the notable changes, the largest first.
    pub fn biggest(&self) -> Vec<&Change> {
        let mut changes: Vec<_> = self.changes.iter().filter(|change| change.is_notable()).collect();
        changes.sort_by_cached_key(|change| Reverse(change.delta().weight()));
        changes
    }
}

/// Whether one of two maps is a report without a list of regions, so that only types can be compared.
pub(crate) fn is_by_type_only(before: &Snapshot, after: &Snapshot) -> bool {
    before.is_summary() != after.is_summary()
}

/// Whether both maps are of one run of a program, whose regions don't move by themselves.
///
/// They are if the process is the same, or if that is unknown, if half of the regions have the same addresses. Two runs share
/// the addresses of a program that is linked to a fixed address, but little else. Within one run the start time can differ
/// (the clock was set), and the path too (the program was replaced).
fn is_same_run(before: &Snapshot, after: &Snapshot) -> bool {
    let (one, other) = (&before.process, &after.process);
    if one.pid.is_some() && other.pid.is_some() && one.pid != other.pid {
        return false;
    }
    if one.pid.is_some() && one.pid == other.pid && one.started == other.started && one.path == other.path {
        return true;
    }
    let ranges = |snapshot: &Snapshot| -> HashSet<AddrRange> {
        snapshot.regions.iter().map(Classified::range).collect()
    };
    let (one, other) = (ranges(before), ranges(after));
    one.intersection(&other).count() * 2 >= one.len().min(other.len())
}

/// Computes the second map from the first and the difference.
pub fn apply(before: &[Classified], diff: &Diff) -> Vec<Classified> {
    let mut removed: Vec<_> = diff.changes.iter().flat_map(|change| &change.before).collect();
    removed.sort_by_key(|region| region.range());
    let mut removed = removed.into_iter().peekable();
    let mut regions: Vec<_> = before
        .iter()
        .filter(|region| removed.next_if(|next| next == region).is_none())
        .chain(diff.changes.iter().flat_map(|change| &change.after))
        .cloned()
        .collect();
    regions.sort_by_key(Classified::range);
    regions
}

#[cfg(test)]
pub(crate) mod tests;
