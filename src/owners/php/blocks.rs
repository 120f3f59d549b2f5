//! The blocks in chunks: runs of pages, and small blocks of 30 sizes (`ZEND_MM_BINS_INFO`), whose free ones form lists.

use mmview_platform::Result;

use super::chunks::{BINS, Chunk, Heap, PAGE, PAGES};
use crate::owners::target::Target;

/// The size of the blocks of each bin, and of its runs, in pages.
const SIZES: [(u64, u64); BINS] = [
    (8, 1),
    (16, 1),
    (24, 1),
    (32, 1),
    (40, 1),
    (48, 1),
    (56, 1),
    (64, 1),
    (80, 1),
    (96, 1),
    (112, 1),
    (128, 1),
    (160, 1),
    (192, 1),
    (224, 1),
    (256, 1),
    (320, 5),
    (384, 3),
    (448, 1),
    (512, 1),
    (640, 5),
    (768, 3),
    (896, 2),
    (1024, 2),
    (1280, 5),
    (1536, 3),
    (1792, 7),
    (2048, 4),
    (2560, 5),
    (3072, 3),
];

/// What the map says of a page: the first two bits are the kind of its run.
const KIND: u32 = 0xc000_0000;
const LARGE: u32 = 0x4000_0000;
const SMALL: u32 = 0x8000_0000;

/// The rest: how many pages a large run has, or which bin a small run has.
const LARGE_PAGES: u32 = 0x3ff;
const BIN: u32 = 0x1f;

/// How much is read at once: little enough for a cache of the processor.
const BATCH: u64 = 256 << 10;

/// How many blocks of a size are followed.
const MOST_BLOCKS: u64 = 1 << 25;

/// What follows a block that is not in memory: no block has this address.
const UNKNOWN: u64 = u64::MAX;

/// The runs of small blocks of a size.
#[derive(Debug, Default)]
struct Bin {
    /// Their addresses.
    runs: Vec<u64>,
    free: u64,
}

impl Bin {
    fn blocks(&self, index: usize) -> u64 {
        let (size, pages) = SIZES[index];
        self.runs.len() as u64 * (pages * PAGE / size)
    }

    fn used(&self, index: usize) -> u64 {
        self.blocks(index).saturating_sub(self.free)
    }
}

/// What is allocated in a heap.
#[derive(Debug, Default)]
pub(super) struct Tally {
    bins: Vec<Bin>,
    /// The sizes of the large runs and of the huge blocks.
    large: Vec<u64>,
    free_pages: u64,
    /// Pages whose entry in the map is none.
    torn: u64,
    /// Lists that do not end, lead elsewhere, or are too long.
    broken: u64,
}

impl Tally {
    /// Counts the blocks of a heap.
    pub fn count(target: &Target<'_>, heap: &Heap) -> Result<Tally> {
        let mut tally = Tally::default();
        tally.bins.resize_with(BINS, Bin::default);
        for chunk in &heap.chunks {
            tally.add(target, chunk);
        }
        tally.large.extend(heap.huge.iter().map(|block| block.size().0));
        for (index, bin) in tally.bins.iter_mut().enumerate() {
            bin.runs.sort_unstable();
            match free_blocks(target, &bin.runs, index, heap.lists[index])? {
                Some(free) => bin.free = free,
                None => tally.broken += 1,
            }
        }
        Ok(tally)
    }

    /// Adds the runs of a chunk.
    fn add(&mut self, target: &Target<'_>, chunk: &Chunk) {
        // The first page is the chunk's own.
        let mut page = 1;
        while page < PAGES {
            let entry = chunk.entry(target, page);
            let start = chunk.start + page * PAGE;
            let pages = match entry & KIND {
                _ if !chunk.is_used(page) => {
                    self.free_pages += 1;
                    1
                }
                LARGE if entry & LARGE_PAGES != 0 => {
                    let pages = u64::from(entry & LARGE_PAGES);
                    self.large.push(pages * PAGE);
                    pages
                }
                SMALL if ((entry & BIN) as usize) < BINS => {
                    let bin = (entry & BIN) as usize;
                    self.bins[bin].runs.push(start);
                    SIZES[bin].1
                }
                _ => {
                    self.torn += 1;
                    1
                }
            };
            if page + pages > PAGES {
                self.torn += 1;
            }
            page += pages;
        }
    }

