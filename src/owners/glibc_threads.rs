//! The threads of glibc: each thread's `struct pthread` lies at the top of its stack and records the stack's bounds
//! (`nptl/descr.h`, `nptl/allocatestack.c`). Stacks of ended threads, which glibc keeps for reuse, are found too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mmview_platform::{AddrRange, Claim, Region, Result};

use super::Recognizer;
use super::claims::Claims;
use super::target::{Target, is_brk, is_plain};
use crate::kind::RegionKind;

/// The threads of glibc.
pub(super) struct GlibcThreads;

const OWNER: &str = "glibc threads";

/// No thread has a smaller stack (`PTHREAD_STACK_MIN`).
const SMALLEST_STACK: u64 = 16 << 10;

/// How many threads and kept stacks are followed at most.
const MOST_THREADS: usize = 1 << 16;

/// How many regions are searched for a first thread, and how much of each.
const MOST_SEARCHED: usize = 1024;
const SEARCHED_PAGES: u64 = 4;

/// How many modules' entries of a thread's table of TLS blocks are read.
const MOST_MODULES: u64 = 512;

/// The offsets in `struct pthread`, the same from 2.31 to 2.43. Those of the four numbers that describe the stack differ by a
/// few words on i386, and are searched for in each structure from `stack` on.
struct Layout {
    list: u64,
    tid: u64,
    stack: u64,
    /// How much of the structure is read.
    size: usize,
}

impl Layout {
    fn of(word: u64) -> Layout {
        match word {
            8 => Layout { list: 0x2c0, tid: 0x2d0, stack: 0x600, size: 0x700 },
            _ => Layout { list: 0x60, tid: 0x68, stack: 0x240, size: 0x2b0 },
        }
    }
}

/// A thread, or what is left of one.
#[derive(Clone, Debug)]
struct Thread {
    /// The address of its structure.
    descriptor: u64,
    tid: u32,
    next: u64,
    previous: u64,
    /// The start of its stack's mapping, its size and the size of the guard; `None` for the main thread.
    block: Option<(AddrRange, u64)>,
    /// The table of its TLS blocks.
    tls_table: u64,
}

impl Recognizer for GlibcThreads {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        // Every dynamic program has glibc as an image; a static one has no loader.
        let is_static = target.images.all.iter().any(|image| !image.elf.has_interpreter);
        is_static || target.images.glibc().next().is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        let threads = find(target)?;
        let Some(main) = threads.values().find(|thread| Some(thread.tid) == target.process.pid) else {
            return Ok(());
        };
        let table = tls_starts(target, threads.values())?;
        for thread in threads.values() {
            let tls = table.get(&thread.descriptor).copied();
            claim(target, claims, thread, tls);
        }
        let size = Layout::of(target.word).size as u64;
        if let Some(range) = AddrRange::new(
            table.get(&main.descriptor).copied().unwrap_or(main.descriptor),
            main.descriptor.saturating_add(size),
        ) {
            let note = format!("TLS and descriptor of {}", target.thread_title(main.tid));
            let data = Claim::new(range, OWNER, RegionKind::ThreadData.id()).note(note);
            // A static program has them on its heap.
            claims.add(&data, |region| is_plain(region) && !is_brk(region));
        }
        let has = |id: u64| threads.values().any(|thread| u64::from(thread.tid) == id);
        if target.process.threads.iter().all(|thread| has(thread.id)) {
            claims.settle("threads");
        }
        Ok(())
    }
}

/// Claims the stack of a thread, and its guard.
fn claim(target: &Target<'_>, claims: &mut Claims<'_>, thread: &Thread, tls: Option<u64>) {
    let Some((block, guard)) = thread.block else { return };
    let is_live = target.is_thread(thread.tid);
    let mut note = match is_live {
        true => target.thread_title(thread.tid),
        false => "of an ended thread, kept for reuse".to_owned(),
    };
    let stack = AddrRange::new(block.start() + guard, block.end());
    let guard = AddrRange::new(block.start(), block.start() + guard).filter(|guard| !guard.is_empty());
    if let Some(guard) = guard {
        let claim = Claim::new(guard, OWNER, RegionKind::StackGuard.id()).note(note.clone());
        claims.add(&claim, |region| !region.share.is_shared() && region.is_unnamed());
    }
    if let (true, Some(tls)) = (is_live, tls) {
        note = format!("{note}, TLS from {tls:x}");
    }
    if let Some(stack) = stack {
        let protected = Claim::new(stack, OWNER, RegionKind::StackGuard.id()).note(note.clone());
        claims.add(&protected, is_protected);
        let claim = Claim::new(stack, OWNER, RegionKind::ThreadStack.id()).note(note);
        let claim = if is_live { claim } else { claim.title("Stack (ended)") };
        // What a program got from malloc stays with malloc.
        claims.add(&claim, |region| is_plain(region) && !is_brk(region));
    }
}

