//! Sums of the sizes that only one system reports.

use mmview_platform::{Bytes, Native};
use serde::{Serialize, Serializer};

use super::Sum;
use crate::field::{Field, NATIVE_SUMS};

/// The value of each of [`NATIVE_SUMS`] for a region. Read once, because a region counts in several sums.
pub struct NativeSizes {
    os: &'static str,
    sizes: [Option<Bytes>; NATIVE_SUMS.len()],
}

impl NativeSizes {
    /// What its system reports about a region.
    pub fn of(native: &Native) -> NativeSizes {
        let os = if native.macos().is_some() { "macos" } else { "linux" };
        NativeSizes { os, sizes: NATIVE_SUMS.map(|field| field.native(native)) }
    }
}

/// A sum for each of [`NATIVE_SUMS`]. Those of the other system stay unmeasured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NativeSums {
    /// The system of the regions; `None` if there was none.
    os: Option<&'static str>,
    sums: [Sum; NATIVE_SUMS.len()],
}

impl NativeSums {
    /// Adds a region.
    pub fn add(&mut self, region: &NativeSizes) {
        self.os = Some(region.os);
        for (sum, size) in self.sums.iter_mut().zip(region.sizes) {
            sum.add(size);
        }
    }

    /// Adds a part of a region. Its share is known only if the whole has nothing.
    pub fn add_part(&mut self, region: &NativeSizes) {
        self.os = Some(region.os);
        for (sum, whole) in self.sums.iter_mut().zip(region.sizes) {
            sum.add_part(whole.filter(|size| *size == Bytes::ZERO), whole);
        }
    }

    /// The sum of a size; `None` if these regions don't have it.
    pub fn get(&self, field: &Field) -> Option<Sum> {
        let index = NATIVE_SUMS.iter().position(|other| *other == field)?;
        (self.os.is_some() && field.os == self.os).then(|| self.sums[index])
    }
}

/// A map from names to sums, without the sizes of the other system.
impl Serialize for NativeSums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sums = NATIVE_SUMS.iter().filter_map(|field| Some((field.id, self.get(field)?)));
        serializer.collect_map(sums)
    }
}
