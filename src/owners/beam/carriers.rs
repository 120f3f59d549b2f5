//! Carriers, by their headers, the records of their allocators, and the lists that both are in.

use std::collections::HashMap;
use std::sync::Arc;

use mmview_platform::{AddrRange, Bytes, Result};

use crate::owners::claims::Claims;
use crate::owners::images::Image;
use crate::owners::target::{Target, is_plain};

/// The header: the size with flags, the neighbors in the list of the allocator, the record of the allocator with flags, and the
/// neighbors in the pool.
const NEXT: u64 = 8;
const PREVIOUS: u64 = 16;
const ALLOCATOR: u64 = 24;
const POOL: u64 = 32;
const HEADER: usize = 64;

/// The neighbors in an element of the pool. They point to elements, and their lowest bits are marks.
const POOL_NEXT: u64 = 16;
const POOL_PREVIOUS: u64 = 24;

/// The flags of the size: the memory is mapped, not from malloc, and the carrier is for a single block.
const IS_MAPPED: u64 = 1;
const IS_SINGLE: u64 = 2;
const FLAGS: u64 = 7;

/// The flag of the pointer to the allocator: the carrier is in the pool, not in the allocator's list.
const IS_POOLED: u64 = 1;

/// How much of the record of an allocator is read: its name and the heads of its lists are within.
const RECORD: usize = 1024;

/// Within how many words of a record the name is. ERTS 13 has it in word 15.
const NAME_WORDS: usize = 64;

/// The longest name of an allocator, with the underscore at its end.
const LONGEST_NAME: usize = 16;

/// How many pages are looked at together.
const BATCH: usize = 16;

/// The most records of allocators that are looked at. There are some ten for each scheduler.
const MOST_ALLOCATORS: usize = 1 << 14;

/// The most carriers that no list has and that are looked at again.
const MOST_REJECTED: usize = 4096;

/// A carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carrier {
    pub range: AddrRange,
    /// As Erlang calls it, such as `binary_alloc`.
    pub allocator: Arc<str>,
    pub is_mapped: bool,
    pub is_pooled: bool,
}

/// An allocator, by its record.
struct Allocator {
    name: Arc<str>,
    record: Vec<u64>,
}

/// The carriers that are in the lists of their allocators.
#[derive(Debug, Default)]
pub(super) struct Carriers {
    /// By address.
    pub carriers: Vec<Carrier>,
    /// What carriers have left that no list has, and that nothing else uses.
    pub cached: Vec<AddrRange>,
    /// How many changed while they were read.
    pub changed: usize,
}

impl Carriers {
    /// Finds the carriers in what nothing else claims.
    pub fn find(target: &Target<'_>, claims: &Claims<'_>, program: &Image) -> Result<Carriers> {
        let mut search = Search { target, program, allocators: HashMap::new(), rejected: Vec::new() };
        let mut found = Carriers::default();
        for range in claims.open() {
            let mut next = range.start();
            for run in target.resident(range)? {
                let Some(run) = run.overlap(range) else { continue };
                next = next.max(run.start());
                while next < run.end() {
                    next = match search.first(next, run)? {
                        Ok(carrier) => {
                            let end = carrier.range.end();
                            found.carriers.push(carrier);
                            end
                        }
                        Err(end) => end,
                    };
                }
            }
        }
        found.cached.extend(search.rejected.iter().copied());
        found.changed = search.changed(&found.carriers)?;
        Ok(found)
    }
}

/// A search for carriers.
struct Search<'a> {
    target: &'a Target<'a>,
    program: &'a Image,
    /// By the address of the record; `None` if there is no allocator.
    allocators: HashMap<u64, Option<Allocator>>,
    /// Headers that no list has: they are left over, or in motion.
    rejected: Vec<AddrRange>,
}

