//! The state of single pages.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::AddrRange;

/// A run of pages in the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRun {
    /// Their addresses.
    pub range: AddrRange,
    /// Their state, never the empty one.
    pub state: PageState,
}

/// The state of a page: a set of marks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PageState(u16);

impl PageState {
    /// In memory, and mapped by this process.
    pub const PRESENT: PageState = PageState(1);
    /// In memory and modified. Linux has this for whole regions only (`smaps`).
    pub const DIRTY: PageState = PageState(1 << 1);
    /// Compressed, or in swap.
    pub const SWAPPED: PageState = PageState(1 << 2);
    /// A page of a file, or of shared memory. Written private pages of a file mapping are not.
    pub const FILE: PageState = PageState(1 << 3);
    /// The shared page of zeros: read and never written. Does not count as resident. Linux.
    pub const ZERO: PageState = PageState(1 << 4);
    /// Part of a huge page. Linux.
    pub const HUGE: PageState = PageState(1 << 5);
    /// A guard: any access faults (`MADV_GUARD_INSTALL`). Linux 6.13.
    pub const GUARD: PageState = PageState(1 << 6);
    /// Written since the soft-dirty bits were last cleared. Linux, if the kernel was built with it.
    pub const SOFT_DIRTY: PageState = PageState(1 << 7);
    /// Copied from the object behind it, because this process wrote to it. macOS.
    pub const COPIED: PageState = PageState(1 << 8);

    const NAMES: [(PageState, &str); 9] = [
        (PageState::PRESENT, "present"),
        (PageState::DIRTY, "dirty"),
        (PageState::SWAPPED, "swapped"),
        (PageState::FILE, "file"),
        (PageState::ZERO, "zero"),
        (PageState::HUGE, "huge"),
        (PageState::GUARD, "guard"),
        (PageState::SOFT_DIRTY, "soft-dirty"),
        (PageState::COPIED, "copied"),
    ];

    /// The marks of both.
    #[must_use]
    pub const fn with(self, other: PageState) -> PageState {
        PageState(self.0 | other.0)
    }

    /// This state, plus `mark` if the condition holds.
    #[must_use]
    pub const fn with_if(self, mark: PageState, condition: bool) -> PageState {
        if condition { self.with(mark) } else { self }
    }

    /// Whether it has every mark of `other`.
    pub const fn has(self, other: PageState) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it has no mark.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the page counts as resident: in memory, and not the page of zeros.
    pub const fn is_resident(self) -> bool {
        self.has(PageState::PRESENT) && !self.has(PageState::ZERO)
    }

    /// Whether the page counts as swapped. Linux marks guards as swapped too.
    pub const fn is_swapped(self) -> bool {
        self.has(PageState::SWAPPED) && !self.has(PageState::GUARD)
    }

    /// The names of its marks.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        PageState::NAMES.into_iter().filter(move |(mark, _)| self.has(*mark)).map(|(_, name)| name)
    }
}

impl fmt::Debug for PageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A list of the names.
impl Serialize for PageState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// Ignores names that this version does not know.
impl<'de> Deserialize<'de> for PageState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PageState, D::Error> {
        let names = Vec::<Box<str>>::deserialize(deserializer)?;
        let marks =
            PageState::NAMES.into_iter().filter(|(_, name)| names.iter().any(|known| **known == **name));
        Ok(marks.fold(PageState::default(), |state, (mark, _)| state.with(mark)))
    }
}

/// Joins adjacent runs with the same state, and drops runs without marks.
pub(crate) fn join(runs: impl IntoIterator<Item = PageRun>) -> Box<[PageRun]> {
    let mut joined: Vec<PageRun> = Vec::new();
    for run in runs.into_iter().filter(|run| !run.state.is_empty() && !run.range.is_empty()) {
        match joined.last_mut() {
            Some(last) if last.state == run.state && last.range.end() == run.range.start() => {
                if let Some(range) = AddrRange::new(last.range.start(), run.range.end()) {
                    last.range = range;
                }
            }
            _ => joined.push(run),
        }
    }
    joined.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_guards_are_neither_resident_nor_swapped() {
        assert!(PageState::PRESENT.is_resident());
        assert!(!PageState::PRESENT.with(PageState::ZERO).is_resident());
        assert!(PageState::SWAPPED.is_swapped());
        assert!(!PageState::SWAPPED.with(PageState::GUARD).is_swapped());
    }

    #[test]
    fn runs_that_touch_are_one() {
        let run = |start, end, state| PageRun { range: AddrRange::new(start, end).unwrap(), state };
        let (present, dirty) = (PageState::PRESENT, PageState::PRESENT.with(PageState::DIRTY));
        let joined = join([
            run(0, 1, present),
            run(1, 3, present),
            run(3, 4, dirty),
            run(4, 5, PageState::default()),
            run(5, 6, dirty),
        ]);
        assert_eq!(*joined, [run(0, 3, present), run(3, 4, dirty), run(5, 6, dirty)]);
    }
}
