//! Dividing a region among the claims on it.

use mmview_platform::{Bytes, Claim, Evidence, Findings, PageCounts, Region, Unclaimed};

use super::context::Context;
use crate::kind::RegionKind;
use crate::region::{Classified, Meaning, Part};

/// What the target's memory shows, for the regions of its map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overlay {
    claims: Box<[Claim]>,
    unclaimed: Box<[Unclaimed]>,
    /// Whether memory has shown every thread's stack, and every heap of malloc: then a shape proves nothing.
    pub has_threads: bool,
    pub has_malloc: bool,
}

impl Overlay {
    pub fn new(findings: &Findings) -> Overlay {
        let has = |question| {
            findings.inspection.as_ref().is_some_and(|inspection| inspection.has_settled(question))
        };
        Overlay {
            claims: findings.claims.as_slice().into(),
            unclaimed: findings.unclaimed.as_slice().into(),
            has_threads: has("threads"),
            has_malloc: has("malloc"),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// The claims on `region`.
    fn claims_on(&self, region: &Region) -> &[Claim] {
        let first = self.claims.partition_point(|claim| claim.range.end() <= region.range.start());
        let rest = &self.claims[first..];
        &rest[..rest.partition_point(|claim| claim.range.start() < region.range.end())]
    }

    /// Whether the headers of an image show that its data ends where `region` starts, so that a shape can't make it `.bss`.
    fn follows_data(&self, region: &Region) -> bool {
        let before = self.claims.partition_point(|claim| claim.range.end() <= region.range.start());
        before.checked_sub(1).and_then(|index| self.claims.get(index)).is_some_and(|claim| {
            claim.range.end() == region.range.start() && claim.kind == RegionKind::Data.id()
        })
    }

    /// Explains `region`, for which the rules have found `ruled`.
    pub fn explain(&self, region: Region, ruled: Meaning, context: &Context) -> Classified {
        let claims = self.claims_on(&region);
        let is_disproved =
            ruled.kind == RegionKind::Bss && ruled.evidence == Evidence::Shape && self.follows_data(&region);
        let ruled = match ruled.evidence {
            // A stack pointer says nothing about the rest of a region that holds other things.
            _ if !claims.is_empty() && ruled.kind == RegionKind::ThreadStack && region.is_unnamed() => {
                without_shape(&region)
            }
            // A region of several things has no shape of its own.
            Evidence::Shape if is_disproved || !claims.is_empty() => without_shape(&region),
            Evidence::Shape if context.level == Evidence::Kernel => without_shape(&region),
            _ => ruled,
        };
        match claims {
            [] => Classified::new(region, ruled),
            [claim] if region.range.within(claim.range) => Classified::new(region, Meaning::claimed(claim)),
            claims => self.divide(region, &ruled, claims),
        }
    }

    fn divide(&self, region: Region, rest: &Meaning, claims: &[Claim]) -> Classified {
        let mut parts = Vec::new();
        let mut next = region.range.start();
        let gap = |start: u64, end: u64, parts: &mut Vec<Part>| {
            let range = mmview_platform::AddrRange::new(start, end).filter(|range| !range.is_empty());
            parts.extend(range.map(|range| {
                let at = self.unclaimed.binary_search_by_key(&range, |unclaimed| unclaimed.range);
                let counts = at.map_or(PageCounts::UNMEASURED, |at| self.unclaimed[at].counts);
                Part::new(range, rest.clone(), counts)
            }));
        };
        for claim in claims {
            let Some(range) = claim.range.overlap(region.range) else { continue };
            gap(next, range.start(), &mut parts);
            parts.push(Part::new(range, Meaning::claimed(claim), claim.counts));
            next = range.end();
        }
        gap(next, region.range.end(), &mut parts);
        settle(&mut parts, &region);
        Classified::of_parts(region, parts)
    }
}

/// What the kernel alone says about a region that has a shape.
fn without_shape(region: &Region) -> Meaning {
    Meaning::of(match &region.name {
        Some(_) if region.protection.is_none() => RegionKind::Reserved,
        Some(name) if name.path().is_some() => RegionKind::Rodata,
        Some(_) => RegionKind::Named,
        None if region.protection.is_none() => RegionKind::Reserved,
        None => RegionKind::Anonymous,
    })
}

/// Makes the sizes of the parts add up to those of the region. They were counted a moment later.
fn settle(parts: &mut [Part], region: &Region) {
    let whole = region.counts;
    let of = |parts: &[Part], size: fn(&PageCounts) -> Option<Bytes>| -> Option<Vec<Bytes>> {
        parts.iter().map(|part| size(&part.counts())).collect()
    };
    let resident = of(parts, |counts| counts.resident)
        .zip(whole.resident)
        .map(|(sizes, total)| added_up(sizes, total, parts));
    let swapped = of(parts, |counts| counts.swapped)
        .zip(whole.swapped)
        .map(|(sizes, total)| added_up(sizes, total, parts));
    for (index, part) in parts.iter_mut().enumerate() {
        let mut counts = PageCounts::UNMEASURED;
        counts.resident = resident.as_ref().map(|sizes| sizes[index]);
        counts.swapped = swapped.as_ref().map(|sizes| sizes[index]);
        // What holds of all resident pages, or of none, holds of those of each part.
        let shared = |size: Option<Bytes>| match size {
            Some(Bytes::ZERO) => Some(Bytes::ZERO),
            size if size.is_some() && size == whole.resident => counts.resident,
            _ => None,
        };
        counts.dirty = shared(whole.dirty);
        counts.proportional = shared(whole.proportional);
        counts.unique = shared(whole.unique);
        part.set_counts(counts);
    }
}

/// Changes sizes so that their sum is `total`, and none exceeds its part: the largest parts take the difference.
fn added_up(mut sizes: Vec<Bytes>, total: Bytes, parts: &[Part]) -> Vec<Bytes> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(parts[index].range().size()));
    let sum: Bytes = sizes.iter().copied().sum();
    let (mut missing, mut extra) = (total.saturating_sub(sum), sum.saturating_sub(total));
    for index in order {
        let room = parts[index].range().size().saturating_sub(sizes[index]);
        let (more, less) = (missing.min(room), extra.min(sizes[index]));
        sizes[index] = (sizes[index] + more).saturating_sub(less);
        (missing, extra) = (missing.saturating_sub(more), extra.saturating_sub(less));
    }
    sizes
}
