//! The rules for macOS: vmmap's names, from the user tag, the segment, the protection and the share mode.

use std::borrow::Cow;

use mmview_platform::macos::tags::{self, Naming};
use mmview_platform::{MacosRegion, Region, Result, ShareMode};

use super::ahead::Ahead;
use super::context::Context;
use crate::kind::RegionKind;
use crate::region::Meaning;

const TAG_NONE: u32 = 0;
const TAG_MALLOC: u32 = 1;
const TAG_STACK: u32 = 30;

/// What vmmap appends to the type of address space that was never used.
const RESERVED: &str = " (reserved)";

/// Decides the meaning of the current region, whose Mach facts are `native`.
pub(super) fn explain<I>(
    ahead: &mut Ahead<I>,
    context: &Context,
    region: &Region,
    native: &MacosRegion,
) -> Meaning
where
    I: Iterator<Item = Result<Region>>,
{
    if native.lacks_tag && native.segment.is_none() {
        return match context.thread_in(region.range) {
            _ if region.is_file_backed() => Meaning::of(RegionKind::Image),
            Some(stack) => Meaning::of(stack.kind).note(stack.thread.clone()),
            None => Meaning::of(RegionKind::Unknown),
        };
    }
    let title = title(region, native, context.naming);
    let kind = kind(&title, native);
    let stack = match kind {
        RegionKind::Stack => context.thread_in(region.range),
        RegionKind::StackGuard => ahead
            .peek(0)
            .filter(|above| above.range.start() == region.range.end())
            .and_then(|above| context.thread_in(above.range)),
        _ => None,
    };
    let note = stack.map(|stack| Cow::Owned(stack.thread.clone()));
    let kind = if kind == RegionKind::Stack && note.is_some() { RegionKind::ThreadStack } else { kind };
    Meaning { title, note, ..Meaning::of(kind) }
}

/// Returns vmmap's name for the region.
fn title(region: &Region, native: &MacosRegion, naming: Naming) -> Cow<'static, str> {
    if let Some(printed) = &native.printed_type {
        return Cow::Owned(printed.to_string());
    }
    if let Some(segment) = &native.segment {
        return Cow::Owned(segment.to_string());
    }
    if native.submap {
        return "Submap".into();
    }
    if native.shared_cache {
        return "unused shlib __DATA".into();
    }
    let is_title_case = naming == Naming::TitleCase;
    let has_no_access = region.protection.is_none();
    match native.user_tag {
        TAG_MALLOC if has_no_access && is_title_case => "Malloc Guard Page".into(),
        TAG_MALLOC if has_no_access => "MALLOC guard page".into(),
        TAG_STACK if has_no_access && is_title_case => "Stack Guard".into(),
        TAG_STACK if has_no_access => "STACK GUARD".into(),
        TAG_NONE if native.external_pager || region.is_file_backed() => "mapped file".into(),
        TAG_NONE if region.share.is_shared() => "shared memory".into(),
        tag => {
            let name = tags::name(tag, naming);
            // Writable address space that was never used. Holds for all 27 such rows in recorded reports.
            let is_reserved =
                region.protection.is_writable() && region.share == ShareMode::Empty && tag != TAG_STACK;
            if is_reserved { Cow::Owned(name.into_owned() + RESERVED) } else { name }
        }
    }
}

/// Returns the kind of a type in a report's own table.
pub(crate) fn kind_of_title(title: &str) -> RegionKind {
    kind(title, &MacosRegion::default())
}

/// Returns the kind of a type, by vmmap's name.
fn kind(title: &str, native: &MacosRegion) -> RegionKind {
    if title.ends_with(RESERVED) {
        return RegionKind::Reserved;
    }
    if let Some(segment) = title.strip_prefix("__") {
        return segment_kind(segment);
    }
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| title.starts_with(prefix));
    match title {
        "mapped file" => RegionKind::MappedFile,
        "shared memory" => RegionKind::SharedMemory,
        "STACK GUARD" | "Stack Guard" => RegionKind::StackGuard,
        "Stack" => RegionKind::Stack,
        "MALLOC guard page" | "Malloc Guard Page" | "Guard" => RegionKind::Guard,
        "VM_ALLOCATE" | "Untagged" => RegionKind::Anonymous,
        "Submap" => RegionKind::Submap,
        "JS JIT generated code" | "Rosetta JIT" => RegionKind::JitCode,
        _ if native.flags & JIT != 0 => RegionKind::JitCode,
        _ if starts(&["unused "]) => RegionKind::UnusedLibrary,
        _ if starts(&["MALLOC", "Malloc", "WebKit Malloc", "dyld malloc"]) => RegionKind::Malloc,
        _ if starts(&["JS ", "WebAssembly"]) => RegionKind::GcHeap,
        _ if starts(&["IOKit", "IOSurface", "IOAccelerator", "owned unmapped"]) => RegionKind::Device,
        _ if starts(&["page table"]) => RegionKind::KernelPage,
        _ => RegionKind::Named,
    }
}

