//! Which pages are resident, asked once for each block of the address space and remembered for the time of an inspection.
//!
//! Recognizers read many small pieces, often of the same pages. To ask for each of them again would cost more than to read them.

use std::cell::RefCell;
use std::collections::HashMap;

use mmview_platform::{AddrRange, Memory, PresentRun, Result};

/// The size of a block: to look at all of its pages costs about as much as a few system calls.
const BLOCK: u64 = 1 << 20;

/// How many neighboring blocks are asked for at once.
const MOST_BLOCKS: u64 = 64;

/// How many blocks are remembered. Hostile pointers lead anywhere; a real heap of 64 GiB has so many.
const MOST_REMEMBERED: usize = 1 << 16;

/// The resident pages of the blocks that were asked for.
#[derive(Default)]
pub(super) struct Residency {
    blocks: RefCell<HashMap<u64, Box<[PresentRun]>>>,
}

impl Residency {
    /// Asks about all blocks that hold parts of `ranges`, as far as that is not known.
    pub fn prepare(&self, memory: &dyn Memory, ranges: impl Iterator<Item = AddrRange>) -> Result<()> {
        let mut known = self.blocks.borrow_mut();
        let mut missing: Vec<u64> = ranges
            .filter(|range| !range.is_empty())
            .flat_map(|range| range.start() / BLOCK..=(range.end() - 1) / BLOCK)
            .filter(|block| !known.contains_key(block))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        if known.len() + missing.len() > MOST_REMEMBERED {
            known.clear();
        }
        let is_next = |one: &u64, next: &u64| one + 1 == *next;
        for group in missing.chunk_by(is_next).flat_map(|group| group.chunks(MOST_BLOCKS as usize)) {
            let (first, last) = (group[0], group[group.len() - 1]);
            let end = (last + 1).saturating_mul(BLOCK);
            let Some(window) = AddrRange::new(first * BLOCK, end) else { continue };
            let present = memory.present(window)?;
            for &block in group {
                let runs = AddrRange::new(block * BLOCK, (block + 1).saturating_mul(BLOCK)).map(|block| {
                    let first = present.partition_point(|run| run.range.end() <= block.start());
                    let inside = present[first..].iter().take_while(|run| run.range.start() < block.end());
                    let part = |run: &PresentRun| {
                        run.range.overlap(block).map(|range| PresentRun::new(range, run.is_own))
                    };
                    inside.filter_map(part).collect()
                });
                known.insert(block, runs.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// The resident parts of `range`, in whole pages. A process can have tens of thousands of small regions side by side.
    pub fn runs(&self, memory: &dyn Memory, range: AddrRange, page: u64) -> Result<Vec<AddrRange>> {
        if range.is_empty() || range.size().0 > BLOCK * MOST_BLOCKS {
            return memory.resident(range);
        }
        let start = range.start() - range.start() % page;
        let end = range.end().checked_next_multiple_of(page).unwrap_or(range.end());
        let Some(pages) = AddrRange::new(start, end) else { return memory.resident(range) };
        self.prepare(memory, std::iter::once(pages))?;
        let known = self.blocks.borrow();
        let mut runs: Vec<AddrRange> = Vec::new();
        for block in start / BLOCK..=(end - 1) / BLOCK {
            for run in known.get(&block).into_iter().flatten().filter_map(|run| run.range.overlap(pages)) {
                match runs.last_mut() {
                    Some(last) if last.end() == run.start() => *last = last.hull(run),
                    _ => runs.push(run),
                }
            }
        }
        Ok(runs)
    }

    /// The part from the start of `range` on that is in resident pages. Of blocks that were not asked for, nothing is.
    pub fn prefix(&self, range: AddrRange) -> PresentRun {
        let known = self.blocks.borrow();
        let (mut next, mut is_own) = (range.start(), true);
        while next < range.end() {
            let Some(runs) = known.get(&(next / BLOCK)) else { break };
            let after = runs.partition_point(|run| run.range.end() <= next);
            let Some(run) = runs.get(after).filter(|run| run.range.contains(next)) else { break };
            next = run.range.end().min(range.end());
            is_own &= run.is_own;
        }
        let range = AddrRange::new(range.start(), next).expect("no run ends before it begins");
        PresentRun::new(range, is_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmview_platform::{MemoryCost, Piece};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Memory of which every other page is resident.
    struct Half(AtomicUsize);

    impl Memory for Half {
        fn read(&self, _: &mut [Piece<'_>]) -> Result<()> {
            unreachable!("nothing is read")
        }

        fn resident(&self, range: AddrRange) -> Result<Vec<AddrRange>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let pages = (range.start()..range.end()).step_by(8192);
            Ok(pages.filter_map(|page| AddrRange::new(page, page + 4096)).collect())
        }

        fn frames(&self, _: AddrRange) -> Result<Vec<Option<u64>>> {
            Ok(Vec::new())
        }

        fn cost(&self) -> MemoryCost {
            MemoryCost::default()
        }
    }

    fn range(start: u64, size: u64) -> AddrRange {
        AddrRange::new(start, start + size).unwrap()
    }

    #[test]
    fn a_block_is_asked_for_once() {
        let (memory, residency) = (Half(AtomicUsize::new(0)), Residency::default());
        residency.prepare(&memory, [range(0x10_0000, 8), range(0x1f_fff0, 32)].into_iter()).unwrap();
        residency.prepare(&memory, [range(0x18_0000, 8)].into_iter()).unwrap();
        assert_eq!(memory.0.load(Ordering::Relaxed), 1, "neighbors are asked for together");
        let prefix = |start, size| residency.prefix(range(start, size)).range.size().0;
        assert_eq!(prefix(0x10_0000, 8), 8);
        assert_eq!(prefix(0x10_0ff8, 16), 8, "up to the end of a page");
        assert_eq!(prefix(0x10_1000, 8), 0);
        assert_eq!(prefix(0x90_0000, 8), 0, "not asked for");
        assert!(!residency.prefix(range(0x10_0000, 8)).is_own);
        let runs = residency.runs(&memory, range(0x1f_f010, 0x2000), 4096).unwrap();
        assert_eq!(runs, [range(0x20_0000, 0x1000)], "whole pages, across blocks");
        assert_eq!(memory.0.load(Ordering::Relaxed), 1, "what is known is not asked for again");
    }
}
