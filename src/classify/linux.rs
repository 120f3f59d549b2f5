//! The rules for Linux.

use mmview_platform::{Name, NameKind, Protection, Region, Result};

use super::ahead::Ahead;
use super::context::Context;
use super::past::{Past, Shape};
use super::{image, names, runtimes, shapes};
use crate::kind::RegionKind;
use crate::region::Meaning;

/// Decides the meaning of the current region.
pub(super) fn explain<I>(ahead: &mut Ahead<I>, past: &mut Past, context: &Context, region: &Region) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    if names::is_hugetlb(context, region) {
        return Meaning::of(RegionKind::HugePages);
    }
    let Some(name) = &region.name else { return unnamed(ahead, past, context, region) };
    match name.kind() {
        NameKind::File => file(ahead, past, context, region, name),
        NameKind::MemoryObject => memory_object(ahead, past, context, region, name),
        NameKind::Kernel => names::kernel_label(context, name),
        NameKind::Given | NameKind::GivenShared => names::given(context, region, name.bytes()),
        NameKind::AnonInode => names::anon_inode(name),
        _ if region.native.linux().is_some_and(|native| native.inode != 0) => {
            Meaning::of(RegionKind::MappedFile)
        }
        _ => Meaning::of(RegionKind::Named),
    }
}

fn file<I>(ahead: &mut Ahead<I>, past: &mut Past, context: &Context, region: &Region, name: &Name) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let path = name.bytes();
    if let Some(given) = path.strip_prefix(b"/dev/ashmem/") {
        return ashmem(context, region, given);
    }
    if let Some(kind) = image::segment(ahead, &mut past.images, region) {
        let meaning = Meaning::of(kind);
        return if kind == RegionKind::Reserved { meaning.note("hole between segments") } else { meaning };
    }
    let has_build_id = region.native.linux().is_some_and(|native| native.build_id.is_some());
    if has_build_id && !region.protection.is_known() {
        return Meaning::of(RegionKind::Image);
    }
    if path == b"/dev/zero" {
        return Meaning::of(RegionKind::Anonymous);
    }
    if let Some(meaning) = names::shared_memory(region, path) {
        return meaning;
    }
    if names::is_device(region, path) {
        return Meaning::of(RegionKind::Device);
    }
    Meaning::of(RegionKind::MappedFile)
}

/// Android's shared memory before memfd. The runtime gives it the names that it gives private memory today.
fn ashmem(context: &Context, region: &Region, given: &[u8]) -> Meaning {
    let meaning = names::given(context, region, given);
    match meaning.kind {
        RegionKind::SharedMemory => meaning.note("Android shared memory"),
        _ => meaning,
    }
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
    if let Some(kind) = image::segment(ahead, &mut past.images, region) {
        return Meaning::of(kind);
    }
    if let Some(meaning) = runtimes::shared(&context.runtimes, region, path) {
        return meaning;
    }
    if let Some(meaning) = names::shared_memory(region, path) {
        return meaning;
    }
    match path {
        b"/[aio]" => Meaning::of(RegionKind::Aio),
        b"/i915" => Meaning::of(RegionKind::Device),
        b"/dev/zero" => Meaning::of(RegionKind::SharedMemory).note("shared anonymous memory"),
        _ if path.starts_with(b"/drm mm object") => Meaning::of(RegionKind::Device),
        _ if region.protection.is_executable() || names::mentions_jit(path) => {
            Meaning::of(RegionKind::JitCode)
        }
        _ if path.starts_with(b"/SYSV") => {
            let id = region.native.linux().map_or(0, |native| native.inode);
            Meaning::of(RegionKind::SharedMemory).note(format!("System V shared memory, id {id}"))
        }
        _ => Meaning::of(RegionKind::SharedMemory),
    }
}