/// `VM_REGION_FLAG_JIT_ENABLED` in `mach/vm_region.h` (macOS 26).
const JIT: u16 = 1;

/// Returns the kind of a Mach-O segment, by its name without the underscores.
fn segment_kind(segment: &str) -> RegionKind {
    match segment {
        "TEXT" => RegionKind::Text,
        "LINKEDIT" => RegionKind::LinkEdit,
        "PAGEZERO" => RegionKind::Guard,
        "OBJC_RO" => RegionKind::Relro,
        _ if segment.ends_with("_CONST") => RegionKind::Relro,
        _ => RegionKind::Data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmview_platform::{AddrRange, Name, Native, Protection};

    fn region(protection: &str, share: ShareMode, native: MacosRegion) -> Region {
        let has = |letter| protection.contains(letter);
        let range = AddrRange::new(0x1000, 0x2000).unwrap();
        let protection = Protection::from_rwx(has('r'), has('w'), has('x'));
        Region::new(range, protection, share, Native::Macos(Box::new(native)))
    }

    fn tagged(user_tag: u32) -> MacosRegion {
        let mut native = MacosRegion::default();
        native.user_tag = user_tag;
        native
    }

    fn explained(region: &Region) -> (String, &'static str) {
        let native = region.native.macos().unwrap();
        let title = title(region, native, Naming::Classic);
        (title.to_string(), kind(&title, native).id())
    }

    fn by_tag(protection: &str, share: ShareMode, tag: u32) -> (String, &'static str) {
        explained(&region(protection, share, tagged(tag)))
    }

    #[test]
    fn tags_have_vmmaps_names() {
        let private = ShareMode::Private;
        assert_eq!(by_tag("rw-", private, 7), ("MALLOC_TINY".into(), "malloc"));
        assert_eq!(by_tag("rw-", private, 0), ("VM_ALLOCATE".into(), "anonymous"));
        assert_eq!(by_tag("rw-", private, 73), ("Kernel Alloc Once".into(), "named"));
        assert_eq!(by_tag("rw-", private, 222), ("Memory Tag 222".into(), "named"));
        assert_eq!(by_tag("rw-", private, 100).1, "device");
    }

    #[test]
    fn protection_and_share_mode_refine_them() {
        let private = ShareMode::Private;
        assert_eq!(by_tag("---", private, 1), ("MALLOC guard page".into(), "guard"));
        assert_eq!(by_tag("rw-", private, 1), ("MALLOC metadata".into(), "malloc"));
        assert_eq!(by_tag("---", private, 30), ("STACK GUARD".into(), "stack-guard"));
        assert_eq!(by_tag("rw-", private, 30), ("Stack".into(), "stack"));
        assert_eq!(by_tag("rw-", ShareMode::Shared, 0), ("shared memory".into(), "shared-memory"));
        assert_eq!(by_tag("rw-", ShareMode::Empty, 0), ("VM_ALLOCATE (reserved)".into(), "reserved"));
        assert_eq!(by_tag("---", ShareMode::Empty, 0), ("VM_ALLOCATE".into(), "anonymous"), "32 rows of 32");
        assert_eq!(by_tag("rw-", ShareMode::Empty, 30).0, "Stack");
    }

    #[test]
    fn files_and_segments() {
        let mut native = tagged(0);
        native.external_pager = true;
        let mut file = region("rw-", ShareMode::Shared, native.clone());
        file.name = Some(Name::file(&b"/tmp/x"[..]));
        assert_eq!(explained(&file), ("mapped file".into(), "mapped-file"));
        let segment = |name: &str| {
            let mut native = native.clone();
            native.segment = Some(name.into());
            explained(&region("r--", ShareMode::CopyOnWrite, native))
        };
        assert_eq!(segment("__TEXT"), ("__TEXT".into(), "text"));
        assert_eq!(segment("__LINKEDIT").1, "linkedit");
        assert_eq!(segment("__DATA").1, "data");
        assert_eq!(segment("__DATA_CONST").1, "relro");
        assert_eq!(segment("__GLSLBUILTINS").1, "data");
    }

    #[test]
    fn macos_27_has_its_own_names() {
        let title_of = |protection: &str, tag| {
            let region = region(protection, ShareMode::Private, tagged(tag));
            title(&region, region.native.macos().unwrap(), Naming::TitleCase).to_string()
        };
        assert_eq!(title_of("rw-", 7), "Malloc Tiny");
        assert_eq!(title_of("---", 1), "Malloc Guard Page");
        assert_eq!(title_of("---", 30), "Stack Guard");
        assert_eq!(title_of("rw-", 0), "Untagged");
        assert_eq!(kind("Malloc Tiny", &tagged(7)), RegionKind::Malloc);
    }

    #[test]
    fn the_types_of_a_report_stay_as_printed() {
        let mut native = tagged(7);
        native.printed_type = Some("MALLOC_TINY (empty)".into());
        let region = region("rw-", ShareMode::Empty, native);
        assert_eq!(explained(&region), ("MALLOC_TINY (empty)".into(), "malloc"));
    }
}
