//! How much to read of each region.

use serde::{Deserialize, Serialize};

/// How much to read of each region, from cheap to expensive. Each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Detail {
    /// Addresses, protection and name. Linux: the text of `maps`, 0.3 to 1 µs a region. macOS: one call a region, which looks
    /// at no page, and two reads an image for the names of its segments.
    Layout,
    /// Also the resident and swapped sizes.
    Resident,
    /// Also the dirty, proportional, unique, huge and locked sizes, and the flags. Linux: the text of `smaps`, which walks
    /// every page table entry: 3 µs a region and 40 ns a resident page.
    Counts,
    /// Also the state of every page.
    Pages,
}

impl Detail {
    /// The identifier in machine formats.
    pub const fn id(self) -> &'static str {
        match self {
            Detail::Layout => "layout",
            Detail::Resident => "resident",
            Detail::Counts => "counts",
            Detail::Pages => "pages",
        }
    }
}
