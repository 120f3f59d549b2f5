//! What a map consists of, by owner: how much each has, in what types and files, what is allocated in it, and how that is known.

use std::borrow::Cow;
use std::collections::BTreeMap;

use mmview_platform::{Bytes, Evidence, Findings, ProcessInfo, Runtime};

use crate::heap::{self, HeapZone};
use crate::kind::RegionKind;
use crate::ownership::owner_of;
use crate::region::{Classified, Part};
use crate::summary::{self, Grouping, Summary, Totals};

/// How many types and files are named for each owner.
const MOST_NAMED: usize = 4;

/// What a map consists of.
#[derive(Clone, Debug)]
pub(crate) struct Explanation {
    /// Each owner, the one with the most memory first.
    pub owners: Vec<Owned>,
    /// The sums over all regions.
    pub total: Totals,
    /// The number of mappings.
    pub mappings: u64,
    /// How many regions can be written and executed.
    pub writable_code: u64,
    /// Whether the memory of the target was read.
    pub was_read: bool,
}

/// What an owner has.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    /// Its name, or what the memory is for.
    pub name: Cow<'static, str>,
    /// Its memory.
    pub totals: Totals,
    /// How much of it is resident by each kind of evidence, or how much address space if that was not measured.
    pub evidence: Vec<(Evidence, Bytes)>,
    /// What in the memory shows that it is its owner's.
    pub proof: Option<&'static str>,
    /// The types with the most resident memory.
    pub types: Vec<(String, Bytes)>,
    /// The files with the most resident memory; not escaped.
    pub files: Vec<(Box<[u8]>, Bytes)>,
    /// What its structures record.
    pub runtimes: Vec<Runtime>,
    /// What is allocated in all of its zones.
    pub heap: Option<HeapZone>,
}

impl Owned {
    /// Its part of `total`, in thousandths: of what is resident, or of the address space if that was not measured.
    pub fn share(&self, total: &Totals) -> Option<u64> {
        let (part, whole) = match (self.totals.resident.value(), total.resident.value()) {
            (Some(part), Some(whole)) => (part, whole),
            (None, None) => (self.totals.virtual_size.value()?, total.virtual_size.value()?),
            _ => return None,
        };
        (part.0 * 1000 + whole.0 / 2).checked_div(whole.0)
    }

    /// Whether nothing shows whose it is.
    pub fn is_unknown(&self) -> bool {
        self.name == "anonymous"
    }
}

/// Adds up a map, region by region.
#[derive(Debug)]
pub(crate) struct Builder {
    summary: summary::Builder,
    heap: heap::Builder,
    details: BTreeMap<Cow<'static, str>, Details>,
    writable_code: u64,
}

#[derive(Debug, Default)]
struct Details {
    types: BTreeMap<String, Bytes>,
    files: BTreeMap<Box<[u8]>, Bytes>,
    evidence: BTreeMap<Evidence, Bytes>,
    /// The owner of the proof: of stacks, the library whose threads they are.
    proof: Option<&'static str>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            summary: summary::Builder::by(Grouping::Owner),
            heap: heap::Builder::default(),
            details: BTreeMap::new(),
            writable_code: 0,
        }
    }
}

impl Builder {
    /// Adds a region.
    pub fn add(&mut self, region: &Classified) {
        self.summary.add(region);
        self.heap.add(region);
        self.writable_code +=
            u64::from(region.protection().is_writable() && region.protection().is_executable());
        for part in region.pieces().iter() {
            self.add_part(region, part);
        }
    }

    fn add_part(&mut self, region: &Classified, part: &Part) {
        let details = self.details.entry(owner_of(part)).or_default();
        let is_measured = region.counts().resident.is_some();
        let whole = if is_measured { Bytes::ZERO } else { part.range().size() };
        let size = part.counts().resident.unwrap_or(whole);
        *details.types.entry(part.title().to_owned()).or_default() += size;
        *details.evidence.entry(part.evidence()).or_default() += size;
        if part.evidence() == Evidence::Memory {
            details.proof = details.proof.or_else(|| proof(part.owner()?));
        }
        let is_of_file = !matches!(part.kind(), RegionKind::Bss) && region.is_file_backed();
        if let Some(path) = region.name().and_then(|name| name.path()).filter(|_| is_of_file) {
            *details.files.entry(path.into()).or_default() += size;
        }
    }

    /// Returns what there is.
    pub fn finish(self, process: &ProcessInfo, findings: &Findings) -> Explanation {
        let Summary { rows, total, mappings, .. } = self.summary.finish(process);
        let mut details = self.details;
        let zones = self.heap.finish(&findings.zones).by_owner().zones;
        let owned = |row: summary::Row| {
            let Details { types, files, evidence, proof } = details.remove(&row.title).unwrap_or_default();
            Owned {
                types: largest(types),
                files: largest(files),
                evidence: evidence.into_iter().collect(),
                proof,
                runtimes: findings.runtimes.iter().filter(|it| it.owner == row.title).cloned().collect(),
                heap: zones.iter().find(|zone| zone.zone.owner == row.title).cloned(),
                name: row.title,
                totals: row.totals,
            }
        };
        Explanation {
            owners: rows.into_iter().map(owned).collect(),
            total,
            mappings,
            writable_code: self.writable_code,
            was_read: findings.inspection.is_some(),
        }
    }
}

/// The largest few.
fn largest<N: Ord>(sizes: BTreeMap<N, Bytes>) -> Vec<(N, Bytes)> {
    let mut sizes: Vec<_> = sizes.into_iter().filter(|(_, size)| *size > Bytes::ZERO).collect();
    sizes.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    sizes.truncate(MOST_NAMED);
    sizes
}

/// What in the memory shows that it is this owner's.
pub(crate) fn proof(owner: &str) -> Option<&'static str> {
    Some(match owner {
        "glibc malloc" => "its list of arenas and the headers of its blocks",
        "glibc threads" | "musl threads" | "Java threads" => "the record of each thread",
        "CPython" => "the headers of its pools and its table of arenas",
        "Ruby" => "heap pages and the records that point back to them",
        "PHP" => "the headers and page maps of its chunks",
        "Java heap" | "Java code cache" | "Java metaspace" => "the tables that libjvm.so exports",
        "V8" => "the header of each page, which names its space and its heap",
        "Go" => "the table of arenas and the spans that point back into them",
        "jemalloc" => "the radix tree that names each extent",
        "mimalloc" => "the headers of its segments, which share a secret",
        "tcmalloc" => "the page map that names each span",
        "musl malloc" => "groups and the records that point back to them",
        "PartitionAlloc" => "the metadata of its super pages",
        "Blink" => "the pages of its heaps, which all name the heap",
        "Erlang" => "carriers, which their allocators list",
        "LuaJIT" => "the segments of its allocator and its large blocks",
        ".NET" => "the records of its segments",
        "PostgreSQL" => "the header of the segment, which has its size",
        _ => return None,
    })
}
