//! Opens any bytes as a capture, explains the map and writes it: each way of reading ends, and each map is in order.
//!
//! `cargo +nightly fuzz run captures fuzz/corpus/captures tests/fixtures/linux tests/fixtures/macos`
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mmview::Snapshot;
use mmview_platform::{Detail, MemoryMap, OpenOptions, open_reader, write_archive};

/// Starts that lead to readers which chance hardly finds. The first byte of an input chooses one.
const STARTS: [&[u8]; 8] = [
    b"",
    b"{\"mmview-archive\":",
    b"Virtual Memory Map of process 7 (x)\n==== regions for process 7\n",
    b"Address           Kbytes     RSS   Dirty Mode  Mapping\n",
    b"process 7\nMapped address spaces:\n\n",
    b"memory map (3 entries):\n",
    b"#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n",
    b"00400000-00401000 r-xp 00000000 08:01 7                                  /bin/x\n",
];

/// Opens the text and checks its map.
fn open(text: &[u8], options: &OpenOptions) -> Option<MemoryMap> {
    let map =
        open_reader(Path::new("fuzz"), text, options).ok()?.read(Detail::Pages).expect("a capture is read");
    for pair in map.regions.windows(2) {
        assert!(pair[0].range.end() <= pair[1].range.start(), "{} {}", pair[0].range, pair[1].range);
    }
    let _ = map.warnings.iter().map(ToString::to_string).collect::<String>();
    Some(map)
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else { return };
    // Fixtures begin with other bytes, and are taken as they are.
    let text = match STARTS.get(usize::from(choice)) {
        Some(start) => [start, rest].concat(),
        None => input.to_vec(),
    };
    let Some(map) = open(&text, &OpenOptions::new()) else { return };
    open(&text, &OpenOptions::new().part(2));
    let mut archive = Vec::new();
    write_archive(&map, &mut archive).expect("a vector takes all");
    let again = open(&archive, &OpenOptions::new()).expect("an archive can be opened");
    assert_eq!(again.regions, map.regions);
    let count = map.regions.len();
    assert_eq!(Snapshot::from(map).regions.len(), count);
});
