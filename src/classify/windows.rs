//! The rules for Windows, whose maps come from minidumps.

use mmview_platform::{Region, Result, WindowsMemory, WindowsRegion};

use super::ahead::Ahead;
use super::context::Context;
use crate::kind::RegionKind;
use crate::region::Meaning;

/// Decides the meaning of the current region, whose facts are `native`.
pub(super) fn explain<I>(
    ahead: &mut Ahead<I>,
    context: &Context,
    region: &Region,
    native: &WindowsRegion,
) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    let protection = region.protection;
    if native.is_reserved {
        return Meaning::of(RegionKind::Reserved);
    }
    if native.is_guard {
        // The guard of a stack lies right below what is in use of it.
        let above = ahead.peek(0).filter(|above| above.range.start() == region.range.end());
        return match above.and_then(|above| context.thread_in(above.range)) {
            Some(stack) => Meaning::of(RegionKind::StackGuard).note(stack.thread.clone()),
            None => Meaning::of(RegionKind::Guard),
        };
    }
    if native.memory != Some(WindowsMemory::Image)
        && let Some(stack) = context.thread_in(region.range)
    {
        return Meaning::of(stack.kind).note(stack.thread.clone());
    }
    match native.memory {
        Some(WindowsMemory::Image) if !protection.is_known() => Meaning::of(RegionKind::Image),
        Some(WindowsMemory::Image) if protection.is_executable() => Meaning::of(RegionKind::Text),
        Some(WindowsMemory::Image) if protection.is_writable() => Meaning::of(RegionKind::Data),
        Some(WindowsMemory::Image) => Meaning::of(RegionKind::Rodata),
        Some(WindowsMemory::Mapped) if region.is_file_backed() => Meaning::of(RegionKind::MappedFile),
        Some(WindowsMemory::Mapped) => Meaning::of(RegionKind::SharedMemory),
        Some(_) if protection.is_none() => Meaning::of(RegionKind::Guard),
        Some(_) if protection.is_executable() => Meaning::likely(RegionKind::JitCode),
        Some(_) => Meaning::of(RegionKind::Anonymous),
        None => Meaning::of(RegionKind::Unknown),
    }
}
