//! The memory regions of a process, as the kernel tells them.
//!
//! This crate answers *what the kernel said*: which regions a process has, their protection, their backing, and how much
//! of each is resident, dirty and swapped. It knows no kind of region, no total, no table. What the facts mean and how
//! they look is the business of the `mmview` crate.
//!
//! A source of regions is anything that implements [`RegionSource`]: a live process ([`open_process`], [`open_self`]) or a
//! saved capture ([`open_file`]).
//!
//! ```
//! use mmview_platform::{Detail, OpenOptions, RegionSource, open_self};
//!
//! # fn main() -> Result<(), mmview_platform::Error> {
//! let mut source = open_self(&OpenOptions::default())?;
//! let snapshot = source.read(Detail::Layout)?;
//! let here = &snapshot as *const _ as u64;
//! let stack = snapshot.region_at(here).expect("a local variable lies in a region");
//! assert!(stack.protection.is_writable());
//! # Ok(())
//! # }
//! ```
//!
//! [`own`] changes this process's own map, for lessons and tests.
//!
//! # Pure beside live
//!
//! Parsers and decoders ([`linux`], [`macos`], [`offline`]) take bytes and compile on every host. Opening processes and making system
//! calls is a thin layer on top, present only where that system is.
#![warn(missing_debug_implementations)]

mod capture;
mod detail;
mod error;
mod host;
#[cfg(unix)]
mod launch;
pub mod linux;
pub mod macos;
mod memory;
mod memory_map;
mod model;
mod options;
mod order;
#[cfg(all(unix, feature = "lessons"))]
pub mod own;
mod source;
#[cfg(all(unix, feature = "lessons"))]
mod terminal;
#[cfg(unix)]
mod unix;
mod warning;

pub use capture::{open_file, write_archive};
pub use detail::Detail;
pub use error::{Error, ErrorKind, Result};
pub use host::{open_process, open_self, processes};
#[cfg(unix)]
pub use launch::{Moment, Program, Signaller};
pub use memory::{Memory, MemoryCost, Piece, Shortfall};
pub use memory_map::MemoryMap;
pub use model::{
    AddrRange, ByteOrder, Bytes, Capabilities, CaptureFormat, Device, Ending, Image, LinuxRegion, Machine,
    MacosRegion, Name, NameKind, Native, OffMapRow, Origin, PageCounts, PageRun, PageSize, PageState, Parent,
    PrintedLibraries, PrintedRow, PrintedSummary, PrintedTable, PrintedWritable, ProcessEntry, ProcessInfo,
    ProcessState, ProcessTotals, Protection, PurgeState, Reading, Region, ShareMode, SmapsCounters,
    SmapsField, SourceInfo, TargetArch, Text, ThreadInfo, UnknownField, User, VmFlags,
};
pub use options::OpenOptions;
pub use source::{RegionSource, Regions};
#[cfg(all(unix, feature = "lessons"))]
pub use terminal::has_terminal;
pub use warning::Warning;
