//! Opens saved captures, recognised by their content, not by their name.

mod archive;
mod vmmap;

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::detail::Detail;
use crate::error::{Error, Result};
use crate::linux::{maps::MapsLine, smaps::SmapsReader};
use crate::model::{
    Bytes, Native, PageCounts, PageSize, PrintedSummary, ProcessInfo, Region, SmapsField, region_at,
};
use crate::model::{Capabilities, CaptureFormat, Origin, SourceInfo};
use crate::order::in_order;
use crate::source::{RegionSource, Regions};
use crate::warning::Warning;

pub use archive::write_archive;

/// How many bytes of a file are used to recognise it: enough for a line with a very long path.
const LOOKED_AT: usize = 64 << 10;

/// The first bytes of a gzip file (RFC 1952).
const GZIP: &[u8] = b"\x1f\x8b";

/// Opens a saved capture: the text of `/proc/PID/maps` or `smaps` from any Linux, a report of macOS's `vmmap`, or an archive
/// ([`write_archive`]). Each may be compressed by gzip, as archives are.
///
/// Reads the whole capture. In a text, lines that are not understood, regions out of order and a missing end are warnings.
///
/// # Errors
///
/// [`Error::Io`] if the file can't be read, [`Error::Malformed`] if it is not a capture, or a damaged archive.
pub fn open_file(path: &Path) -> Result<Box<dyn RegionSource>> {
    let io_error = |action| move |source| Error::Io { action, path: path.to_owned(), source };
    let malformed = |problem: &str| Error::Malformed { path: path.to_owned(), problem: problem.to_owned() };
    let mut file = File::open(path).map_err(io_error("open"))?;
    if file.metadata().map_err(io_error("read"))?.is_dir() {
        return Err(malformed("is a directory, not a capture of a memory map"));
    }
    let mut start = Vec::new();
    file.by_ref().take(GZIP.len() as u64).read_to_end(&mut start).map_err(io_error("read"))?;
    let is_compressed = start == GZIP;
    let file = Cursor::new(start).chain(file);
    if is_compressed {
        open_text(path, MultiGzDecoder::new(BufReader::new(file)))
    } else {
        open_text(path, file)
    }
}

/// Opens a capture with the decompressed content `file`.
fn open_text(path: &Path, mut file: impl Read) -> Result<Box<dyn RegionSource>> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Error::Malformed { path: path.to_owned(), problem: format!("is a damaged gzip file: {source}") }
        }
        _ => Error::Io { action: "read", path: path.to_owned(), source },
    };
    let mut start = Vec::new();
    let mut look = |bytes: usize, start: &mut Vec<u8>| {
        file.by_ref().take(bytes as u64).read_to_end(start).map_err(unreadable)
    };
    look(archive::START.len(), &mut start)?;
    if start == archive::START {
        // Damage after the start is reported as damage of the archive.
        let text = BufReader::new(Cursor::new(start).chain(file));
        return Ok(Box::new(archive::read(path, text)?));
    }
    look(LOOKED_AT, &mut start)?;
    match recognise(&start) {
        Recognised::Linux { is_crlf } => {
            let text = Cursor::new(start).chain(file);
            Ok(Box::new(Capture::read_linux(path, text, is_crlf).map_err(unreadable)?))
        }
        Recognised::Vmmap => {
            let mut text = start;
            file.read_to_end(&mut text).map_err(unreadable)?;
            Ok(Box::new(vmmap::read(path, &text)))
        }
        Recognised::Unusable(problem) => {
            Err(Error::Malformed { path: path.to_owned(), problem: problem.to_owned() })
        }
    }
}

enum Recognised {
    Linux { is_crlf: bool },
    Vmmap,
    Unusable(&'static str),
}

/// Recognises a file by its beginning.
fn recognise(start: &[u8]) -> Recognised {
    if start.is_empty() {
        return Recognised::Unusable("is empty");
    }
    let mut lines = start.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let Some(first) = lines.next() else {
        return Recognised::Unusable("has only blank lines");
    };
    let first_region = std::iter::once(first).chain(lines).take(100).find(|line| MapsLine::is_start(line));
    if let Some(region) = first_region {
        let region = region.strip_suffix(b"\r").unwrap_or(region);
        if region.ends_with(b"[rollup]") {
            return Recognised::Unusable(
                "is the text of smaps_rollup, which has totals but no regions: save /proc/PID/smaps instead",
            );
        }
        return Recognised::Linux { is_crlf: first.ends_with(b"\r") };
    }
    if start.split(|&byte| byte == b'\n').any(vmmap::is_characteristic) {
        return Recognised::Vmmap;
    }
    if start.contains(&0) {
        return Recognised::Unusable("is a binary file, not a capture of a memory map");
    }
    Recognised::Unusable("is not a capture of a memory map: it has no line of /proc/PID/maps, smaps or vmmap")
}

/// A saved map that has been read.
struct Capture {
    info: SourceInfo,
    process: ProcessInfo,
    printed: Option<PrintedSummary>,
    regions: Vec<Region>,
    warnings: Vec<Warning>,
}

impl Capture {
    fn read_linux(path: &Path, text: impl Read, is_crlf: bool) -> io::Result<Capture> {
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
        Ok(Capture {
            info: SourceInfo {
                page_size,
                ..SourceInfo::new(
                    Origin::Capture { path: path.to_owned(), format },
                    "linux",
                    Capabilities::of_capture(detail),
                )
            },
            process: ProcessInfo::default(),
            printed: None,
            regions,
            warnings,
        })
    }

