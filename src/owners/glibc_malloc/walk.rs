//! Walking from block to block through a heap, in a stream of windows.
//!
//! A block begins with the size of the one before it, which means something only if that one is free, and its own size with
//! three flags. Whether a block is in use is in the next one's first flag (`malloc/malloc.c`, "malloc_chunk details").

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use mmview_platform::{AddrRange, Allocation, Bytes, Result, SizeClass};

use crate::owners::target::Target;

/// How much is read at once: little enough for a cache of the processor, much enough for few calls.
const WINDOW: usize = 256 << 10;

/// How many more of the largest blocks are kept than are asked for.
const SPARE: usize = 4096;

/// How many blocks that may be caches of threads are remembered.
const MOST_CANDIDATES: usize = 1 << 16;

/// Reads the headers of blocks at ascending addresses. A page that is not resident has none.
pub(super) struct Stream<'t, 'a> {
    target: &'t Target<'a>,
    pub resident: Vec<AddrRange>,
    window: Vec<u8>,
    start: u64,
    length: u64,
    /// How many bytes may still be read. Contents can lead a search through windows without end.
    pub allowance: u64,
}

impl<'t, 'a> Stream<'t, 'a> {
    /// Prepares to read the resident pages of `range`.
    pub fn new(target: &'t Target<'a>, range: AddrRange) -> Result<Stream<'t, 'a>> {
        let resident = target.resident(range)?;
        // One window serves all heaps.
        let mut window = target.window.take();
        window.resize(WINDOW, 0);
        Ok(Stream { target, resident, window, start: 0, length: 0, allowance: u64::MAX })
    }

    /// The two words of the header at `address`.
    #[inline]
    pub fn header(&mut self, address: u64) -> Result<Option<(u64, u64)>> {
        let size = 2 * self.target.word;
        if address < self.start || address.saturating_add(size) > self.start + self.length {
            self.load(address)?;
            if self.length < size {
                return Ok(None);
            }
        }
        let offset = address - self.start;
        let before = self.target.word_in(&self.window, offset);
        Ok(before.zip(self.target.word_in(&self.window, offset + self.target.word)))
    }

    fn load(&mut self, address: u64) -> Result<()> {
        (self.start, self.length) = (address, 0);
        let after = self.resident.partition_point(|range| range.end() <= address);
        let Some(run) = self.resident.get(after).filter(|run| run.contains(address)) else { return Ok(()) };
        let length = (run.end() - address).min(WINDOW as u64) as usize;
        let Some(rest) = self.allowance.checked_sub(length as u64) else { return Ok(()) };
        self.allowance = rest;
        self.length = self.target.read(address, &mut self.window[..length])? as u64;
        Ok(())
    }

    /// How much of `range` is resident.
    pub fn resident_in(&self, range: AddrRange) -> u64 {
        let first = self.resident.partition_point(|run| run.end() <= range.start());
        let inside = self.resident[first..].iter().take_while(|run| run.start() < range.end());
        inside.filter_map(|run| run.overlap(range)).map(|part| part.size().0).sum()
    }
}

impl Drop for Stream<'_, '_> {
    fn drop(&mut self) {
        self.target.window.replace(std::mem::take(&mut self.window));
    }
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the top block, which has this size.
    Top(u64),
    /// At the first of two fence posts, which end a piece of a heap.
    Fence(u64),
    /// At a header that contradicts its neighbors.
    Torn(u64),
    /// At a header whose page is not in memory.
    Missing(u64),
    /// After as many steps as were allowed.
    TooLong,
}

/// What a walk finds.
pub(super) trait Visit {
    fn used(&mut self, address: u64, size: u64);
    fn free(&mut self, address: u64, size: u64);
}

/// Finds nothing: only the end of a walk counts.
pub(super) struct Probe;

impl Visit for Probe {
    fn used(&mut self, _: u64, _: u64) {}
    fn free(&mut self, _: u64, _: u64) {}
}

/// Walks from the block at `start` up to the one at `top`, to a fence post, or to `end`, in at most `steps` steps.
pub(super) fn walk(
    stream: &mut Stream<'_, '_>,
    start: u64,
    end: u64,
    top: u64,
    steps: &mut u64,
    visit: &mut impl Visit,
) -> Result<End> {
    let word = stream.target.word;
    let (fence, least) = (2 * word, 4 * word);
    let mut last: Option<(u64, u64)> = None;
    let mut at = start;
    loop {
        let Some((before, field)) = stream.header(at)? else { return Ok(End::Missing(at)) };
        let (size, is_last_used) = (field & !7, field & 1 != 0);
        match last {
            Some((address, size)) if is_last_used => visit.used(address, size),
            Some((address, size)) if before == size => visit.free(address, size),
            None if is_last_used => {}
            _ => return Ok(End::Torn(at)),
        }
        if at == top {
            let is_possible = size >= least && at.checked_add(size).is_some_and(|after| after <= end);
            return Ok(if is_possible { End::Top(size) } else { End::Torn(at) });
        }
        if size == fence {
            return Ok(End::Fence(at));
        }
        if size < least || size % 16 != 0 || size >= end - at {
            return Ok(End::Torn(at));
        }
        *steps = steps.saturating_sub(1);
        if *steps == 0 {
            return Ok(End::TooLong);
        }
        last = Some((at, size));
        at += size;
    }
}

/// Classes of sizes: each multiple of 16 up to 512, then four a doubling.
const EXACT: u64 = 512;
const CLASSES: usize = 33 + 55 * 4;

fn class_of(size: u64) -> usize {
    if size <= EXACT {
        return size.div_ceil(16) as usize;
    }
    // 9 for sizes above 512 and up to 1024.
    let doubling = 63 - (size - 1).leading_zeros();
    let quarter = ((size - 1) >> (doubling - 2)) & 3;
    33 + (doubling as usize - 9) * 4 + quarter as usize
}

