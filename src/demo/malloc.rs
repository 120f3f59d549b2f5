//! What an allocator does with the memory that it asks for.

use std::hint::black_box;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::error::Context as _;
use mmview_platform::Bytes;

use super::Options;
use super::error::Result;
use super::observer::{Observer, between};
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};
use crate::kind::RegionKind;
use crate::region::Classified;

/// The small blocks, and how many.
const SMALL: Bytes = Bytes(1 << 10);
const COUNT: usize = 2048;

/// Blocks that make room for what looking allocates.
const ROOM: usize = 64;
const ROOM_BLOCK: Bytes = Bytes(16 << 10);

/// The large one: more than glibc ever takes from its heap (`DEFAULT_MMAP_THRESHOLD_MAX`, 32M).
const LARGE: Bytes = Bytes(40 << 20);

/// How many small blocks the other thread allocates.
const IN_THREAD: usize = 64;

type Blocks = Vec<Vec<u8>>;

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let mut observer = Observer::own("", 0)?;
    // The first look allocates what every later one uses again.
    observer.regions()?;
    small(stage, &mut observer)?;
    large(stage, &mut observer)?;
    in_a_thread(stage, &mut observer)
}

/// Blocks of a size, each written to, as a program would.
fn allocate(count: usize, size: Bytes) -> Blocks {
    let block = |_| {
        let mut block = Vec::with_capacity(size.0 as usize);
        block.push(1);
        black_box(block)
    };
    (0..count).map(block).collect()
}

fn address(block: &[u8]) -> u64 {
    block.as_ptr().addr() as u64
}

fn last(blocks: &Blocks) -> crate::error::Result<u64> {
    Ok(address(blocks.last().context("there is no block")?))
}

fn is_kind(seen: &Observation, kind: RegionKind) -> bool {
    seen.after.as_ref().is_some_and(|after| after.kind() == kind)
}

fn small(stage: &mut Stage<'_>, observer: &mut Observer) -> Result<()> {
    // What looking itself allocates is to lie below the blocks; above, it would hold them in the heap.
    let room = allocate(ROOM, ROOM_BLOCK);
    let before = observer.regions()?;
    let mut blocks = allocate(COUNT, SMALL);
    let at = last(&blocks)?;
    drop(room);
    let full = observer.regions()?;
    let grown = between("", &before, &full, at);
    let why = small_sentence(stage, &grown);
    let call = format!("malloc({}), {COUNT} times", SMALL.0);
    let told = Fact::new("address", format!("{at:#x}"), format!("the last is at {at:#x}"));
    stage.show(Step::new("small blocks", call).region(grown).fact(told).why(&[&why]))?;

    let kept = blocks.pop();
    drop(blocks);
    let nearly_empty = observer.regions()?;
    let held = between("", &full, &nearly_empty, at);
    let why = match held.shrank(Quantity::Size) == Bytes::ZERO {
        true if is_kind(&held, RegionKind::Heap) => {
            "Nothing went back to the kernel: the heap can be given back from its end only, and there the last block is still \
             in use. The allocator keeps what is free for the next block; the map doesn't show which part is in use."
        }
        true => {
            "Nothing went back to the kernel: the allocator keeps what is free for the next block. The map doesn't show \
             which part is in use."
        }
        false => "Some of it went back to the kernel at once.",
    };
    stage.show(Step::new("freed but one", "free() of each but the last").region(held).why(&[why]))?;

    drop(kept);
    let freed = between("", &nearly_empty, &observer.regions()?, at);
    let back = stage.size(freed.shrank(Quantity::Size));
    let why = if freed.is_gone() {
        "The region is gone: the allocator has given all of it back.".to_owned()
    } else if freed.shrank(Quantity::Size) > Bytes::ZERO {
        format!(
            "Now the end is free, and {back} went back to the kernel. One block of {} had held it all.",
            { stage.size(SMALL) }
        )
    } else {
        "The allocator keeps this, too: free() is a word between the program and its allocator, and the kernel need not \
         hear of it."
            .to_owned()
    };
    stage.show(Step::new("freed", "free() of the last").region(freed).why(&[&why]))
}

fn small_sentence(stage: &Stage<'_>, grown: &Observation) -> String {
    let title = grown.after.as_ref().map(|after| after.title()).unwrap_or_default();
    let by = stage.size(grown.grew(Quantity::Size));
    if grown.grew(Quantity::Size) == Bytes::ZERO {
        format!("They lie in a region of the type {title}, which had room for them or was made for them.")
    } else if is_kind(grown, RegionKind::Heap) {
        format!(
            "They lie side by side in the heap, whose end was moved up by {by} (brk): the allocator asks the kernel seldom, \
             and for much at a time."
        )
    } else {
        format!("They lie in a region of the type {title}, which has grown by {by}.")
    }
}

