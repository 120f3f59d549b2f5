//! Feeds forged memory to every recognizer: whatever it contains, they end, and their claims fit the map.
//!
//! `cargo +nightly fuzz run owners`
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use mmview::Snapshot;
use mmview_platform::{
    AddrRange, ByteOrder, Bytes, Capabilities, CaptureFormat, Detail, Machine, Memory, MemoryCost, MemoryMap,
    Origin, PageSize, Piece, ProcessInfo, Region, Result, Shortfall, SourceInfo, TargetArch, ThreadInfo,
};

const PAGE: u64 = 4096;

/// Where the kernel and the runtimes put things: the heap, chunks at their alignments, Go's arenas, mimalloc's segments.
const REGIONS: [(u64, u64, &str); 8] = [
    (0x1000_0000, 0x40_0000, "rw-p 00000000 00:00 0 [heap]"),
    (0x4000_0000, 0x80_0000, "rw-p 00000000 00:00 0"),
    (0x4080_0000, 0x10_0000, "---p 00000000 00:00 0"),
    (0xc0_0000_0000, 0x40_0000, "rw-p 00000000 00:00 0"),
    (0xc0_0040_0000, 0x3c0_0000, "---p 00000000 00:00 0"),
    (0x200_0000_0000, 0x400_0000, "rw-p 00000000 00:00 0"),
    (0x7f00_0000_0000, 0x200_0000, "rw-p 00000000 00:00 0"),
    (0x7f10_0000_0000, 0x10_0000, "rw-s 00000000 00:01 5 /dev/zero (deleted)"),
];

/// Pages with content; all other pages are not resident.
struct Forged {
    regions: Vec<Region>,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Memory for Forged {
    fn read(&self, pieces: &mut [Piece<'_>]) -> Result<()> {
        for piece in pieces {
            let mut bytes = Vec::new();
            while bytes.len() < piece.size() {
                let Some(at) = piece.address().checked_add(bytes.len() as u64) else { break };
                let Some(page) = self.pages.get(&(at - at % PAGE)) else { break };
                bytes.extend_from_slice(&page[(at % PAGE) as usize..]);
            }
            bytes.truncate(piece.size());
            piece.set(&bytes, Some(Shortfall::NotResident));
        }
        Ok(())
    }

    fn resident(&self, range: AddrRange) -> Result<Vec<AddrRange>> {
        let first = range.start() - range.start() % PAGE;
        let pages = self.pages.range(first..range.end()).map(|(page, _)| *page);
        let mut runs: Vec<AddrRange> = Vec::new();
        for page in pages {
            let page = AddrRange::new(page, page + PAGE).expect("a page has a size");
            match runs.last_mut() {
                Some(last) if last.end() == page.start() => *last = last.hull(page),
                _ => runs.push(page),
            }
        }
        Ok(runs)
    }

    fn frames(&self, _: AddrRange) -> Result<Vec<Option<u64>>> {
        Ok(Vec::new())
    }

    fn cost(&self) -> MemoryCost {
        MemoryCost::default()
    }
}

/// A word of the input as memory could have it: half of them point into a region.
fn word(bytes: &[u8]) -> u64 {
    let word = u64::from_le_bytes(bytes.try_into().expect("a word has eight bytes"));
    let (start, size, _) = REGIONS[(word >> 8) as usize % REGIONS.len()];
    match word & 3 {
        0 => start + (word >> 16) % size & !7,
        1 => start + ((word >> 16) % size & !(PAGE - 1)),
        2 => word >> 16 & 0xffff,
        _ => word,
    }
}

fn map() -> Vec<Region> {
    let text: String =
        REGIONS.iter().map(|(start, size, rest)| format!("{start:x}-{:x} {rest}\n", start + size)).collect();
    let mut reader = mmview_platform::linux::smaps::SmapsReader::new(text.as_bytes());
    std::iter::from_fn(|| reader.next_region().expect("the text is right")).map(|read| read.region).collect()
}

fuzz_target!(|input: &[u8]| {
    let Some((&head, input)) = input.split_first() else { return };
    let mut forged = Forged { regions: map(), pages: BTreeMap::new() };
    // Each chunk fills a page: its place, and words that repeat.
    for chunk in input.chunks(8 + 8 * 32) {
        let Some((place, words)) = chunk.split_at_checked(8) else { break };
        let words: Vec<u8> = words.chunks_exact(8).flat_map(|bytes| word(bytes).to_le_bytes()).collect();
        if words.is_empty() {
            break;
        }
        let (start, size, _) = REGIONS[usize::from(place[0]) % REGIONS.len()];
        let offset = u64::from_le_bytes(place.try_into().expect("a place has eight bytes")) >> 8;
        let page = start + (offset % size & !(PAGE - 1));
        let content = words.iter().copied().cycle().take(PAGE as usize).collect();
        forged.pages.insert(page, content);
    }
    let origin = Origin::Capture { path: "fuzz".into(), format: CaptureFormat::Maps };
    let mut source = SourceInfo::new(origin, "linux", Capabilities::of_capture(Detail::Resident));
    source.page_size = PageSize::new(PAGE);
    let word_size = Bytes(if head & 1 == 0 { 8 } else { 4 });
    source.arch = Some(TargetArch::new(word_size, ByteOrder::Little, Machine::X86_64));
    let mut process = ProcessInfo::default();
    process.pid = Some(7);
    process.threads = vec![ThreadInfo::new(7)];
    let mut map = MemoryMap::new(source, process, Detail::Resident, forged.regions.clone());
    mmview::recognize_all(&mut map, &forged).expect("forged memory can be read");
    for pair in map.findings.claims.windows(2) {
        assert!(pair[0].range.end() <= pair[1].range.start(), "{pair:?}");
    }
    for region in Snapshot::from(map).regions {
        let mut next = region.range().start();
        for part in region.parts() {
            assert_eq!(part.range().start(), next);
            next = part.range().end();
        }
        assert!(region.parts().is_empty() || next == region.range().end());
    }
});
