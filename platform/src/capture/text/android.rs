//! Memory maps in Android's tombstones and crash logs.
//!
//! Since Android 5 a row has an offset and a size in hexadecimal, and on 64-bit systems an apostrophe within its addresses.
//! Older ones have a size in decimal. The end of a row's range is the last byte in it.

use super::cells::{self, Cells};
use super::form::{Form, Line};
use crate::model::{AddrRange, Device, LinuxRegion, Name, ProcessInfo, Region, ShareMode};

/// Marks the row with the address of the fault, and the address itself if it is in none.
const FAULT: &[u8] = b"--->";

/// What a line starts with that belongs to a map and is no row.
const FACTS: [&[u8]; 4] =
    [b"Fault address falls at ", b"(no map below)", b"(no map above)", b"(no map for address)"];

/// What the line above a map has in it.
const HEADS: [&[u8]; 3] = [b"memory map:", b"memory map (", b"memory map around "];

/// Longer lines are no heads.
const LONGEST_HEAD: usize = 200;

/// Memory maps in tombstones.
#[derive(Debug, Default)]
pub(super) struct Android {
    process: Option<ProcessInfo>,
    has_rows: bool,
}

impl Form for Android {
    fn line(&mut self, line: &[u8]) -> Line {
        let line = line.trim_ascii_start();
        let unmarked = line.strip_prefix(FAULT).unwrap_or(line);
        let Some(first) = unmarked.first() else { return Line::Unknown };
        if first.is_ascii_hexdigit()
            && let Some(region) = row(unmarked)
        {
            self.has_rows = true;
            return Line::Region(Box::new(region));
        }
        if let Some(process) = process(line) {
            self.process = Some(process);
            return Line::Known;
        }
        if let Some(process) = &mut self.process
            && !self.has_rows
            && let Some(command) = line.strip_prefix(b"Cmdline: ")
        {
            process.command = Cells::new(command).map(Box::from).collect();
            return Line::Known;
        }
        let has = |words: &&[u8]| memchr::memmem::find(line, words).is_some();
        let is_known = FACTS.iter().any(|fact| unmarked.starts_with(fact))
            || (line.len() <= LONGEST_HEAD && HEADS.iter().any(has));
        if is_known { Line::Known } else { Line::Unknown }
    }

    fn id(&self) -> &'static str {
        "tombstone"
    }

    fn lack(&self) -> Option<&'static str> {
        Some("a tombstone doesn't show which regions are shared, and none is taken for shared")
    }

    fn process(&self) -> Option<ProcessInfo> {
        self.process.clone()
    }
}

/// A row of either form.
fn row(line: &[u8]) -> Option<Region> {
    let mut cells = Cells::new(line);
    let range = cells.next()?;
    let hyphen = memchr::memchr(b'-', range)?;
    let last = address(&range[hyphen + 1..])?;
    let range = AddrRange::new(address(&range[..hyphen])?, last.checked_add(1)?)?;
    let protection = cells::protection(cells.next()?)?;
    let first = cells.next()?;
    let mut after = cells.clone();
    let second = after.next().and_then(cells::hexadecimal);
    let offset = if second == Some(range.size().0) {
        cells = after;
        Some(cells::hexadecimal(first)?)
    } else {
        // The old form has no offset.
        cells::decimal(first).filter(|size| *size == range.size().0)?;
        None
    };
    let (name, build_id) = name(cells.rest());
    let native = LinuxRegion {
        build_id: build_id.map(Into::into),
        lacks_offset: offset.is_none(),
        ..LinuxRegion::default()
    };
    Some(Region {
        name,
        offset: offset.unwrap_or(0),
        ..cells::region(range, protection, ShareMode::Unknown, native)
    })
}

