//! Finds memory maps in a text of any length, whatever stands around them: a paste, a log, a mail, a crash report.
//!
//! The text is read once, line by line. A [`Part`] is a map in it. A new one begins where addresses fall back, and where rows
//! have another form or another prefix. Lines that are neither a row nor a fact about one are skipped, and counted if they
//! stand inside a map.

mod android;
mod cells;
mod choice;
mod decode;
mod form;
mod gdb;
mod hotspot;
mod json;
mod label;
mod lldb;
mod numa;
mod part;
mod parts;
mod pmap;
mod prefix;
mod table;
mod utf16;

use std::io::{self, Read};
use std::path::Path;

use self::android::Android;
use self::choice::Choice;
use self::form::{Form, Line};
use self::gdb::Gdb;
use self::hotspot::Notes;
use self::json::Json;
use self::lldb::Lldb;
use self::numa::NumaMaps;
use self::part::{Kind, Part};
use self::parts::Parts;
use self::pmap::Pmap;
use self::prefix::Prefix;
use self::table::Table;
use super::vmmap;
use crate::linux::maps::MapsLine;
use crate::linux::parse::lines::Lines;
use crate::memory_map::MemoryMap;
use crate::model::Region;

/// Longer lines are split. The longest path that the kernel prints has 4096 bytes, but a test may print any.
const LONGEST_LINE: usize = 4 << 20;

/// The largest report of vmmap.
const LARGEST_REPORT: u64 = 256 << 20;

/// How many lines before the first characteristic one may belong to a report of vmmap: its header.
const LINES_BEFORE: usize = 64;

/// What begins the crash logs of Java virtual machines.
const CRASH_LOG: &[u8] = b"# A fatal error has been detected by the Java Runtime Environment";

/// What a text has.
pub(super) enum Found {
    /// The map that was asked for, or the one with the most facts.
    Map(Box<MemoryMap>),
    /// It has only so many maps.
    TooFew(usize),
    /// No map, and why.
    Nothing(&'static str),
}

/// Reads a text to its end. `wanted` is the number of the map to return, from 1.
pub(super) fn read(path: &Path, input: impl Read, wanted: Option<usize>) -> io::Result<Found> {
    let decoded = decode::decode(input)?;
    if decoded.is_binary {
        return Ok(Found::Nothing("is a binary file, not a capture of a memory map"));
    }
    let mut lines = Lines::new(decoded.text);
    lines.longest = LONGEST_LINE;
    let mut reader = Reader { marks: decoded.marks, parts: Parts::new(wanted), ..Reader::default() };
    while let Some((number, line)) = lines.next()? {
        if reader.line(number, line) == Step::Report {
            let mut text = reader.before.text();
            // What the buffer has of the rest comes first.
            lines.into_rest().take(LARGEST_REPORT).read_to_end(&mut text)?;
            return Ok(Found::Map(Box::new(vmmap::read(path, &text))));
        }
    }
    let is_cut_off = lines.is_last_line_unfinished;
    Ok(match reader.finish(is_cut_off) {
        Ok(choice) => choice.map(path, wanted),
        Err(why) => Found::Nothing(why),
    })
}

/// How to go on after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Next,
    /// The text is a report of vmmap, which has a reader of its own.
    Report,
}

/// What was taken off the lines of a text.
#[derive(Clone, Debug, Default)]
struct Marks {
    /// The encoding, if it is not UTF-8.
    encoding: Option<&'static str>,
    byte_order_mark: bool,
    carriage_returns: bool,
    colors: bool,
    no_break_spaces: bool,
}

/// The last lines before the one that is read.
#[derive(Debug, Default)]
struct Before {
    lines: std::collections::VecDeque<Vec<u8>>,
}

impl Before {
    fn push(&mut self, line: &[u8]) {
        let mut buffer =
            if self.lines.len() < LINES_BEFORE { None } else { self.lines.pop_front() }.unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(line);
        self.lines.push_back(buffer);
    }

    fn text(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
    }
}

