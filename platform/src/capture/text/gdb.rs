//! Listings of gdb: `info proc mappings`.
//!
//! gdb 12 added the permissions. gdb 17 aligns on the left and calls the last column `File`. Of a core file gdb lists the notes
//! about mapped files, without permissions.

use super::cells::{self, Cells};
use super::form::{Form, Line};
use crate::model::{AddrRange, Device, LinuxRegion, ProcessInfo, Protection, Region, ShareMode};

/// Longer lines are no heads of columns.
const LONGEST_HEAD: usize = 200;

/// Listings of gdb.
#[derive(Debug, Default)]
pub(super) struct Gdb {
    process: Option<ProcessInfo>,
    has_rows: bool,
    lacks_permissions: bool,
    /// Whether a blank follows every column.
    has_blanks_at_end: bool,
}

impl Form for Gdb {
    fn line(&mut self, line: &[u8]) -> Line {
        let mut cells = Cells::new(line);
        let Some(first) = cells.next() else { return Line::Unknown };
        if first.starts_with(b"0x") {
            let line = if self.has_blanks_at_end { line.strip_suffix(b" ").unwrap_or(line) } else { line };
            let Some((region, has_permissions)) = row(line) else { return Line::Unknown };
            self.has_rows = true;
            self.lacks_permissions |= !has_permissions;
            return Line::Region(Box::new(region));
        }
        if first == b"process" {
            let Some(pid) = cells.next().and_then(cells::decimal) else { return Line::Unknown };
            if cells.next().is_some() {
                return Line::Unknown;
            }
            self.process =
                pid.try_into().ok().map(|pid| ProcessInfo { pid: Some(pid), ..ProcessInfo::default() });
            return Line::Known;
        }
        if let Some(fact) = self.fact(line) {
            return fact;
        }
        if is_head(line) {
            self.has_blanks_at_end = line.trim_ascii_end().ends_with(b"Perms File");
            return Line::Known;
        }
        Line::Unknown
    }

    fn id(&self) -> &'static str {
        "gdb"
    }

    fn lack(&self) -> Option<&'static str> {
        self.lacks_permissions.then_some("gdb shows no protections before version 12, and none of core files")
    }

    fn process(&self) -> Option<ProcessInfo> {
        self.process.clone()
    }
}

impl Gdb {
    /// Reads what `info proc` says of the process before its map.
    fn fact(&mut self, line: &[u8]) -> Option<Line> {
        let process = self.process.as_mut().filter(|_| !self.has_rows)?;
        let value = |key: &[u8]| {
            let rest = line.trim_ascii().strip_prefix(key)?.strip_prefix(b" = '")?;
            rest.strip_suffix(b"'").map(Box::<[u8]>::from)
        };
        if let Some(path) = value(b"exe") {
            process.path = Some(path);
        } else if let Some(command) = value(b"cmdline") {
            process.command = command.split(|byte| *byte == b' ').map(Box::from).collect();
        } else {
            value(b"cwd")?;
        }
        Some(Line::Known)
    }
}

/// A row, and whether it has permissions.
fn row(line: &[u8]) -> Option<(Region, bool)> {
    let mut cells = Cells::new(line);
    let mut next = || cells.next();
    let start = cells::prefixed(next()?)?;
    let end = cells::prefixed(next()?)?;
    let size = cells::prefixed(next()?)?;
    // Old versions print `0` without a prefix.
    let offset = next()?;
    let offset = if offset == b"0" { 0 } else { cells::prefixed(offset)? };
    let range = AddrRange::new(start, end).filter(|range| range.size().0 == size)?;
    let permissions = cells.clone().next().and_then(cells::permissions);
    if permissions.is_some() {
        cells.next();
    }
    let (protection, share) = permissions.unwrap_or((Protection::UNKNOWN, ShareMode::Unknown));
    let region = cells::region(range, protection, share, LinuxRegion::default());
    let name = cells::name(cells.rest(), Device::default());
    Some((Region { name, offset, ..region }, permissions.is_some()))
}

