//! Converts the kernel's record of a map entry into a [`Region`].

use super::records::{PROC_REGION_SUBMAP, ProcRegionInfo, SubmapInfo64};
use crate::model::{
    AddrRange, Bytes, MacosRegion, Name, Native, PageCounts, PageSize, Protection, Region, ShareMode,
};

/// The kernel's facts about one map entry, in its own units, from whichever call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawRegion {
    pub address: u64,
    pub size: u64,
    /// `VM_PROT_READ` 1, `VM_PROT_WRITE` 2, `VM_PROT_EXECUTE` 4.
    pub protection: u32,
    pub max_protection: u32,
    pub offset: u64,
    pub user_tag: u32,
    pub ref_count: u32,
    pub shadow_depth: u32,
    pub external_pager: bool,
    /// `SM_…` of `mach/vm_region.h`.
    pub share_mode: u8,
    pub is_submap: bool,
    pub depth: u32,
    pub object_id: u64,
    pub flags: u16,
    /// `None` if only the layout was requested.
    pub pages: Option<RawPages>,
}

/// Counts of pages, in the page size of the target's map: 4K for a translated task on a 16K machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawPages {
    pub resident: u32,
    pub dirtied: u32,
    /// In the compressor or on disk: SWAP in vmmap.
    pub swapped_out: u32,
    pub shared_now_private: u32,
    pub reusable: Option<u32>,
    pub wired: Option<u32>,
}

/// The tag of the record that the kernel adds after the last map entry when it accounts by footprint
/// (`vm.self_region_footprint`): memory that is charged to the task and mapped nowhere.
const FOOTPRINT_RECORD_TAG: u32 = u32::MAX;

/// `VM_MEMORY_SHARED_PMAP` and `VM_MEMORY_UNSHARED_PMAP`: the tags of the region that all processes share.
const SHARED_REGION_TAGS: [u32; 2] = [32, 35];

/// Tags of memory that is never purgeable: the small sizes of malloc, which belong to other zones than purgeable ones, and
/// stacks (inferred: no report shows one).
const NEVER_PURGEABLE_TAGS: [u32; 7] = [1, 2, 7, 11, 12, 30, 31];

impl RawRegion {
    /// Converts the full record of `mach_vm_region_recurse`. This kernel filled `count` words of it.
    pub fn from_submap(address: u64, size: u64, info: &SubmapInfo64, depth: u32, count: u32) -> RawRegion {
        let since = |revision: u32, value: u32| (count >= revision).then_some(value);
        RawRegion {
            address,
            size,
            protection: info.protection as u32,
            max_protection: info.max_protection as u32,
            offset: info.offset,
            user_tag: info.user_tag,
            ref_count: info.ref_count,
            shadow_depth: info.shadow_depth.into(),
            external_pager: info.external_pager != 0,
            share_mode: info.share_mode,
            is_submap: info.is_submap != 0,
            depth,
            object_id: if count >= SubmapInfo64::V2_COUNT {
                info.object_id_full
            } else {
                info.object_id.into()
            },
            flags: info.flags,
            pages: Some(RawPages {
                resident: info.pages_resident,
                dirtied: info.pages_dirtied,
                swapped_out: info.pages_swapped_out,
                shared_now_private: info.pages_shared_now_private,
                reusable: since(SubmapInfo64::V1_COUNT, info.pages_reusable),
                wired: since(SubmapInfo64::V3_COUNT, info.pages_wired),
            }),
        }
    }

    /// Converts libproc's record. It does not say whether there is an external pager; an entry with a path is assumed to have
    /// one.
    pub fn from_process(info: &ProcRegionInfo, has_path: bool) -> RawRegion {
        RawRegion {
            address: info.address,
            size: info.size,
            protection: info.protection,
            max_protection: info.max_protection,
            offset: info.offset,
            user_tag: info.user_tag,
            ref_count: info.ref_count,
            shadow_depth: info.shadow_depth,
            external_pager: has_path,
            share_mode: u8::try_from(info.share_mode).unwrap_or(0),
            is_submap: info.flags & PROC_REGION_SUBMAP != 0,
            depth: info.depth,
            object_id: info.obj_id.into(),
            flags: 0,
            pages: Some(RawPages {
                resident: info.pages_resident,
                dirtied: info.pages_dirtied,
                swapped_out: info.pages_swapped_out,
                shared_now_private: info.pages_shared_now_private,
                reusable: None,
                wired: None,
            }),
        }
    }

    /// The addresses of the entry. `None` if its end lies above the top of the address space.
    pub fn range(&self) -> Option<AddrRange> {
        AddrRange::with_size(self.address, Bytes(self.size))
    }

    /// Whether this is the record of memory that is charged and not mapped, which is no map entry.
    pub fn is_footprint_record(&self) -> bool {
        self.user_tag == FOOTPRINT_RECORD_TAG
    }

    /// Whether a look-up may find a path.
    ///
    /// The kernel notes the pager only if it comes across it: for a private mapping of a file whose pages were all written,
    /// it sees the copies. Such a region is copy-on-write and, being made by `mmap`, untagged.
    pub fn may_have_file(&self) -> bool {
        self.depth == 0
            && !self.is_submap
            && (self.external_pager || (self.share() == ShareMode::CopyOnWrite && self.user_tag == 0))
    }

