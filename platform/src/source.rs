//! The core trait: something that has a memory map.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{
    AddrRange, Ending, PageSize, PrintedSummary, ProcessInfo, ProcessTotals, Region, Snapshot,
};

/// How much to read of each region, from cheap to dear; each includes the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Addresses, protection and name. Linux: the text of `maps`, 0.3 to 1 µs a region. macOS: one call a region that looks at
    /// no page, and two reads an image for the names of its segments.
    Layout,
    /// With what is resident and swapped.
    Resident,
    /// With what is dirty, proportional, unique, huge, locked, and the flags. Linux: the text of `smaps`, which walks every
    /// page table entry: 3 µs a region and 40 ns a resident page.
    Counts,
    /// With the state of every page.
    Pages,
}

impl Detail {
    /// The identifier in machine formats.
    pub const fn id(self) -> &'static str {
        match self {
            Detail::Layout => "layout",
            Detail::Resident => "resident",
            Detail::Counts => "counts",
            Detail::Pages => "pages",
        }
    }
}

/// What sort of file a capture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CaptureFormat {
    /// The text of `/proc/PID/maps`.
    Maps,
    /// The text of `/proc/PID/smaps`.
    Smaps,
    /// A report of macOS's `vmmap`.
    Vmmap,
    /// An archive of mmview's ([`write_archive`](crate::write_archive)).
    Archive,
}

impl CaptureFormat {
    /// The identifier in machine formats.
    pub const fn id(self) -> &'static str {
        match self {
            CaptureFormat::Maps => "maps",
            CaptureFormat::Smaps => "smaps",
            CaptureFormat::Vmmap => "vmmap",
            CaptureFormat::Archive => "archive",
        }
    }
}

/// Where a map comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A process of this machine.
    Live {
        /// Its id.
        pid: u32,
    },
    /// A saved capture.
    Capture {
        /// The file.
        path: PathBuf,
        /// What sort of file it is.
        format: CaptureFormat,
    },
}

/// What a source can do, so that callers ask what it can, not what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The most detail that it can give.
    pub detail: Detail,
    /// Whether it can read the target's memory.
    pub memory: bool,
    /// Whether reading again can give something new.
    pub live: bool,
}

/// What is known of a source before anything is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Where the map comes from.
    pub origin: Origin,
    /// The system whose map it is, such as `linux`: that of the capture, not of this machine.
    pub os: &'static str,
    /// When the map of a capture was read, where the capture says so.
    pub taken: Option<SystemTime>,
    /// The size of the target's pages, where it is known.
    pub page_size: Option<PageSize>,
    /// What the source can do.
    pub capabilities: Capabilities,
}

impl SourceInfo {
    /// Of when the map is that is read now: of this moment, or of when the capture was taken.
    pub fn time(&self) -> Option<SystemTime> {
        if self.capabilities.live { Some(SystemTime::now()) } else { self.taken }
    }
}

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

/// How a map was read, and what that asked of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// By which means, such as `smaps` or `PAGEMAP_SCAN`.
    pub method: &'static str,
    /// By how many system calls.
    pub calls: u64,
    /// The longest of them: the longest that the lock of the process's map can have been held at a time.
    pub longest: Duration,
    /// All of them together.
    pub busy: Duration,
    /// How long was waited between them, so that the process has its turn.
    pub slept: Duration,
    /// The longest that one of them should take, where that was asked for.
    pub budget: Option<Duration>,
}

#[cfg(target_os = "linux")]
impl Reading {
    pub(crate) fn new(method: &'static str) -> Reading {
        let none = Duration::ZERO;
        Reading { method, calls: 0, longest: none, busy: none, slept: none, budget: None }
    }

    pub(crate) fn add(&mut self, took: Duration) {
        self.busy += took;
        self.longest = self.longest.max(took);
    }
}

/// The regions of a source as they are read, with the detail that they really have.
pub struct Regions<'a> {
    detail: Detail,
    iter: Box<dyn Iterator<Item = Result<Region>> + 'a>,
}

impl<'a> Regions<'a> {
    /// Regions that have `detail`.
    pub fn new(detail: Detail, iter: impl Iterator<Item = Result<Region>> + 'a) -> Regions<'a> {
        Regions { detail, iter: Box::new(iter) }
    }

    /// How much is read of each region: what was asked for, or the most that the source has.
    pub fn detail(&self) -> Detail {
        self.detail
    }
}

impl Iterator for Regions<'_> {
    type Item = Result<Region>;

    fn next(&mut self) -> Option<Self::Item> {
        self.iter.next()
    }
}

/// How many regions [`RegionSource::around`] gives before and after the one that it is about.
pub(crate) const AROUND_BEFORE: usize = 16;
pub(crate) const AROUND_AFTER: usize = 8;

/// Of `regions`, the one that holds `address`; read no further than up to there.
// macOS and Linux have backends that look for one so; elsewhere nothing does.
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))]
pub(crate) fn find_at(regions: impl Iterator<Item = Result<Region>>, address: u64) -> Result<Option<Region>> {
    for region in regions {
        let region = region?;
        if region.range.contains(address) {
            return Ok(Some(region));
        }
        if region.range.start() > address {
            break;
        }
    }
    Ok(None)
}

