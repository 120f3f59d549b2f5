//! The memory regions of a process, as the kernel reports them.
//!
//! This crate reports *facts*: which regions a process has, their protection, their backing, and how much of each is
//! resident, dirty and swapped. It knows no region kinds, totals or tables. What the facts mean and how they are shown is the
//! task of the `mmview` crate.
//!
//! Regions come from a [`RegionSource`]: a live process ([`open_process`], [`open_self`]) or a saved capture ([`open_file`]). A
//! live process also has [`Memory`], whose bytes can be read without bringing anything into memory.
//!
//! ```
//! use mmview_platform::{Detail, OpenOptions, RegionSource, open_self};
//!
//! # fn main() -> Result<(), mmview_platform::Error> {
//! let mut source = open_self(&OpenOptions::new())?;
//! let map = source.read(Detail::Layout)?;
//! let here = std::ptr::from_ref(&map) as u64;
//! let stack = map.region_at(here).expect("a local variable lies in a region");
//! assert!(stack.protection.is_writable());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! `lessons` adds `own`, which changes this process's own map and forks children, and the calls for terminals. It is off by
//! default.
//!
//! # Pure and live parts
//!
//! Parsers and decoders ([`linux`], [`macos`]) take bytes and compile on every host. Opening processes and making system calls
//! is a thin layer on top that exists on its own system only. On a host without such a layer captures still open, and live
//! processes are [`Error::Unsupported`].

#![warn(missing_debug_implementations)]

mod capture;
mod detail;
mod error;
mod host;
mod kept;
#[cfg(unix)]
mod launch;
pub mod linux;
// Not every host logs at every level.
#[allow(unused_imports, unused_macros)]
mod logging;
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

pub use capture::{open_file, open_reader, write_archive};
pub use detail::Detail;
pub use error::{Error, ErrorKind, Result};
pub use host::{open_process, open_self, processes};
pub use kept::{DUMPS, KeptDump, kept_dumps};
#[cfg(unix)]
pub use launch::{Moment, Program, Signaller};
pub use memory::{Memory, MemoryCost, Piece, PresentRun, Shortfall};
pub use memory_map::MemoryMap;
pub use model::{
    AddrRange, Allocation, ByteOrder, Bytes, Capabilities, CaptureFormat, Claim, Crash, Device, Ending,
    Evidence, FactValue, Findings, Image, Inspection, LinuxRegion, Machine, MacosRegion, Name, NameKind,
    Native, Numa, NumaNode, OffMapRow, Origin, PageCounts, PageRun, PageSize, PageState, Parent,
    PrintedLibraries, PrintedRow, PrintedSummary, PrintedTable, PrintedWritable, ProcessEntry, ProcessInfo,
    ProcessState, ProcessTotals, Protection, PurgeState, Reading, Region, Runtime, ShareMode, SizeClass,
    SmapsCounters, SmapsField, SourceInfo, TargetArch, Text, ThreadInfo, Unclaimed, UnknownField, User,
    VmFlags, WindowsMemory, WindowsRegion, Zone,
};
pub use options::OpenOptions;
pub use source::{RegionSource, Regions};
#[cfg(all(unix, feature = "lessons"))]
pub use terminal::{has_terminal, restore_on_signal};
pub use warning::Warning;
