//! A region and its purpose.

use std::borrow::Cow;
use std::sync::Arc;

use mmview_platform::{
    AddrRange, Bytes, Claim, Evidence, Name, Native, PageCounts, PageRun, Protection, Region, ShareMode,
};

use crate::kind::RegionKind;

/// A region with its purpose: the kernel's facts, and the kind that follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    facts: Region,
    meaning: Meaning,
    /// What it consists of, if the kernel joined several things.
    parts: Box<[Part]>,
    /// Whether it is a part of a region, whose native facts are those of the whole.
    is_part: bool,
}

/// A part of a region. The kernel joins neighbors that it treats alike, whatever they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    range: AddrRange,
    meaning: Meaning,
    counts: PageCounts,
}

/// The purpose of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub kind: RegionKind,
    /// The name of its type in tables: the kind's own, or a finer one.
    pub title: Cow<'static, str>,
    /// A detail that the name doesn't show, such as the thread that owns a stack.
    pub note: Option<Cow<'static, str>>,
    /// How that is known.
    pub evidence: Evidence,
    /// The allocator or runtime, or the image, as far as the evidence shows it.
    pub owner: Option<Cow<'static, str>>,
    /// The part of the owner's memory, such as an arena.
    pub zone: Option<Arc<str>>,
}

impl Meaning {
    /// What the kernel says.
    pub fn of(kind: RegionKind) -> Meaning {
        Meaning {
            kind,
            title: Cow::Borrowed(kind.title()),
            note: None,
            evidence: Evidence::Kernel,
            owner: None,
            zone: None,
        }
    }

    /// What a shape suggests.
    pub fn likely(kind: RegionKind) -> Meaning {
        Meaning { evidence: Evidence::Shape, ..Meaning::of(kind) }
    }

    /// What the target's memory shows. A kind that this version doesn't know is memory with a name.
    pub fn claimed(claim: &Claim) -> Meaning {
        let kind = RegionKind::with_id(&claim.kind).unwrap_or(RegionKind::Named);
        Meaning {
            kind,
            title: claim.title.clone().unwrap_or(Cow::Borrowed(kind.title())),
            note: claim.note.as_deref().map(|note| Cow::Owned(note.to_owned())),
            evidence: claim.evidence,
            owner: Some(claim.owner.clone()),
            zone: claim.zone.clone(),
        }
    }

    pub fn note(self, note: impl Into<Cow<'static, str>>) -> Meaning {
        Meaning { note: Some(note.into()), ..self }
    }
}

impl Part {
    pub(crate) fn new(range: AddrRange, meaning: Meaning, counts: PageCounts) -> Part {
        Part { range, meaning, counts }
    }

    pub(crate) fn set_counts(&mut self, counts: PageCounts) {
        self.counts = counts;
    }

    /// Its addresses.
    pub fn range(&self) -> AddrRange {
        self.range
    }

    /// The purpose of the part.
    pub fn kind(&self) -> RegionKind {
        self.meaning.kind
    }

    /// The name of its type in tables.
    pub fn title(&self) -> &str {
        &self.meaning.title
    }

    /// A detail that the name doesn't show.
    pub fn note(&self) -> Option<&str> {
        self.meaning.note.as_deref()
    }

    /// How its purpose is known.
    pub fn evidence(&self) -> Evidence {
        self.meaning.evidence
    }

    /// The allocator, runtime or image that it belongs to, if the target's memory shows it or a name or a shape suggests it.
    pub fn owner(&self) -> Option<&str> {
        self.meaning.owner.as_deref()
    }

    /// The part of the owner's memory, such as an arena.
    pub fn zone(&self) -> Option<&str> {
        self.meaning.zone.as_deref()
    }

    /// How much of it is resident and swapped; what can't be divided among parts is `None`.
    pub fn counts(&self) -> PageCounts {
        self.counts
    }
}

impl Classified {
    pub(crate) fn new(facts: Region, meaning: Meaning) -> Classified {
        Classified { facts, meaning, parts: Box::default(), is_part: false }
    }

    /// A region of several parts, which cover all of it. The largest one names it.
    pub(crate) fn of_parts(facts: Region, parts: Vec<Part>) -> Classified {
        let largest = parts.iter().rev().max_by_key(|part| part.range.size());
        let meaning = largest.map_or_else(|| Meaning::of(RegionKind::Anonymous), |part| part.meaning.clone());
        Classified { facts, meaning, parts: parts.into(), is_part: false }
    }

    /// What it consists of, by address, if the kernel joined several things; else empty.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The whole region as a part.
    pub(crate) fn as_part(&self) -> Part {
        Part::new(self.facts.range, self.meaning.clone(), self.facts.counts)
    }

