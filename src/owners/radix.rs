//! Trees of two levels by which allocators find the record of a page: the root is an array in the data of a module, each of its
//! words points to a leaf in memory that the allocator mapped, and each word of a leaf leads to a record.
//!
//! No symbol is needed. A record says which pages it is for, so a word of a leaf proves where the root begins.

use std::collections::BTreeMap;

use mmview_platform::{AddrRange, Bytes, Result};

use super::target::{Target, is_plain};

/// The largest data of a module that is searched.
const LARGEST_DATA: u64 = 256 << 20;

/// How many words in the data of a module are tried as pointers to leaves.
const MOST_CANDIDATES: usize = 1024;

/// How many words of a leaf are tried.
const TRIED_WORDS: usize = 64;

/// How much of the leaves is searched for words to try. Most leaves have few pages in memory, but some allocators clear them.
const MOST_SEARCHED: u64 = 128 << 20;

/// How many words around a pointer to a leaf must be pointers to leaves or zero.
const NEIGHBORS: usize = 8;

/// How many records must agree on the root, and how many end the search in a module.
const FEWEST_VOTES: usize = 2;
const ENOUGH_VOTES: usize = 8;

/// The dimensions of a tree. An address has, from its lowest bit on, the bits in a page, those of the leaf and those of the
/// root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    pub page_bits: u32,
    pub leaf_bits: u32,
    pub root_bits: u32,
}

/// A word of a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Which word of the leaf it is.
    pub index: u64,
    pub word: u64,
}

/// A root that was found, and what the records agree on besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root<T> {
    pub address: u64,
    pub tag: T,
}

/// A pointer to a leaf in the data of a module.
struct Candidate {
    place: u64,
    leaf: u64,
    data: AddrRange,
    /// How many other pointers are close by. A root is mostly empty.
    neighbors: usize,
}

impl Tree {
    const fn leaf_size(&self) -> u64 {
        8 << self.leaf_bits
    }

    const fn root_size(&self) -> u64 {
        8 << self.root_bits
    }

    /// Whether a module has data that the root fits into. Reads no memory.
    pub fn may_exist(&self, target: &Target<'_>) -> bool {
        target.word == 8 && self.places(target).next().is_some()
    }

    /// The data of modules that the root fits into.
    pub fn places(&self, target: &Target<'_>) -> impl Iterator<Item = AddrRange> {
        let sizes = self.root_size()..=LARGEST_DATA;
        let data = target.images.all.iter().flat_map(|image| image.data());
        data.filter(move |data| sizes.contains(&data.size().0))
    }

    /// The first page of the address space that entry `index` of some leaf can mean, if it is in `range`.
    pub fn page_in(&self, index: u64, range: AddrRange) -> Option<u64> {
        let span = 1_u64 << (self.page_bits + self.leaf_bits);
        let page = (range.start() / span * span).checked_add(index << self.page_bits)?;
        let page = if page < range.start() { page.checked_add(span)? } else { page };
        range.contains(page).then_some(page)
    }

    /// Finds every root. `pages` returns for each entry the page that it is for, if there is a record that agrees, and a tag.
    pub fn roots<T: Copy + Ord>(
        &self,
        target: &Target<'_>,
        pages: impl Fn(&[Entry]) -> Result<Vec<Option<(u64, T)>>>,
    ) -> Result<Vec<Root<T>>> {
        let mut found: Vec<Root<T>> = Vec::new();
        for data in self.places(target) {
            let candidates = self.candidates(target, data)?;
            let votes = self.votes(target, &candidates, &pages)?;
            let mut votes: Vec<_> = votes.into_iter().filter(|(_, votes)| *votes >= FEWEST_VOTES).collect();
            votes.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
            for ((address, tag), _) in votes {
                let is_apart = |root: &Root<T>| root.address.abs_diff(address) >= self.root_size();
                if found.iter().all(is_apart) && self.is_root(target, address)? {
                    found.push(Root { address, tag });
                }
            }
        }
        Ok(found)
    }

    /// Whether a word can point to a leaf.
    fn is_leaf(&self, target: &Target<'_>, word: u64) -> bool {
        let leaf = AddrRange::with_size(word, Bytes(self.leaf_size()));
        word != 0 && word.is_multiple_of(16) && leaf.is_some_and(|leaf| target.is_within(leaf, is_plain))
    }

