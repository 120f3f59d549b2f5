//! Arenas: `struct malloc_state` and `struct malloc_par` (`malloc/malloc.c`), and the heaps of arenas (`malloc/arena.c`).
//!
//! No symbol is needed. An empty bin points to itself, so the main arena shows as a long run of such words in the data of
//! glibc. The arenas form a ring; only the right layout leads back to the arena that the search began with.

use std::collections::{HashMap, HashSet};

use mmview_platform::{AddrRange, Result};

use crate::owners::target::{Target, is_brk, is_plain};

/// How many arenas are followed. glibc makes at most eight a processor.
const MOST_ARENAS: usize = 8192;

/// How many words of a module that point to themselves are tried as bins.
const MOST_HITS: usize = 512;

/// The number of bins, each two words.
const BINS: u64 = 127;

/// How far `malloc_par` lies before the main arena, at most.
const PARAMETERS_BEFORE: u64 = 4096;

/// The default limit of mapped blocks (`DEFAULT_MMAP_MAX`), by which `malloc_par` is found.
const MMAP_MAX: u32 = 65536;

/// The largest data of a module that is searched.
const LARGEST_DATA: u64 = 64 << 20;

/// Offsets in `malloc_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The list heads of fast bins, and how many there are.
    pub fast: Option<(u64, u64)>,
    pub top: u64,
    bins: u64,
    next: u64,
    system: u64,
    pub size: u64,
}

/// 64 bits: 2.27 to 2.42, 2.43, 2.26.
const LAYOUTS_64: [Layout; 3] = [
    Layout { fast: Some((16, 10)), top: 96, bins: 112, next: 2160, system: 2184, size: 2200 },
    Layout { fast: None, top: 8, bins: 24, next: 2072, system: 2096, size: 2112 },
    Layout { fast: Some((8, 10)), top: 88, bins: 104, next: 2152, system: 2176, size: 2192 },
];

/// 32 bits: 2.27 to 2.42, 2.43.
const LAYOUTS_32: [Layout; 2] = [
    Layout { fast: Some((12, 11)), top: 56, bins: 64, next: 1096, system: 1108, size: 1116 },
    Layout { fast: None, top: 8, bins: 16, next: 1048, system: 1060, size: 1068 },
];

fn layouts(word: u64) -> &'static [Layout] {
    if word == 8 { &LAYOUTS_64 } else { &LAYOUTS_32 }
}

/// An arena as it was read.
#[derive(Clone, Debug)]
pub(super) struct Arena {
    pub address: u64,
    /// Its structure, byte by byte.
    pub state: Vec<u8>,
    pub top: u64,
    /// The bytes that it got from the system.
    pub system: u64,
}

/// `malloc_par`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters {
    /// Where the main heap starts; 0 before the first allocation.
    pub heap_start: u64,
    /// How many mapped blocks there are, and their size together.
    pub mapped_blocks: u32,
    pub mapped_bytes: u64,
    /// How many blocks a thread caches of each size.
    pub cached: u64,
    /// Where the counters of mapped blocks lie.
    pub address: u64,
}

/// One copy of glibc's malloc in the process.
#[derive(Clone, Debug)]
pub(super) struct Malloc {
    pub layout: Layout,
    /// The main arena first.
    pub arenas: Vec<Arena>,
    /// `None` if it was not found.
    pub parameters: Option<Parameters>,
}

impl Malloc {
    /// Finds every copy of glibc's malloc that is in use.
    pub fn find_all(target: &Target<'_>) -> Result<Vec<Malloc>> {
        let mut found: Vec<Malloc> = Vec::new();
        for image in &target.images.all {
            let is_libc = target.images.glibc().any(|libc| std::ptr::eq(libc, image));
            // Only a program without a loader can contain glibc.
            let is_static =
                !image.elf.has_interpreter && target.process.path.as_deref() == Some(&*image.path);
            if !is_libc && !is_static {
                continue;
            }
            for data in image.data().filter(|data| data.size().0 <= LARGEST_DATA) {
                for resident in target.resident(data)? {
                    let Some(resident) = resident.overlap(data) else { continue };
                    let bytes = target.bytes(resident.start(), resident.size().0 as usize)?;
                    let malloc = Malloc::search(target, resident.start(), &bytes)?;
                    let is_new = |malloc: &Malloc| found.iter().all(|other| other.main() != malloc.main());
                    found.extend(malloc.filter(is_new));
                }
            }
        }
        Ok(found)
    }

    /// The address of its main arena.
    pub fn main(&self) -> u64 {
        self.arenas[0].address
    }

