//! What runtimes and allocators make of a map, by size, place and neighbors alone: for maps whose memory was not read. Such a
//! name is likely, never certain, and needs the runtime's own file in the map.

use mmview_platform::{AddrRange, Bytes, NameKind, ProcessInfo, Region, Result};

use super::ahead::Ahead;
use super::past::{Past, Shape};
use super::shapes::{GO_HEAP_STARTS, MIMALLOC_HINTS};
use crate::kind::RegionKind;
use crate::region::Meaning;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// An arena of mimalloc.
const MIMALLOC_ARENA: u64 = 64 * MIB;

/// A Java heap with compressed pointers lies below this address.
const COMPRESSED_JAVA: u64 = 32 * GIB;
const SMALLEST_JAVA_HEAP: u64 = 8 * MIB;

/// The stack of a fiber of Ruby, and its guard (`cont.c`).
const RUBY_FIBER: u64 = 644 * KIB;

/// The pages of V8 (`src/common/globals.h`), and its sandbox.
const V8_PAGE: u64 = 256 * KIB;
const V8_SANDBOX: u64 = 1 << 40;

/// The chunks of PHP (`Zend/zend_alloc_sizes.h`), and the extents of jemalloc that are huge pages.
const PHP_CHUNK: u64 = 2 * MIB;
const JEMALLOC_GRAIN: u64 = 2 * MIB;

/// The largest of the reserves for summaries of Go's pages (`mpagealloc_64bit.go`), and the table of its arenas.
const GO_SUMMARIES: [u64; 2] = [512 * MIB, 64 * MIB];
const GO_ARENAS: u64 = 32 * MIB;

/// The reserve of .NET's heap since version 7.
const DOTNET_RESERVE: u64 = 256 * GIB;

/// A WebAssembly memory: 4 GiB that an index can reach, and guards around it.
const WASM_REACH: u64 = 4 * GIB;

/// The runtimes and allocators whose files a map has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runtimes {
    /// The minor version of Python 3, 0 if unknown.
    python: Option<u32>,
    /// The version of Ruby, (0, 0) if unknown.
    ruby: Option<(u32, u32)>,
    php: bool,
    java: bool,
    node: bool,
    dotnet: bool,
    beam: bool,
    jemalloc: bool,
    /// The shared memory of PostgreSQL.
    postgres: Option<AddrRange>,
    /// Where the Java heap is, if it lies where its pointers are compressed.
    java_heap: Option<AddrRange>,
    /// Whether Go's heap begins where it usually does.
    go: bool,
}

impl Runtimes {
    /// By the files of a whole map.
    pub fn of_map<'a>(regions: impl Iterator<Item = &'a Region> + Clone) -> Runtimes {
        let mut runtimes = Runtimes::default();
        let mut last: &[u8] = &[];
        let mut has_postgres = false;
        for region in regions.clone() {
            let Some(path) = region.name.as_ref().filter(|name| name.kind() == NameKind::File) else {
                continue;
            };
            let path = path.bytes();
            if path != last {
                runtimes.add(path);
                has_postgres |= file_name(path) == b"postgres";
                last = path;
            }
        }
        runtimes.go = regions.clone().any(|region| GO_HEAP_STARTS.contains(&region.range.start()));
        if runtimes.java {
            runtimes.java_heap = java_heap(regions.clone().map(Shape::from));
        }
        if has_postgres {
            let is_shared = |region: &&Region| {
                region.share.is_shared()
                    && region.name.as_ref().is_some_and(|name| name.bytes().starts_with(b"/dev/zero"))
            };
            runtimes.postgres =
                regions.filter(is_shared).map(|region| region.range).max_by_key(|range| range.size());
        }
        runtimes
    }

    /// By the program of a process.
    pub fn of_process(process: &ProcessInfo) -> Runtimes {
        let mut runtimes = Runtimes::default();
        runtimes.add(process.path.as_deref().unwrap_or_default());
        runtimes
    }

    fn add(&mut self, path: &[u8]) {
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        let name = file_name(path);
        let starts = |prefix: &[u8]| name.starts_with(prefix);
        let is_library = |stem: &[u8]| {
            name.strip_prefix(stem).is_some_and(|rest| rest.first().is_none_or(|next| b".-".contains(next)))
        };
        if let Some(rest) = name.strip_prefix(b"libpython3.").or_else(|| name.strip_prefix(b"python3.")) {
            self.python = Some(number(rest).0);
        } else if name == b"python3" {
            self.python = self.python.or(Some(0));
        } else if let Some(rest) = name.strip_prefix(b"libruby").or_else(|| name.strip_prefix(b"ruby")) {
            let rest = rest.strip_prefix(b".so.").or(rest.strip_prefix(b"-")).unwrap_or(rest);
            let (major, rest) = number(rest);
            let minor = rest.strip_prefix(b".").map_or(0, |rest| number(rest).0);
            if rest.is_empty() || rest.starts_with(b".") {
                self.ruby = self.ruby.max(Some((major, minor)));
            }
        }
        self.php |= starts(b"php") || starts(b"libphp");
        self.java |= name == b"libjvm.so" || name == b"java";
        self.node |= matches!(name, b"node" | b"nodejs") || is_library(b"libnode.so");
        self.dotnet |= name == b"libcoreclr.so" || name == b"dotnet";
        self.beam |= starts(b"beam.smp");
        self.jemalloc |= is_library(b"libjemalloc.so");
    }
}

