//! Where a map comes from, and what its source can do.

use std::path::PathBuf;
use std::time::SystemTime;

use super::{PageSize, TargetArch};
use crate::detail::Detail;

/// What sort of file a capture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CaptureFormat {
    /// The text of `/proc/PID/maps`.
    Maps,
    /// The text of `/proc/PID/smaps`.
    Smaps,
    /// The text of `/proc/PID/smaps_rollup`: totals only.
    SmapsRollup,
    /// A listing of another program, by its identifier, such as `pmap`.
    Listing(&'static str),
    /// A report of macOS's `vmmap`.
    Vmmap,
    /// A core of Linux or of a Mac: the memory of a process, as a rule of one that crashed.
    Core,
    /// A minidump: parts of the memory of a process.
    Minidump,
    /// An archive of mmview's ([`write_archive`](crate::write_archive)).
    Archive,
}

impl CaptureFormat {
    /// The identifier in machine formats.
    pub const fn id(self) -> &'static str {
        match self {
            CaptureFormat::Maps => "maps",
            CaptureFormat::Smaps => "smaps",
            CaptureFormat::SmapsRollup => "smaps-rollup",
            CaptureFormat::Listing(id) => id,
            CaptureFormat::Vmmap => "vmmap",
            CaptureFormat::Core => "core",
            CaptureFormat::Minidump => "minidump",
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

/// What a source can do. Callers ask for abilities, not for the sort of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The most detail that it has.
    pub detail: Detail,
    /// Whether it can read the target's memory.
    pub memory: bool,
    /// Whether reading again can give a new result.
    pub live: bool,
}

impl Capabilities {
    /// The capabilities of a saved map: no memory, and nothing new.
    pub const fn of_capture(detail: Detail) -> Capabilities {
        Capabilities { detail, memory: false, live: false }
    }

    /// The capabilities of a live process.
    pub const fn of_live(detail: Detail, memory: bool) -> Capabilities {
        Capabilities { detail, memory, live: true }
    }
}

/// What is known of a source before its map is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceInfo {
    /// Where the map comes from.
    pub origin: Origin,
    /// The target's operating system, such as `linux`. For a capture, that is the system where it was taken.
    pub os: &'static str,
    /// When the capture was taken, if it says so.
    pub taken: Option<SystemTime>,
    /// The size of the target's pages, if known.
    pub page_size: Option<PageSize>,
    /// The machine that the target's code is for, if known.
    ///
    /// Linux: from the ELF header of the program. macOS: known once the process has been read
    /// ([`RegionSource::process`](crate::RegionSource::process)).
    pub arch: Option<TargetArch>,
    /// What the source can do.
    pub capabilities: Capabilities,
}

impl SourceInfo {
    /// A source about which nothing else is known.
    pub fn new(origin: Origin, os: &'static str, capabilities: Capabilities) -> SourceInfo {
        SourceInfo { origin, os, taken: None, page_size: None, arch: None, capabilities }
    }

    /// Whether this is a dump of a process's memory: a core or a minidump.
    pub fn is_dump(&self) -> bool {
        matches!(self.origin, Origin::Capture { format: CaptureFormat::Core | CaptureFormat::Minidump, .. })
    }

    /// The time of a map that is read now: the current time for a live process, the time of the capture otherwise.
    pub fn time(&self) -> Option<SystemTime> {
        if self.capabilities.live { Some(SystemTime::now()) } else { self.taken }
    }
}
