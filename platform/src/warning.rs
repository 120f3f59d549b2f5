//! Doubts about what was read.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::AddrRange;

/// A doubt about what was read. The result is still valid, with this reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// The process changed its map while it was being read. Regions were listed twice or out of order, and the overlaps were
    /// dropped.
    Torn {
        /// The number of regions that were clipped or dropped.
        regions: u64,
        /// The first of them, as it was listed.
        first: AddrRange,
    },
    /// A capture does not list its regions by address. They were sorted.
    Unsorted {
        /// The number of regions that came before one with a lower address.
        regions: u64,
    },
    /// Lines that are neither a region nor a fact about one. They were skipped.
    Malformed {
        /// The number of such lines.
        lines: u64,
        /// The number of the first one, counted from 1.
        first: u64,
        /// The beginning of the first one.
        excerpt: String,
    },
    /// A capture ends in the middle of a region, which is therefore incomplete.
    Truncated {
        /// The evidence.
        why: Cow<'static, str>,
    },
    /// The counters could not be read, but the map could.
    NoCounts {
        /// The reason.
        why: String,
    },
    /// The map could be read, but not the memory of the process, which shows whose anonymous memory is.
    NoMemory {
        /// The reason, and what would help.
        why: String,
    },
    /// The system refused the usual way to read the map, so a less detailed method was used.
    Limited {
        /// The reason, and what the method lacks, as a sentence.
        why: String,
    },
    /// The process is a kernel thread, which has no memory map of its own.
    KernelThread {
        /// Its ID.
        pid: u32,
    },
    /// The given ID is that of a thread. Its process is shown.
    ThreadOf {
        /// The given ID.
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
            Warning::NoMemory { .. } => "no-memory",
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
                "the map changed while it was being read: {} overlapped earlier ones, the first is {first}; overlaps \
                 are dropped, and clipped regions have no counts",
                regions_phrase(*regions),
            ),
            Warning::Unsorted { regions } => write!(
                f,
                "the capture is not ordered by address: {} came before one at a lower address; the regions are sorted",
                regions_phrase(*regions),
            ),
            Warning::Malformed { lines: 1, first, excerpt } => {
                write!(f, "skipped line {first}, which is not understood: `{excerpt}`")
            }
            Warning::Malformed { lines, first, excerpt } => write!(
                f,
                "skipped {lines} lines that are not understood, the first is line {first}: `{excerpt}`"
            ),
            Warning::Truncated { why } => write!(f, "the capture may be cut off: {why}"),
            Warning::NoCounts { why } => {
                write!(f, "resident, dirty and swapped sizes are unknown: {why}")
            }
            Warning::NoMemory { why } => {
                write!(f, "the owners of anonymous memory are unknown, or likely at best: {why}")
            }
            Warning::Limited { why } => write!(f, "falling back to a less detailed method: {why}"),
            Warning::KernelThread { pid } => {
                write!(f, "process {pid} is a kernel thread: it has no memory map of its own")
            }
            Warning::ThreadOf { thread, pid } => {
                write!(f, "{thread} is a thread of process {pid}, which is shown instead")
            }
        }
    }
}

fn regions_phrase(count: u64) -> String {
    if count == 1 { "1 region".to_owned() } else { format!("{count} regions") }
}
