//! Sizes in bytes.

use std::fmt;
use std::iter::Sum;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign};

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

/// A size in bytes. Every size is converted to this unit where it is read.
///
/// Sums saturate, so a capture with absurd sizes has an absurd total and never an overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Bytes = Bytes(0);

    /// `count` units of 1024 bytes, which are `kB` in `/proc`.
    pub const fn from_kib(count: u64) -> Bytes {
        Bytes(count.saturating_mul(1024))
    }

    /// `count` pages of `page_size`.
    pub const fn from_pages(count: u64, page_size: PageSize) -> Bytes {
        Bytes(count.saturating_mul(page_size.0.get()))
    }

    /// This size minus `other`, but not below zero.
    pub const fn saturating_sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }
}

impl From<u64> for Bytes {
    fn from(bytes: u64) -> Bytes {
        Bytes(bytes)
    }
}

impl Add for Bytes {
    type Output = Bytes;

    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        *self = *self + other;
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Bytes>>(sizes: I) -> Bytes {
        sizes.fold(Bytes::ZERO, Add::add)
    }
}

/// The size of a page in bytes, a power of two. 4K, 16K and 64K are in use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageSize(#[serde(deserialize_with = "power_of_two")] NonZeroU64);

fn power_of_two<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU64, D::Error> {
    let bytes = u64::deserialize(deserializer)?;
    let size = PageSize::new(bytes).map(|PageSize(size)| size);
    size.ok_or_else(|| de::Error::custom(format_args!("{bytes} is not a page size")))
}

impl PageSize {
    /// A page of `bytes`, or `None` if that is not a power of two.
    pub const fn new(bytes: u64) -> Option<PageSize> {
        match NonZeroU64::new(bytes) {
            Some(bytes) if bytes.is_power_of_two() => Some(PageSize(bytes)),
            _ => None,
        }
    }

    /// The size as [`Bytes`].
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0.get())
    }
}

impl fmt::Debug for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageSize({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate() {
        assert_eq!(Bytes(u64::MAX) + Bytes(1), Bytes(u64::MAX));
        assert_eq!(Bytes::from_kib(u64::MAX), Bytes(u64::MAX));
    }

    #[test]
    fn page_size_is_a_power_of_two() {
        assert_eq!(PageSize::new(0), None);
        assert_eq!(PageSize::new(12288), None);
        assert_eq!(PageSize::new(16384).map(PageSize::bytes), Some(Bytes(16384)));
    }
}
