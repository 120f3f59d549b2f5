//! The header of a Mach-O image in memory: its machine and its segments.
//!
//! The bytes come from the target, so nothing in them is trusted: sizes are checked, and what does not fit is left out.

use crate::model::{AddrRange, Bytes};

/// The first bytes of an image, which say how many more there are: `struct mach_header_64` of `mach-o/loader.h`.
pub(crate) const HEADER_SIZE: usize = 32;

const HEADER_SIZE_32: usize = 28;
const MAGIC_32: u32 = 0xfeed_face;
const MAGIC_64: u32 = 0xfeed_facf;

/// `MH_DYLIB_IN_CACHE`: the image is in the shared cache.
const IN_SHARED_CACHE: u32 = 0x8000_0000;

const LC_SEGMENT: u32 = 0x1;
const LC_ID_DYLIB: u32 = 0xd;
const LC_ID_DYLINKER: u32 = 0xf;
const LC_SEGMENT_64: u32 = 0x19;
const LC_VERSION_MIN_MACOSX: u32 = 0x24;
const LC_VERSION_MIN_IPHONEOS: u32 = 0x25;
const LC_BUILD_VERSION: u32 = 0x32;

/// The numbers above by their names in `mach-o/loader.h` and `mach/machine.h`, and those that are matched below.
#[cfg(test)]
pub(crate) const NUMBERS: &[(&str, u32)] = &[
    ("MH_MAGIC", MAGIC_32),
    ("MH_MAGIC_64", MAGIC_64),
    ("MH_DYLIB_IN_CACHE", IN_SHARED_CACHE),
    ("LC_SEGMENT", LC_SEGMENT),
    ("LC_ID_DYLIB", LC_ID_DYLIB),
    ("LC_ID_DYLINKER", LC_ID_DYLINKER),
    ("LC_SEGMENT_64", LC_SEGMENT_64),
    ("LC_VERSION_MIN_MACOSX", LC_VERSION_MIN_MACOSX),
    ("LC_VERSION_MIN_IPHONEOS", LC_VERSION_MIN_IPHONEOS),
    ("LC_BUILD_VERSION", LC_BUILD_VERSION),
    ("CPU_TYPE_X86_64", 0x0100_0007),
    ("CPU_TYPE_X86", 7),
    ("CPU_TYPE_ARM64", 0x0100_000c),
    ("CPU_TYPE_ARM64_32", 0x0200_000c),
    ("CPU_TYPE_ARM", 12),
    ("CPU_TYPE_POWERPC", 18),
    ("CPU_TYPE_POWERPC64", 0x0100_0012),
    ("CPU_SUBTYPE_ARM64E", 2),
    ("PLATFORM_MACOS", 1),
    ("PLATFORM_IOS", 2),
    ("PLATFORM_TVOS", 3),
    ("PLATFORM_WATCHOS", 4),
    ("PLATFORM_BRIDGEOS", 5),
    ("PLATFORM_MACCATALYST", 6),
    ("PLATFORM_IOSSIMULATOR", 7),
    ("PLATFORM_TVOSSIMULATOR", 8),
    ("PLATFORM_WATCHOSSIMULATOR", 9),
    ("PLATFORM_DRIVERKIT", 10),
    ("PLATFORM_VISIONOS", 11),
    ("PLATFORM_VISIONOSSIMULATOR", 12),
];

/// The header of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MachHeader {
    pub code_type: Option<&'static str>,
    pub platform: Option<&'static str>,
    pub is_in_shared_cache: bool,
    /// The segments at their actual addresses, without those that have no access at all (`__PAGEZERO`).
    pub segments: Vec<(Box<str>, AddrRange)>,
}

/// The size of the header and its load commands, from its first [`HEADER_SIZE`] bytes. `None` if this is not an image.
pub(crate) fn total_size(start: &[u8]) -> Option<usize> {
    let header_size = match word(start, 0)? {
        MAGIC_64 => HEADER_SIZE,
        MAGIC_32 => HEADER_SIZE_32,
        _ => return None,
    };
    header_size.checked_add(word(start, 20)?.try_into().ok()?)
}

