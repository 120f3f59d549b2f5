//! Remarks and sentences as data; `render/words.rs` words them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use mmview_platform::{AddrRange, Bytes, CaptureFormat, Ending, Reading, ThreadInfo};

use super::explain::Statement;
use crate::crash::CrashReport;
use crate::diff::ZoneChange;
use crate::region::Classified;
use crate::sample::peak::When;

/// A remark or a sentence.
#[derive(Clone, Debug)]
pub enum Note {
    /// Memory in pages of hugetlb, which the kernel doesn't count as resident.
    HugePages(Bytes),
    /// Memory that the process freed with `MADV_FREE` and the kernel has not taken back.
    LazyFree(Bytes),
    /// Memory that is locked.
    Locked(Bytes),
    /// Memory in transparent huge pages.
    TransparentHuge(Bytes),
    /// Some regions were not measured.
    PartlyMeasured,
    /// Only the layout was read.
    LayoutOnly,
    /// What is dirty was not measured.
    DirtyNotMeasured,
    /// The process is near its limit of mappings.
    MappingLimit {
        /// How many it has.
        used: u64,
        /// How many it may have.
        limit: u64,
    },
    /// A report counts other regions than it lists.
    Unlisted {
        /// How many it lists.
        listed: u64,
        /// How many it counts.
        counted: u64,
    },
    /// A report lists no regions; its own summary is shown.
    PrintedSummary,
    /// There are warnings about the map.
    Warnings(usize),
    /// How a map was read with little disturbance.
    Gentle(Reading),
    /// What reading the memory has cost.
    MemoryRead {
        /// The system calls.
        calls: u64,
        /// The bytes.
        bytes: Bytes,
        /// The time, with the time to understand them.
        time: Duration,
    },
    /// The types whose regions are known by their shape alone.
    ByShape(Vec<String>),
    /// Rows count parts of regions, and the total counts regions: how many regions have parts.
    Divided(u64),
    /// A zone was in motion, or could not be read in full; its name and why, not escaped.
    ZoneDoubt {
        /// The zone.
        zone: String,
        /// Why.
        doubts: Vec<String>,
    },
    /// Zones whose blocks are in no class of sizes; not escaped.
    WithoutSizes(Vec<String>),
    /// How a zone of malloc changed.
    ZoneChanged(ZoneChange),
    /// Nothing is known about the zones of a target, whose memory was read or not.
    NoZones {
        /// Whether it was read.
        was_read: bool,
        /// Whether the target is a dump.
        is_dump: bool,
    },
    /// The largest gap between regions, if there is one.
    LargestGap(Option<AddrRange>),
    /// The listing ended early; why, safe to draw.
    Incomplete(String),
    /// The region at an address.
    AddressHit {
        /// The address.
        address: u64,
        /// The region.
        region: Box<Classified>,
    },
    /// No region holds an address.
    AddressMiss {
        /// The address.
        address: u64,
        /// The size of the gap around it.
        gap: Option<Bytes>,
        /// How far before it the last region ended.
        before: Option<u64>,
        /// How far after it the next region starts.
        after: Option<u64>,
    },
    /// A sentence of an explanation.
    Statement(Box<Statement>),
    /// A directory has no dumps.
    NoDumps(PathBuf),
    /// A dump has only a part of the map; why, as a sentence.
    PartOfMap(String),
    /// Why a process ended.
    Crash {
        /// The system of the dump.
        os: &'static str,
        /// The process.
        pid: Option<u32>,
        /// What is known of it.
        report: Box<CrashReport>,
    },
    /// Where the stack pointer of a thread is.
    ThreadAt {
        /// The thread.
        thread: Box<ThreadInfo>,
        /// The region.
        region: Option<Box<Classified>>,
    },
    /// How many checks came out how, and on which map.
    Checked {
        /// How many hold.
        hold: usize,
        /// How many fail.
        fail: usize,
        /// How many could not be decided.
        undecided: usize,
        /// The map.
        subject: Subject,
    },
    /// A map was saved.
    Saved {
        /// How many regions it has.
        regions: usize,
        /// The name of the process.
        name: Option<Box<[u8]>>,
        /// Its id.
        pid: Option<u32>,
        /// The archive.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A process is being watched.
    Watching {
        /// Its name.
        name: Option<Box<[u8]>>,
        /// Its id, as the target.
        target: String,
        /// How many regions it has.
        regions: usize,
        /// How often it is read.
        interval: Duration,
    },
    /// Why watching ended, how many events there were, and for how long it watched.
    Watched {
        /// Why it ended.
        stop: StopReason,
        /// How many events there were.
        events: u64,
        /// For how long.
        time: Duration,
    },
    /// The check that was waited for never held; its text, not escaped.
    NeverHeld(String),
    /// What was found of that check at the end; not escaped.
    FoundAtEnd(String),
    /// Two maps are the same, in everything or in what was measured in both.
    Same {
        /// Whether all was measured.
        in_everything: bool,
    },
    /// How many regions have moved and are otherwise the same.
    OnlyMoved(usize),
    /// How many regions differ only in what changes by itself.
    OnlyIncidental(usize),
    /// What a `-` means in a comparison.
    NotMeasuredInBoth,
    /// One of two maps lists no regions.
    TypesOnly,
    /// When the shown map of a program was read.
    Seen {
        /// When.
        when: When,
        /// Whether the program was traced.
        is_traced: bool,
        /// How long after the start.
        after: Duration,
        /// How many samples there were.
        samples: u64,
        /// How the program ended.
        ending: Ending,
    },
    /// The check that was waited for held at that moment; its text, not escaped.
    HeldThen(String),
    /// The check never held, and the peak is shown; its text, not escaped.
    HeldNever(String),
    /// The kernel saw a higher peak than the samples.
    Peak(Bytes),
    /// The title of a lesson.
    Lesson {
        /// Its name.
        name: &'static str,
        /// What it shows.
        about: &'static str,
    },
}

/// Why watching ended.
#[derive(Clone, Debug)]
pub enum StopReason {
    /// The process ended; how, if that is known.
    Ended(Option<Ending>),
    /// The time is up.
    TimeUp,
    /// The check holds.
    Held,
    /// A signal interrupted it.
    Interrupted,
    /// The map can no longer be read; why, safe to draw.
    Refused(String),
}

/// A map, in a sentence of a log.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The file and the format of a capture.
    pub capture: Option<(PathBuf, CaptureFormat)>,
    /// The name of the process.
    pub name: Option<Box<[u8]>>,
    /// Its id.
    pub pid: Option<u32>,
    /// How many regions it has.
    pub regions: usize,
    /// When it was read.
    pub taken: Option<SystemTime>,
}

/// What would decide a check that could not be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What was not measured.
    pub unmeasured: Vec<&'static str>,
    /// Where to get it.
    pub source: RemedySource,
}

/// Where the missing measurements come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemedySource {
    /// macOS doesn't report whether a file has been unlinked.
    UnlinkedOnMacos,
    /// The other system reports them, which has this name.
    Only(&'static str),
    /// A saved `smaps` has more than a saved `maps`.
    Smaps,
    /// vmmap writes whole paths with `-w`.
    WholePaths,
    /// A report of vmmap doesn't have them.
    NotInReport,
    /// This capture doesn't have them.
    NotInCapture,
    /// macOS doesn't report them here.
    NotOnMacos,
    /// More detail has them.
    Detail,
    /// The system should have reported them.
    System,
}
