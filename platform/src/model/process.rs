//! Facts of the process that explaining its regions needs.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{AddrRange, Bytes, text, time};

/// What is known of the process itself. Every field is `None` or empty where the source can't tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its id.
    pub pid: Option<u32>,
    /// Its short name; on Linux the first 15 bytes of the program's name, unless the process changed it.
    #[serde(with = "text::optional")]
    pub name: Option<Box<[u8]>>,
    /// The path of its program.
    #[serde(with = "text::optional")]
    pub path: Option<Box<[u8]>>,
    /// Its command line, one item an argument.
    #[serde(with = "text::list")]
    pub command: Vec<Box<[u8]>>,
    /// Its parent.
    pub parent: Option<Parent>,
    /// The user that it runs as (effective user id).
    pub user: Option<User>,
    /// When it started.
    #[serde(with = "time")]
    pub started: Option<SystemTime>,
    /// What it is doing.
    pub state: Option<ProcessState>,
    /// Its threads, the main one first.
    pub threads: Vec<ThreadInfo>,
    /// How many mappings it may have (`vm.max_map_count` on Linux).
    pub mapping_limit: Option<u64>,
    /// The images that the dynamic loader lists, where the source can tell.
    pub images: Vec<Image>,
    /// The totals that the kernel keeps itself.
    pub totals: ProcessTotals,
    /// The system and its version, such as `Linux 6.18.44` or `macOS 14.6.1 (23G93)`.
    pub system: Option<Box<str>>,
    /// The instruction set that it runs, in vmmap's words: `X86-64`, `X86`, `ARM64`, `ARM64E`. macOS.
    pub code_type: Option<Box<str>>,
    /// The platform that its program was built for, such as `macOS` or `iOS`. macOS.
    pub platform: Option<Box<str>>,
    /// Where the header of its program lies. macOS.
    pub load_address: Option<u64>,
    /// Where the first thread's stack began: elsewhere once the process has started another program. Linux: `startstack` of `stat`.
    pub stack_start: Option<u64>,
    /// The fields at the head of a saved report, label and value, in their order; the known ones are in their own fields
    /// too. Empty for a live process.
    pub printed_header: Vec<(Box<str>, Box<str>)>,
}

/// The process that started this one, or adopted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Parent {
    /// Its id.
    pub pid: u32,
    /// Its short name.
    #[serde(with = "text::optional")]
    pub name: Option<Box<[u8]>>,
}

/// A user of the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The numeric id.
    pub id: u32,
    /// The name in the user database of this machine.
    pub name: Option<Box<str>>,
}

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProcessState {
    /// On a processor or waiting for one.
    Running,
    /// Waiting for something.
    Sleeping,
    /// Waiting, and not to be interrupted (usually for a disk).
    Blocked,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a debugger.
    Traced,
    /// A thread of the kernel that has nothing to do.
    Idle,
    /// Ended; only its exit status is left.
    Zombie,
    /// Something else, by the letter that the kernel uses.
    Other(char),
}

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// Its id.
    pub id: u64,
    /// Its name.
    #[serde(with = "text::optional")]
    pub name: Option<Box<[u8]>>,
    /// Where its stack pointer was, where that can be told without stopping it. macOS wants a task port for it.
    pub stack_pointer: Option<u64>,
}

impl ThreadInfo {
    /// A thread of which only the ID is known.
    pub const fn new(id: u64) -> ThreadInfo {
        ThreadInfo { id, name: None, stack_pointer: None }
    }
}

/// A program or library that the dynamic loader has loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Image {
    /// Its path.
    #[serde(with = "text")]
    pub path: Box<[u8]>,
    /// Where its header lies.
    pub load_address: u64,
    /// Its segments, where they are known: name and place.
    pub segments: Vec<(Box<str>, AddrRange)>,
}

/// Totals that the kernel keeps, readable even where the map is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProcessTotals {
    /// All address space. Linux: `VmSize`. macOS: `pti_virtual_size`.
    pub virtual_size: Option<Bytes>,
    /// Resident. Linux: `VmRSS`, from counters that may lag by some pages. macOS: `pti_resident_size`.
    pub resident: Option<Bytes>,
    /// The most that ever was resident. Linux: `VmHWM`. macOS: `resident_size_peak`.
    pub resident_peak: Option<Bytes>,
    /// Swapped out. Linux: `VmSwap`, without shared memory. macOS: `compressed`, in the compressor or on disk.
    pub swapped: Option<Bytes>,
    /// Resident anonymous memory. Linux: `RssAnon`. macOS: `internal`.
    pub anonymous: Option<Bytes>,
    /// Resident pages of files. Linux: `RssFile`. macOS: `external`.
    pub file: Option<Bytes>,
    /// Resident shared memory. Linux: `RssShmem`.
    pub shared_memory: Option<Bytes>,
    /// Page tables. Linux: `VmPTE`.
    pub page_tables: Option<Bytes>,
    /// The physical footprint. macOS: `phys_footprint`.
    pub footprint: Option<Bytes>,
    /// The most that the footprint ever was. macOS.
    pub footprint_peak: Option<Bytes>,
}
