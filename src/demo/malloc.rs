//! Lesson `malloc`: how an allocator gets memory from the kernel, keeps it and returns it.

use std::hint::black_box;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mmview_platform::Bytes;

use super::Options;
use super::error::Result;
use super::observer::{Observer, between};
use super::stage::Stage;
use super::step::{Fact, Observation, Quantity, Step};
use crate::error::Context as _;
use crate::kind::RegionKind;
use crate::region::Classified;

/// The size of a small block, and the number of them.
const SMALL: Bytes = Bytes(1 << 10);
const COUNT: usize = 2048;

/// Blocks that are freed to make room for the allocations of the observer.
const ROOM: usize = 64;
const ROOM_BLOCK: Bytes = Bytes(16 << 10);

/// The size of the large block: more than glibc ever takes from its heap (`DEFAULT_MMAP_THRESHOLD_MAX`, 32M).
const LARGE: Bytes = Bytes(40 << 20);

/// The number of small blocks that the other thread allocates.
const IN_THREAD: usize = 64;

type Blocks = Vec<Vec<u8>>;

pub(super) fn run(_: &Options, stage: &mut Stage<'_>) -> Result<()> {
    let mut observer = Observer::own("", 0)?;
    // The first observation allocates buffers that later ones reuse.
    observer.regions()?;
    small(stage, &mut observer)?;
    large(stage, &mut observer)?;
    in_a_thread(stage, &mut observer)
}

/// Allocates `count` blocks of `size`, and writes to each as a program would.
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
    Ok(address(blocks.last().context("no block was allocated")?))
}

fn is_kind(observation: &Observation, kind: RegionKind) -> bool {
    observation.after.as_ref().is_some_and(|after| after.kind() == kind)
}

fn small(stage: &mut Stage<'_>, observer: &mut Observer) -> Result<()> {
    // Keep the observer's own allocations below the blocks: above, they would keep the heap from shrinking.
    let room = allocate(ROOM, ROOM_BLOCK);
    let before = observer.regions()?;
    let mut blocks = allocate(COUNT, SMALL);
    let at = last(&blocks)?;
    drop(room);
    let full = observer.regions()?;
    let grown = between("", &before, &full, at);
    let why = small_sentence(stage, &grown);
    let call = format!("malloc({}), {COUNT} times", SMALL.0);
    let address = Fact::new("address", format!("{at:#x}"), format!("the last block is at {at:#x}"));
    stage.show(Step::new("small blocks", call).region(grown).fact(address).why(&[&why]))?;

    let kept = blocks.pop();
    drop(blocks);
    let nearly_empty = observer.regions()?;
    let held = between("", &full, &nearly_empty, at);
    let why = match held.shrank(Quantity::Size) == Bytes::ZERO {
        true if is_kind(&held, RegionKind::Heap) => {
            "The heap didn't shrink: the allocator can only return memory from the end of the heap, where the last block \
             is still in use. It keeps the free blocks for later calls of malloc(); the map doesn't show which part is in \
             use."
        }
        true => {
            "The allocator returned nothing to the kernel: it keeps the free blocks for later calls of malloc(). The map \
             doesn't show which part is in use."
        }
        false => "The allocator returned some of the memory immediately.",
    };
    stage.show(Step::new("freed but one", "free() of all blocks but the last").region(held).why(&[why]))?;

    drop(kept);
    let freed = between("", &nearly_empty, &observer.regions()?, at);
    let back = stage.size(freed.shrank(Quantity::Size));
    let why = if freed.is_gone() {
        "The region is gone: the allocator returned all of it to the kernel.".to_owned()
    } else if freed.shrank(Quantity::Size) > Bytes::ZERO {
        format!(
            "The end of the region is free now, and the allocator returned {back} to the kernel. One block of {} had kept \
             the region from shrinking.",
            { stage.size(SMALL) }
        )
    } else {
        "The allocator keeps this block too: free() returns memory to the allocator, not necessarily to the kernel."
            .to_owned()
    };
    stage.show(Step::new("freed", "free() of the last block").region(freed).why(&[&why]))
}

