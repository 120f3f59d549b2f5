//! Cores of Macs, written by the kernel or by lldb's `process save-core` (`mach-o/loader.h`; lldb: `ObjectFileMachO.cpp`).
//!
//! A core has the regions whose memory it has. It has no tags, no share modes and no counts. lldb's usual cores have only pages that
//! were written, so that a region comes out in pieces.

mod notes;

use std::io;
use std::path::Path;

use object::LittleEndian;
use object::macho::{self, MachHeader64, NoteCommand};
use object::read::macho::MachHeader;

use self::notes::Notes;
use super::fields::Fields;
use super::{Dump, Failure, Input, Segment, grouped, incomplete, ordered, times};
use crate::detail::Detail;
use crate::macos::parse::images::LoadedImage;
use crate::macos::parse::macho as image;
use crate::macos::parse::segments::SegmentMap;
use crate::memory_map::MemoryMap;
use crate::model::{
    AddrRange, ByteOrder, Bytes, Capabilities, CaptureFormat, Image, Machine, MacosRegion, Native, Origin,
    PageSize, ProcessInfo, Protection, Region, ShareMode, SourceInfo, TargetArch, ThreadInfo,
};
use crate::warning::Warning;

/// How many bytes of load commands are read at most.
const LARGEST_COMMANDS: u64 = 64 << 20;

/// More load commands than any image has.
const LARGEST_IMAGE_HEADER: usize = 1 << 18;

