//! The rules for Linux.

use mmview_platform::{Bytes, Name, NameKind, Protection, Region, Result};

use super::{Ahead, Context, Past, Shape, image};
use crate::kind::RegionKind;
use crate::region::Meaning;

/// Guards are small: a page for pthreads, four for the JVM, sixteen at most in the wild.
const LARGEST_GUARD: Bytes = Bytes(64 << 10);

/// The alignment and the most that one heap of glibc's arenas can be (`HEAP_MAX_SIZE` of `malloc/arena.c`), on 64-bit and on
/// 32-bit systems.
const ARENA_64: u64 = 64 << 20;
const ARENA_32: u64 = 1 << 20;

/// Where Go puts its heap first on 64-bit systems (`arenaBaseOffset` hints in `runtime/malloc.go`): amd64 and most, arm64.
const GO_HEAP_STARTS: [u64; 2] = [0xc0_0000_0000, 0x40_0000_0000];

/// Stacks are made in multiples of this, guard aside.
const STACK_UNIT: u64 = 64 << 10;

/// Small stacks are multiples of the least that pthreads takes (`PTHREAD_STACK_MIN`).
const SMALL_STACK_UNIT: u64 = 16 << 10;

/// Chromium's PartitionAlloc has guards too: the memory that it hands out starts 16 KiB into each super page of 2 MiB, right
/// above one (`partition_alloc_constants.h`).
const SUPER_PAGE: (u64, u64) = (2 << 20, 16 << 10);

/// A stack larger than this was never seen; address space was.
const LARGEST_STACK: Bytes = Bytes(1 << 30);

/// Explains the current region.
pub(super) fn explain<I>(ahead: &mut Ahead<I>, past: &mut Past, context: &Context, region: &Region) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let Some(name) = &region.name else { return unnamed(ahead, past, context, region) };
    match name.kind() {
        NameKind::File => file(ahead, past, region, name),
        NameKind::MemoryObject => memory_object(ahead, past, region, name),
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

/// Whether a path is a device's: under `/dev` and not one of the file systems mounted there, or of memory without page
/// structures, or a buffer that drivers share.
fn is_device(region: &Region, path: &[u8]) -> bool {
    const FILE_SYSTEMS: [&[u8]; 4] =
        [b"/dev/shm/", b"/dev/mqueue/", b"/dev/hugepages/", b"/dev/__properties__/"];
    let is_io = region.native.linux().and_then(|native| native.has_flag(b"io")).unwrap_or(false);
    let is_under_dev =
        path.starts_with(b"/dev/") && !FILE_SYSTEMS.iter().any(|mounted| path.starts_with(mounted));
    is_io || is_under_dev || path.starts_with(b"/dmabuf:") || path.starts_with(b"/sys/bus/pci/")
}

fn memory_object<I>(ahead: &mut Ahead<I>, past: &mut Past, region: &Region, name: &Name) -> Meaning
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

/// Whether a name says that it is for machine code made at run time: `jit-cache`, `dalvik-jit-code-cache`, .NET's
/// `doublemapper`.
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

/// Names that runtimes and allocators are known to give their memory. What is not known stays what it was called.
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
        return Meaning::of(RegionKind::Bss);
    }
    if is_go_heap(past, region) {
        return Meaning::of(RegionKind::GcHeap).note("Go heap");
    }
    if let Some(meaning) = stack(context, past.last.map(|(last, _)| last), region) {
        return meaning;
    }
    if region.protection.is_executable() && !past.is_data_executable {
        return Meaning::of(RegionKind::JitCode);
    }
    if region.share.is_shared() {
        return Meaning::of(RegionKind::SharedMemory);
    }
    if ahead.peek(0).is_some_and(|next| is_arena(region.into(), next.into())) {
        return Meaning::of(RegionKind::MallocArena);
    }
    Meaning::of(RegionKind::Anonymous)
}

