//! Blocks that wait for reuse: in the caches of threads (`tcache_perthread_struct`) and in fast bins. Their flags say that
//! they are in use.

use std::collections::{HashMap, HashSet};

use mmview_platform::Result;

use super::arena::{Arena, Layout};
use crate::owners::target::Target;

/// The largest number of blocks that are followed in all lists together.
const MOST_BLOCKS: usize = 1 << 23;

/// How many blocks of one size a thread caches at most, if `malloc_par` is not found.
const USUAL_FILL: u64 = 127;

/// A cache that changes while it is read misfits in so many places at most.
const MOST_MISFITS: usize = 2;

/// How many pages of lists are kept to follow them.
const MOST_PAGES: usize = 16 << 10;

/// How many pages are read together.
const PAGES_AHEAD: u64 = 16;

/// A format of a thread's cache: how many sizes, the width of their counters, whether these count free places (2.42),
/// and whether the links of its lists may be mangled (2.32).
#[derive(Clone, Copy, Debug)]
struct Format {
    bins: u64,
    width: u64,
    counts_places: bool,
    mangles: &'static [bool],
}

const BYTES: Format = Format { bins: 64, width: 1, counts_places: false, mangles: &[false] };
const HALVES: Format = Format { bins: 64, width: 2, counts_places: false, mangles: &[true, false] };
const PLACES: Format = Format { bins: 76, width: 2, counts_places: true, mangles: &[true] };

/// The sizes of blocks that hold a thread's cache: up to 2.29, up to 2.41, and from 2.42 on. Each can be 16 bytes more, because a
/// rest that is too small for a block is not split off.
const SIZES_64: &[u64] = &[0x250, 0x260, 0x290, 0x2a0, 0x300, 0x310, 0x320];
const SIZES_32: &[u64] = &[0x150, 0x160, 0x190, 0x1a0, 0x1d0, 0x1e0, 0x1f0];

/// From this index on, a cache holds blocks of more than one size (2.42).
const FIRST_LARGE: u64 = 64;

/// The sizes of blocks that may hold a thread's cache.
pub(super) fn sizes(word: u64) -> &'static [u64] {
    if word == 8 { SIZES_64 } else { SIZES_32 }
}

fn format_of(size: u64) -> Format {
    match size {
        0x250 | 0x260 | 0x150 | 0x160 => BYTES,
        0x290 | 0x2a0 | 0x190 | 0x1a0 => HALVES,
        _ => PLACES,
    }
}

/// A block: its address and its size.
type Block = (u64, u64);

/// What waits in the caches of threads.
#[derive(Debug, Default)]
pub(super) struct Caches {
    /// The blocks that wait.
    pub blocks: HashSet<Block>,
    /// The blocks that hold a cache, and their content when it was read.
    holders: Vec<(u64, Vec<u8>)>,
    /// Whether the links of lists are mangled (2.32).
    pub is_mangled: Option<bool>,
    /// How many blocks look like a cache, but for a list that doesn't fit: one that changed, or that a program has damaged.
    pub torn: usize,
}

/// A list while it is followed.
struct List {
    holder: usize,
    next: u64,
    left: u64,
    /// The size of its blocks; `None` if it holds several.
    size: Option<u64>,
    blocks: Vec<Block>,
}

impl Caches {
    /// Finds the caches among `candidates`: each list must have as many blocks as its counter says, all of the right size and
    /// in a heap.
    pub fn find(
        target: &Target<'_>,
        candidates: &[Block],
        cached: u64,
        is_heap: &dyn Fn(u64) -> bool,
    ) -> Result<Caches> {
        let mut caches = Caches::default();
        for &size in sizes(target.word) {
            let of_size: Vec<u64> =
                candidates.iter().filter(|(_, other)| *other == size).map(|(address, _)| *address).collect();
            if of_size.is_empty() {
                continue;
            }
            let header = 2 * target.word;
            // A block in use extends over the first word of the next one.
            let length = (size - target.word) as usize;
            let contents = target.gather(of_size.iter().map(|at| at + header), length)?;
            let holders: Vec<(u64, &[u8])> = of_size
                .iter()
                .zip(contents.iter())
                .filter_map(|(address, content)| Some((address + header, content?)))
                .collect();
            let format = format_of(size);
            let mut best: Option<(usize, bool, Caches)> = None;
            for &is_mangled in format.mangles {
                let found = Caches::follow(target, &holders, format, cached, is_mangled, is_heap)?;
                let count = found.holders.len();
                let is_better =
                    |(most, _, other): &(usize, bool, Caches)| (count, other.torn) > (*most, found.torn);
                if best.as_ref().is_none_or(is_better) {
                    best = Some((count, is_mangled, found));
                }
            }
            if let Some((count, is_mangled, found)) = best {
                caches.torn += found.torn;
                if count > 0 {
                    caches.blocks.extend(found.blocks);
                    caches.holders.extend(found.holders);
                    caches.is_mangled = Some(is_mangled);
                }
            }
        }
        Ok(caches)
    }