/// Reads a text.
struct Reader {
    marks: Marks,
    forms: Vec<Box<dyn Form>>,
    /// The map that is being read, and those before it.
    part: Option<Part>,
    parts: Parts,
    before: Before,
    /// What a crash log of a Java virtual machine says, once one has begun.
    notes: Option<Notes>,
    /// Whether all lines so far are blank.
    is_blank: bool,
    is_empty: bool,
    scratch: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            marks: Marks::default(),
            forms: vec![
                Box::new(Pmap::default()),
                Box::new(Gdb::default()),
                Box::new(Lldb::default()),
                Box::new(Android::default()),
                Box::new(NumaMaps),
                Box::new(Table::default()),
                Box::new(Json::default()),
            ],
            part: None,
            parts: Parts::default(),
            before: Before::default(),
            notes: None,
            is_blank: true,
            is_empty: true,
            scratch: Vec::new(),
        }
    }
}

/// A row about a region.
enum Row<'a> {
    Kernel(MapsLine<'a>),
    /// A row of the form with this index.
    Form(usize, Box<Region>),
}

impl Row<'_> {
    fn kind(&self) -> Kind {
        match self {
            Row::Kernel(_) => Kind::Kernel,
            Row::Form(index, _) => Kind::Form(*index),
        }
    }
}

impl Reader {
    /// Reads a line.
    fn line(&mut self, number: u64, line: &[u8]) -> Step {
        self.is_empty = false;
        let mut scratch = std::mem::take(&mut self.scratch);
        let line = tidy(line, &mut scratch, &mut self.marks);
        let step = self.tidy_line(number, line);
        self.scratch = scratch;
        step
    }

    fn tidy_line(&mut self, number: u64, line: &[u8]) -> Step {
        if line.trim_ascii().is_empty() {
            self.before.push(line);
            if let Some(part) = &mut self.part {
                part.pause();
            }
            return Step::Next;
        }
        self.is_blank = false;
        if self.part.is_none() {
            self.before.push(line);
            // mmview's own tables look much alike.
            let mut is_of_form = || self.forms.iter_mut().any(|form| form.line(line) != Line::Unknown);
            if vmmap::is_characteristic(line) && !is_of_form() {
                return Step::Report;
            }
        }
        if line.starts_with(CRASH_LOG) {
            self.notes.get_or_insert_default();
        }
        if let Some(notes) = &mut self.notes {
            notes.line(line);
        }
        if self.in_part(number, line) {
            return Step::Next;
        }
        if let Some((offset, row)) = find_row(&mut self.forms, line) {
            let prefix = Prefix::of(&line[..offset]);
            self.begin(number, row, prefix);
            return Step::Next;
        }
        if let Some(part) = &mut self.part {
            part.skip(number, line);
        }
        Step::Next
    }

    /// Reads a line as one of the current part. Returns whether it is.
    fn in_part(&mut self, number: u64, line: &[u8]) -> bool {
        let Some(part) = &mut self.part else { return false };
        let Some(rest) = part.prefix.strip(line) else { return part.wrapped_name(line) };
        let row = match part.kind {
            Kind::Kernel => kernel_row(rest).map(Row::Kernel),
            Kind::Form(index) => match self.forms[index].line(rest) {
                Line::Region(region) => Some(Row::Form(index, region)),
                Line::Known => return true,
                Line::Unknown => None,
            },
        };
        match row {
            Some(row) => {
                if part.continues_with(&row) {
                    part.add(row);
                } else {
                    let prefix = part.prefix.clone();
                    self.begin(number, row, prefix);
                }
                true
            }
            None if rest.trim_ascii().is_empty() => true,
            None => part.fact(number, rest),
        }
    }

    /// Begins a part with its first row.
    fn begin(&mut self, number: u64, row: Row<'_>, prefix: Prefix) {
        if let Some(mut last) = self.part.take() {
            last.end();
            self.parts.add(last);
        }
        let mut part = Part::new(row.kind(), prefix, number);
        if let Kind::Form(index) = part.kind {
            part.process = self.forms[index].process();
        }
        part.add(row);
        self.part = Some(part);
    }

