//! Segments that contradict themselves or the map.

use super::segments;
use crate::classify::tests::regions;
use crate::owners::tests::Forged;

const START: u64 = 0x4000_0000;

/// Committed memory of 64 KiB and its reserve.
const MAP: &str = "\
40000000-40010000 rw-p 0 00:00 0
40010000-50000000 ---p 0 00:00 0
";

/// The sizes of what is allocated, committed and reserved in the segments with this record.
fn sizes(record: [u64; 5]) -> Vec<[u64; 3]> {
    let mut page = vec![0; 512];
    page[..5].copy_from_slice(&record);
    let mut forged = Forged::new(page);
    forged.regions = regions(MAP);
    let found = forged.inspect(8, |target, _| segments(target).unwrap());
    let sizes = found
        .iter()
        .map(|segment| [segment.allocated.0, segment.committed.size().0, segment.reserved.size().0]);
    sizes.collect()
}

#[test]
fn a_segment_has_what_its_record_says() {
    let record = [START + 0x8000, START + 0x1_0000, 0x4fff_e000, START + 0x9000, START + 0x1000];
    assert_eq!(sizes(record), [[0x7000, 0x1_0000, 0xffe_e000]]);
}

#[test]
fn a_record_that_differs_from_the_map_is_none() {
    let good = [START + 0x8000, START + 0x1_0000, 0x5000_0000, START + 0x9000, START + 0x1000];
    // More objects than memory, fewer than none, other bounds, and objects that begin elsewhere.
    for (place, word) in [
        (0, START + 0x1_0008),
        (0, START),
        (1, START + 0x2_0000),
        (2, 0x5000_1000),
        (2, START + 0x8000),
        (4, START + 0x2000),
        (4, u64::MAX),
    ] {
        let mut record = good;
        record[place] = word;
        assert!(sizes(record).is_empty(), "{place} {word:x}");
    }
    assert_eq!(sizes(good).len(), 1);
}
