//! The JavaScript engine of Node and Chromium: the pages of its heaps, by their headers.
//!
//! V8 documents them in `src/heap/basic-memory-chunk.h`, `memory-chunk-layout.h`, `memory-chunk-metadata.h` and
//! `src/common/globals.h` (`AllocationSpace`). A page names its heap and its space, and the space names the heap again, which
//! is the proof. Each isolate (a worker, for example) has a heap of its own.

mod page;
mod sandbox;
mod spaces;

use std::collections::{BTreeMap, BTreeSet};

use mmview_platform::{Bytes, Claim, Evidence, FactValue, Region, Result, Runtime, Zone};

use super::Recognizer;
use super::claims::Claims;
use super::target::{Target, groups, is_anonymous, is_brk, is_reserved};
use crate::kind::RegionKind;
use page::{Found, Layout, Page};
use spaces::{Space, Spaces, Version};

/// The name of the owner.
const OWNER: &str = "V8";

/// Every V8 that is linked into a program that loads add-ons exports it.
const EXPORT: &str = "_ZN2v87Isolate10GetCurrentEv";

/// V8 has more code than this.
const SMALLEST_IMAGE: u64 = 8 << 20;

/// Fewer pages are chance. A heap at rest has some dozen.
const FEWEST_PAGES: usize = 3;

/// The largest reserve for code (`kMaximalCodeRangeSize`).
const LARGEST_CODE_RANGE: u64 = 512 << 20;

/// The JavaScript engine of Node and Chromium.
pub(super) struct V8;

impl Recognizer for V8 {
    fn may_apply(&self, target: &Target<'_>) -> bool {
        let is_embedded = || target.images.has_browser() && sandbox::reserve(target).is_some();
        target.word == 8 && (Version::image(target).is_some() || is_embedded())
    }

    fn recognize(&mut self, target: &Target<'_>, claims: &mut Claims<'_>) -> Result<()> {
        let reserve = sandbox::reserve(target);
        let in_sandbox = reserve.map(|reserve| sandbox::find(target, reserve)).transpose()?.flatten();
        let found = match in_sandbox {
            Some(found) => Some((Layout::V13, found)),
            None => page::find(target)?,
        };
        let Some((layout, found)) = found else { return Ok(()) };
        let owned = found.pages.iter().filter(|page| page.owner != 0).count();
        if owned < FEWEST_PAGES {
            return Ok(());
        }
        let version = Version::read(target);
        let spaces = Spaces::of(version, &layout, &found);
        report(target, claims, &found, &spaces, version);
        if let Some(reserve) = reserve.filter(|_| layout == Layout::V13) {
            let sandbox = Claim::new(reserve, OWNER, RegionKind::Reserved.id()).title("V8 sandbox");
            claims.add(&sandbox, is_reserved);
        }
        Ok(())
    }
}

/// Claims the pages, and reports a zone for each space.
fn report(
    target: &Target<'_>,
    claims: &mut Claims<'_>,
    found: &Found,
    spaces: &Spaces,
    version: Option<Version>,
) {
    let heaps = heaps(target, found);
    let mut zones: BTreeMap<(usize, Space), Vec<&Page>> = BTreeMap::new();
    for page in &found.pages {
        let space = found.spaces.get(&page.owner);
        let heap = heaps.iter().position(|heap| *heap == page.heap).unwrap_or_default();
        zones
            .entry((heap, space.map_or(Space::ReadOnly, |space| spaces.get(space.id))))
            .or_default()
            .push(page);
    }
    for ((heap, space), pages) in &zones {
        let prefix = if *heap == 0 { "V8".to_owned() } else { format!("V8 {}", heap + 1) };
        let mut zone = claim(claims, &format!("{prefix} {}", space.name()), *space, pages);
        note_doubts(&mut zone, found, pages, *space);
        claims.zone(zone);
    }
    claim_code_range(target, claims, found, spaces);
    let name = version.map_or_else(|| OWNER.to_owned(), |version| format!("V8 {version}"));
    let runtime = Runtime::new(OWNER, name)
        .fact("isolates", FactValue::Count(heaps.len() as u64))
        .fact("heap pages", FactValue::Count(found.pages.len() as u64));
    claims.runtime(runtime);
}

