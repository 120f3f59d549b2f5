//! The streams of a minidump, decoded.

use std::time::{Duration, SystemTime};

use super::super::Segment;
use super::super::fields::Fields;
use crate::model::{AddrRange, Bytes, Crash, Machine};

pub const THREAD_LIST: u32 = 3;
pub const MODULE_LIST: u32 = 4;
pub const MEMORY_LIST: u32 = 5;
pub const EXCEPTION: u32 = 6;
pub const SYSTEM_INFO: u32 = 7;
pub const MEMORY_64_LIST: u32 = 9;
pub const MISC_INFO: u32 = 15;
pub const MEMORY_INFO_LIST: u32 = 16;
pub const THREAD_NAMES: u32 = 24;
pub const LINUX_STATUS: u32 = 0x4767_0004;
pub const LINUX_COMMAND: u32 = 0x4767_0006;
pub const LINUX_AUXV: u32 = 0x4767_0008;
pub const LINUX_MAPS: u32 = 0x4767_0009;

/// The sizes of records.
pub const THREAD: usize = 48;
pub const MODULE: usize = 108;
pub const MEMORY: usize = 16;
pub const THREAD_NAME: usize = 12;

/// The name of a stream in Microsoft's and Breakpad's headers.
pub fn name(kind: u32) -> &'static str {
    match kind {
        THREAD_LIST => "ThreadList",
        MODULE_LIST => "ModuleList",
        MEMORY_LIST => "MemoryList",
        EXCEPTION => "Exception",
        SYSTEM_INFO => "SystemInfo",
        MEMORY_64_LIST => "Memory64List",
        MISC_INFO => "MiscInfo",
        MEMORY_INFO_LIST => "MemoryInfoList",
        THREAD_NAMES => "ThreadNames",
        LINUX_STATUS => "LinuxProcStatus",
        LINUX_COMMAND => "LinuxCmdLine",
        LINUX_AUXV => "LinuxAuxv",
        LINUX_MAPS => "LinuxMaps",
        _ => "of another kind",
    }
}

/// Where a stream is.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub kind: u32,
    pub offset: u64,
    pub size: u64,
}

/// The records of a list.
pub struct List<I> {
    pub records: I,
    /// How many the list promises.
    pub count: u64,
    /// Whether it has fewer.
    pub is_cut: bool,
}

/// A list: a count of 32 bits, and records. Some writers align the records to 8 bytes.
pub fn list(stream: Fields<'_>, size: usize) -> List<impl Iterator<Item = Fields<'_>>> {
    let count = u64::from(stream.u32(0).unwrap_or_default());
    let is_aligned = count.saturating_mul(size as u64).saturating_add(8) == stream.bytes.len() as u64;
    records(stream, if is_aligned { 8 } else { 4 }, size, count)
}

fn records(
    stream: Fields<'_>,
    start: usize,
    size: usize,
    count: u64,
) -> List<impl Iterator<Item = Fields<'_>>> {
    let bytes = stream.bytes.get(start..).unwrap_or_default();
    let there = (bytes.len() / size) as u64;
    let records = bytes.chunks_exact(size).map(move |bytes| Fields { bytes, ..stream });
    List { records: records.take(count.min(there) as usize), count, is_cut: there < count }
}

/// A range of memory and its bytes: address, size, place in the file.
pub fn memory(fields: Fields<'_>) -> Option<Segment> {
    let range = AddrRange::with_size(fields.u64(0)?, Bytes(fields.u32(8)?.into()))?;
    Some(Segment { range, offset: fields.u32(12)?.into() })
}

