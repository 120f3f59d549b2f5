//! The regions of a core, with the names that its notes prove.

use super::headers::Load;
use super::notes::{MappedFile, Notes};
use crate::linux::names;
use crate::model::{
    AddrRange, Device, LinuxRegion, Machine, Name, NameKind, Native, Protection, Region, ShareMode,
    TargetArch,
};

/// Where x86-64 always has this page.
const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;

/// Builds the regions, ordered by address. `peek` reads from a place in the file, as much as there is.
pub(super) fn regions(
    loads: &[Load],
    notes: &Notes,
    arch: TargetArch,
    peek: impl Fn(u64, &mut [u8]) -> usize,
) -> Vec<Region> {
    let files = notes.files.as_deref().unwrap_or_default();
    let named = |address| {
        let after = files.partition_point(|file| file.range.end() <= address);
        files.get(after).filter(|file| file.range.contains(address))
    };
    let lists_files = notes.files.is_some();
    let mut regions: Vec<Region> = loads
        .iter()
        .map(|load| {
            let file = named(load.range.start()).filter(|file| load.range.within(file.range));
            region(load.range, load.protection, file, lists_files)
        })
        .collect();
    name_by_addresses(&mut regions, notes, arch);
    if notes.is_by_gdb {
        regions.iter_mut().for_each(doubt_reading);
    }
    if let Some(heap) = heap(loads, &regions, notes, arch, peek) {
        regions[heap].name = Some(Name::new(NameKind::Kernel, *b"[heap]"));
    }
    // What gdb leaves out is still in the list of files.
    regions.extend(
        uncovered(loads, files).map(|(range, file)| region(range, Protection::UNKNOWN, Some(file), true)),
    );
    regions.sort_by_key(|region| region.range.start());
    regions
}

fn region(range: AddrRange, protection: Protection, file: Option<&MappedFile>, lists_files: bool) -> Region {
    let native =
        LinuxRegion { lacks_offset: !lists_files, lacks_name: !lists_files, ..LinuxRegion::default() };
    let parsed = file.and_then(|file| names::parse_exact(&file.name, Device::default()));
    let name = parsed.map(|parsed| parsed.name);
    let share = match &name {
        Some(name) if is_shared(name) => ShareMode::Shared,
        // Shared anonymous memory is in the list, as `/dev/zero`.
        None if lists_files => ShareMode::Private,
        _ => ShareMode::Unknown,
    };
    let mut region = Region::new(range, protection, share, Native::Linux(Box::new(native)));
    region.offset = file.map_or(0, |file| file.offset.saturating_add(range.start() - file.range.start()));
    region.name = name;
    region
}

/// gdb marks all memory as readable. Memory without a file, and the page for old system calls, often isn't, so of these the
/// protection is unknown unless they are for writing.
fn doubt_reading(region: &mut Region) {
    let is_doubtful = match &region.name {
        Some(name) => name.bytes() == b"[vsyscall]",
        None => !region.protection.is_executable(),
    };
    if is_doubtful && !region.protection.is_writable() {
        region.protection = Protection::UNKNOWN;
    }
}

/// Whether only shared memory has this name. A core does not say it of other files.
fn is_shared(name: &Name) -> bool {
    let is_object = |prefix| name.kind() == NameKind::MemoryObject && name.bytes().starts_with(prefix);
    is_object(b"/dev/zero")
        || is_object(b"/memfd:")
        || is_object(b"/SYSV")
        || (name.is_file() && name.bytes().starts_with(b"/dev/shm/"))
}

/// Names what the auxiliary vector points to: the stack, and the pages that the kernel maps into every process.
fn name_by_addresses(regions: &mut [Region], notes: &Notes, arch: TargetArch) {
    name_at(regions, notes.addresses.program_name, b"[stack]");
    name_at(regions, (arch.machine == Machine::X86_64).then_some(VSYSCALL), b"[vsyscall]");
    let vdso = name_at(regions, notes.addresses.vdso, b"[vdso]");
    // The kernel maps its variables right below the vDSO: one region, or two since Linux 6.13.
    let Some(vdso) = vdso else { return };
    let is_below = |place: usize| {
        let (region, above) = (&regions[place], &regions[place + 1]);
        region.is_unnamed()
            && region.protection == Protection::READ
            && region.range.end() == above.range.start()
    };
    let count = (0..vdso).rev().take_while(|place| is_below(*place)).take(2).count();
    let names: &[&[u8]] = if count == 2 { &[b"[vvar]", b"[vvar_vclock]"] } else { &[b"[vvar]"] };
    for (region, name) in regions[vdso - count..vdso].iter_mut().zip(names) {
        region.name = Some(Name::new(NameKind::Kernel, *name));
    }
}

