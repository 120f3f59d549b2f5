//! What sizes, places and neighbors suggest: arenas of glibc's malloc, stacks of threads, and guards.

use std::ops::Range;

use mmview_platform::{Bytes, Region, Result};

use super::ahead::Ahead;
use super::context::Context;
use super::image::LONGEST_RUN;
use super::past::{Past, Shape};
use super::{names, runtimes};
use crate::kind::RegionKind;
use crate::region::Meaning;

/// The largest guard seen in practice, of sixteen pages. pthreads uses one page, the JVM four.
const LARGEST_GUARD: Bytes = Bytes(64 << 10);

/// The alignment and maximum size of one heap of a glibc arena (`HEAP_MAX_SIZE` in `malloc/arena.c`), on 64-bit and 32-bit
/// systems.
const ARENA_64: u64 = 64 << 20;
const ARENA_32: u64 = 1 << 20;

/// glibc leaves the place of its heaps to the kernel, which puts them above this address on 64-bit systems. Below it are heaps
/// of Java and others that ask for a low place.
const LOWEST_ARENA_64: u64 = 32 << 30;

/// Where mimalloc asks for memory on 64-bit systems (`src/os.c`). The heaps of glibc lie elsewhere.
pub(super) const MIMALLOC_HINTS: Range<u64> = 2 << 40..30 << 40;

/// The first address of the Go heap on 64-bit systems (the hints in `runtime/malloc.go`): on amd64 and most, and on arm64.
pub(super) const GO_HEAP_STARTS: [u64; 2] = [0xc0_0000_0000, 0x40_0000_0000];

/// Stack sizes are multiples of this, not counting the guard.
const STACK_UNIT: u64 = 64 << 10;

/// Small stack sizes are multiples of the minimum of pthreads (`PTHREAD_STACK_MIN`).
const SMALL_STACK_UNIT: u64 = 16 << 10;

/// The super pages of Chromium's PartitionAlloc, which has guards too: its usable memory starts directly above one, 16 KiB into
/// each super page of 2 MiB (`partition_alloc_constants.h`).
const SUPER_PAGE: (u64, u64) = (2 << 20, 16 << 10);

/// The largest stack. Reserved address space can look like a stack, but is larger.
const LARGEST_STACK: Bytes = Bytes(1 << 30);

/// Whether a region has the size of a guard.
pub(super) fn is_guard_sized(context: &Context, shape: Shape) -> bool {
    shape.range.size() <= LARGEST_GUARD.max(context.page_size)
}

/// Whether memory is not executable, or is so only because everything is.
fn is_not_code(context: &Context, shape: Shape) -> bool {
    !shape.protection.is_executable() || context.manner.is_all_executable
}

/// The size of one heap of an arena, if `used` starts where one can.
fn arena_size(context: &Context, used: Shape) -> Option<u64> {
    let start = used.range.start();
    let is_32_bit = context.manner.is_32_bit;
    let size = if is_32_bit { ARENA_32 } else { ARENA_64 };
    let is_place = is_32_bit || (start >= LOWEST_ARENA_64 && !MIMALLOC_HINTS.contains(&start));
    let is_usable = used.is_plain_memory() && is_not_code(context, used);
    (is_place && is_usable && start.is_multiple_of(size)).then_some(size)
}

/// Whether `used` is the used part of a glibc arena and `tail` the rest of it: `used` starts at a multiple of the heap size, and
/// `tail` ends at the next multiple.
pub(super) fn is_arena_with_tail(context: &Context, used: Shape, tail: Shape) -> bool {
    arena_size(context, used).is_some_and(|size| {
        tail.is_reserve()
            && used.touches(tail)
            && tail.range.end().is_multiple_of(size)
            && tail.range.size().0 < size
    })
}

/// Whether a region is the used part of an arena.
///
/// A full arena has no tail, and looks like other memory. It is one between two arenas, or next to one if it has the size of
/// exactly one heap.
pub(super) fn is_arena<I>(ahead: &mut Ahead<I>, past: &Past, context: &Context, used: Shape) -> bool
where
    I: Iterator<Item = Result<Region>>,
{
    let Some(size) = arena_size(context, used) else { return false };
    if ahead.peek(0).is_some_and(|next| is_arena_with_tail(context, used, next.into())) {
        return true;
    }
    if !used.range.size().0.is_multiple_of(size) {
        return false;
    }
    let is_above_one = past
        .below(used)
        .is_some_and(|(_, kind)| matches!(kind, RegionKind::MallocArena | RegionKind::MallocReserved));
    let is_one = used.range.size().0 == size;
    (is_above_one && is_one) || ((is_above_one || is_one) && is_below_arena(ahead, context, used, size))
}

