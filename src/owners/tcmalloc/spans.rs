//! Spans: the records that the map of pages leads to.

use mmview_platform::{AddrRange, Bytes, Result};

use crate::owners::radix::{Entry, Root, Tree};
use crate::owners::target::{Target, is_plain, is_reserved};

/// The map of addresses of 48 bits with pages of 8 KiB (`kPageShift` in `src/common.h`).
pub(super) const TREE: Tree = Tree { page_bits: PAGE_BITS, leaf_bits: 18, root_bits: 17 };
const PAGE_BITS: u32 = 13;

/// The offsets in a span.
const PAGES: u64 = 8;
const USED: u64 = 40;
const CLASS: u64 = 42;
const PLACE: u64 = 43;
const SPAN_SIZE: usize = 48;

/// The longest span, in pages: 1 TiB.
const MOST_PAGES: u64 = 1 << 27;

/// The most size classes (`kClassSizesMax`).
const MOST_CLASSES: usize = 128;

/// The largest size of a class (`kMaxSize`).
const LARGEST_CLASS: u32 = 256 << 10;

/// How the table of size classes starts, and how many it has at least.
const FIRST_CLASSES: [u32; 3] = [0, 8, 16];
const FEWEST_CLASSES: usize = 32;

/// What a span is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Blocks of one size.
    Small { block_size: u64, used: u64 },
    /// Blocks of a size that is unknown.
    Unknown,
    /// One block.
    Large,
    /// Free.
    Free,
    /// Free, and its pages went back to the system.
    Returned,
}

/// A span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub range: AddrRange,
    pub place: Place,
}

/// The addresses of a span and the numbers that say what it is used for, if they are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Raw {
    range: AddrRange,
    used: u16,
    class: u8,
    place: u8,
}

impl Raw {
    fn parse(target: &Target<'_>, bytes: &[u8]) -> Option<Raw> {
        let (start, pages) = (target.u64_in(bytes, 0)?, target.u64_in(bytes, PAGES)?);
        if pages == 0 || pages > MOST_PAGES || start >> (64 - PAGE_BITS) != 0 {
            return None;
        }
        let range = AddrRange::with_size(start << PAGE_BITS, Bytes(pages << PAGE_BITS))?;
        let byte = |offset| bytes.get(offset as usize).copied();
        let (class, place) = (byte(CLASS)?, byte(PLACE)? & 3);
        let is_possible = usize::from(class) < MOST_CLASSES
            && place <= 2
            && target.is_within(range, |region| is_plain(region) || is_reserved(region));
        is_possible.then_some(Raw { range, used: target.u16_in(bytes, USED)?, class, place })
    }

    fn span(&self, classes: &[u32]) -> Span {
        let size = self.range.size().0;
        let place = match self.place {
            1 => Place::Free,
            2 => Place::Returned,
            _ if self.class == 0 => Place::Large,
            _ => match classes.get(usize::from(self.class)).map(|size| u64::from(*size)) {
                Some(block_size) if u64::from(self.used) <= size / block_size => {
                    Place::Small { block_size, used: self.used.into() }
                }
                _ => Place::Unknown,
            },
        };
        Span { range: self.range, place }
    }
}

/// For each entry of a leaf the page that it is for, if a span confirms it.
pub(super) fn confirm(target: &Target<'_>, entries: &[Entry]) -> Result<Vec<Option<(u64, ())>>> {
    let spans = target.gather(entries.iter().map(|entry| entry.word), SPAN_SIZE)?;
    let confirm = |entry: &Entry, span: Option<&[u8]>| {
        let raw = Raw::parse(target, span?).filter(|_| target.is_plain(entry.word))?;
        Some((TREE.page_in(entry.index, raw.range)?, ()))
    };
    Ok(entries.iter().zip(spans.iter()).map(|(entry, span)| confirm(entry, span)).collect())
}

/// What the map leads to.
pub(super) struct Spans {
    /// Ordered by address, none overlapping another.
    pub spans: Vec<Span>,
    /// The addresses of the spans' records and of the leaves, ascending.
    pub places: Vec<u64>,
    /// Why the figures may be wrong.
    pub doubts: Vec<String>,
}