    /// The parts; a region that is one thing is its own only part.
    pub(crate) fn pieces(&self) -> Cow<'_, [Part]> {
        if self.parts.is_empty() { Cow::Owned(vec![self.as_part()]) } else { Cow::Borrowed(&self.parts) }
    }

    /// Each part as a region, with what the kernel says of the whole.
    pub(crate) fn divided(&self) -> Vec<Classified> {
        if self.parts.is_empty() {
            return vec![self.clone()];
        }
        let part = |part: &Part| {
            let mut facts = self.facts.clone();
            facts.offset = facts.offset.wrapping_add(part.range.start() - facts.range.start());
            facts.range = part.range;
            facts.counts = part.counts;
            facts.pages = None;
            Classified { is_part: true, ..Classified::new(facts, part.meaning.clone()) }
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether it is a part of a region, as [`Classified::divided`] makes them.
    pub(crate) fn is_part(&self) -> bool {
        self.is_part
    }

    /// The part that holds `address`.
    pub(crate) fn part_at(&self, address: u64) -> Option<&Part> {
        self.parts.iter().find(|part| part.range.contains(address))
    }

    /// How its purpose is known. For a region of several parts: that of the largest.
    pub fn evidence(&self) -> Evidence {
        self.meaning.evidence
    }

    /// The allocator, runtime or image that it belongs to, if the target's memory shows it or a name or a shape suggests it.
    pub fn owner(&self) -> Option<&str> {
        self.meaning.owner.as_deref()
    }

    /// The facts as the kernel or the capture reports them.
    pub fn facts(&self) -> &Region {
        &self.facts
    }

    /// Converts into the facts, without the purpose.
    pub fn into_facts(self) -> Region {
        self.facts
    }

    pub(crate) fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn facts_mut(&mut self) -> &mut Region {
        &mut self.facts
    }

    /// The purpose of the region.
    pub fn kind(&self) -> RegionKind {
        self.meaning.kind
    }

    /// The name of its type in tables: the kind's own, or a finer one.
    pub fn title(&self) -> &str {
        &self.meaning.title
    }

    /// A detail that the name doesn't show, such as the thread that owns a stack.
    pub fn note(&self) -> Option<&str> {
        self.meaning.note.as_deref()
    }

    /// Its addresses.
    pub fn range(&self) -> AddrRange {
        self.facts.range
    }

    /// The size of its address range.
    pub fn size(&self) -> Bytes {
        self.facts.size()
    }

    /// How much address space it takes, if that is known ([`Region::known_size`]).
    pub fn known_size(&self) -> Option<Bytes> {
        self.facts.known_size()
    }

    /// The accesses that are allowed now.
    pub fn protection(&self) -> Protection {
        self.facts.protection
    }

    /// The most that `mprotect` can allow, if known.
    pub fn max_protection(&self) -> Option<Protection> {
        self.facts.max_protection
    }

    /// Who sees a write to it.
    pub fn share(&self) -> ShareMode {
        self.facts.share
    }

    /// Its name in the kernel's listing; `None` for unnamed anonymous memory.
    pub fn name(&self) -> Option<&Name> {
        self.facts.name.as_ref()
    }

    /// The path of the file or memory object that backs it.
    pub fn path(&self) -> Option<&[u8]> {
        self.name()?.path()
    }

    /// The offset of its start in the file or memory object, in bytes.
    pub fn offset(&self) -> u64 {
        self.facts.offset
    }

    /// How much of it is resident, dirty and swapped.
    pub fn counts(&self) -> PageCounts {
        self.facts.counts
    }

    /// The state of its pages, in runs of equal state; `None` unless read with [`Detail::Pages`](mmview_platform::Detail::Pages).
    pub fn pages(&self) -> Option<&[PageRun]> {
        self.facts.pages.as_deref()
    }

    /// Whether a file in a file system backs it.
    pub fn is_file_backed(&self) -> bool {
        self.facts.is_file_backed()
    }

    /// Whether it is anonymous memory without a name.
    pub fn is_unnamed(&self) -> bool {
        self.facts.is_unnamed()
    }

    /// The facts that only its system reports.
    pub fn native(&self) -> &Native {
        &self.facts.native
    }
}

/// Returns the region that contains `address`. `regions` are sorted by address and don't overlap. Costs a binary search.
pub(crate) fn region_at(regions: &[Classified], address: u64) -> Option<&Classified> {
    let after = regions.partition_point(|region| region.range().end() <= address);
    regions.get(after).filter(|region| region.range().contains(address))
}

/// The parts of all regions, each as a region; `None` if every region is one thing.
pub(crate) fn divided(regions: &[Classified]) -> Option<Box<[Classified]>> {
    let is_divided = regions.iter().any(|region| !region.parts.is_empty());
    is_divided.then(|| regions.iter().flat_map(Classified::divided).collect())
}
