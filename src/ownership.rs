//! Whose each part of a map is, in a word for people: an allocator or runtime, or else what it is for.

use std::borrow::Cow;

use crate::kind::{Group, RegionKind};
use crate::region::Part;

/// Who owns a part: the allocator or runtime that the target's memory shows, or else the word for what it is for, such as
/// `stacks` or `libraries`. The stacks of all threads are together, whoever made them, and so is the data of all images.
pub(crate) fn owner_of(part: &Part) -> Cow<'static, str> {
    let of_process = match part.kind() {
        RegionKind::Stack
        | RegionKind::ThreadStack
        | RegionKind::ShadowStack
        | RegionKind::StackGuard
        | RegionKind::ThreadData => Some("stacks"),
        RegionKind::Relro | RegionKind::Data | RegionKind::Bss => Some("libraries"),
        _ => None,
    };
    match (of_process, part.owner()) {
        (Some(word), _) => Cow::Borrowed(word),
        (None, Some(owner)) => Cow::Owned(owner.to_owned()),
        (None, None) => Cow::Borrowed(word(part.kind())),
    }
}

/// The word for parts of a kind whose owner has no name.
fn word(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::Text | RegionKind::Rodata | RegionKind::LinkEdit | RegionKind::UnusedLibrary => {
            "libraries"
        }
        RegionKind::MallocArena | RegionKind::MallocLarge | RegionKind::MallocReserved => "malloc",
        RegionKind::Heap | RegionKind::Malloc => "malloc",
        RegionKind::GcHeap | RegionKind::RuntimeData | RegionKind::FiberStack => "a runtime",
        RegionKind::JitCode => "generated code",
        RegionKind::MappedFile => "mapped files",
        RegionKind::SharedMemory | RegionKind::Submap => "shared memory",
        RegionKind::HugePages => "huge pages",
        RegionKind::Device => "devices",
        RegionKind::Named => "named memory",
        RegionKind::Anonymous => "anonymous",
        kind if kind.group() == Group::Reserved => "reserved",
        _ => "the kernel",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::Meaning;
    use mmview_platform::{AddrRange, Claim, PageCounts};

    fn part(meaning: Meaning) -> Part {
        Part::new(AddrRange::new(0x1000, 0x2000).unwrap(), meaning, PageCounts::UNMEASURED)
    }

    #[test]
    fn a_runtime_owns_its_memory_and_threads_their_stacks() {
        let range = AddrRange::new(0x1000, 0x2000).unwrap();
        let owned = |owner: &'static str, kind: RegionKind| {
            owner_of(&part(Meaning::claimed(&Claim::new(range, owner, kind.id()))))
        };
        assert_eq!(owned("CPython", RegionKind::Malloc), "CPython");
        assert_eq!(owned("glibc threads", RegionKind::ThreadStack), "stacks");
        assert_eq!(owned("libc.so.6", RegionKind::Bss), "libraries");
        assert_eq!(owned("Go", RegionKind::FiberStack), "Go");
    }

    #[test]
    fn every_kind_has_an_owner_in_words() {
        for kind in RegionKind::ALL {
            assert!(!owner_of(&part(Meaning::of(*kind))).is_empty());
        }
        assert_eq!(owner_of(&part(Meaning::of(RegionKind::Guard))), "reserved");
        assert_eq!(owner_of(&part(Meaning::of(RegionKind::Vdso))), "the kernel");
    }
}
