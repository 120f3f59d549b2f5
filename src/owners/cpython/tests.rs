//! Headers of pools that contradict themselves, and names of versions.

use super::pools::{GEOMETRIES, Pool};
use super::{version_by_name, version_name};
use crate::owners::tests::Forged;

/// Where the pool lies.
const ADDRESS: u64 = 0x4000_4000;

/// A pool of blocks of 64 bytes: ten were used, and seven of them still are. The words of its header.
const HEADER: [u64; 6] = [
    7,
    ADDRESS + 48 + 64 * 3,
    ADDRESS + 0x4000,
    ADDRESS + 0x8000,
    3 << 32 | 9,
    (16384 - 64) << 32 | (48 + 640),
];

fn parse(header: [u64; 6]) -> Option<Pool> {
    let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    Forged::new(vec![0]).inspect(8, |target, _| Pool::parse(target, GEOMETRIES[0], ADDRESS, &bytes))
}

#[test]
fn a_header_is_that_of_a_pool_only_if_its_fields_agree() {
    let pool = parse(HEADER).expect("a pool");
    assert_eq!((pool.used, pool.class, pool.arena), (7, 3, 9));
    assert!(pool.is_listed(GEOMETRIES[0]));
    let wrong: [(usize, u64); 8] = [
        // More in use than were ever used, or than fit.
        (0, 11),
        (0, 7 | 1 << 32),
        // The first free block is none, elsewhere, or not a block.
        (1, 0),
        (1, ADDRESS + 48 + 64 * 10),
        (1, ADDRESS + 49),
        // Another class than the offsets, and none.
        (4, 4 << 32 | 9),
        (4, 32 << 32 | 9),
        // An offset between blocks.
        (5, (16384 - 64) << 32 | (48 + 641)),
    ];
    for (index, word) in wrong {
        let mut header = HEADER;
        header[index] = word;
        assert_eq!(parse(header), None, "word {index} is {word:x}");
    }
}

#[test]
fn a_full_pool_has_no_free_block() {
    let blocks = (16384 - 48) / 64;
    let full = [blocks, 0, HEADER[2], HEADER[3], HEADER[4], (16384 - 64) << 32 | (48 + 64 * blocks)];
    assert!(!parse(full).expect("a pool").is_listed(GEOMETRIES[0]));
    assert_eq!(parse([blocks, HEADER[1], full[2], full[3], full[4], full[5]]), None);
}

#[test]
fn versions_have_names() {
    assert_eq!(version_name(0x030b_02f0), "3.11.2");
    assert_eq!(version_name(0x030f_00c1), "3.15.0rc1");
    let names: [(&[u8], Option<&str>); 4] = [
        (b"python3.8", Some("3.8")),
        (b"libpython3.10.so.1.0", Some("3.10")),
        (b"python3", None),
        (b"blender", None),
    ];
    for (name, version) in names {
        assert_eq!(version_by_name(name).as_deref(), version);
    }
}
