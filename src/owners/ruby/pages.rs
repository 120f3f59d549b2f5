//! Pages of slots (`struct heap_page_body`), and what describes them (`struct heap_page`).

use std::collections::BTreeMap;

use mmview_platform::{AddrRange, Bytes, Result};

use crate::owners::claims::Claims;
use crate::owners::target::{Target, is_brk, is_plain};

/// The smallest page.
const SMALLEST_PAGE: u64 = 16 << 10;

/// How much of a description is read: up to `freelist`.
const DESCRIPTION: u64 = 48;

/// What a page begins with: the address of its description.
const HEADER: u64 = 8;

/// The size of the smallest slot. Others are this, doubled up to four times.
const SLOT: u64 = 40;

/// The type of an object, in its first word (`RUBY_T_MASK`).
const TYPE: u64 = 0x1f;

/// Types of slots without an object (`T_NONE`, `T_ZOMBIE`, `T_MOVED`).
const NO_OBJECT: [u64; 3] = [0, 0x1d, 0x1e];

/// How much is read at once: little enough for a cache of the processor.
const BATCH: u64 = 256 << 10;

/// The sizes of pages: 3.2 and later, and 3.1. Before, malloc had the pages, so that they are counted as its blocks.
const PAGES: [u64; 2] = [64 << 10, SMALLEST_PAGE];

/// Where a description has the size of a slot, their number, how many are free, and the first slot.
const SLOT_SIZE: u64 = 0;
const SLOTS: u64 = 2;
const FREE: u64 = 4;
const START: u64 = 32;

/// Where it has the number of slots whose objects wait for their finalizers, and of those that compacting must not move: in an
/// order that depends on the version. Both are 0 as a rule.
const SPECIAL: [u64; 2] = [6, 8];

/// A page of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub range: AddrRange,
    pub slots: u64,
    slot: u64,
    start: u64,
    /// How many slots it has to give: those without objects. 0 as well once the interpreter has taken all of them to fill them.
    free: u64,
    /// Whether some slots have a dead object, or one that can't move.
    is_special: bool,
    /// Where its description is, and what it was.
    address: u64,
    description: Vec<u8>,
}

impl Page {
    /// Reads the description of the page at `page`; `None` if it does not lead back there or contradicts itself.
    pub fn parse(
        target: &Target<'_>,
        size: u64,
        page: u64,
        address: u64,
        description: &[u8],
    ) -> Option<Page> {
        let number = |offset| target.u16_in(description, offset).map(u64::from);
        let (slot, slots, free) = (number(SLOT_SIZE)?, number(SLOTS)?, number(FREE)?);
        let start = target.u64_in(description, START)?;
        let is_special = SPECIAL.into_iter().any(|offset| number(offset) != Some(0));
        let range = AddrRange::with_size(page, Bytes(size))?;
        let is_slot = slot.is_multiple_of(SLOT) && (slot / SLOT).is_power_of_two() && slot <= SLOT << 4;
        let before = start.checked_sub(page)?;
        let end = before.checked_add(slots * slot)?;
        // Slots fill the page. The first is aligned to its size.
        let is_filled = end <= size && size - end < 2 * slot;
        let is_page = is_slot
            && (HEADER..=HEADER + slot).contains(&before)
            && is_filled
            && free <= slots
            && target.is_within(range, is_plain);
        let description = description.to_vec();
        is_page.then_some(Page { range, slots, slot, start, free, is_special, address, description })
    }
}

/// The pages of the heap.
#[derive(Debug)]
pub(super) struct Heap {
    /// The size of a page.
    size: u64,
    /// Ordered by address.
    pub pages: Vec<Page>,
}