fn is_plain_memory(shape: Shape) -> bool {
    shape.is_unnamed && !shape.is_shared && shape.protection.is_readable() && shape.protection.is_writable()
}

fn touches(before: Shape, after: Shape) -> bool {
    before.range.end() == after.range.start()
}

/// Whether `used` is used memory of a glibc arena and `tail` its tail: it starts at a multiple of the heaps' size, and the
/// tail ends at the next one. An arena without a tail (a full one) can't be told from other memory.
fn is_arena(used: Shape, tail: Shape) -> bool {
    let size = if used.range.end() < 1 << 32 { ARENA_32 } else { ARENA_64 };
    is_plain_memory(used)
        && tail.is_unnamed
        && tail.protection.is_none()
        && touches(used, tail)
        && used.range.start().is_multiple_of(size)
        && tail.range.end().is_multiple_of(size)
        && tail.range.size().0 < size
}

/// Whether the region is the Go heap: writable memory from exactly where Go starts it, or right after such memory.
fn is_go_heap(past: &Past, region: &Region) -> bool {
    let follows = past.last.is_some_and(|(last, kind)| {
        kind == RegionKind::GcHeap && last.is_unnamed && touches(last, region.into())
    });
    region.protection.is_writable()
        && !region.share.is_shared()
        && (follows || GO_HEAP_STARTS.contains(&region.range.start()))
}

/// Whether the region is a thread's stack: exactly, by a stack pointer; else by its shape.
fn stack(context: &Context, below: Option<Shape>, region: &Region) -> Option<Meaning> {
    let shape = Shape::from(region);
    if !is_plain_memory(shape) {
        return None;
    }
    if let Some(thread) = context.thread_in(region) {
        return Some(Meaning::of(RegionKind::ThreadStack).note(thread.to_owned()));
    }
    let guard = below.filter(|&below| is_guard_shaped(context, below) && touches(below, shape))?;
    is_stack_shaped(context, guard, shape).then(|| Meaning::of(RegionKind::ThreadStack))
}

/// Whether plain memory right above a `guard` looks like a stack that pthreads or the JVM made: the two together, or the
/// upper alone, or both without one page of guard, are a multiple of 64K (of 16K for a small one with a single page of
/// guard).
///
/// It may also be the stack of a thread that has ended, which glibc keeps for the next. Stacks of odd sizes, and those
/// that guard themselves without a region of its own (glibc 2.42), are recognised by stack pointers only.
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

/// Explains a region without a name that allows no access.
fn no_access<I>(ahead: &mut Ahead<I>, past: &Past, context: &Context, region: &Region) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let shape = Shape::from(region);
    let below = past.last.filter(|&(last, _)| touches(last, shape));
    if below.is_some_and(|(below, kind)| kind == RegionKind::MallocArena && is_arena(below, shape)) {
        return Meaning::of(RegionKind::MallocReserved);
    }
    let above = ahead.peek(0).filter(|&above| touches(shape, above.into()));
    if is_guard_shaped(context, shape) {
        let is_stack = |above: &Region| {
            stack(context, Some(shape), above).or_else(|| {
                (above.name.as_ref()?.bytes() == b"[stack]").then(|| Meaning::of(RegionKind::Stack))
            })
        };
        if let Some(stack) = above.and_then(is_stack) {
            return Meaning { note: stack.note, ..Meaning::of(RegionKind::StackGuard) };
        }
        let has_access = |protection: Protection| !protection.is_none();
        if above.is_some_and(|above| has_access(above.protection))
            || below.is_some_and(|(below, _)| has_access(below.protection))
        {
            return Meaning::of(RegionKind::Guard);
        }
    }
    if below.is_some_and(|(below, kind)| kind == RegionKind::GcHeap && below.is_unnamed) {
        return Meaning::of(RegionKind::Reserved).note("Go heap");
    }
    Meaning::of(RegionKind::Reserved)
}
