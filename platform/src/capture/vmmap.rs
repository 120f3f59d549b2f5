//! Saved reports of macOS's `vmmap`: the formats 2.0 (Mac OS X 10.4) to 2.4 (macOS 10.12 and later), complete or in part.
//!
//! A report has a header (from about 10.6 on), a listing in one or two sections, and a summary. Each may be missing: `vmmap
//! -summary` has no listing, and a quotation in a bug report may have nothing else. Sizes in the listing are rounded to the
//! digits that vmmap prints. The size of a region is computed from its addresses.

mod header;
mod row;
mod summary;

use std::path::Path;

use self::header::Header;
use self::row::{Columns, Row};
use crate::detail::Detail;
use crate::memory_map::MemoryMap;
use crate::model::{AddrRange, Native, OffMapRow, PageCounts, PrintedSummary, Region};
use crate::model::{Capabilities, CaptureFormat, Origin, SourceInfo, TargetArch};
use crate::order::Order;
use crate::warning::Warning;

/// Whether only a report of vmmap has such a line.
pub(super) fn is_characteristic(line: &[u8]) -> bool {
    let quoted = line.iter().take_while(|byte| matches!(byte, b'>' | b' ' | b'\t')).count();
    let line = &line[quoted..];
    line.starts_with(b"Virtual Memory Map of process ")
        || section(line).is_some()
        || summary::is_start(line)
        || (line.starts_with(b"REGION TYPE") && (line.contains(&b'[') || line.ends_with(b"VIRTUAL")))
        || line.starts_with(b"REGION TYPE                        SIZE")
}

/// The prefix that mail programs and forums put before every quoted line: `> ` and blanks. Empty if only some lines have it.
fn quoting<'a>(lines: &[&'a [u8]]) -> &'a [u8] {
    let Some(first) = lines.iter().position(|line| is_characteristic(line)) else { return &[] };
    let length = lines[first].iter().take_while(|byte| matches!(byte, b'>' | b' ' | b'\t')).count();
    let prefix = &lines[first][..length];
    let is_quoted = |line: &&[u8]| {
        line.starts_with(prefix) || line.trim_ascii_end() == prefix.trim_ascii_end() || line.is_empty()
    };
    if lines[first..].iter().all(is_quoted) { prefix } else { &[] }
}

/// What a section of the listing contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    NonWritable,
    Writable,
    Interleaved,
}

fn section(line: &[u8]) -> Option<Section> {
    let title = line.strip_prefix(b"==== ")?;
    if title.starts_with(b"Non-writable regions for process") {
        Some(Section::NonWritable)
    } else if title.starts_with(b"Writable regions for process") {
        Some(Section::Writable)
    } else if title.starts_with(b"regions for process") {
        Some(Section::Interleaved)
    } else {
        None
    }
}

/// The part of a report that a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    Listing,
    Legend,
    Summary,
}

/// Reads a report line by line.
#[derive(Default)]
struct Report<'a> {
    header: Header,
    columns: Option<Columns>,
    sections: Vec<Section>,
    rows: Vec<Region>,
    off_map: Vec<OffMapRow>,
    summary: Vec<&'a [u8]>,
    malformed: Option<(u64, u64, String)>,
}

