//! One change, and its kind.

use mmview_platform::AddrRange;

use super::delta::Delta;
use crate::region::Classified;

/// What happened to the regions of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The region is new.
    Added,
    /// The region no longer exists.
    Removed,
    /// It covers more addresses.
    Grown,
    /// It covers fewer addresses.
    Shrunk,
    /// One region became several: `mprotect` or `madvise` changed a part, or its middle was unmapped.
    Split,
    /// Several regions became one.
    Merged,
    /// Several regions became several others.
    Reshaped,
    /// The same region is at another address.
    Moved,
    /// Its protection changed.
    Reprotected,
    /// Its name changed, its file was deleted, or its neighbors give it another type.
    Renamed,
    /// Its resident, dirty or swapped size changed.
    Recounted,
    /// Something else changed: sharing with other processes, referenced pages, flags.
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

    /// The mark in a list: `+`, `-` or `~`.
    pub const fn mark(self) -> &'static str {
        match self {
            ChangeKind::Added => "+",
            ChangeKind::Removed => "-",
            _ => "~",
        }
    }

    /// Whether the layout changed: addresses, protection or names, not only what is in memory.
    pub const fn is_of_layout(self) -> bool {
        !matches!(self, ChangeKind::Recounted | ChangeKind::Incidental)
    }
}

/// Regions that belong together, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What happened: the first kind that applies, in the order of [`ChangeKind`].
    pub kind: ChangeKind,
    /// The old regions, by address; empty if the region is new.
    pub before: Vec<Classified>,
    /// The new regions, by address; empty if the region no longer exists.
    pub after: Vec<Classified>,
}

impl Change {
    /// By how much the sizes changed.
    pub fn delta(&self) -> Delta {
        Delta::between_regions(&self.before, &self.after)
    }

    /// The addresses from the first region to the last, before and after. For a moved region, its new addresses.
    pub fn range(&self) -> AddrRange {
        let one = self.region().range();
        if self.before.len() <= 1 && self.after.len() <= 1 {
            return one;
        }
        let all = self.before.iter().chain(&self.after).map(Classified::range);
        all.fold(one, AddrRange::hull)
    }

    /// The first of the new regions, or of the old ones if there is none.
    pub fn region(&self) -> &Classified {
        self.after.first().or(self.before.first()).expect("a change has at least one region")
    }

    /// Whether it is worth a line in a report. Incidental changes and mere moves are not.
    pub fn is_notable(&self) -> bool {
        match self.kind {
            ChangeKind::Incidental => false,
            ChangeKind::Moved => !self.delta().is_zero(),
            _ => true,
        }
    }
}
