//! Ranges of memory with a purpose, and the claims that follow from them for the regions of a map.

use std::borrow::Cow;
use std::sync::Arc;

use super::HEAP;
use crate::model::{AddrRange, Claim, Evidence, Region};

/// How many ranges are kept. A VM has at most 16 segments of code.
const MOST_RANGES: usize = 64;

/// The owners of what is not the heap.
const CODE: &str = "Java code cache";
const METASPACE: &str = "Java metaspace";

/// The kinds of regions.
const GC_HEAP: &str = "gc-heap";
const JIT_CODE: &str = "jit-code";
const RUNTIME_DATA: &str = "runtime-data";
const RESERVED: &str = "reserved";

/// What a range is for. Parts of the heap come before the heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Eden,
    /// One of the two, by its name.
    Survivor(&'static str),
    Old,
    /// The generation of what is none of these spaces.
    Young,
    Heap,
    CardTable,
    /// A segment of the code cache.
    Code(Arc<str>),
    ClassSpace,
    Archive,
}

/// A garbage collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collector {
    Serial,
    Parallel,
    ConcurrentMarkSweep,
    G1,
    Shenandoah,
    Z,
    Epsilon,
}

impl Collector {
    /// The collector in the description of a VM: `17.0.15+6, mixed mode, g1 gc, linux-amd64`.
    pub fn of_version(described: &[u8]) -> Option<Collector> {
        let names: [(&[u8], Collector); 7] = [
            (b"serial gc", Collector::Serial),
            (b"parallel gc", Collector::Parallel),
            (b"concurrent mark sweep gc", Collector::ConcurrentMarkSweep),
            (b"g1 gc", Collector::G1),
            (b"shenandoah gc", Collector::Shenandoah),
            (b"z gc", Collector::Z),
            (b"epsilon gc", Collector::Epsilon),
        ];
        let has = |name: &[u8]| memchr::memmem::find(described, name).is_some();
        names.into_iter().find(|(name, _)| has(name)).map(|(_, collector)| collector)
    }

    /// The collector whose heap or generation a line describes.
    pub fn of_heap(line: &[u8]) -> Option<Collector> {
        let starts: [(&[u8], Collector); 14] = [
            (b"garbage-first heap ", Collector::G1),
            (b"def new generation ", Collector::Serial),
            (b"tenured generation ", Collector::Serial),
            (b"DefNew ", Collector::Serial),
            (b"Tenured ", Collector::Serial),
            (b"PSYoungGen ", Collector::Parallel),
            (b"ParOldGen ", Collector::Parallel),
            (b"PSOldGen ", Collector::Parallel),
            (b"par new generation ", Collector::ConcurrentMarkSweep),
            (b"concurrent mark-sweep generation ", Collector::ConcurrentMarkSweep),
            (b"Shenandoah Heap", Collector::Shenandoah),
            (b"ZHeap ", Collector::Z),
            (b"Epsilon Heap", Collector::Epsilon),
            (b"Allocation space:", Collector::Epsilon),
        ];
        starts.into_iter().find(|(start, _)| line.starts_with(start)).map(|(_, collector)| collector)
    }

    pub fn name(self) -> &'static str {
        match self {
            Collector::Serial => "Serial",
            Collector::Parallel => "Parallel",
            Collector::ConcurrentMarkSweep => "CMS",
            Collector::G1 => "G1",
            Collector::Shenandoah => "Shenandoah",
            Collector::Z => "ZGC",
            Collector::Epsilon => "Epsilon",
        }
    }
}

impl Purpose {
    /// The generation that a line describes: with its reserve.
    pub fn of_generation(line: &[u8]) -> Option<Purpose> {
        let starts = |words: &[&[u8]]| words.iter().any(|word| line.starts_with(word));
        if starts(&[b"def new", b"DefNew", b"PSYoungGen", b"par new"]) {
            Some(Purpose::Young)
        } else if starts(&[b"tenured", b"Tenured", b"ParOldGen", b"PSOldGen", b"concurrent mark-sweep"]) {
            Some(Purpose::Old)
        } else {
            None
        }
    }

    /// The space of a generation that a line describes.
    pub fn of_space(line: &[u8]) -> Option<Purpose> {
        let (name, rest) = line.split_at(memchr::memchr(b' ', line)?);
        rest.trim_ascii_start().starts_with(b"space ").then_some(())?;
        match name {
            b"eden" => Some(Purpose::Eden),
            b"from" => Some(Purpose::Survivor("from")),
            b"to" => Some(Purpose::Survivor("to")),
            _ => None,
        }
    }