/// Whether an arena with a tail lies above `below`, with at most full ones between them.
fn is_below_arena<I>(ahead: &mut Ahead<I>, context: &Context, mut below: Shape, size: u64) -> bool
where
    I: Iterator<Item = Result<Region>>,
{
    for index in 0..LONGEST_RUN - 1 {
        let Some(used) = ahead.peek(index).map(Shape::from).filter(|used| below.touches(*used)) else {
            return false;
        };
        if arena_size(context, used).is_none() {
            return false;
        }
        if ahead.peek(index + 1).is_some_and(|tail| is_arena_with_tail(context, used, tail.into())) {
            return true;
        }
        if used.range.size().0 != size {
            return false;
        }
        below = used;
    }
    false
}

/// Whether the region is part of the Go heap: writable memory at its first address, or directly after such memory.
pub(super) fn is_go_heap(past: &Past, region: &Region) -> bool {
    let follows =
        past.below(region.into()).is_some_and(|(last, kind)| kind == RegionKind::GcHeap && last.is_unnamed);
    region.protection.is_writable()
        && !region.share.is_shared()
        && (follows || GO_HEAP_STARTS.contains(&region.range.start()))
}

/// Recognizes the stack of a thread that has no name, by its guard: one that is called so, or one of a likely size.
pub(super) fn is_stack<I>(ahead: &mut Ahead<I>, past: &Past, context: &Context, stack: Shape) -> bool
where
    I: Iterator<Item = Result<Region>>,
{
    let Some((guard, RegionKind::StackGuard)) = past.below(stack) else { return false };
    let above = ahead.peek(0).map(Shape::from);
    stack.is_plain_memory() && (!guard.is_unnamed || is_stack_shaped(context, guard, stack, above))
}

/// Whether plain memory directly above a `guard` has the size of a stack from pthreads or the JVM: the stack, or the stack and
/// its guard, or both without one page, is a multiple of 64K (of 16K for a small stack with a guard of one page).
///
/// It can also be the stack of a thread that has ended, which glibc keeps for reuse. Stacks of other sizes, and stacks whose
/// guard is not a separate region (glibc 2.42), are recognized by stack pointers only. Executable memory is a stack only where
/// the main one is executable, and never with a reserve above it into which code can grow.
fn is_stack_shaped(context: &Context, guard: Shape, stack: Shape, above: Option<Shape>) -> bool {
    let page = context.page_size.0;
    let (size, guard_size) = (stack.range.size().0, guard.range.size().0);
    let unit = if size < STACK_UNIT && guard_size == page { SMALL_STACK_UNIT } else { STACK_UNIT };
    let is_round = |size: u64| size >= unit && size.is_multiple_of(unit);
    let is_size =
        is_round(size) || is_round(size + guard_size) || is_round(size + guard_size - page.min(guard_size));
    let has_reserve = above
        .is_some_and(|above| stack.touches(above) && above.is_reserve() && !is_guard_sized(context, above));
    let may_be_executable =
        is_not_code(context, stack) || (context.manner.is_stack_executable && !has_reserve);
    let is_arena = above.is_some_and(|above| is_arena_with_tail(context, stack, above));
    is_size
        && may_be_executable
        && !is_arena
        && stack.range.size() <= LARGEST_STACK
        && stack.range.start() % SUPER_PAGE.0 != SUPER_PAGE.1
}

/// The stack that the region `guard` guards: it lies directly above, or above another guard.
pub(super) fn guarded_stack<I>(ahead: &mut Ahead<I>, context: &Context, guard: Shape) -> Option<Meaning>
where
    I: Iterator<Item = Result<Region>>,
{
    let mut below = guard;
    for index in 0..2 {
        let after = ahead.peek(index + 1).map(Shape::from);
        let above = ahead.peek(index).filter(|&above| below.touches(above.into()))?;
        let shape = Shape::from(above);
        if shape.is_reserve() && is_guard_sized(context, shape) {
            below = shape;
            continue;
        }
        if let Some(name) = &above.name {
            return names::stack(context, name);
        }
        if !shape.is_plain_memory() || context.overlay.has_threads {
            return None;
        }
        if let Some(stack) = context.thread_in(shape.range) {
            return Some(Meaning::of(stack.kind).note(stack.thread.clone()));
        }
        let is_stack = runtimes::is_fiber_stack(&context.runtimes, shape)
            || is_stack_shaped(context, below, shape, after);
        return is_stack.then(|| Meaning::likely(RegionKind::ThreadStack));
    }
    None
}
