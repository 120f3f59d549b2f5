//! Listings of lldb: `memory region --all`, and `memory region` row by row.

use super::cells::{self, Cells};
use super::form::{Form, Line};
use crate::model::{AddrRange, Device, LinuxRegion, ProcessInfo, Protection, Region, ShareMode};

/// Listings of lldb.
#[derive(Debug, Default)]
pub(super) struct Lldb {
    process: Option<ProcessInfo>,
    has_rows: bool,
}

impl Form for Lldb {
    fn line(&mut self, line: &[u8]) -> Line {
        let line = line.trim_ascii_start();
        if line.starts_with(b"[0x") {
            return match row(line) {
                Some(row) => {
                    self.has_rows = true;
                    row
                }
                None => Line::Unknown,
            };
        }
        if let Some(pid) = stopped(line) {
            self.process = Some(ProcessInfo { pid: Some(pid), ..ProcessInfo::default() });
            return Line::Known;
        }
        let is_fact = self.has_rows && FACTS.iter().any(|fact| line.starts_with(fact));
        if is_fact || is_command(line) { Line::Known } else { Line::Unknown }
    }

    fn id(&self) -> &'static str {
        "lldb"
    }

    fn lack(&self) -> Option<&'static str> {
        Some(
            "lldb shows inaccessible regions without a name as it shows gaps, so neither are in the map; it doesn't show which \
             regions are shared, and none is taken for shared",
        )
    }

    fn process(&self) -> Option<ProcessInfo> {
        self.process.clone()
    }
}

/// What may follow a row.
const FACTS: [&[u8]; 4] = [
    b"Modified memory (dirty) page list provided",
    b"Dirty pages: 0x",
    b"memory tagging: ",
    b"shadow stack: ",
];

/// A row. One without access and name is a gap, or can't be told from one.
fn row(line: &[u8]) -> Option<Line> {
    let mut cells = Cells::new(line);
    let range = cells.next()?.strip_prefix(b"[")?.strip_suffix(b")")?;
    let hyphen = memchr::memchr(b'-', range)?;
    let range = AddrRange::new(cells::prefixed(&range[..hyphen])?, cells::prefixed(&range[hyphen + 1..])?)?;
    let protection = protection(cells.next()?)?;
    let name = cells::name(without_segment(cells.rest()), Device::default());
    if protection.is_none() && name.is_none() {
        return Some(Line::Known);
    }
    let region = cells::region(
        range,
        protection,
        ShareMode::Unknown,
        LinuxRegion { lacks_offset: true, ..LinuxRegion::default() },
    );
    Some(Line::Region(Box::new(Region { name, ..region })))
}

/// The letters; lldb writes `?` for an access that it doesn't know.
fn protection(letters: &[u8]) -> Option<Protection> {
    let is_unknown = letters.len() == 3 && letters.contains(&b'?');
    if is_unknown { Some(Protection::UNKNOWN) } else { cells::protection(letters) }
}

/// The name without the segment of the image, which follows it: `/bin/a PT_LOAD[0]`.
fn without_segment(text: &[u8]) -> &[u8] {
    let trimmed = text.trim_ascii_end();
    let start = trimmed.iter().rposition(|byte| *byte == b' ').map_or(0, |blank| blank + 1);
    let is_segment = trimmed[start..].starts_with(b"PT_") && trimmed.ends_with(b"]");
    if is_segment { text[..start].trim_ascii_end() } else { text }
}

/// The process in `Process 42 stopped`.
fn stopped(line: &[u8]) -> Option<u32> {
    let pid = line.strip_prefix(b"Process ")?.trim_ascii_end().strip_suffix(b" stopped")?;
    cells::decimal(pid)?.try_into().ok()
}

/// The command itself, as a terminal shows it.
fn is_command(line: &[u8]) -> bool {
    line.strip_prefix(b"(lldb) ").is_some_and(|command| command.starts_with(b"memory region"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Vec<String>, Lldb, Vec<String>) {
        let mut form = Lldb::default();
        let (mut regions, mut unknown) = (Vec::new(), Vec::new());
        for line in text.lines() {
            match form.line(line.as_bytes()) {
                Line::Region(region) => regions.push(format!(
                    "{} {} {}",
                    region.range,
                    region.protection,
                    region.name.map_or("-".into(), |name| format!("{name:?}"))
                )),
                Line::Known => {}
                Line::Unknown => unknown.push(line.to_owned()),
            }
        }
        (regions, form, unknown)
    }

    #[test]
    fn a_linux_process() {
        let (regions, form, unknown) = read(
            "Process 13735 stopped\n(lldb) memory region --all\n\
             [0x0000000000000000-0x00005573e96e9000) ---\n\
             [0x00005573e96e9000-0x00005573e96eb000) r-- /usr/bin/a b PT_LOAD[0]\n\
             [0x00005573e96eb000-0x00005573e96f0000) r-x /usr/bin/a b PT_LOAD[12]\n\
             [0x00005573e96f0000-0x00005573e96f2000) rw-\nmemory tagging: enabled\n\
             [0x00005573e96f2000-0x00005573e96f3000) --- /tmp/x (deleted)\n\
             [0x00005573e96f3000-0x00005573e96f4000) r?? [heap]\n\
             Modified memory (dirty) page list provided, 1 entries.\nDirty pages: 0x5573e96f3000.\n\
             [0x00007fff179ad000-0xffffffffffffffff) ---\n",
        );
        assert_eq!(
            regions,
            [
                "5573e96e9000-5573e96eb000 r-- File(\"/usr/bin/a b\")",
                "5573e96eb000-5573e96f0000 r-x File(\"/usr/bin/a b\")",
                "5573e96f0000-5573e96f2000 rw- -",
                "5573e96f2000-5573e96f3000 --- File(\"/tmp/x\" (deleted))",
                "5573e96f3000-5573e96f4000 ??? Kernel(\"[heap]\")",
            ]
        );
        assert_eq!(unknown, [""; 0]);
        assert_eq!(form.process().unwrap().pid, Some(13735));
    }

    #[test]
    fn segments_of_macos() {
        let (regions, ..) = read("[0x0000000100000000-0x0000000100004000) r-x __TEXT\n");
        assert_eq!(regions, ["100000000-100004000 r-x Other(\"__TEXT\")"]);
    }

    #[test]
    fn what_is_no_row() {
        for line in [
            "[0x1000-0x2000] r-x",
            "[0x2000-0x1000) r-x",
            "[0x1000-0x2000)",
            "[0x1000-0x2000) rwxp",
            "Dirty pages: 0x1000.",
            "Process 12 exited with status = 0",
        ] {
            assert_eq!(Lldb::default().line(line.as_bytes()), Line::Unknown, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_fine(lines in proptest::collection::vec(prop_oneof![
            r"\[0x[0-9a-f]{1,17}-0x[0-9a-f]{1,17}\) [rwx?-]{3}( .{0,9})?( PT_[A-Z]{0,3}\[?[0-9]{0,3}\]?)?".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..80),
        ], 0..9)) {
            let mut form = Lldb::default();
            for line in lines {
                form.line(&line);
            }
        }
    }
}
