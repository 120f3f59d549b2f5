//! Cores of Linux processes, of any word size and byte order, written by the kernel or by gdb's `gcore`.
//!
//! Only headers and notes are read, so the size of a core does not matter. A core may be cut, damaged or forged: what
//! contradicts itself is left out and reported.

mod extents;
mod headers;
mod notes;
mod regions;

use std::io;
use std::path::Path;

use object::Endianness;
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::FileHeader;

use self::extents::Extents;
use self::headers::Headers;
use self::notes::Notes;
use super::{Dump, Failure, Input, Segment, grouped, incomplete, times};
use crate::detail::Detail;
use crate::memory_map::MemoryMap;
use crate::model::{
    Bytes, Capabilities, CaptureFormat, Crash, Machine, Origin, PageSize, Parent, ProcessInfo, Region,
    SourceInfo, TargetArch, ThreadInfo,
};
use crate::warning::Warning;

/// The first bytes of every ELF file.
pub(super) const MAGIC: &[u8] = b"\x7fELF";

/// How many bytes of notes are read at most. The kernel limits the list of files to 4 MiB; a thread has some kilobytes.
const LARGEST_NOTES: u64 = 64 << 20;

/// The smallest page in use, if a core does not say.
const SMALLEST_PAGE: u64 = 4096;

/// Reads the core in `input`, whose name is `path`.
pub(super) fn read(path: &Path, input: &Input) -> Result<Dump, Failure> {
    let (reader, start) = Reader::new(input)?;
    match reader.arch.word_size {
        Bytes(8) => reader.read::<FileHeader64<Endianness>>(path, &start),
        _ => reader.read::<FileHeader32<Endianness>>(path, &start),
    }
}

struct Reader<'a> {
    input: &'a Input,
    arch: TargetArch,
}