    /// The place in which purposes are tried: what is part of another comes first.
    fn rank(&self) -> u8 {
        match self {
            Purpose::Eden | Purpose::Survivor(_) => 0,
            Purpose::Old | Purpose::Young => 1,
            Purpose::Heap => 2,
            Purpose::CardTable | Purpose::Code(_) | Purpose::ClassSpace | Purpose::Archive => 3,
        }
    }

    fn is_heap(&self) -> bool {
        self.rank() < 3
    }

    /// Whether a region can be for this. The heap may have an archive of objects behind it.
    fn may_be(&self, region: &Region) -> bool {
        let is_own = !region.share.is_shared() && (region.is_unnamed() || self.is_heap());
        is_own && (matches!(self, Purpose::Code(_)) || self.is_heap() || !region.protection.is_executable())
    }

    /// The claim on a part of a region.
    fn claim(&self, range: AddrRange, region: &Region, collector: Option<Collector>) -> Claim {
        let is_reserve = region.protection.is_none();
        let (owner, kind, title, reserve): (_, _, Cow<'static, str>, _) = match self {
            Purpose::CardTable => (HEAP, RUNTIME_DATA, "Java GC data".into(), "Java GC data reserve"),
            Purpose::Code(_) => (CODE, JIT_CODE, "Java code cache".into(), "Java code reserve"),
            Purpose::ClassSpace => {
                (METASPACE, RUNTIME_DATA, "Java class space".into(), "Java metaspace reserve")
            }
            Purpose::Archive => {
                (METASPACE, RUNTIME_DATA, "Java class archive".into(), "Java metaspace reserve")
            }
            _ => {
                let title = collector.map_or(HEAP.into(), |it| format!("Java heap ({})", it.name()).into());
                (HEAP, GC_HEAP, title, "Java heap reserve")
            }
        };
        let (kind, title) = if is_reserve { (RESERVED, reserve.into()) } else { (kind, title) };
        let mut claim = Claim::new(range, owner, kind).title(title);
        // The memory is not there; the log is what the program itself has said.
        claim.evidence = Evidence::Kernel;
        match self {
            Purpose::Code(segment) => claim.note(Arc::clone(segment)),
            Purpose::CardTable => claim.note("card table"),
            _ if is_reserve => claim,
            Purpose::Eden => claim.note("Java eden"),
            Purpose::Survivor(_) => claim.note("Java survivor"),
            Purpose::Old => claim.note("Java old"),
            Purpose::Young | Purpose::Heap | Purpose::ClassSpace | Purpose::Archive => claim,
        }
    }
}

/// The ranges of a VM.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    pub collector: Option<Collector>,
    ranges: Vec<(Purpose, AddrRange)>,
}

impl Ranges {
    /// Adds a range. The first one for a purpose counts: what follows is history.
    pub fn add(&mut self, purpose: Purpose, range: AddrRange) {
        let is_known = self.ranges.iter().any(|(known, _)| *known == purpose);
        if !is_known && !range.is_empty() && self.ranges.len() < MOST_RANGES {
            self.ranges.push((purpose, range));
        }
    }

    /// The claims on the regions of a map, which are ordered by address: by address, none overlapping another.
    pub fn claims(&self, regions: &[Region]) -> Vec<Claim> {
        let mut ranges: Vec<&(Purpose, AddrRange)> = self.ranges.iter().collect();
        ranges.sort_by_key(|(purpose, _)| purpose.rank());
        let mut claims: Vec<Claim> = Vec::new();
        for (purpose, range) in ranges {
            let first = regions.partition_point(|region| region.range.end() <= range.start());
            let overlapping = regions[first..].iter().take_while(|region| region.range.start() < range.end());
            let mut found = Vec::new();
            for region in overlapping.filter(|region| purpose.may_be(region)) {
                let Some(part) = region.range.overlap(*range) else { continue };
                let free = free_parts(part, &claims);
                found.extend(free.into_iter().map(|part| purpose.claim(part, region, self.collector)));
            }
            claims.extend(found);
            claims.sort_unstable_by_key(|claim| claim.range);
        }
        claims
    }
}

/// The parts of a range that no claim covers. The claims are ordered by address.
fn free_parts(range: AddrRange, claims: &[Claim]) -> Vec<AddrRange> {
    let first = claims.partition_point(|claim| claim.range.end() <= range.start());
    let mut parts = Vec::new();
    let mut start = range.start();
    for claim in claims[first..].iter().take_while(|claim| claim.range.start() < range.end()) {
        parts.extend(AddrRange::new(start, claim.range.start()).filter(|part| !part.is_empty()));
        start = claim.range.end();
    }
    parts.extend(AddrRange::new(start, range.end()).filter(|part| !part.is_empty()));
    parts
}
