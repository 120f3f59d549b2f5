//! mmview's own archives. They keep everything that a source reported, as facts, so a later mmview on another system can
//! explain them again.
//!
//! The format is JSON, one record a line, compressed by gzip. The first record identifies the file and its version. Then come
//! the process, the summary of a saved vmmap report, the regions by address, what the memory showed, the warnings, and an end
//! with the number of regions. Fields may be added within a version; a reader ignores unknown ones. A new record, or a new value where only
//! certain values are allowed, needs a new version.
//!
//! gzip rather than zstd, because every Mac and every Python has it, it includes a checksum, and a well-maintained
//! implementation needs no C compiler. 40,117 regions (31.7 MB of JSON) take 528 KB and 79 ms to read. `ruzstd`, zstd without
//! C, takes 1,207 KB and 138 ms; zstd itself 403 KB.

use std::borrow::Cow;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::detail::Detail;
use crate::error::{Error, Result};
use crate::memory_map::MemoryMap;
use crate::model::{Capabilities, CaptureFormat, Findings, Origin, SourceInfo, TargetArch};
use crate::model::{PageSize, PrintedSummary, ProcessInfo, Region, time};
use crate::order::in_order;
use crate::warning::Warning;

/// The newest version that can be read.
const VERSION: u32 = 3;

/// The oldest version that has all that is to be written. Version 2 has findings; version 3 has protections that are unknown, and
/// warnings about texts.
fn version(map: &MemoryMap) -> u32 {
    let is_of_text = |warning: &Warning| {
        matches!(
            warning,
            Warning::Parts { .. }
                | Warning::Cleaned { .. }
                | Warning::Incomplete { .. }
                | Warning::Missing { .. }
                | Warning::HiddenAddresses
        )
    };
    let is_unknown = |region: &Region| !region.protection.is_known();
    if map.warnings.iter().any(is_of_text) || map.regions.iter().any(is_unknown) {
        3
    } else if map.findings != Findings::default() {
        2
    } else {
        1
    }
}

/// The beginning of every archive after decompression.
pub(super) const START: &[u8] = b"{\"mmview-archive\":";

/// The maximum length of a record. The longest known ones are the command line and a region with the states of a million
/// pages.
const LONGEST_RECORD: u64 = 256 << 20;

