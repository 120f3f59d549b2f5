//! The names that vmmap prints for user tags.
//!
//! The numbers are the `VM_MEMORY_…` constants of `mach/vm_statistics.h`. About half of the names were seen in reports of
//! macOS 10.5 to 27; the others follow vmmap's conventions and are inferred, as [`Tag::is_seen`] says. macOS 27 prints some
//! names in title case; a name that was not seen there stays the older one.

use std::borrow::Cow;

/// One user tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tag {
    /// The number that the allocating call passed.
    pub number: u32,
    /// The constant in `mach/vm_statistics.h`, without its `VM_MEMORY_`. Empty for 0, which has none.
    pub constant: &'static str,
    /// The name in vmmap up to macOS 26; `None` if it prints the bare number.
    pub name: Option<&'static str>,
    /// The name in vmmap on macOS 27, if it was seen.
    pub name_macos27: Option<&'static str>,
    /// Whether the name was seen in a report. Otherwise it is inferred.
    pub is_seen: bool,
}

/// One of vmmap's two vocabularies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Naming {
    /// Up to macOS 26: `MALLOC_TINY`, `VM_ALLOCATE`.
    #[default]
    Classic,
    /// From macOS 27: `Malloc Tiny`, `Untagged`.
    TitleCase,
}

impl Naming {
    /// The vocabulary of a system, by its version as in [`ProcessInfo::system`](crate::ProcessInfo::system): `macOS 14.6.1
    /// (23G93)`.
    pub fn of_system(system: &str) -> Naming {
        let version = system.strip_prefix("macOS ").unwrap_or_default();
        let major = version.split(['.', ' ']).next().and_then(|major| major.parse().ok());
        if major.is_some_and(|major: u32| major >= 27) { Naming::TitleCase } else { Naming::Classic }
    }
}

/// The tag with that number; `None` if it has no constant.
pub fn tag(number: u32) -> Option<&'static Tag> {
    let index = TAGS.binary_search_by_key(&number, |tag| tag.number).ok()?;
    Some(&TAGS[index])
}

/// The name that vmmap prints for a tag before it considers protection, share mode and backing: `Memory Tag N` if it has no
/// name.
pub fn name(number: u32, naming: Naming) -> Cow<'static, str> {
    let tag = tag(number);
    let title = tag.and_then(|tag| tag.name_macos27).filter(|_| naming == Naming::TitleCase);
    match title.or_else(|| tag?.name) {
        Some(name) => name.into(),
        None => format!("Memory Tag {number}").into(),
    }
}

/// The tag of a printed region type, whichever refinement it has; `None` if the type has no tag (`mapped file`, `__TEXT`).
///
/// `MALLOC`, which crash reports print for all malloc memory together, counts as tag 1.
pub fn tag_of_name(printed: &str) -> Option<u32> {
    let refined = printed.split_once(" (").map_or(printed, |(name, _)| name);
    let refined = refined.strip_suffix(" metadata").unwrap_or(refined).trim_end_matches(" ?");
    match printed {
        "MALLOC metadata" | "MALLOC guard page" | "Malloc Guard Page" => return Some(1),
        "STACK GUARD" | "Stack Guard" => return Some(30),
        _ => {}
    }
    if let Some(number) = refined.strip_prefix("Memory Tag ").or_else(|| refined.strip_prefix("Memory tag="))
    {
        return number.parse().ok();
    }
    if refined == "MALLOC" {
        return Some(1);
    }
    let is_it = |tag: &&Tag| {
        [tag.name, tag.name_macos27].into_iter().flatten().any(|name| name == refined || name == printed)
    };
    TAGS.iter().find(is_it).map(|tag| tag.number)
}

const fn seen(number: u32, constant: &'static str, name: &'static str, name_macos27: &'static str) -> Tag {
    Tag { number, constant, name: some(name), name_macos27: some(name_macos27), is_seen: true }
}

const fn inferred(number: u32, constant: &'static str, name: &'static str) -> Tag {
    Tag { number, constant, name: some(name), name_macos27: None, is_seen: false }
}

