//! One line of `/proc/PID/maps`: a region's addresses, protection, backing and name.
//!
//! The format is `%08lx-%08lx %c%c%c%c %08llx %02x:%02x %lu ` and, from column 73 on, the name (`fs/proc/task_mmu.c`,
//! `show_vma_header_prefix`). Older kernels and pasted captures pad less or not at all, so fields are found by blanks.

use std::io::{self, Write};

use super::names;
use crate::model::{AddrRange, Device, LinuxRegion, Name, Native, PageCounts, Protection, Region, ShareMode};

/// The fields of a line of maps, with the name as the kernel wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapsLine<'a> {
    /// The addresses of the region.
    pub range: AddrRange,
    /// Its protection.
    pub protection: Protection,
    /// Whether the fourth letter is `s`: if it could be made writable, others would see the writes (`VM_MAYSHARE`).
    pub shared: bool,
    /// The offset in its file.
    pub offset: u64,
    /// The device of the file.
    pub device: Device,
    /// The inode of the file.
    pub inode: u64,
    /// The rest of the line after the padding: still escaped, with trailing blanks, empty for anonymous memory.
    pub name: &'a [u8],
}

impl<'a> MapsLine<'a> {
    /// Parses a line without its newline. `None` if it is not a line of maps, or if the end address is below the start.
    pub fn parse(line: &'a [u8]) -> Option<MapsLine<'a>> {
        let (start, rest) = hexadecimal(line)?;
        let (end, rest) = hexadecimal(rest.strip_prefix(b"-")?)?;
        let ([r, w, x, share], rest) = blanks(rest)?.split_first_chunk()?;
        let protection = Protection::from_rwx(letter(*r, b'r')?, letter(*w, b'w')?, letter(*x, b'x')?);
        let shared = match share {
            b's' | b'S' => true,
            b'p' | b'-' => false,
            _ => return None,
        };
        let (offset, rest) = hexadecimal(blanks(rest)?)?;
        let (major, rest) = hexadecimal(blanks(rest)?)?;
        let (minor, rest) = hexadecimal(rest.strip_prefix(b":")?)?;
        let (inode, rest) = decimal(blanks(rest)?)?;
        let name = match blanks(rest) {
            Some(name) => name,
            None if rest.is_empty() => rest,
            None => return None,
        };
        Some(MapsLine {
            range: AddrRange::new(start, end)?,
            protection,
            shared,
            offset,
            device: Device { major: major.try_into().ok()?, minor: minor.try_into().ok()? },
            inode,
            name,
        })
    }

    /// Whether the line starts like one of maps: two hexadecimal numbers with a hyphen between them. This is cheap, and
    /// enough to distinguish a region from a field of smaps, whose keys start with a capital letter.
    pub fn is_start(line: &[u8]) -> bool {
        hexadecimal(line)
            .and_then(|(_, rest)| hexadecimal(rest.strip_prefix(b"-")?))
            .is_some_and(|(_, rest)| blanks(rest).is_some())
    }

    /// Converts it into a region with the given name and without counts.
    pub fn into_region(self, name: Option<Name>) -> Region {
        Region {
            range: self.range,
            protection: self.protection,
            max_protection: None,
            share: if self.shared { ShareMode::Shared } else { ShareMode::Private },
            name,
            offset: self.offset,
            counts: PageCounts::UNMEASURED,
            pages: None,
            native: Native::Linux(Box::new(LinuxRegion {
                device: self.device,
                inode: self.inode,
                ..LinuxRegion::default()
            })),
        }
    }
}

/// Writes `region` as a line of maps, as a 64-bit kernel would.
///
/// # Errors
///
/// Those of `out`.
pub fn write_line(region: &Region, out: &mut dyn Write) -> io::Result<()> {
    let (device, inode) = match region.native.linux() {
        Some(native) => (native.device, native.inode),
        None => Default::default(),
    };
    let share = if region.share.is_shared() { 's' } else { 'p' };
    let head = format!(
        "{:08x}-{:08x} {}{share} {:08x} {device} {inode} ",
        region.range.start(),
        region.range.end(),
        region.protection,
        region.offset,
    );
    match &region.name {
        None => out.write_all(head.as_bytes())?,
        Some(name) => {
            write!(out, "{head:<73}")?;
            out.write_all(&names::escape(name))?;
        }
    }
    out.write_all(b"\n")
}

fn letter(byte: u8, set: u8) -> Option<bool> {
    match byte {
        b'-' => Some(false),
        _ if byte == set => Some(true),
        _ => None,
    }
}

/// The rest after at least one blank or tab.
fn blanks(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(b" ").or_else(|| bytes.strip_prefix(b"\t"))?;
    let end = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
    Some(&rest[end..])
}

/// A hexadecimal number that fits, and the rest. The kernel writes lower case; programs that rewrite maps may not.
fn hexadecimal(bytes: &[u8]) -> Option<(u64, &[u8])> {
    number(bytes, 16, |byte| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    })
}

