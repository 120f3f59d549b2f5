//! Minidumps of Windows, Breakpad, Crashpad and lldb (Microsoft's `minidumpapiset.h`, Breakpad's `minidump_format.h`).
//!
//! A minidump is a directory of streams. Some have the whole map, as the text of `/proc/PID/maps` or as a list of regions. Of
//! others, modules, stacks and saved memory are all that is known of it.

mod map;
mod streams;

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use self::streams::{Exception, Module, Stream, System, Thread};
use super::fields::Fields;
use super::{Dump, Failure, Input, Segment, grouped, incomplete, ordered, times};
use crate::capture::text::{self, Found};
use crate::detail::Detail;
use crate::memory_map::MemoryMap;
use crate::model::{
    AddrRange, ByteOrder, Bytes, Capabilities, CaptureFormat, Crash, Machine, Origin, PageSize, ProcessInfo,
    Region, SourceInfo, TargetArch, ThreadInfo,
};
use crate::warning::Warning;

/// The first bytes of a minidump of either byte order.
pub(super) const MAGICS: [&[u8]; 2] = [b"MDMP", b"PMDM"];

/// How much of a stream is read at most.
const LARGEST_STREAM: u64 = 64 << 20;

/// How many streams a minidump may have. Real ones have about 20.
const MOST_STREAMS: u64 = 1 << 12;

/// How many threads and modules are read. Each takes two reads.
const MOST_RECORDS: usize = 1 << 16;

/// The longest name of a module, in bytes of UTF-16.
const LONGEST_NAME: u32 = 64 << 10;

const DIRECTORY_ENTRY: u64 = 12;

/// Reads the minidump in `input`, whose name is `path`.
pub(super) fn read(path: &Path, input: &Input) -> Result<Dump, Failure> {
    let mut reader = Reader::new(input)?;
    let system = reader.system()?;
    let modules = reader.modules()?;
    let threads = reader.threads(system.machine)?;
    let segments = reader.segments(&threads)?;
    let process = reader.process(&system, &modules, &threads)?;
    let regions = reader.regions(path, &system, &modules, &segments)?;
    let origin = Origin::Capture { path: path.to_owned(), format: CaptureFormat::Minidump };
    let mut source = SourceInfo::new(origin, system.os(), Capabilities::of_capture(Detail::Layout));
    source.arch = system.arch(reader.order);
    source.page_size = reader.page_size(&system)?;
    source.taken = reader.taken;
    let mut map = MemoryMap::new(source, process, Detail::Layout, regions);
    map.taken = reader.taken;
    map.warnings = reader.warnings;
    Ok(Dump { map, segments })
}

