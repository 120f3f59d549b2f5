//! The allocator: its states, segments, and blocks.

use mmview_platform::{AddrRange, Allocation, Bytes, Result};

use crate::owners::claims::Claims;
use crate::owners::target::{Target, is_brk, is_plain};

/// The header of a block: what is before it, and the size with flags.
const SIZE: u64 = 8;
const FLAGS: u64 = 7;
const IS_USED: u64 = 2;
const IS_AFTER_USED: u64 = 1;
const HEADER: usize = 16;

/// A large block has a mapping of its own: its header says so, and behind it are a mark and a zero.
const IS_LARGE: u64 = 1;
const LARGE_EXTRA: u64 = 32;
const LARGE_END: u64 = 24;

/// The head that marks an end.
const END: u64 = 11;

/// The state of an allocator is a block of about this size.
const STATE_SIZES: std::ops::RangeInclusive<u64> = 0x340..=0x3a0;

/// Where a state has the size of the unused top and the top, from the header of its block, and where versions have the record of
/// the newest segment.
const TOP_SIZE: u64 = 32;
const TOP: u64 = 48;
const NEWEST: [u64; 3] = [840, 848, 856];

/// The record of a segment: its start, its size, and the record of the one before. It lies at the end of that one.
const RECORD_SIZE: u64 = 8;
const RECORD_NEXT: u64 = 16;
const RECORD: usize = 24;

/// The most segments of an allocator.
const MOST_SEGMENTS: usize = 4096;

/// The most allocators. Each Lua state has one.
const MOST_STATES: usize = 256;

/// How many pages are looked at together.
const BATCH: usize = 64;

/// An allocator.
#[derive(Debug)]
pub(super) struct State {
    address: u64,
    top: u64,
    top_size: u64,
    /// The newest first.
    segments: Vec<AddrRange>,
    /// All of it: its lists of free blocks change with every allocation.
    bytes: Vec<u8>,
}

/// A large block.
#[derive(Debug)]
pub(super) struct Block {
    pub range: AddrRange,
    size: u64,
}

/// All allocators.
#[derive(Debug, Default)]
pub(super) struct Heap {
    pub states: Vec<State>,
    pub blocks: Vec<Block>,
    pub doubts: Vec<String>,
    tally: Tally,
}

/// What is allocated.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub blocks: u64,
    pub allocated: u64,
    pub free_blocks: u64,
    pub free: u64,
    pub committed: u64,
    pub largest: Vec<Allocation>,
}

impl Heap {
    /// Finds allocators in what nothing else claims, and then large blocks outside of their segments.
    pub fn find(target: &Target<'_>, claims: &Claims<'_>) -> Result<Heap> {
        let mut heap = Heap::default();
        let mut large = Vec::new();
        let is_brk = |range: &AddrRange| target.region_at(range.start()).is_some_and(is_brk);
        for range in claims.open().filter(|range| !is_brk(range)) {
            for run in target.resident(range)? {
                let Some(run) = run.overlap(range) else { continue };
                let pages: Vec<u64> = (run.start()..run.end()).step_by(target.page() as usize).collect();
                for batch in pages.chunks(BATCH) {
                    let headers = target.gather(batch.iter().copied(), HEADER)?;
                    for (address, header) in batch.iter().zip(headers.iter()) {
                        let Some(header) = header else { continue };
                        if may_be_state(target, header) {
                            let state = State::read(target, *address)?;
                            heap.states.extend(state.filter(|state| heap.is_apart(state)));
                        }
                        large.extend(block(target, *address, header));
                    }
                }
            }
        }
        if !heap.states.is_empty() {
            heap.keep(target, large)?;
        }
        Ok(heap)
    }

    /// Keeps the large blocks whose ends are marked, and that lie outside of each other and of the segments.
    fn keep(&mut self, target: &Target<'_>, large: Vec<Block>) -> Result<()> {
        let mut segments: Vec<AddrRange> = self.segments().collect();
        segments.sort_unstable_by_key(|segment| segment.start());
        let ends = target.gather(large.iter().map(|block| block.range.end() - LARGE_END), HEADER)?;
        let is_marked = |end: Option<&[u8]>| {
            end.is_some_and(|end| target.u64_in(end, 0) == Some(END) && target.u64_in(end, SIZE) == Some(0))
        };
        let marked: Vec<bool> = ends.iter().map(is_marked).collect();
        let mut next = 0;
        for (block, is_marked) in large.into_iter().zip(marked) {
            let after = segments.partition_point(|segment| segment.end() <= block.range.start());
            let is_outside = segments.get(after).is_none_or(|segment| segment.start() >= block.range.end());
            if is_marked && is_outside && block.range.start() >= next {
                next = block.range.end();
                self.blocks.push(block);
            }
        }
        Ok(())
    }

    /// Whether a state is one more, and shares no memory with the others.
    fn is_apart(&self, state: &State) -> bool {
        let is_shared = |segment: AddrRange| state.segments.iter().any(|own| own.overlaps(segment));
        self.states.len() < MOST_STATES && !self.segments().any(is_shared)
    }

    pub fn segments(&self) -> impl Iterator<Item = AddrRange> {
        self.states.iter().flat_map(|state| state.segments.iter().copied())
    }

