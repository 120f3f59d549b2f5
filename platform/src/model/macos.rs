//! Mach's facts about a region.

use serde::{Deserialize, Serialize};

use super::Bytes;

/// What only Mach reports about a region (`vm_region_submap_info_64` in `mach/vm_region.h`).
///
/// A region of a saved vmmap report has only what vmmap prints. Its [`MacosRegion::printed_type`] is `Some`, and numbers that
/// vmmap does not print are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MacosRegion {
    /// The tag of the allocating call (`VM_MEMORY_…` in `mach/vm_statistics.h`); 0 for none. In a report, the tag whose name
    /// is printed.
    pub user_tag: u32,
    /// The number of submaps around the region; 0 in the task's own map.
    pub depth: u32,
    /// The number of references to the region's object.
    pub ref_count: u32,
    /// The number of objects behind it in the copy-on-write chain, as far as the kernel followed it.
    pub shadow_depth: u32,
    /// Whether a file or another external pager backs it.
    ///
    /// The kernel looks no further than the first object that has the page, so this is `false` for a private mapping of a
    /// file whose pages were all written (xnu 11417, `vm_map_region_look_for_page`). In a report it is inferred in accordance
    /// with vmmap's own total of writable regions: a `mapped file`, or a segment of an image that is copy-on-write or empty.
    pub external_pager: bool,
    /// Whether this is a whole submap that was not entered. Its parts and their counts are unknown.
    #[serde(default)]
    pub submap: bool,
    /// The identity of the region's object; equal for regions with the same object, 0 for none.
    #[serde(default)]
    pub object_id: u64,
    /// `flags` of the kernel's record (macOS 26): 1 for JIT memory, 2 for trusted-path read-only memory. 0 before.
    #[serde(default)]
    pub flags: u16,
    /// Whether the system may discard the pages. `None` for memory that is not purgeable, and if it was not queried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<PurgeState>,
    /// Resident memory that the system may discard at any time. `None` if the purge state was not queried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volatile: Option<Bytes>,
    /// Resident memory of a purgeable object that is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonvolatile: Option<Bytes>,
    /// Address space of a purgeable object whose pages were discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<Bytes>,
    /// Resident, clean, and released by `madvise(MADV_FREE_REUSABLE)`. Not part of the footprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reusable: Option<Bytes>,
    /// Wired down. Only newer kernels report it (revision 3 of the record).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wired: Option<Bytes>,
    /// Copied because this process wrote to them, and so no longer shared with the object behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_now_private: Option<Bytes>,
    /// The Mach-O segment that it is a part of, such as `__TEXT`. The image is the region's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Box<str>>,
    /// Whether it lies in the dyld shared cache, among the images that all processes share.
    ///
    /// Space there that no loaded image covers is unused. vmmap leaves it out, except for pages that this process wrote,
    /// which are regions of their own here. If the images could not be read, this is set for the cache as one submap only.
    #[serde(default)]
    pub shared_cache: bool,
    /// Whether its tag is unknown, because a dump has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_tag: bool,
    /// In a saved vmmap report, the text under `REGION TYPE`. The text under `REGION DETAIL` is the region's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed_type: Option<Box<str>>,
}

impl MacosRegion {
    /// Sets the purge state, and the sizes that follow from it for `resident` bytes of a region of `size`.
    ///
    /// As in vmmap's columns: VOLATILE and NONVOL are the resident sizes of such regions (equal in every report that has
    /// them), EMPTY is their virtual size (inferred: none of it can be resident).
    pub fn set_purge(&mut self, state: Option<PurgeState>, resident: Option<Bytes>, size: Bytes) {
        let only_in = |of, bytes| if state == Some(of) { bytes } else { Some(Bytes::ZERO) };
        self.purge = state;
        self.volatile = only_in(PurgeState::Volatile, resident);
        self.nonvolatile = only_in(PurgeState::Nonvolatile, resident);
        self.empty = only_in(PurgeState::Empty, Some(size));
    }

    /// Resets everything that was counted.
    pub(crate) fn clear_counts(&mut self) {
        self.purge = None;
        self.volatile = None;
        self.nonvolatile = None;
        self.empty = None;
        self.reusable = None;
        self.wired = None;
        self.shared_now_private = None;
    }
}

/// Whether the system may discard the pages of a purgeable region (`VM_PURGABLE_…` in `mach/vm_purgable.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgeState {
    /// In use: the pages stay.
    Nonvolatile,
    /// Not in use: the system may discard the pages at any time.
    Volatile,
    /// The pages were discarded.
    Empty,
}

impl PurgeState {
    /// The letter that vmmap prints after `PURGE=`.
    pub const fn letter(self) -> char {
        match self {
            PurgeState::Nonvolatile => 'N',
            PurgeState::Volatile => 'V',
            PurgeState::Empty => 'E',
        }
    }

    /// The state that vmmap prints as `letter`.
    pub const fn from_letter(letter: u8) -> Option<PurgeState> {
        match letter {
            b'N' => Some(PurgeState::Nonvolatile),
            b'V' => Some(PurgeState::Volatile),
            b'E' => Some(PurgeState::Empty),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purge_columns_follow_the_state() {
        let mut region = MacosRegion::default();
        assert_eq!(region.volatile, None);
        region.set_purge(Some(PurgeState::Nonvolatile), Some(Bytes(4096)), Bytes(8192));
        assert_eq!(
            (region.volatile, region.nonvolatile, region.empty),
            (Some(Bytes(0)), Some(Bytes(4096)), Some(Bytes(0)))
        );
        region.set_purge(Some(PurgeState::Empty), Some(Bytes(0)), Bytes(8192));
        assert_eq!((region.nonvolatile, region.empty), (Some(Bytes(0)), Some(Bytes(8192))));
        region.set_purge(None, Some(Bytes(4096)), Bytes(8192));
        assert_eq!(region.nonvolatile, Some(Bytes(0)));
    }
}