fn large(stage: &mut Stage<'_>, observer: &mut Observer) -> Result<()> {
    let before = observer.regions()?;
    let mut block = Vec::<u8>::new();
    block
        .try_reserve_exact(LARGE.0 as usize)
        .map_err(std::io::Error::other)
        .with_context(|| format!("failed to allocate a block of {}", stage.size(LARGE)))?;
    let at = address(black_box(&block));
    let after = observer.regions()?;
    let made = between("", &before, &after, at);
    let why = large_sentence(stage, &made);
    let call = format!("malloc({}), which is never touched", LARGE.0);
    stage.show(
        Step::new("a large block", call)
            .region(made)
            .fact(Fact::new("address", format!("{at:#x}"), format!("it is at {at:#x}")))
            .why(&[&why]),
    )?;

    drop(block);
    let freed = between("", &after, &observer.regions()?, at);
    let why = match freed.is_gone() || freed.shrank(Quantity::Size) >= LARGE {
        true => "Its mapping is gone at once (munmap): a large block is given back as a whole.",
        false => "The region is still there: the allocator keeps it for the next block.",
    };
    stage.show(Step::new("given back", "free()").region(freed).why(&[why]))
}

fn large_sentence(stage: &Stage<'_>, made: &Observation) -> String {
    let size = stage.size(LARGE);
    let own = match &made.before {
        None => "A block this large gets a mapping of its own.".to_owned(),
        Some(before) if made.grew(Quantity::Size) >= LARGE => format!(
            "A block this large is mapped by itself, and the kernel has made one region of it and the {} right beside it, \
             which are alike.",
            stage.size(before.size())
        ),
        Some(_) => "It lies in a region that was there before.".to_owned(),
    };
    let resident = match &made.before {
        None => made.now(Quantity::Resident),
        Some(_) => Some(made.grew(Quantity::Resident)),
    };
    match resident {
        Some(resident) if resident < LARGE => format!(
            "{own} Of its {size} only {} are resident: the pages come when they are touched, and so far only the allocator \
             was there, to note the size.",
            stage.size(resident)
        ),
        _ => own,
    }
}

fn in_a_thread(stage: &mut Stage<'_>, observer: &mut Observer) -> Result<()> {
    let heap = {
        let here = allocate(1, SMALL);
        let at = last(&here)?;
        between("main", &observer.regions()?, &observer.regions()?, at)
    };
    let before = observer.regions()?;
    let (to_thread, from_main) = channel::<()>();
    let (to_main, from_thread) = channel();
    let thread = thread::Builder::new()
        .spawn(move || allocate_and_wait(&to_main, &from_main))
        .context("failed to start a thread")?;
    let at =
        from_thread.recv().map_err(std::io::Error::other).context("the thread ended before it allocated")?;
    let after = observer.regions()?;
    let arena = between("thread", &before, &after, at);
    let tail = tail_of(&arena, &before, &after);
    let is_other = heap
        .after
        .as_ref()
        .zip(arena.after.as_ref())
        .is_some_and(|(one, other)| one.range().start() != other.range().start());
    let why = match (is_other, tail.is_some()) {
        (true, true) => {
            "The thread's blocks lie elsewhere: the allocator has given it an arena of its own, so that threads need not wait \
             for each other. Most of an arena is reserved: addresses without access, into which it grows."
        }
        (true, false) => {
            "The thread's blocks lie in another region than the main thread's, so that threads need not wait for each other."
        }
        (false, _) => "The thread's blocks lie in the same region as the main thread's.",
    };
    let call = format!("in a second thread: malloc({}), {IN_THREAD} times", SMALL.0);
    let mut step = Step::new("another thread", call).region(arena).fact(Fact::new(
        "address",
        format!("{at:#x}"),
        format!("the thread's last is at {at:#x}"),
    ));
    step.regions.extend(tail);
    step.regions.push(heap);
    stage.show(step.why(&[why]))?;

    drop(to_thread);
    thread.join().ok().context("the thread has failed")?;
    let ended = between("", &after, &observer.regions()?, at);
    let why = match ended.is_gone() {
        true => "The region is gone with the thread.",
        false => "The thread is gone and the region is not: the next thread will use it.",
    };
    stage.show(Step::new("ended", "free() of each; the thread ends").region(ended).why(&[why]))
}

fn allocate_and_wait(to_main: &Sender<u64>, from_main: &Receiver<()>) {
    let blocks = allocate(IN_THREAD, SMALL);
    // The main thread may have failed meanwhile; then there is nobody to wait for.
    if let Ok(at) = last(&blocks)
        && to_main.send(at).is_ok()
    {
        let _ = from_main.recv();
    }
}

/// The rest of an arena, where the allocator has reserved more than it uses.
fn tail_of(arena: &Observation, before: &[Classified], after: &[Classified]) -> Option<Observation> {
    let end = arena.after.as_ref()?.range().end();
    let tail = between("thread", before, after, end);
    let is_tail = tail.after.as_ref()?.kind() == RegionKind::MallocReserved;
    is_tail.then_some(tail)
}
