//! The kinds of regions.

use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $id:literal, $title:literal, $group:ident;)+) => {
        /// The purpose of a region. Always computed from the kernel's facts (see [`classify`](crate::classify)), never stored.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum RegionKind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl RegionKind {
            /// Every kind.
            pub const ALL: &[RegionKind] = &[$(RegionKind::$variant),+];

            /// The stable identifier in machine formats and filters.
            pub const fn id(self) -> &'static str {
                match self { $(RegionKind::$variant => $id),+ }
            }

            /// The name in tables.
            pub const fn title(self) -> &'static str {
                match self { $(RegionKind::$variant => $title),+ }
            }

            /// What it is, in one or two sentences.
            pub const fn about(self) -> &'static str {
                match self { $(RegionKind::$variant => concat!($($doc),+).trim_ascii_start()),+ }
            }

            /// The group that decides the color.
            pub const fn group(self) -> Group {
                match self { $(RegionKind::$variant => Group::$group),+ }
            }
        }
    };
}

kinds! {
    /// Code of a program or library.
    Text = "text", ".text", Code;
    /// A part of a program or library, code or constants, whose protection is unknown.
    Image = "image", "image", Code;
    /// Symbols, relocations and signatures of a Mach-O image, for the loader and for debuggers.
    LinkEdit = "linkedit", "__LINKEDIT", Code;
    /// Constants and headers of a program or library.
    Rodata = "rodata", ".rodata", Code;
    /// Data that the loader makes read-only after relocation.
    Relro = "relro", ".relro", Data;
    /// Initialized data of a program or library.
    Data = "data", ".data", Data;
    /// Zero-initialized data of a program or library.
    Bss = "bss", ".bss", Data;
    /// Data of libraries in the shared cache that the process doesn't use.
    UnusedLibrary = "unused-library", "unused library data", Data;
    /// The heap that `brk` extends.
    Heap = "heap", "Heap", Heap;
    /// A heap of glibc's malloc other than the one that `brk` extends.
    MallocArena = "malloc-arena", "MALLOC arena", Heap;
    /// Address space into which an arena of glibc's malloc can grow.
    MallocReserved = "malloc-reserved", "MALLOC reserved", Reserved;
    /// Large blocks of glibc's malloc, which have mappings of their own.
    MallocLarge = "malloc-large", "MALLOC large", Heap;
    /// Memory of another allocator.
    Malloc = "malloc", "MALLOC", Heap;
    /// The heap of a garbage collector.
    GcHeap = "gc-heap", "GC heap", Heap;
    /// What a runtime keeps about its heap, its classes and itself.
    RuntimeData = "runtime-data", "runtime data", Data;
    /// The stack of the main thread.
    Stack = "stack", "Stack", Stack;
    /// The stack of another thread.
    ThreadStack = "thread-stack", "Stack (thread)", Stack;
    /// The stack of a fiber, a coroutine or a goroutine.
    FiberStack = "fiber-stack", "Stack (fiber)", Stack;
    /// Thread-local data of a thread, apart from its stack.
    ThreadData = "thread-data", "thread data", Data;
    /// The shadow stack of a thread, which holds return addresses only.
    ShadowStack = "shadow-stack", "shadow stack", Stack;
    /// A guard directly below a stack: no access, so that an overflow faults.
    StackGuard = "stack-guard", "STACK GUARD", Reserved;
    /// A small region without access next to memory in use, so that an overrun faults.
    Guard = "guard", "guard", Reserved;
    /// Reserved address space: no access, and too large or too isolated for a guard.
    Reserved = "reserved", "reserved", Reserved;
    /// A mapped file that is not an executable image, private or shared.
    MappedFile = "mapped-file", "mapped file", File;
    /// Memory that several processes share, or can: System V, POSIX, memfd, shared anonymous.
    SharedMemory = "shared-memory", "shared memory", Shared;
    /// A nested map, shared with other tasks, whose regions were not read.
    Submap = "submap", "Submap", Shared;
    /// Machine code that was generated at run time.
    JitCode = "jit-code", "JIT code", Code;
    /// Memory in hugetlb pages.
    HugePages = "huge-pages", "huge pages", Data;
    /// Device memory or registers.
    Device = "device", "device memory", Shared;
    /// Private anonymous memory that the program named.
    Named = "named", "named memory", Data;
    /// Private anonymous memory.
    Anonymous = "anonymous", "anonymous", Data;
    /// Memory in a dump that does not say what it is.
    Unknown = "unknown", "unknown", Data;
    /// Kernel code for system calls that need no mode switch.
    Vdso = "vdso", "[vdso]", Kernel;
    /// The data that this code reads.
    Vvar = "vvar", "[vvar]", Kernel;
    /// The predecessor of the vDSO, at a fixed address.
    Vsyscall = "vsyscall", "[vsyscall]", Kernel;
    /// Another page that the kernel provides.
    KernelPage = "kernel-page", "kernel page", Kernel;
    /// Queues of an io_uring.
    IoUring = "io-uring", "io_uring", Kernel;
    /// The ring buffer of asynchronous I/O.
    Aio = "aio", "aio ring", Kernel;
    /// The ring buffer of perf events.
    Perf = "perf", "perf ring", Kernel;
    /// A BPF map or ring buffer.
    Bpf = "bpf", "BPF", Kernel;
    /// The ring buffer of a packet socket.
    SocketRing = "socket-ring", "socket ring", Kernel;
    /// A kernel object without a path.
    KernelObject = "kernel-object", "kernel object", Kernel;
}