    /// Searches the data of a module for the main arena.
    fn search(target: &Target<'_>, start: u64, bytes: &[u8]) -> Result<Option<Malloc>> {
        let pair = 2 * target.word;
        let is_empty_bin = |offset: u64| {
            let header = Some((start + offset).wrapping_sub(pair));
            target.word_in(bytes, offset) == header && target.word_in(bytes, offset + target.word) == header
        };
        let offsets = (0..bytes.len() as u64).step_by(target.word as usize);
        // The bins of one arena all lead to it, and a forged ring can be long.
        let mut tried = HashSet::new();
        let mut nodes_left = MOST_ARENAS;
        for offset in offsets.filter(|offset| is_empty_bin(*offset)).take(MOST_HITS) {
            for layout in layouts(target.word) {
                for index in 0..BINS {
                    let Some(base) = offset.checked_sub(index * pair + layout.bins) else { break };
                    let Some(state) = bytes.get(base as usize..(base + layout.size) as usize) else {
                        continue;
                    };
                    if !tried.insert((base, layout.bins)) {
                        continue;
                    }
                    if let Some(malloc) = Malloc::at(target, layout, start + base, state, &mut nodes_left)? {
                        let parameters = parameters(target, start, bytes, base);
                        return Ok(Some(Malloc { parameters, ..malloc }));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Checks that a main arena of this layout is at `address`: every bin is empty or holds pointers, and the ring of arenas
    /// leads back to it.
    fn at(
        target: &Target<'_>,
        layout: &Layout,
        address: u64,
        state: &[u8],
        nodes_left: &mut usize,
    ) -> Result<Option<Malloc>> {
        let Some(main) = Arena::parse(target, layout, address, state) else { return Ok(None) };
        let mut next = target.word_in(state, layout.next);
        if next.is_none_or(|next| next != address && !target.is_plain(next)) {
            return Ok(None);
        }
        let mut arenas = vec![main];
        while let Some(at) = next.filter(|&next| next != address) {
            if *nodes_left == 0 || !target.is_plain(at) || !at.is_multiple_of(target.word) {
                return Ok(None);
            }
            *nodes_left -= 1;
            let state = target.bytes(at, layout.size as usize)?;
            let Some(arena) = Arena::parse(target, layout, at, &state) else { return Ok(None) };
            next = target.word_in(&state, layout.next);
            arenas.push(arena);
        }
        // A ring that does not lead back never gets here: it would have to visit an arena twice.
        Ok(next.map(|_| Malloc { layout: *layout, arenas, parameters: None }))
    }

    /// Reads the arenas again. `None` for one that is not there anymore.
    pub fn read_again(&self, target: &Target<'_>) -> Result<Vec<Option<Arena>>> {
        let addresses = self.arenas.iter().map(|arena| arena.address);
        let states = target.gather(addresses, self.layout.size as usize)?;
        let arenas = self.arenas.iter().zip(states.iter());
        Ok(arenas.map(|(arena, state)| Arena::parse(target, &self.layout, arena.address, state?)).collect())
    }

    /// The heaps of the arenas but the main one, by address, each with the index of its arena.
    ///
    /// They lie at multiples of their largest size, so every such address in private memory is looked at.
    pub fn heaps(&self, target: &Target<'_>) -> Result<Vec<Heap>> {
        let others: HashMap<u64, usize> =
            self.arenas.iter().enumerate().skip(1).map(|(index, arena)| (arena.address, index)).collect();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        // The tunable glibc.malloc.hugetlb makes heaps smaller than 64 MiB.
        let usual: u64 = if target.word == 8 { 64 << 20 } else { 1 << 20 };
        let first = |arena: &u64| arena - arena % 4096;
        let alignment = others.keys().map(|arena| 1 << first(arena).trailing_zeros().min(40)).min();
        let step = alignment.unwrap_or(usual).clamp(1 << 20, usual);
        let candidates = target.regions.iter().filter(|region| is_plain(region)).flat_map(|region| {
            let start = region.range.start().checked_next_multiple_of(step).unwrap_or(u64::MAX);
            (start..region.range.end()).step_by(step as usize)
        });
        let candidates: Vec<u64> = candidates.take(MOST_ARENAS * 16).collect();
        let headers = target.gather(candidates.iter().copied(), 4 * target.word as usize)?;
        let mut heaps = Vec::new();
        for (start, header) in candidates.into_iter().zip(headers.iter()) {
            let Some(header) = header else { continue };
            let word = |index: u64| target.word_in(header, index * target.word).unwrap_or(0);
            let Some(&arena) = others.get(&word(0)) else { continue };
            let (size, writable) = (word(2), word(3));
            let ranges = AddrRange::new(start, start.saturating_add(size))
                .zip(AddrRange::new(start, start.saturating_add(writable)));
            let Some((used, writable)) = ranges else { continue };
            let is_sane = size <= writable.size().0
                && writable.size().0 <= step
                && size.is_multiple_of(target.page())
                && size > 4 * target.word
                && target.is_within(writable, is_plain);
            if is_sane {
                heaps.push(Heap { arena, used, writable, reserved_end: start + step });
            }
        }
        Ok(heaps)
    }
}

/// A heap of an arena (`heap_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heap {
    /// The index of its arena.
    pub arena: usize,
    /// From its header to the end of its blocks.
    pub used: AddrRange,
    /// As far as it is writable.
    pub writable: AddrRange,
    /// The end of the address space that is reserved for it.
    pub reserved_end: u64,
}

impl Heap {
    /// The address of its first block: behind the arena's structure, if the heap holds it, or behind its own header.
    pub fn first_block(&self, word: u64, arena: u64, arena_size: u64) -> u64 {
        // The header is four or five words (2.35), padded.
        let header = if word == 8 { 0x30 } else { 0x18 };
        let start = match self.used.contains(arena) {
            true => arena + arena_size,
            false => self.used.start() + header,
        };
        block_at(start, word)
    }
}

/// The first address from `start` on at which a block can begin: what the program gets, two words behind it, is aligned.
pub(super) fn block_at(start: u64, word: u64) -> u64 {
    (start + 2 * word).next_multiple_of(16) - 2 * word
}

impl Arena {
    fn parse(target: &Target<'_>, layout: &Layout, address: u64, state: &[u8]) -> Option<Arena> {
        let pair = 2 * target.word;
        let word = |offset: u64| target.word_in(state, offset);
        for index in 0..BINS {
            let offset = layout.bins + index * pair;
            let (first, last) = (word(offset)?, word(offset + target.word)?);
            let empty = address + offset - pair;
            let is_pointer = |pointer: u64| pointer != 0 && pointer.is_multiple_of(2 * 4);
            let is_empty = first == empty && last == empty;
            if !(is_empty || is_pointer(first) && is_pointer(last)) {
                return None;
            }
        }
        let (system, most) = (word(layout.system)?, word(layout.system + target.word)?);
        let top = word(layout.top)?;
        (system <= most && top != 0).then(|| Arena { address, state: state.to_vec(), top, system })
    }
}

/// Finds `malloc_par` before the main arena: by the usual limit of mapped blocks, else by what else is known of it.
fn parameters(target: &Target<'_>, start: u64, bytes: &[u8], base: u64) -> Option<Parameters> {
    parameters_by(target, start, bytes, base, true)
        .or_else(|| parameters_by(target, start, bytes, base, false))
}

fn parameters_by(
    target: &Target<'_>,
    start: u64,
    bytes: &[u8],
    base: u64,
    has_usual_limit: bool,
) -> Option<Parameters> {
    let w = target.word;
    // How far before `sbrk_base` the number of mapped blocks lies: from 2.35 on, and before.
    let distances: &[u64] = if w == 8 { &[36, 32] } else { &[24] };
    let places = (base.saturating_sub(PARAMETERS_BEFORE)..base).step_by(w as usize);
    places.flat_map(|place| distances.iter().map(move |distance| (place, *distance))).find_map(
        |(place, distance)| {
            let word = |offset: u64| target.word_in(bytes, offset);
            let counters = place.checked_sub(distance)?;
            // The number of mapped blocks, its limit, and the most that there ever were.
            let number = |index: u64| target.u32_in(bytes, counters + 4 * index);
            let (blocks, limit, most_blocks) = (number(0)?, number(1)?, number(2)?);
            let (mapped, most) = (word(place.checked_sub(2 * w)?)?, word(place - w)?);
            let (heap_start, bins) = (word(place)?, word(place + w)?);
            let is_known = match has_usual_limit {
                true => limit == MMAP_MAX && (heap_start == 0 || target.is_plain(heap_start)),
                // mallopt(M_MMAP_MAX) has changed the limit. The kernel's heap starts here, and no more blocks and bytes are
                // mapped than once were, some or none of both.
                false => {
                    target.region_at(heap_start).is_some_and(is_brk)
                        && matches!(bins, 64 | 76)
                        && (blocks == 0) == (mapped == 0)
                        && (most_blocks == 0) == (most == 0)
                }
            };
            let is_sane = mapped <= most && blocks <= most_blocks && (1..=4096).contains(&bins);
            (is_known && is_sane).then(|| Parameters {
                heap_start,
                mapped_blocks: blocks,
                mapped_bytes: mapped,
                cached: word(place + 3 * w).unwrap_or(0),
                address: start + counters,
            })
        },
    )
}