impl Search<'_> {
    /// The first carrier in the next pages of a run, or the end of these pages.
    fn first(&mut self, from: u64, run: AddrRange) -> Result<std::result::Result<Carrier, u64>> {
        let page = self.target.page();
        let addresses: Vec<u64> = (from..run.end()).step_by(page as usize).take(BATCH).collect();
        let headers = self.target.gather(addresses.iter().copied(), HEADER)?;
        for (address, header) in addresses.iter().zip(headers.iter()) {
            let Some(carrier) = header.and_then(|header| Some((self.parse(*address, header)?, header)))
            else {
                continue;
            };
            let (range, header) = carrier;
            if let Some(carrier) = self.confirm(range, header)? {
                return Ok(Ok(carrier));
            }
        }
        Ok(Err(addresses.last().map_or(run.end(), |last| last + page)))
    }

    /// The addresses of a carrier, if this can be its header.
    fn parse(&self, address: u64, header: &[u8]) -> Option<AddrRange> {
        let size = self.target.u64_in(header, 0)?;
        let (size, flags) = (size & !FLAGS, size & FLAGS);
        let range = AddrRange::with_size(address, Bytes(size))?;
        let record = self.target.u64_in(header, ALLOCATOR)? & !FLAGS;
        let is_carrier = size > 0
            && flags & !(IS_MAPPED | IS_SINGLE) == 0
            && size.is_multiple_of(self.target.page())
            && self.target.is_writable(record)
            && self.target.is_within(range, is_plain);
        is_carrier.then_some(range)
    }

    /// The carrier with this header, if its allocator has a name and its neighbors lead back to it.
    fn confirm(&mut self, range: AddrRange, header: &[u8]) -> Result<Option<Carrier>> {
        let word = |offset| self.target.u64_in(header, offset).unwrap_or(0);
        let (flags, allocator) = (word(0) & FLAGS, word(ALLOCATOR));
        let is_pooled = allocator & IS_POOLED != 0;
        let links = if is_pooled {
            let element = range.start() + POOL;
            let next = (word(POOL + POOL_NEXT) & !FLAGS).checked_add(POOL_PREVIOUS);
            let previous = (word(POOL + POOL_PREVIOUS) & !FLAGS).checked_add(POOL_NEXT);
            [(next, element), (previous, element)]
        } else {
            let back =
                |neighbor: u64, offset| if neighbor == 0 { None } else { neighbor.checked_add(offset) };
            [(back(word(NEXT), PREVIOUS), range.start()), (back(word(PREVIOUS), NEXT), range.start())]
        };
        let Some(allocator) = self.allocator(allocator & !FLAGS)? else { return Ok(None) };
        let name = Arc::clone(&allocator.name);
        // The first and the last of a list have no neighbor there: the record leads to them.
        let is_head = allocator.record.contains(&range.start());
        let backs = links.iter().filter_map(|(place, _)| *place);
        let words = self.target.gather(backs, 8)?;
        let mut words = words.iter();
        let mut is_linked = true;
        for (place, expected) in links {
            is_linked &= match place {
                Some(_) => {
                    let back = words.next().flatten().and_then(|word| self.target.u64_in(word, 0));
                    back.is_some_and(|back| back == expected || (is_pooled && back & !FLAGS == expected))
                }
                None => !is_pooled && is_head,
            };
        }
        if !is_linked {
            if self.rejected.len() < MOST_REJECTED {
                self.rejected.push(range);
            }
            return Ok(None);
        }
        Ok(Some(Carrier { range, allocator: name, is_mapped: flags & IS_MAPPED != 0, is_pooled }))
    }

    /// The allocator that has its record here.
    fn allocator(&mut self, address: u64) -> Result<Option<&Allocator>> {
        if !self.allocators.contains_key(&address) {
            if self.allocators.len() >= MOST_ALLOCATORS {
                return Ok(None);
            }
            let record = self.target.bytes(address, RECORD)?;
            let words = (0..record.len() as u64).step_by(8).map_while(|at| self.target.u64_in(&record, at));
            let record: Vec<u64> = words.collect();
            let name = record.iter().take(NAME_WORDS).find_map(|word| self.name(*word));
            self.allocators.insert(address, name.map(|name| Allocator { name, record }));
        }
        Ok(self.allocators.get(&address).and_then(Option::as_ref))
    }

    /// The name of an allocator that a word of its record points to: a constant such as `binary_`.
    fn name(&self, word: u64) -> Option<Arc<str>> {
        let region = self.target.region_at(word)?;
        let is_constant = !region.protection.is_writable() && !region.is_unnamed();
        let name = is_constant.then(|| self.program.string(word, LONGEST_NAME))??;
        name_of(&name)
    }

    /// How many carriers have changed, or were in motion.
    fn changed(&mut self, carriers: &[Carrier]) -> Result<usize> {
        let rejected = std::mem::take(&mut self.rejected);
        self.allocators.clear();
        let mut changed = 0;
        let again = carriers.iter().map(|carrier| (carrier.range.start(), Some(carrier)));
        let again: Vec<_> = again.chain(rejected.into_iter().map(|range| (range.start(), None))).collect();
        let headers = self.target.gather(again.iter().map(|(address, _)| *address), HEADER)?;
        for ((address, before), header) in again.iter().zip(headers.iter()) {
            let now = match header.and_then(|header| Some((self.parse(*address, header)?, header))) {
                Some((range, header)) => self.confirm(range, header)?,
                None => None,
            };
            changed += usize::from(now.as_ref() != *before);
        }
        Ok(changed)
    }
}

/// The name of an allocator as Erlang calls it, of the start of the names of its functions.
pub(super) fn name_of(start: &[u8]) -> Option<Arc<str>> {
    let (last, letters) = start.split_last()?;
    let is_name = *last == b'_' && letters.len() > 1 && letters.iter().all(u8::is_ascii_lowercase);
    let start = std::str::from_utf8(start).ok().filter(|_| is_name)?;
    Some(format!("{start}alloc").into())
}
