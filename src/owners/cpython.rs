//! CPython 3.8 to 3.15 with pymalloc, its allocator for objects: arenas of pools of blocks.
//!
//! `Objects/obmalloc.c` and `Include/internal/pycore_obmalloc.h` document the layout. No symbol is needed: pools have a header
//! that contradicts itself almost anywhere else, their lists lead to the allocator's own tables, and these to every arena. The
//! figures are those of `sys._debugmallocstats()`.

mod pools;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use mmview_platform::{AddrRange, Bytes, Claim, FactValue, Result, Runtime, SizeClass, Zone};

use super::Recognizer;
use super::claims::Claims;
use super::images::Image;
use super::target::{Target, is_plain};
use crate::kind::RegionKind;
use pools::Tally;
use state::Allocator;

/// The name of the owner.
const OWNER: &str = "CPython";

/// The name of the type of its arenas in tables, and of the zone of the main interpreter's.
const ARENAS: &str = "CPython arenas";

/// The symbol that every build exports since 3.7.
const RUNTIME: &str = "_PyRuntime";

/// What the runtime's state begins with since 3.13, before the version (`Include/internal/pycore_debug_offsets.h`).
const COOKIE: &[u8; 8] = b"xdebugpy";

/// CPython.
pub(super) struct CPython;

impl Recognizer for CPython {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && target.images.exporting(RUNTIME).next().is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        if target.word != 8 {
            return Ok(());
        }
        let allocators = Allocator::find_all(target, claims)?;
        let mut runtime = runtime(target)?;
        if let Some(runtime) = &mut runtime {
            add_facts(runtime, &allocators);
        }
        for (index, allocator) in allocators.iter().enumerate() {
            let name = match index {
                0 => ARENAS.to_owned(),
                index => format!("{ARENAS} {}", index + 1),
            };
            inspect(target, claims, allocator, name.into())?;
        }
        runtime.into_iter().for_each(|runtime| claims.runtime(runtime));
        Ok(())
    }
}

/// Claims the arenas of an allocator, and counts the blocks in them.
fn inspect(
    target: &Target<'_>,
    claims: &mut Claims<'_>,
    allocator: &Allocator,
    name: Arc<str>,
) -> Result<()> {
    let tally = Tally::count(target, allocator)?;
    for group in allocator.arenas.chunk_by(|one, other| one.range.end() == other.range.start()) {
        let range = group.iter().map(|arena| arena.range).reduce(AddrRange::hull);
        let note = match group.len() {
            1 => "1 arena".to_owned(),
            count => format!("{count} arenas"),
        };
        if let Some(range) = range {
            let claim =
                Claim::new(range, OWNER, RegionKind::Malloc.id()).title(ARENAS).zone(&name).note(note);
            claims.add(&claim, is_plain);
        }
    }
    claims.zone(zone(allocator, tally, name));
    Ok(())
}

fn zone(allocator: &Allocator, tally: Tally, name: Arc<str>) -> Zone {
    let mut zone = Zone::new(OWNER, name);
    let classes = || tally.classes.iter().filter(|class| class.used > 0);
    zone.allocations = Some(classes().map(|class| class.used).sum());
    zone.allocated = Some(classes().map(|class| Bytes(class.used * class.size)).sum());
    zone.free = Some(Bytes(tally.free_bytes + tally.unused_pools * allocator.geometry.pool));
    zone.free_blocks = Some(tally.free_blocks);
    // Objects that the interpreter keeps for reuse are blocks in use.
    zone.cached = Some(Bytes::ZERO);
    zone.cached_blocks = Some(0);
    zone.sizes = classes()
        .map(|class| SizeClass::new(Bytes(class.size), class.used, Bytes(class.used * class.size)))
        .collect();
    zone.doubts = allocator.doubts.iter().cloned().chain(tally.doubts()).map(Into::into).collect();
    zone
}

/// The runtime and its version.
fn runtime(target: &Target<'_>) -> Result<Option<Runtime>> {
    let Some((image, address)) = target.images.exporting(RUNTIME).next() else { return Ok(None) };
    let state = target.bytes(address, 24)?;
    let number = |offset: u64| target.u64_in(&state, offset);
    let has_cookie = state.starts_with(COOKIE);
    let version = match number(8).filter(|_| has_cookie) {
        Some(version) => u32::try_from(version).ok().map(version_name),
        None => version_of(target, image),
    };
    let name = match version.or_else(|| version_by_name(image.file_name())) {
        Some(version) => format!("CPython {version}"),
        None => OWNER.to_owned(),
    };
    let mut runtime = Runtime::new(OWNER, name);
    if has_cookie && number(16) == Some(1) {
        runtime = runtime.fact("build", FactValue::Text("free-threaded".into()));
    }
    Ok(Some(runtime))
}

/// The version that a constant of 3.11 and later has.
fn version_of(target: &Target<'_>, image: &Image) -> Option<String> {
    let address = target.images.exporting("Py_Version").find(|(other, _)| std::ptr::eq(*other, image))?.1;
    let mut bytes = [0; 4];
    image.constant(address, &mut bytes)?;
    target.u32_in(&bytes, 0).map(version_name)
}

/// The name of a version that is written as in `PY_VERSION_HEX`.
fn version_name(version: u32) -> String {
    let [major, minor, micro, level] = version.to_be_bytes();
    let stage = match level >> 4 {
        0xa => "a",
        0xb => "b",
        0xc => "rc",
        _ => return format!("{major}.{minor}.{micro}"),
    };
    format!("{major}.{minor}.{micro}{stage}{}", level & 15)
}

/// The version in the name of a file, such as `python3.8` or `libpython3.8.so.1.0`.
fn version_by_name(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let (_, version) = name.split_once("python")?;
    let (major, rest) = version.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (major == "3" && !minor.is_empty()).then(|| format!("3.{minor}"))
}

/// Adds what the allocators' tables record.
fn add_facts(runtime: &mut Runtime, allocators: &[Allocator]) {
    let mut add = |label, value: Option<u64>| {
        runtime.facts.extend(value.map(|value| (label, FactValue::Count(value))));
    };
    let sum = |of: fn(&Allocator) -> Option<u64>| {
        allocators.iter().map(of).try_fold(0_u64, |sum, more| Some(sum.saturating_add(more?)))
    };
    if allocators.is_empty() {
        return;
    }
    add("arenas".into(), sum(|allocator| Some(allocator.arenas.len() as u64)));
    add("largest number of arenas so far".into(), sum(|allocator| Some(allocator.counters?.most)));
    add("blocks of malloc".into(), sum(|allocator| Some(allocator.counters?.raw_blocks)));
}