    fn candidates(&self, target: &Target<'_>, data: AddrRange) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        target.scan(data, |start, bytes| {
            let words: Vec<u64> = bytes.chunks_exact(8).map_while(|word| target.u64_in(word, 0)).collect();
            for (index, &word) in words.iter().enumerate().filter(|(_, word)| **word != 0) {
                if candidates.len() == MOST_CANDIDATES || !self.is_leaf(target, word) {
                    continue;
                }
                let around = index.saturating_sub(NEIGHBORS)..words.len().min(index + NEIGHBORS);
                let may_be_beside = |other: &u64| *other == 0 || self.is_leaf(target, *other);
                let around = &words[around];
                if around.iter().all(may_be_beside) {
                    let neighbors = around.iter().filter(|word| **word != 0).count();
                    candidates.push(Candidate {
                        place: start + index as u64 * 8,
                        leaf: word,
                        data,
                        neighbors,
                    });
                }
            }
        })?;
        candidates.sort_by_key(|candidate| candidate.neighbors);
        Ok(candidates)
    }

    /// How many entries agree on each root.
    fn votes<T: Copy + Ord>(
        &self,
        target: &Target<'_>,
        candidates: &[Candidate],
        pages: impl Fn(&[Entry]) -> Result<Vec<Option<(u64, T)>>>,
    ) -> Result<BTreeMap<(u64, T), usize>> {
        let mut votes = BTreeMap::new();
        let mut left = MOST_SEARCHED;
        for candidate in candidates {
            if left == 0 || votes.values().any(|votes| *votes >= ENOUGH_VOTES) {
                break;
            }
            let entries = self.sample(target, candidate.leaf, &mut left)?;
            for (page, tag) in pages(&entries)?.into_iter().flatten() {
                let key = page >> (self.page_bits + self.leaf_bits);
                let Some(root) = key.checked_mul(8).and_then(|offset| candidate.place.checked_sub(offset))
                else {
                    continue;
                };
                let range = AddrRange::with_size(root, Bytes(self.root_size()));
                if range.is_some_and(|range| range.within(candidate.data)) {
                    *votes.entry((root, tag)).or_default() += 1;
                }
            }
        }
        Ok(votes)
    }

    /// Some of the entries of a leaf, evenly spread: what was used last may be in motion.
    fn sample(&self, target: &Target<'_>, leaf: u64, left: &mut u64) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        let Some(range) = AddrRange::with_size(leaf, Bytes(self.leaf_size())) else { return Ok(all) };
        target.scan(range, |start, bytes| {
            *left = left.saturating_sub(bytes.len() as u64);
            all.extend(self.entries(target, leaf, start, bytes));
        })?;
        // Words inside of a run of pages may be left over from former runs.
        all.dedup_by_key(|entry| entry.word);
        let step = all.len().div_ceil(TRIED_WORDS).max(1);
        Ok(all.into_iter().step_by(step).collect())
    }

    /// The entries in a piece of a leaf that are not zero.
    fn entries<'a>(
        &self,
        target: &'a Target<'_>,
        leaf: u64,
        start: u64,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = Entry> {
        let (first, count) = ((start - leaf) / 8, 1_u64 << self.leaf_bits);
        let words = bytes.chunks_exact(8).map_while(|word| target.u64_in(word, 0));
        let entries = words.zip(first..count).map(|(word, index)| Entry { index, word });
        entries.filter(|entry| entry.word != 0)
    }

    /// Whether every word of a root points to a leaf or is zero.
    fn is_root(&self, target: &Target<'_>, root: u64) -> Result<bool> {
        let mut is_root = true;
        let Some(range) = AddrRange::with_size(root, Bytes(self.root_size())) else { return Ok(false) };
        target.scan(range, |_, bytes| {
            let mut words = bytes.chunks_exact(8).filter_map(|word| target.u64_in(word, 0));
            is_root &= words.all(|word| word == 0 || self.is_leaf(target, word));
        })?;
        Ok(is_root)
    }

    /// The leaves below a root, with the first address that each is for. None overlaps another.
    pub fn leaves(&self, target: &Target<'_>, root: u64) -> Result<Vec<(u64, AddrRange)>> {
        let mut leaves = Vec::new();
        let Some(range) = AddrRange::with_size(root, Bytes(self.root_size())) else { return Ok(leaves) };
        target.scan(range, |start, bytes| {
            for (place, word) in (start..).step_by(8).zip(bytes.chunks_exact(8)) {
                let word = target.u64_in(word, 0).unwrap_or(0);
                let base = ((place - root) / 8).checked_shl(self.page_bits + self.leaf_bits);
                if let Some(base) = base.filter(|_| self.is_leaf(target, word))
                    && let Some(leaf) = AddrRange::with_size(word, Bytes(self.leaf_size()))
                {
                    leaves.push((base, leaf));
                }
            }
        })?;
        leaves.sort_unstable_by_key(|(base, leaf)| (leaf.start(), *base));
        leaves.dedup_by(|(_, later), (_, earlier)| later.start() < earlier.end());
        Ok(leaves)
    }

    /// The entries of a leaf for which `base` is the first address: the page and the word of each that differs from the one
    /// before.
    pub fn pages(&self, target: &Target<'_>, base: u64, leaf: AddrRange) -> Result<Vec<(u64, u64)>> {
        let mut pages = Vec::new();
        let mut last = None;
        target.scan(leaf, |start, bytes| {
            for entry in self.entries(target, leaf.start(), start, bytes) {
                if last.replace(entry.word) != Some(entry.word) {
                    pages.push((base + (entry.index << self.page_bits), entry.word));
                }
            }
        })?;
        Ok(pages)
    }
}
