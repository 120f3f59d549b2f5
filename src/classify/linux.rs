//! The rules for Linux.

use std::ops::Range;

use mmview_platform::{Bytes, Name, NameKind, Protection, Region, Result};

use super::ahead::Ahead;
use super::context::Context;
use super::image;
use super::past::{Past, Shape};
use super::runtimes;
use crate::kind::RegionKind;
use crate::region::Meaning;

/// The largest guard seen in practice, of sixteen pages. pthreads uses one page, the JVM four.
const LARGEST_GUARD: Bytes = Bytes(64 << 10);

/// The alignment and maximum size of one heap of a glibc arena (`HEAP_MAX_SIZE` in `malloc/arena.c`), on 64-bit and 32-bit
/// systems.
const ARENA_64: u64 = 64 << 20;
const ARENA_32: u64 = 1 << 20;

/// Where mimalloc asks for memory on 64-bit systems (`src/os.c`). glibc never asks for a place, so its heaps lie elsewhere.
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

/// Decides the meaning of the current region.
pub(super) fn explain<I>(ahead: &mut Ahead<I>, past: &mut Past, context: &Context, region: &Region) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let Some(name) = &region.name else { return unnamed(ahead, past, context, region) };
    match name.kind() {
        NameKind::File => file(ahead, past, region, name),
        NameKind::MemoryObject => memory_object(ahead, past, context, region, name),
        NameKind::Kernel => kernel_label(context, name),
        NameKind::Given | NameKind::GivenShared => given(context, region, name),
        NameKind::AnonInode => anon_inode(name),
        _ if region.native.linux().is_some_and(|native| native.inode != 0) => {
            Meaning::of(RegionKind::MappedFile)
        }
        _ => Meaning::of(RegionKind::Named),
    }
}

fn is_hugetlb(region: &Region) -> bool {
    region.native.linux().and_then(|native| native.has_flag(b"ht")).unwrap_or(false)
}

fn file<I>(ahead: &mut Ahead<I>, past: &mut Past, region: &Region, name: &Name) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let path = name.bytes();
    if is_hugetlb(region) || path.starts_with(b"/dev/hugepages/") {
        return Meaning::of(RegionKind::HugePages);
    }
    if let Some(kind) = image::segment(ahead, &mut past.image, region) {
        let meaning = Meaning::of(kind);
        return if kind == RegionKind::Reserved { meaning.note("hole between segments") } else { meaning };
    }
    if path == b"/dev/zero" {
        return Meaning::of(RegionKind::Anonymous);
    }
    if path.starts_with(b"/dev/shm/") && region.share.is_shared() {
        return Meaning::of(RegionKind::SharedMemory).note("POSIX shared memory");
    }
    if path.starts_with(b"/dev/ashmem") {
        return Meaning::of(RegionKind::SharedMemory).note("Android shared memory");
    }
    if is_device(region, path) {
        return Meaning::of(RegionKind::Device);
    }
    Meaning::of(RegionKind::MappedFile)
}

/// Whether a region is of a device: a path under `/dev` but not in a file system mounted there, memory without page structures
/// (`io`), or a buffer that drivers share.
fn is_device(region: &Region, path: &[u8]) -> bool {
    const FILE_SYSTEMS: [&[u8]; 4] =
        [b"/dev/shm/", b"/dev/mqueue/", b"/dev/hugepages/", b"/dev/__properties__/"];
    let is_io = region.native.linux().and_then(|native| native.has_flag(b"io")).unwrap_or(false);
    let is_under_dev =
        path.starts_with(b"/dev/") && !FILE_SYSTEMS.iter().any(|mounted| path.starts_with(mounted));
    is_io || is_under_dev || path.starts_with(b"/dmabuf:") || path.starts_with(b"/sys/bus/pci/")
}