/// Finds every thread: by the lists of the loader if their place is known, else by a search, and from there by the lists.
fn find(target: &Target<'_>) -> Result<BTreeMap<u64, Thread>> {
    let layout = Layout::of(target.word);
    let mut found = BTreeMap::new();
    let mut visited = BTreeSet::new();
    let mut nodes = VecDeque::new();
    for head in heads(target) {
        let links = target.bytes(head, 2 * target.word as usize)?;
        visited.insert(head);
        nodes.extend([target.word_in(&links, 0), target.word_in(&links, target.word)].into_iter().flatten());
    }
    let mut has_searched = false;
    loop {
        while let Some(node) = nodes.pop_front() {
            if visited.len() > MOST_THREADS || !visited.insert(node) {
                continue;
            }
            let Some(descriptor) = node.checked_sub(layout.list) else { continue };
            if let Some(thread) = read(target, &layout, descriptor)? {
                nodes.extend([thread.next, thread.previous]);
                found.insert(descriptor, thread);
            }
        }
        let has_main = found.values().any(|thread| Some(thread.tid) == target.process.pid);
        if has_main || has_searched {
            break;
        }
        has_searched = true;
        nodes.extend(search(target, &layout)?.into_iter().map(|descriptor| descriptor + layout.list));
    }
    // Two stacks can't overlap: one of them is forged, and no one can say which.
    let mut blocks: Vec<_> =
        found.values().filter_map(|thread| Some((thread.block?.0, thread.descriptor))).collect();
    blocks.sort_unstable();
    let mut furthest: Option<(AddrRange, u64)> = None;
    let mut contradicted = BTreeSet::new();
    for (block, descriptor) in blocks {
        if let Some((other, of)) = furthest
            && other.overlaps(block)
        {
            contradicted.extend([of, descriptor]);
        }
        if furthest.is_none_or(|(other, _)| other.end() < block.end()) {
            furthest = Some((block, descriptor));
        }
    }
    found.retain(|descriptor, _| !contradicted.contains(descriptor));
    Ok(found)
}

/// The heads of the loader's lists of stacks: used, user-supplied and kept ones. glibc exports their place for debuggers
/// (2.34).
fn heads(target: &Target<'_>) -> Vec<u64> {
    let mut heads = Vec::new();
    for libc in target.images.glibc() {
        // Each description is three words of 32 bits: bits, count and offset (`nptl_db/structs.def`).
        let offset = |symbol: &str| libc.elf.u32_at(libc.elf.export(symbol)?.checked_add(8)?);
        let used = offset("_thread_db_rtld_global__dl_stack_used");
        let user = offset("_thread_db_rtld_global__dl_stack_user");
        let (Some(used), Some(user)) = (used, user) else { continue };
        for (_, globals) in target.images.exporting("_rtld_global") {
            let head = |offset: u32| globals.checked_add(offset.into());
            let kept = head(user).and_then(|user| user.checked_add(2 * target.word));
            heads.extend([head(used), head(user), kept].into_iter().flatten());
        }
    }
    heads
}

/// Reads a thread's structure, and checks it: it points to itself twice, and its stack is what the map has there.
fn read(target: &Target<'_>, layout: &Layout, descriptor: u64) -> Result<Option<Thread>> {
    if !descriptor.is_multiple_of(16) || !target.is_plain(descriptor) {
        return Ok(None);
    }
    let bytes = target.bytes(descriptor, layout.size)?;
    Ok(parse(target, layout, descriptor, &bytes))
}

fn parse(target: &Target<'_>, layout: &Layout, descriptor: u64, bytes: &[u8]) -> Option<Thread> {
    let word = |offset: u64| target.word_in(bytes, offset);
    if word(0)? != descriptor || word(2 * target.word)? != descriptor {
        return None;
    }
    let tid = target.u32_in(bytes, layout.tid)?;
    let mut thread = Thread {
        descriptor,
        tid,
        next: word(layout.list)?,
        previous: word(layout.list + target.word)?,
        block: None,
        tls_table: word(target.word)?,
    };
    let offsets = (layout.stack..layout.size as u64).step_by(target.word as usize);
    thread.block = offsets.into_iter().find_map(|offset| block(target, descriptor, bytes, offset));
    let is_main = Some(tid) == target.process.pid;
    (is_main || thread.block.is_some()).then_some(thread)
}