impl Reader<'_> {
    /// A reader, and the beginning of the file.
    fn new(input: &Input) -> Result<(Reader<'_>, Vec<u8>), Failure> {
        let mut start = vec![0; size_of::<FileHeader64<Endianness>>()];
        let read = input.read_at(&mut start, 0)?;
        start.truncate(read);
        let arch = TargetArch::from_elf(&start);
        let arch = arch.ok_or_else(|| {
            Failure::Malformed("is damaged: its ELF header is cut or of an unknown form".into())
        })?;
        Ok((Reader { input, arch }, start))
    }

    fn read<E: FileHeader<Endian = Endianness>>(&self, path: &Path, start: &[u8]) -> Result<Dump, Failure> {
        let malformed = |problem: &str| Failure::Malformed(problem.into());
        let header = E::parse(start).map_err(|_| malformed("is damaged: its ELF header is cut"))?;
        let endian = header.endian().map_err(|_| malformed("is damaged: its byte order is not known"))?;
        if header.e_type(endian) != elf::ET_CORE {
            return Err(malformed("is a program or library, not a core: there is no process in it"));
        }
        let headers = Headers::read(self.input, header)?;
        let (mut notes, mut warnings) = self.notes::<E>(endian, &headers)?;
        if notes.is_of_machine {
            return Err(malformed("is a dump of a whole machine, not of a process"));
        }
        if headers.loads.is_empty() {
            return Err(malformed("is a core without memory regions"));
        }
        if header.e_ident().os_abi == elf::ELFOSABI_FREEBSD {
            notes.other_system = Some("FreeBSD");
        }
        if let Some(system) = notes.other_system {
            notes = Notes::default();
            warnings = vec![incomplete(format!("a core of {system}: only bounds and protections are known"))];
        } else if notes.threads.iter().any(|thread| thread.registers.is_none()) {
            let machine = header.e_machine(endian).0;
            warnings.push(incomplete(format!(
                "registers of machine {machine:#x} are not known: thread stacks have no name"
            )));
        }
        let length = self.input.length()?;
        warnings.extend(cut(&headers, &notes, length));
        warnings.extend(left_out(&headers, &notes));
        Ok(self.dump(path, &headers, &notes, length, warnings))
    }

    /// Reads the notes, and what is doubtful about them.
    fn notes<E: FileHeader<Endian = Endianness>>(
        &self,
        endian: Endianness,
        headers: &Headers,
    ) -> io::Result<(Notes, Vec<Warning>)> {
        let mut notes = Notes::default();
        let mut room = LARGEST_NOTES;
        let mut warnings = Vec::new();
        for &(offset, size) in &headers.notes {
            let there = self.input.room(offset, size.min(room))?;
            let mut bytes = vec![0; there as usize];
            let room_before = room;
            room -= bytes.len() as u64;
            let read = self.input.read_at(&mut bytes, offset)?;
            let is_sound = notes.add::<E>(endian, self.arch, &bytes[..read]);
            if read as u64 == size && !is_sound {
                warnings.push(incomplete("a note of the core is broken: names may be missing"));
            } else if size > room_before {
                warnings.push(incomplete("the core has more than 64 MiB of notes: names may be missing"));
            }
        }
        // A forged core may have many segments of notes.
        warnings.dedup();
        warnings.extend(notes.doubts.iter().map(|doubt| incomplete(*doubt)));
        if notes.files.is_none() && warnings.is_empty() && needed(headers) <= self.input.length()? {
            warnings.push(incomplete("the core has no list of mapped files: names and offsets are unknown"));
        }
        Ok((notes, warnings))
    }

    fn dump(
        &self,
        path: &Path,
        headers: &Headers,
        notes: &Notes,
        length: u64,
        warnings: Vec<Warning>,
    ) -> Dump {
        let peek = |offset, buffer: &mut [u8]| self.input.read_at(buffer, offset).unwrap_or(0);
        let mut regions = regions::regions(&headers.loads, notes, self.arch, peek);
        let page = notes.page_size.unwrap_or(SMALLEST_PAGE);
        let is_original = is_by_kernel(headers, notes) && needed(headers) <= length;
        let file = self.input.file().filter(|_| is_original);
        let extents = file.and_then(|file| Extents::find(file, length, page));
        let segments: Vec<Segment> = match &extents {
            Some(extents) => headers.loads.iter().flat_map(|load| extents.segments(load)).collect(),
            None => headers.loads.iter().filter_map(|load| load.segment(length)).collect(),
        };
        // Without the list of files, anonymous memory can't be told from that of files.
        if let Some(extents) = extents.as_ref().filter(|_| notes.files.is_some()) {
            count(&mut regions, headers, extents);
        }
        let is_counted = regions.iter().any(|region| region.counts.resident.is_some());
        let detail = if is_counted { Detail::Resident } else { Detail::Layout };
        let origin = Origin::Capture { path: path.to_owned(), format: CaptureFormat::Core };
        let mut source = SourceInfo::new(origin, "linux", Capabilities::of_capture(detail));
        source.page_size = notes.page_size.and_then(PageSize::new);
        source.arch = Some(self.arch);
        let mut map = MemoryMap::new(source, process(notes, self.arch.machine), detail, regions);
        map.warnings = warnings;
        Dump { map, segments }
    }
}

/// How long the file should be.
fn needed(headers: &Headers) -> u64 {
    let ends = headers.loads.iter().filter(|load| load.size != 0).map(|load| load.file_end());
    let notes = headers.notes.iter().map(|(offset, size)| offset.saturating_add(*size));
    ends.chain(notes).max().unwrap_or_default()
}

/// What a core of `length` bytes lacks that is cut off.
fn cut(headers: &Headers, notes: &Notes, length: u64) -> Option<Warning> {
    let needed = needed(headers);
    if needed <= length {
        return None;
    }
    let lacking = headers.loads.iter().filter(|load| load.size != 0 && load.file_end() > length).count();
    let regions = times(lacking as u64, "region lacks", "regions lack");
    let cut = format!("the core is cut: {} of {} bytes; {regions} memory", grouped(length), grouped(needed));
    let mut ends = headers.notes.iter().map(|(offset, size)| offset.saturating_add(*size));
    Some(if notes.files.is_some() {
        incomplete(format!("{cut}; the map is whole"))
    } else if ends.all(|end| end <= length) {
        incomplete(format!("{cut}; it has no list of mapped files: names and offsets are unknown"))
    } else {
        Warning::Missing { why: format!("{cut}; its names were at the end and are lost").into() }
    })
}

