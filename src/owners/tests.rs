//! Hostile and torn memory: whatever it contains, the recognizers end, and their claims fit the map.

use std::io::Write;

use mmview_platform::{
    AddrRange, ByteOrder, Bytes, Claim, Machine, Memory, MemoryCost, MemoryMap, Piece, ProcessInfo, Region,
    Result, Shortfall, TargetArch, ThreadInfo,
};
use proptest::prelude::*;

use super::claims::Claims;
use super::elf::Elf;
use super::images::Images;
use super::target::Target;
use crate::classify::tests::{regions, source};
use crate::snapshot::Snapshot;

const PAGE: u64 = 4096;

/// A process whose heap and stacks hold the given words, and zeros after them.
pub(super) struct Forged {
    pub regions: Vec<Region>,
    words: Vec<u64>,
}

const MAP: &str = "\
10000000-10040000 rw-p 0 00:00 0 [heap]
40000000-40010000 rw-p 0 00:00 0
40010000-40020000 ---p 0 00:00 0
40020000-40060000 rw-p 0 00:00 0
";

impl Forged {
    pub fn new(words: Vec<u64>) -> Forged {
        Forged { regions: regions(MAP), words }
    }

    /// Calls `inspect` with the process of this memory.
    pub fn inspect<T>(&self, word: u64, inspect: impl FnOnce(&Target<'_>, &mut Claims<'_>) -> T) -> T {
        let map = map(&self.regions);
        let images = Images::find(&map.regions, self, arch(word), map.source.page_size);
        let target = Target::new(&map, self, arch(word), images);
        let mut claims = Claims::new(&map.regions, PAGE);
        inspect(&target, &mut claims)
    }
}

impl Memory for Forged {
    fn read(&self, pieces: &mut [Piece<'_>]) -> Result<()> {
        for piece in pieces {
            let address = piece.address();
            let holds = |region: &&Region| region.range.contains(address) && !region.protection.is_none();
            let room = self.regions.iter().find(holds).map_or(0, |region| region.range.end() - address);
            let size = piece.size().min(room as usize);
            let pattern: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let start = address as usize % pattern.len().max(1);
            let bytes: Vec<u8> = pattern.iter().copied().cycle().skip(start).take(size).collect();
            piece.set(&bytes, Some(Shortfall::NotMapped));
        }
        Ok(())
    }

    fn resident(&self, range: AddrRange) -> Result<Vec<AddrRange>> {
        let readable = self.regions.iter().filter(|region| !region.protection.is_none());
        Ok(readable.filter_map(|region| region.range.overlap(range)).collect())
    }

    fn frames(&self, _: AddrRange) -> Result<Vec<Option<u64>>> {
        Ok(Vec::new())
    }

    fn cost(&self) -> MemoryCost {
        MemoryCost::default()
    }
}

fn map(regions: &[Region]) -> MemoryMap {
    let mut process = ProcessInfo::default();
    process.pid = Some(7);
    process.threads = vec![ThreadInfo::new(7)];
    MemoryMap::new(source(), process, mmview_platform::Detail::Layout, regions.to_vec())
}

const fn arch(word: u64) -> TargetArch {
    TargetArch::new(Bytes(word), ByteOrder::Little, Machine::X86_64)
}

/// Runs every recognizer on forged memory, and checks what they claim.
fn check(words: Vec<u64>, word: u64) {
    let forged = Forged::new(words);
    let mut map = map(&forged.regions);
    map.source.arch = Some(arch(word));
    super::recognize_all(&mut map, &forged).unwrap();
    for pair in map.findings.claims.windows(2) {
        assert!(pair[0].range.end() <= pair[1].range.start(), "{pair:?}");
    }
    for claim in &map.findings.claims {
        assert!(claim.range.start().is_multiple_of(PAGE) && claim.range.end().is_multiple_of(PAGE));
        assert!(forged.regions.iter().any(|region| claim.range.within(region.range)), "{claim:?}");
    }
    for region in Snapshot::from(map).regions {
        let mut next = region.range().start();
        for part in region.parts() {
            assert_eq!(part.range().start(), next);
            next = part.range().end();
        }
        assert!(region.parts().is_empty() || next == region.range().end());
    }
}

/// Words as structures have them: pointers into the map, sizes with flags, small and absurd numbers.
pub(super) fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0x1000_0000_u64..0x1004_0000).prop_map(|at| at & !7),
        (0x4000_0000_u64..0x4006_0000).prop_map(|at| at & !63),
        (2u64..0x400).prop_map(|size| size * 16 + 1),
        Just(0),
        Just(7),
        Just(u64::MAX),
        Just(1 << 63),
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn forged_memory_is_answered_and_claims_fit_the_map(
        words in proptest::collection::vec(word(), 1..600),
        is_64 in any::<bool>(),
    ) {
        check(words, if is_64 { 8 } else { 4 });
    }

    #[test]
    fn a_damaged_image_is_refused_or_read(
        place in 0_usize..4096,
        byte in any::<u8>(),
    ) {
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        bytes.truncate(1 << 16);
        bytes[place] = byte;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        if let Some(elf) = Elf::read(file) {
            elf.export("gnu_get_libc_version");
        }
    }

    #[test]
    fn claims_never_overlap(
        wanted in proptest::collection::vec((0x1000_0000_u64..0x1005_0000, 0_u64..0x2_0000), 0..40),
    ) {
        let regions = regions(MAP);
        let mut claims = Claims::new(&regions, PAGE);
        for (start, size) in &wanted {
            claims.add(&Claim::new(AddrRange::new(*start, start + size).unwrap(), "test", "named"), |_| true);
        }
        let claims = claims.finish().claims;
        prop_assert!(claims.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
        for (start, _) in wanted.iter().filter(|(start, size)| *size > 0 && *start < 0x1004_0000) {
            prop_assert!(claims.iter().any(|claim| claim.range.contains(*start)), "{:x} is claimed", start);
        }
    }
}

#[test]
fn memory_full_of_pointers_to_themselves_has_no_threads() {
    // Every word of a page holds the address of its own page: as close to a self-pointer as a repeated pattern comes.
    for base in [0x4000_0000_u64, 0x4002_0000] {
        check(vec![base; 512], 8);
    }
}