/// Decides the meaning of a region without a name. What is certain comes first, then the shapes, those that need the most first.
fn unnamed<I>(ahead: &mut Ahead<I>, past: &Past, context: &Context, region: &Region) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let shape = Shape::from(region);
    if region.native.linux().and_then(|native| native.has_flag(b"ss")).unwrap_or(false) {
        return Meaning::of(RegionKind::ShadowStack);
    }
    if region.protection.is_none() {
        return no_access(ahead, past, context, region);
    }
    // Once every stack is known by the thread's own record, a stack pointer adds nothing but whole regions.
    let may_be_stack = shape.is_plain_memory() && !context.overlay.has_threads;
    if (may_be_stack || lacks_name(region))
        && let Some(stack) = context.thread_in(region.range)
    {
        return Meaning::of(stack.kind).note(stack.thread.clone());
    }
    if lacks_name(region) {
        return Meaning::of(RegionKind::Unknown);
    }
    if shapes::is_go_heap(past, region) {
        return Meaning { owner: Some("Go".into()), ..Meaning::likely(RegionKind::GcHeap).note("Go heap") };
    }
    if !context.overlay.has_malloc && shapes::is_arena(ahead, past, context, shape) {
        return Meaning::likely(RegionKind::MallocArena);
    }
    if past.images.have_bss(region) {
        return Meaning::likely(RegionKind::Bss);
    }
    if may_be_stack && shapes::is_stack(ahead, past, context, shape) {
        return Meaning::likely(RegionKind::ThreadStack);
    }
    if region.protection.is_writable()
        && !region.share.is_shared()
        && let Some(meaning) = runtimes::plain(&context.runtimes, ahead, past, region)
    {
        return meaning;
    }
    if region.protection.is_executable()
        && !context.manner.is_all_executable
        && !is_old_heap(past, context, region)
    {
        return Meaning::likely(RegionKind::JitCode);
    }
    if region.share.is_shared() {
        return Meaning::of(RegionKind::SharedMemory);
    }
    Meaning::of(RegionKind::Anonymous)
}

/// Whether a dump does not say whether the region maps a file.
fn lacks_name(region: &Region) -> bool {
    region.native.linux().is_some_and(|native| native.lacks_name)
}

/// Whether a region can be what `brk` extends on old 32-bit systems, which made it executable and did not label it.
fn is_old_heap(past: &Past, context: &Context, region: &Region) -> bool {
    context.manner.is_32_bit
        && region.protection.is_writable()
        && past.images.have_program_before(region.range.start())
}

/// Decides the meaning of a region without a name and without access.
fn no_access<I>(ahead: &mut Ahead<I>, past: &Past, context: &Context, region: &Region) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let shape = Shape::from(region);
    let below = past.below(shape);
    let is_above = |kind| below.is_some_and(|(below, of)| of == kind && below.is_unnamed);
    if is_above(RegionKind::MallocArena)
        && below.is_some_and(|(below, _)| shapes::is_arena_with_tail(context, below, shape))
    {
        return Meaning::likely(RegionKind::MallocReserved);
    }
    if shapes::is_guard_sized(context, shape) {
        if let Some(stack) = shapes::guarded_stack(ahead, context, shape) {
            return Meaning { note: stack.note, ..Meaning::likely(RegionKind::StackGuard) };
        }
        let has_access = |protection: Protection| !protection.is_none();
        let above = ahead.peek(0).map(Shape::from).filter(|&above| shape.touches(above));
        if above.is_some_and(|above| has_access(above.protection))
            || below.is_some_and(|(below, _)| has_access(below.protection))
        {
            return Meaning::likely(RegionKind::Guard);
        }
    }
    if let Some(meaning) = runtimes::reserve(&context.runtimes, past, region) {
        return meaning;
    }
    if is_above(RegionKind::JitCode) {
        return Meaning::likely(RegionKind::Reserved).note("for code");
    }
    if is_above(RegionKind::GcHeap) {
        return Meaning { owner: Some("Go".into()), ..Meaning::likely(RegionKind::Reserved).note("Go heap") };
    }
    Meaning::of(RegionKind::Reserved)
}