const fn some(text: &'static str) -> Option<&'static str> {
    if text.is_empty() { None } else { Some(text) }
}

/// Every tag that has a constant in the SDK of macOS 26, by number. 240 to 255 are for applications and have no names.
#[rustfmt::skip]
static TAGS: &[Tag] = &[
    seen(0, "", "VM_ALLOCATE", "Untagged"),
    seen(1, "MALLOC", "MALLOC metadata", "Malloc"),
    seen(2, "MALLOC_SMALL", "MALLOC_SMALL", "Malloc Small"),
    seen(3, "MALLOC_LARGE", "MALLOC_LARGE", "Malloc Large"),
    inferred(4, "MALLOC_HUGE", "MALLOC_HUGE"),
    inferred(5, "SBRK", "SBRK"),
    inferred(6, "REALLOC", "REALLOC"),
    seen(7, "MALLOC_TINY", "MALLOC_TINY", "Malloc Tiny"),
    inferred(8, "MALLOC_LARGE_REUSABLE", "MALLOC_LARGE_REUSABLE"),
    inferred(9, "MALLOC_LARGE_REUSED", "MALLOC_LARGE_REUSED"),
    seen(10, "ANALYSIS_TOOL", "Performance tool data", ""),
    seen(11, "MALLOC_NANO", "MALLOC_NANO", ""),
    seen(12, "MALLOC_MEDIUM", "MALLOC_MEDIUM", ""),
    inferred(13, "MALLOC_PROB_GUARD", "MALLOC_PROB_GUARD"),
    seen(20, "MACH_MSG", "Mach message", ""),
    seen(21, "IOKIT", "IOKit", ""),
    seen(22, "VM_RECLAIM", "", "Deferred Reclaim"),
    seen(30, "STACK", "Stack", "Stack"),
    seen(31, "GUARD", "Guard", "Guard"),
    inferred(32, "SHARED_PMAP", "shared pmap"),
    inferred(33, "DYLIB", "dylib"),
    inferred(34, "OBJC_DISPATCHERS", "OBJC dispatchers"),
    inferred(35, "UNSHARED_PMAP", "unshared pmap"),
    inferred(40, "APPKIT", "AppKit"),
    seen(41, "FOUNDATION", "Foundation", "Foundation"),
    seen(42, "COREGRAPHICS", "CoreGraphics", "CoreGraphics"),
    seen(43, "CORESERVICES", "CoreServices", ""),
    inferred(44, "JAVA", "Java"),
    seen(45, "COREDATA", "CoreData", ""),
    seen(46, "COREDATA_OBJECTIDS", "CoreData Object IDs", ""),
    seen(50, "ATS", "ATS (font support)", ""),
    seen(51, "LAYERKIT", "CoreAnimation", "CoreAnimation"),
    seen(52, "CGIMAGE", "CG image", "CG Image"),
    seen(53, "TCMALLOC", "WebKit Malloc", ""),
    seen(54, "COREGRAPHICS_DATA", "CG raster data", ""),
    seen(55, "COREGRAPHICS_SHARED", "CG shared images", ""),
    inferred(56, "COREGRAPHICS_FRAMEBUFFERS", "CG framebuffers"),
    seen(57, "COREGRAPHICS_BACKINGSTORES", "CG backing stores", ""),
    inferred(58, "COREGRAPHICS_XALLOC", "CG xalloc"),
    seen(60, "DYLD", "dyld private memory", ""),
    inferred(61, "DYLD_MALLOC", "dyld malloc memory"),
    seen(62, "SQLITE", "SQLite page cache", "SQLite Page Cache"),
    seen(63, "JAVASCRIPT_CORE", "JS garbage collector", ""),
    seen(64, "JAVASCRIPT_JIT_EXECUTABLE_ALLOCATOR", "JS JIT generated code", ""),
    seen(65, "JAVASCRIPT_JIT_REGISTER_FILE", "JS VM register file", ""),
    seen(66, "GLSL", "OpenGL GLSL", ""),
    inferred(67, "OPENCL", "OpenCL"),
    seen(68, "COREIMAGE", "CoreImage", ""),
    inferred(69, "WEBCORE_PURGEABLE_BUFFERS", "WebCore purgeable data"),
    seen(70, "IMAGEIO", "Image IO", "Image IO"),
    inferred(71, "COREPROFILE", "CoreProfile"),
    inferred(72, "ASSETSD", "assetsd"),
    seen(73, "OS_ALLOC_ONCE", "Kernel Alloc Once", "OS Alloc Once"),
    seen(74, "LIBDISPATCH", "Dispatch continuations", ""),
    seen(75, "ACCELERATE", "Accelerate framework", "Accelerate Framework"),
    seen(76, "COREUI", "CoreUI image data", "CoreUI Image Data"),
    seen(77, "COREUIFILE", "CoreUI image file", ""),
    seen(78, "GENEALOGY", "Activity Tracing", "Activity Tracing"),
    inferred(79, "RAWCAMERA", "RawCamera"),
    inferred(80, "CORPSEINFO", "corpse info"),
    inferred(81, "ASL", "ASL"),
    inferred(82, "SWIFT_RUNTIME", "Swift runtime"),
    inferred(83, "SWIFT_METADATA", "Swift metadata"),
    inferred(84, "DHMM", "DHMM"),
    inferred(86, "SCENEKIT", "SceneKit"),
    inferred(87, "SKYWALK", "Skywalk networking"),
    seen(88, "IOSURFACE", "IOSurface", ""),
    seen(89, "LIBNETWORK", "libnetwork", ""),
    inferred(90, "AUDIO", "Audio"),
    inferred(91, "VIDEOBITSTREAM", "Video bitstream"),
    inferred(92, "CM_XPC", "CoreMedia XPC"),
    inferred(93, "CM_RPC", "CoreMedia RPC"),
    seen(94, "CM_MEMORYPOOL", "CoreMedia memory pool", ""),
    inferred(95, "CM_READCACHE", "CoreMedia read cache"),
    inferred(96, "CM_CRABS", "CoreMedia crabs"),
    inferred(97, "QUICKLOOK_THUMBNAILS", "QuickLook thumbnails"),
    inferred(98, "ACCOUNTS", "Accounts framework"),
    inferred(99, "SANITIZER", "Sanitizer"),
    seen(100, "IOACCELERATOR", "IOAccelerator", ""),
    inferred(101, "CM_REGWARP", "CoreMedia regwarp"),
    inferred(102, "EAR_DECODER", "EAR decoder"),
    inferred(103, "COREUI_CACHED_IMAGE_DATA", "CoreUI cached image data"),
    seen(104, "COLORSYNC", "ColorSync", "ColorSync"),
    inferred(105, "BTINFO", "backtrace info"),
    inferred(106, "CM_HLS", "CoreMedia HLS"),
    inferred(107, "COMPOSITOR_SERVICES", "Compositor Services"),
    seen(230, "ROSETTA", "Rosetta Generic", ""),
    seen(231, "ROSETTA_THREAD_CONTEXT", "Rosetta Thread Context", ""),
    seen(232, "ROSETTA_INDIRECT_BRANCH_MAP", "Rosetta IndirectBranch", ""),
    seen(233, "ROSETTA_RETURN_STACK", "Rosetta Return Stack", ""),
    seen(234, "ROSETTA_EXECUTABLE_HEAP", "Rosetta JIT", ""),
    inferred(235, "ROSETTA_USER_LDT", "Rosetta User LDT"),
    seen(236, "ROSETTA_ARENA", "Rosetta Arena", ""),
    inferred(239, "ROSETTA_10", "Rosetta 10"),
    inferred(240, "APPLICATION_SPECIFIC_1", ""),
    seen(241, "APPLICATION_SPECIFIC_2", "", ""),
    seen(242, "APPLICATION_SPECIFIC_3", "", ""),
    inferred(243, "APPLICATION_SPECIFIC_4", ""),
    inferred(244, "APPLICATION_SPECIFIC_5", ""),
    inferred(245, "APPLICATION_SPECIFIC_6", ""),
    inferred(246, "APPLICATION_SPECIFIC_7", ""),
    inferred(247, "APPLICATION_SPECIFIC_8", ""),
    inferred(248, "APPLICATION_SPECIFIC_9", ""),
    seen(249, "APPLICATION_SPECIFIC_10", "", ""),
    inferred(250, "APPLICATION_SPECIFIC_11", ""),
    inferred(251, "APPLICATION_SPECIFIC_12", ""),
    inferred(252, "APPLICATION_SPECIFIC_13", ""),
    inferred(253, "APPLICATION_SPECIFIC_14", ""),
    inferred(254, "APPLICATION_SPECIFIC_15", ""),
    seen(255, "APPLICATION_SPECIFIC_16", "", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend() {
        assert!(TAGS.windows(2).all(|pair| pair[0].number < pair[1].number));
    }

    #[test]
    fn a_number_without_a_name_prints_as_a_number() {
        assert_eq!(name(7, Naming::Classic), "MALLOC_TINY");
        assert_eq!(name(7, Naming::TitleCase), "Malloc Tiny");
        assert_eq!(name(22, Naming::Classic), "Memory Tag 22");
        assert_eq!(name(22, Naming::TitleCase), "Deferred Reclaim");
        assert_eq!(name(241, Naming::TitleCase), "Memory Tag 241");
        assert_eq!(name(4711, Naming::Classic), "Memory Tag 4711");
        assert_eq!(name(74, Naming::TitleCase), "Dispatch continuations");
    }

    #[test]
    fn the_vocabulary_goes_by_the_system() {
        assert_eq!(Naming::of_system("macOS 27.0 (26A1)"), Naming::TitleCase);
        assert_eq!(Naming::of_system("macOS 26.4.1 (25E253)"), Naming::Classic);
        assert_eq!(Naming::of_system("Mac OS X 10.13.3 (17D102)"), Naming::Classic);
        assert_eq!(Naming::of_system("Linux 27"), Naming::Classic);
    }

    #[test]
    fn a_printed_type_has_a_tag() {
        for (printed, tag) in [
            ("MALLOC_SMALL (empty)", Some(2)),
            ("MALLOC_LARGE metadata", Some(3)),
            ("MALLOC (admin)", Some(1)),
            ("MALLOC guard page", Some(1)),
            ("MALLOC metadata", Some(1)),
            ("Malloc Large (empty)", Some(3)),
            ("STACK GUARD", Some(30)),
            ("VM_ALLOCATE ?", Some(0)),
            ("VM_ALLOCATE (reserved)", Some(0)),
            ("IOAccelerator (graphics)", Some(100)),
            ("Memory Tag 22", Some(22)),
            ("Memory Tag 255 (reserved)", Some(255)),
            ("Untagged", Some(0)),
            ("mapped file", None),
            ("__TEXT", None),
            ("shared memory", None),
            ("", None),
        ] {
            assert_eq!(tag_of_name(printed), tag, "{printed}");
        }
    }

    #[test]
    fn every_name_leads_back_to_its_tag() {
        for tag in TAGS {
            for name in [tag.name, tag.name_macos27].into_iter().flatten() {
                assert_eq!(tag_of_name(name), Some(tag.number), "{name}");
            }
        }
    }
}