/// Parses the header of the image that is loaded at `load_address`.
pub(crate) fn parse(bytes: &[u8], load_address: u64) -> Option<MachHeader> {
    let is_64 = word(bytes, 0)? == MAGIC_64;
    let commands =
        bytes.get(if is_64 { HEADER_SIZE } else { HEADER_SIZE_32 }..total_size(bytes)?.min(bytes.len()))?;
    let mut platform = None;
    let mut segments = Vec::new();
    let mut rest = commands;
    for _ in 0..word(bytes, 16)? {
        let (Some(kind), Some(size)) = (word(rest, 0), word(rest, 4)) else { break };
        let Some((command, after)) = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size))
        else {
            break;
        };
        match kind {
            LC_SEGMENT_64 if is_64 => segments.extend(segment(command, |at| long(command, at), 8)),
            LC_SEGMENT if !is_64 => {
                segments.extend(segment(command, |at| word(command, at).map(u64::from), 4))
            }
            LC_BUILD_VERSION => platform = word(command, 8).and_then(platform_name),
            LC_VERSION_MIN_MACOSX => platform = Some("macOS"),
            LC_VERSION_MIN_IPHONEOS => platform = Some("iOS"),
            _ => {}
        }
        if size < 8 {
            break;
        }
        rest = after;
    }
    Some(MachHeader {
        code_type: code_type(word(bytes, 4)?, word(bytes, 8)?),
        platform,
        is_in_shared_cache: word(bytes, 24)? & IN_SHARED_CACHE != 0,
        segments: place(segments, load_address),
    })
}

/// The name by which other images load this one, if it is a whole path. `None` for programs.
pub(crate) fn install_name(bytes: &[u8]) -> Option<Box<[u8]>> {
    let mut rest = bytes.get(HEADER_SIZE..).filter(|_| word(bytes, 0) == Some(MAGIC_64))?;
    for _ in 0..word(bytes, 16)? {
        let (kind, size) = (word(rest, 0)?, word(rest, 4)?);
        let (command, after) = rest.split_at_checked(size.try_into().ok().filter(|size| *size >= 8)?)?;
        if matches!(kind, LC_ID_DYLIB | LC_ID_DYLINKER) {
            let name = command.get(word(command, 8)?.try_into().ok()?..)?.split(|byte| *byte == 0).next()?;
            return name.starts_with(b"/").then(|| name.into());
        }
        rest = after;
    }
    None
}

/// A segment command: its name, its linked address, its size, and its maximum protection.
struct Segment {
    name: Box<str>,
    address: u64,
    size: u64,
    max_protection: u32,
}

/// Parses a segment command whose addresses are `width` bytes wide, using `number`.
fn segment(command: &[u8], number: impl Fn(usize) -> Option<u64>, width: usize) -> Option<Segment> {
    let name = command.get(8..24)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Segment {
        name: String::from_utf8_lossy(name).into(),
        address: number(24)?,
        size: number(24 + width)?,
        max_protection: word(command, 24 + 4 * width)?,
    })
}

/// Moves the segments from their linked to their actual addresses. All move by the same distance, in the shared cache too;
/// the header is the beginning of `__TEXT`.
fn place(segments: Vec<Segment>, load_address: u64) -> Vec<(Box<str>, AddrRange)> {
    let Some(text) = segments.iter().find(|segment| &*segment.name == "__TEXT") else { return Vec::new() };
    let slide = load_address.wrapping_sub(text.address);
    segments
        .into_iter()
        .filter(|segment| segment.size > 0 && segment.max_protection != 0)
        .filter_map(|segment| {
            let range = AddrRange::with_size(segment.address.wrapping_add(slide), Bytes(segment.size))?;
            Some((segment.name, range))
        })
        .collect()
}

/// vmmap's name for a CPU type (`mach/machine.h`).
fn code_type(cpu: u32, subtype: u32) -> Option<&'static str> {
    const CPU_SUBTYPE_ARM64E: u32 = 2;
    Some(match (cpu, subtype & 0x00ff_ffff) {
        (0x0100_0007, _) => "X86-64",
        (7, _) => "X86",
        (0x0100_000c, CPU_SUBTYPE_ARM64E) => "ARM64E",
        (0x0100_000c, _) => "ARM64",
        (0x0200_000c, _) => "ARM64_32",
        (12, _) => "ARM",
        (18, _) => "PPC",
        (0x0100_0012, _) => "PPC-64",
        _ => return None,
    })
}