/// The heaps: the one of the main isolate, which comes from the kernel's heap in most programs, is the first.
fn heaps(target: &Target<'_>, found: &Found) -> Vec<u64> {
    let used: BTreeSet<u64> = found.pages.iter().map(|page| page.heap).filter(|heap| *heap != 0).collect();
    let mut heaps: Vec<u64> = used.into_iter().collect();
    heaps.sort_by_key(|heap| (!target.region_at(*heap).is_some_and(is_brk), *heap));
    heaps
}

/// Claims the pages of a space. Returns its zone.
fn claim(claims: &mut Claims<'_>, zone: &str, space: Space, pages: &[&Page]) -> Zone {
    let mut zone = Zone::new(OWNER, zone);
    for page in pages {
        let claim = Claim::new(page.range, OWNER, space.kind().id()).title(space.title()).zone(&zone.name);
        claims.add(&claim, is_anonymous);
        // The header of a page of code can have a guard behind it.
        let guard = Claim::new(page.range, OWNER, RegionKind::Guard.id()).zone(&zone.name);
        claims.add(&guard, is_reserved);
    }
    zone.committed = Some(pages.iter().map(|page| page.range.size()).sum());
    if space.counts() {
        zone.allocated = Some(Bytes(pages.iter().map(|page| page.allocated).sum()));
    }
    if space.is_of_large_objects() {
        zone.allocations = Some(pages.len() as u64);
    }
    zone
}

/// Notes what may be wrong about a zone.
fn note_doubts(zone: &mut Zone, found: &Found, pages: &[&Page], space: Space) {
    let owners: BTreeSet<u64> = pages.iter().map(|page| page.owner).filter(|owner| *owner != 0).collect();
    let counted = owners.iter().filter_map(|owner| found.spaces.get(owner));
    let counted = counted.fold(0_u64, |sum, space| sum.saturating_add(space.committed));
    let seen = zone.committed.unwrap_or_default().0;
    if counted != seen && !owners.is_empty() {
        zone.doubts.push(format!("V8 counts {counted} bytes of pages, and {seen} were found").into());
    }
    if found.unread > 0 {
        zone.doubts.push(format!("{} pages of V8 have no record", found.unread).into());
    }
    if found.overlapping > 0 {
        zone.doubts.push(format!("{} pages overlap others and were left out", found.overlapping).into());
    }
    if zone.allocated.is_some() && !space.is_of_large_objects() && !space.is_code() && !owners.is_empty() {
        zone.doubts.push("allocated is as of the last garbage collection".into());
    }
}

/// Claims what is around the pages of code, which is likely reserved for more of them.
fn claim_code_range(target: &Target<'_>, claims: &mut Claims<'_>, found: &Found, spaces: &Spaces) {
    let is_code = |page: &&Page| {
        let space = found.spaces.get(&page.owner);
        space.is_some_and(|space| spaces.get(space.id).is_code())
    };
    let groups = groups(target.regions);
    for page in found.pages.iter().filter(is_code) {
        let at = groups.partition_point(|group| group.end() <= page.range.start());
        let Some(range) = groups.get(at).filter(|range| range.size().0 <= LARGEST_CODE_RANGE) else {
            continue;
        };
        let likely = |kind: RegionKind, title| {
            let mut claim = Claim::new(*range, OWNER, kind.id()).title(title);
            claim.evidence = Evidence::Shape;
            claim
        };
        claims.add(&likely(RegionKind::Reserved, "V8 code reserve"), is_reserved);
        let is_code = |region: &Region| is_anonymous(region) && region.protection.is_executable();
        claims.add(&likely(RegionKind::JitCode, "V8 code range"), is_code);
    }
}
