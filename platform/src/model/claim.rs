//! Whose a range of memory is, as evidence in the memory itself shows.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AddrRange, Bytes, PageCounts};

/// How the purpose of memory is known, from the first thing to ask to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Evidence {
    /// The kernel says so: by a name, a flag, a file or a protection. In a crash log, the program itself may say it.
    Kernel,
    /// Its size and its neighbors suggest it. It is likely, not certain.
    Shape,
    /// Structures in the target's memory, or the headers of its files, say so.
    Memory,
}

impl Evidence {
    /// The identifier in machine formats.
    pub const fn id(self) -> &'static str {
        match self {
            Evidence::Kernel => "kernel",
            Evidence::Shape => "shape",
            Evidence::Memory => "memory",
        }
    }
}

/// A range of memory, and whose it is. It lies in one region, often covers only a part of it, and overlaps no other claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claim {
    /// Its addresses, in whole pages.
    pub range: AddrRange,
    /// Whose it is, such as `glibc malloc`.
    pub owner: Cow<'static, str>,
    /// The part of the owner's memory that it belongs to, such as `arena 2`; the name of a [`Zone`] if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
    /// The identifier of the kind of memory, such as `malloc-arena`.
    pub kind: Cow<'static, str>,
    /// The name of its type in tables, if finer than the name of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Cow<'static, str>>,
    /// What the name doesn't show, such as the thread that owns a stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// How that is known.
    pub evidence: Evidence,
    /// How much of it is resident and swapped; unmeasured if it covers a whole region, which has its own counts.
    #[serde(default, skip_serializing_if = "is_unmeasured")]
    pub counts: PageCounts,
}

fn is_unmeasured(counts: &PageCounts) -> bool {
    *counts == PageCounts::UNMEASURED
}

impl Claim {
    /// A claim by evidence in memory.
    pub fn new(
        range: AddrRange,
        owner: impl Into<Cow<'static, str>>,
        kind: impl Into<Cow<'static, str>>,
    ) -> Claim {
        Claim {
            range,
            owner: owner.into(),
            zone: None,
            kind: kind.into(),
            title: None,
            note: None,
            evidence: Evidence::Memory,
            counts: PageCounts::UNMEASURED,
        }
    }

    /// The same claim for other addresses.
    #[must_use]
    pub fn over(&self, range: AddrRange) -> Claim {
        Claim { range, ..self.clone() }
    }

    /// The same claim with a name for its type.
    #[must_use]
    pub fn title(self, title: impl Into<Cow<'static, str>>) -> Claim {
        Claim { title: Some(title.into()), ..self }
    }

    /// The same claim with a note.
    #[must_use]
    pub fn note(self, note: impl Into<Arc<str>>) -> Claim {
        Claim { note: Some(note.into()), ..self }
    }

    /// The same claim for a zone of its owner.
    #[must_use]
    pub fn zone(self, zone: &Arc<str>) -> Claim {
        Claim { zone: Some(Arc::clone(zone)), ..self }
    }
}

/// A part of a region that nothing claims, beside parts that are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unclaimed {
    /// Its addresses.
    pub range: AddrRange,
    /// How much of it is resident and swapped.
    pub counts: PageCounts,
}

impl Unclaimed {
    /// A part with these sizes.
    pub const fn new(range: AddrRange, counts: PageCounts) -> Unclaimed {
        Unclaimed { range, counts }
    }
}