    /// Whether its object can be purgeable. That holds only for a whole object (xnu 11417, `vm_map_purgable_control`) that is
    /// neither copied nor read from a file, so most regions need no query.
    pub fn may_be_purgeable(&self) -> bool {
        !self.external_pager
            && !self.is_submap
            && self.offset == 0
            && self.shadow_depth == 0
            && !NEVER_PURGEABLE_TAGS.contains(&self.user_tag)
            && !matches!(self.share(), ShareMode::CopyOnWrite | ShareMode::Empty)
    }

    /// Who sees a write. A number that this version does not know counts as private, which claims least.
    pub fn share(&self) -> ShareMode {
        match self.share_mode {
            1 => ShareMode::CopyOnWrite,
            3 => ShareMode::Empty,
            4 => ShareMode::Shared,
            5 => ShareMode::TrueShared,
            6 => ShareMode::PrivateAliased,
            7 => ShareMode::SharedAliased,
            8 => ShareMode::LargePage,
            _ => ShareMode::Private,
        }
    }

    /// Converts it into a region; `None` if its addresses are not a range.
    pub fn into_region(self, page_size: PageSize, name: Option<Name>) -> Option<Region> {
        let bytes = |pages: u32| Bytes::from_pages(pages.into(), page_size);
        // A submap at the depth limit has counts of 0, which are not those of its parts.
        let pages = self.pages.filter(|_| !self.is_submap);
        let counts = PageCounts {
            resident: pages.map(|pages| bytes(pages.resident)),
            dirty: pages.map(|pages| bytes(pages.dirtied)),
            swapped: pages.map(|pages| bytes(pages.swapped_out)),
            ..PageCounts::UNMEASURED
        };
        Some(Region {
            range: self.range()?,
            protection: protection(self.protection),
            max_protection: Some(protection(self.max_protection)),
            share: self.share(),
            name,
            offset: self.offset,
            counts,
            pages: None,
            native: Native::Macos(Box::new(MacosRegion {
                user_tag: self.user_tag,
                depth: self.depth,
                ref_count: self.ref_count,
                shadow_depth: self.shadow_depth,
                external_pager: self.external_pager,
                submap: self.is_submap,
                object_id: self.object_id,
                flags: self.flags,
                reusable: pages.and_then(|pages| pages.reusable).map(bytes),
                wired: pages.and_then(|pages| pages.wired).map(bytes),
                shared_cache: (self.is_submap || self.depth > 0)
                    && SHARED_REGION_TAGS.contains(&self.user_tag),
                shared_now_private: pages.map(|pages| bytes(pages.shared_now_private)),
                ..MacosRegion::default()
            })),
        })
    }
}

fn protection(bits: u32) -> Protection {
    Protection::from_rwx(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_size(bytes: u64) -> PageSize {
        PageSize::new(bytes).unwrap()
    }

    #[test]
    fn pages_are_those_of_the_target() {
        let pages =
            RawPages { resident: 3, dirtied: 2, swapped_out: 1, wired: Some(1), ..RawPages::default() };
        let raw = RawRegion { address: 0x4000, size: 0x4000, pages: Some(pages), ..RawRegion::default() };
        let counts = |bytes| raw.into_region(page_size(bytes), None).unwrap().counts;
        assert_eq!(counts(4096).resident, Some(Bytes(3 * 4096)));
        assert_eq!(counts(16384).swapped, Some(Bytes(16384)));
        let region = raw.into_region(page_size(4096), None).unwrap();
        assert_eq!(region.native.macos().unwrap().wired, Some(Bytes(4096)));
        assert_eq!(region.native.macos().unwrap().reusable, None);
    }

    #[test]
    fn what_an_older_kernel_does_not_fill_is_not_zero() {
        let info = SubmapInfo64 {
            pages_reusable: 2,
            object_id: 5,
            object_id_full: 6,
            pages_wired: 3,
            ..SubmapInfo64::default()
        };
        let decoded = |count| {
            let raw = RawRegion::from_submap(0, 4096, &info, 0, count);
            let pages = raw.pages.unwrap();
            (raw.object_id, pages.reusable, pages.wired)
        };
        assert_eq!(decoded(SubmapInfo64::V1_COUNT - 1), (5, None, None));
        assert_eq!(decoded(SubmapInfo64::V1_COUNT), (5, Some(2), None));
        assert_eq!(decoded(SubmapInfo64::V2_COUNT), (6, Some(2), None));
        assert_eq!(decoded(SubmapInfo64::V3_COUNT), (6, Some(2), Some(3)));
    }

    #[test]
    fn what_was_not_asked_is_not_zero() {
        let layout = RawRegion { address: 0x4000, size: 0x4000, ..RawRegion::default() };
        assert_eq!(layout.into_region(page_size(4096), None).unwrap().counts, PageCounts::UNMEASURED);
        let submap = RawRegion { is_submap: true, pages: Some(RawPages::default()), ..layout };
        assert_eq!(submap.into_region(page_size(4096), None).unwrap().counts, PageCounts::UNMEASURED);
    }

    #[test]
    fn a_range_past_the_top_is_no_region() {
        let raw = RawRegion { address: u64::MAX - 1, size: 4096, ..RawRegion::default() };
        assert_eq!(raw.into_region(page_size(4096), None), None);
    }

    #[test]
    fn a_private_file_mapping_that_was_written_is_still_looked_up() {
        let copied = RawRegion { share_mode: 1, ..RawRegion::default() };
        assert!(copied.may_have_file());
        assert!(!RawRegion { user_tag: 7, ..copied }.may_have_file());
        assert!(!RawRegion { depth: 1, ..copied }.may_have_file());
        assert!(RawRegion { external_pager: true, user_tag: 33, ..copied }.may_have_file());
    }
}