/// Of `regions`, those around `address`.
pub(crate) fn collect_around(
    regions: impl Iterator<Item = Result<Region>>,
    address: u64,
) -> Result<Vec<Region>> {
    let mut around = VecDeque::new();
    let mut after = 0;
    for region in regions {
        let region = region?;
        if region.range.end() > address {
            after += 1;
        }
        around.push_back(region);
        if after > AROUND_AFTER {
            break;
        }
        // One more than before the region at the address, which is not known to be it yet.
        if around.len() > AROUND_BEFORE + 1 + after {
            around.pop_front();
        }
    }
    Ok(around.into())
}

/// Something that has a memory map: a live process, a saved map.
///
/// Regions come ordered by start address, never overlapping, every size in bytes. A source does not merge, classify, sort
/// or print.
pub trait RegionSource: Send {
    /// What is known before anything is read.
    fn info(&self) -> &SourceInfo;

    /// The facts of the process. A source that has none gives an empty record; what this user may not know is `None`.
    ///
    /// # Errors
    ///
    /// [`Error::Vanished`] where the process has ended.
    fn process(&mut self) -> Result<ProcessInfo>;

    /// The id, name, command line and state of the process, and nothing that costs more: no threads, no images, no totals.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::process`].
    fn identity(&mut self) -> Result<ProcessInfo> {
        self.process()
    }

    /// The totals that the kernel keeps: what is resident costs one small file or call, and nothing of the map is read.
    ///
    /// # Errors
    ///
    /// [`Error::Vanished`] where the process has ended.
    fn totals(&mut self) -> Result<ProcessTotals> {
        Ok(self.process()?.totals)
    }

    /// Reads the map anew. `detail` is a ceiling: a source that has less gives less, says so in [`Regions::detail`], and
    /// warns where it should have had more.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] where this user may not look. Each region may fail too; the first failure is the last item.
    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>>;

    /// The region that holds `address`, at the cost of one look-up where the system can do that.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::regions`].
    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>>;

    /// The region that holds `address`, or the first after it, with some before and after it, in order and with
    /// [`Detail::Layout`]: enough to explain it by its neighbours. Costs some dozens of look-ups where the system can do
    /// that, else reading up to there.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::regions`].
    fn around(&mut self, address: u64) -> Result<Vec<Region>> {
        collect_around(self.regions(Detail::Layout)?, address)
    }

    /// Reads bytes of the target's memory, and returns how many: fewer than asked where a region ends.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the source has no memory, [`Error::Io`] where it can't be read.
    fn read_memory(&mut self, address: u64, into: &mut [u8]) -> Result<usize>;

    /// How the process ended, once its map is gone; an end that has begun is waited for, a second at most. `None` where the system
    /// doesn't tell whoever is not its parent: before Linux 6.15 it does so only until the parent has waited for it, and on macOS
    /// never.
    fn ending(&mut self) -> Option<Ending> {
        None
    }

    /// The number of the physical page frame that holds the page at `address`: two mappings whose pages have the same number
    /// are of the same memory. `None` where there is no page, and where this source or user may not know. A frame of a huge page
    /// is one of its small pages'.
    ///
    /// Linux: `/proc/PID/pagemap`, bits 0 to 54 of a present page, which are 0 without `CAP_SYS_ADMIN` (since 4.2;
    /// `Documentation/admin-guide/mm/pagemap.rst`). macOS tells nobody.
    ///
    /// # Errors
    ///
    /// As [`RegionSource::regions`].
    fn page_frame(&mut self, address: u64) -> Result<Option<u64>> {
        let _ = address;
        Ok(None)
    }

    /// How the map was read last; `None` where nothing is to be told of it.
    fn reading(&self) -> Option<Reading> {
        None
    }

    /// What a saved report says in its own summary; `None` for whatever is no such report.
    fn printed(&self) -> Option<&PrintedSummary> {
        None
    }

    /// The doubts about what was read since the last call.
    fn take_warnings(&mut self) -> Vec<Warning>;

    /// Reads everything.
    ///
    /// A process that starts another program half-way is read again, twice at most.
    ///
    /// # Errors
    ///
    /// The first error of reading the map.
    fn snapshot(&mut self, detail: Detail) -> Result<Snapshot> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let process = self.process()?;
            let taken = self.info().time();
            let regions = self.regions(detail)?;
            let detail = regions.detail();
            match regions.collect::<Result<Vec<_>>>() {
                Ok(regions) => {
                    return Ok(Snapshot {
                        source: self.info().clone(),
                        process,
                        taken,
                        detail,
                        regions,
                        printed: self.printed().cloned(),
                        warnings: self.take_warnings(),
                    });
                }
                Err(Error::Replaced { .. }) if attempts < 3 => {
                    self.take_warnings();
                }
                Err(error) => return Err(error),
            }
        }
    }
}
