//! How much to read of each region.

use serde::{Deserialize, Serialize};

/// How much to read of each region, from cheap to dear; each includes the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Detail {
    /// Addresses, protection and name. Linux: the text of `maps`, 0.3 to 1 µs a region. macOS: one call a region that looks at
    /// no page, and two reads an image for the names of its segments.
    Layout,
    /// With what is resident and swapped.
    Resident,
    /// With what is dirty, proportional, unique, huge, locked, and the flags. Linux: the text of `smaps`, which walks every
    /// page table entry: 3 µs a region and 40 ns a resident page.
    Counts,
    /// With the state of every page.
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
