//! What people read before a table: labels and values.

use std::path::PathBuf;
use std::time::SystemTime;

use mmview_platform::{Bytes, CaptureFormat, ProcessState, User};

use super::Note;
use crate::summary::{Libraries, Writable};

/// Lines that belong together.
#[derive(Clone, Debug)]
pub struct Section {
    /// What they are about.
    pub kind: SectionKind,
    /// The lines.
    pub lines: Vec<Line>,
}

/// What a section is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// The process and the source.
    Process,
    /// The physical footprint; a rule follows it.
    Footprint,
    /// Totals.
    Totals,
    /// Sentences.
    Text,
}

impl Section {
    /// A section of these lines.
    pub fn new(kind: SectionKind, lines: Vec<Line>) -> Section {
        Section { kind, lines }
    }

    /// A section of one sentence.
    pub fn note(note: Note) -> Section {
        Section::new(SectionKind::Text, vec![Line::Note(note)])
    }
}

/// A line of a section.
#[derive(Clone, Debug)]
pub enum Line {
    /// A label and a value.
    Fact(Label, Fact),
    /// The read-only portion of libraries, as vmmap writes it.
    Libraries(Libraries),
    /// The writable regions, as vmmap writes them.
    Writable(Writable),
    /// A line of a report, as it was printed; not escaped.
    Quoted(Box<str>),
    /// A sentence.
    Note(Note),
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// The file of a capture.
    Capture,
    /// Name and id of the process.
    Process,
    /// The path of its program.
    Path,
    /// Where its program is loaded.
    LoadAddress,
    /// Its instruction set.
    CodeType,
    /// The platform it was built for.
    Platform,
    /// Its command line.
    Command,
    /// Its user.
    User,
    /// Its parent.
    ParentProcess,
    /// What it is doing.
    State,
    /// When the map was read.
    Date,
    /// When the process started.
    LaunchTime,
    /// The system and its version.
    System,
    /// The size of its pages.
    PageSize,
    /// How many mappings it has.
    Mappings,
    /// The physical footprint.
    Footprint,
    /// The most that it ever was.
    FootprintPeak,
    /// Address space.
    VirtualSize,
    /// In memory.
    Resident,
    /// Anonymous memory, a part of the resident memory.
    Anonymous,
    /// Pages of files, a part of it.
    Files,
    /// Shared memory, a part of it.
    SharedMemory,
    /// The most that was ever resident.
    ResidentPeak,
    /// Swapped out.
    Swapped,
    /// Page tables.
    PageTables,
    /// The first of two maps.
    Before,
    /// The second.
    After,
    /// A label of a saved report; not escaped.
    Printed(Box<str>),
}

/// A value with its type. Names are bytes and not escaped.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A name or path.
    Name(Box<[u8]>),
    /// Text out of a report or of the system.
    Text(Box<str>),
    /// A process: its name and its id.
    Process(Option<Box<[u8]>>, u32),
    /// A command line.
    Command(Vec<Box<[u8]>>),
    /// A user.
    User(User),
    /// What a process is doing, and how many threads it has.
    State(Option<ProcessState>, usize),
    /// A capture.
    Capture(PathBuf, CaptureFormat),
    /// A size; `None` if it was not measured.
    Size(Option<Bytes>),
    /// A number of bytes, written in full.
    Bytes(Bytes),
    /// An address.
    Address(u64),
    /// A time.
    Time(SystemTime),
    /// How many mappings there are, and how many there may be.
    Mappings(u64, Option<u64>),
    /// One side of a comparison.
    Side(Side),
}

/// One side of a comparison.
#[derive(Clone, Debug)]
pub struct Side {
    /// The name of the process.
    pub name: Option<Box<[u8]>>,
    /// Its id.
    pub pid: Option<u32>,
    /// The file it was saved in.
    pub path: Option<PathBuf>,
    /// When it was read.
    pub taken: Option<SystemTime>,
    /// How many regions it has.
    pub regions: usize,
    /// How long after the other it was read, if that is worth a word.
    pub later: Option<std::time::Duration>,
}
