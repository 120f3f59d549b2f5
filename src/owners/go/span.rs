//! Go's spans: runs of pages for objects of one size, for stacks, or for one large object (`mspan`).

use mmview_platform::{AddrRange, Bytes, Result};

use super::arena::{Arena, PAGE};
use crate::owners::target::{Gathered, Target, is_plain};

/// How much of a record is read.
const SIZE: usize = 128;

/// The size of a record, with what is not read, and that of the chunks that hold them.
pub(super) const RECORD: u64 = 160;

/// How many records are read at once.
const AT_ONCE: usize = 4096;

/// No span has so many pages, and no size class such a number (`numSpanClasses`).
const MOST_PAGES: u64 = 1 << 22;
const CLASSES: u8 = 136;

/// The offsets that all versions share: the first address, the number of pages, and for the small ones how much of them is
/// handed out.
const START: u64 = 24;
const PAGES: u64 = 32;

/// Where the fields are that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The number of objects: its offset, and whether it is a word.
    objects: u64,
    is_word: bool,
    /// The bits of its objects: the first of two pointers, or of three.
    bits: u64,
    /// The number of objects in use; the class, the state, the size of an object and the limit follow.
    used: u64,
}

impl Layout {
    /// The layouts of the versions whose arenas have their spans at `spans_at`.
    pub fn of(spans_at: u64) -> Vec<Layout> {
        let of_word = |used| Layout { objects: 56, is_word: true, bits: 72, used };
        match spans_at {
            0 => vec![Layout { objects: 50, is_word: false, bits: 64, used: 96 }],
            // Go 1.21 has one more pointer.
            _ => vec![of_word(96), of_word(104)],
        }
    }

    /// Whether a record is one that no span uses.
    fn is_free(&self, record: &[u8]) -> bool {
        record.get(self.used as usize + 3) == Some(&0)
    }

    /// The span that a record describes, if that is possible; not if it is free.
    pub fn span(&self, target: &Target<'_>, record: &[u8]) -> Option<Span> {
        let field = |offset| target.u64_in(record, offset);
        let pages = field(PAGES).filter(|pages| (1..MOST_PAGES).contains(pages))?;
        let start = field(START).filter(|start| start.is_multiple_of(PAGE))?;
        let range = AddrRange::with_size(start, Bytes(pages * PAGE))?;
        let (class, state) = (*record.get(self.used as usize + 2)?, *record.get(self.used as usize + 3)?);
        let object_size = field(self.used + 8)?;
        let use_ = match (state, object_size) {
            (1, _) => Use::Objects,
            // The work of the collector has no objects.
            (2, 0) => Use::Work,
            (2, _) => Use::Stacks,
            _ => return None,
        };
        let objects = match self.is_word {
            true => field(self.objects)?,
            false => target.u16_in(record, self.objects)?.into(),
        };
        let used = target.u16_in(record, self.used)?.into();
        let limit = field(self.used + 16)?;
        let is_possible = class < CLASSES
            && object_size <= range.size().0
            && (range.start()..=range.end()).contains(&limit)
            && (use_ != Use::Objects || (used <= objects && object_size > 0))
            && (use_ != Use::Objects || objects.checked_mul(object_size)? <= range.size().0);
        is_possible.then_some(Span {
            range,
            use_,
            is_large: class < 2,
            used,
            object_size,
            bits: [field(self.bits)?, field(self.bits + 8)?],
        })
    }
}

/// What a span is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Objects of the heap.
    Objects,
    /// Stacks of goroutines.
    Stacks,
    /// Work of the garbage collector.
    Work,
}

/// A span in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub range: AddrRange,
    pub use_: Use,
    /// Whether it is for one large object.
    pub is_large: bool,
    /// The number of objects in use.
    pub used: u64,
    pub object_size: u64,
    /// The addresses of its bits for the objects in use and for those that the collector has seen.
    bits: [u64; 2],
}

impl Span {
    /// The size of the objects in use.
    pub fn used_bytes(&self) -> u64 {
        self.used.saturating_mul(self.object_size)
    }
}

/// The spans of all arenas, in the order of their addresses, none overlapping another.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub all: Vec<Span>,
    /// The addresses of their records.
    records: Vec<u64>,
    /// How many records contradict the lists of the arenas.
    pub torn: usize,
    /// How many changed while they were read.
    changed: usize,
    /// The size of the lists that could not be read.
    swapped: Bytes,
}