impl Heap {
    /// Finds the pages in what nothing else claims.
    pub fn find(target: &Target<'_>, claims: &Claims<'_>) -> Result<Option<Heap>> {
        let is_brk = |range: &AddrRange| target.region_at(range.start()).is_some_and(is_brk);
        let mut places = Vec::new();
        for range in claims.open().filter(|range| !is_brk(range)) {
            for run in target.resident(range)? {
                let Some(run) = run.overlap(range) else { continue };
                let first = run.start().checked_next_multiple_of(SMALLEST_PAGE).unwrap_or(u64::MAX);
                places.extend((first..run.end()).step_by(SMALLEST_PAGE as usize));
            }
        }
        let headers = target.gather(places.iter().copied(), HEADER as usize)?;
        let pairs: Vec<(u64, u64)> = places
            .into_iter()
            .zip(headers.iter())
            .filter_map(|(place, header)| Some((place, target.u64_in(header?, 0)?)))
            .filter(|(_, address)| address.is_multiple_of(8) && target.is_plain(*address))
            .collect();
        let descriptions = target.gather(pairs.iter().map(|(_, address)| *address), DESCRIPTION as usize)?;
        let heap = |size: u64| {
            let pages = pairs.iter().zip(descriptions.iter());
            let aligned = pages.filter(|((place, _), _)| place.is_multiple_of(size));
            let pages = aligned.filter_map(|((place, address), description)| {
                Page::parse(target, size, *place, *address, description?)
            });
            Heap { size, pages: pages.collect() }
        };
        // A program has pages of one size: that which most pages agree with.
        let most = PAGES.map(heap).into_iter().max_by_key(|heap| heap.pages.len());
        Ok(most.filter(|heap| !heap.pages.is_empty()))
    }

    /// Counts the objects in every page: by its description if that has free slots, else by the first words of its slots.
    pub fn count(&self, target: &Target<'_>) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut taken = Vec::new();
        let is_described = |page: &&Page| page.free > 0 && !page.is_special;
        let (described, others): (Vec<&Page>, Vec<&Page>) = self.pages.iter().partition(is_described);
        for page in described {
            tally.add(page, page.slots - page.free);
        }
        for pages in others.chunks((BATCH / self.size) as usize) {
            let bodies = target.gather(pages.iter().map(|page| page.range.start()), self.size as usize)?;
            for (&page, body) in pages.iter().zip(bodies.iter()) {
                let Some(body) = body else {
                    tally.missing += 1;
                    continue;
                };
                let live = live(target, page, body);
                tally.add(page, live);
                if page.free == 0 && live < page.slots {
                    taken.push((page, live));
                }
            }
        }
        // Allocations take slots of these pages, until they take another page, whose description then changes.
        let bodies = target.gather(taken.iter().map(|(page, _)| page.range.start()), self.size as usize)?;
        for ((page, before), body) in taken.iter().zip(bodies.iter()) {
            tally.changed += u64::from(body.is_none_or(|body| live(target, page, body) != *before));
        }
        let addresses = self.pages.iter().map(|page| page.address);
        let descriptions = target.gather(addresses, DESCRIPTION as usize)?;
        let pages = self.pages.iter().zip(descriptions.iter());
        tally.changed += pages.filter(|(page, now)| *now != Some(&page.description)).count() as u64;
        Ok(tally)
    }
}

/// How many slots of a page have an object.
fn live(target: &Target<'_>, page: &Page, body: &[u8]) -> u64 {
    let first = page.start - page.range.start();
    let is_live = |index: &u64| {
        let flags = target.u64_in(body, first + index * page.slot);
        flags.is_some_and(|flags| !NO_OBJECT.contains(&(flags & TYPE)))
    };
    (0..page.slots).filter(is_live).count() as u64
}

/// Slots of one size.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Class {
    pub live: u64,
    pub free: u64,
}

/// What is in the slots of the heap.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By the size of the slots.
    pub classes: BTreeMap<u64, Class>,
    missing: u64,
    changed: u64,
}

impl Tally {
    fn add(&mut self, page: &Page, live: u64) {
        let class = self.classes.entry(page.slot).or_default();
        class.live += live;
        class.free += page.slots - live;
    }

    /// Why the figures may be wrong.
    pub fn doubts(&self, pages: usize) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.missing > 0 {
            doubts.push(format!("{} of {pages} pages are not in memory", self.missing));
        }
        if self.changed > 0 {
            doubts.push(format!("{} of {pages} pages changed while they were read", self.changed));
        }
        doubts
    }
}
