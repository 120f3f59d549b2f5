//! A region and its purpose.

use std::borrow::Cow;

use mmview_platform::{AddrRange, Bytes, Name, Native, PageCounts, PageRun, Protection, Region, ShareMode};

use crate::kind::RegionKind;

/// A region with its purpose: the kernel's facts, and the kind that follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    facts: Region,
    meaning: Meaning,
}

/// The purpose of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub kind: RegionKind,
    /// The name of its type in tables: the kind's own, or a finer one.
    pub title: Cow<'static, str>,
    /// A detail that the name doesn't show, such as the thread that owns a stack.
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