impl<'a> Report<'a> {
    fn read(text: &'a [u8]) -> Report<'a> {
        let mut report = Report::default();
        let mut part = Part::Head;
        let lines: Vec<&[u8]> =
            text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        let quoting = quoting(&lines);
        for (number, line) in (1..).zip(lines) {
            part = report.read_line(part, number, line.strip_prefix(quoting).unwrap_or(line));
        }
        report
    }

    /// Adds a line, and returns the part it belongs to.
    fn read_line(&mut self, part: Part, number: u64, line: &'a [u8]) -> Part {
        let trimmed = line.trim_ascii_start();
        if let Some(section) = section(trimmed) {
            self.sections.push(section);
            return Part::Listing;
        }
        if trimmed.starts_with(b"==== Legend") {
            return Part::Legend;
        }
        let starts_summary = part != Part::Summary && (summary::is_start(trimmed) || is_table_head(line));
        if part == Part::Summary || starts_summary {
            if !trimmed.starts_with(b"==== Summary") {
                self.summary.push(line);
            }
            return Part::Summary;
        }
        match part {
            Part::Head if Columns::from_head(trimmed).is_some() => {
                self.read_row(number, line);
                return Part::Listing;
            }
            Part::Head => {
                self.header.read_line(line);
            }
            // Rows without a section: `vmmap PID ADDRESS`, or the neighborhood in a crash report.
            Part::Listing if trimmed.is_empty() && self.sections.is_empty() => return Part::Head,
            Part::Listing => self.read_row(number, line),
            Part::Legend | Part::Summary => {}
        }
        part
    }

    fn read_row(&mut self, number: u64, line: &[u8]) {
        let line = line.trim_ascii_start();
        // An arrow marks the region or hole with the requested address.
        let line = line.strip_prefix(b"--->").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"UNUSED SPACE AT ") || line.starts_with(b"GAP OF ") {
            return;
        }
        if let Some(columns) = Columns::from_head(line) {
            self.columns = Some(columns);
            return;
        }
        match row::parse(line, self.columns.as_ref(), self.header.page_size) {
            Some(Row::Region(region)) => self.rows.push(*region),
            Some(Row::OffMap(row)) => self.off_map.push(row),
            None => {
                let excerpt = || String::from_utf8_lossy(line).chars().take(60).collect();
                let (lines, _, _) = self.malformed.get_or_insert_with(|| (0, number, excerpt()));
                *lines += 1;
            }
        }
    }

    /// Warnings about missing parts.
    fn truncated(&self) -> Option<Warning> {
        let has = |section| self.sections.contains(&section);
        let why = if self.sections.is_empty() && !self.rows.is_empty() {
            Some("it lists only the neighbors of an address")
        } else if self.sections.is_empty() || has(Section::Interleaved) {
            (self.summary.is_empty()).then_some("it ends before its summary")
        } else if !has(Section::NonWritable) {
            Some("it lists only the writable regions")
        } else if !has(Section::Writable) {
            Some("it lists only the non-writable regions")
        } else {
            self.summary.is_empty().then_some("it ends before its summary")
        };
        why.map(|why| Warning::Truncated { why: why.into() })
    }
}

/// The first line of a table without the lines above it, as in crash reports.
fn is_table_head(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.starts_with(b"VIRTUAL") && (line.ends_with(b"REGION") || line.ends_with(b"BYTES"))
        || line.starts_with(b"REGION TYPE") && !line.contains(&b'-') && line.ends_with(b"VIRTUAL")
}

/// Reads a whole report.
pub(super) fn read(path: &Path, text: &[u8]) -> MemoryMap {
    let report = Report::read(text);
    let mut warnings = Vec::new();
    if let Some((lines, first, excerpt)) = report.malformed.clone() {
        warnings.push(Warning::Malformed { lines, first, excerpt });
    }
    warnings.extend(report.truncated());
    let detail = detail(&report.rows);
    let mut order = Order::default();
    let rows = by_address(report.rows);
    let regions = rows.into_iter().filter_map(|region| order.clip(region)).collect();
    warnings.extend(order.warning());
    let printed = (!report.summary.is_empty() || !report.off_map.is_empty())
        .then(|| PrintedSummary { off_map: report.off_map, ..summary::parse(&report.summary) });
    let source = SourceInfo {
        page_size: report.header.page_size,
        arch: report.header.process.code_type.as_deref().and_then(TargetArch::from_code_type),
        ..SourceInfo::new(
            Origin::Capture { path: path.to_owned(), format: CaptureFormat::Vmmap },
            "macos",
            Capabilities::of_capture(detail),
        )
    };
    MemoryMap { printed, warnings, ..MemoryMap::new(source, report.header.process, detail, regions) }
}

/// The highest level of detail of a row. A report without rows has every detail, because none is missing.
fn detail(rows: &[Region]) -> Detail {
    let has = |count: fn(&PageCounts) -> bool| rows.iter().any(|row| count(&row.counts));
    if rows.is_empty() || has(|counts| counts.dirty.is_some()) {
        Detail::Counts
    } else if has(|counts| counts.resident.is_some()) {
        Detail::Resident
    } else {
        Detail::Layout
    }
}