fn memory_object<I>(
    ahead: &mut Ahead<I>,
    past: &mut Past,
    context: &Context,
    region: &Region,
    name: &Name,
) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let path = name.bytes();
    if is_hugetlb(region) || path == b"/anon_hugepage" {
        return Meaning::of(RegionKind::HugePages);
    }
    if let Some(kind) = image::segment(ahead, &mut past.image, region) {
        return Meaning::of(kind);
    }
    if let Some(meaning) = runtimes::shared(&context.runtimes, region, path) {
        return meaning;
    }
    match path {
        b"/[aio]" => Meaning::of(RegionKind::Aio),
        b"/i915" => Meaning::of(RegionKind::Device),
        b"/dev/zero" => Meaning::of(RegionKind::SharedMemory).note("shared anonymous memory"),
        _ if path.starts_with(b"/drm mm object") => Meaning::of(RegionKind::Device),
        _ if region.protection.is_executable() || mentions_jit(path) => Meaning::of(RegionKind::JitCode),
        _ if path.starts_with(b"/SYSV") => {
            let id = region.native.linux().map_or(0, |native| native.inode);
            Meaning::of(RegionKind::SharedMemory).note(format!("System V shared memory, id {id}"))
        }
        _ => Meaning::of(RegionKind::SharedMemory),
    }
}

/// Whether a name is typical of generated machine code: `jit-cache`, `dalvik-jit-code-cache`, .NET's `doublemapper`.
fn mentions_jit(name: &[u8]) -> bool {
    let has = |word: &[u8]| name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    has(b"jit-") || has(b"-jit") || has(b":jit") || has(b"doublemapper")
}

fn kernel_label(context: &Context, name: &Name) -> Meaning {
    let label = name.bytes();
    if let Some(id) = label.strip_prefix(b"[stack:").and_then(|rest| rest.strip_suffix(b"]")) {
        return thread_stack(context, id);
    }
    match label {
        b"[heap]" => Meaning::of(RegionKind::Heap),
        b"[stack]" => Meaning::of(RegionKind::Stack),
        b"[vdso]" => Meaning::of(RegionKind::Vdso),
        b"[vsyscall]" => Meaning::of(RegionKind::Vsyscall),
        _ if label.starts_with(b"[vvar") => Meaning::of(RegionKind::Vvar),
        _ if label.starts_with(b"[thread stack") => Meaning::of(RegionKind::ThreadStack),
        _ => Meaning::of(RegionKind::KernelPage),
    }
}

fn thread_stack(context: &Context, id: &[u8]) -> Meaning {
    let id = String::from_utf8_lossy(id);
    Meaning::of(RegionKind::ThreadStack).note(context.thread_called(id.trim()))
}

/// Recognizes the names that runtimes and allocators set. Memory with another name is [`RegionKind::Named`].
fn given(context: &Context, region: &Region, name: &Name) -> Meaning {
    let text = name.bytes().trim_ascii_start();
    let after = |prefix: &[u8]| text.strip_prefix(prefix);
    for stack in [&b"glibc: pthread stack:"[..], b"glibc: pthread user stack:", b"stack_and_tls:"] {
        if let Some(id) = after(stack) {
            return thread_stack(context, id);
        }
    }
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    let starts = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    let kind = if region.protection.is_none() {
        match text {
            b"thread stack guard" => RegionKind::StackGuard,
            _ if has(b"guard") => RegionKind::Guard,
            _ => RegionKind::Reserved,
        }
    } else if region.protection.is_executable() || mentions_jit(text) {
        RegionKind::JitCode
    } else if text == b".bss" {
        RegionKind::Bss
    } else if text == b"glibc: unused stack" {
        RegionKind::ThreadStack
    } else if text == b"glibc: malloc arena" {
        RegionKind::MallocArena
    } else if starts(&[b"glibc: malloc", b"glibc: loader malloc", b"libc_malloc", b"scudo:", b"GWP-ASan"])
        || starts(&[b"jemalloc", b"mimalloc", b"partition_alloc", b"native_heap", b"tcmalloc"])
    {
        RegionKind::Malloc
    } else if starts(&[b"Go: heap", b"v8", b"ArkTS Heap"]) || (starts(&[b"dalvik-"]) && has(b"space")) {
        RegionKind::GcHeap
    } else if name.kind() == NameKind::GivenShared {
        RegionKind::SharedMemory
    } else {
        RegionKind::Named
    };
    Meaning::of(kind)
}