    fn region(&self, region: &Region, detail: Detail) -> Region {
        let mut region = region.clone();
        if detail < Detail::Pages {
            region.pages = None;
        }
        match &mut region.native {
            _ if detail >= Detail::Counts => {}
            Native::Linux(native) if detail == Detail::Layout => {
                region.counts = PageCounts::UNMEASURED;
                region.max_protection = None;
                native.smaps = Default::default();
                native.vm_flags = None;
                native.thp_eligible = None;
                native.protection_key = None;
                native.unknown = Default::default();
            }
            Native::Linux(_) => {}
            Native::Macos(native) if detail == Detail::Layout => {
                region.counts = PageCounts::UNMEASURED;
                native.clear_counts();
            }
            Native::Macos(_) => region.counts.dirty = None,
        }
        region
    }
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

impl RegionSource for Capture {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn process(&mut self) -> Result<ProcessInfo> {
        Ok(self.process.clone())
    }

    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>> {
        let detail = detail.min(self.info.capabilities.detail);
        let this = &*self;
        Ok(Regions::new(detail, this.regions.iter().map(move |region| Ok(this.region(region, detail)))))
    }

    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>> {
        Ok(region_at(&self.regions, address).map(|region| self.region(region, detail)))
    }

    fn printed(&self) -> Option<&PrintedSummary> {
        self.printed.as_ref()
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.warnings.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(text: &str) -> Capture {
        Capture::read_linux(Path::new("test"), text.as_bytes(), false).unwrap()
    }

    #[test]
    fn a_file_is_recognised_by_its_content() {
        assert!(matches!(recognise(b"1000-2000 r--p 0 00:00 0\n"), Recognised::Linux { is_crlf: false }));
        assert!(matches!(
            recognise(b"\n\n1000-2000 r--p 0 00:00 0\r\n"),
            Recognised::Linux { is_crlf: true }
        ));
        assert!(matches!(
            recognise(b"$ cat /proc/7/maps\n1000-2000 r--p 0 00:00 0\n"),
            Recognised::Linux { .. }
        ));
        for no_capture in [&b""[..], b"\n \n", b"\x7fELF\0\0", b"hello\n", b"1-2 ---p 0 00:00 0 [rollup]\n"] {
            assert!(matches!(recognise(no_capture), Recognised::Unusable(_)), "{no_capture:?}");
        }
    }

    #[test]
    fn detail_is_a_ceiling() {
        let mut smaps = capture("1000-2000 r--p 0 00:00 0\nRss: 4 kB\nVmFlags: rd\n");
        assert_eq!(smaps.regions(Detail::Pages).unwrap().detail(), Detail::Counts);
        let layout: Vec<_> = smaps.regions(Detail::Layout).unwrap().map(Result::unwrap).collect();
        assert_eq!(layout[0].counts, PageCounts::UNMEASURED);
        let mut maps = capture("1000-2000 r--p 0 00:00 0\n");
        assert_eq!(maps.regions(Detail::Counts).unwrap().detail(), Detail::Layout);
    }

    #[test]
    fn page_size_is_reported_or_inferred_from_the_addresses() {
        let size = |text| capture(text).info.page_size.map(|size| size.bytes().0);
        let huge_and_base = "0-200000 rw-p 0 00:00 0\nKernelPageSize: 2048 kB\n\
                             200000-210000 rw-p 0 00:00 0\nKernelPageSize: 64 kB\n";
        assert_eq!(size(huge_and_base), Some(65536));
        assert_eq!(size("10000-14000 r--p 0 00:00 0\n20000-30000 r--p 0 00:00 0\n"), Some(16384));
        assert_eq!(size("1-2 r--p 0 00:00 0\n"), None);
    }

    #[test]
    fn region_at_looks_inside_ranges_only() {
        let mut capture = capture("1000-2000 r--p 0 00:00 0\n3000-4000 r--p 0 00:00 0\n");
        let mut start =
            |address| capture.region_at(address, Detail::Layout).unwrap().map(|region| region.range.start());
        assert_eq!(start(0x1fff), Some(0x1000));
        assert_eq!(start(0x2000), None);
        assert_eq!(start(0x3000), Some(0x3000));
        assert_eq!(start(0x4000), None);
    }
}