    /// Ends the text. Fails with the reason if it has no map.
    fn finish(mut self, is_cut_off: bool) -> Result<Choice, &'static str> {
        if let Some(mut last) = self.part.take() {
            last.is_line_unfinished = is_cut_off;
            last.end();
            self.parts.add(last);
        }
        let parts = self.parts.into_vec();
        match parts.is_empty() {
            false => Ok(Choice::new(parts, self.forms, self.marks, self.notes)),
            true if self.is_empty => Err("is empty"),
            true if self.is_blank => Err("has only blank lines"),
            true => {
                Err("is not a capture of a memory map: no line of it is a region, in any form that mmview \
                 reads (mmview --help lists them)")
            }
        }
    }
}

/// A line without what terminals and programs have added to it: carriage returns, colors, no-break spaces.
fn tidy<'a>(line: &'a [u8], scratch: &'a mut Vec<u8>, marks: &mut Marks) -> &'a [u8] {
    const NO_BREAK_SPACE: &[u8] = "\u{a0}".as_bytes();
    let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    marks.carriage_returns |= end < line.len();
    let line = &line[..end];
    // Blanks of a file's name stay as they are, unless all blanks of the row were replaced.
    let head = &line[..line.len().min(48)];
    let has_spaces = memchr::memmem::find(head, NO_BREAK_SPACE).is_some();
    // So do control characters of a name. grep erases the rest of the line after each color.
    let has_colors = memchr::memchr(0x1b, head).is_some() || memchr::memmem::find(line, b"\x1b[K").is_some();
    if !has_spaces && !has_colors {
        return line;
    }
    marks.no_break_spaces |= has_spaces;
    marks.colors |= has_colors;
    scratch.clear();
    let mut rest = line;
    while let Some(&byte) = rest.first() {
        if has_spaces && let Some(after) = rest.strip_prefix(NO_BREAK_SPACE) {
            scratch.push(b' ');
            rest = after;
        } else if byte == 0x1b {
            // A control sequence ends with a letter (ECMA-48, 5.4).
            let length = rest.iter().position(u8::is_ascii_alphabetic).map_or(rest.len(), |last| last + 1);
            rest = &rest[length..];
        } else {
            scratch.push(byte);
            rest = &rest[1..];
        }
    }
    scratch
}

/// A line of maps, without what a paste has put behind its name.
fn kernel_row(line: &[u8]) -> Option<MapsLine<'_>> {
    if !line.first().is_some_and(u8::is_ascii_hexdigit) {
        return None;
    }
    let parsed = MapsLine::parse(line)?;
    Some(MapsLine { name: label::tidy(parsed.name, parsed.inode != 0), ..parsed })
}

