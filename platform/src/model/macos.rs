//! What Mach says of a region.

use serde::{Deserialize, Serialize};

use super::Bytes;

/// What Mach says of a region beside what every system says (`vm_region_submap_info_64` in `mach/vm_region.h`).
///
/// A region of a saved vmmap report has only what vmmap prints: [`MacosRegion::printed_type`] is `Some` there, and the numbers
/// that it doesn't print are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MacosRegion {
    /// The tag that the allocating call gave (`VM_MEMORY_…` in `mach/vm_statistics.h`); 0 for none. In a report, the tag whose
    /// name is printed, where one is.
    pub user_tag: u32,
    /// How many submaps deep the region lies; 0 is the task's own map.
    pub depth: u32,
    /// How many references the region's object has.
    pub ref_count: u32,
    /// How many objects stand behind it in the copy-on-write chain, as far as the kernel followed it.
    pub shadow_depth: u32,
    /// Whether a file or another external pager backs it.
    ///
    /// The kernel looks no further than the first object that has the page: a private mapping of a file whose every page
    /// was written says `false` (xnu 11417, `vm_map_region_look_for_page`). In a report it is inferred as vmmap's own total
    /// of writable regions needs it: a `mapped file`, or a segment of an image that is copy-on-write or empty.
    pub external_pager: bool,
    /// Whether this is a whole submap that was not entered: its parts and their counts are not known.
    #[serde(default)]
    pub submap: bool,
    /// The region's object, by a number that says only which regions have the same one; 0 for none.
    #[serde(default)]
    pub object_id: u64,
    /// `flags` of the kernel's record (macOS 26): 1 for JIT memory, 2 for trusted-path read-only memory. 0 before.
    #[serde(default)]
    pub flags: u16,
    /// Whether the system may take the pages away; `None` for memory that is not purgeable, and where it wasn't asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<PurgeState>,
    /// Resident memory that the system may take away at any time. `None` where the purge state wasn't asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volatile: Option<Bytes>,
    /// Resident memory of a purgeable object that is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonvolatile: Option<Bytes>,
    /// Address space of a purgeable object whose pages were taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<Bytes>,
    /// Resident, clean, and given back by `madvise(MADV_FREE_REUSABLE)`: not in the footprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reusable: Option<Bytes>,
    /// Wired down. Only newer kernels tell it (revision 3 of the record).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wired: Option<Bytes>,
    /// Copied because this process wrote to them: no longer shared with what stands behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_now_private: Option<Bytes>,
    /// The Mach-O segment that it is a part of, such as `__TEXT`; the image is the region's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Box<str>>,
    /// Whether it lies in the dyld shared cache, among the images that all processes share. What no loaded image's segment
    /// covers there is unused: vmmap leaves it out, but for what lies on pages that this process wrote, which are regions of
    /// their own here. Not said where the images couldn't be read, but of the whole cache as one submap.
    #[serde(default)]
    pub shared_cache: bool,
    /// In a saved vmmap report, what stands under `REGION TYPE`; its `REGION DETAIL` is the region's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed_type: Option<Box<str>>,
}

impl MacosRegion {
    /// Notes the purge state, and what that says of `resident` bytes of a region of `size`.
    ///
    /// vmmap's columns: VOLATILE and NONVOL are what is resident in such regions (equal in every report that has them), EMPTY
    /// is their size (inferred: nothing of them can be resident).
    pub fn set_purge(&mut self, state: Option<PurgeState>, resident: Option<Bytes>, size: Bytes) {
        let only_in = |of, bytes| if state == Some(of) { bytes } else { Some(Bytes::ZERO) };
        self.purge = state;
        self.volatile = only_in(PurgeState::Volatile, resident);
        self.nonvolatile = only_in(PurgeState::Nonvolatile, resident);
        self.empty = only_in(PurgeState::Empty, Some(size));
    }

    /// Forgets everything that was counted.
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

/// Whether the system may take the pages of a purgeable region away (`VM_PURGABLE_…` in `mach/vm_purgable.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgeState {
    /// In use: the pages stay.
    Nonvolatile,
    /// Not in use: the pages may go at any time.
    Volatile,
    /// The pages have gone.
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
