//! Sums of the sizes that only one system reports.

use mmview_platform::{Bytes, Native};
use serde::{Serialize, Serializer};

use super::Sum;
use crate::field::{Field, NATIVE_SUMS};

/// A sum for each of [`NATIVE_SUMS`]. Those of the other system stay empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NativeSums {
    /// The system of the regions; `None` if there was none.
    os: Option<&'static str>,
    sums: [Sum; NATIVE_SUMS.len()],
}

impl NativeSums {
    /// Adds a region.
    pub fn add(&mut self, native: &Native) {
        self.each(native, Sum::add);
    }

    /// Adds a part of a region. Its share is known only if the whole has nothing.
    pub fn add_part(&mut self, native: &Native) {
        self.each(native, |sum, whole| sum.add_part(whole.filter(|size| *size == Bytes::ZERO), whole));
    }

    fn each(&mut self, native: &Native, add: impl Fn(&mut Sum, Option<Bytes>)) {
        let os = match native {
            Native::Linux(_) => Some("linux"),
            Native::Macos(_) => Some("macos"),
            _ => None,
        };
        self.os = os;
        for (field, sum) in NATIVE_SUMS.into_iter().zip(&mut self.sums) {
            if field.os == os {
                add(sum, field.native(native));
            }
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