fn anon_inode(name: &Name) -> Meaning {
    let class = name.bytes();
    let is = |prefix: &[u8]| class.strip_prefix(b"anon_inode:[").is_some_and(|rest| rest.starts_with(prefix));
    Meaning::of(if is(b"io_uring") {
        RegionKind::IoUring
    } else if is(b"perf_event") {
        RegionKind::Perf
    } else if is(b"bpf") {
        RegionKind::Bpf
    } else if is(b"kvm") {
        RegionKind::Device
    } else if class.starts_with(b"socket:[") {
        RegionKind::SocketRing
    } else {
        RegionKind::KernelObject
    })
}

fn unnamed<I>(ahead: &mut Ahead<I>, past: &mut Past, context: &Context, region: &Region) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let flag = |letters| region.native.linux().and_then(|native| native.has_flag(letters)).unwrap_or(false);
    if flag(b"ss") {
        return Meaning::of(RegionKind::ShadowStack);
    }
    if flag(b"ht") {
        return Meaning::of(RegionKind::HugePages);
    }
    if region.protection.is_none() {
        return no_access(ahead, past, context, region);
    }
    if let Some(run) = past.image.take()
        && run.data_end == Some(region.range.start())
        && region.protection.is_writable()
        && !region.share.is_shared()
    {
        return Meaning::likely(RegionKind::Bss);
    }
    if is_go_heap(past, region) {
        return Meaning { owner: Some("Go".into()), ..Meaning::likely(RegionKind::GcHeap).note("Go heap") };
    }
    if let Some(meaning) = stack(context, past.last.map(|(last, _)| last), region) {
        return meaning;
    }
    let may_be_arena = !context.overlay.has_malloc;
    if may_be_arena && ahead.peek(0).is_some_and(|next| is_arena(region.into(), next.into())) {
        return Meaning::likely(RegionKind::MallocArena);
    }
    if region.protection.is_writable()
        && !region.share.is_shared()
        && let Some(meaning) = runtimes::plain(&context.runtimes, ahead, past, region)
    {
        return meaning;
    }
    if region.protection.is_executable() && !past.is_data_executable {
        return Meaning::likely(RegionKind::JitCode);
    }
    if region.share.is_shared() {
        return Meaning::of(RegionKind::SharedMemory);
    }
    Meaning::of(RegionKind::Anonymous)
}

fn is_plain_memory(shape: Shape) -> bool {
    shape.is_unnamed && !shape.is_shared && shape.protection.is_readable() && shape.protection.is_writable()
}

fn touches(before: Shape, after: Shape) -> bool {
    before.range.end() == after.range.start()
}

/// Whether `used` is the used part of a glibc arena and `tail` the rest of it: `used` starts at a multiple of the heap size, and
/// `tail` ends at the next multiple. A full arena has no tail, and looks like other memory.
fn is_arena(used: Shape, tail: Shape) -> bool {
    let size = if used.range.end() < 1 << 32 { ARENA_32 } else { ARENA_64 };
    is_plain_memory(used)
        && !used.protection.is_executable()
        && !MIMALLOC_HINTS.contains(&used.range.start())
        && tail.is_unnamed
        && tail.protection.is_none()
        && touches(used, tail)
        && used.range.start().is_multiple_of(size)
        && tail.range.end().is_multiple_of(size)
        && tail.range.size().0 < size
}

/// Whether the region is part of the Go heap: writable memory at its first address, or directly after such memory.
fn is_go_heap(past: &Past, region: &Region) -> bool {
    let follows = past.last.is_some_and(|(last, kind)| {
        kind == RegionKind::GcHeap && last.is_unnamed && touches(last, region.into())
    });
    region.protection.is_writable()
        && !region.share.is_shared()
        && (follows || GO_HEAP_STARTS.contains(&region.range.start()))
}