/// `Memory64List`: ranges whose bytes follow one another. The second value is whether the list is cut.
pub fn memory_64(stream: Fields<'_>) -> (Vec<Segment>, bool) {
    let (Some(count), Some(start)) = (stream.u64(0), stream.u64(8)) else { return (Vec::new(), true) };
    let list = records(stream, 16, 16, count);
    let mut offset = Some(start);
    let segments = list.records.map_while(|fields| {
        let (address, size) = (fields.u64(0)?, fields.u64(8)?);
        let at = offset?;
        offset = at.checked_add(size);
        Some(AddrRange::with_size(address, Bytes(size)).map(|range| Segment { range, offset: at }))
    });
    (segments.flatten().collect(), list.is_cut)
}

/// A range of addresses as Windows lists it (`MINIDUMP_MEMORY_INFO`).
#[derive(Clone, Copy, Debug)]
pub struct MemoryInfo {
    pub range: Option<AddrRange>,
    pub allocation: u64,
    pub state: u32,
    pub protection: u32,
    pub kind: u32,
}

/// `MemoryInfoList`.
pub fn memory_info(stream: Fields<'_>) -> List<Vec<MemoryInfo>> {
    const SMALLEST: usize = 44;
    let header = stream.u32(0).map_or(usize::MAX, |size| size as usize);
    let size = stream.u32(4).map_or(0, |size| size as usize);
    let count = stream.u64(8).unwrap_or_default();
    if size < SMALLEST || header < 16 {
        return List { records: Vec::new(), count, is_cut: true };
    }
    let list = records(stream, header, size, count);
    let info = |fields: Fields<'_>| {
        Some(MemoryInfo {
            range: AddrRange::with_size(fields.u64(0)?, Bytes(fields.u64(24)?)),
            allocation: fields.u64(8)?,
            state: fields.u32(32)?,
            protection: fields.u32(36)?,
            kind: fields.u32(40)?,
        })
    };
    List { records: list.records.filter_map(info).collect(), count, is_cut: list.is_cut }
}

/// A program or library.
#[derive(Debug)]
pub struct Module {
    pub range: AddrRange,
    pub name: Option<Box<str>>,
    pub build_id: Option<Box<str>>,
}

#[derive(Debug)]
pub struct Thread {
    pub id: u32,
    pub name: Option<Box<str>>,
    pub stack: Option<Segment>,
    /// The stack pointer and the program counter.
    pub registers: Option<(u64, u64)>,
}

/// Where the stack pointer and the program counter are in a thread's context, and their size.
pub fn registers(machine: Machine) -> Option<(usize, usize, usize)> {
    Some(match machine {
        Machine::X86 => (196, 184, 4),
        Machine::X86_64 => (152, 248, 8),
        Machine::Arm => (56, 64, 4),
        Machine::Arm64 => (256, 264, 8),
        _ => return None,
    })
}

/// The system of the process.
#[derive(Debug)]
pub struct System {
    pub machine: Machine,
    pub platform: Platform,
    pub version: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    Windows,
    Linux,
    Android,
    MacOs,
    Other,
}

impl System {
    /// `SystemInfo`. Without it, the list of a Linux map tells the system.
    pub fn decode(stream: Fields<'_>, has_linux_maps: bool) -> System {
        let machine = match stream.u16(0) {
            Some(0) => Machine::X86,
            Some(1) => Machine::Mips,
            Some(3) => Machine::PowerPc,
            Some(5) => Machine::Arm,
            Some(9) => Machine::X86_64,
            // The second number is Breakpad's own, from before Windows had one.
            Some(12 | 0x8003) => Machine::Arm64,
            Some(0x8002) => Machine::PowerPc64,
            _ => Machine::Other,
        };
        let platform = match stream.u32(20) {
            Some(0..=3) if !has_linux_maps => Platform::Windows,
            Some(0x8101 | 0x8102) => Platform::MacOs,
            Some(0x8203) => Platform::Android,
            Some(0x8201) => Platform::Linux,
            _ if has_linux_maps => Platform::Linux,
            _ => Platform::Other,
        };
        let number = |offset| stream.u32(offset);
        let version = match (platform, number(8), number(12), number(16)) {
            (Platform::Windows, Some(major), Some(minor), Some(build)) => {
                Some(format!("Windows {major}.{minor}.{build}"))
            }
            (Platform::MacOs, Some(major), Some(minor), Some(patch)) if major != 0 => {
                Some(format!("macOS {major}.{minor}.{patch}"))
            }
            _ => None,
        };
        System { machine, platform, version: version.map(Into::into) }
    }