impl RegionKind {
    /// Whether it is reserved address space, which no access can fill.
    pub const fn is_reserved(self) -> bool {
        matches!(self, RegionKind::Reserved | RegionKind::MallocReserved)
    }

    /// Whether it is in the read-only part of programs and libraries.
    pub const fn is_library(self) -> bool {
        matches!(self, RegionKind::Text | RegionKind::Rodata | RegionKind::LinkEdit | RegionKind::Image)
    }

    /// The identifiers of every kind.
    pub fn ids() -> Vec<&'static str> {
        RegionKind::ALL.iter().map(|kind| kind.id()).collect()
    }

    /// Returns the kind with this identifier.
    pub(crate) fn with_id(id: &str) -> Option<RegionKind> {
        RegionKind::ALL.iter().copied().find(|kind| kind.id() == id)
    }

    /// Returns the kinds that a word means in filters and checks, or `None` if it is unknown.
    ///
    /// `stack` means the stacks of all threads and `heap` everything that malloc manages; any other identifier means its
    /// own kind only. Titles work too, and case doesn't matter.
    pub fn named(word: &str) -> Option<&'static [RegionKind]> {
        const STACKS: &[RegionKind] = &[RegionKind::Stack, RegionKind::ThreadStack, RegionKind::FiberStack];
        const HEAPS: &[RegionKind] =
            &[RegionKind::Heap, RegionKind::MallocArena, RegionKind::MallocLarge, RegionKind::Malloc];
        let is = |name: &str| name.eq_ignore_ascii_case(word);
        let kind = RegionKind::ALL.iter().find(|kind| is(kind.id()) || is(kind.title()))?;
        Some(match kind {
            RegionKind::Stack => STACKS,
            RegionKind::Heap => HEAPS,
            kind => std::slice::from_ref(kind),
        })
    }
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title())
    }
}

/// Kinds that share a color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Group {
    /// Code and constants.
    Code,
    /// Data.
    Data,
    /// Heaps.
    Heap,
    /// Stacks.
    Stack,
    /// Files.
    File,
    /// Memory that other processes can see.
    Shared,
    /// Memory that the kernel provides.
    Kernel,
    /// Memory that can't be accessed.
    Reserved,
}

impl Group {
    /// Every group, in the order of the legend.
    pub const ALL: &[Group] = &[
        Group::Code,
        Group::Data,
        Group::Heap,
        Group::Stack,
        Group::File,
        Group::Shared,
        Group::Kernel,
        Group::Reserved,
    ];

    /// The word in the legend.
    pub const fn title(self) -> &'static str {
        match self {
            Group::Code => "code",
            Group::Data => "data",
            Group::Heap => "heap",
            Group::Stack => "stack",
            Group::File => "file",
            Group::Shared => "shared",
            Group::Kernel => "kernel",
            Group::Reserved => "no access",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_titles_are_unique() {
        for (index, kind) in RegionKind::ALL.iter().enumerate() {
            for other in &RegionKind::ALL[index + 1..] {
                assert_ne!(kind.id(), other.id());
                assert_ne!(kind.title(), other.title());
            }
        }
    }

    #[test]
    fn a_kind_is_named_by_either_name() {
        assert_eq!(RegionKind::named("mapped-file"), Some(&[RegionKind::MappedFile][..]));
        assert_eq!(RegionKind::named("Mapped File"), Some(&[RegionKind::MappedFile][..]));
        assert_eq!(RegionKind::named("nonsense"), None);
    }

    #[test]
    fn stack_and_heap_are_families_and_nothing_else_is() {
        let ids = |word| RegionKind::named(word).unwrap().iter().map(|kind| kind.id()).collect::<Vec<_>>();
        assert_eq!(ids("stack"), ["stack", "thread-stack", "fiber-stack"]);
        assert_eq!(ids("heap"), ["heap", "malloc-arena", "malloc-large", "malloc"]);
        for kind in RegionKind::ALL.iter().filter(|kind| !["stack", "heap"].contains(&kind.id())) {
            assert_eq!(ids(kind.id()), [kind.id()]);
        }
    }
}