/// A decimal number that fits, and the rest.
pub(super) fn decimal(bytes: &[u8]) -> Option<(u64, &[u8])> {
    number(bytes, 10, |byte| byte.is_ascii_digit().then(|| byte - b'0'))
}

fn number(bytes: &[u8], radix: u64, digit: impl Fn(u8) -> Option<u8>) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut length = 0;
    for digit in bytes.iter().map_while(|&byte| digit(byte)) {
        value = value.checked_mul(radix)?.checked_add(digit.into())?;
        length += 1;
    }
    (length > 0).then(|| (value, &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> MapsLine<'_> {
        MapsLine::parse(line.as_bytes()).unwrap_or_else(|| panic!("`{line}` is a line of maps"))
    }

    #[test]
    fn a_whole_line() {
        let line =
            parse("7fee89557000-7fee89558000 rw-s 0002d000 08:11 2621496                    /lib/ld.so");
        assert_eq!(line.range.to_string(), "7fee89557000-7fee89558000");
        assert_eq!(line.protection.to_string(), "rw-");
        assert!(line.shared);
        assert_eq!(line.offset, 0x2d000);
        assert_eq!(line.device, Device { major: 8, minor: 0x11 });
        assert_eq!(line.inode, 2_621_496);
        assert_eq!(line.name, b"/lib/ld.so");
    }

    #[test]
    fn anonymous_with_and_without_its_trailing_blank() {
        assert_eq!(parse("00708000-0070a000 rw-p 00000000 00:00 0 ").name, b"");
        assert_eq!(parse("00708000-0070a000 rw-p 00000000 00:00 0").name, b"");
    }

    #[test]
    fn trailing_blanks_belong_to_the_name() {
        assert_eq!(parse("1000-2000 r--p 0 00:1b 7    /tmp/trail  ").name, b"/tmp/trail  ");
    }

    #[test]
    fn name_need_not_be_utf8() {
        let line = MapsLine::parse(b"1000-2000 r--p 0 00:1b 7 /tmp/\xff\xfe").unwrap();
        assert_eq!(line.name, b"/tmp/\xff\xfe");
    }

    #[test]
    fn addresses_above_i64_max() {
        let line = parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]");
        assert_eq!(line.range.start(), 0xffff_ffff_ff60_0000);
    }

    #[test]
    fn unpadded_line_of_an_old_kernel() {
        assert_eq!(parse("08048000-08089000 r-xp 00000000 03:01 104219 /bin/tcsh").name, b"/bin/tcsh");
    }

    #[test]
    fn inode_takes_all_64_bits() {
        assert_eq!(parse("1-2 r--p 0 0:0 18446744073709551615").inode, u64::MAX);
        assert_eq!(MapsLine::parse(b"1-2 r--p 0 0:0 18446744073709551616"), None);
    }

    #[test]
    fn what_is_no_line_of_maps() {
        for line in [
            "",
            "Size:                  4 kB",
            "Anonymous:             0 kB",
            "2000-1000 r--p 00000000 00:00 0 ",
            "1000-2000 r--q 00000000 00:00 0 ",
            "1000-2000 r-- 00000000 00:00 0 ",
            "1000-2000 r--p 00000000 00:00",
            "1000-2000 r--p 00000000 00:00 0x",
            "11112222333344445-2 r--p 00000000 00:00 0",
        ] {
            assert_eq!(MapsLine::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_field_of_smaps_does_not_start_like_a_region() {
        assert!(MapsLine::is_start(b"00400000-00200000 ---p"));
        assert!(!MapsLine::is_start(b"Anonymous:             0 kB"));
        assert!(!MapsLine::is_start(b"abc-def"));
    }

    #[test]
    fn a_written_line_is_as_the_kernel_writes_it() {
        for line in [
            "7fee89557000-7fee89558000 rw-p 00000000 00:00 0 \n",
            "00708000-0070a000 rw-s 0002d000 08:11 2621496                            /tmp/a b (deleted)\n",
            "7fffe35f3000-7fffe35f4000 r-xp 00000000 00:00 0                          [vdso]\n",
            "54c00000-56c00000 r-xp 00000000 00:00 0                                  [anon:dalvik-/boot.art]\n",
        ] {
            let parsed = parse(line.trim_end_matches('\n'));
            let name = names::parse(parsed.name, parsed.device).map(|parsed| parsed.name);
            let mut out = Vec::new();
            write_line(&parsed.into_region(name), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), line);
        }
    }
}
