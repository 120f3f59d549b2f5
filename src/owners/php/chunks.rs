//! Chunks (`struct _zend_mm_chunk`), the heap in the first of them (`struct _zend_mm_heap`), and huge blocks.

use std::collections::{BTreeMap, HashSet};

use mmview_platform::{AddrRange, Bytes, Result};

use crate::owners::claims::Claims;
use crate::owners::target::{Target, is_plain};

/// The size and the alignment of a chunk, and of a page in it. A chunk describes itself in its first page.
pub(super) const CHUNK: u64 = 2 << 20;
pub(super) const PAGE: u64 = 4 << 10;
pub(super) const PAGES: u64 = CHUNK / PAGE;

/// Where the main chunk has the heap.
const HEAP: u64 = 64;

/// What the map of a chunk says of its first page: it is a run of one page.
const FIRST_PAGE: u32 = 0x4000_0001;

/// The size of the bits of used pages, which the map follows.
const BITS: u64 = PAGES / 8;

/// Words of the heap. The lists of free blocks follow one of them, and the sizes those.
const SIZE: u64 = 2;
const FREE_LISTS: u64 = 4;

/// The number of lists of free blocks.
pub(super) const BINS: usize = 30;

/// More than any address space has.
const MOST_BYTES: u64 = 1 << 56;

/// How many huge blocks are followed.
const MOST_HUGE: usize = 1 << 16;

/// A chunk as it was read.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub start: u64,
    heap: u64,
    next: u64,
    /// Its first page.
    page: Vec<u8>,
    /// Where the map of pages is in it.
    map: u64,
}

impl Chunk {
    /// Reads the first page of what can be a chunk. The place of the map depends on the version.
    pub fn parse(target: &Target<'_>, start: u64, page: &[u8]) -> Option<Chunk> {
        let (heap, next) = (target.u64_in(page, 0)?, target.u64_in(page, 8)?);
        let free = target.u32_in(page, 24)?;
        let range = AddrRange::with_size(start, Bytes(CHUNK))?;
        if !target.is_within(range, is_plain)
            || heap % CHUNK != HEAP
            || !next.is_multiple_of(CHUNK)
            || u64::from(free) >= PAGES
        {
            return None;
        }
        let is_map = |map: &u64| {
            let bits = page.get((map - BITS) as usize..*map as usize);
            let used = || bits.unwrap_or_default().iter().map(|byte| byte.count_ones()).sum::<u32>();
            target.u32_in(page, *map) == Some(FIRST_PAGE)
                && bits.is_some_and(|bits| bits[0] & 1 == 1)
                && used() == PAGES as u32 - free
        };
        let map = (HEAP + BITS..=PAGE - 4 * PAGES).step_by(4).find(is_map)?;
        Some(Chunk { start, heap, next, page: page.to_vec(), map })
    }

    /// Whether a page is in use.
    pub fn is_used(&self, page: u64) -> bool {
        let bits = self.page.get((self.map - BITS + page / 8) as usize).copied().unwrap_or(0);
        bits >> (page % 8) & 1 == 1
    }

    /// What the map says of a page.
    pub fn entry(&self, target: &Target<'_>, page: u64) -> u32 {
        target.u32_in(&self.page, self.map + 4 * page).unwrap_or(0)
    }

    /// The words of the heap, if it has it.
    fn words(&self) -> &[u8] {
        self.page.get(HEAP as usize..(self.map - BITS) as usize).unwrap_or_default()
    }
}

/// A heap and its chunks.
#[derive(Debug)]
pub(super) struct Heap {
    address: u64,
    /// The main chunk first.
    pub chunks: Vec<Chunk>,
    /// Chunks without blocks that it keeps for later.
    pub cached: Vec<u64>,
    pub huge: Vec<AddrRange>,
    /// The size of the blocks in use, and of all memory that it has.
    pub size: u64,
    pub real_size: u64,
    pub real_peak: u64,
    pub limit: u64,
    /// The first free block of each size.
    pub lists: Vec<u64>,
    words: Vec<u8>,
    doubts: Vec<String>,
}

impl Heap {
    /// Finds every heap in what nothing else claims; the largest first.
    pub fn find_all(target: &Target<'_>, claims: &Claims<'_>) -> Result<Vec<Heap>> {
        let mut places = Vec::new();
        for range in claims.open() {
            for run in target.resident(range)? {
                let Some(run) = run.overlap(range) else { continue };
                let first = run.start().checked_next_multiple_of(CHUNK).unwrap_or(u64::MAX);
                places.extend((first..run.end()).step_by(CHUNK as usize));
            }
        }
        let pages = target.gather(places.iter().copied(), PAGE as usize)?;
        let mut by_heap: BTreeMap<u64, BTreeMap<u64, Chunk>> = BTreeMap::new();
        for (place, page) in places.into_iter().zip(pages.iter()) {
            if let Some(chunk) = page.and_then(|page| Chunk::parse(target, place, page)) {
                by_heap.entry(chunk.heap).or_default().insert(place, chunk);
            }
        }
        let mut heaps = Vec::new();
        for (address, chunks) in by_heap {
            heaps.extend(Heap::read(target, address, chunks)?);
        }
        heaps.sort_by_key(|heap| std::cmp::Reverse(heap.real_size));
        Ok(heaps)
    }

