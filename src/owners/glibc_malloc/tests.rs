//! Heaps that a test lays out, and heaps that no malloc would.

use std::collections::HashSet;

use mmview_platform::{AddrRange, Bytes};
use proptest::prelude::*;

use super::arena::Parameters;
use super::mapped;
use super::walk::{End, Probe, Stream, Tally, walk};
use crate::owners::tests::{Forged, word};

const START: u64 = 0x1000_0000;
const END: u64 = 0x1004_0000;

/// The words of a heap of blocks (size, in use), with a top after them up to the end.
fn heap(blocks: &[(u64, bool)]) -> (Vec<u64>, u64) {
    let mut words = vec![0; ((END - START) / 8) as usize];
    let (mut at, mut is_last_used) = (0, true);
    for (size, is_used) in blocks {
        words[at / 8 + 1] = size | u64::from(is_last_used);
        at += *size as usize;
        // A free block has its size at its end.
        words[at / 8] = if *is_used { 0x4141 } else { *size };
        is_last_used = *is_used;
    }
    words[at / 8 + 1] = (END - START - at as u64) | u64::from(is_last_used);
    (words, START + at as u64)
}

fn walked(words: Vec<u64>, top: u64, largest: usize) -> (End, Tally) {
    Forged::new(words).inspect(8, |target, _| {
        let mut stream = Stream::new(target, AddrRange::new(START, END).unwrap()).unwrap();
        let mut tally = Tally::new(target, largest, &[]);
        let end = walk(&mut stream, START, END, top, &mut { u64::MAX }, &mut tally).unwrap();
        (end, tally)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_block_is_counted(
        sizes in proptest::collection::vec((2u64..40, any::<bool>()), 1..200),
    ) {
        // Two free blocks are never neighbors.
        let mut blocks: Vec<(u64, bool)> = Vec::new();
        for (units, is_used) in sizes {
            let is_used = is_used || blocks.last().is_some_and(|(_, last)| !last);
            blocks.push((units * 16, is_used));
        }
        let (words, top) = heap(&blocks);
        let (end, mut tally) = walked(words, top, 3);
        prop_assert_eq!(end, End::Top(END - top));
        let sum = |used: bool| blocks.iter().filter(move |block| block.1 == used).map(|block| block.0);
        prop_assert_eq!((tally.used, tally.used_bytes), (sum(true).count() as u64, sum(true).sum::<u64>()));
        prop_assert_eq!((tally.free, tally.free_bytes), (sum(false).count() as u64, sum(false).sum::<u64>()));
        prop_assert_eq!(tally.largest_free, sum(false).max().unwrap_or(0));
        prop_assert_eq!(tally.sizes().iter().map(|class| class.allocations).sum::<u64>(), tally.used);
        let mut largest: Vec<u64> = sum(true).collect();
        largest.sort_unstable_by(|one, other| other.cmp(one));
        largest.truncate(3);
        prop_assert_eq!(tally.largest().iter().map(|block| block.size.0).collect::<Vec<_>>(), largest);
    }

    #[test]
    fn a_walk_through_anything_ends(words in proptest::collection::vec(word(), 1..600), top in START..END) {
        Forged::new(words).inspect(8, |target, _| {
            let mut stream = Stream::new(target, AddrRange::new(START, END).unwrap()).unwrap();
            for start in (START..END).step_by(4096) {
                let mut steps = 100_000;
                walk(&mut stream, start, END, top & !15, &mut steps, &mut Probe).unwrap();
                assert!(steps > 0, "no block is smaller than 32 bytes");
            }
        });
    }

    #[test]
    fn mapped_blocks_lie_in_what_is_unclaimed(
        words in proptest::collection::vec(word(), 1..600),
        count in 0u32..100,
    ) {
        let forged = Forged::new(words);
        forged.inspect(8, |target, claims| {
            let parameters =
                Parameters { heap_start: 0, mapped_blocks: count, mapped_bytes: 0, cached: 7, address: START };
            let found = mapped::find(target, claims, &parameters).unwrap();
            for pair in found.blocks.windows(2) {
                assert!(pair[0].range.end() <= pair[1].range.start(), "{pair:?}");
            }
            let is_inside = |range: AddrRange| forged.regions.iter().any(|region| range.within(region.range));
            assert!(found.blocks.iter().all(|block| is_inside(block.range)));
        });
    }
}

#[test]
fn a_block_that_contradicts_its_neighbor_ends_the_walk() {
    let (words, top) = heap(&[(64, true), (96, false), (32, true)]);
    assert_eq!(walked(words.clone(), top, 0).0, End::Top(END - top));
    for (place, wrong) in [(9, 0), (9, 8 | 1), (9, u64::MAX), (9, 1 << 63 | 1), (21, 33 << 4), (20, 64)] {
        let mut words = words.clone();
        words[place] = wrong;
        assert!(
            matches!(walked(words, top, 0).0, End::Torn(_) | End::Fence(_)),
            "word {place} is {wrong:#x}"
        );
    }
}

#[test]
fn blocks_in_caches_are_not_in_use() {
    let (words, top) = heap(&[(64, true), (64, true), (96, true)]);
    let (_, mut tally) = walked(words, top, 2);
    tally.remove(&HashSet::from([(START + 128, 96)]));
    assert_eq!((tally.used, tally.used_bytes, tally.cached, tally.cached_bytes), (2, 128, 1, 96));
    assert_eq!(tally.largest().iter().map(|block| block.size).collect::<Vec<_>>(), [Bytes(64), Bytes(64)]);
}