fn largest_in(class: usize) -> u64 {
    if class <= 32 {
        return class as u64 * 16;
    }
    let (doubling, quarter) = ((class - 33) / 4 + 9, (class as u64 - 33) % 4);
    (4 + quarter + 1) << (doubling - 2)
}

/// Adds up the blocks of an arena.
pub(super) struct Tally {
    pub used: u64,
    pub used_bytes: u64,
    pub free: u64,
    pub free_bytes: u64,
    pub largest_free: u64,
    /// Free blocks that contain a whole page or more.
    pub large_free: Vec<(u64, u64)>,
    /// Blocks that wait in a cache.
    pub cached: u64,
    pub cached_bytes: u64,
    counts: Vec<u64>,
    bytes: Vec<u64>,
    largest: BinaryHeap<Reverse<Allocation>>,
    most_largest: usize,
    /// The sizes of blocks that may be caches of threads, and such blocks.
    cache_sizes: &'static [u64],
    pub candidates: Vec<(u64, u64)>,
    word: u64,
    page: u64,
}

impl Tally {
    pub fn new(target: &Target<'_>, largest: usize, cache_sizes: &'static [u64]) -> Tally {
        Tally {
            used: 0,
            used_bytes: 0,
            free: 0,
            free_bytes: 0,
            largest_free: 0,
            large_free: Vec::new(),
            cached: 0,
            cached_bytes: 0,
            counts: vec![0; CLASSES],
            bytes: vec![0; CLASSES],
            largest: BinaryHeap::new(),
            most_largest: largest,
            cache_sizes,
            candidates: Vec::new(),
            word: target.word,
            page: target.page(),
        }
    }

    /// How many blocks of exactly this size are in use; for sizes up to 512.
    pub fn count_of(&self, size: u64) -> u64 {
        self.counts[class_of(size)]
    }

    /// Takes out blocks that are in use by their flags, but wait in a cache.
    pub fn remove(&mut self, cached: &HashSet<(u64, u64)>) {
        for (_, size) in cached {
            let class = class_of(*size);
            // While a heap changes, a list can have more than the walk has seen.
            let Some(left) = self.counts[class].checked_sub(1) else { continue };
            self.counts[class] = left;
            self.bytes[class] = self.bytes[class].saturating_sub(*size);
            self.used = self.used.saturating_sub(1);
            self.used_bytes = self.used_bytes.saturating_sub(*size);
            self.cached += 1;
            self.cached_bytes += size;
        }
        let is_in_use = |block: &Reverse<Allocation>| {
            !cached.contains(&(block.0.address - 2 * self.word, block.0.size.0))
        };
        self.largest.retain(is_in_use);
    }

    /// The blocks in use by size, ascending.
    pub fn sizes(&self) -> Vec<SizeClass> {
        let class = |class: usize| {
            SizeClass::new(Bytes(largest_in(class)), self.counts[class], Bytes(self.bytes[class]))
        };
        (0..CLASSES).filter(|index| self.counts[*index] > 0).map(class).collect()
    }

    /// The largest blocks in use, descending.
    pub fn largest(&mut self) -> Vec<Allocation> {
        let mut blocks: Vec<_> = self.largest.drain().map(|Reverse(block)| block).collect();
        blocks.sort_unstable_by(|one, other| other.cmp(one));
        blocks.truncate(self.most_largest);
        blocks
    }

    /// How much resident memory `malloc_trim` returns of free blocks: the whole pages behind their links (`mtrim`).
    pub fn trimmable(&self, stream: &Stream<'_, '_>) -> u64 {
        let whole_pages = |&(address, size): &(u64, u64)| {
            let start = (address + 6 * self.word).next_multiple_of(self.page);
            let end = (address + size) - ((address + size - start.min(address + size)) % self.page);
            AddrRange::new(start, end)
        };
        self.large_free.iter().filter_map(whole_pages).map(|pages| stream.resident_in(pages)).sum()
    }
}

impl Visit for Tally {
    #[inline]
    fn used(&mut self, address: u64, size: u64) {
        self.used += 1;
        self.used_bytes += size;
        let class = class_of(size);
        self.counts[class] += 1;
        self.bytes[class] += size;
        if self.most_largest > 0 {
            let block = Reverse(Allocation::new(Bytes(size), address + 2 * self.word));
            // Some of them may turn out to wait in a cache.
            if self.largest.len() < self.most_largest + SPARE {
                self.largest.push(block);
            } else if self.largest.peek().is_some_and(|least| size > least.0.size.0) {
                self.largest.pop();
                self.largest.push(block);
            }
        }
        if self.cache_sizes.contains(&size) && self.candidates.len() < MOST_CANDIDATES {
            self.candidates.push((address, size));
        }
    }

    fn free(&mut self, address: u64, size: u64) {
        self.free += 1;
        self.free_bytes += size;
        self.largest_free = self.largest_free.max(size);
        if size > self.page {
            self.large_free.push((address, size));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_in_the_class_that_holds_it() {
        for size in (16..100_000).step_by(16).chain([1 << 20, (1 << 20) + 16, 1 << 40, u64::MAX - 15]) {
            let class = class_of(size);
            assert!(class < CLASSES, "{size}");
            let most = u128::from(largest_in(class.min(CLASSES - 2)));
            if class < CLASSES - 1 {
                assert!(u128::from(size) <= most, "{size} is above {most}");
                assert!(class == 0 || largest_in(class - 1) < size, "{size}");
            }
        }
        assert_eq!(largest_in(class_of(64)), 64);
        assert_eq!(largest_in(class_of(513)), 640);
        assert_eq!(largest_in(class_of(1024)), 1024);
    }
}
