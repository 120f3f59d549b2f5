//! What the counters of smaps say about a region's memory.

use crate::model::{Bytes, LinuxRegion, PageCounts, SmapsField};

/// The largest usual page of a processor. Regions with larger ones consist of hugetlb pages.
pub(crate) const LARGEST_BASE_PAGE: Bytes = Bytes::from_kib(64);

/// How much of a region is resident, dirty and swapped.
pub(crate) fn of(native: &LinuxRegion) -> PageCounts {
    let smaps = &native.smaps;
    let swapped = smaps.get(SmapsField::Swap);
    if is_uncounted(native) {
        return PageCounts { swapped, ..PageCounts::UNMEASURED };
    }
    PageCounts {
        resident: smaps.get(SmapsField::Rss),
        dirty: smaps.sum(SmapsField::SharedDirty, SmapsField::PrivateDirty),
        swapped,
        proportional: smaps.get(SmapsField::Pss),
        unique: smaps.sum(SmapsField::PrivateClean, SmapsField::PrivateDirty),
    }
}

/// Whether the kernel prints zeros for a region because it doesn't count its hugetlb pages.
///
/// No kernel counts them in `Rss`. Newer ones have them in `Shared_Hugetlb` and `Private_Hugetlb` (Linux 4.4). Before that nothing
/// counts them, and the zeros mean *not measured*. Such kernels have no hugetlb pages as small as a processor's own.
fn is_uncounted(native: &LinuxRegion) -> bool {
    let smaps = &native.smaps;
    let is_measured = |field| smaps.get(field).is_some();
    let is_counted = is_measured(SmapsField::SharedHugetlb) || is_measured(SmapsField::PrivateHugetlb);
    let has_large_pages = smaps.get(SmapsField::KernelPageSize).is_some_and(|size| size > LARGEST_BASE_PAGE);
    !is_counted && (has_large_pages || native.has_flag(b"ht") == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::smaps::SmapsReader;

    fn counts(fields: &str) -> PageCounts {
        let zeros = "Rss: 0 kB\nPrivate_Dirty: 0 kB\nShared_Dirty: 0 kB\nSwap: 0 kB";
        let text = format!("200000-400000 rw-s 0 00:0c 7 /x\n{zeros}\n{fields}\n");
        SmapsReader::new(text.as_bytes()).next_region().unwrap().unwrap().region.counts
    }

    #[test]
    fn hugetlb_pages_are_not_measured_where_the_kernel_does_not_count_them() {
        let zero = Some(Bytes(0));
        for fields in
            ["KernelPageSize: 2048 kB", "KernelPageSize: 64 kB\nVmFlags: rd wr ht", "VmFlags: rd ht"]
        {
            let PageCounts { resident, dirty, swapped, .. } = counts(fields);
            assert_eq!((resident, dirty, swapped), (None, None, zero), "{fields}");
        }
        for fields in [
            "KernelPageSize: 4 kB",
            "KernelPageSize: 64 kB",
            "KernelPageSize: 2048 kB\nPrivate_Hugetlb: 0 kB\nVmFlags: rd ht",
        ] {
            assert_eq!(counts(fields).resident, zero, "{fields}");
        }
    }
}
