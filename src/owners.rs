//! Whose memory it is, by evidence in the memory itself: one file for each allocator or runtime.
//!
//! A [`Recognizer`] reads structures in the target's memory through [`Target`] and makes claims: ranges, often parts of
//! regions, with an owner and a kind. What it reads is hostile: it checks each pointer against the map, bounds each list, and
//! drops a claim that contradicts itself. It reads resident pages only, and never stops the target.

mod beam;
mod claims;
mod cppgc;
mod cpython;
mod dotnet;
mod elf;
mod glibc_malloc;
mod glibc_threads;
mod go;
mod hotspot;
mod images;
mod jemalloc;
mod luajit;
mod mimalloc;
mod musl_malloc;
mod musl_threads;
mod partition_alloc;
mod php;
mod postgres;
mod radix;
mod residency;
mod ruby;
mod target;
mod tcmalloc;
#[cfg(test)]
mod tests;
mod v8;

use std::time::Instant;

use mmview_platform::{
    Bytes, Detail, Error, Evidence, Findings, MemoryMap, Piece, Protection, Region, RegionSource, Result,
    Warning,
};

use claims::Claims;
use images::Images;
use target::Target;

/// Knows one allocator or runtime.
trait Recognizer {
    /// Whether the images and the map allow that the target uses it. Reads no memory.
    fn may_apply(&self, target: &Target<'_>) -> bool;

    /// Claims what belongs to it, and reports what is allocated in it.
    ///
    /// # Errors
    ///
    /// The memory can't be read at all: not permitted, or the process is gone.
    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()>;
}

/// How many of the largest blocks each zone lists, unless asked for another number.
const LARGEST: usize = 10;

/// What to look for in the target's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// How far to go: the memory is read only with [`Evidence::Memory`].
    pub level: Evidence,
    /// How many of the largest blocks of each zone to list.
    pub largest: usize,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted::up_to(Evidence::Memory)
    }
}

impl Wanted {
    /// The usual, as far as `level`.
    pub const fn up_to(level: Evidence) -> Wanted {
        Wanted { level, largest: LARGEST }
    }
}

/// Whether the memory of a target can show whose it is: there is a recognizer for its system, and the source has memory.
fn can_inspect(source: &dyn RegionSource) -> bool {
    source.info().os == "linux" && source.info().capabilities.memory
}

/// Reads the target's memory and adds to `map` whose it is. Leaves a map alone whose source has no memory: an archive has what
/// was found once.
///
/// If the memory may not be read, that becomes a warning.
///
/// # Errors
///
/// [`Error::Replaced`] if the process has started another program since the map was read.
pub(crate) fn inspect(map: &mut MemoryMap, source: &dyn RegionSource, wanted: Wanted) -> Result<()> {
    if wanted.level < Evidence::Memory {
        map.findings = Findings::default();
        return Ok(());
    }
    if !can_inspect(source) {
        return Ok(());
    }
    let Some(memory) = source.memory() else { return Ok(()) };
    let Some(first) = map.regions.first().map(|region| region.range.start()) else { return Ok(()) };
    // A refusal shows at the first read.
    let permitted = memory.read(&mut [Piece::new(first, &mut [0])]);
    let Some(arch) = map.source.arch else {
        map.warnings.extend(permitted.err().as_ref().map(refused));
        return Ok(());
    };
    let began = Instant::now();
    let before = memory.cost();
    let images = Images::find(&map.regions, memory.as_ref(), arch, map.source.page_size);
    images.describe(&mut map.regions);
    let reserves = take_unknown_for_reserves(&mut map.regions);
    let target = Target::new(map, memory.as_ref(), arch, images);
    let mut claims = Claims::new(&map.regions, target.page());
    target.images.claim(&mut claims);
    let recognized = permitted.and_then(|()| recognize(&target, &mut claims, wanted));
    if claims.count(&target, map.detail).is_err() {
        claims.keep_whole();
    }
    let result = recognized.and_then(|()| memory.verify());
    let after = memory.cost();
    map.findings = claims.finish();
    for place in reserves {
        map.regions[place].protection = Protection::UNKNOWN;
    }
    // A dump without holes has pages that the process did not have.
    if map.source.is_dump() && map.detail < Detail::Resident {
        map.findings.zones.iter_mut().for_each(|zone| zone.trimmable = None);
    }
    let inspection = map.findings.inspection.get_or_insert_default();
    inspection.calls += after.calls - before.calls;
    inspection.bytes += Bytes(after.bytes - before.bytes);
    inspection.microseconds += u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    match result {
        Ok(()) => {}
        // The map is that of another program.
        Err(error @ Error::Replaced { .. }) => return Err(error),
        // The last of it may be the memory of another process.
        Err(Error::Vanished { .. } | Error::Zombie { .. } | Error::NoSuchProcess { .. }) => {
            map.findings = Findings::default();
        }
        Err(error) => map.warnings.push(refused(&error)),
    }
    Ok(())
}

