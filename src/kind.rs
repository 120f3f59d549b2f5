//! What a region is for.

use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $id:literal, $title:literal, $group:ident;)+) => {
        /// What a region is for. Computed from the facts (see [`classify`](crate::classify)), never stored.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum RegionKind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl RegionKind {
            /// Every kind.
            pub const ALL: &[RegionKind] = &[$(RegionKind::$variant),+];

            /// The stable identifier, for machine formats and filters.
            pub const fn id(self) -> &'static str {
                match self { $(RegionKind::$variant => $id),+ }
            }

            /// The name in tables.
            pub const fn title(self) -> &'static str {
                match self { $(RegionKind::$variant => $title),+ }
            }

            /// The group by which it is coloured.
            pub const fn group(self) -> Group {
                match self { $(RegionKind::$variant => Group::$group),+ }
            }
        }
    };
}

kinds! {
    /// Code of a program or library.
    Text = "text", ".text", Code;
    /// What the linker left in a Mach-O image for the loader and for debuggers.
    LinkEdit = "linkedit", "__LINKEDIT", Code;
    /// Constants of a program or library, and its headers.
    Rodata = "rodata", ".rodata", Code;
    /// Data that the loader made read-only once it had filled it in.
    Relro = "relro", ".relro", Data;
    /// Initialised data of a program or library.
    Data = "data", ".data", Data;
    /// Data of a program or library that starts as zeros.
    Bss = "bss", ".bss", Data;
    /// Data of libraries in the shared cache that this process doesn't use.
    UnusedLibrary = "unused-library", "unused library data", Data;
    /// The heap that `brk` grows.
    Heap = "heap", "Heap", Heap;
    /// A further heap of glibc's malloc.
    MallocArena = "malloc-arena", "MALLOC arena", Heap;
    /// Address space that an arena of glibc's malloc may grow into.
    MallocReserved = "malloc-reserved", "MALLOC reserved", Reserved;
    /// Memory of an allocator that names it.
    Malloc = "malloc", "MALLOC", Heap;
    /// The heap of a garbage collector.
    GcHeap = "gc-heap", "GC heap", Heap;
    /// The stack of the main thread.
    Stack = "stack", "Stack", Stack;
    /// The stack of another thread.
    ThreadStack = "thread-stack", "Stack (thread)", Stack;
    /// The shadow stack of a thread: return addresses only.
    ShadowStack = "shadow-stack", "shadow stack", Stack;
    /// No access, right below a stack: running over faults.
    StackGuard = "stack-guard", "STACK GUARD", Reserved;
    /// No access, small, beside memory in use: running over faults.
    Guard = "guard", "guard", Reserved;
    /// No access and nothing to guard: address space set aside.
    Reserved = "reserved", "reserved", Reserved;
    /// A file that a program mapped, private or shared.
    MappedFile = "mapped-file", "mapped file", File;
    /// Memory shared by several processes, or meant to be: System V, POSIX, memfd, shared anonymous.
    SharedMemory = "shared-memory", "shared memory", Shared;
    /// A map within the map, shared with other tasks, that was not looked into.
    Submap = "submap", "Submap", Shared;
    /// Machine code made at run time.
    JitCode = "jit-code", "JIT code", Code;
    /// Memory in pages of hugetlb.
    HugePages = "huge-pages", "huge pages", Data;
    /// Memory or registers of a device.
    Device = "device", "device memory", Shared;
    /// Private anonymous memory that the program gave a name.
    Named = "named", "named memory", Data;
    /// Private anonymous memory.
    Anonymous = "anonymous", "anonymous", Data;
    /// The kernel's code for fast system calls.
    Vdso = "vdso", "[vdso]", Kernel;
    /// The data of that code.
    Vvar = "vvar", "[vvar]", Kernel;
    /// The older way of fast system calls, at a fixed address.
    Vsyscall = "vsyscall", "[vsyscall]", Kernel;
    /// Another page of the kernel's making.
    KernelPage = "kernel-page", "kernel page", Kernel;
    /// The queues of an io_uring.
    IoUring = "io-uring", "io_uring", Kernel;
    /// The ring of asynchronous I/O.
    Aio = "aio", "aio ring", Kernel;
    /// The ring of perf events.
    Perf = "perf", "perf ring", Kernel;
    /// A BPF map or ring.
    Bpf = "bpf", "BPF", Kernel;
    /// The ring of a packet socket.
    SocketRing = "socket-ring", "socket ring", Kernel;
    /// An object of the kernel without a path.
    KernelObject = "kernel-object", "kernel object", Kernel;
}

impl RegionKind {
    /// Whether it is address space only, which no access can ever fill.
    pub const fn is_reserved(self) -> bool {
        matches!(self, RegionKind::Reserved | RegionKind::MallocReserved)
    }

    /// Whether it is part of the read-only portion of programs and libraries.
    pub const fn is_library(self) -> bool {
        matches!(self, RegionKind::Text | RegionKind::Rodata | RegionKind::LinkEdit)
    }

    /// The identifiers of every kind.
    pub fn ids() -> Vec<&'static str> {
        RegionKind::ALL.iter().map(|kind| kind.id()).collect()
    }

    /// The kinds that a word stands for, in filters and in checks: `stack` the stacks of all threads, `heap` all that malloc
    /// hands out, every other identifier its own kind alone. A name in tables stands for the kind too; case doesn't matter.
    pub fn named(word: &str) -> Option<&'static [RegionKind]> {
        const STACKS: &[RegionKind] = &[RegionKind::Stack, RegionKind::ThreadStack];
        const HEAPS: &[RegionKind] = &[RegionKind::Heap, RegionKind::MallocArena, RegionKind::Malloc];
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

/// Kinds that share a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// What is executed, and its constants.
    Code,
    /// Data.
    Data,
    /// Heaps.
    Heap,
    /// Stacks.
    Stack,
    /// Files.
    File,
    /// What others may see.
    Shared,
    /// The kernel's own.
    Kernel,
    /// What can't be accessed.
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
        assert_eq!(ids("stack"), ["stack", "thread-stack"]);
        assert_eq!(ids("heap"), ["heap", "malloc-arena", "malloc"]);
        for kind in RegionKind::ALL.iter().filter(|kind| !["stack", "heap"].contains(&kind.id())) {
            assert_eq!(ids(kind.id()), [kind.id()]);
        }
    }
}
