//! Doubts about what was read.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::AddrRange;

/// A doubt about what was read: the answer stands, and this is what to keep in mind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// The process changed its map while it was being read: regions were handed out twice or out of order, and what
    /// overlapped was left out.
    Torn {
        /// How many regions were clipped or left out.
        regions: u64,
        /// The first of them, as it was handed out.
        first: AddrRange,
    },
    /// A capture doesn't list its regions by address; they were sorted.
    Unsorted {
        /// How many stood before one of a lower address.
        regions: u64,
    },
    /// Lines that are neither a region nor a fact of one; they were left out.
    Malformed {
        /// How many.
        lines: u64,
        /// The number of the first, from 1.
        first: u64,
        /// What it begins with.
        excerpt: String,
    },
    /// A capture ends in the middle of something: its last region is not whole.
    Truncated {
        /// What shows it.
        why: Cow<'static, str>,
    },
    /// The counters could not be read; the map could.
    NoCounts {
        /// Why.
        why: String,
    },
    /// The system refused the usual way to read the map; it was read in a way that tells less.
    Limited {
        /// Why, and what is missing for it, as a sentence.
        why: String,
    },
    /// A thread of the kernel: it has no memory map of its own.
    KernelThread {
        /// Its id.
        pid: u32,
    },
    /// The id given is that of a thread; its process is shown.
    ThreadOf {
        /// The id given.
        thread: u32,
        /// The process.
        pid: u32,
    },
}

impl Warning {
    /// The identifier in machine formats.
    pub const fn id(&self) -> &'static str {
        match self {
            Warning::Torn { .. } => "torn",
            Warning::Unsorted { .. } => "unsorted",
            Warning::Malformed { .. } => "malformed",
            Warning::Truncated { .. } => "truncated",
            Warning::NoCounts { .. } => "no-counts",
            Warning::Limited { .. } => "limited",
            Warning::KernelThread { .. } => "kernel-thread",
            Warning::ThreadOf { .. } => "thread",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Torn { regions, first } => write!(
                f,
                "the map changed while it was being read: {} overlapped what was already listed, \
                 first {first}; the overlap is left out, and what was clipped has no counts",
                regions_phrase(*regions),
            ),
            Warning::Unsorted { regions } => write!(
                f,
                "the capture is not in order: {} stood before one at a lower address; sorted",
                regions_phrase(*regions),
            ),
            Warning::Malformed { lines: 1, first, excerpt } => {
                write!(f, "line {first} is not understood and left out: `{excerpt}`")
            }
            Warning::Malformed { lines, first, excerpt } => write!(
                f,
                "{lines} lines are not understood and left out, the first is line {first}: `{excerpt}`"
            ),
            Warning::Truncated { why } => write!(f, "the capture may be cut off: {why}"),
            Warning::NoCounts { why } => {
                write!(f, "resident, dirty and swapped sizes are not known: {why}")
            }
            Warning::Limited { why } => write!(f, "the map is read in a way that tells less: {why}"),
            Warning::KernelThread { pid } => {
                write!(f, "process {pid} is a kernel thread: it has no memory map of its own")
            }
            Warning::ThreadOf { thread, pid } => {
                write!(f, "{thread} is a thread of process {pid}, which is shown")
            }
        }
    }
}

fn regions_phrase(count: u64) -> String {
    if count == 1 { "1 region".to_owned() } else { format!("{count} regions") }
}