/// An address, which may have an apostrophe after its upper half: `0000007a'12345000`.
fn address(digits: &[u8]) -> Option<u64> {
    match memchr::memchr(b'\'', digits) {
        None => (digits.len() >= 8).then(|| cells::hexadecimal(digits))?,
        Some(at) => {
            let (upper, lower) = (&digits[..at], &digits[at + 1..]);
            let upper = cells::hexadecimal(upper).filter(|upper| *upper <= u32::MAX.into())?;
            (lower.len() == 8).then(|| cells::hexadecimal(lower))?.map(|lower| upper << 32 | lower)
        }
    }
}

/// The name, and the build ID of the image behind it. Tombstones also add where it was to be loaded.
fn name(text: &[u8]) -> (Option<Name>, Option<&str>) {
    let (text, _) = remark(text, b"(load bias 0x");
    let (text, build_id) = remark(text, b"(BuildId: ");
    let build_id = build_id.filter(|id| !id.is_empty() && id.iter().all(u8::is_ascii_hexdigit));
    (cells::name(text, Device::default()), build_id.and_then(|id| std::str::from_utf8(id).ok()))
}

/// Takes a remark in brackets off the end of a name.
fn remark<'a>(text: &'a [u8], start: &[u8]) -> (&'a [u8], Option<&'a [u8]>) {
    let found = || {
        let inner = text.trim_ascii_end().strip_suffix(b")")?;
        let at = memchr::memmem::rfind(inner, start)?;
        Some((text[..at].strip_suffix(b" ").unwrap_or(&text[..at]), &inner[at + start.len()..]))
    };
    found().map_or((text, None), |(text, remark)| (text, Some(remark)))
}