    /// Whether the free blocks of every size were counted.
    pub fn is_counted(&self) -> bool {
        self.broken == 0
    }

    /// How many blocks are in use.
    pub fn allocations(&self) -> Option<u64> {
        let small: u64 = self.small().map(|(_, count)| count).sum();
        self.is_counted().then_some(small + self.large.len() as u64)
    }

    fn small(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bins.iter().enumerate().map(|(index, bin)| (SIZES[index].0, bin.used(index)))
    }

    /// How many bytes are free, in pages and in small blocks, if so many are in use.
    pub fn free_bytes(&self, used: u64) -> u64 {
        let bins = self.bins.iter().enumerate();
        let small: u64 = bins.map(|(index, bin)| bin.blocks(index) * SIZES[index].0).sum();
        let large = self.large.iter().copied().fold(0, u64::saturating_add);
        self.free_pages * PAGE + small.saturating_sub(used.saturating_sub(large))
    }

    /// The sizes of the blocks in use, ascending, and how many there are of each.
    pub fn sizes(&self) -> Vec<(u64, u64)> {
        let mut sizes: Vec<(u64, u64)> = self.small().filter(|(_, count)| *count > 0).collect();
        let mut large = self.large.clone();
        large.sort_unstable();
        sizes.extend(large.chunk_by(|one, other| one == other).map(|same| (same[0], same.len() as u64)));
        sizes
    }

    /// Why the figures may be wrong.
    pub fn doubts(&self, target: &Target<'_>, heap: &Heap) -> Result<Vec<String>> {
        let mut doubts = Vec::new();
        if self.torn > 0 {
            doubts.push(format!("{} pages contradict the map of their chunk", self.torn));
        }
        if self.broken > 0 {
            doubts.push(format!("{} of {BINS} lists of free blocks could not be followed", self.broken));
        }
        let small = self.small().map(|(size, count)| size * count);
        let sum = small.chain(self.large.iter().copied()).fold(0, u64::saturating_add);
        if doubts.is_empty() && sum != heap.size {
            doubts.push(format!("it counts {} bytes in use, and {sum} were found", heap.size));
        }
        if !heap.is_unchanged(target)? {
            doubts.push("the heap changed while it was read".to_owned());
        }
        Ok(doubts)
    }
}

/// How many blocks the list of a bin has, which runs through its runs. `None` if it leads elsewhere or does not end, or if there are
/// too many blocks.
fn free_blocks(target: &Target<'_>, runs: &[u64], index: usize, first: u64) -> Result<Option<u64>> {
    let (size, pages) = SIZES[index];
    let (length, of_run) = (pages * PAGE, pages * PAGE / size);
    let blocks = runs.len() as u64 * of_run;
    if first == 0 {
        return Ok(Some(0));
    }
    if blocks > MOST_BLOCKS {
        return Ok(None);
    }
    // What would follow each block if it were free: far less than the blocks, and the list jumps between them.
    let mut followers = Vec::with_capacity(blocks as usize);
    for runs in runs.chunks((BATCH / length) as usize) {
        let contents = target.gather(runs.iter().copied(), length as usize)?;
        for run in contents.iter() {
            let follower = |block| target.u64_in(run?, block * size);
            followers.extend((0..of_run).map(|block| follower(block).unwrap_or(UNKNOWN)));
        }
    }
    let (mut next, mut free, mut last) = (first, 0, 0);
    while next != 0 {
        // Most blocks lead to their neighbors.
        if next.wrapping_sub(runs.get(last).copied().unwrap_or(u64::MAX)) >= length {
            last = runs.partition_point(|run| *run <= next).wrapping_sub(1);
        }
        let offset = runs.get(last).and_then(|run| next.checked_sub(*run));
        let block = offset.filter(|offset| offset.is_multiple_of(size)).map(|offset| offset / size);
        let after =
            block.filter(|block| *block < of_run).map(|block| last * of_run as usize + block as usize);
        match after.and_then(|block| followers.get(block)) {
            Some(after) if free < blocks => next = *after,
            _ => return Ok(None),
        }
        free += 1;
    }
    Ok(Some(free))
}