/// Whether a line stands above the rows. A paste may have put something before it.
fn is_head(line: &[u8]) -> bool {
    let has = |words: &[u8]| memchr::memmem::find(line, words).is_some();
    line.len() <= LONGEST_HEAD
        && (line.trim_ascii_end().ends_with(b"Mapped address spaces:")
            || (has(b"Start Addr") && has(b"End Addr") && has(b"Size") && has(b"Offset")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Vec<String>, Gdb, Vec<String>) {
        let mut form = Gdb::default();
        let (mut regions, mut unknown) = (Vec::new(), Vec::new());
        for line in text.lines() {
            match form.line(line.as_bytes()) {
                Line::Region(region) => regions.push(format!(
                    "{} {} {} {:x} {}",
                    region.range,
                    region.protection,
                    region.share.code(),
                    region.offset,
                    region.name.map_or("-".into(), |name| format!("{name:?}"))
                )),
                Line::Known => {}
                Line::Unknown => unknown.push(line.to_owned()),
            }
        }
        (regions, form, unknown)
    }

    const OLD: &str = "\
process 5409
cmdline = '/opt/bin/stack7 -x'
cwd = '/opt/bin'
exe = '/opt/bin/stack7'
Mapped address spaces:

\tStart Addr   End Addr       Size     Offset objfile
\t 0x8048000  0x8049000     0x1000          0\t/opt/bin/stack7
\t0xb7e96000 0xb7e97000     0x1000        0x0 \n\t0xb7fe2000 0xb7fe3000     0x1000     0x1000 [vdso]
";

    #[test]
    fn old_listings_have_no_permissions() {
        let (regions, form, unknown) = read(OLD);
        assert_eq!(
            regions,
            [
                "8048000-8049000 ??? ??? 0 File(\"/opt/bin/stack7\")",
                "b7e96000-b7e97000 ??? ??? 0 -",
                "b7fe2000-b7fe3000 ??? ??? 1000 Kernel(\"[vdso]\")",
            ]
        );
        assert_eq!(unknown, [""]);
        assert!(form.lack().is_some());
        let process = form.process().unwrap();
        assert_eq!((process.pid, process.path.as_deref()), (Some(5409), Some(&b"/opt/bin/stack7"[..])));
        assert_eq!(process.command.len(), 2);
    }

    #[test]
    fn new_listings_have_them() {
        let (regions, form, unknown) = read(
            "process 2897541\nMapped address spaces:\n\n          Start Addr           End Addr       Size     Offset  Perms  objfile\n\
             \x20     0x56391c442000     0x56391c447000     0x5000     0x2000  r-xp   /usr/bin/a b\n\
             \x20     0x56391c447000     0x56391c449000     0x2000        0x0  rw-s   /memfd:x (deleted)\n\
             \x20     0x56391c449000     0x56391c44a000     0x1000        0x0  ---p   \n\
             \x20 0xffffffffff600000 0xffffffffff601000     0x1000        0x0  --xp   [vsyscall]\n",
        );
        assert_eq!(
            regions,
            [
                "56391c442000-56391c447000 r-x PRV 2000 File(\"/usr/bin/a b\")",
                "56391c447000-56391c449000 rw- SHM 0 MemoryObject(\"/memfd:x\")",
                "56391c449000-56391c44a000 --- PRV 0 -",
                "ffffffffff600000-ffffffffff601000 --x PRV 0 Kernel(\"[vsyscall]\")",
            ]
        );
        assert_eq!((unknown, form.lack()), (vec![String::new()], None));
    }

    #[test]
    fn the_newest_align_on_the_left() {
        let (regions, _, unknown) = read(
            "Start Addr         End Addr           Size               Offset             Perms File \n\
             0x0000000000010000 0x0000000000013000 0x3000             0x0                r--p  /bin/login \n\
             0x0000000000013000 0x0000000000022000 0xf000             0x0                ---p   \n",
        );
        assert_eq!(regions, ["10000-13000 r-- PRV 0 File(\"/bin/login\")", "13000-22000 --- PRV 0 -"]);
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn what_is_no_row() {
        for line in [
            "0x1000 0x2000 0x3000 0x0 r-xp /bin/x",
            "0x2000 0x1000 0x1000 0x0 r-xp /bin/x",
            "0x1000 0x2000 0x1000",
            "0x1000: 0x2000 0x1000 0x0",
            "0x7fffffffe000:\t0x00000000\t0x00000001\t0x00000000\t0x00000000",
            "process of 12",
            "process 12 exited",
            "exe = '/bin/x'",
        ] {
            assert_eq!(Gdb::default().line(line.as_bytes()), Line::Unknown, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_fine(lines in proptest::collection::vec(prop_oneof![
            "(0x[0-9a-f]{1,17} ?){1,5} ([rwxps-]{4})? .{0,9}".prop_map(String::into_bytes),
            "(process|exe|cmdline) = '?.{0,9}'?".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..80),
        ], 0..9)) {
            let mut form = Gdb::default();
            for line in lines {
                form.line(&line);
            }
        }
    }
}
