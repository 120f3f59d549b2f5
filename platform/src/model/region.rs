//! One region.

use serde::{Deserialize, Serialize};

use super::{AddrRange, Bytes, Name, Native, PageCounts, PageRun, Protection, ShareMode, SmapsField};

/// A range of addresses that the kernel treats alike: a VMA on Linux, a map entry on macOS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Region {
    /// Its addresses.
    pub range: AddrRange,
    /// Its current protection.
    pub protection: Protection,
    /// The maximum protection that `mprotect` could set. On Linux only smaps has it (`mr`, `mw`, `me`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_protection: Option<Protection>,
    /// Who sees a write to it.
    pub share: ShareMode,
    /// Its name; `None` for anonymous memory without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Where it starts in its file or object, in bytes.
    pub offset: u64,
    /// The sizes of its pages.
    pub counts: PageCounts,
    /// The state of its pages, as runs ordered by address. Pages that are neither in memory nor in swap are in no run. `None`
    /// if it was not requested ([`Detail::Pages`](crate::Detail::Pages)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Box<[PageRun]>>,
    /// The facts that only its system has.
    pub native: Native,
}

/// The region that holds `address`, from regions that are ordered by address and do not overlap. Costs a binary search.
pub(crate) fn region_at(regions: &[Region], address: u64) -> Option<&Region> {
    let after = regions.partition_point(|region| region.range.end() <= address);
    regions.get(after).filter(|region| region.range.contains(address))
}

impl Region {
    /// A region without a name, at offset 0, without counts.
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

    /// Its size in address space.
    pub fn size(&self) -> Bytes {
        self.range.size()
    }

    /// How much address space it takes, if that is known: some captures hide addresses, or list only where regions start. Then its
    /// range is empty.
    pub fn known_size(&self) -> Option<Bytes> {
        let counted = || self.native.linux().and_then(|native| native.smaps.get(SmapsField::Size));
        if self.range.is_empty() { counted() } else { Some(self.range.size()) }
    }

    /// Whether its offset is known. Some listings have none: reports of vmmap, most of pmap's.
    pub fn has_offset(&self) -> bool {
        match &self.native {
            Native::Linux(native) => !native.lacks_offset,
            Native::Macos(native) => native.printed_type.is_none() && !native.lacks_tag,
            Native::Windows(_) => false,
        }
    }

    /// Whether a file in a file system backs it.
    pub fn is_file_backed(&self) -> bool {
        self.name.as_ref().is_some_and(Name::is_file)
    }

    /// Whether it is anonymous memory without a name.
    pub fn is_unnamed(&self) -> bool {
        self.name.is_none()
    }
}
