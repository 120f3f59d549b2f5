//! PHP 7.0 to 8.4 with the allocator of the Zend Engine: heaps of chunks of 2 MiB, and blocks too large for them.
//!
//! `Zend/zend_alloc.c` and `Zend/zend_alloc_sizes.h` document the layout. No symbol is needed: each chunk begins with the
//! address of its heap, and a map of its pages. The figures are those of `memory_get_usage()`.

mod blocks;
mod chunks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use mmview_platform::{AddrRange, Bytes, Claim, FactValue, Result, Runtime, SizeClass, Zone};

use super::Recognizer;
use super::claims::Claims;
use super::images::Image;
use super::target::{Target, is_plain};
use crate::kind::RegionKind;
use blocks::Tally;
use chunks::{CHUNK, Heap};

/// The name of the owner.
const OWNER: &str = "PHP";

/// The names of the types of its memory in tables.
const CHUNKS: &str = "PHP chunks";
const HUGE: &str = "PHP huge blocks";

/// A function that every build exports, and the table of modules (`HashTable`).
const FUNCTION: &str = "zend_mm_gc";
const MODULES: &str = "module_registry";

/// The module that has the version of PHP; one of the first in the table.
const DATE: &[u8] = b"date";
const FIRST_MODULES: u64 = 16;

/// The longest version.
const LONGEST_VERSION: usize = 32;

/// A limit above this is none.
const NO_LIMIT: u64 = 1 << 47;

/// PHP.
pub(super) struct Php;

impl Recognizer for Php {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && target.images.exporting(FUNCTION).next().is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        if target.word != 8 {
            return Ok(());
        }
        let heaps = Heap::find_all(target, claims)?;
        let image = target.images.exporting(FUNCTION).next().map(|(image, _)| image);
        if let Some(image) = image {
            let version = version(target, image)?;
            let name = version.map_or(OWNER.to_owned(), |version| format!("{OWNER} {version}"));
            claims.runtime(with_facts(Runtime::new(OWNER, name), &heaps));
        }
        for (index, heap) in heaps.iter().enumerate() {
            let name = match index {
                0 => "PHP heap".to_owned(),
                index => format!("PHP heap {}", index + 1),
            };
            inspect(target, claims, heap, name.into())?;
        }
        Ok(())
    }
}

/// Adds what the heaps record.
fn with_facts(runtime: Runtime, heaps: &[Heap]) -> Runtime {
    let (Some(first), count) = (heaps.first(), heaps.len()) else { return runtime };
    if count > 1 {
        return runtime.fact("heaps", FactValue::Count(count as u64));
    }
    let runtime = runtime.fact("largest heap so far", FactValue::Size(Bytes(first.real_peak)));
    match first.limit {
        limit if limit < NO_LIMIT => runtime.fact("limit of the heap", FactValue::Size(Bytes(limit))),
        _ => runtime,
    }
}

/// The version, by the table of modules.
fn version(target: &Target<'_>, image: &Image) -> Result<Option<String>> {
    let modules = target.images.exporting(MODULES).find(|(other, _)| std::ptr::eq(*other, image));
    let Some((_, table)) = modules else { return Ok(None) };
    let word = |bytes: &[u8], offset| target.u64_in(bytes, offset).unwrap_or(0);
    let buckets = word(&target.bytes(table, 24)?, 16);
    // Each has the address of a module, and two of its fields are the addresses of its name and its version.
    let buckets = target.bytes(buckets, 32 * FIRST_MODULES as usize)?;
    let modules: Vec<u64> = (0..FIRST_MODULES).map(|index| word(&buckets, 32 * index)).collect();
    for module in target.gather(modules, 96)?.iter().flatten() {
        if image.string(word(module, 32), DATE.len() + 1).as_deref() == Some(DATE) {
            let version = image.string(word(module, 88), LONGEST_VERSION);
            return Ok(version.map(|version| String::from_utf8_lossy(&version).into_owned()));
        }
    }
    Ok(None)
}

/// Claims the memory of a heap, and counts its blocks.
fn inspect(target: &Target<'_>, claims: &mut Claims<'_>, heap: &Heap, name: Arc<str>) -> Result<()> {
    let claim = |range, kind: RegionKind, title| Claim::new(range, OWNER, kind.id()).title(title).zone(&name);
    let mut chunks: Vec<u64> = heap.chunks.iter().map(|chunk| chunk.start).collect();
    chunks.sort_unstable();
    for group in chunks.chunk_by(|one, other| one.checked_add(CHUNK) == Some(*other)) {
        let note = match group.len() {
            1 => "1 chunk".to_owned(),
            count => format!("{count} chunks"),
        };
        if let Some(range) = AddrRange::with_size(group[0], Bytes(group.len() as u64 * CHUNK)) {
            claims.add(&claim(range, RegionKind::Malloc, CHUNKS).note(note), is_plain);
        }
    }
    for range in heap.cached.iter().filter_map(|start| AddrRange::with_size(*start, Bytes(CHUNK))) {
        claims.add(&claim(range, RegionKind::Malloc, CHUNKS).note("1 chunk kept for reuse"), is_plain);
    }
    for range in &heap.huge {
        claims.add(&claim(*range, RegionKind::MallocLarge, HUGE), is_plain);
    }
    let tally = Tally::count(target, heap)?;
    let mut zone = Zone::new(OWNER, Arc::clone(&name));
    zone.allocated = Some(Bytes(heap.size));
    zone.cached = Some(Bytes(heap.cached.len() as u64 * CHUNK));
    zone.cached_blocks = Some(heap.cached.len() as u64);
    zone.allocations = tally.allocations();
    zone.free = Some(Bytes(tally.free_bytes(heap.size)));
    let sizes = if tally.is_counted() { tally.sizes() } else { Vec::new() };
    zone.sizes = sizes
        .into_iter()
        .map(|(size, count)| SizeClass::new(Bytes(size), count, Bytes(size * count)))
        .collect();
    zone.doubts = heap.doubts().into_iter().chain(tally.doubts(target, heap)?).map(Into::into).collect();
    claims.zone(zone);
    Ok(())
}
