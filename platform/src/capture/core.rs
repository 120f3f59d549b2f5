//! Memory dumps of processes: the cores of Linux and of Macs, and minidumps.
//!
//! A dump is a map, and the bytes of some of its pages. Headers and notes are read at once; memory is read with `pread`, when
//! something asks for it. The file may belong to someone else and change meanwhile, so it is never mapped.

mod elf;
mod fields;
mod files;
mod input;
mod macho;
mod minidump;

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::detail::Detail;
use crate::error::{Error, Result};
use crate::memory::{Memory, MemoryCost, Meter, Piece, Shortfall};
use crate::memory_map::MemoryMap;
use crate::model::{AddrRange, Findings, ProcessInfo, Region, SourceInfo};
use crate::source::{RegionSource, Regions};
use crate::warning::Warning;

use super::malformed;
use super::saved::Saved;
pub(super) use input::{Input, is_unkept};

/// How many bytes [`is_dump`] looks at.
pub(super) const START: usize = 8;

/// Whether a file that begins with these bytes is a dump, or another file of a form that dumps have.
pub(super) fn is_dump(start: &[u8]) -> bool {
    start.starts_with(elf::MAGIC)
        || minidump::MAGICS.iter().any(|magic| start.starts_with(magic))
        || macho::is_macho(start)
}

/// Reads the dump in `input`, whose name in messages is `path`.
pub(super) fn read(path: &Path, input: &Input) -> Result<Dump> {
    let mut start = [0; START];
    let result = input.read_at(&mut start, 0).map_err(Failure::Unreadable).and_then(|_| {
        if start.starts_with(elf::MAGIC) {
            elf::read(path, input)
        } else if macho::is_macho(&start) {
            macho::read(path, input)
        } else {
            minidump::read(path, input)
        }
    });
    result.map_err(|failure| match failure {
        Failure::Unreadable(source) => Error::Io { action: "read", path: path.to_owned(), source },
        Failure::Malformed(problem) => malformed(path, problem),
    })
}

/// Why there is no dump.
#[derive(Debug)]
enum Failure {
    Unreadable(io::Error),
    /// The rest of a sentence that starts with the name of the file.
    Malformed(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Unreadable(error)
    }
}

/// Bytes of memory in a dump: those of `range` begin at `offset` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub range: AddrRange,
    pub offset: u64,
}

/// What was read from a dump.
pub(super) struct Dump {
    pub map: MemoryMap,
    /// Ordered by address, none overlapping another, none empty.
    pub segments: Vec<Segment>,
}

/// A dump as a source.
pub(super) struct Core {
    saved: Saved,
    memory: Arc<CoreMemory>,
}

impl Core {
    /// The dump that was read from `input`, whose name is `path`.
    pub fn new(path: &Path, dump: Dump, input: Input) -> Core {
        let memory =
            CoreMemory { path: path.to_owned(), input, segments: dump.segments, meter: Meter::default() };
        let mut map = dump.map;
        map.source.capabilities.memory = true;
        Core { saved: Saved(map), memory: Arc::new(memory) }
    }
}

impl RegionSource for Core {
    fn info(&self) -> &SourceInfo {
        self.saved.info()
    }

    fn process(&mut self) -> Result<ProcessInfo> {
        self.saved.process()
    }

    fn regions(&mut self, detail: Detail) -> Result<Regions<'_>> {
        self.saved.regions(detail)
    }

    fn region_at(&mut self, address: u64, detail: Detail) -> Result<Option<Region>> {
        self.saved.region_at(address, detail)
    }

    fn memory(&self) -> Option<Arc<dyn Memory>> {
        Some(Arc::clone(&self.memory) as Arc<dyn Memory>)
    }

    fn findings(&self) -> Option<&Findings> {
        self.saved.findings()
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.saved.take_warnings()
    }
}

/// The memory in a dump.
#[derive(Debug)]
struct CoreMemory {
    path: PathBuf,
    input: Input,
    segments: Vec<Segment>,
    meter: Meter,
}