/// The first pair of neighbors in use and in reserve that is large enough, and all that follows it where pointers are
/// compressed.
fn java_heap(shapes: impl Iterator<Item = Shape> + Clone) -> Option<AddrRange> {
    let pairs =
        shapes.clone().zip(shapes.skip(1)).take_while(|(_, tail)| tail.range.end() <= COMPRESSED_JAVA);
    let is_heap = |(used, tail): &(Shape, Shape)| {
        let is_used = used.is_unnamed && !used.is_shared && used.protection.is_writable();
        let is_reserve = tail.is_unnamed && tail.protection.is_none();
        let size = tail.range.end() - used.range.start();
        is_used
            && is_reserve
            && used.range.end() == tail.range.start()
            && size >= SMALLEST_JAVA_HEAP
            && used.range.start().is_multiple_of(MIB)
    };
    let (first, _) = pairs.into_iter().find(is_heap)?;
    AddrRange::new(first.range.start(), COMPRESSED_JAVA)
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// The number that a text starts with, 0 if there is none, and what follows it.
fn number(text: &[u8]) -> (u32, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = std::str::from_utf8(&text[..digits]).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    (value, &text[digits..])
}

fn likely(owner: &'static str, kind: RegionKind, title: &'static str) -> Option<Meaning> {
    Some(Meaning { title: title.into(), owner: Some(owner.into()), ..Meaning::likely(kind) })
}

/// What the kernel's name for it says.
fn named(owner: &'static str, kind: RegionKind, title: &'static str) -> Meaning {
    Meaning { title: title.into(), owner: Some(owner.into()), ..Meaning::of(kind) }
}

/// The name of shared memory or of a memory object, if it is a runtime's.
pub(super) fn shared(runtimes: &Runtimes, region: &Region, path: &[u8]) -> Option<Meaning> {
    if path == b"/memfd:java_heap" {
        return Some(named("Java heap", RegionKind::GcHeap, "Java heap (ZGC)"));
    }
    if path == b"/memfd:vmem" && runtimes.beam {
        return Some(named("Erlang", RegionKind::JitCode, "Erlang code"));
    }
    if path == b"/memfd:wasm-memory-image" {
        return Some(named("Wasm", RegionKind::Named, "Wasm memory"));
    }
    let is_postgres = runtimes.postgres.is_some_and(|range| range == region.range);
    if is_postgres { likely("PostgreSQL", RegionKind::SharedMemory, "PostgreSQL memory") } else { None }
}

/// The name of writable memory without one.
pub(super) fn plain<I>(
    runtimes: &Runtimes,
    ahead: &mut Ahead<I>,
    past: &Past,
    region: &Region,
) -> Option<Meaning>
where
    I: Iterator<Item = Result<Region>>,
{
    let (range, size) = (region.range, region.size().0);
    let flag = |letters| region.native.linux().and_then(|native| native.has_flag(letters)).unwrap_or(false);
    let is_multiple = |grain: u64| size.is_multiple_of(grain) && size > 0;
    let is_aligned = |grain: u64| range.start().is_multiple_of(grain);
    let below = past.below(region.into());
    let above = ahead.peek(0).map(Shape::from).filter(|&above| Shape::from(region).touches(above));

    if region.protection.is_executable() {
        let is_cache = runtimes.java && is_multiple(64 * KIB) && above.is_some_and(Shape::is_reserve);
        return if is_cache {
            likely("Java code cache", RegionKind::JitCode, "Java code cache")
        } else {
            None
        };
    }
    if runtimes.node && flag(b"dc") && is_aligned(V8_PAGE) {
        return likely("V8", RegionKind::GcHeap, "V8 heap");
    }
    let reach = above.filter(|above| above.is_reserve()).map_or(range, |above| range.hull(above.range));
    if MIMALLOC_HINTS.contains(&reach.start())
        && reach.start().is_multiple_of(MIMALLOC_ARENA)
        && (reach.size().0 == MIMALLOC_ARENA || reach.size().0 == GIB)
    {
        return likely("mimalloc", RegionKind::Malloc, "mimalloc");
    }
    if runtimes.java_heap.is_some_and(|heap| range.within(heap)) {
        return likely("Java heap", RegionKind::GcHeap, "Java heap");
    }
    if runtimes.go && size == GO_ARENAS {
        return likely("Go", RegionKind::RuntimeData, "Go arena table");
    }
    if is_fiber_stack(runtimes, region.into()) && below.is_some_and(|(below, _)| below.is_reserve()) {
        return likely("Ruby", RegionKind::FiberStack, "Ruby fiber stacks");
    }
    if runtimes.ruby.is_some_and(|version| ((2, 7)..(3, 3)).contains(&version)) && size == 32 * MIB {
        return likely("Ruby", RegionKind::Malloc, "Ruby transient");
    }
    if runtimes.php && is_aligned(PHP_CHUNK) {
        if is_multiple(PHP_CHUNK) {
            return likely("PHP", RegionKind::Malloc, "PHP chunks");
        }
        if size > PHP_CHUNK {
            return likely("PHP", RegionKind::MallocLarge, "PHP huge blocks");
        }
    }
    if runtimes.jemalloc && is_aligned(JEMALLOC_GRAIN) && is_multiple(JEMALLOC_GRAIN) {
        return likely("jemalloc", RegionKind::Malloc, "jemalloc");
    }
    match runtimes.python {
        Some(10..) if is_multiple(MIB) => likely("CPython", RegionKind::Malloc, "CPython arenas"),
        Some(1..10) if is_multiple(256 * KIB) => likely("CPython", RegionKind::Malloc, "CPython arenas"),
        _ if is_wasm(below.map(|(below, _)| below), Shape::from(region), above) => {
            likely("Wasm", RegionKind::Named, "Wasm memory")
        }
        _ => None,
    }
}

/// Whether writable memory above a guard has the size of a fiber's stack.
pub(super) fn is_fiber_stack(runtimes: &Runtimes, shape: Shape) -> bool {
    runtimes.ruby.is_some() && shape.range.size().0 == RUBY_FIBER
}

/// Whether writable memory is the used part of a WebAssembly memory: reserves of some GiB around it.
fn is_wasm(below: Option<Shape>, used: Shape, above: Option<Shape>) -> bool {
    let is_reserve = |shape: &Shape| shape.is_reserve();
    let (Some(below), Some(above)) = (below.filter(is_reserve), above.filter(is_reserve)) else {
        return false;
    };
    let reach = used.range.size().0.saturating_add(above.range.size().0);
    used.range.size().0.is_multiple_of(64 * KIB) && reach >= WASM_REACH && below.range.size().0 >= 32 * MIB
}

/// The name of a reserve: memory without access.
pub(super) fn reserve(runtimes: &Runtimes, past: &Past, region: &Region) -> Option<Meaning> {
    let size = region.size();
    let flag = |letters| region.native.linux().and_then(|native| native.has_flag(letters)).unwrap_or(false);
    let below = past.below(region.into());
    if runtimes.java_heap.is_some_and(|heap| region.range.within(heap)) {
        return likely("Java heap", RegionKind::Reserved, "Java heap reserve");
    }
    if runtimes.java && below.is_some_and(|(below, kind)| kind == RegionKind::JitCode && below.is_unnamed) {
        return likely("Java code cache", RegionKind::Reserved, "Java code reserve");
    }
    if size >= Bytes(V8_SANDBOX) && flag(b"dd") && flag(b"nr") {
        return likely("V8", RegionKind::Reserved, "V8 sandbox");
    }
    if runtimes.go && GO_SUMMARIES.contains(&size.0) {
        return likely("Go", RegionKind::Reserved, "Go page summary");
    }
    if runtimes.dotnet && size.0.abs_diff(DOTNET_RESERVE) < GIB {
        return likely(".NET", RegionKind::Reserved, ".NET heap reserve");
    }
    None
}
