//! A region and what it is for.

use std::borrow::Cow;

use mmview_platform::{AddrRange, Bytes, Name, Native, PageCounts, PageRun, Protection, Region, ShareMode};

use crate::kind::RegionKind;

/// A region of a memory map, explained: the kernel's facts and what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    facts: Region,
    meaning: Meaning,
}

/// What a region is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// Its kind.
    pub kind: RegionKind,
    /// The name of its type in tables: the kind's own, or a finer one.
    pub title: Cow<'static, str>,
    /// What explains the region beside its name, such as the thread that owns a stack.
    pub note: Option<Cow<'static, str>>,
}

impl Meaning {
    pub fn of(kind: RegionKind) -> Meaning {
        Meaning { kind, title: Cow::Borrowed(kind.title()), note: None }
    }

    pub fn note(self, note: impl Into<Cow<'static, str>>) -> Meaning {
        Meaning { note: Some(note.into()), ..self }
    }
}

impl Classified {
    pub(crate) fn new(facts: Region, meaning: Meaning) -> Classified {
        Classified { facts, meaning }
    }

    /// The facts, as the kernel or the capture reports them.
    pub fn facts(&self) -> &Region {
        &self.facts
    }

    /// The facts alone.
    pub fn into_facts(self) -> Region {
        self.facts
    }

    pub(crate) fn facts_mut(&mut self) -> &mut Region {
        &mut self.facts
    }

    /// What the region is for.
    pub fn kind(&self) -> RegionKind {
        self.meaning.kind
    }

    /// The name of its type in tables: the kind's own, or a finer one.
    pub fn title(&self) -> &str {
        &self.meaning.title
    }

    /// What explains the region beside its name, such as the thread that owns a stack.
    pub fn note(&self) -> Option<&str> {
        self.meaning.note.as_deref()
    }

    /// Its addresses.
    pub fn range(&self) -> AddrRange {
        self.facts.range
    }

    /// How much address space it covers.
    pub fn size(&self) -> Bytes {
        self.facts.size()
    }

    /// Which accesses are allowed now.
    pub fn protection(&self) -> Protection {
        self.facts.protection
    }

    /// The most that `mprotect` can allow, where that is known.
    pub fn max_protection(&self) -> Option<Protection> {
        self.facts.max_protection
    }

    /// Who sees a write to it.
    pub fn share(&self) -> ShareMode {
        self.facts.share
    }

    /// The kernel's name for it; `None` for unnamed anonymous memory.
    pub fn name(&self) -> Option<&Name> {
        self.facts.name.as_ref()
    }

    /// The path of the file or memory object behind it.
    pub fn path(&self) -> Option<&[u8]> {
        self.name()?.path()
    }

    /// Where in its file or object it starts, in bytes.
    pub fn offset(&self) -> u64 {
        self.facts.offset
    }

    /// How much of it is in memory.
    pub fn counts(&self) -> PageCounts {
        self.facts.counts
    }

    /// The state of its pages, in runs; `None` unless [`Detail::Pages`](mmview_platform::Detail::Pages) was read.
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

    /// What only its system reports about it.
    pub fn native(&self) -> &Native {
        &self.facts.native
    }
}

/// The region of `regions` that holds `address`. `regions` are sorted by address and don't overlap. Costs a binary search.
pub(crate) fn region_at(regions: &[Classified], address: u64) -> Option<&Classified> {
    let after = regions.partition_point(|region| region.range().end() <= address);
    regions.get(after).filter(|region| region.range().contains(address))
}
