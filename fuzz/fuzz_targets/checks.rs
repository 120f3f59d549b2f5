//! Parses any text as a check and as a filter, and evaluates what is one over a map.
//!
//! `cargo +nightly fuzz run checks`
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mmview::{Snapshot, check::Check};
use mmview_platform::{Detail, OpenOptions, open_reader};

const MAP: &str = "\
00400000-00401000 r-xp 00000000 08:01 7 /bin/x
Rss: 4 kB
Private_Dirty: 4 kB
01000000-01021000 rw-p 00000000 00:00 0 [heap]
Rss: 64 kB
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 [stack]
";

fuzz_target!(|text: &str| {
    let Ok(check) = text.parse::<Check>() else { return };
    let mut source =
        open_reader(Path::new("map"), MAP.as_bytes(), &OpenOptions::new()).expect("the map is right");
    let snapshot = Snapshot::from(source.read(Detail::Counts).expect("a capture is read"));
    let _ = snapshot.verdict(&check);
});