/// What a core by gdb lacks, and the regions that no core can have.
fn left_out(headers: &Headers, notes: &Notes) -> impl Iterator<Item = Warning> {
    let by_gdb = notes.is_by_gdb.then(|| {
        "gdb wrote this core: it lacks memory that is not to be dumped, and the protections of unwritten files and of \
         memory without access"
            .into()
    });
    let impossible = match headers.impossible {
        0 => None,
        1 => Some("1 region of the core is impossible and was left out".into()),
        count => Some(format!("{count} regions of the core are impossible and were left out").into()),
    };
    by_gdb.into_iter().chain(impossible).map(|why| Warning::Missing { why })
}

/// Whether the kernel wrote the core: notes come first.
fn is_by_kernel(headers: &Headers, notes: &Notes) -> bool {
    let data = headers.loads.iter().filter(|load| load.size != 0).map(|load| load.offset).min();
    let is_first = |(offset, size): &(u64, u64)| data.is_none_or(|data| offset.saturating_add(*size) <= data);
    !notes.is_by_gdb && !headers.notes.is_empty() && headers.notes.iter().all(is_first)
}

/// Counts what is resident of private anonymous memory. The kernel reads pages of files and shared memory for the core that
/// the process had not touched, so nothing is known of those.
fn count(regions: &mut [Region], headers: &Headers, extents: &Extents) {
    for load in headers.loads.iter().filter(|load| load.is_whole()) {
        let place = regions.partition_point(|region| region.range.start() < load.range.start());
        let Some(region) = regions.get_mut(place).filter(|region| region.range == load.range) else {
            continue;
        };
        let name = region.name.as_ref().map(|name| name.bytes());
        if matches!(name, None | Some(b"[heap]" | b"[stack]")) {
            let stored = extents.segments(load).map(|segment| segment.range.size()).sum();
            region.counts.resident = Some(stored);
        }
    }
}

fn process(notes: &Notes, machine: Machine) -> ProcessInfo {
    let mut process = ProcessInfo::default();
    if let Some(known) = &notes.process {
        process.pid = Some(known.pid);
        process.parent = (known.parent != 0).then_some(Parent { pid: known.parent, name: None });
        process.name = Some(known.name.clone());
        process.command = vec![known.command.clone()];
    }
    process.path = regions::program(notes).map(|file| file.name.clone());
    process.threads = notes
        .threads
        .iter()
        .map(|thread| {
            let stack_pointer = thread.registers.map(|(stack, _)| stack);
            ThreadInfo { stack_pointer, ..ThreadInfo::new(thread.id.into()) }
        })
        .collect();
    // The main thread first.
    process.threads.sort_by_key(|thread| process.pid.map(u64::from) != Some(thread.id));
    process.crash = crash(notes, machine);
    process
}

/// Why the process ended. `None` if it did not: gdb only stopped it, to look at it, at a breakpoint or for its user.
fn crash(notes: &Notes, machine: Machine) -> Option<Crash> {
    const SIGINT: i32 = 2;
    const SIGTRAP: i32 = 5;
    let stop = if matches!(machine, Machine::Mips) { 23 } else { 19 };
    let failed = notes.threads.first();
    let signal = notes.signal.as_ref().map(|signal| signal.number).or_else(|| Some(failed?.signal))?;
    if signal == 0 || (notes.is_by_gdb && [stop, SIGINT, SIGTRAP].contains(&signal)) {
        return None;
    }
    Some(Crash {
        signal: Some(signal),
        code: notes.signal.as_ref().map(|signal| signal.code.into()),
        address: notes.signal.as_ref().and_then(|signal| signal.address),
        sender: notes.signal.as_ref().and_then(|signal| signal.sender),
        thread: failed.map(|thread| thread.id.into()),
        instruction: failed.and_then(|thread| thread.registers).map(|(_, program)| program),
    })
}

#[cfg(test)]
mod tests;
