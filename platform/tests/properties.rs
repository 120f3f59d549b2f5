//! Properties that hold for any text.
#![allow(missing_docs)]

use std::io::{self, Read};

use mmview_platform::linux::maps::{self, MapsLine};
use mmview_platform::linux::{names, smaps::SmapsReader};
use mmview_platform::{
    AddrRange, Detail, Device, Name, NameKind, Native, OpenOptions, Protection, Region, open_file,
};
use proptest::prelude::*;

fn read(text: &[u8]) -> Vec<Region> {
    let mut reader = SmapsReader::new(text);
    let mut regions = Vec::new();
    while let Some(read) = reader.next_region().expect("a slice can be read") {
        regions.push(read.region);
    }
    reader.warnings();
    regions
}

/// A file in memory that is read in pieces of any size.
struct Pieces<'a> {
    rest: &'a [u8],
    sizes: std::vec::IntoIter<usize>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.next().unwrap_or(usize::MAX).clamp(1, into.len().max(1)).min(self.rest.len());
        into[..size].copy_from_slice(&self.rest[..size]);
        self.rest = &self.rest[size..];
        Ok(size)
    }
}

/// Names whose text in maps is unambiguous.
fn any_name() -> impl Strategy<Value = Option<Name>> {
    let path = prop::collection::vec(any::<u8>(), 0..40).prop_filter_map("one reading only", |bytes| {
        let path = [b"/", &bytes[..]].concat();
        let has_escape = path.windows(4).any(|part| part == br"\012");
        (!has_escape && !path.ends_with(b" (deleted)") && !path.contains(&0)).then_some(path)
    });
    prop_oneof![
        Just(None),
        path.clone().prop_map(|path| Some(Name::file(path))),
        path.prop_map(|path| Some(Name::file(path).deleted())),
        "[a-z]{1,12}"
            .prop_map(|name| Some(Name::new(NameKind::MemoryObject, format!("/memfd:{name}").into_bytes()))),
        "[ a-zA-Z:/-]{1,40}".prop_map(|name| Some(Name::new(NameKind::Given, name.into_bytes()))),
        "[a-z]{1,12}".prop_map(|name| Some(Name::new(NameKind::Kernel, format!("[{name}]").into_bytes()))),
        "[a-z]{1,12}".prop_map(|name| Some(Name::new(
            NameKind::AnonInode,
            format!("anon_inode:[{name}]").into_bytes()
        ))),
    ]
}

fn any_region() -> impl Strategy<Value = Region> {
    let place = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (place, any::<(bool, bool, bool, bool)>(), any_name()).prop_map(
        |((one, other, offset, inode), flags, name)| {
            let (read, write, execute, shared) = flags;
            let is_memory = name.as_ref().is_some_and(|name| name.kind() == NameKind::MemoryObject);
            let device =
                if is_memory { Device { major: 0, minor: 1 } } else { Device { major: 8, minor: 0x1_2345 } };
            let line = MapsLine {
                range: AddrRange::new(one.min(other), one.max(other)).expect("in order"),
                protection: Protection::from_rwx(read, write, execute),
                shared,
                offset,
                device,
                inode,
                name: b"",
            };
            line.into_region(name)
        },
    )
}

/// Text that resembles smaps.
fn almost_smaps() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => any_region().prop_map(|region| {
            let mut line = Vec::new();
            maps::write_line(&region, &mut line).expect("memory can be written");
            line
        }),
        4 => ("(Size|Rss|Pss|Swap|Private_Dirty|KSM|New|THPeligible|ProtectionKey|Name)", any::<u32>(), "( kB| mB|)")
            .prop_map(|(key, value, unit)| format!("{key}:   {value}{unit}\n").into_bytes()),
        1 => "VmFlags:( [a-z?]{2}){0,8} \n".prop_map(String::into_bytes),
        1 => "[0-9a-f]{0,20}-?[0-9a-f]{0,20} [rwxps-]{0,5} .{0,30}\n".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    prop::collection::vec(line, 0..30).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        read(&bytes);
    }

    #[test]
    fn almost_right_text_can_be_read(text in almost_smaps()) {
        read(&text);
    }

    #[test]
    fn where_reads_end_changes_nothing(text in almost_smaps(), sizes in prop::collection::vec(1usize..50, 0..200)) {
        let mut reader = SmapsReader::new(Pieces { rest: &text, sizes: sizes.into_iter() });
        let mut regions = Vec::new();
        while let Some(read) = reader.next_region().unwrap() {
            regions.push(read.region);
        }
        prop_assert_eq!(regions, read(&text));
    }

    #[test]
    fn a_written_region_is_read_back(region in any_region()) {
        let mut line = Vec::new();
        maps::write_line(&region, &mut line).unwrap();
        prop_assert_eq!(read(&line), [region]);
    }

    #[test]
    fn a_name_is_written_as_it_was_read(text in prop::collection::vec(any::<u8>(), 0..60), major in 0u32..2) {
        let text: Vec<u8> = text.into_iter().filter(|byte| *byte != b'\n').collect();
        let device = Device { major, minor: 1 };
        if let Some(parsed) = names::parse(&text, device) {
            prop_assert_eq!(names::escape(&parsed.name), text);
        }
    }

    #[test]
    fn the_regions_of_a_capture_never_overlap(text in almost_smaps()) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let Ok(mut source) = open_file(file.path(), &OpenOptions::new()) else { return Ok(()) };
        let regions: Vec<_> = source.regions(Detail::Counts).unwrap().map(Result::unwrap).collect();
        for pair in regions.windows(2) {
            prop_assert!(pair[0].range.end() <= pair[1].range.start());
        }
        let is_linux = |region: &Region| matches!(region.native, Native::Linux(_));
        prop_assert!(regions.iter().all(is_linux));
    }
}
