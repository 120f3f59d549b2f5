//! Chunks that contradict themselves.

use mmview_platform::{ByteOrder, Bytes, Detail, Machine, MemoryMap, ProcessInfo, TargetArch};

use super::chunks::Chunk;
use crate::classify::tests::{regions, source};
use crate::owners::images::Images;
use crate::owners::target::Target;
use crate::owners::tests::Forged;

const START: u64 = 0x4000_0000;

/// A chunk of three used pages whose map is at `map`.
fn chunk(map: usize) -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[..8].copy_from_slice(&(START + 64).to_le_bytes());
    page[8..16].copy_from_slice(&START.to_le_bytes());
    page[24..28].copy_from_slice(&509_u32.to_le_bytes());
    page[map - 64] = 0b111;
    page[map..map + 4].copy_from_slice(&0x4000_0001_u32.to_le_bytes());
    page
}

fn is_chunk(page: &[u8]) -> bool {
    let map = MemoryMap::new(
        source(),
        ProcessInfo::default(),
        Detail::Layout,
        regions("40000000-40200000 rw-p 0 00:00 0\n"),
    );
    let memory = Forged::new(vec![0]);
    let arch = TargetArch::new(Bytes(8), ByteOrder::Little, Machine::X86_64);
    let images = Images::find(&map.regions, &memory, arch, map.source.page_size);
    let target = Target::new(&map, &memory, arch, images);
    Chunk::parse(&target, START, page).is_some()
}

#[test]
fn a_chunk_is_found_wherever_its_version_has_the_map() {
    for map in [520, 544, 624, 2048] {
        assert!(is_chunk(&chunk(map)), "{map}");
    }
}

#[test]
fn a_chunk_is_none_if_its_bits_and_its_count_differ_or_it_leads_elsewhere() {
    let damaged = |place: usize, byte: u8| {
        let mut page = chunk(544);
        page[place] = byte;
        is_chunk(&page)
    };
    assert!(damaged(544 + 100, 0xff));
    // Another page in use, the first free, a heap elsewhere, a neighbor that is none, and more free pages than there are.
    for (place, byte) in [(480, 0b1111), (480, 0b1110), (0, 65), (8, 1), (25, 0xff)] {
        assert!(!damaged(place, byte), "{place}");
    }
}
