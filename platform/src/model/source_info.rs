//! Where a map comes from, and what its source can do.

use std::path::PathBuf;
use std::time::SystemTime;

use super::PageSize;
use crate::detail::Detail;

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