impl Spans {
    /// Reads every span of a map.
    pub fn read(target: &Target<'_>, root: Root<()>) -> Result<Spans> {
        let mut places = Vec::new();
        // The record, and the page that leads to it.
        let mut links: Vec<(u64, u64)> = Vec::new();
        for (base, leaf) in TREE.leaves(target, root.address)? {
            places.extend([leaf.start(), leaf.end() - 1]);
            links.extend(TREE.pages(target, base, leaf)?.into_iter().map(|(page, span)| (span, page)));
        }
        links.retain(|(span, _)| span.is_multiple_of(8) && target.is_plain(*span));
        links.sort_unstable();
        let mut records: Vec<u64> = links.iter().map(|(span, _)| *span).collect();
        records.dedup();
        let classes = class_sizes(target)?;
        let before = target.gather(records.iter().copied(), SPAN_SIZE)?;
        let mut raws = Vec::new();
        let mut unread = 0;
        for group in links.chunk_by(|one, other| one.0 == other.0) {
            let index = records.partition_point(|record| *record < group[0].0);
            let Some(bytes) = before.get(index) else {
                unread += 1;
                continue;
            };
            // Where spans were joined, the map keeps pointers to former ones.
            let is_linked = |raw: &Raw| group.iter().any(|(_, page)| raw.range.contains(*page));
            if let Some(raw) = Raw::parse(target, bytes).filter(is_linked) {
                places.push(group[0].0);
                raws.push((index, raw));
            }
        }
        raws.sort_by_key(|(_, raw)| (raw.range.start(), std::cmp::Reverse(raw.range.end())));
        let count = raws.len();
        raws.dedup_by(|(_, later), (_, earlier)| later.range.start() < earlier.range.end());
        let torn = count - raws.len();
        let after = target.gather(raws.iter().map(|(index, _)| records[*index]), SPAN_SIZE)?;
        // The lists that it is in may change.
        let parse = |bytes: Option<&[u8]>| Raw::parse(target, bytes?);
        let is_same = |place: usize, index: usize| parse(before.get(index)) == parse(after.get(place));
        let changed = raws.iter().enumerate().filter(|(place, (index, _))| !is_same(*place, *index)).count();
        let spans: Vec<Span> = raws.iter().map(|(_, raw)| raw.span(&classes)).collect();
        let unknown = spans.iter().filter(|span| span.place == Place::Unknown).count();
        places.sort_unstable();
        let mut doubts = Vec::new();
        for (count, what) in [
            (torn, "overlap others"),
            (changed, "changed while they were read"),
            (unread, "are not in memory"),
            (unknown, "have blocks of an unknown size"),
        ] {
            if count > 0 {
                doubts.push(format!("{count} of {} spans {what}", raws.len()));
            }
        }
        Ok(Spans { spans, places, doubts })
    }
}

/// The size of each class: a table in the data of the module, 0 first, then ascending.
fn class_sizes(target: &Target<'_>) -> Result<Vec<u32>> {
    let mut longest: Vec<u32> = Vec::new();
    for data in TREE.places(target) {
        target.scan(data, |_, bytes| {
            let words: Vec<u32> = bytes.chunks_exact(4).map_while(|word| target.u32_in(word, 0)).collect();
            let starts = words.windows(FIRST_CLASSES.len()).enumerate();
            for (index, _) in starts.filter(|(_, first)| *first == FIRST_CLASSES) {
                let table = &words[index..words.len().min(index + MOST_CLASSES)];
                let ascending = table.windows(2).take_while(|pair| pair[0] < pair[1]).count() + 1;
                let table = &table[..ascending];
                let is_table =
                    table.len() >= FEWEST_CLASSES && table.iter().all(|size| *size <= LARGEST_CLASS);
                if is_table && table.len() > longest.len() {
                    longest = table.to_vec();
                }
            }
        })?;
    }
    Ok(longest)
}
