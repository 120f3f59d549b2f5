//! Ranges of virtual addresses.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use super::{Bytes, PageSize};

/// A half-open range of virtual addresses, `start..end`, with `start <= end`.
///
/// Addresses are `u64` whatever the target's word size: the x86-64 vsyscall page lies above `i64::MAX`, and 32-bit hosts also
/// read 64-bit captures. A range may be empty: the kernel prints such lines while a map changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddrRange {
    start: u64,
    end: u64,
}

impl AddrRange {
    /// The range `start..end`, or `None` if `end` is below `start`.
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start <= end { Some(AddrRange { start, end }) } else { None }
    }

    /// The range of `size` bytes from `start`, or `None` if it would pass the top of the address space.
    pub const fn with_size(start: u64, size: Bytes) -> Option<Self> {
        match start.checked_add(size.0) {
            Some(end) => Some(AddrRange { start, end }),
            None => None,
        }
    }

    /// The first address in the range.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The first address after the range.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// The number of bytes of address space in the range.
    pub const fn size(self) -> Bytes {
        Bytes(self.end - self.start)
    }

    /// Whether the range contains no address.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `address` lies in the range.
    pub const fn contains(self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    /// Whether the two ranges share an address.
    pub const fn overlaps(self, other: AddrRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The part that both ranges contain, or `None` if they share no address.
    pub const fn overlap(self, other: AddrRange) -> Option<Self> {
        if !self.overlaps(other) {
            return None;
        }
        let start = if self.start > other.start { self.start } else { other.start };
        let end = if self.end < other.end { self.end } else { other.end };
        AddrRange::new(start, end)
    }

    /// The smallest range that contains both.
    #[must_use]
    pub const fn hull(self, other: AddrRange) -> Self {
        let start = if self.start < other.start { self.start } else { other.start };
        let end = if self.end > other.end { self.end } else { other.end };
        AddrRange { start, end }
    }

    /// Whether `other` contains every address of this range.
    pub const fn within(self, other: AddrRange) -> bool {
        other.start <= self.start && self.end <= other.end
    }

    /// The smallest range of whole pages that contains this one.
    #[must_use]
    pub const fn of_whole_pages(self, page: PageSize) -> Self {
        let size = page.bytes().0;
        let start = self.start - self.start % size;
        let end = match self.end.checked_next_multiple_of(size) {
            Some(end) => end,
            None => self.end,
        };
        AddrRange { start, end }
    }

    /// The part of this range at or after `address`, or `None` if nothing is left.
    pub const fn from_address(self, address: u64) -> Option<Self> {
        if address >= self.end {
            None
        } else if address <= self.start {
            Some(self)
        } else {
            Some(AddrRange { start: address, end: self.end })
        }
    }

    /// Returns the unmapped gap between this range and a later one, or `None` if they touch, overlap or are out of order.
    ///
    /// A gap that reaches the upper half of the address space doesn't count, because most of it can't be mapped: it is the
    /// kernel's, and Linux lists a gate page there (`[vsyscall]`).
    pub const fn gap_before(self, later: AddrRange) -> Option<Self> {
        const UPPER_HALF: u64 = 1 << 63;
        if self.end < later.start && later.start < UPPER_HALF {
            Some(AddrRange { start: self.end, end: later.start })
        } else {
            None
        }
    }
}

/// `start-end` in lower-case hexadecimal without `0x` and padding, as in the kernel.
impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.start, self.end)
    }
}

impl fmt::Debug for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// As in [`Display`](fmt::Display), because not every reader of JSON keeps numbers above 2^53.
impl Serialize for AddrRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddrRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AddrRange, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let address = |digits| u64::from_str_radix(digits, 16).ok();
        let range =
            text.split_once('-').and_then(|(start, end)| AddrRange::new(address(start)?, address(end)?));
        range.ok_or_else(|| de::Error::custom(format_args!("`{text}` is not an address range")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> AddrRange {
        AddrRange::new(start, end).unwrap()
    }

    #[test]
    fn backward_range_is_refused() {
        assert_eq!(AddrRange::new(2, 1), None);
        assert_eq!(AddrRange::with_size(u64::MAX, Bytes(1)), None);
    }

    #[test]
    fn empty_range_holds_and_overlaps_nothing() {
        let empty = range(5, 5);
        assert!(empty.is_empty());
        assert!(!empty.contains(5));
        assert!(!empty.overlaps(range(5, 6)));
    }

    #[test]
    fn end_is_outside() {
        assert!(range(1, 3).contains(2));
        assert!(!range(1, 3).contains(3));
    }

    #[test]
    fn gap_lies_between_ranges_in_order() {
        assert_eq!(range(1, 3).gap_before(range(5, 6)), Some(range(3, 5)));
        assert_eq!(range(1, 3).gap_before(range(3, 6)), None);
        assert_eq!(range(5, 6).gap_before(range(1, 3)), None);
        assert_eq!(range(1, 3).gap_before(range(1 << 63, u64::MAX)), None);
    }

    #[test]
    fn parts_and_whole_pages() {
        assert_eq!(range(1, 5).overlap(range(3, 9)), Some(range(3, 5)));
        assert_eq!(range(1, 3).overlap(range(3, 9)), None);
        assert_eq!(range(1, 3).hull(range(5, 6)), range(1, 6));
        assert!(range(3, 4).within(range(3, 9)) && !range(2, 4).within(range(3, 9)));
        let page = PageSize::new(4096).unwrap();
        assert_eq!(range(0x1001, 0x2001).of_whole_pages(page), range(0x1000, 0x3000));
        assert_eq!(range(0x1000, 0x2000).of_whole_pages(page), range(0x1000, 0x2000));
        assert_eq!(range(1, u64::MAX).of_whole_pages(page), range(0, u64::MAX));
    }

    #[test]
    fn rest_from_an_address() {
        assert_eq!(range(2, 6).from_address(4), Some(range(4, 6)));
        assert_eq!(range(2, 6).from_address(1), Some(range(2, 6)));
        assert_eq!(range(2, 6).from_address(6), None);
    }
}
