//! The threads of musl: a ring of `struct pthread` from the main thread's, which lies in musl's own data
//! (`src/internal/pthread_impl.h`). musl keeps no stacks of ended threads.

use std::collections::BTreeSet;

use mmview_platform::{AddrRange, Claim, Result};

use super::Recognizer;
use super::claims::Claims;
use super::images::Image;
use super::target::{Target, is_plain};
use crate::kind::RegionKind;

/// The threads of musl.
pub(super) struct MuslThreads;

const OWNER: &str = "musl threads";

/// The offsets in the structure, measured in 1.2.3 and 1.2.6 on 64-bit systems.
const PREVIOUS: u64 = 16;
const NEXT: u64 = 24;
const TID: u64 = 0x30;
const MAP: u64 = 0x48;
const MAP_SIZE: u64 = 0x50;
const STACK_END: u64 = 0x58;
const STACK_SIZE: u64 = 0x60;
const SIZE: usize = 0x70;

/// How much of the data of an image is searched. All of musl's is a few kilobytes.
const LARGEST_DATA: usize = 1 << 20;

/// How many threads are followed at most.
const MOST_THREADS: usize = 1 << 16;

impl Recognizer for MuslThreads {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        let has_glibc = target.images.glibc().next().is_some();
        target.word == 8 && !has_glibc
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        let Some(main) = main_thread(target)? else { return Ok(()) };
        let mut seen = BTreeSet::from([main]);
        let mut next = main;
        let mut is_ring = false;
        let mut found = Vec::new();
        while seen.len() < MOST_THREADS {
            let bytes = target.bytes(next, SIZE)?;
            let word = |offset| target.word_in(&bytes, offset);
            if word(0) != Some(next) {
                break;
            }
            found.extend(stack(target, &bytes));
            let Some(after) = word(NEXT) else { break };
            if after == main {
                is_ring = true;
                break;
            }
            if !seen.insert(after) || !target.is_plain(after) {
                break;
            }
            next = after;
        }
        for (map, guard_end, tid) in found {
            let note = target.thread_title(tid);
            if let Some(guard) = AddrRange::new(map.start(), guard_end) {
                let claim = Claim::new(guard, OWNER, RegionKind::StackGuard.id()).note(note.clone());
                claims.add(&claim, |region| region.is_unnamed() && region.protection.is_none());
            }
            if let Some(stack) = AddrRange::new(guard_end, map.end()) {
                claims.add(&Claim::new(stack, OWNER, RegionKind::ThreadStack.id()).note(note), is_plain);
            }
        }
        if is_ring {
            claims.settle("threads");
        }
        Ok(())
    }
}

/// The mapping of a thread's stack, the end of its guard, and its ID; `None` for the main thread and for a stack that the map
/// contradicts.
fn stack(target: &Target<'_>, bytes: &[u8]) -> Option<(AddrRange, u64, u32)> {
    let word = |offset| target.word_in(bytes, offset);
    let map = AddrRange::new(word(MAP)?, word(MAP)?.checked_add(word(MAP_SIZE)?)?)?;
    let bottom = word(STACK_END)?.checked_sub(word(STACK_SIZE)?)?;
    let guard_end = bottom - bottom % target.page();
    let usable = AddrRange::new(guard_end, map.end())?;
    let is_possible = !map.is_empty() && guard_end >= map.start() && target.is_within(usable, is_plain);
    is_possible.then_some((map, guard_end, target.u32_in(bytes, TID)?))
}

/// The structure of the main thread, in the data of musl or of a static program.
fn main_thread(target: &Target<'_>) -> Result<Option<u64>> {
    let is_static = target.images.all.len() == 1;
    let may_be = |image: &&Image| is_static || image.path.windows(4).any(|part| part == b"musl");
    for image in target.images.all.iter().filter(may_be) {
        for data in image.data() {
            for resident in target.resident(data)? {
                let Some(resident) = resident.overlap(data) else { continue };
                let bytes = target.bytes(resident.start(), (resident.size().0 as usize).min(LARGEST_DATA))?;
                for offset in (0..bytes.len() as u64).step_by(8) {
                    let address = resident.start() + offset;
                    let word = |at| target.word_in(&bytes, offset + at);
                    let is_main = word(0) == Some(address)
                        && target.u32_in(&bytes, offset + TID) == target.process.pid
                        && [PREVIOUS, NEXT]
                            .into_iter()
                            .all(|link| word(link).is_some_and(|at| target.is_writable(at)));
                    if is_main {
                        return Ok(Some(address));
                    }
                }
            }
        }
    }
    Ok(None)
}