/// What is allocated in a part of an owner's memory: an arena of an allocator, for example. Figures that the owner's
/// structures don't contain are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Zone {
    /// Its name, which the claims of its memory have too.
    pub name: Arc<str>,
    /// The allocator or runtime.
    pub owner: Cow<'static, str>,
    /// The number of blocks in use. Blocks that wait in a cache for reuse don't count.
    pub allocations: Option<u64>,
    /// Their size, with the allocator's headers.
    pub allocated: Option<Bytes>,
    /// How much of its address space is in use or ready for use. The rest is only reserved.
    pub committed: Option<Bytes>,
    /// The size of the free blocks, and of the unused rest at the top.
    pub free: Option<Bytes>,
    /// The number of free blocks.
    pub free_blocks: Option<u64>,
    /// The largest of them, the top included.
    pub largest_free: Option<Bytes>,
    /// The unused rest at the top.
    pub top: Option<Bytes>,
    /// How much resident memory the allocator could return to the system (`malloc_trim(0)`).
    pub trimmable: Option<Bytes>,
    /// Freed blocks that a cache keeps for reuse.
    pub cached: Option<Bytes>,
    /// The number of cached blocks.
    pub cached_blocks: Option<u64>,
    /// The blocks in use by size, ascending.
    pub sizes: Vec<SizeClass>,
    /// The largest blocks in use, descending, as many as were asked for.
    pub largest: Vec<Allocation>,
    /// Why the figures may be wrong; empty if they are exact.
    pub doubts: Vec<Box<str>>,
}

impl Zone {
    /// A zone without figures.
    pub fn new(owner: impl Into<Cow<'static, str>>, name: impl Into<Arc<str>>) -> Zone {
        Zone { owner: owner.into(), name: name.into(), ..Zone::default() }
    }

    /// Whether the figures are exact.
    pub fn is_exact(&self) -> bool {
        self.doubts.is_empty()
    }
}

/// Blocks of similar size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SizeClass {
    /// The largest size in the class.
    pub size: Bytes,
    /// The number of blocks.
    pub allocations: u64,
    /// Their size together.
    pub allocated: Bytes,
}

impl SizeClass {
    /// A class.
    pub const fn new(size: Bytes, allocations: u64, allocated: Bytes) -> SizeClass {
        SizeClass { size, allocations, allocated }
    }
}

/// A block in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Allocation {
    /// Its size, with the allocator's header.
    pub size: Bytes,
    /// The address that the program got.
    pub address: u64,
}

impl Allocation {
    /// A block.
    pub const fn new(size: Bytes, address: u64) -> Allocation {
        Allocation { size, address }
    }
}

/// An allocator or runtime that was found in the target, and what its own structures record about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Runtime {
    /// The owner of its memory, as in [`Claim::owner`].
    pub owner: Cow<'static, str>,
    /// Its name and version, such as `CPython 3.11.2`.
    pub name: Box<str>,
    /// What it records: a label, such as `garbage collector`, and a value.
    pub facts: Vec<(Cow<'static, str>, FactValue)>,
}

impl Runtime {
    /// A runtime without facts.
    pub fn new(owner: impl Into<Cow<'static, str>>, name: impl Into<Box<str>>) -> Runtime {
        Runtime { owner: owner.into(), name: name.into(), facts: Vec::new() }
    }

    /// The same runtime with one more fact.
    #[must_use]
    pub fn fact(mut self, label: impl Into<Cow<'static, str>>, value: FactValue) -> Runtime {
        self.facts.push((label.into(), value));
        self
    }
}

/// The value of a fact about a [`Runtime`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FactValue {
    /// A number of things.
    Count(u64),
    /// A number of bytes.
    Size(Bytes),
    /// A name.
    Text(Box<str>),
}

/// What the target's memory shows: whose it is, and what is allocated in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Findings {
    /// Whose parts of the map are, ordered by address, none overlapping another.
    pub claims: Vec<Claim>,
    /// The rest of each region that has claims on parts of it, ordered by address.
    pub unclaimed: Vec<Unclaimed>,
    /// What is allocated in them.
    pub zones: Vec<Zone>,
    /// The allocators and runtimes.
    pub runtimes: Vec<Runtime>,
    /// What was looked for; `None` if the memory was not read.
    pub inspection: Option<Inspection>,
}

/// What was looked for in the target's memory, and what that cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Inspection {
    /// The questions that the memory has answered in full, such as `threads`: shapes have no say in them anymore.
    pub settled: Vec<Cow<'static, str>>,
    /// The number of system calls.
    pub calls: u64,
    /// The number of bytes that were read.
    pub bytes: Bytes,
    /// The time that it took, in microseconds, with the time to understand what was read.
    pub microseconds: u64,
}

impl Inspection {
    /// Whether a question was answered in full.
    pub fn has_settled(&self, question: &str) -> bool {
        self.settled.iter().any(|settled| settled == question)
    }
}