fn small_sentence(stage: &Stage<'_>, grown: &Observation) -> String {
    let title = grown.after.as_ref().map(|after| after.title()).unwrap_or_default();
    let by = stage.size(grown.grew(Quantity::Size));
    if grown.grew(Quantity::Size) == Bytes::ZERO {
        format!("The blocks lie in a region of type {title}, which had room for them or was made for them.")
    } else if is_kind(grown, RegionKind::Heap) {
        format!(
            "The blocks lie side by side in the heap, whose end the allocator moved up by {by} (brk): it asks the kernel \
             rarely, and for a lot at a time."
        )
    } else {
        format!("The blocks lie in a region of type {title}, which grew by {by}.")
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
    let call = format!("malloc({}) without an access to the block", LARGE.0);
    stage.show(
        Step::new("a large block", call)
            .region(made)
            .fact(Fact::new("address", format!("{at:#x}"), format!("the block is at {at:#x}")))
            .why(&[&why]),
    )?;

    drop(block);
    let freed = between("", &after, &observer.regions()?, at);
    let why = match freed.is_gone() || freed.shrank(Quantity::Size) >= LARGE {
        true => "The mapping is gone immediately (munmap): the allocator returns a large block as a whole.",
        false => "The region stays: the allocator keeps it for later calls of malloc().",
    };
    stage.show(Step::new("given back", "free()").region(freed).why(&[why]))
}

fn large_sentence(stage: &Stage<'_>, made: &Observation) -> String {
    let size = stage.size(LARGE);
    let own = match &made.before {
        None => "A block this large gets its own mapping.".to_owned(),
        Some(before) if made.grew(Quantity::Size) >= LARGE => format!(
            "A block this large gets its own mapping, which the kernel merged with {} of the same kind next to it.",
            stage.size(before.size())
        ),
        Some(_) => "The block lies in a region that existed before.".to_owned(),
    };
    let resident = match &made.before {
        None => made.now(Quantity::Resident),
        Some(_) => Some(made.grew(Quantity::Resident)),
    };
    match resident {
        Some(resident) if resident < LARGE => format!(
            "{own} Only {} of its {size} are resident: pages become resident when they are touched, and so far only the \
             allocator has, to record the size.",
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
            "The thread's blocks lie elsewhere: the allocator gave the thread its own arena, so that threads don't wait \
             for each other. Most of the arena is only reserved: addresses without access, into which it can grow."
        }
        (true, false) => {
            "The thread's blocks and the main thread's lie in different regions, so that threads don't wait for each other."
        }
        (false, _) => "The thread's blocks and the main thread's lie in the same region.",
    };
    let call = format!("in a second thread: malloc({}), {IN_THREAD} times", SMALL.0);
    let mut step = Step::new("another thread", call).region(arena).fact(Fact::new(
        "address",
        format!("{at:#x}"),
        format!("the thread's last block is at {at:#x}"),
    ));
    step.regions.extend(tail);
    step.regions.push(heap);
    stage.show(step.why(&[why]))?;

    drop(to_thread);
    thread.join().ok().context("the thread panicked")?;
    let ended = between("", &after, &observer.regions()?, at);
    let why = match ended.is_gone() {
        true => "The region is gone, like the thread.",
        false => "The thread is gone, but the region stays: the next thread can use it.",
    };
    stage.show(Step::new("ended", "free() of all its blocks; the thread ends").region(ended).why(&[why]))
}

fn allocate_and_wait(to_main: &Sender<u64>, from_main: &Receiver<()>) {
    let blocks = allocate(IN_THREAD, SMALL);
    // If the main thread failed meanwhile, don't wait for it.
    if let Ok(at) = last(&blocks)
        && to_main.send(at).is_ok()
    {
        let _ = from_main.recv();
    }
}

/// Returns the reserved rest of an arena, if the allocator reserved more than it uses.
fn tail_of(arena: &Observation, before: &[Classified], after: &[Classified]) -> Option<Observation> {
    let end = arena.after.as_ref()?.range().end();
    let tail = between("thread", before, after, end);
    let is_tail = tail.after.as_ref()?.kind() == RegionKind::MallocReserved;
    is_tail.then_some(tail)
}
