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
    /// A text has several maps, and one of them is shown.
    Parts {
        /// How many maps it has.
        parts: u64,
        /// The number of the one that is shown, from 1.
        shown: u64,
        /// The line of its first region.
        line: u64,
    },
    /// Something was taken off the lines of a text that is no part of the map, such as the marks of a quotation.
    Cleaned {
        /// What it was.
        what: String,
    },
    /// The listing of another program lacks facts that the kernel has.
    Incomplete {
        /// What it lacks, as a sentence.
        lack: Cow<'static, str>,
    },
    /// Regions of the process are not in the capture.
    Missing {
        /// Why, as a sentence.
        why: Cow<'static, str>,
    },
    /// The kernel has hidden the addresses in a capture: all of them are 0.
    HiddenAddresses,
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
            Warning::Parts { .. } => "parts",
            Warning::Cleaned { .. } => "cleaned",
            Warning::Incomplete { .. } => "incomplete",
            Warning::Missing { .. } => "missing",
            Warning::HiddenAddresses => "hidden-addresses",
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
            Warning::Parts { parts, shown, line } => write!(
                f,
                "the text has {parts} memory maps; this is number {shown}, which begins in line {line}: choose another \
                 with --part N"
            ),
            Warning::Cleaned { what } => write!(f, "took off what is no part of the map: {what}"),
            Warning::Incomplete { lack } => f.write_str(lack),
            Warning::Missing { why } => f.write_str(why),
            Warning::HiddenAddresses => f.write_str(
                "all addresses are 0: the kernel hides them from the user who read the map, so no size is known that smaps \
                 does not count",
            ),
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

/// The lines of a text that are not understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skipped {
    lines: u64,
    /// The number and the beginning of the first one.
    first: Option<(u64, String)>,
}

impl Skipped {
    /// Counts a line.
    pub fn add(&mut self, number: u64, line: &[u8]) {
        self.lines += 1;
        self.first.get_or_insert_with(|| (number, excerpt(line)));
    }

    /// Counts the lines of `others`, which come later.
    pub fn append(&mut self, others: Skipped) {
        self.lines += others.lines;
        self.first = self.first.take().or(others.first);
    }

    /// The warning, if there are any.
    pub fn warning(&self) -> Option<Warning> {
        let (first, excerpt) = self.first.clone()?;
        Some(Warning::Malformed { lines: self.lines, first, excerpt })
    }
}

/// The beginning of a line, in one line and without control characters.
fn excerpt(line: &[u8]) -> String {
    const SHOWN: usize = 60;
    let mut text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).escape_debug().to_string();
    if line.len() > SHOWN {
        text.push('…');
    }
    text
}

fn regions_phrase(count: u64) -> String {
    if count == 1 { "1 region".to_owned() } else { format!("{count} regions") }
}