/// The process in `pid: 42, tid: 43, name: main  >>> com.example <<<`.
fn process(line: &[u8]) -> Option<ProcessInfo> {
    let rest = line.strip_prefix(b"pid: ")?;
    let (pid, rest) = rest.split_at(memchr::memchr(b',', rest)?);
    let start = memchr::memmem::find(rest, b">>> ")? + 4;
    let name = rest[start..].trim_ascii_end().strip_suffix(b" <<<")?;
    Some(ProcessInfo {
        pid: Some(cells::decimal(pid)?.try_into().ok()?),
        name: Some(name.into()),
        ..ProcessInfo::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Vec<Region>, Android, Vec<String>) {
        let mut form = Android::default();
        let (mut regions, mut unknown) = (Vec::new(), Vec::new());
        for line in text.lines() {
            match form.line(line.as_bytes()) {
                Line::Region(region) => regions.push(*region),
                Line::Known => {}
                Line::Unknown => unknown.push(line.to_owned()),
            }
        }
        (regions, form, unknown)
    }

    fn shown(regions: &[Region]) -> Vec<String> {
        let shown = |region: &Region| {
            let name = region.name.as_ref().map_or("-".into(), |name| format!("{name:?}"));
            format!("{} {} {:x} {name}", region.range, region.protection, region.offset)
        };
        regions.iter().map(shown).collect()
    }

    #[test]
    fn a_tombstone_of_64_bits() {
        let (regions, form, unknown) = read(
            "pid: 5577, tid: 5590, name: RenderThread  >>> com.example.app <<<\nCmdline: com.example.app --x\n\
             memory map (6 entries): (fault address prefixed with --->)\n\
             \x20   0000007a'12345000-0000007a'12345fff r-x      2000      1000  /system/lib64/libc.so (BuildId: 0b1e4f) (load bias 0x1000)\n\
             \x20   0000007a'12346000-0000007a'12347fff rw-         0      2000  [anon:libc_malloc]\n\
             --->0000007a'12348000-0000007a'12348fff ---         0      1000\n\
             \x20   0000007a'12349000-0000007a'12349fff r--  7f661b8000      1000  /data/a b (deleted)\n\
             --->Fault address falls at 0000007a'12350000 between mapped regions\n\
             \x20   0000007a'12351000-0000007a'12351fff -w-      1000      1000  (load bias 0xd000)\n\
             \x20   ffffffff'ff600000-ffffffff'ff600fff --x         0      1000  [vsyscall]\n",
        );
        assert_eq!(
            shown(&regions),
            [
                "7a12345000-7a12346000 r-x 2000 File(\"/system/lib64/libc.so\")",
                "7a12346000-7a12348000 rw- 0 Given(\"libc_malloc\")",
                "7a12348000-7a12349000 --- 0 -",
                "7a12349000-7a1234a000 r-- 7f661b8000 File(\"/data/a b\" (deleted))",
                "7a12351000-7a12352000 -w- 1000 -",
                "ffffffffff600000-ffffffffff601000 --x 0 Kernel(\"[vsyscall]\")",
            ]
        );
        assert_eq!(regions[0].native.linux().unwrap().build_id.as_deref(), Some("0b1e4f"));
        assert_eq!(unknown, [""; 0]);
        let process = form.process().unwrap();
        assert_eq!((process.pid, process.name.as_deref()), (Some(5577), Some(&b"com.example.app"[..])));
        assert_eq!(process.command.len(), 2);
    }

    #[test]
    fn rows_of_32_bits() {
        let (regions, _, unknown) = read(
            "memory map: (fault address prefixed with --->)\n\
             --->Fault address falls at 00001000 before any mapped regions\n\
             \x20   0a434000-0a434fff -w-      1000      1000  (load bias 0xd000)\n\
             \x20   0a634000-0a634fff rwx         0      1000  /system/lib/fake.so\n",
        );
        assert_eq!(
            shown(&regions),
            ["a434000-a435000 -w- 1000 -", "a634000-a635000 rwx 0 File(\"/system/lib/fake.so\")"]
        );
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn the_old_form_has_sizes_in_decimal() {
        let (regions, _, unknown) = read(
            "memory map around fault addr 00000000:\n\
             f4d11000-f4dc8fff rw- 753664 /dev/ashmem/dalvik-allocspace non moving space live-bitmap 4 (deleted)\n\
             f4d0a000-f4d0afff rw- 4096 \n\
             f4cfe000-f4d04fff r-x 28672 /system/lib/libbacktrace_libc++.so\n(no map below)\n",
        );
        assert_eq!(regions.len(), 3);
        assert_eq!(
            shown(&regions)[..2],
            [
                "f4d11000-f4dc9000 rw- 0 File(\"/dev/ashmem/dalvik-allocspace non moving space live-bitmap 4\" (deleted))",
                "f4d0a000-f4d0b000 rw- 0 -"
            ]
        );
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn what_is_no_row() {
        for line in [
            "7fee89557000-7fee89558000 rw-s 0002d000 08:11 2621496 /lib/ld.so",
            "0a434000-0a434fff rw- 1000",
            "0a434000-0a434fff rw- 0 2000 /x",
            "0a434fff-0a434000 rw- 4096",
            "0a434000-0a434fff",
            "00000000'00000000-ffffffff'ffffffff rw- 0 0",
            "0'a434000-0'a434fff rw- 0 1000",
            "pid: 12, tid: 13",
            "--->",
        ] {
            assert_eq!(Android::default().line(line.as_bytes()), Line::Unknown, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_fine(lines in proptest::collection::vec(prop_oneof![
            "(--->)?[0-9a-f]{8}'?[0-9a-f]{0,9}-[0-9a-f]{8}'?[0-9a-f]{0,9} [rwx-]{3} {0,3}[0-9a-f]{1,17} {0,3}[0-9a-f]{0,17}.{0,9}( \\(BuildId: [0-9a-z]{0,3}\\))?".prop_map(String::into_bytes),
            "(pid: [0-9]{1,12}, tid|Cmdline|memory map): .{0,9}( >>> .{0,3} <<<)?".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..80),
        ], 0..9)) {
            let mut form = Android::default();
            for line in lines {
                form.line(&line);
            }
        }
    }
}
