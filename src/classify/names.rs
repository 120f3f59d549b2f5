//! What names say: the kernel's labels and objects, paths of devices and of memory, and the names that runtimes set.

use mmview_platform::{Name, NameKind, Region, SmapsField};

use super::context::Context;
use crate::kind::RegionKind;
use crate::region::Meaning;

/// Whether memory is in hugetlb pages: by its flag, its page size or its counts if smaps has them, else by its path.
pub(super) fn is_hugetlb(context: &Context, region: &Region) -> bool {
    let path = region.name.as_ref().and_then(Name::path).unwrap_or_default();
    // The page size of persistent memory is that of its device.
    if path.starts_with(b"/dev/dax") {
        return false;
    }
    let Some(native) = region.native.linux() else { return false };
    let has_pages = [SmapsField::SharedHugetlb, SmapsField::PrivateHugetlb]
        .iter()
        .any(|&field| native.smaps.get(field).is_some_and(|size| size.0 > 0));
    let flag = native.has_flag(b"ht");
    let is_large = native.smaps.get(SmapsField::KernelPageSize).map(|size| size > context.page_size);
    match (flag, is_large) {
        (Some(true), _) | (_, Some(true)) => true,
        (None, None) => has_pages || is_hugetlb_path(path),
        _ => has_pages,
    }
}

