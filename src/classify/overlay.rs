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

#[cfg(test)]
mod tests {
    use mmview_platform::{AddrRange, ProcessInfo};
    use proptest::prelude::*;

    use super::*;
    use crate::classify::tests::{regions, source};
    use crate::summary::Builder;

    const PAGE: u64 = 4096;

    fn range(start: u64, end: u64) -> AddrRange {
        AddrRange::new(start * PAGE, end * PAGE).unwrap()
    }

    fn claim(start: u64, end: u64, resident: u64) -> Claim {
        let mut claim = Claim::new(range(start, end), "test", RegionKind::MallocArena.id());
        claim.counts.resident = Some(Bytes(resident * PAGE));
        claim.counts.swapped = Some(Bytes::ZERO);
        claim
    }

    /// A region of pages 16 to 32 with claims on it; so many of its pages are resident and dirty.
    fn divided(claims: Vec<Claim>, rest: &[(u64, u64, u64)], resident: u64, pss: u64) -> Classified {
        let mut region = regions("10000-20000 rw-p 0 00:00 0\n").remove(0);
        region.counts.resident = Some(Bytes(resident * PAGE));
        region.counts.dirty = region.counts.resident;
        region.counts.swapped = Some(Bytes::ZERO);
        region.counts.proportional = Some(Bytes(pss * PAGE));
        let mut findings = Findings::default();
        findings.claims = claims;
        let counts = |resident: u64| {
            let mut counts = PageCounts::UNMEASURED;
            (counts.resident, counts.swapped) = (Some(Bytes(resident * PAGE)), Some(Bytes::ZERO));
            counts
        };
        findings.unclaimed = rest
            .iter()
            .map(|(start, end, resident)| Unclaimed::new(range(*start, *end), counts(*resident)))
            .collect();
        let context = Context::new(&ProcessInfo::default(), &source()).with_findings(&findings);
        let ruled = Meaning::of(RegionKind::Anonymous);
        context.overlay.explain(region, ruled, &context)
    }

    fn kinds(region: &Classified) -> Vec<RegionKind> {
        region.parts().iter().map(Part::kind).collect()
    }

    #[test]
    fn a_claim_on_all_of_a_region_is_its_purpose() {
        let region = divided(vec![claim(16, 32, 4)], &[], 4, 4);
        assert_eq!((region.kind(), region.parts().len()), (RegionKind::MallocArena, 0));
    }

    #[test]
    fn a_claim_on_a_part_leaves_the_rest() {
        let region = divided(vec![claim(18, 20, 2)], &[(16, 18, 0), (20, 32, 5)], 7, 7);
        assert_eq!(kinds(&region), [RegionKind::Anonymous, RegionKind::MallocArena, RegionKind::Anonymous]);
        assert_eq!(region.kind(), RegionKind::Anonymous, "the largest part names it");
        assert_eq!(region.parts()[1].counts().dirty, Some(Bytes(2 * PAGE)), "all that is resident is dirty");
    }

    #[test]
    fn a_size_that_cannot_be_divided_is_unknown_in_rows_and_known_in_the_total() {
        let region = divided(vec![claim(16, 20, 2)], &[(20, 32, 5)], 7, 3);
        let mut builder = Builder::default();
        builder.add(&region);
        let summary = builder.finish(&ProcessInfo::default());
        assert!(summary.rows.iter().all(|row| row.totals.proportional.value().is_none()));
        assert_eq!(summary.total.proportional.value(), Some(Bytes(3 * PAGE)));
        assert_eq!(summary.total.regions, 1);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_region(cuts in proptest::collection::btree_set(17u64..32, 0..6), counted in 0u64..40, resident in 0u64..17) {
            let mut claims = Vec::new();
            let mut start = 16;
            for end in cuts.into_iter().chain([32]) {
                claims.push(claim(start, end, counted.min(end - start)));
                start = end;
            }
            let region = divided(claims, &[], resident, resident);
            for size in [|counts: &PageCounts| counts.resident, |counts: &PageCounts| counts.dirty] {
                let sum: Option<Bytes> = region.pieces().iter().map(|part| size(&part.counts())).sum();
                prop_assert_eq!(sum, Some(Bytes(resident * PAGE)));
            }
            for part in region.parts() {
                prop_assert!(part.counts().resident.unwrap() <= part.range().size());
            }
        }
    }
}