struct Reader<'a> {
    input: &'a Input,
    order: ByteOrder,
    streams: Vec<Stream>,
    taken: Option<SystemTime>,
    warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    fn new(input: &'a Input) -> Result<Reader<'a>, Failure> {
        let mut header = [0; 32];
        if input.read_at(&mut header, 0)? < header.len() {
            return Err(Failure::Malformed("is damaged: its header is cut".into()));
        }
        let order = if header.starts_with(MAGICS[0]) { ByteOrder::Little } else { ByteOrder::Big };
        let fields = Fields { bytes: &header, order };
        let number = |offset| u64::from(fields.u32(offset).unwrap_or_default());
        let (count, directory, time) = (number(8), number(12), number(20));
        let mut reader = Reader { input, order, streams: Vec::new(), taken: None, warnings: Vec::new() };
        reader.taken =
            (time != 0).then(|| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time))).flatten();
        let room = input.room(directory, count.min(MOST_STREAMS) * DIRECTORY_ENTRY)?;
        let there = room / DIRECTORY_ENTRY;
        if there < count {
            let lack =
                format!("the directory of the minidump is cut: it promises {count} streams, and has {there}");
            reader.warnings.push(incomplete(lack));
        }
        let mut bytes = vec![0; (there * DIRECTORY_ENTRY) as usize];
        let read = input.read_at(&mut bytes, directory)?;
        let entries = bytes[..read].chunks_exact(DIRECTORY_ENTRY as usize);
        let stream = |bytes| {
            let entry = Fields { bytes, order };
            Some(Stream { kind: entry.u32(0)?, size: entry.u32(4)?.into(), offset: entry.u32(8)?.into() })
        };
        reader.streams = entries.filter_map(stream).collect();
        Ok(reader)
    }

    /// The content of the first stream of this kind.
    fn stream(&mut self, kind: u32) -> io::Result<Option<Vec<u8>>> {
        let Some(stream) = self.streams.iter().find(|stream| stream.kind == kind).copied() else {
            return Ok(None);
        };
        let there = self.input.room(stream.offset, stream.size.min(LARGEST_STREAM))?;
        let mut bytes = vec![0; there as usize];
        let read = self.input.read_at(&mut bytes, stream.offset)?;
        bytes.truncate(read);
        if (read as u64) < stream.size {
            self.is_cut(kind);
        }
        Ok(Some(bytes))
    }

    fn is_cut(&mut self, kind: u32) {
        let warning = incomplete(format!("the stream {} of the minidump is cut", streams::name(kind)));
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The records of a stream that is a list of them, at most [`MOST_RECORDS`].
    fn records<T>(
        &mut self,
        kind: u32,
        size: usize,
        record: impl Fn(&Reader<'_>, Fields<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let Some(bytes) = self.stream(kind)? else { return Ok(Vec::new()) };
        let list = streams::list(Fields { bytes: &bytes, order: self.order }, size);
        let records: Vec<T> =
            list.records.take(MOST_RECORDS).filter_map(|fields| record(self, fields)).collect();
        if list.is_cut || list.count > MOST_RECORDS as u64 {
            self.is_cut(kind);
        }
        Ok(records)
    }

    fn system(&mut self) -> io::Result<System> {
        let bytes = self.stream(streams::SYSTEM_INFO)?.unwrap_or_default();
        let has_maps = self.streams.iter().any(|stream| stream.kind == streams::LINUX_MAPS);
        Ok(System::decode(Fields { bytes: &bytes, order: self.order }, has_maps))
    }

    fn modules(&mut self) -> io::Result<Vec<Module>> {
        let modules = self.records(streams::MODULE_LIST, streams::MODULE, |reader, fields| {
            let name = reader.string(fields.u32(20)?);
            let build_id = reader.build_id(fields);
            Some(Module {
                range: AddrRange::with_size(fields.u64(0)?, Bytes(fields.u32(8)?.into()))?,
                name,
                build_id,
            })
        })?;
        Ok(modules.into_iter().filter(|module| !module.range.is_empty()).collect())
    }

    /// The text at `offset`, in UTF-8.
    fn string(&self, offset: u32) -> Option<Box<str>> {
        let bytes = self.at(offset.into(), 4)?;
        let size = Fields { bytes: &bytes, order: self.order }.u32(0)?.min(LONGEST_NAME);
        let bytes = self.at(u64::from(offset) + 4, size as usize)?;
        let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| self.order.number(unit) as u16).collect();
        (!units.is_empty()).then(|| String::from_utf16_lossy(&units).into())
    }

    /// The build ID in a module's CodeView record, as Breakpad writes it for ELF.
    fn build_id(&self, module: Fields<'_>) -> Option<Box<str>> {
        const SIGNATURE: &[u8] = b"LEpB";
        const LONGEST: u32 = 64;
        let (size, offset) = (module.u32(76)?, module.u32(80)?);
        let record = self.at(offset.into(), (4..=4 + LONGEST).contains(&size).then_some(size)? as usize)?;
        let id = record.strip_prefix(SIGNATURE).filter(|id| !id.is_empty())?;
        Some(id.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    /// The bytes at a place in the file; `None` if it ends before.
    fn at(&self, offset: u64, size: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; size];
        let read = self.input.read_at(&mut bytes, offset).ok()?;
        (read == size).then_some(bytes)
    }

    fn threads(&mut self, machine: Machine) -> io::Result<Vec<Thread>> {
        let mut threads = self.records(streams::THREAD_LIST, streams::THREAD, |reader, fields| {
            let registers = reader.registers(fields.u32(40)?, fields.u32(44)?, machine);
            Some(Thread {
                id: fields.u32(0)?,
                stack: streams::memory(fields.part(24, 16)?),
                name: None,
                registers,
            })
        })?;
        let names = self.records(streams::THREAD_NAMES, streams::THREAD_NAME, |reader, fields| {
            Some((fields.u32(0)?, reader.string(fields.u64(4)?.try_into().ok()?)?))
        })?;
        for (id, name) in names {
            if let Some(thread) = threads.iter_mut().find(|thread| thread.id == id) {
                thread.name = Some(name);
            }
        }
        Ok(threads)
    }

    /// The stack pointer and the program counter in a thread's context.
    fn registers(&self, size: u32, offset: u32, machine: Machine) -> Option<(u64, u64)> {
        let (stack, program, width) = streams::registers(machine)?;
        let context = self.at(offset.into(), (size as usize).min(program.max(stack) + width))?;
        let fields = Fields { bytes: &context, order: self.order };
        Some((fields.number(stack, width)?, fields.number(program, width)?))
    }

    /// The memory in the minidump, and what of it is cut off.
    fn segments(&mut self, threads: &[Thread]) -> io::Result<Vec<Segment>> {
        let mut segments =
            self.records(streams::MEMORY_LIST, streams::MEMORY, |_, fields| streams::memory(fields))?;
        segments.extend(threads.iter().filter_map(|thread| thread.stack));
        if let Some(bytes) = self.stream(streams::MEMORY_64_LIST)? {
            let (more, is_cut) = streams::memory_64(Fields { bytes: &bytes, order: self.order });
            segments.extend(more);
            if is_cut {
                self.is_cut(streams::MEMORY_64_LIST);
            }
        }
        let length = self.input.length()?;
        let (segments, cut) = ordered(segments, length);
        if let Some(cut) = cut {
            let parts = times(cut.segments, "range of memory is", "ranges of memory are");
            let (there, needed) = (grouped(length), grouped(cut.needed));
            self.warnings.push(incomplete(format!(
                "the minidump is cut: {there} of {needed} bytes; {parts} not whole"
            )));
        }
        Ok(segments)
    }

    /// The regions, from the stream that says the most.
    fn regions(
        &mut self,
        path: &Path,
        system: &System,
        modules: &[Module],
        segments: &[Segment],
    ) -> Result<Vec<Region>, Failure> {
        if let Some(text) = self.stream(streams::LINUX_MAPS)?
            && let Found::Map(map) = text::read(path, &text[..], None)?
        {
            self.warnings.extend(map.warnings);
            return Ok(map.regions);
        }
        if let Some(bytes) = self.stream(streams::MEMORY_INFO_LIST)? {
            let list = streams::memory_info(Fields { bytes: &bytes, order: self.order });
            if list.is_cut {
                self.is_cut(streams::MEMORY_INFO_LIST);
            }
            let (regions, impossible) = map::whole(&list.records, system, modules);
            if impossible != 0 {
                let regions = times(impossible, "region of the minidump is", "regions of the minidump are");
                self.warnings
                    .push(Warning::Missing { why: format!("{regions} impossible and left out").into() });
            }
            if !regions.is_empty() {
                return Ok(regions);
            }
        }
        let regions = map::part(system, modules, segments);
        if regions.is_empty() {
            return Err(Failure::Malformed("has no memory map: no regions, modules or memory".into()));
        }
        let modules = times(modules.len() as u64, "module", "modules");
        let memory = times(segments.len() as u64, "range of saved memory", "ranges of saved memory");
        let why = format!("only a part of the map is in this dump: {modules} and {memory}");
        self.warnings.push(Warning::Missing { why: why.into() });
        Ok(regions)
    }

    fn process(
        &mut self,
        system: &System,
        modules: &[Module],
        threads: &[Thread],
    ) -> io::Result<ProcessInfo> {
        let order = self.order;
        let mut process = ProcessInfo::default();
        // The first module is the program.
        let program = modules.first().and_then(|module| module.name.as_deref());
        process.path = program.map(|path| path.as_bytes().into());
        process.name =
            program.and_then(|path| path.rsplit(['/', '\\']).next()).map(|name| name.as_bytes().into());
        let bytes = self.stream(streams::MISC_INFO)?.unwrap_or_default();
        let misc = streams::misc(Fields { bytes: &bytes, order });
        process.pid = misc.pid;
        process.started = misc.started;
        let status = self.stream(streams::LINUX_STATUS)?.unwrap_or_default();
        process.pid = process.pid.or_else(|| streams::status_pid(&status));
        if let Some(command) = self.stream(streams::LINUX_COMMAND)? {
            let command = command.strip_suffix(b"\0").unwrap_or(&command);
            process.command = command.split(|byte| *byte == 0).map(Into::into).collect();
        }
        process.system = system.version.clone();
        process.threads = threads
            .iter()
            .map(|thread| ThreadInfo {
                name: thread.name.as_deref().map(|name| name.as_bytes().into()),
                stack_pointer: thread.registers.map(|(stack, _)| stack),
                ..ThreadInfo::new(thread.id.into())
            })
            .collect();
        // The main thread first.
        process.threads.sort_by_key(|thread| process.pid.map(u64::from) != Some(thread.id));
        if let Some(bytes) = self.stream(streams::EXCEPTION)? {
            process.crash = self.crash(system, threads, Fields { bytes: &bytes, order });
        }
        Ok(process)
    }

    fn crash(&self, system: &System, threads: &[Thread], stream: Fields<'_>) -> Option<Crash> {
        let exception = Exception::decode(stream)?;
        let of_thread = threads.iter().find(|thread| thread.id == exception.thread);
        let registers = self.registers(exception.context.0, exception.context.1, system.machine);
        let registers = registers.or_else(|| of_thread?.registers);
        Some(Crash {
            thread: Some(exception.thread.into()),
            instruction: registers.map(|(_, program)| program),
            ..exception.cause(system)?
        })
    }

    fn page_size(&mut self, system: &System) -> io::Result<Option<PageSize>> {
        const AT_PAGESZ: u64 = 6;
        let bytes = self.stream(streams::LINUX_AUXV)?.unwrap_or_default();
        let width = system.arch(self.order).map_or(8, |arch| arch.word_size.0 as usize);
        let mut words = bytes.chunks_exact(width).map(|word| self.order.number(word));
        let pairs = std::iter::from_fn(|| Some((words.next()?, words.next()?)));
        let page = pairs.take_while(|(key, _)| *key != 0).find(|(key, _)| *key == AT_PAGESZ);
        Ok(page.and_then(|(_, size)| PageSize::new(size)))
    }
}

impl System {
    /// The machine that its code is for.
    fn arch(&self, order: ByteOrder) -> Option<TargetArch> {
        let word = match self.machine {
            Machine::Other => return None,
            Machine::X86 | Machine::Arm | Machine::Mips | Machine::PowerPc => 4,
            _ => 8,
        };
        Some(TargetArch::new(Bytes(word), order, self.machine))
    }
}

#[cfg(test)]
mod tests;
