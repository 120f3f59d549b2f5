//! What Go's runtime allocates for itself and never frees: chunks of 256 KiB in a list (`persistentalloc` in
//! `src/runtime/malloc.go`). The records of spans lie in them, which shows which variable is the list's head.

use std::collections::BTreeSet;

use mmview_platform::{AddrRange, Bytes, Result};

use crate::owners::images::Image;
use crate::owners::target::{Target, is_plain};

/// The size of a chunk (`persistentChunkSize`). Its first word has the address of the next chunk.
const CHUNK: u64 = 256 << 10;

/// How much of the variables of a program is searched, and how many chunks are read in all.
const MOST_VARIABLES: u64 = 16 << 20;
const MOST_CHUNKS: usize = 1 << 14;

/// Finds the chunks: those that hold most of the `records`, which are in ascending order.
pub(super) fn find<'a>(
    target: &Target<'_>,
    images: impl Iterator<Item = &'a Image>,
    records: &[u64],
) -> Result<Vec<AddrRange>> {
    let held = |chunk: &AddrRange| {
        let first = records.partition_point(|record| *record < chunk.start());
        records.partition_point(|record| *record < chunk.end()) - first
    };
    let mut left = MOST_CHUNKS;
    for head in heads(target, images)? {
        let Some(chunks) = list(target, head, &mut left)? else { continue };
        if chunks.iter().map(held).sum::<usize>() * 2 > records.len() {
            return Ok(chunks);
        }
    }
    Ok(Vec::new())
}

/// The addresses in the variables of the program that may be of chunks.
fn heads<'a>(target: &Target<'_>, images: impl Iterator<Item = &'a Image>) -> Result<BTreeSet<u64>> {
    let mut heads = BTreeSet::new();
    let mut left = MOST_VARIABLES;
    for data in images.flat_map(Image::data) {
        for run in target.resident(data)? {
            let size = run.size().0.min(left);
            left -= size;
            let content = target.bytes(run.start(), size as usize)?;
            let words = (0..size).step_by(8).filter_map(|offset| target.u64_in(&content, offset));
            heads.extend(words.filter(|word| chunk(target, *word).is_some()));
        }
    }
    Ok(heads)
}

/// The chunk at this address, if there is room for one.
fn chunk(target: &Target<'_>, address: u64) -> Option<AddrRange> {
    let range = AddrRange::with_size(address, Bytes(CHUNK))?;
    let is_possible = address != 0 && address.is_multiple_of(target.page());
    (is_possible && target.is_within(range, is_plain)).then_some(range)
}

/// The list of chunks that begins at `head`; `None` if it does not end.
fn list(target: &Target<'_>, head: u64, left: &mut usize) -> Result<Option<Vec<AddrRange>>> {
    let mut seen = BTreeSet::new();
    let mut chunks = Vec::new();
    let mut next = head;
    while next != 0 {
        let Some(chunk) = chunk(target, next).filter(|_| *left > 0 && seen.insert(next)) else {
            return Ok(None);
        };
        *left -= 1;
        chunks.push(chunk);
        let Some(word) = target.u64_in(&target.bytes(next, 8)?, 0) else { return Ok(None) };
        next = word;
    }
    Ok(Some(chunks))
}