/// A line of an archive.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Record<'a> {
    MmviewArchive(Head<'a>),
    Process(Box<Cow<'a, ProcessInfo>>),
    Printed(Cow<'a, PrintedSummary>),
    Region(Cow<'a, Region>),
    Findings(Box<Cow<'a, Findings>>),
    Warning(Cow<'a, Warning>),
    End { regions: usize },
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    version: u32,
    os: Cow<'a, str>,
    page_size: Option<PageSize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arch: Option<TargetArch>,
    #[serde(with = "time")]
    taken: Option<SystemTime>,
    detail: Detail,
    regions: usize,
}

/// Only the version, which every version of the format has.
#[derive(Deserialize)]
struct Versioned {
    #[serde(rename = "mmview-archive")]
    head: Version,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Writes everything in `map`. [`open_file`](crate::open_file) reads it on any system.
///
/// Costs about 8 µs a region.
///
/// # Errors
///
/// Those of `out`.
pub fn write_archive(map: &MemoryMap, out: &mut dyn Write) -> io::Result<()> {
    let mut out = GzEncoder::new(out, Compression::default());
    let mut write = |record: &Record<'_>| {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if line.len() as u64 > LONGEST_RECORD {
            let text = "a record is too long for an archive: use a lower level of detail";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        out.write_all(&line)
    };
    let has_findings = map.findings != Findings::default();
    write(&Record::MmviewArchive(Head {
        version: version(map),
        os: map.source.os.into(),
        page_size: map.source.page_size,
        arch: map.source.arch,
        taken: map.taken,
        detail: map.detail,
        regions: map.regions.len(),
    }))?;
    write(&Record::Process(Box::new(Cow::Borrowed(&map.process))))?;
    if let Some(printed) = &map.printed {
        write(&Record::Printed(Cow::Borrowed(printed)))?;
    }
    for region in &map.regions {
        write(&Record::Region(Cow::Borrowed(region)))?;
    }
    if has_findings {
        write(&Record::Findings(Box::new(Cow::Borrowed(&map.findings))))?;
    }
    for warning in &map.warnings {
        write(&Record::Warning(Cow::Borrowed(warning)))?;
    }
    write(&Record::End { regions: map.regions.len() })?;
    out.finish()?;
    Ok(())
}

/// Reads an archive. A damaged one is an error: unlike a text, an archive says how much belongs to it, and half a map that
/// looks complete gives wrong answers.
pub(super) fn read(path: &Path, text: impl BufRead) -> Result<MemoryMap> {
    let mut reading = ArchiveReader { path, text, line: 0, regions: 0, expected: None };
    let Some(Record::MmviewArchive(head)) = reading.next()? else {
        return Err(reading.damaged("its first record is not a header"));
    };
    reading.expected = Some(head.regions);
    let os = match &*head.os {
        "linux" => "linux",
        "macos" => "macos",
        "windows" => "windows",
        "other" => "other",
        other => return Err(reading.damaged(format_args!("it is from an unknown system, `{other}`"))),
    };
    let source = SourceInfo {
        taken: head.taken,
        page_size: head.page_size,
        arch: head.arch,
        ..SourceInfo::new(
            Origin::Capture { path: path.to_owned(), format: CaptureFormat::Archive },
            os,
            Capabilities::of_capture(head.detail),
        )
    };
    let empty = MemoryMap::new(source, ProcessInfo::default(), head.detail, Vec::new());
    let mut map = MemoryMap { taken: head.taken, ..empty };
    loop {
        match reading.next()? {
            Some(Record::Process(process)) => map.process = process.into_owned(),
            Some(Record::Printed(printed)) => map.printed = Some(printed.into_owned()),
            Some(Record::Region(region)) => {
                reading.regions += 1;
                map.regions.push(region.into_owned());
            }
            Some(Record::Findings(findings)) => map.findings = findings.into_owned(),
            Some(Record::Warning(warning)) => map.warnings.push(warning.into_owned()),
            Some(Record::End { regions }) if regions == reading.regions => break,
            Some(Record::End { regions }) => {
                let listed = reading.regions;
                return Err(reading
                    .damaged(format_args!("its end record counts {regions} regions, but it has {listed}")));
            }
            Some(Record::MmviewArchive(_)) => return Err(reading.damaged("it contains a second header")),
            None => return Err(reading.damaged(reading.cut_off())),
        }
    }
    // The checksum follows the last record, so it is only checked by reading on.
    if reading.next()?.is_some() {
        return Err(reading.damaged("it has data after its end record"));
    }
    let (regions, disorder) = in_order(map.regions);
    map.regions = regions;
    map.warnings.extend(disorder);
    Ok(map)
}

/// An archive while it is read.
struct ArchiveReader<'a, T> {
    path: &'a Path,
    text: T,
    line: u64,
    regions: usize,
    expected: Option<usize>,
}

impl<T: BufRead> ArchiveReader<'_, T> {
    fn next(&mut self) -> Result<Option<Record<'static>>> {
        let mut line = Vec::new();
        self.line += 1;
        let read = self.text.by_ref().take(LONGEST_RECORD).read_until(b'\n', &mut line);
        match read.map_err(|error| self.unreadable(error))? {
            0 => return Ok(None),
            _ if line.pop() != Some(b'\n') => return Err(self.damaged(self.cut_off())),
            _ => {}
        }
        if self.line == 1
            && let Ok(Versioned { head: Version { version } }) = serde_json::from_slice(&line)
            && version > VERSION
        {
            let problem = format!(
                "is an archive of version {version}, but this mmview reads only up to version {VERSION}: use a newer mmview"
            );
            return Err(Error::Malformed { path: self.path.to_owned(), problem });
        }
        serde_json::from_slice(&line)
            .map(Some)
            .map_err(|error| self.damaged(format_args!("record {} is not understood: {error}", self.line)))
    }

    /// The error of a failure to decompress: the file is damaged, or can't be read.
    fn unreadable(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(self.cut_off()),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                self.damaged(format_args!("it can't be decompressed after record {}: {error}", self.line - 1))
            }
            _ => Error::Io { action: "read", path: self.path.to_owned(), source: error },
        }
    }

    fn cut_off(&self) -> String {
        match self.expected {
            Some(expected) if self.regions < expected => {
                format!("it is cut off after {} of {expected} regions", self.regions)
            }
            Some(_) => "it is cut off after its last region".to_owned(),
            None => "it is cut off before its first record ends".to_owned(),
        }
    }

    fn damaged(&self, problem: impl std::fmt::Display) -> Error {
        Error::Malformed { path: self.path.to_owned(), problem: format!("is a damaged archive: {problem}") }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use flate2::read::MultiGzDecoder;

    use super::*;
    use crate::capture::{open_file, saved::Saved, text};
    use crate::options::OpenOptions;
    use crate::source::RegionSource;

    fn written(map: &MemoryMap) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_archive(map, &mut bytes).unwrap();
        bytes
    }

    fn read_back(bytes: &[u8]) -> Result<MemoryMap> {
        let text = io::BufReader::new(MultiGzDecoder::new(Cursor::new(bytes)));
        Saved(read(Path::new("test"), text)?).read(Detail::Pages)
    }

    /// Changes the text of an archive, and reads it back without compression.
    fn changed(map: &MemoryMap, change: impl FnOnce(String) -> String) -> Result<MemoryMap> {
        let mut text = String::new();
        MultiGzDecoder::new(&*written(map)).read_to_string(&mut text).unwrap();
        Saved(read(Path::new("test"), change(text).as_bytes())?).read(Detail::Pages)
    }

    fn problem(result: Result<MemoryMap>) -> String {
        result.map(|_| ()).unwrap_err().to_string()
    }

    fn capture(text: &str) -> MemoryMap {
        text::tests::map(text)
    }

    fn two_regions() -> MemoryMap {
        capture("1000-2000 r--p 0 08:01 7 /tmp/x\n3000-4000 rw-p 0 00:00 0\n")
    }

    #[test]
    fn a_map_of_any_system_comes_back() {
        for os in ["linux", "macos", "windows", "other"] {
            let mut map = two_regions();
            map.source.os = os;
            assert_eq!(read_back(&written(&map)).unwrap().source.os, os);
        }
    }

    #[test]
    fn every_capture_comes_back_as_it_was() {
        let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures"));
        let mut count = 0;
        for system in ["linux", "macos"] {
            for entry in fixtures.join(system).read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|extension| extension == "md") {
                    continue;
                }
                let before = open_file(&path, &OpenOptions::new()).unwrap().read(Detail::Pages).unwrap();
                let after = read_back(&written(&before)).unwrap();
                assert_eq!(after.regions, before.regions, "{}", path.display());
                assert_eq!(after.process, before.process);
                assert_eq!(after.printed, before.printed);
                assert_eq!(after.warnings, before.warnings);
                assert_eq!(after.detail, before.detail);
                assert_eq!(after.source.page_size, before.source.page_size);
                assert_eq!(after.source.arch, before.source.arch);
                assert_eq!((after.source.os, after.taken), (before.source.os, before.taken));
                count += 1;
            }
        }
        assert!(count > 5);
    }

    #[test]
    fn times_come_back_to_the_nanosecond() {
        let time = |seconds: u64, nanoseconds| {
            Some(SystemTime::UNIX_EPOCH + std::time::Duration::new(seconds, nanoseconds))
        };
        let mut before = two_regions();
        before.taken = time(1_795_500_000, 123_456_789);
        before.process.started = time(1_795_400_000, 10_000_000);
        let after = read_back(&written(&before)).unwrap();
        assert_eq!((after.taken, after.process.started), (before.taken, before.process.started));
    }

    #[test]
    fn an_archive_cut_off_anywhere_is_refused() {
        let bytes = written(&two_regions());
        for end in 0..bytes.len() {
            assert!(read_back(&bytes[..end]).is_err(), "cut off after {end} of {} bytes", bytes.len());
        }
        assert!(read_back(&bytes).is_ok());
    }

    #[test]
    fn a_changed_byte_is_noticed_or_changes_nothing() {
        let map = two_regions();
        let bytes = written(&map);
        // The ten bytes of the gzip header are not part of the content, and neither are some padding bits before the
        // checksum.
        let mut unnoticed = 0;
        for place in 10..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            if let Ok(read) = read_back(&damaged) {
                assert_eq!(read.regions, map.regions, "byte {place} of {}", bytes.len());
                unnoticed += 1;
            }
        }
        assert!(unnoticed <= 1);
    }

    #[test]
    fn damage_is_named() {
        let map = two_regions();
        let lines = |text: &str, keep: usize| text.split_inclusive('\n').take(keep).collect::<String>();
        let cut = problem(changed(&map, |text| lines(&text, 3)));
        assert!(cut.ends_with("is a damaged archive: it is cut off after 1 of 2 regions"), "{cut}");
        let garbled = problem(changed(&map, |text| text.replace("1000-2000", "2000-1000")));
        assert!(
            garbled.contains("record 3 is not understood: `2000-1000` is not an address range"),
            "{garbled}"
        );
        let missing = problem(changed(&map, |text| {
            text.split_inclusive('\n').filter(|line| !line.contains("3000-4000")).collect()
        }));
        assert!(missing.contains("its end record counts 2 regions, but it has 1"), "{missing}");
        let twice = problem(changed(&map, |text| format!("{text}{text}")));
        assert!(twice.contains("it has data after its end record"), "{twice}");
        let newer = problem(changed(&map, |text| text.replace("\"version\":1", "\"version\":4,\"new\":[]")));
        assert!(newer.contains("of version 4, but this mmview reads only up to version 3"), "{newer}");
    }

    #[test]
    fn what_an_older_version_lacks_raises_the_version() {
        let quoted = capture("> 1000-2000 r--p 0 08:01 7 /tmp/x\n");
        let gdb = capture(
            "          Start Addr   End Addr       Size     Offset objfile\n  0x10000000 0x10001000 0x1000 0x0 /bin/x\n",
        );
        for (map, expected) in [(&two_regions(), 1), (&quoted, 3), (&gdb, 3)] {
            assert_eq!(version(map), expected, "{map:?}");
            let after = read_back(&written(map)).unwrap();
            assert_eq!((after.regions, after.warnings), (map.regions.clone(), map.warnings.clone()));
        }
    }

    #[test]
    fn fields_of_a_later_version_are_ignored() {
        let read =
            changed(&two_regions(), |text| text.replace("\"offset\":", "\"color\":\"red\",\"offset\":"));
        assert_eq!(read.unwrap().regions, two_regions().regions);
    }
}