/// The stack in the four numbers at `offset`, if they can be one: start, size, guard, and the guard that was asked for.
fn block(target: &Target<'_>, descriptor: u64, bytes: &[u8], offset: u64) -> Option<(AddrRange, u64)> {
    let number = |index: u64| target.word_in(bytes, offset + index * target.word);
    let (start, size, guard, asked) = (number(0)?, number(1)?, number(2)?, number(3)?);
    let block = AddrRange::new(start, start.checked_add(size)?)?;
    let page = target.page();
    let is_round = guard.is_multiple_of(page) && (guard == 0 || (start | size).is_multiple_of(page));
    let is_possible = size >= SMALLEST_STACK
        && is_round
        && guard < size
        && (asked <= size)
        && block.contains(descriptor)
        && descriptor - start > guard
        && target.is_within(AddrRange::new(start + guard, block.end())?, is_stack);
    is_possible.then_some((block, guard))
}

/// Whether a region can be a part of a stack: plain memory, or what a program protects at its end, as the JVM does.
fn is_stack(region: &Region) -> bool {
    is_plain(region) || is_protected(region)
}

fn is_protected(region: &Region) -> bool {
    region.is_unnamed() && region.protection.is_none() && !region.share.is_shared()
}

/// Searches for structures of threads: in the last pages of each region, as far as they are resident.
fn search(target: &Target<'_>, layout: &Layout) -> Result<Vec<u64>> {
    let page = target.page();
    let mut pages = Vec::new();
    for region in target.regions.iter().filter(|region| is_plain(region)).take(MOST_SEARCHED) {
        let (start, end) = (region.range.start(), region.range.end());
        let tail = end.saturating_sub(SEARCHED_PAGES * page).max(start);
        pages.extend((tail..end).step_by(page as usize));
        if is_brk(region) {
            // A static program has the main thread's structure at the start of its heap.
            pages.extend((start..tail.min(start + SEARCHED_PAGES * page)).step_by(page as usize));
        }
    }
    let mut found = Vec::new();
    for (start, bytes) in pages.iter().zip(target.gather(pages.iter().copied(), page as usize)?.iter()) {
        let Some(bytes) = bytes else { continue };
        let is_self = |offset: &u64| {
            let own = Some(start + offset);
            // Its second pointer to itself can lie in the next page.
            target.word_in(bytes, *offset) == own
                && target.word_in(bytes, offset + 2 * target.word).is_none_or(|word| Some(word) == own)
        };
        found.extend((0..page).step_by(16).filter(is_self).map(|offset| start + offset));
    }
    found.truncate(MOST_THREADS);
    // Not everything that points to itself is a thread.
    let pieces = target.gather(found.iter().copied(), layout.size)?;
    let threads = found.into_iter().zip(pieces.iter());
    Ok(threads
        .filter(|(descriptor, bytes)| {
            bytes.is_some_and(|bytes| parse(target, layout, *descriptor, bytes).is_some())
        })
        .map(|(descriptor, _)| descriptor)
        .collect())
}

/// Where the static TLS of each thread starts: the lowest of its TLS blocks below the structure, in the same region.
fn tls_starts<'a>(
    target: &Target<'_>,
    threads: impl Iterator<Item = &'a Thread>,
) -> Result<BTreeMap<u64, u64>> {
    let entry = 2 * target.word;
    // Two words each: the address of the block, and what to free. The entry before the first has the length.
    let tables = threads.filter_map(|thread| Some((thread, thread.tls_table.checked_sub(entry)?)));
    let tables: Vec<_> = tables.filter(|(_, table)| target.is_writable(*table)).collect();
    let lengths = target.gather(tables.iter().map(|(_, table)| *table), entry as usize)?;
    let mut by_length: BTreeMap<u64, Vec<(&Thread, u64)>> = BTreeMap::new();
    for (table, length) in tables.into_iter().zip(lengths.iter()) {
        let length = length.and_then(|length| target.word_in(length, 0)).unwrap_or(0);
        by_length.entry(length.min(MOST_MODULES)).or_default().push(table);
    }
    let mut starts = BTreeMap::new();
    for (length, tables) in by_length {
        let contents =
            target.gather(tables.iter().map(|(_, table)| *table), (entry * (length + 2)) as usize)?;
        for ((thread, _), content) in tables.into_iter().zip(contents.iter()) {
            let (Some(content), Some(region)) = (content, target.region_at(thread.descriptor)) else {
                continue;
            };
            let low = thread.block.map_or(region.range.start(), |(block, guard)| block.start() + guard);
            let blocks = (2..length + 2).filter_map(|index| target.word_in(content, entry * index));
            let lowest = blocks.filter(|block| (low..thread.descriptor).contains(block)).min();
            starts.extend(lowest.map(|lowest| (thread.descriptor, lowest)));
        }
    }
    Ok(starts)
}