/// The first bytes of Mach-O files of 64 bits, and of those that are no cores of today's Macs.
const MAGIC: &[u8] = b"\xcf\xfa\xed\xfe";
const OLD: [&[u8]; 3] = [b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf"];
const FAT: [&[u8]; 2] = [b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"];

/// How many architectures a file may have. A class file of Java starts like such a file, and has a larger number there.
const MOST_ARCHITECTURES: u32 = 40;

/// Whether a file that begins with `start` is a Mach-O file.
pub(super) fn is_macho(start: &[u8]) -> bool {
    start.starts_with(MAGIC) || OLD.iter().any(|magic| start.starts_with(magic)) || is_fat(start)
}

fn is_fat(start: &[u8]) -> bool {
    let count = Fields { bytes: start, order: ByteOrder::Big }.u32(4);
    FAT.iter().any(|magic| start.starts_with(magic)) && count.is_some_and(|count| count <= MOST_ARCHITECTURES)
}

/// Reads the core in `input`, whose name is `path`.
pub(super) fn read(path: &Path, input: &Input) -> Result<Dump, Failure> {
    let malformed = |problem: String| Failure::Malformed(problem);
    let mut bytes = vec![0; size_of::<MachHeader64<LittleEndian>>()];
    let read = input.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    if is_fat(&bytes) {
        return Err(malformed("holds several architectures: it is not a core".into()));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(malformed(
            "is a Mach-O file of an old Mac: only cores of 64 bits, for Intel and ARM, are read".into(),
        ));
    }
    let header = MachHeader64::<LittleEndian>::parse(&bytes[..], 0);
    let header = header.map_err(|_| malformed("is damaged: its header is cut".into()))?;
    if header.filetype.get(LittleEndian) != macho::MH_CORE {
        return Err(malformed("is a program or library, not a core: there is no process in it".into()));
    }
    let size = u64::from(header.sizeofcmds.get(LittleEndian));
    let room = input.room(bytes.len() as u64, size.min(LARGEST_COMMANDS))?;
    if size > room {
        let (size, room) = (grouped(size), grouped(room));
        return Err(malformed(format!(
            "is damaged: its header promises {size} bytes of load commands, the file has room for {room}"
        )));
    }
    let code_type = image::parse(&bytes, 0).and_then(|header| header.code_type);
    let mut all = vec![0; bytes.len() + size as usize];
    let read = input.read_at(&mut all, 0)?;
    all.truncate(read);
    let commands = Commands::parse(&all).map_err(malformed)?;
    let notes = Notes::read(input, &commands.notes)?;
    if commands.is_of_kernel || notes.is_of_kernel {
        return Err(malformed("is a dump of a kernel, not of a process".into()));
    }
    if commands.loads.is_empty() {
        return Err(malformed("is a core without memory regions".into()));
    }
    let core = Core {
        input,
        length: input.length()?,
        arch: code_type.and_then(TargetArch::from_code_type),
        code_type,
    };
    Ok(core.dump(path, &commands, notes))
}

/// A region and its bytes.
#[derive(Clone, Copy, Debug)]
struct Load {
    range: AddrRange,
    protection: Protection,
    max_protection: Protection,
    offset: u64,
    size: u64,
}

/// What the load commands say.
#[derive(Debug, Default)]
struct Commands {
    loads: Vec<Load>,
    impossible: u64,
    /// The threads' stack pointers, if their registers are known.
    threads: Vec<Option<u64>>,
    /// The notes: owner, place, size.
    notes: Vec<([u8; 16], u64, u64)>,
    is_of_kernel: bool,
}

impl Commands {
    /// Parses a header with its commands. The error is the rest of a sentence that starts with the name of the file.
    fn parse(bytes: &[u8]) -> Result<Commands, String> {
        let mut parsed = Commands::default();
        let broken = |number: usize| format!("is damaged: load command {number} is broken");
        let header = MachHeader64::<LittleEndian>::parse(bytes, 0).map_err(|_| broken(0))?;
        let commands = header.load_commands(LittleEndian, bytes, 0).map_err(|_| broken(0))?;
        let mut size = 0;
        let mut number = 0;
        for command in commands {
            let command = command.map_err(|_| broken(number))?;
            size += u64::from(command.cmdsize());
            if !command.cmdsize().is_multiple_of(8) {
                return Err(broken(number));
            }
            match command.cmd() {
                macho::LC_SEGMENT_64 => {
                    let Ok(Some((segment, _))) = command.segment_64() else { return Err(broken(number)) };
                    parsed.add_load(segment);
                }
                macho::LC_THREAD => {
                    let fields = Fields { bytes: command.raw_data(), order: ByteOrder::Little };
                    parsed.threads.push(stack_pointer(fields));
                }
                macho::LC_NOTE => {
                    let note: &NoteCommand<LittleEndian> = command.data().map_err(|_| broken(number))?;
                    let (offset, size) = (note.offset.get(LittleEndian), note.size.get(LittleEndian));
                    parsed.notes.push((note.data_owner, offset, size));
                }
                // Cores of kernels have it.
                macho::LC_IDENT => parsed.is_of_kernel = true,
                _ => {}
            }
            number += 1;
        }
        if size != u64::from(header.sizeofcmds.get(LittleEndian)) {
            return Err(broken(number));
        }
        parsed.loads.sort_by_key(|load| load.range.start());
        let mut end = 0;
        let before = parsed.loads.len();
        parsed.loads.retain(|load| {
            let is_possible = load.range.start() >= end;
            end = if is_possible { load.range.end() } else { end };
            is_possible
        });
        parsed.impossible += (before - parsed.loads.len()) as u64;
        Ok(parsed)
    }

    fn add_load(&mut self, segment: &macho::SegmentCommand64<LittleEndian>) {
        let number = |field: object::U64<LittleEndian>| field.get(LittleEndian);
        let protection = |flags: u32| Protection::from_rwx(flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        let (offset, size) = (number(segment.fileoff), number(segment.filesize));
        let range = AddrRange::with_size(number(segment.vmaddr), Bytes(number(segment.vmsize)));
        let range = range.filter(|range| size <= range.size().0 && offset.checked_add(size).is_some());
        match range {
            Some(range) if range.is_empty() => {}
            Some(range) => self.loads.push(Load {
                range,
                protection: protection(segment.initprot.get(LittleEndian).0),
                max_protection: protection(segment.maxprot.get(LittleEndian).0),
                offset,
                size,
            }),
            None => self.impossible += 1,
        }
    }
}

/// The stack pointer in a thread's states: pairs of a kind (flavor) and a number of 32-bit words, each with its words.
fn stack_pointer(command: Fields<'_>) -> Option<u64> {
    // x86_THREAD_STATE64 and ARM_THREAD_STATE64, with the number of words and the place of the stack pointer.
    const PLAIN: [(u32, u32, usize); 2] = [(4, 42, 7 * 8), (6, 68, 31 * 8)];
    // x86_THREAD_STATE and ARM_THREAD_STATE, which hold one of the above behind its kind and size.
    const UNIFIED: [u32; 2] = [7, 1];
    let plain = |kind: u32, count: u32, state: Fields<'_>| {
        let (_, _, place) = PLAIN.iter().find(|(known, words, _)| (*known, *words) == (kind, count))?;
        state.u64(*place)
    };
    let mut at = 8;
    while let (Some(kind), Some(count)) = (command.u32(at), command.u32(at + 4)) {
        let state = command.part(at + 8, (count as usize).checked_mul(4)?)?;
        let inner = || state.part(8, state.bytes.len().checked_sub(8)?);
        let found = match UNIFIED.contains(&kind) {
            true => inner().and_then(|inner| plain(state.u32(0)?, state.u32(4)?, inner)),
            false => plain(kind, count, state),
        };
        if found.is_some() {
            return found;
        }
        at += 8 + state.bytes.len();
    }
    None
}

struct Core<'a> {
    input: &'a Input,
    length: u64,
    arch: Option<TargetArch>,
    code_type: Option<&'static str>,
}

impl Core<'_> {
    fn dump(&self, path: &Path, commands: &Commands, notes: Notes) -> Dump {
        let mut warnings = notes.doubts;
        let segments = commands.loads.iter().filter_map(|load| {
            let range = AddrRange::with_size(load.range.start(), Bytes(load.size))?;
            Some(Segment { range, offset: load.offset })
        });
        let (segments, cut) = ordered(segments.collect(), self.length);
        if let Some(cut) = cut {
            let regions = times(cut.segments, "region lacks", "regions lack");
            let (there, needed) = (grouped(self.length), grouped(cut.needed));
            let cut =
                format!("the core is cut: {there} of {needed} bytes; {regions} memory; the map is whole");
            warnings.push(incomplete(cut));
        }
        if commands.impossible != 0 {
            let regions = times(commands.impossible, "region of the core is", "regions of the core are");
            warnings.push(Warning::Missing { why: format!("{regions} impossible and left out").into() });
        }
        let images = self.images(commands, &segments, notes.images);
        let page_size = self.page_size();
        let map = SegmentMap::new(&images, page_size.unwrap_or(PageSize::new(4096).expect("a power of two")));
        let regions = commands.loads.iter().map(region).flat_map(|region| map.cut(region, None)).collect();
        let origin = Origin::Capture { path: path.to_owned(), format: CaptureFormat::Core };
        let mut source = SourceInfo::new(origin, "macos", Capabilities::of_capture(Detail::Layout));
        source.arch = self.arch;
        source.page_size = page_size;
        let process = self.process(commands, &images, &notes.thread_ids);
        let mut map = MemoryMap::new(source, process, Detail::Layout, regions);
        map.warnings = warnings;
        Dump { map, segments }
    }

    fn page_size(&self) -> Option<PageSize> {
        match self.arch?.machine {
            Machine::Arm64 => PageSize::new(16384),
            _ => PageSize::new(4096),
        }
    }

    fn process(&self, commands: &Commands, images: &[LoadedImage], ids: &[u64]) -> ProcessInfo {
        let mut process = ProcessInfo::default();
        let program = images.first().map(|loaded| &loaded.image.path).filter(|path| !path.is_empty());
        process.name = program.and_then(|path| path.rsplit(|byte| *byte == b'/').next()).map(Into::into);
        process.path = program.cloned();
        process.code_type = self.code_type.map(Into::into);
        process.load_address = images.first().map(|loaded| loaded.image.load_address);
        process.images = images.iter().map(|loaded| loaded.image.clone()).collect();
        let numbers = (1..).map(|number| ids.get(number as usize - 1).copied().unwrap_or(number));
        let threads = numbers.zip(&commands.threads);
        process.threads = threads
            .map(|(id, stack_pointer)| ThreadInfo { stack_pointer: *stack_pointer, ..ThreadInfo::new(id) })
            .collect();
        process
    }

    /// The images: those that the core lists, else those whose headers begin a region. The program comes first.
    fn images(
        &self,
        commands: &Commands,
        segments: &[Segment],
        listed: Option<Vec<Image>>,
    ) -> Vec<LoadedImage> {
        let is_listed = listed.is_some();
        let candidates = listed.unwrap_or_else(|| {
            let image = |load: &Load| Image {
                path: Box::default(),
                load_address: load.range.start(),
                segments: Vec::new(),
            };
            commands.loads.iter().map(image).collect()
        });
        let mut images: Vec<(bool, LoadedImage)> = Vec::new();
        for mut listed in candidates {
            let bytes = self.image_header(segments, listed.load_address);
            let header = bytes.as_deref().and_then(|bytes| image::parse(bytes, listed.load_address));
            match header {
                Some(header) => {
                    if listed.path.is_empty() {
                        listed.path = bytes.as_deref().and_then(image::install_name).unwrap_or_default();
                    }
                    listed.segments = header.segments.clone();
                    let is_program = bytes.as_deref().and_then(|bytes| image::word(bytes, 12))
                        == Some(macho::MH_EXECUTE.0);
                    images.push((is_program, LoadedImage { image: listed, header }));
                }
                // Its header was not written. A list says where segments begin.
                None if is_listed => {
                    whole_regions(&mut listed, &commands.loads);
                    let header = image::MachHeader {
                        code_type: None,
                        platform: None,
                        is_in_shared_cache: false,
                        segments: listed.segments.clone(),
                    };
                    images.push((false, LoadedImage { image: listed, header }));
                }
                None => {}
            }
        }
        images.sort_by_key(|(is_program, _)| !is_program);
        images.into_iter().map(|(_, image)| image).collect()
    }

    /// The header of the image that is loaded at an address, if the core has it.
    fn image_header(&self, segments: &[Segment], address: u64) -> Option<Vec<u8>> {
        let after = segments.partition_point(|segment| segment.range.end() <= address);
        let segment = segments.get(after).filter(|segment| segment.range.contains(address))?;
        let read = |size: usize| -> io::Result<Vec<u8>> {
            let there = (segment.range.end() - address).min(size as u64);
            let mut bytes = vec![0; there as usize];
            let read = self.input.read_at(&mut bytes, segment.offset + (address - segment.range.start()))?;
            bytes.truncate(read);
            Ok(bytes)
        };
        let size = image::total_size(&read(image::HEADER_SIZE).ok()?)?.min(LARGEST_IMAGE_HEADER);
        read(size).ok()
    }
}

/// Keeps the segments that begin where a region begins, each with the range of that region.
fn whole_regions(image: &mut Image, loads: &[Load]) {
    image.segments.retain_mut(|(_, range)| {
        let place = loads.binary_search_by_key(&range.start(), |load| load.range.start());
        *range = place.map_or(*range, |place| loads[place].range);
        place.is_ok()
    });
}

fn region(load: &Load) -> Region {
    let native = MacosRegion { lacks_tag: true, ..MacosRegion::default() };
    let mut region =
        Region::new(load.range, load.protection, ShareMode::Unknown, Native::Macos(Box::new(native)));
    // lldb writes the current protection twice.
    region.max_protection = (load.max_protection != load.protection).then_some(load.max_protection);
    region
}

#[cfg(test)]
mod tests;
