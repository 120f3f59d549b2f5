//! Extents: the records that the radix tree leads to.

use std::collections::HashMap;

use mmview_platform::{AddrRange, Bytes, Result};

use super::is_own;
use crate::owners::radix::{Entry, Root, Tree};
use crate::owners::target::{Gathered, Target};

/// The tree of addresses of 48 bits with pages of 4 KiB (`rtree_levels` in `rtree.h`).
pub(super) const TREE: Tree = Tree { page_bits: PAGE_BITS, leaf_bits: 18, root_bits: 18 };
const PAGE_BITS: u32 = 12;

/// jemalloc's own page, whatever the system's.
const PAGE: u64 = 1 << PAGE_BITS;

/// In the word of a leaf: the size class above the address, flags below it.
const CLASS_SHIFT: u32 = 48;
const RECORD: u64 = ((1 << CLASS_SHIFT) - 1) & !0x3f;

/// The part of a record that matters: flags, address, size.
const RECORD_SIZE: usize = 24;

/// No extent is larger.
const LARGEST_EXTENT: u64 = 1 << 40;

/// The number of size classes (`SC_NSIZES`); the class of an extent without one is this.
const CLASSES: u64 = 232;

/// How an extent's flags are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    /// 5.3: the leaf has the state too.
    Edata,
    /// 5.2, and close to it 5.1.
    Extent,
}

impl Layout {
    const ALL: [Layout; 2] = [Layout::Edata, Layout::Extent];

    pub fn version(self) -> &'static str {
        match self {
            Layout::Edata => "5.3",
            Layout::Extent => "5.2",
        }
    }

    fn state(self, bits: u64) -> u64 {
        match self {
            Layout::Edata => bits >> 17 & 7,
            Layout::Extent => bits >> 16 & 3,
        }
    }

    fn class(self, bits: u64) -> u64 {
        match self {
            Layout::Edata => bits >> 20 & 0xff,
            Layout::Extent => bits >> 18 & 0xff,
        }
    }

    fn free(self, bits: u64) -> u64 {
        match self {
            Layout::Edata => bits >> 28 & 0x3ff,
            Layout::Extent => bits >> 26 & 0x3ff,
        }
    }

    /// Whether the word of a leaf agrees with the flags of the record that it leads to. That of a free extent keeps the class
    /// of its last use.
    fn agrees(self, word: u64, bits: u64) -> bool {
        let is_state_equal = self == Layout::Extent || word >> 2 & 7 == self.state(bits);
        let is_free = self.state(bits) != 0;
        let is_use_equal = word >> CLASS_SHIFT == self.class(bits) && word & 1 == bits >> 12 & 1;
        is_state_equal && (is_free || is_use_equal)
    }
}

/// The size of a class: 8, then steps of 16 up to 128, then four for each doubling.
pub(super) fn class_size(class: u64) -> Option<u64> {
    match class {
        0 => Some(8),
        1..=8 => Some(16 * class),
        9..CLASSES => {
            let (doubling, step) = ((class - 9) / 4, (class - 9) % 4 + 1);
            128_u64.checked_shl(doubling as u32)?.checked_add(step * (32_u64 << doubling))
        }
        _ => None,
    }
}

/// What an extent is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Small blocks of one size.
    Slab { size: u64, objects: u64, free: u64 },
    /// One block.
    Large { class_size: u64 },
    /// Free, and kept for reuse: jemalloc calls it dirty or muzzy.
    Cached,
    /// Free, and its pages went back to the system.
    Retained,
}

/// An extent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub range: AddrRange,
    /// Where the block of a large extent starts.
    pub address: u64,
    pub arena: u16,
    pub state: State,
}

impl Extent {
    /// The extent of a record; `None` if the record contradicts itself or the map.
    fn parse(target: &Target<'_>, layout: Layout, bytes: &[u8]) -> Option<Extent> {
        let word = |offset| target.u64_in(bytes, offset);
        let (bits, address, size) = (word(0)?, word(8)?, word(16)? & !(PAGE - 1));
        if size == 0 || size > LARGEST_EXTENT {
            return None;
        }
        let range = AddrRange::with_size(address & !(PAGE - 1), Bytes(size))?;
        if !target.is_within(range, is_own) {
            return None;
        }
        let (is_slab, class_size) = (bits >> 12 & 1 == 1, class_size(layout.class(bits)));
        let state = match (layout.state(bits), is_slab) {
            (0, true) => {
                let size = class_size.filter(|class| *class <= range.size().0)?;
                let (objects, free) = (range.size().0 / size, layout.free(bits));
                (free <= objects).then_some(State::Slab { size, objects, free })?
            }
            (0, false) => State::Large { class_size: class_size? },
            (1 | 2, _) => State::Cached,
            (3, _) => State::Retained,
            _ => return None,
        };
        Some(Extent { range, address, arena: (bits & 0xfff) as u16, state })
    }

