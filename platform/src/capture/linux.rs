//! Saved texts of `/proc/PID/maps` and `/proc/PID/smaps`, from any Linux.

use std::io::{self, Read};
use std::path::Path;

use crate::detail::Detail;
use crate::linux::smaps::SmapsReader;
use crate::memory_map::MemoryMap;
use crate::model::{
    Bytes, Capabilities, CaptureFormat, Origin, PageCounts, PageSize, ProcessInfo, Region, SmapsField,
    SourceInfo,
};
use crate::order::in_order;

/// Reads a whole text. `is_crlf`: its lines end as on Windows.
pub(super) fn read(path: &Path, text: impl Read, is_crlf: bool) -> io::Result<MemoryMap> {
    let mut reader = SmapsReader::new(text);
    if is_crlf {
        reader.strip_carriage_returns();
    }
    let mut regions = Vec::new();
    while let Some(read) = reader.next_region()? {
        regions.push(read.region);
    }
    let mut warnings = reader.warnings();
    let has_counts = regions.iter().any(|region| region.counts != PageCounts::UNMEASURED);
    let (format, detail) = if has_counts {
        (CaptureFormat::Smaps, Detail::Counts)
    } else {
        (CaptureFormat::Maps, Detail::Layout)
    };
    let page_size = page_size(&regions);
    let (regions, disorder) = in_order(regions);
    warnings.extend(disorder);
    let source = SourceInfo {
        page_size,
        ..SourceInfo::new(
            Origin::Capture { path: path.to_owned(), format },
            "linux",
            Capabilities::of_capture(detail),
        )
    };
    Ok(MemoryMap { warnings, ..MemoryMap::new(source, ProcessInfo::default(), detail, regions) })
}

/// The page size of the machine where a capture was taken: the smallest that a region reports. If none does, the largest
/// usual one that divides every address.
fn page_size(regions: &[Region]) -> Option<PageSize> {
    let reported = regions
        .iter()
        .filter_map(|region| region.native.linux()?.smaps.get(SmapsField::KernelPageSize))
        .filter_map(|Bytes(size)| PageSize::new(size))
        .min();
    if reported.is_some() {
        return reported;
    }
    let alignment = regions
        .iter()
        .filter(|region| !region.range.is_empty())
        .map(|region| region.range.start() | region.range.end())
        .fold(0, |bits, address| bits | address)
        .trailing_zeros();
    (12..u64::BITS).contains(&alignment).then(|| PageSize::new(1 << alignment.min(16))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_size_is_reported_or_inferred_from_the_addresses() {
        let size = |text: &str| {
            read(Path::new("test"), text.as_bytes(), false)
                .unwrap()
                .source
                .page_size
                .map(|size| size.bytes().0)
        };
        let huge_and_base = "0-200000 rw-p 0 00:00 0\nKernelPageSize: 2048 kB\n\
                             200000-210000 rw-p 0 00:00 0\nKernelPageSize: 64 kB\n";
        assert_eq!(size(huge_and_base), Some(65536));
        assert_eq!(size("10000-14000 r--p 0 00:00 0\n20000-30000 r--p 0 00:00 0\n"), Some(16384));
        assert_eq!(size("1-2 r--p 0 00:00 0\n"), None);
    }
}
