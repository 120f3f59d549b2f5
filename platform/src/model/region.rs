//! One region.

use serde::{Deserialize, Serialize};

use super::{AddrRange, Bytes, Name, Native, PageCounts, PageRun, Protection, ShareMode};

/// A range of addresses that the kernel treats alike: a VMA on Linux, a map entry on macOS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Region {
    /// Where it lies.
    pub range: AddrRange,
    /// What may be done with it now.
    pub protection: Protection,
    /// The most that `mprotect` could allow. Linux says so in smaps only (`mr`, `mw`, `me`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_protection: Option<Protection>,
    /// Who sees a write to it.
    pub share: ShareMode,
    /// What it is called; `None` for anonymous memory that nobody named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Where in its file or object it starts, in bytes.
    pub offset: u64,
    /// How much of it is in memory.
    pub counts: PageCounts,
    /// The state of its pages, by runs in order of address; pages of which nothing is in memory or in swap are in no run.
    /// `None` where it wasn't asked ([`Detail::Pages`](crate::Detail::Pages)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Box<[PageRun]>>,
    /// What only its system says of it.
    pub native: Native,
}

/// Of `regions`, which come by address and don't overlap, the one that holds `address`. Costs a binary search.
pub(crate) fn region_at(regions: &[Region], address: u64) -> Option<&Region> {
    let after = regions.partition_point(|region| region.range.end() <= address);
    regions.get(after).filter(|region| region.range.contains(address))
}

impl Region {
    /// A region without a name, at offset 0, of which nothing was counted.
    pub fn new(range: AddrRange, protection: Protection, share: ShareMode, native: Native) -> Region {
        Region {
            range,
            protection,
            max_protection: None,
            share,
            name: None,
            offset: 0,
            counts: PageCounts::UNMEASURED,
            pages: None,
            native,
        }
    }

    /// How many bytes of address space it covers.
    pub fn size(&self) -> Bytes {
        self.range.size()
    }

    /// Whether a file in a file system backs it.
    pub fn is_file_backed(&self) -> bool {
        self.name.as_ref().is_some_and(Name::is_file)
    }

    /// Whether it is anonymous memory that nobody named.
    pub fn is_unnamed(&self) -> bool {
        self.name.is_none()
    }
}