    /// How much of a large extent the program can use. Normally a page is left over, for a start that differs from block to
    /// block, so that blocks don't compete for the same lines of caches.
    pub fn usable(&self, is_cache_oblivious: bool) -> u64 {
        let size = self.range.size().0;
        if is_cache_oblivious && size > PAGE { size - PAGE } else { size }
    }
}

/// For each entry of a leaf the page that it is for, if a record confirms it, and the layout.
pub(super) fn confirm(target: &Target<'_>, entries: &[Entry]) -> Result<Vec<Option<(u64, Layout)>>> {
    let records = target.gather(entries.iter().map(|entry| entry.word & RECORD), RECORD_SIZE)?;
    let confirm = |entry: &Entry, record: Option<&[u8]>| {
        let (address, record) = (entry.word & RECORD, record?);
        let bits = target.u64_in(record, 0)?;
        Layout::ALL.into_iter().filter(|layout| layout.agrees(entry.word, bits)).find_map(|layout| {
            let extent = Extent::parse(target, layout, record).filter(|_| target.is_plain(address))?;
            Some((TREE.page_in(entry.index, extent.range)?, layout))
        })
    };
    Ok(entries.iter().zip(records.iter()).map(|(entry, record)| confirm(entry, record)).collect())
}

/// What the tree leads to.
pub(super) struct Extents {
    /// Ordered by address, none overlapping another.
    pub extents: Vec<Extent>,
    /// The addresses of the records and leaves.
    pub places: Vec<u64>,
    /// Why the figures may be wrong.
    pub doubts: Vec<String>,
}

impl Extents {
    /// Reads every extent of a tree.
    pub fn read(target: &Target<'_>, root: Root<Layout>) -> Result<Extents> {
        let mut found = Extents { extents: Vec::new(), places: Vec::new(), doubts: Vec::new() };
        // The record, the page that leads to it, and the word that does.
        let mut links: Vec<(u64, u64, u64)> = Vec::new();
        for (base, leaf) in TREE.leaves(target, root.address)? {
            found.places.push(leaf.start());
            for (page, word) in TREE.pages(target, base, leaf)? {
                links.push((word & RECORD, page, word));
            }
        }
        links.retain(|(record, ..)| record.is_multiple_of(8) && target.is_plain(*record));
        links.sort_unstable();
        links.dedup_by_key(|(record, ..)| *record);
        let records: Vec<u64> = links.iter().map(|(record, ..)| *record).collect();
        let before = Records::read(target, &records)?;
        let (mut torn, mut unread) = (0, 0);
        for &(record, page, word) in &links {
            let Some(bytes) = before.get(record) else {
                unread += 1;
                continue;
            };
            let extent = Extent::parse(target, root.tag, bytes).filter(|extent| extent.range.contains(page));
            let agrees = target.u64_in(bytes, 0).is_some_and(|bits| root.tag.agrees(word, bits));
            torn += usize::from(extent.is_none() || !agrees);
            found.extents.extend(extent);
        }
        found.extents.sort_unstable_by_key(|extent| extent.range);
        let all = found.extents.len();
        found.extents.dedup_by(|later, earlier| later.range.start() < earlier.range.end());
        torn += all - found.extents.len();
        let after = Records::read(target, &records)?;
        let changed = records.iter().filter(|record| before.get(**record) != after.get(**record)).count();
        for (count, what) in [
            (torn, "contradict each other"),
            (changed, "changed while they were read"),
            (unread, "are not in memory"),
        ] {
            if count > 0 {
                found.doubts.push(format!("{count} of {} records of extents {what}", links.len()));
            }
        }
        found.places.extend(records);
        Ok(found)
    }

    /// Whether large extents have a page more than their blocks. If not, none is larger than its size class.
    pub fn is_cache_oblivious(&self) -> bool {
        let sizes = || {
            self.extents.iter().filter_map(|extent| match extent.state {
                State::Large { class_size } => Some((extent.range.size().0, class_size)),
                _ => None,
            })
        };
        sizes().any(|(size, class_size)| size > class_size) || !sizes().any(|(size, class)| size == class)
    }
}

/// Records, read page by page: they lie close together.
struct Records {
    /// Which piece has a page.
    pages: HashMap<u64, usize>,
    pieces: Gathered,
}

impl Records {
    fn read(target: &Target<'_>, records: &[u64]) -> Result<Records> {
        let mut pages: Vec<u64> = records.iter().map(|record| record & !(PAGE - 1)).collect();
        pages.sort_unstable();
        pages.dedup();
        let pieces = target.gather(pages.iter().copied(), PAGE as usize)?;
        Ok(Records { pages: pages.into_iter().zip(0..).collect(), pieces })
    }

    fn get(&self, record: u64) -> Option<&[u8]> {
        let page = self.pieces.get(*self.pages.get(&(record & !(PAGE - 1)))?)?;
        let start = (record % PAGE) as usize;
        page.get(start..start + RECORD_SIZE)
    }
}