/// Gives the unnamed region at `address` a name, and returns its place.
fn name_at(regions: &mut [Region], address: Option<u64>, name: &'static [u8]) -> Option<usize> {
    let address = address?;
    let place = regions.partition_point(|region| region.range.end() <= address);
    let region = regions.get_mut(place)?;
    if !region.range.contains(address) || !region.is_unnamed() {
        return None;
    }
    region.name = Some(Name::new(NameKind::Kernel, name));
    Some(place)
}

/// The path of the program: the file that holds its program headers.
pub(super) fn program(notes: &Notes) -> Option<&MappedFile> {
    let headers = notes.addresses.program_headers?;
    notes.files.iter().flatten().find(|file| file.range.contains(headers))
}

/// The region that the kernel calls the heap: the first of anonymous memory above the program that begins with a block of
/// glibc's malloc. A core does not say where the heap is, so without that proof there is none.
fn heap(
    loads: &[Load],
    regions: &[Region],
    notes: &Notes,
    arch: TargetArch,
    peek: impl Fn(u64, &mut [u8]) -> usize,
) -> Option<usize> {
    let program = program(notes)?;
    let end =
        notes.files.iter().flatten().filter(|file| file.name == program.name).map(|file| file.range.end());
    let end = end.max()?;
    let above = loads.iter().zip(regions).enumerate().skip_while(|(_, (load, _))| load.range.start() < end);
    let anonymous = above.take_while(|(_, (_, region))| region.is_unnamed());
    let starts_with_block = |load: &Load| {
        let mut start = [0; 16];
        let read = peek(load.offset, &mut start[..16.min(load.size) as usize]);
        is_block(&start[..read], arch, load.range.size().0)
    };
    let is_heap = |load: &Load| load.protection == READ_WRITE && starts_with_block(load);
    anonymous.into_iter().find(|(_, (load, _))| is_heap(load)).map(|(place, _)| place)
}

const READ_WRITE: Protection = Protection::READ.with(Protection::WRITE);

/// Whether memory begins with a block of glibc's malloc in use: no size of a block before it, its own size, and the mark that
/// the memory before it is not free.
fn is_block(start: &[u8], arch: TargetArch, region_size: u64) -> bool {
    const FLAGS: u64 = 7;
    const IN_USE: u64 = 1;
    let word = arch.word_size.0 as usize;
    let words: Vec<u64> = start.chunks_exact(word).map(|bytes| arch.number(bytes)).collect();
    let is_header = |words: &[u64]| {
        let &[before, size, ..] = words else { return false };
        let size_only = size & !FLAGS;
        before == 0 && size & FLAGS == IN_USE && size_only >= 4 * word as u64 && size_only < region_size
    };
    // Blocks are aligned to 16 bytes on 32-bit x86, so the first header is at 8.
    is_header(&words) || (word == 4 && words.get(..2) == Some(&[0, 0]) && is_header(&words[2..]))
}

/// The parts of mapped files that no region covers.
fn uncovered<'a>(
    loads: &[Load],
    files: &'a [MappedFile],
) -> impl Iterator<Item = (AddrRange, &'a MappedFile)> {
    let mut parts = Vec::new();
    for file in files {
        let first = loads.partition_point(|load| load.range.end() <= file.range.start());
        let mut start = file.range.start();
        for load in loads[first..].iter().take_while(|load| load.range.start() < file.range.end()) {
            parts.extend(AddrRange::new(start, load.range.start()).map(|part| (part, file)));
            start = load.range.end();
        }
        parts.extend(AddrRange::new(start, file.range.end()).map(|part| (part, file)));
    }
    parts.into_iter().filter(|(part, _)| !part.is_empty())
}