/// Sorts the rows of both sections by address, and removes rows of submaps that are listed with their parts (`-submap`). The
/// parts are one level deeper, and the row of the submap itself would overlap them.
fn by_address(mut rows: Vec<Region>) -> Vec<Region> {
    let is_submap = |region: &Region| region.native.macos().is_some_and(|native| native.submap);
    rows.sort_by_key(|region| (region.range.start(), !is_submap(region)));
    let submaps: Vec<AddrRange> =
        rows.iter().filter(|region| is_submap(region)).map(|region| region.range).collect();
    if submaps.is_empty() {
        return rows;
    }
    let mut entered = vec![false; submaps.len()];
    for region in rows.iter_mut().filter(|region| !is_submap(region)) {
        let around = submaps.partition_point(|submap| submap.end() <= region.range.start());
        if submaps.get(around).is_some_and(|submap| submap.overlaps(region.range)) {
            entered[around] = true;
            if let Native::Macos(native) = &mut region.native {
                native.depth = 1;
            }
        }
    }
    rows.retain(|region| {
        !is_submap(region)
            || !submaps.iter().zip(&entered).any(|(submap, entered)| *entered && *submap == region.range)
    });
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Bytes;

    fn capture(text: &str) -> MemoryMap {
        read(Path::new("test"), text.as_bytes())
    }

    fn starts(capture: &MemoryMap) -> Vec<u64> {
        capture.regions.iter().map(|region| region.range.start()).collect()
    }

    const TWO_SECTIONS: &str = "\
==== Non-writable regions for process 7
REGION TYPE                    START - END         [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SHRMOD PURGE    REGION DETAIL
__TEXT                      1000-2000    [    4K     4K     0K     0K] r-x/r-x SM=COW          /bin/a
STACK GUARD                 9000-a000    [    4K     0K     0K     0K] ---/rwx SM=NUL          stack guard for thread 0
...(snip)...

==== Writable regions for process 7
REGION TYPE                    START - END         [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SHRMOD PURGE    REGION DETAIL
__DATA                      2000-3000    [    4K     4K     4K     0K] rw-/rw- SM=COW          /bin/a

==== Legend
SM=sharing mode:
	COW=copy_on_write PRV=private NUL=empty ALI=aliased

==== Summary for process 7
ReadOnly portion of Libraries: Total=4K resident=4K(100%) swapped_out_or_unallocated=0K(0%)
";

    #[test]
    fn both_sections_are_one_map() {
        let capture = capture(TWO_SECTIONS);
        assert_eq!(starts(&capture), [0x1000, 0x2000, 0x9000]);
        assert_eq!(capture.source.capabilities.detail, Detail::Counts);
        assert!(capture.printed.unwrap().libraries.is_some());
        assert_eq!(
            capture.warnings,
            [Warning::Malformed { lines: 1, first: 5, excerpt: "...(snip)...".to_owned() }]
        );
    }

    #[test]
    fn a_summary_without_regions_is_a_source() {
        let capture = capture(
            "Process:         a [7]\n----\n\n\
             ReadOnly portion of Libraries: Total=4K resident=4K(100%) swapped_out_or_unallocated=0K(0%)\n",
        );
        assert!(capture.regions.is_empty());
        assert_eq!(capture.process.pid, Some(7));
        assert_eq!(capture.printed.unwrap().text.lines().count(), 1);
        assert!(capture.warnings.is_empty());
    }

    #[test]
    fn parts_of_a_submap_take_its_place() {
        let capture = capture(
            "==== regions for process 7  (non-writable and writable regions are interleaved)\n\
             Submap          7000-9000 [ 8K 0K 0K 0K] r--/r-- SM=PRV          process-only VM submap\n\
             shared memory   7000-8000 [ 4K 0K 0K 0K] r--/r-- SM=SHM\n\
             Submap          b000-c000 [ 4K 0K 0K 0K] r-x/r-x SM=PRV          process-only VM submap\n\
             ==== Legend\n",
        );
        assert_eq!(starts(&capture), [0x7000, 0xb000]);
        let native = |index: usize| capture.regions[index].native.macos().unwrap();
        assert_eq!((native(0).depth, native(0).submap), (1, false));
        assert!(native(1).submap);
        assert!(matches!(capture.warnings[..], [Warning::Truncated { .. }]));
    }

    #[test]
    fn the_neighborhood_of_an_address() {
        let capture = capture(
            "VM Region Info: 0x528 is not in any region.  Bytes before following region: 4296030936\n\
             \u{20}     REGION TYPE                    START - END         [ VSIZE] PRT/MAX SHRMOD  REGION DETAIL\n\
             \u{20}     UNUSED SPACE AT START\n\
             --->  \n\
             \u{20}     __TEXT                      100100000-100108000    [   32K] r-x/r-x SM=COW  ...n/a.app/a\n\
             \n\
             Thread 0 Crashed:\n",
        );
        assert_eq!(starts(&capture), [0x1_0010_0000]);
        assert!(matches!(capture.warnings[..], [Warning::Truncated { .. }]));
    }

    #[test]
    fn part_of_a_listing_says_so() {
        let writable = TWO_SECTIONS.split_once("\n==== Writable").unwrap().1;
        let writable = capture(&format!("==== Writable{writable}"));
        assert_eq!(
            writable.warnings,
            [Warning::Truncated { why: "it lists only the writable regions".into() }]
        );
    }

    #[test]
    fn carriage_returns_are_no_part_of_a_name() {
        let capture = capture(&TWO_SECTIONS.replace('\n', "\r\n"));
        assert_eq!(capture.regions[0].name.as_ref().unwrap().bytes(), b"/bin/a");
        assert_eq!(capture.regions[0].counts.resident, Some(Bytes(4096)));
    }

    #[test]
    fn a_quoted_report_reads_as_the_report() {
        let plain = capture(TWO_SECTIONS);
        for quoting in ["> ", "    ", "> > "] {
            let quoted: String = TWO_SECTIONS.lines().map(|line| format!("{quoting}{line}\n")).collect();
            assert!(is_characteristic(quoted.lines().next().unwrap().as_bytes()));
            let quoted = capture(&quoted);
            assert_eq!(quoted.regions, plain.regions);
            assert_eq!(quoted.printed, plain.printed);
        }
    }

    #[test]
    fn characteristic_lines() {
        for line in
            TWO_SECTIONS.lines().filter(|line| line.starts_with("==== Non") || line.starts_with("REGION"))
        {
            assert!(is_characteristic(line.as_bytes()), "{line}");
        }
        assert!(!is_characteristic(b"==== hello"));
        assert!(!is_characteristic(b"1000-2000 r--p 0 00:00 0"));
    }

    /// Lines that resemble those of a report, and lines that do not.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let likely: Vec<&[u8]> = TWO_SECTIONS.lines().map(str::as_bytes).collect();
        prop_oneof![
            proptest::sample::select(likely).prop_map(<[u8]>::to_vec),
            "[A-Z_ ]{1,24} [0-9a-f]{1,17}-[0-9a-f]{1,17} \\[( {0,3}[0-9.]{1,5}[KMGT]?){0,5}\\] [rwx-]{3}/[rwx-]{3} SM=(COW|PRV|ZER|Q)( PURGE=.)?.{0,9}"
                .prop_map(String::into_bytes),
            "[A-Z]{1,5}( {1,9}[0-9]{1,30}[KMGT%]?){0,9}".prop_map(String::into_bytes),
            "(Launch Time|VM page size|Process|Load Address): .{0,30}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..80),
        ]
    }

    proptest! {
        #[test]
        fn any_report_gives_regions_in_order(lines in proptest::collection::vec(line(), 0..40)) {
            let capture = read(Path::new("test"), &lines.join(&b'\n'));
            for pair in capture.regions.windows(2) {
                prop_assert!(pair[0].range.end() <= pair[1].range.start());
            }
        }
    }
}