    fn follow(
        target: &Target<'_>,
        holders: &[(u64, &[u8])],
        format: Format,
        cached: u64,
        is_mangled: bool,
        is_heap: &dyn Fn(u64) -> bool,
    ) -> Result<Caches> {
        let mut torn = 0;
        let mut lists = Vec::new();
        let mut is_holder = vec![true; holders.len()];
        for (index, (_, content)) in holders.iter().enumerate() {
            let heads = heads(target, content, format, cached, is_heap);
            if let Heads::Torn = heads {
                torn += 1;
            }
            match heads {
                Heads::All(heads) => lists.extend(heads.into_iter().map(|(bin, fill, next)| List {
                    holder: index,
                    next,
                    left: fill,
                    size: (bin < FIRST_LARGE).then(|| 4 * target.word + 16 * bin),
                    blocks: Vec::new(),
                })),
                _ => is_holder[index] = false,
            }
        }
        let word = target.word;
        let mut total = 0;
        // One step of every list in each round, so that a round is one call.
        loop {
            let open: Vec<usize> =
                (0..lists.len()).filter(|&at| lists[at].left > 0 && is_holder[lists[at].holder]).collect();
            if open.is_empty() || total > MOST_BLOCKS {
                break;
            }
            total += open.len();
            let pieces = target.gather(open.iter().map(|&at| lists[at].next - word), 2 * word as usize)?;
            for (&at, piece) in open.iter().zip(pieces.iter()) {
                let list = &mut lists[at];
                let step = || {
                    let piece = piece?;
                    let size = target.word_in(piece, 0)? & !7;
                    let stored = target.word_in(piece, word)?;
                    let next = if is_mangled { stored ^ (list.next >> 12) } else { stored };
                    let is_size = list.size.is_none_or(|expected| size == expected) && size >= 4 * word;
                    let is_end = list.left == 1;
                    let is_next = if is_end { next == 0 } else { next % 16 == 0 && is_heap(next) };
                    (is_size && is_next).then_some((size, next))
                };
                match step() {
                    Some((size, next)) => {
                        list.blocks.push((list.next - 2 * word, size));
                        (list.next, list.left) = (next, list.left - 1);
                    }
                    None => is_holder[list.holder] = false,
                }
            }
        }
        let broken: HashSet<usize> =
            lists.iter().filter(|list| !is_holder[list.holder]).map(|list| list.holder).collect();
        let mut found = Caches { torn: torn + broken.len(), ..Caches::default() };
        let of_holders = lists.iter().filter(|list| is_holder[list.holder] && list.left == 0);
        found.blocks = of_holders.flat_map(|list| list.blocks.iter().copied()).collect();
        // An empty cache proves nothing, and holds nothing.
        let has_list: HashSet<usize> = lists.iter().map(|list| list.holder).collect();
        let proven =
            holders.iter().enumerate().filter(|(index, _)| is_holder[*index] && has_list.contains(index));
        found.holders = proven.map(|(_, (address, content))| (*address, content.to_vec())).collect();
        Ok(found)
    }