    /// Reads the heap at `address`, with those of the chunks that are in its ring.
    fn read(target: &Target<'_>, address: u64, mut found: BTreeMap<u64, Chunk>) -> Result<Option<Heap>> {
        let main = address - HEAP;
        let Some(words) = found.get(&main).map(|chunk| chunk.words().to_vec()) else { return Ok(None) };
        let word = |index: u64| target.u64_in(&words, 8 * index);
        let half = |index: u64, part: u64| target.u32_in(&words, 8 * index + 4 * part).unwrap_or(0);
        // Some versions have a key before the lists. The sizes follow the lists.
        let is_total = |index: &u64| {
            let (Some(total), Some(peak)) = (word(*index), word(index + 1)) else { return false };
            (CHUNK..MOST_BYTES).contains(&total) && total.is_multiple_of(PAGE) && total <= peak
        };
        let lists = [FREE_LISTS, FREE_LISTS + 1].into_iter().find(|lists| is_total(&(lists + BINS as u64)));
        let size = word(SIZE).filter(|size| *size < MOST_BYTES);
        let Some((lists, size)) = lists.zip(size) else { return Ok(None) };
        let total = lists + BINS as u64;
        let end = words.len() as u64 / 8;
        let Some(place) = (total + 2..end).find(|index| word(*index) == Some(main)) else { return Ok(None) };
        let (real_size, real_peak) = (word(total).unwrap_or(0), word(total + 1).unwrap_or(0));
        let mut heap = Heap {
            address,
            chunks: Vec::new(),
            cached: Vec::new(),
            huge: huge(target, word(place - 1).unwrap_or(0))?,
            size,
            real_size,
            real_peak,
            limit: word(total + 2).unwrap_or(u64::MAX),
            lists: (0..BINS as u64).map(|bin| word(lists + bin).unwrap_or(0)).collect(),
            words: words.clone(),
            doubts: Vec::new(),
        };
        let mut next = main;
        while let Some(chunk) = found.remove(&next) {
            next = chunk.next;
            heap.chunks.push(chunk);
        }
        heap.cached = cached(target, address, word(place + 1).unwrap_or(0), half(place + 3, 0))?;
        let count = half(place + 2, 0) as usize;
        if next != main || heap.chunks.len() != count {
            heap.doubts.push(format!("it counts {count} chunks, and {} were found", heap.chunks.len()));
        }
        let chunks = (heap.chunks.len() + heap.cached.len()) as u64 * CHUNK;
        let sum = heap.huge.iter().map(|block| block.size().0).fold(chunks, u64::saturating_add);
        if sum != real_size {
            heap.doubts.push(format!("it has {real_size} bytes, and {sum} were found"));
        }
        Ok(Some(heap))
    }

    /// Whether it is as it was: every allocation changes its size or its lists.
    pub fn is_unchanged(&self, target: &Target<'_>) -> Result<bool> {
        Ok(target.bytes(self.address, self.words.len())? == self.words)
    }

    /// Why what it consists of may be wrong.
    pub fn doubts(&self) -> Vec<String> {
        self.doubts.clone()
    }
}

/// The chunks in the list of those that are kept for later.
fn cached(target: &Target<'_>, heap: u64, first: u64, count: u32) -> Result<Vec<u64>> {
    let mut chunks = Vec::new();
    let mut seen = HashSet::new();
    let mut next = first;
    while chunks.len() < count as usize && next != 0 && next.is_multiple_of(CHUNK) && seen.insert(next) {
        let range = AddrRange::with_size(next, Bytes(CHUNK));
        if range.is_none_or(|range| !target.is_within(range, is_plain)) {
            break;
        }
        let header = target.bytes(next, 16)?;
        if target.u64_in(&header, 0) != Some(heap) {
            break;
        }
        chunks.push(next);
        next = target.u64_in(&header, 8).unwrap_or(0);
    }
    Ok(chunks)
}

/// The blocks in the list of huge blocks.
fn huge(target: &Target<'_>, first: u64) -> Result<Vec<AddrRange>> {
    let mut blocks = Vec::new();
    let mut seen = HashSet::new();
    let mut next = first;
    while next != 0 && target.is_plain(next) && seen.insert(next) && blocks.len() < MOST_HUGE {
        let node = target.bytes(next, 24)?;
        let fields = target.u64_in(&node, 0).zip(target.u64_in(&node, 8)).zip(target.u64_in(&node, 16));
        let Some(((start, size), after)) = fields else { break };
        let block = AddrRange::with_size(start, Bytes(size)).filter(|block| {
            let is_aligned = start.is_multiple_of(CHUNK) && size.is_multiple_of(PAGE) && size > 0;
            is_aligned && target.is_within(*block, is_plain)
        });
        let Some(block) = block else { break };
        blocks.push(block);
        next = after;
    }
    Ok(blocks)
}
