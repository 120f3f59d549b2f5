//! The facts about a process that explain its regions.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{AddrRange, Bytes, text, time};

/// The facts about a process. A field is `None` or empty if the source does not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its process ID.
    pub pid: Option<u32>,
    /// Its short name; on Linux the first 15 bytes of the program's name, unless the process changed it.
    #[serde(with = "text::optional")]
    pub name: Option<Box<[u8]>>,
    /// The path of its program.
    #[serde(with = "text::optional")]
    pub path: Option<Box<[u8]>>,
    /// Its command line, one item for each argument.
    #[serde(with = "text::list")]
    pub command: Vec<Box<[u8]>>,
    /// Its parent.
    pub parent: Option<Parent>,
    /// The user that it runs as (effective user ID).
    pub user: Option<User>,
    /// When it started.
    #[serde(with = "time")]
    pub started: Option<SystemTime>,
    /// Its state.
    pub state: Option<ProcessState>,
    /// Its threads, the main one first.
    pub threads: Vec<ThreadInfo>,
    /// The maximum number of mappings (`vm.max_map_count` on Linux).
    pub mapping_limit: Option<u64>,
    /// The images that the dynamic loader lists.
    pub images: Vec<Image>,
    /// The totals that the kernel keeps.
    pub totals: ProcessTotals,
    /// The system and its version, such as `Linux 6.18.44` or `macOS 14.6.1 (23G93)`.
    pub system: Option<Box<str>>,
    /// The instruction set that it runs, in vmmap's words: `X86-64`, `X86`, `ARM64`, `ARM64E`. macOS only.
    pub code_type: Option<Box<str>>,
    /// The platform that its program was built for, such as `macOS` or `iOS`. macOS only.
    pub platform: Option<Box<str>>,
    /// The address of its program's header. macOS only.
    pub load_address: Option<u64>,
    /// The start of the first thread's stack, which changes when the process starts another program. Linux: `startstack` of
    /// `stat`.
    pub stack_start: Option<u64>,
    /// Why the process ended, in a dump of its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// The fields in the header of a saved report, label and value, in their order. Known ones also have fields of their own.
    /// Empty for a live process.
    pub printed_header: Vec<(Box<str>, Box<str>)>,
}

/// Why a process ended, as a dump of its memory says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Crash {
    /// The signal, as the system of the dump numbers it. Windows: `None`.
    pub signal: Option<i32>,
    /// Why it was sent (`si_code`, `sigaction(2)`), or the code of the exception.
    pub code: Option<i64>,
    /// The address that the process accessed, if the access was the reason.
    pub address: Option<u64>,
    /// The process that sent it, if one did.
    pub sender: Option<u32>,
    /// The thread that failed.
    pub thread: Option<u64>,
    /// Where that thread was: its program counter.
    pub instruction: Option<u64>,
}

/// The process that started this one, or that adopted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Parent {
    /// Its process ID.
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

/// The state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProcessState {
    /// Runs on a processor, or waits for one.
    Running,
    /// Waits for an event.
    Sleeping,
    /// Waits without being interruptible, usually for a disk.
    Blocked,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a debugger.
    Traced,
    /// A kernel thread that is idle.
    Idle,
    /// Exited; only its exit status is left.
    Zombie,
    /// Another state, with the kernel's letter for it.
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
    /// Its stack pointer, if it can be read without stopping the thread. Needs a task port on macOS.
    pub stack_pointer: Option<u64>,
}

impl ThreadInfo {
    /// A thread with only its ID known.
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
    /// The address of its header.
    pub load_address: u64,
    /// Its segments, if known: name and addresses.
    pub segments: Vec<(Box<str>, AddrRange)>,
}

/// Totals that the kernel keeps. They are readable even if the map is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProcessTotals {
    /// All address space. Linux: `VmSize`. macOS: `pti_virtual_size`.
    pub virtual_size: Option<Bytes>,
    /// Resident memory. Linux: `VmRSS`, from counters that may lag by some pages. macOS: `pti_resident_size`.
    pub resident: Option<Bytes>,
    /// The maximum of the resident memory so far. Linux: `VmHWM`. macOS: `resident_size_peak`.
    pub resident_peak: Option<Bytes>,
    /// Swapped memory. Linux: `VmSwap`, without shared memory. macOS: `compressed`, in the compressor or on disk.
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
    /// The maximum of the footprint so far. macOS.
    pub footprint_peak: Option<Bytes>,
}