/// Whether a path is in hugetlbfs, which administrators mount where they like: at a usual place such as `/dev/hugepages1G` or
/// `/mnt/huge`, or a file of DPDK.
fn is_hugetlb_path(path: &[u8]) -> bool {
    const PARENTS: [&[u8]; 6] = [b"/dev/", b"/mnt/", b"/run/", b"/var/run/", b"/var/lib/", b"/"];
    let is_mount = |parent: &[u8]| {
        let rest = path.strip_prefix(parent).and_then(|name| name.strip_prefix(b"huge")).unwrap_or_default();
        let is_end = rest.first().is_some_and(|next| b"/-_0123456789".contains(next));
        rest.contains(&b'/') && (is_end || rest.starts_with(b"pages") || rest.starts_with(b"tlbfs"))
    };
    let file = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let number = file.strip_prefix(b"rtemap_").unwrap_or_default();
    path == b"/anon_hugepage"
        || PARENTS.iter().any(|parent| is_mount(parent))
        || (!number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// What the path of shared memory says.
pub(super) fn shared_memory(region: &Region, path: &[u8]) -> Option<Meaning> {
    let note = if path == b"/secretmem" {
        "secret memory"
    } else if path.starts_with(b"/dev/ashmem") {
        "Android shared memory"
    } else {
        let name = path.strip_prefix(b"/dev/shm/").or_else(|| path.strip_prefix(b"/run/shm/"))?;
        match region.share.is_shared() {
            true if name.starts_with(b"sem.") => "POSIX semaphore",
            true => "POSIX shared memory",
            false => return None,
        }
    };
    Some(Meaning::of(RegionKind::SharedMemory).note(note))
}

/// Whether a region is of a device: a path under `/dev` but not in a file system mounted there, a resource of a bus, memory
/// without page structures (`io`), or a buffer that drivers share.
pub(super) fn is_device(region: &Region, path: &[u8]) -> bool {
    const FILE_SYSTEMS: [&[u8]; 4] = [b"/dev/shm/", b"/dev/mqueue/", b"/dev/huge", b"/dev/__properties__"];
    const PLACES: [&[u8]; 5] =
        [b"/dmabuf:", b"/sys/bus/", b"/sys/devices/", b"/sys/class/", b"/proc/bus/pci/"];
    let is_io = region.native.linux().and_then(|native| native.has_flag(b"io")).unwrap_or(false);
    let is_in = |places: &[&[u8]]| places.iter().any(|place| path.starts_with(place));
    is_io || (path.starts_with(b"/dev/") && !is_in(&FILE_SYSTEMS)) || is_in(&PLACES)
}

/// Whether a name is typical of generated machine code: `jit-cache`, `dalvik-data-code-cache`, .NET's `doublemapper`.
pub(super) fn mentions_jit(name: &[u8]) -> bool {
    let has = |word: &[u8]| name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    has(b"jit-") || has(b"-jit") || has(b":jit") || has(b"-code-cache") || has(b"doublemapper")
}

/// What a label of the kernel says.
pub(super) fn kernel_label(context: &Context, name: &Name) -> Meaning {
    let label = name.bytes();
    if let Some(id) = label.strip_prefix(b"[stack:").and_then(|rest| rest.strip_suffix(b"]")) {
        return thread_stack(context, id);
    }
    Meaning::of(match label {
        b"[heap]" => RegionKind::Heap,
        b"[stack]" => RegionKind::Stack,
        b"[vsyscall]" => RegionKind::Vsyscall,
        _ if label.starts_with(b"[vdso") => RegionKind::Vdso,
        _ if label.starts_with(b"[vvar") => RegionKind::Vvar,
        _ if label.starts_with(b"[thread stack") => RegionKind::ThreadStack,
        _ => RegionKind::KernelPage,
    })
}

fn thread_stack(context: &Context, id: &[u8]) -> Meaning {
    let id = String::from_utf8_lossy(id);
    Meaning::of(RegionKind::ThreadStack).note(context.thread_called(id.trim()))
}

/// What the name of a stack says, whoever set it.
pub(super) fn stack(context: &Context, name: &Name) -> Option<Meaning> {
    let meaning = match name.kind() {
        NameKind::Kernel => kernel_label(context, name),
        NameKind::Given => given_stack(context, name.bytes().trim_ascii_start())?,
        _ => return None,
    };
    matches!(meaning.kind, RegionKind::Stack | RegionKind::ThreadStack).then_some(meaning)
}

fn given_stack(context: &Context, text: &[u8]) -> Option<Meaning> {
    for stack in [&b"glibc: pthread stack:"[..], b"glibc: pthread user stack:", b"stack_and_tls:"] {
        if let Some(id) = text.strip_prefix(stack) {
            return Some(thread_stack(context, id));
        }
    }
    match text {
        b"glibc: unused stack" => Some(Meaning::of(RegionKind::ThreadStack)),
        b"thread signal stack" => Some(Meaning::of(RegionKind::ThreadStack).note("for signals")),
        _ => None,
    }
}

/// What a name that a program set says. Private memory with an unknown one is [`RegionKind::Named`].
pub(super) fn given(context: &Context, region: &Region, name: &[u8]) -> Meaning {
    let text = name.trim_ascii_start();
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    let starts = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    let stack = given_stack(context, text);
    if region.protection.is_none() {
        return match stack {
            Some(stack) => Meaning { note: stack.note, ..Meaning::of(RegionKind::StackGuard) },
            None if has(b"stack guard") => Meaning::of(RegionKind::StackGuard),
            None if has(b"guard") => Meaning::of(RegionKind::Guard),
            None => Meaning::of(RegionKind::Reserved),
        };
    }
    if let Some(stack) = stack {
        return stack;
    }
    Meaning::of(if region.protection.is_executable() || mentions_jit(text) {
        RegionKind::JitCode
    } else if text == b".bss" {
        RegionKind::Bss
    } else if text == b"glibc: malloc arena" {
        RegionKind::MallocArena
    } else if starts(&[b"glibc: malloc", b"glibc: loader malloc", b"libc_malloc", b"scudo:", b"GWP-ASan"])
        || starts(&[b"jemalloc", b"mimalloc", b"partition_alloc", b"native_heap", b"tcmalloc"])
    {
        RegionKind::Malloc
    } else if starts(&[b"Go: heap", b"v8", b"ArkTS Heap"])
        || (starts(&[b"dalvik-"]) && (has(b"space") || text == b"dalvik-heap"))
    {
        RegionKind::GcHeap
    } else if region.share.is_shared() {
        RegionKind::SharedMemory
    } else {
        RegionKind::Named
    })
}

/// What an object without a path is.
pub(super) fn anon_inode(name: &Name) -> Meaning {
    /// Drivers and hypervisors, by how the names of their objects begin.
    const DEVICES: [&[u8]; 20] = [
        b"kvm",
        b"vfio",
        b"iommufd",
        b"vhost",
        b"dmabuf",
        b"dma-buf",
        b"dma_buf",
        b"udmabuf",
        b"i915",
        b"xe",
        b"drm",
        b"amdgpu",
        b"kfd",
        b"nvidia",
        b"mali",
        b"uverbs",
        b"infiniband",
        b"cxl",
        b"ocxl",
        b"iio",
    ];
    if name.bytes().starts_with(b"socket:[") {
        return Meaning::of(RegionKind::SocketRing);
    }
    // Some names have brackets and others don't: `[io_uring]`, `bpf-map`.
    let class = name.bytes().strip_prefix(b"anon_inode:").unwrap_or_default();
    let class = class.strip_prefix(b"[").unwrap_or(class);
    Meaning::of(match class {
        _ if class.starts_with(b"io_uring") => RegionKind::IoUring,
        _ if class.starts_with(b"perf_event") => RegionKind::Perf,
        _ if class.starts_with(b"bpf") => RegionKind::Bpf,
        _ if class.starts_with(b"aio") => RegionKind::Aio,
        _ if class.starts_with(b"secretmem") => RegionKind::SharedMemory,
        _ if DEVICES.iter().any(|device| class.starts_with(device)) => RegionKind::Device,
        _ => RegionKind::KernelObject,
    })
}