/// Recognizes the stack of a thread: exactly, by a stack pointer, or else by its shape.
fn stack(context: &Context, below: Option<Shape>, region: &Region) -> Option<Meaning> {
    let shape = Shape::from(region);
    // Once every stack is known by the thread's own record, a stack pointer adds nothing but whole regions.
    if !is_plain_memory(shape) || context.overlay.has_threads {
        return None;
    }
    if let Some(thread) = context.thread_in(region) {
        return Some(Meaning::of(RegionKind::ThreadStack).note(thread.to_owned()));
    }
    let guard = below.filter(|&below| is_guard_shaped(context, below) && touches(below, shape))?;
    is_stack_shaped(context, guard, shape).then(|| Meaning::likely(RegionKind::ThreadStack))
}

/// Whether plain memory directly above a `guard` has the size of a stack from pthreads or the JVM: the stack, or the stack and
/// its guard, or both without one page, is a multiple of 64K (of 16K for a small stack with a guard of one page).
///
/// It can also be the stack of a thread that has ended, which glibc keeps for reuse. Stacks of other sizes, and stacks whose
/// guard is not a separate region (glibc 2.42), are recognized by stack pointers only.
fn is_stack_shaped(context: &Context, guard: Shape, stack: Shape) -> bool {
    let page = context.page_size.0;
    let (size, guard_size) = (stack.range.size().0, guard.range.size().0);
    let unit = if size < STACK_UNIT && guard_size == page { SMALL_STACK_UNIT } else { STACK_UNIT };
    let is_round = |size: u64| size >= unit && size.is_multiple_of(unit);
    let is_size =
        is_round(size) || is_round(size + guard_size) || is_round(size + guard_size - page.min(guard_size));
    is_size && stack.range.size() <= LARGEST_STACK && stack.range.start() % SUPER_PAGE.0 != SUPER_PAGE.1
}

fn is_guard_shaped(context: &Context, shape: Shape) -> bool {
    shape.is_unnamed
        && shape.protection.is_none()
        && shape.range.size() <= LARGEST_GUARD.max(context.page_size)
}

/// Decides the meaning of a region without a name and without access.
fn no_access<I>(ahead: &mut Ahead<I>, past: &Past, context: &Context, region: &Region) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let shape = Shape::from(region);
    let below = past.last.filter(|&(last, _)| touches(last, shape));
    if below.is_some_and(|(below, kind)| kind == RegionKind::MallocArena && is_arena(below, shape)) {
        return Meaning::likely(RegionKind::MallocReserved);
    }
    let above = ahead.peek(0).filter(|&above| touches(shape, above.into()));
    if is_guard_shaped(context, shape) {
        let is_stack = |above: &Region| {
            stack(context, Some(shape), above).or_else(|| {
                (above.name.as_ref()?.bytes() == b"[stack]").then(|| Meaning::of(RegionKind::Stack))
            })
        };
        if let Some(stack) = above.and_then(is_stack) {
            return Meaning { note: stack.note, ..Meaning::likely(RegionKind::StackGuard) };
        }
        let has_access = |protection: Protection| !protection.is_none();
        if above.is_some_and(|above| has_access(above.protection))
            || below.is_some_and(|(below, _)| has_access(below.protection))
        {
            return Meaning::likely(RegionKind::Guard);
        }
    }
    if let Some(meaning) = runtimes::reserve(&context.runtimes, past, region) {
        return meaning;
    }
    if below.is_some_and(|(below, kind)| kind == RegionKind::GcHeap && below.is_unnamed) {
        return Meaning { owner: Some("Go".into()), ..Meaning::likely(RegionKind::Reserved).note("Go heap") };
    }
    Meaning::of(RegionKind::Reserved)
}