/// Takes unnamed memory of unknown protection for memory without access, and returns its places. gdb's cores don't say which
/// of the memory that can't be written can be read; allocators have almost only reserves of address space there.
fn take_unknown_for_reserves(regions: &mut [Region]) -> Vec<usize> {
    let is_unknown = |region: &Region| region.is_unnamed() && !region.protection.is_known();
    let places: Vec<usize> = (0..regions.len()).filter(|place| is_unknown(&regions[*place])).collect();
    for place in &places {
        regions[*place].protection = Protection::NONE;
    }
    places
}

fn recognize(target: &Target<'_>, claims: &mut Claims<'_>, wanted: Wanted) -> Result<()> {
    for recognizer in all(wanted).iter_mut().filter(|recognizer| recognizer.may_apply(target)) {
        recognizer.recognize(target, claims)?;
    }
    Ok(())
}

/// Adds to `map` what every recognizer finds in `memory`, even those that would not apply. For tests and `fuzz/`.
#[cfg(any(test, fuzzing))]
pub fn recognize_all(map: &mut MemoryMap, memory: &dyn mmview_platform::Memory) -> Result<()> {
    let Some(arch) = map.source.arch else { return Ok(()) };
    let images = Images::find(&map.regions, memory, arch, map.source.page_size);
    let target = Target::new(map, memory, arch, images);
    let mut claims = Claims::new(&map.regions, target.page());
    for recognizer in &mut all(Wanted::default()) {
        recognizer.recognize(&target, &mut claims)?;
    }
    claims.count(&target, map.detail)?;
    map.findings = claims.finish();
    Ok(())
}

/// Every recognizer, those with the strongest proof first: what one has claimed, the next ones leave alone.
fn all(wanted: Wanted) -> Vec<Box<dyn Recognizer>> {
    vec![
        Box::new(glibc_threads::GlibcThreads),
        Box::new(musl_threads::MuslThreads),
        Box::new(hotspot::HotSpot::new(wanted)),
        Box::new(go::Go),
        Box::new(v8::V8),
        Box::new(cppgc::CppGc),
        Box::new(partition_alloc::PartitionAlloc),
        Box::new(php::Php),
        Box::new(ruby::Ruby),
        Box::new(cpython::CPython),
        Box::new(postgres::Postgres),
        Box::new(jemalloc::Jemalloc::new(wanted)),
        Box::new(mimalloc::Mimalloc::new(wanted)),
        Box::new(tcmalloc::Tcmalloc::new(wanted)),
        Box::new(musl_malloc::MuslMalloc::new(wanted)),
        Box::new(dotnet::DotNet),
        Box::new(beam::Beam),
        Box::new(luajit::LuaJit::new(wanted)),
        // Its mapped blocks have the weakest proof.
        Box::new(glibc_malloc::GlibcMalloc::new(wanted)),
    ]
}

/// The warning for a memory that may not be read.
fn refused(error: &Error) -> Warning {
    let mut why = error.to_string();
    if let Error::NotPermitted { hints, .. } = error
        && let Some(hint) = hints.first()
    {
        why = format!("{why} ({hint})");
    }
    Warning::NoMemory { why }
}