/// The first row in a line, and where it begins.
fn find_row<'a>(forms: &mut [Box<dyn Form>], line: &'a [u8]) -> Option<(usize, Row<'a>)> {
    // A form that knows a line, such as its head, must not see the rest of it as another line.
    let mut knowing = 0_u32;
    for offset in prefix::starts(line) {
        let rest = &line[offset..];
        if let Some(row) = kernel_row(rest) {
            return Some((offset, Row::Kernel(row)));
        }
        for (index, form) in forms.iter_mut().enumerate() {
            if knowing & (1 << index) != 0 {
                continue;
            }
            match form.line(rest) {
                Line::Region(region) => return Some((offset, Row::Form(index, region))),
                Line::Known => knowing |= 1 << index,
                Line::Unknown => {}
            }
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::detail::Detail;
    use crate::model::{Bytes, NameKind};
    use crate::warning::Warning;

    fn found(text: &[u8], wanted: Option<usize>) -> Found {
        read(Path::new("test"), text, wanted).unwrap()
    }

    /// The map of a text that has one.
    pub(in crate::capture) fn map(text: impl AsRef<[u8]>) -> MemoryMap {
        match found(text.as_ref(), None) {
            Found::Map(map) => *map,
            Found::Nothing(why) => panic!("the text {why}"),
            Found::TooFew(_) => unreachable!("no part is asked for"),
        }
    }

    fn part(text: &str, number: usize) -> MemoryMap {
        let Found::Map(map) = found(text.as_bytes(), Some(number)) else { panic!("no part {number}") };
        *map
    }

    fn ranges(map: &MemoryMap) -> Vec<String> {
        map.regions.iter().map(|region| region.range.to_string()).collect()
    }

    fn names(map: &MemoryMap) -> Vec<String> {
        let name = |region: &Region| {
            let name = region.name.as_ref().map(|name| String::from_utf8_lossy(name.bytes()).into_owned());
            name.unwrap_or_default()
        };
        map.regions.iter().map(name).collect()
    }

    const MAP: &str = "\
00400000-00401000 r-xp 00000000 08:01 7                                  /bin/x
00601000-00602000 rw-p 00001000 08:01 7                                  /bin/x
01000000-01021000 rw-p 00000000 00:00 0                                  [heap]
";

    const COUNTED: &str = "\
00400000-00401000 r-xp 00000000 08:01 7                                  /bin/x
Size:                  4 kB
Rss:                   4 kB
Pss:                   4 kB
Swap:                  0 kB
01000000-01021000 rw-p 00000000 00:00 0                                  [heap]
Size:                132 kB
Rss:                  64 kB
Pss:                  64 kB
Swap:                  0 kB
";

    const ROLLUP: &str = "\
00400000-01021000 ---p 00000000 00:00 0                                  [rollup]
Rss:                  68 kB
Pss:                  68 kB
Swap:                  0 kB
";

    #[test]
    fn a_plain_map_has_no_warnings() {
        let map = map(MAP);
        assert_eq!(names(&map), ["/bin/x", "/bin/x", "[heap]"]);
        assert_eq!((map.warnings.as_slice(), map.detail), (&[][..], Detail::Layout));
    }

    #[test]
    fn totals_are_no_region_wherever_they_stand() {
        for text in [[COUNTED, ROLLUP].concat(), [ROLLUP, COUNTED].concat(), [MAP, ROLLUP].concat()] {
            let map = map(&text);
            assert!(!names(&map).contains(&"[rollup]".to_owned()), "{text}");
            assert_eq!(map.process.totals.resident, Some(Bytes(68 << 10)));
            assert_eq!(map.warnings, []);
        }
    }

    #[test]
    fn totals_alone_are_shown_as_the_summary_of_a_report() {
        let map = map(ROLLUP);
        assert!(map.regions.is_empty());
        assert!(map.printed.unwrap().text.starts_with("Rss:                     68 kB\n"));
    }

    #[test]
    fn the_map_with_the_most_facts_is_chosen() {
        for (text, shown) in
            [([MAP, COUNTED].concat(), 2), ([COUNTED, MAP].concat(), 1), ([MAP, MAP].concat(), 1)]
        {
            let map = map(&text);
            let is_parts = |warning: &Warning| matches!(warning, Warning::Parts { parts: 2, shown: number, .. } if *number == shown);
            assert!(map.warnings.iter().any(is_parts), "{:?}", map.warnings);
            assert_eq!(map.regions.len(), if text == [MAP, MAP].concat() { 3 } else { 2 });
        }
    }

    #[test]
    fn another_map_can_be_asked_for() {
        let text = [MAP, "PID 8:\n", COUNTED].concat();
        assert_eq!((part(&text, 1).regions.len(), part(&text, 1).detail), (3, Detail::Layout));
        assert_eq!((part(&text, 2).regions.len(), part(&text, 2).warnings), (2, vec![]));
        assert!(matches!(found(text.as_bytes(), Some(3)), Found::TooFew(2)));
    }

    #[test]
    fn many_maps_take_little_memory_and_the_best_one_stays() {
        let many = |rows: usize| -> String {
            (0..rows)
                .map(|row| format!("{:x}-{:x} rw-p 0 00:00 0\n", (row + 1024) << 12, (row + 1025) << 12))
                .collect()
        };
        let text = [many(1000).repeat(100), COUNTED.to_owned(), many(1000).repeat(100)].concat();
        let best = map(&text);
        assert_eq!(best.regions.len(), 2);
        assert!(
            matches!(best.warnings[..], [Warning::Parts { parts: 201, shown: 101, .. }]),
            "{:?}",
            best.warnings
        );
        for number in [1, 50, 201] {
            assert_eq!(part(&text, number).regions.len(), 1000, "{number}");
        }
        let lines: Vec<String> = many(60_000).lines().rev().map(str::to_owned).collect();
        assert_eq!(map(lines.join("\n") + "\n").regions.len(), 60_000);
    }

    #[test]
    fn a_map_that_is_not_in_order_is_one() {
        let lines: Vec<&str> = MAP.lines().rev().collect();
        let map = map(lines.join("\n") + "\n");
        assert_eq!(map.regions.len(), 3);
        assert_eq!(map.warnings, [Warning::Unsorted { regions: 2 }]);
    }

    #[test]
    fn two_processes_without_a_common_address_are_two_maps() {
        let other = MAP
            .replace("00400000-00401000", "00300000-00301000")
            .replace("00601", "00302")
            .replace("00602", "00303");
        let other = other.replace("01000000-01021000", "00310000-00331000");
        assert_eq!(map([MAP, &other].concat()).regions.len(), 3);
    }

    #[test]
    fn a_region_that_grew_while_it_was_listed_begins_no_map() {
        let map = map("1000-3000 r--p 0 00:00 0\n2000-6000 rw-p 5000 08:01 7 /x\n7000-8000 r--p 0 00:00 0\n");
        assert_eq!(ranges(&map), ["1000-3000", "3000-6000", "7000-8000"]);
        assert!(matches!(map.warnings[..], [Warning::Torn { .. }]));
    }

    #[test]
    fn the_marks_of_a_paste_change_nothing() {
        let plain = map(COUNTED).regions;
        let each = |before: &str| COUNTED.lines().map(|line| format!("{before}{line}\n")).collect::<String>();
        let numbered = |write: fn(usize, &str) -> String| {
            COUNTED.lines().enumerate().map(|(index, line)| write(index + 1, line)).collect::<String>()
        };
        for (text, what) in [
            (each("> "), "the prefix `>`"),
            (each("    "), "the indent"),
            (each("\t"), "the indent"),
            (each("| "), "the prefix `|`"),
            (each("> > "), "the prefix `> >`"),
            (each("/proc/7/smaps:"), "prefixes like `/proc/7/smaps:`"),
            (
                each("06-01 12:34:56.789  1234  1240 F DEBUG   : "),
                "prefixes like `06-01 12:34:56.789  1234  1240 F DEBUG   :`",
            ),
            (each("Jun  1 12:34:56 host app[77]: "), "prefixes like `Jun  1 12:34:56 host app[77]:`"),
            (each("2024-06-01T12:34:56.789012345Z "), "prefixes like `2024-06-01T12:34:56.789012345Z`"),
            (numbered(|number, line| format!("{number:6}\t{line}\n")), "the line numbers"),
            (numbered(|number, line| format!("{number}:{line}\n")), "prefixes like `1:`"),
            (COUNTED.replace('\n', "\r\n"), "carriage returns"),
            (COUNTED.replace('\n', "\r\r\n"), "carriage returns"),
            (COUNTED.replace('\n', "\r"), "carriage returns"),
            (format!("\u{feff}{COUNTED}"), "a byte order mark"),
            (COUNTED.replace("00 r", "00\u{a0}r"), "no-break spaces"),
            (COUNTED.replace("00400000", "\u{1b}[01;31m00400000\u{1b}[m"), "colors"),
        ] {
            let map = map(&text);
            assert_eq!(map.regions, plain, "{text}");
            assert_eq!(map.warnings, [Warning::Cleaned { what: what.to_owned() }], "{text}");
        }
        let upper = COUNTED.replace("00401000", "0040100A").replace("00400000", "0040000A");
        assert_eq!(ranges(&map(&upper))[0], "40000a-40100a");
    }

    #[test]
    fn a_map_is_found_far_down_and_the_lines_around_it_are_no_part_of_it() {
        let log: String = (0..5000).map(|number| format!("12:00 step {number}: done\n")).collect();
        let map = map([&log, MAP, "Thanks!\n", "12:00 VmRSS:  7 kB\n"].concat());
        assert_eq!(map.regions.len(), 3);
        assert_eq!(map.warnings, []);
    }

    #[test]
    fn a_name_that_was_wrapped_belongs_to_the_region_before_it() {
        let text = "1000-2000 r--s 00000000 00:0d 8032                       \n anon_inode:bpf-map\n\
                    3000-4000 r-xp 00000000 08:01 77\n/usr/lib/libx.so\n5000-6000 rw-p 0 00:00 0\n[heap]\n\
                    6000-7000 rw-p 0 00:00 0\n/usr is full\n8000-9000 rw-p 0 00:00 0\n";
        let map = map(text);
        assert_eq!(names(&map), ["anon_inode:bpf-map", "/usr/lib/libx.so", "[heap]", "", ""]);
        assert!(
            matches!(&map.warnings[..], [Warning::Malformed { lines: 1, first: 8, .. }]),
            "{:?}",
            map.warnings
        );
    }

    #[test]
    fn prose_between_rows_is_counted_and_cuts_nothing_off() {
        let text = COUNTED.replace("01000000", "Question: why is this so big?\nanon_inode:bpf-map\n01000000");
        let map = map(&text);
        let native = map.regions[0].native.linux().unwrap();
        assert!(native.unknown.is_empty());
        assert_eq!(
            map.warnings,
            [Warning::Malformed { lines: 2, first: 6, excerpt: "Question: why is this so big?".into() }]
        );
    }

    #[test]
    fn what_was_written_behind_labels_is_no_part_of_them() {
        let map = map("1000-2000 rw-p 0 00:00 0 [heap]  \n3000-4000 rw-p 0 00:00 0 [stack]\t\n\
                       5000-6000 rw-s 0 00:01 5 /memfd:x (deleted) \n7000-8000 rw-p 0 08:01 5 /tmp/x  \n");
        assert_eq!(names(&map), ["[heap]", "[stack]", "/memfd:x", "/tmp/x  "]);
        assert_eq!(map.regions[2].name.as_ref().unwrap().kind(), NameKind::MemoryObject);
    }

    #[test]
    fn blanks_behind_every_path_are_no_part_of_them() {
        let map = map(
            "1000-2000 r--p 0 08:01 7 /bin/x  \n2000-3000 r--p 0 08:01 8 /bin/y  \n3000-4000 rw-p 0 00:00 0  \n",
        );
        assert_eq!(names(&map), ["/bin/x", "/bin/y", ""]);
        assert!(matches!(map.warnings[..], [Warning::Cleaned { .. }]));
    }

    #[test]
    fn hidden_addresses_are_no_disorder() {
        let map = map(
            "00000000-00000000 r-xp 00000000 08:01 7 /bin/x\n00000000-00000000 rw-p 00000000 00:00 0 [heap]\n",
        );
        assert_eq!(map.regions.len(), 2);
        assert_eq!(map.warnings, [Warning::HiddenAddresses]);
    }

    #[test]
    fn a_text_without_a_map_says_why() {
        for (text, why) in [
            ("", "is empty"),
            ("\n \n", "has only blank lines"),
            ("hello\n", "is not a capture"),
            ("\x7fELF\0\0", "is a binary"),
        ] {
            let Found::Nothing(problem) = found(text.as_bytes(), None) else { panic!("{text}") };
            assert!(problem.starts_with(why), "{problem}");
        }
    }

    #[test]
    fn a_report_of_vmmap_is_found_behind_other_lines() {
        let report =
            "Process:         a [7]\nPath:            /bin/a\n----\n\nVirtual Memory Map of process 7 (a)\n";
        let map = map(["prose\n".repeat(1000).as_str(), report].concat());
        assert_eq!((map.source.os, map.process.pid), ("macos", Some(7)));
    }

    #[test]
    fn page_size_is_reported_or_inferred_from_the_addresses() {
        let size = |text: &str| map(text).source.page_size.map(|size| size.bytes().0);
        let huge_and_base = "0-200000 rw-p 0 00:00 0\nKernelPageSize: 2048 kB\n\
                             200000-210000 rw-p 0 00:00 0\nKernelPageSize: 64 kB\n";
        assert_eq!(size(huge_and_base), Some(65536));
        assert_eq!(size("0-200000 rw-p 0 00:00 0\nKernelPageSize: 2048 kB\n"), None);
        assert_eq!(size("10000-14000 r--p 0 00:00 0\n20000-30000 r--p 0 00:00 0\n"), Some(16384));
        assert_eq!(size("1-2 r--p 0 00:00 0\n"), None);
    }
}
