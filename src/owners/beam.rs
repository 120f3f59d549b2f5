//! Erlang's virtual machine (BEAM): the carriers of its allocators, and the code that its compiler makes.
//!
//! `erts/emulator/beam/erl_alloc_util.c` documents carriers (`Carrier_t`) and the records of allocators (`Allctr_t`). No symbol
//! is needed: each carrier names its allocator, the allocator has a name, and their lists lead back. The sizes are those of
//! `erlang:system_info({allocator, Name})`. Carriers that malloc gave stay blocks of malloc.

mod carriers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use mmview_platform::{AddrRange, Bytes, Claim, FactValue, Region, Result, Runtime, Zone};

use super::Recognizer;
use super::claims::Claims;
use super::images::Image;
use super::target::{Target, is_plain};
use crate::kind::RegionKind;
use carriers::{Carrier, Carriers};

/// The name of the owner.
const OWNER: &str = "Erlang";

/// What the names of its programs begin with: `beam.smp`, `beam.debug.smp`.
const PROGRAM: &[u8] = b"beam.";

/// What the directory of a version begins with.
const VERSION: &str = "erts-";

/// The file in memory that holds code, once to write and once to run.
const CODE: &[u8] = b"/memfd:vmem";

/// Erlang's virtual machine.
pub(super) struct Beam;

impl Recognizer for Beam {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        target.word == 8 && program(target).is_some()
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        let Some(program) = program(target).filter(|_| target.word == 8) else { return Ok(()) };
        for region in target.regions.iter().filter(|region| is_code(region)) {
            let code = Claim::new(region.range, OWNER, RegionKind::JitCode.id()).title("Erlang code");
            claims.add(&code, is_code);
        }
        let found = Carriers::find(target, claims, program)?;
        let mut zones: BTreeMap<&str, Vec<&Carrier>> = BTreeMap::new();
        for carrier in found.carriers.iter().filter(|carrier| carrier.is_mapped) {
            zones.entry(&carrier.allocator).or_default().push(carrier);
        }
        for (allocator, carriers) in &zones {
            report(claims, allocator, carriers, found.changed);
        }
        for range in &found.cached {
            // New mappings are empty: whatever holds the header of a carrier has been Erlang's ever since.
            let cached = Claim::new(*range, OWNER, RegionKind::Malloc.id()).title("Erlang cache");
            claims.add(&cached.note("freed carriers, kept for reuse"), is_plain);
        }
        let sum = |is_mapped: bool| {
            let carriers = found.carriers.iter().filter(|carrier| carrier.is_mapped == is_mapped);
            FactValue::Size(carriers.map(|carrier| carrier.range.size()).sum())
        };
        let mut runtime = Runtime::new(OWNER, name(program));
        if !found.carriers.is_empty() {
            runtime = runtime
                .fact("carriers", FactValue::Count(found.carriers.len() as u64))
                .fact("mapped carriers", sum(true))
                .fact("carriers from malloc", sum(false));
        }
        claims.runtime(runtime);
        Ok(())
    }
}

/// Claims the carriers of an allocator.
fn report(claims: &mut Claims<'_>, allocator: &str, carriers: &[&Carrier], changed: usize) {
    let mut zone = Zone::new(OWNER, format!("{OWNER} {allocator}"));
    for group in carriers.chunk_by(|one, next| one.range.end() == next.range.start()) {
        if let Some(range) = group.iter().map(|carrier| carrier.range).reduce(AddrRange::hull) {
            let claim = Claim::new(range, OWNER, RegionKind::Malloc.id()).title("Erlang carriers");
            claims.add(&claim.zone(&zone.name).note(note(group)), is_plain);
        }
    }
    zone.committed = Some(carriers.iter().map(|carrier| carrier.range.size()).sum::<Bytes>());
    if changed > 0 {
        zone.doubts.push(format!("{changed} carriers changed while they were read").into());
    }
    claims.zone(zone);
}

/// How many carriers follow each other, and whether no scheduler uses them.
fn note(group: &[&Carrier]) -> Arc<str> {
    let pooled = group.iter().filter(|carrier| carrier.is_pooled).count();
    let count = match group.len() {
        1 => "1 carrier".to_owned(),
        count => format!("{count} carriers"),
    };
    if pooled == 0 { count.into() } else { format!("{count}, {pooled} in the pool").into() }
}

/// The virtual machine's program.
fn program<'a>(target: &'a Target<'_>) -> Option<&'a Image> {
    target.images.all.iter().find(|image| image.file_name().starts_with(PROGRAM))
}

/// Its name, and its version if the path has one.
fn name(program: &Image) -> String {
    let path = String::from_utf8_lossy(&program.path);
    let version = path.split('/').find_map(|part| part.strip_prefix(VERSION));
    version.map_or(OWNER.to_owned(), |version| format!("{OWNER} (ERTS {version})"))
}

/// Whether a region maps the file with code.
fn is_code(region: &Region) -> bool {
    region.share.is_shared() && region.name.as_ref().is_some_and(|name| name.bytes().starts_with(CODE))
}