    /// Counts the blocks in the segments.
    pub fn count(&mut self, target: &Target<'_>) -> Result<()> {
        let mut changed = 0;
        for state in &self.states {
            for segment in &state.segments {
                let mut walk =
                    Walk { next: segment.start(), end: segment.end(), top: state.top, is_done: false };
                target.scan(*segment, |address, bytes| walk.read(target, address, bytes, &mut self.tally))?;
                changed += usize::from(!walk.is_done);
                self.tally.committed += segment.size().0;
            }
            self.tally.free += state.top_size;
            self.tally.free_blocks += u64::from(state.top_size > 0);
            let again = State::read(target, state.address)?;
            let is_same =
                again.is_some_and(|again| again.bytes == state.bytes && again.segments == state.segments);
            changed += usize::from(!is_same);
        }
        if changed > 0 {
            self.doubts.push("segments changed while they were read, or are not in memory".to_owned());
        }
        Ok(())
    }

    /// What is allocated, in the large blocks too.
    pub fn tally(&self, largest: usize) -> Tally {
        let mut tally = self.tally.clone();
        for block in &self.blocks {
            tally.add_used(block.range.start(), block.size);
            tally.committed += block.range.size().0;
        }
        tally.largest.sort_unstable_by(|one, other| other.cmp(one));
        tally.largest.truncate(largest);
        tally
    }
}

impl Tally {
    fn add_used(&mut self, address: u64, size: u64) {
        /// Blocks from this size on are candidates for the largest.
        const LARGE: u64 = 16 << 10;
        self.blocks += 1;
        self.allocated += size;
        if size >= LARGE {
            self.largest.push(Allocation::new(Bytes(size), address + HEADER as u64));
        }
    }
}

/// Whether this can be the header of a block with the state of an allocator.
fn may_be_state(target: &Target<'_>, header: &[u8]) -> bool {
    let size = target.u64_in(header, SIZE).unwrap_or(0);
    size & FLAGS == IS_USED | IS_AFTER_USED && STATE_SIZES.contains(&(size & !FLAGS))
}

/// The large block with this header. Its end is not looked at.
fn block(target: &Target<'_>, address: u64, header: &[u8]) -> Option<Block> {
    let (before, size) = (target.u64_in(header, 0)?, target.u64_in(header, SIZE)?);
    let is_large = before == IS_LARGE && size & FLAGS == IS_USED;
    let size = size & !FLAGS;
    let range = AddrRange::with_size(address, Bytes(size.checked_add(LARGE_EXTRA)?))?;
    let is_block = is_large && range.end().is_multiple_of(target.page()) && target.is_within(range, is_plain);
    is_block.then_some(Block { range, size })
}

impl State {
    /// Reads the state in the block at `address`, and the records of its segments.
    fn read(target: &Target<'_>, address: u64) -> Result<Option<State>> {
        let bytes = target.bytes(address, *STATE_SIZES.end() as usize)?;
        let word = |offset| target.u64_in(&bytes, offset).unwrap_or(0);
        let (top, top_size) = (word(TOP), word(TOP_SIZE));
        for record in NEWEST.into_iter().filter_map(|at| bytes.get(at as usize..at as usize + RECORD)) {
            let Some((newest, next)) = segment(target, record) else { continue };
            let top_end = top.checked_add(top_size);
            if !newest.contains(top) || top_end.is_none_or(|end| end > newest.end()) {
                continue;
            }
            let mut segments = vec![newest];
            if follow(target, next, &mut segments)? && segments.iter().any(|range| range.contains(address)) {
                return Ok(Some(State { address, top, top_size, segments, bytes }));
            }
        }
        Ok(None)
    }
}

/// Follows the records of older segments, each of which lies in its segment. Returns whether they end well.
fn follow(target: &Target<'_>, mut record: u64, segments: &mut Vec<AddrRange>) -> Result<bool> {
    while record != 0 {
        let bytes = target.bytes(record, RECORD)?;
        let Some((range, next)) = segment(target, &bytes) else { return Ok(false) };
        let is_new = segments.iter().all(|segment| segment.start() != range.start());
        if !is_new || !range.contains(record) || segments.len() >= MOST_SEGMENTS {
            return Ok(false);
        }
        segments.push(range);
        record = next;
    }
    let mut ordered = segments.clone();
    ordered.sort_unstable_by_key(|segment| segment.start());
    Ok(ordered.windows(2).all(|pair| pair[0].end() <= pair[1].start()))
}

/// The segment of a record, and where the record of the one before is.
fn segment(target: &Target<'_>, record: &[u8]) -> Option<(AddrRange, u64)> {
    let word = |offset| target.u64_in(record, offset);
    let range = AddrRange::with_size(word(0)?, Bytes(word(RECORD_SIZE)?))?;
    let next = word(RECORD_NEXT)?;
    let is_segment = !range.is_empty()
        && range.start().is_multiple_of(target.page())
        && range.end().is_multiple_of(target.page())
        && target.is_within(range, is_plain)
        && next.is_multiple_of(8);
    is_segment.then_some((range, next))
}

/// A walk over the blocks of a segment.
struct Walk {
    next: u64,
    end: u64,
    top: u64,
    is_done: bool,
}

impl Walk {
    /// Counts the blocks whose headers are in these bytes.
    fn read(&mut self, target: &Target<'_>, address: u64, bytes: &[u8], tally: &mut Tally) {
        while !self.is_done && self.next < self.end {
            if self.next == self.top {
                self.is_done = true;
                return;
            }
            let Some(offset) = (self.next + SIZE).checked_sub(address) else { return };
            let Some(head) = target.u64_in(bytes, offset) else { return };
            let size = head & !FLAGS;
            let after = self.next.checked_add(size).filter(|after| *after <= self.end);
            let Some(after) = after.filter(|_| size >= HEADER as u64 || head == END) else { return };
            if head == END {
                self.is_done = true;
            } else if head & IS_USED != 0 {
                tally.add_used(self.next, size);
            } else {
                tally.free_blocks += 1;
                tally.free += size;
            }
            self.next = after;
        }
    }
}