/// The name of a `PLATFORM_…` of `mach-o/loader.h`. The first two were seen in reports of vmmap; the others are inferred.
fn platform_name(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "macOS",
        2 => "iOS",
        3 => "tvOS",
        4 => "watchOS",
        5 => "bridgeOS",
        6 => "Mac Catalyst",
        7 => "iOS Simulator",
        8 => "tvOS Simulator",
        9 => "watchOS Simulator",
        10 => "DriverKit",
        11 => "visionOS",
        12 => "visionOS Simulator",
        _ => return None,
    })
}

/// The 32-bit number at `at`. Every Mac that runs today is little-endian.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 64-bit number at `at`.
pub(crate) fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The header of a 64-bit image with these segments: name, address, size, maximum protection.
    pub(crate) fn image(flags: u32, segments: &[(&str, u64, u64, u32)]) -> Vec<u8> {
        let mut commands = Vec::new();
        for (name, address, size, max_protection) in segments {
            let mut command = Vec::new();
            command.extend(LC_SEGMENT_64.to_le_bytes());
            command.extend(72u32.to_le_bytes());
            let mut padded = name.as_bytes().to_vec();
            padded.resize(16, 0);
            command.extend(padded);
            for number in [*address, *size, 0, *size] {
                command.extend(number.to_le_bytes());
            }
            for number in [*max_protection, *max_protection, 0, 0] {
                command.extend(number.to_le_bytes());
            }
            commands.extend(command);
        }
        commands.extend([LC_BUILD_VERSION, 24, 1, 0, 0, 0].map(u32::to_le_bytes).concat());
        let count = segments.len() as u32 + 1;
        let header = [MAGIC_64, 0x0100_000c, 2, 2, count, commands.len() as u32, flags, 0];
        [header.map(u32::to_le_bytes).concat(), commands].concat()
    }

    #[test]
    fn segments_move_with_the_header() {
        let bytes = image(
            0,
            &[
                ("__PAGEZERO", 0, 0x1_0000_0000, 0),
                ("__TEXT", 0x1_0000_0000, 0x4000, 5),
                ("__LINKEDIT", 0x1_0000_8000, 0x4000, 1),
            ],
        );
        assert_eq!(total_size(&bytes[..HEADER_SIZE]), Some(bytes.len()));
        let header = parse(&bytes, 0x1_0234_0000).unwrap();
        let segments: Vec<_> =
            header.segments.iter().map(|(name, range)| (&**name, range.to_string())).collect();
        assert_eq!(
            segments,
            [("__TEXT", "102340000-102344000".to_owned()), ("__LINKEDIT", "102348000-10234c000".to_owned())]
        );
        assert_eq!((header.code_type, header.platform), (Some("ARM64E"), Some("macOS")));
        assert!(!header.is_in_shared_cache);
    }

    #[test]
    fn an_image_of_32_bits() {
        let mut command: Vec<u8> = [LC_SEGMENT, 56].map(u32::to_le_bytes).concat();
        command.extend(b"__TEXT\0\0\0\0\0\0\0\0\0\0");
        command.extend([0x1000u32, 0x2000, 0, 0x2000, 7, 5, 0, 0].map(u32::to_le_bytes).concat());
        let header = [MAGIC_32, 7, 3, 2, 1, command.len() as u32, 0].map(u32::to_le_bytes).concat();
        let parsed = parse(&[header, command].concat(), 0x5000).unwrap();
        assert_eq!(parsed.code_type, Some("X86"));
        assert_eq!(parsed.segments[0].1.to_string(), "5000-7000");
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let bytes = image(IN_SHARED_CACHE, &[("__TEXT", 0x4000, 0x4000, 5), ("__DATA", 0x8000, 0x4000, 3)]);
        let header = parse(&bytes[..HEADER_SIZE + 72 + 30], 0x4000).unwrap();
        assert_eq!(header.segments.len(), 1);
        assert!(header.is_in_shared_cache);
        assert_eq!(parse(b"\x7fELF", 0), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
            load_address in any::<u64>(),
            is_image in any::<bool>(),
        ) {
            if is_image && bytes.len() >= 24 {
                bytes[..4].copy_from_slice(&MAGIC_64.to_le_bytes());
                bytes[20..24].copy_from_slice(&300u32.to_le_bytes());
            }
            if let Some(header) = parse(&bytes, load_address) {
                for (_, range) in header.segments {
                    prop_assert!(!range.is_empty());
                }
            }
        }
    }
}