impl CoreMemory {
    /// The segment that holds `address`.
    fn segment_at(&self, address: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.range.end() <= address);
        self.segments.get(after).filter(|segment| segment.range.contains(address))
    }

    /// Reads from `address` on, as far as the dump has it. Returns the number of bytes.
    fn read_at(&self, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = address.checked_add(done as u64) else { break };
            let Some(segment) = self.segment_at(at) else { break };
            let room = usize::try_from(segment.range.end() - at).unwrap_or(usize::MAX);
            let length = room.min(buffer.len() - done);
            let offset = segment.offset.saturating_add(at - segment.range.start());
            let part = &mut buffer[done..done + length];
            let read = match self.meter.call(|| self.input.read_at(part, offset)) {
                // What lies before the damage can be read. `verify` reports it.
                Err(error) if self.input.file().is_none() && !input::is_unkept(&error) => 0,
                read => read?,
            };
            done += read;
            // The file was cut while it was open, or the stream ends here.
            if read < length {
                break;
            }
        }
        Ok(done)
    }
}

impl Memory for CoreMemory {
    fn read(&self, pieces: &mut [Piece<'_>]) -> Result<()> {
        let mut buffer = Vec::new();
        for piece in pieces {
            buffer.resize(piece.size(), 0);
            let read = self.read_at(piece.address(), &mut buffer);
            let read =
                read.map_err(|source| Error::Io { action: "read", path: self.path.clone(), source })?;
            self.meter.copied(read);
            piece.set(&buffer[..read], Some(Shortfall::NotInCapture));
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        let ends = self.segments.iter().map(|segment| segment.offset.saturating_add(segment.range.size().0));
        let lack = self.input.lack(ends.max().unwrap_or_default());
        lack.map_or(Ok(()), |lack| Err(malformed(&self.path, format!("lacks memory: {lack}"))))
    }

    fn resident(&self, range: AddrRange) -> Result<Vec<AddrRange>> {
        let first = self.segments.partition_point(|segment| segment.range.end() <= range.start());
        let inside = self.segments[first..].iter().take_while(|segment| segment.range.start() < range.end());
        let mut parts: Vec<AddrRange> = Vec::new();
        for part in inside.filter_map(|segment| segment.range.overlap(range)) {
            match parts.last_mut() {
                Some(last) if last.end() == part.start() => *last = last.hull(part),
                _ => parts.push(part),
            }
        }
        Ok(parts)
    }

    /// The file of the same path on this machine, if it is the same image: its build ID is that in the dump.
    fn open_file(&self, region: &Region) -> Option<File> {
        let name = region.name.as_ref().filter(|name| name.is_file() && !name.is_deleted())?;
        if region.offset != 0 {
            return None;
        }
        let mut start = vec![0; files::START];
        let read = self.read_at(region.range.start(), &mut start).ok()?;
        files::open(&host_path(name.bytes())?, &start[..read])
    }

    fn frames(&self, _: AddrRange) -> Result<Vec<Option<u64>>> {
        Ok(Vec::new())
    }

    fn cost(&self) -> MemoryCost {
        self.meter.cost()
    }
}

/// Segments that lie behind the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// How long the file should be.
    needed: u64,
    /// How many segments lack bytes.
    segments: u64,
}

/// The segments in the order of their addresses, without overlaps, as far as a file of `length` bytes has them.
fn ordered(mut segments: Vec<Segment>, length: u64) -> (Vec<Segment>, Option<Cut>) {
    segments.sort_by_key(|segment| (segment.range.start(), segment.offset));
    let (mut end, mut cut) = (0, None);
    segments.retain_mut(|segment| {
        let Some(range) = segment.range.from_address(end) else { return false };
        segment.offset = segment.offset.saturating_add(range.start() - segment.range.start());
        end = range.end();
        let needed = segment.offset.saturating_add(range.size().0);
        if needed > length {
            let before = cut.unwrap_or(Cut { needed: 0, segments: 0 });
            cut = Some(Cut { needed: needed.max(before.needed), segments: before.segments + 1 });
        }
        let there = range.size().0.min(length.saturating_sub(segment.offset));
        segment.range = AddrRange::new(range.start(), range.start() + there).unwrap_or(range);
        there != 0
    });
    (segments, cut)
}

fn incomplete(lack: impl Into<Cow<'static, str>>) -> Warning {
    Warning::Incomplete { lack: lack.into() }
}

/// A count of things, such as `1 module` and `2 modules`.
fn times(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place != 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A path of the dumped process as one of this machine; `None` if it can't be one.
fn host_path(path: &[u8]) -> Option<PathBuf> {
    #[cfg(unix)]
    return Some(std::os::unix::ffi::OsStrExt::from_bytes(path)).map(|path: &std::ffi::OsStr| path.into());
    #[cfg(not(unix))]
    std::str::from_utf8(path).ok().map(PathBuf::from)
}
