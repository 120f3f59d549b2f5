//! The regions of a minidump.

use super::super::Segment;
use super::streams::{MemoryInfo, Module, Platform, System};
use crate::linux::names;
use crate::model::{
    AddrRange, Device, LinuxRegion, MacosRegion, Name, Native, Protection, Region, ShareMode, WindowsMemory,
    WindowsRegion,
};

const COMMITTED: u32 = 0x1000;
const RESERVED: u32 = 0x2000;

const NO_ACCESS: u32 = 0x01;
const READ_ONLY: u32 = 0x02;
const READ_WRITE: u32 = 0x04;
const WRITE_COPY: u32 = 0x08;
const EXECUTE: u32 = 0x10;
const EXECUTE_READ: u32 = 0x20;
const EXECUTE_READ_WRITE: u32 = 0x40;
const EXECUTE_WRITE_COPY: u32 = 0x80;
const GUARD: u32 = 0x100;

/// The regions of a whole list, in order, and how many contradict themselves or others.
pub fn whole(infos: &[MemoryInfo], system: &System, modules: &[Module]) -> (Vec<Region>, u64) {
    let mut infos: Vec<&MemoryInfo> =
        infos.iter().filter(|info| matches!(info.state, COMMITTED | RESERVED)).collect();
    infos.sort_by_key(|info| info.range.map(AddrRange::start));
    let modules = by_address(modules);
    let mut regions: Vec<Region> = Vec::new();
    let mut impossible = 0;
    for info in infos {
        let end = regions.last().map_or(0, |region| region.range.end());
        match info.range.filter(|range| range.start() >= end) {
            Some(range) if range.is_empty() => {}
            Some(range) => {
                let module = module_of(&modules, range, info, system, regions.last());
                regions.push(region(range, info, system, module));
            }
            None => impossible += 1,
        }
    }
    (regions, impossible)
}

fn by_address(modules: &[Module]) -> Vec<&Module> {
    let mut modules: Vec<&Module> = modules.iter().collect();
    modules.sort_by_key(|module| module.range.start());
    modules
}

/// The module that a region is a part of. `before` is the region before it.
fn module_of<'a>(
    modules: &[&'a Module],
    range: AddrRange,
    info: &MemoryInfo,
    system: &System,
    before: Option<&Region>,
) -> Option<&'a Module> {
    let after = modules.partition_point(|module| module.range.start() <= range.start());
    let module = modules[..after].last().filter(|module| range.within(module.range))?;
    let is_private = WindowsMemory::from_number(info.kind) == Some(WindowsMemory::Private);
    let is_part = match system.platform {
        // Zero-initialized data follows the data of the file, and is no part of it.
        Platform::Linux | Platform::Android => {
            let is_data = |protection: Protection| protection.is_writable();
            let is_same = |before: &Region| before.range.start() >= module.range.start();
            !is_data(protection(info.protection))
                || !before.is_some_and(|before| is_same(before) && is_data(before.protection))
        }
        _ => !is_private,
    };
    is_part.then_some(*module)
}

fn region(range: AddrRange, info: &MemoryInfo, system: &System, module: Option<&Module>) -> Region {
    let memory = WindowsMemory::from_number(info.kind);
    let is_reserved = info.state == RESERVED;
    let share = match (info.protection & !GUARD, memory) {
        (WRITE_COPY | EXECUTE_WRITE_COPY, _) => ShareMode::CopyOnWrite,
        (_, Some(WindowsMemory::Mapped)) => ShareMode::Shared,
        (_, Some(WindowsMemory::Private | WindowsMemory::Image)) => ShareMode::Private,
        _ => ShareMode::Unknown,
    };
    let protection = if is_reserved { Protection::NONE } else { protection(info.protection) };
    let facts = WindowsRegion {
        memory,
        is_reserved,
        is_guard: info.protection & GUARD != 0,
        allocation: (info.allocation != 0).then_some(info.allocation),
    };
    let mut region = Region::new(range, protection, share, native(system, module, facts));
    region.name = module.and_then(name);
    region
}

/// What Windows calls a protection (`VirtualAlloc`), as the accesses that it allows.
fn protection(number: u32) -> Protection {
    let (read, write, execute) = match number & 0xff {
        NO_ACCESS => (false, false, false),
        READ_ONLY => (true, false, false),
        READ_WRITE | WRITE_COPY => (true, true, false),
        EXECUTE => (false, false, true),
        EXECUTE_READ => (true, false, true),
        EXECUTE_READ_WRITE | EXECUTE_WRITE_COPY => (true, true, true),
        _ => return Protection::UNKNOWN,
    };
    Protection::from_rwx(read, write, execute)
}

/// What is known of a map without a list of it: where modules are, and memory that is in the dump.
pub fn part(system: &System, modules: &[Module], segments: &[Segment]) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for module in by_address(modules) {
        let end = regions.last().map_or(0, |region| region.range.end());
        let Some(range) = module.range.from_address(end) else { continue };
        let facts = WindowsRegion { memory: Some(WindowsMemory::Image), ..WindowsRegion::default() };
        let native = native(system, Some(module), facts);
        let mut region = Region::new(range, Protection::UNKNOWN, ShareMode::Unknown, native);
        region.name = name(module);
        regions.push(region);
    }
    let images: Vec<AddrRange> = regions.iter().map(|region| region.range).collect();
    for range in joined(segments) {
        let mut start = range.start();
        let first = images.partition_point(|image| image.end() <= start);
        let inside = images[first..].iter().take_while(|image| image.start() < range.end());
        let mut parts: Vec<AddrRange> = Vec::new();
        for image in inside {
            parts.extend(AddrRange::new(start, image.start()));
            start = image.end();
        }
        parts.extend(AddrRange::new(start, range.end()));
        regions.extend(parts.into_iter().filter(|part| !part.is_empty()).map(|part| {
            Region::new(
                part,
                Protection::UNKNOWN,
                ShareMode::Unknown,
                native(system, None, WindowsRegion::default()),
            )
        }));
    }
    regions.sort_by_key(|region| region.range.start());
    regions
}

/// The ranges of memory, joined where they touch.
fn joined(segments: &[Segment]) -> Vec<AddrRange> {
    let mut ranges: Vec<AddrRange> = Vec::new();
    for segment in segments {
        match ranges.last_mut() {
            Some(last) if last.end() == segment.range.start() => *last = last.hull(segment.range),
            _ => ranges.push(segment.range),
        }
    }
    ranges
}

/// The facts that only the system of the process has.
fn native(system: &System, module: Option<&Module>, facts: WindowsRegion) -> Native {
    match system.platform {
        Platform::Linux | Platform::Android => {
            let build_id = module.and_then(|module| module.build_id.as_deref()).map(Into::into);
            Native::Linux(Box::new(LinuxRegion {
                lacks_offset: true,
                lacks_name: module.is_none(),
                build_id,
                ..LinuxRegion::default()
            }))
        }
        Platform::MacOs => Native::Macos(Box::new(MacosRegion { lacks_tag: true, ..MacosRegion::default() })),
        Platform::Windows | Platform::Other => Native::Windows(Box::new(facts)),
    }
}

fn name(module: &Module) -> Option<Name> {
    let path = module.name.as_deref()?.as_bytes();
    // The names of modules on Linux are those of maps. Some are labels, such as `[vdso]`.
    let parsed = path.starts_with(b"[").then(|| names::parse_exact(path, Device::default())).flatten();
    Some(parsed.map_or_else(|| Name::file(path), |parsed| parsed.name))
}