    /// Whether the caches have changed since they were read.
    pub fn have_changed(&self, target: &Target<'_>) -> Result<bool> {
        for (address, content) in &self.holders {
            if target.bytes(*address, content.len())? != *content {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The lists in the content of a block that may be a cache.
enum Heads {
    /// It fits in every place. The lists that are not empty: index, number of blocks, first block.
    All(Vec<(u64, u64, u64)>),
    /// It fits but for a place or two.
    Torn,
    /// It is something else.
    None,
}

fn heads(
    target: &Target<'_>,
    content: &[u8],
    format: Format,
    cached: u64,
    is_heap: &dyn Fn(u64) -> bool,
) -> Heads {
    let most = if cached == 0 { USUAL_FILL } else { cached };
    let entries = format.bins * format.width;
    let mut heads = Vec::new();
    let mut misfits = 0;
    for bin in 0..format.bins {
        let counter = match format.width {
            1 => content.get(bin as usize).map(|&byte| u64::from(byte)),
            _ => target.u16_in(content, bin * 2).map(u64::from),
        };
        let fill = counter
            .and_then(|counter| if format.counts_places { most.checked_sub(counter) } else { Some(counter) });
        let first = target.word_in(content, entries + bin * target.word);
        match (fill, first) {
            (Some(0), Some(0)) => {}
            (Some(fill), Some(first)) if fill > 0 && fill <= most && first % 16 == 0 && is_heap(first) => {
                heads.push((bin, fill, first));
            }
            _ => misfits += 1,
        }
        if misfits > MOST_MISFITS {
            return Heads::None;
        }
    }
    match misfits {
        0 => Heads::All(heads),
        _ if heads.is_empty() => Heads::None,
        _ => Heads::Torn,
    }
}

/// The blocks in the fast bins of an arena, and whether every list came to its end.
pub(super) fn fast_blocks(
    target: &Target<'_>,
    arena: &Arena,
    layout: &Layout,
    is_mangled: Option<bool>,
    most: &dyn Fn(u64) -> u64,
    is_heap: &dyn Fn(u64) -> bool,
) -> Result<(HashSet<Block>, bool)> {
    let mut found = HashSet::new();
    let mut is_whole = true;
    let Some((start, bins)) = layout.fast else { return Ok((found, true)) };
    let word = target.word;
    let mut pages = Pages::new(target);
    for bin in 0..bins {
        let size = 4 * word + bin * 2 * word;
        let mut next = target.word_in(&arena.state, start + bin * word).unwrap_or(0);
        let mut left = most(size);
        while next != 0 {
            if left == 0 || !next.is_multiple_of(2 * word) || !is_heap(next) {
                is_whole = false;
                break;
            }
            left -= 1;
            let (Some(field), Some(stored)) = (pages.word(next + word)?, pages.word(next + 2 * word)?) else {
                is_whole = false;
                break;
            };
            if field & !7 != size || !found.insert((next, size)) {
                is_whole = false;
                break;
            }
            let mangled = stored ^ ((next + 2 * word) >> 12);
            next = match is_mangled {
                Some(true) => mangled,
                Some(false) => stored,
                None if mangled == 0 || is_heap(mangled) => mangled,
                None => stored,
            };
        }
    }
    Ok((found, is_whole))
}

/// Pages that were read to follow lists through them.
struct Pages<'t, 'a> {
    target: &'t Target<'a>,
    read: HashMap<u64, Option<Vec<u8>>>,
}

impl<'t, 'a> Pages<'t, 'a> {
    fn new(target: &'t Target<'a>) -> Pages<'t, 'a> {
        Pages { target, read: HashMap::new() }
    }

    fn word(&mut self, address: u64) -> Result<Option<u64>> {
        let size = self.target.page();
        let page = address - address % size;
        if !self.read.contains_key(&page) {
            if self.read.len() > MOST_PAGES {
                self.read.clear();
            }
            let pages = (0..PAGES_AHEAD).map(|index| page.saturating_add(index * size));
            let pages: Vec<_> = pages.filter(|page| self.target.is_writable(*page)).collect();
            let contents = self.target.gather(pages.iter().copied(), size as usize)?;
            for (page, content) in pages.into_iter().zip(contents.iter()) {
                self.read.insert(page, content.map(<[u8]>::to_vec));
            }
        }
        let content = self.read.get(&page).and_then(Option::as_deref);
        Ok(content.and_then(|content| self.target.word_in(content, address - page)))
    }
}