    /// The identifier of the system.
    pub fn os(&self) -> &'static str {
        match self.platform {
            Platform::Windows => "windows",
            Platform::Linux | Platform::Android => "linux",
            Platform::MacOs => "macos",
            Platform::Other => "other",
        }
    }
}

/// Who the process was.
#[derive(Debug, Default)]
pub struct Misc {
    pub pid: Option<u32>,
    pub started: Option<SystemTime>,
}

/// `MiscInfo`.
pub fn misc(stream: Fields<'_>) -> Misc {
    const HAS_PID: u32 = 1;
    const HAS_TIMES: u32 = 2;
    let flags = stream.u32(4).unwrap_or_default();
    let field =
        |flag, offset| if flags & flag != 0 { stream.u32(offset).filter(|value| *value != 0) } else { None };
    let started = field(HAS_TIMES, 12).map(|seconds| Duration::from_secs(seconds.into()));
    Misc {
        pid: field(HAS_PID, 8),
        started: started.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
    }
}

/// The process in the text of `/proc/PID/status`.
pub fn status_pid(text: &[u8]) -> Option<u32> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// The exception that ended the process.
#[derive(Debug)]
pub struct Exception {
    pub thread: u32,
    code: u32,
    flags: u32,
    address: u64,
    /// How many of the parameters are there, and the first two.
    parameters: (u32, [u64; 2]),
    /// Size and place of the thread's context.
    pub context: (u32, u32),
}

impl Exception {
    /// The stream `Exception`.
    pub fn decode(stream: Fields<'_>) -> Option<Exception> {
        Some(Exception {
            thread: stream.u32(0)?,
            code: stream.u32(8)?,
            flags: stream.u32(12)?,
            address: stream.u64(24)?,
            parameters: (stream.u32(32)?, [stream.u64(40)?, stream.u64(48)?]),
            context: (stream.u32(160)?, stream.u32(164)?),
        })
    }

    /// Why the process ended, in the terms of its system. `None` if it did not: it asked for the dump.
    pub fn cause(&self, system: &System) -> Option<Crash> {
        // Breakpad and Crashpad on Linux; Crashpad on Macs (`CPsx`) and on Windows.
        const ON_REQUEST: [u32; 3] = [0xffff_ffff, 0x4350_7378, 0x0517_a7ed];
        if ON_REQUEST.contains(&self.code) {
            return None;
        }
        let mut crash = Crash { code: Some(self.code.into()), ..Crash::default() };
        match system.platform {
            Platform::Linux | Platform::Android => {
                /// `SI_KERNEL`: the kernel knows no address.
                const FROM_KERNEL: i32 = 0x80;
                let signal = self.code.cast_signed();
                let why = self.flags.cast_signed();
                crash.signal = Some(signal);
                crash.code = Some(why.into());
                let has_address = matches!(signal, 4 | 5 | 7 | 8 | 11) && why > 0 && why != FROM_KERNEL;
                crash.address = has_address.then_some(self.address);
            }
            Platform::MacOs => {
                const BAD_ACCESS: u32 = 1;
                crash.address = (self.code == BAD_ACCESS).then_some(self.address);
            }
            Platform::Windows => {
                // EXCEPTION_ACCESS_VIOLATION, EXCEPTION_IN_PAGE_ERROR.
                const WITH_ADDRESS: [u32; 2] = [0xc000_0005, 0xc000_0006];
                let (count, [_, address]) = self.parameters;
                crash.address = (WITH_ADDRESS.contains(&self.code) && count >= 2).then_some(address);
            }
            Platform::Other => {}
        }
        Some(crash)
    }
}