impl Spans {
    /// Reads every span that the arenas list.
    pub fn read(target: &Target<'_>, layout: &Layout, arenas: &[Arena]) -> Result<Spans> {
        let listed = arenas.iter().flat_map(|arena| &arena.spans);
        let mut addresses: Vec<u64> = listed.map(|(_, address)| *address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.retain(|address| address.is_multiple_of(8) && target.is_plain(*address));
        let mut spans = Spans::default();
        let mut found = Vec::new();
        for addresses in addresses.chunks(AT_ONCE) {
            let records = Records::read(target, addresses.iter().copied())?;
            for address in addresses {
                let Some(record) = records.get(*address) else {
                    spans.torn += 1;
                    continue;
                };
                // Pages of a span that was freed still have its record, which is free, or is that of another span now.
                if layout.is_free(&record) {
                    continue;
                }
                let span = layout.span(target, &record);
                match span.filter(|span| lists(arenas, span.range.start(), *address)) {
                    Some(span) if target.is_within(span.range, is_plain) => found.push((span, *address)),
                    _ => spans.torn += 1,
                }
            }
        }
        found.sort_unstable_by_key(|(span, _)| span.range);
        let before = found.len();
        let mut end = 0;
        found.retain(|(span, _)| {
            let is_apart = span.range.start() >= end;
            end = end.max(span.range.end());
            is_apart
        });
        spans.torn += before - found.len();
        spans.swapped = arenas.iter().map(|arena| Bytes(arena.swapped)).sum();
        (spans.all, spans.records) = found.into_iter().unzip();
        spans.changed = spans.look_again(target, layout)?;
        Ok(spans)
    }

    /// How many spans are different now.
    fn look_again(&self, target: &Target<'_>, layout: &Layout) -> Result<usize> {
        let mut by_address: Vec<(u64, &Span)> = self.records.iter().copied().zip(&self.all).collect();
        by_address.sort_unstable_by_key(|(address, _)| *address);
        let mut changed = 0;
        for part in by_address.chunks(AT_ONCE) {
            let records = Records::read(target, part.iter().map(|(address, _)| *address))?;
            let now = |address| layout.span(target, &records.get(address)?);
            changed += part.iter().filter(|(address, span)| now(*address).as_ref() != Some(*span)).count();
        }
        Ok(changed)
    }

    /// The size of the spans for this.
    pub fn size(&self, use_: Use) -> Bytes {
        self.all.iter().filter(|span| span.use_ == use_).map(|span| span.range.size()).sum()
    }

    /// The addresses of the records and of the bits that they point to.
    pub fn records(&self) -> impl Iterator<Item = u64> {
        let records = self.records.iter().flat_map(|record| [*record, record + RECORD - 1]);
        records.chain(self.all.iter().flat_map(|span| span.bits).filter(|bits| *bits != 0))
    }

    /// The addresses of their records, in ascending order.
    pub fn sorted_records(&self) -> Vec<u64> {
        let mut records = self.records.clone();
        records.sort_unstable();
        records
    }

    /// Why the figures may be wrong.
    pub fn doubts(&self) -> Vec<Box<str>> {
        let count = self.all.len();
        let mut doubts: Vec<Box<str>> = Vec::new();
        if self.torn > 0 {
            doubts.push(
                format!("{} spans besides {count} contradict the lists of the arenas", self.torn).into(),
            );
        }
        if self.changed > 0 {
            doubts.push(format!("{} of {count} spans changed while they were read", self.changed).into());
        }
        if self.swapped > Bytes::ZERO {
            doubts.push(format!("{} bytes of lists of spans are swapped out", self.swapped.0).into());
        }
        doubts
    }
}

/// Whether the list of an arena has the record of a span at the first page of the span.
fn lists(arenas: &[Arena], start: u64, record: u64) -> bool {
    let at = arenas.partition_point(|arena| arena.range.end() <= start);
    let arena = arenas.get(at).filter(|arena| arena.range.contains(start));
    let Some(arena) = arena else { return false };
    let page = (start - arena.range.start()) / PAGE;
    let at = arena.spans.binary_search_by_key(&page, |(page, _)| *page);
    at.is_ok_and(|at| arena.spans[at].1 == record)
}

/// Records, in whole pages: they lie close to each other, and few pages are read faster than many records.
pub(super) struct Records {
    page: u64,
    /// The addresses of the pages, in ascending order.
    pages: Vec<u64>,
    contents: Gathered,
}

impl Records {
    /// Reads the records at these addresses.
    pub fn read(target: &Target<'_>, addresses: impl Iterator<Item = u64>) -> Result<Records> {
        let page = target.page();
        let last = SIZE as u64 - 1;
        let ends = addresses.flat_map(|address| [address, address.saturating_add(last)]);
        let mut pages: Vec<u64> = ends.map(|address| address - address % page).collect();
        pages.sort_unstable();
        pages.dedup();
        let contents = target.gather(pages.iter().copied(), page as usize)?;
        Ok(Records { page, pages, contents })
    }

    /// The record at this address, if all of it is resident.
    pub fn get(&self, address: u64) -> Option<[u8; SIZE]> {
        let into = (address % self.page) as usize;
        let index = self.pages.binary_search(&(address - address % self.page)).ok()?;
        let first = self.contents.get(index)?.get(into..)?;
        let mut record = [0; SIZE];
        let size = first.len().min(SIZE);
        record[..size].copy_from_slice(&first[..size]);
        if size < SIZE {
            let follows = self.pages.get(index + 1) == Some(&(self.pages[index] + self.page));
            let next = follows.then(|| self.contents.get(index + 1)).flatten()?;
            record[size..].copy_from_slice(next.get(..SIZE - size)?);
        }
        Some(record)
    }
}
