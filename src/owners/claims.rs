//! Collecting claims: each in one region, in whole pages, none overlapping another.

use std::collections::BTreeMap;

use mmview_platform::{
    AddrRange, Bytes, Claim, Detail, Findings, Inspection, PageCounts, PageRun, PageState, Region, Result,
    Runtime, Unclaimed, Zone,
};

use super::target::{Target, is_plain};

/// The claims so far.
pub(super) struct Claims<'a> {
    regions: &'a [Region],
    page: u64,
    /// By the start of their addresses.
    by_start: BTreeMap<u64, Claim>,
    /// What is left of regions that are claimed in part.
    rest: Vec<Unclaimed>,
    zones: Vec<Zone>,
    runtimes: Vec<Runtime>,
    settled: Vec<&'static str>,
}

impl<'a> Claims<'a> {
    pub fn new(regions: &'a [Region], page: u64) -> Claims<'a> {
        Claims {
            regions,
            page,
            by_start: BTreeMap::new(),
            rest: Vec::new(),
            zones: Vec::new(),
            runtimes: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// Adds a claim, rounded to whole pages, for each region that it covers a part of and that is `wanted`. What is claimed
    /// already stays with the first.
    pub fn add(&mut self, claim: &Claim, wanted: impl Fn(&Region) -> bool) {
        let start = claim.range.start() - claim.range.start() % self.page;
        let end = claim.range.end().checked_next_multiple_of(self.page).unwrap_or(claim.range.end());
        let Some(range) = AddrRange::new(start, end) else { return };
        let first = self.regions.partition_point(|region| region.range.end() <= start);
        let regions = self.regions[first..].iter().take_while(|region| region.range.start() < end);
        for region in regions.filter(|region| wanted(region)) {
            let Some(part) = region.range.overlap(range) else { continue };
            for free in self.unclaimed(part) {
                self.by_start.insert(free.start(), claim.over(free));
            }
        }
    }

    /// The parts of `range` that no claim covers.
    pub fn unclaimed(&self, range: AddrRange) -> Vec<AddrRange> {
        let mut free = Vec::new();
        let mut next = range.start();
        let before = self.by_start.range(..=range.start()).next_back();
        let claims = before.into_iter().chain(self.by_start.range(range.start()..range.end()));
        for (_, claim) in claims {
            let claimed = claim.range;
            if claimed.end() <= next {
                continue;
            }
            free.extend(AddrRange::new(next, claimed.start()).filter(|gap| !gap.is_empty()));
            next = next.max(claimed.end());
        }
        free.extend(AddrRange::new(next, range.end()).filter(|gap| !gap.is_empty()));
        free
    }

    /// Reports what is allocated in a zone.
    pub fn zone(&mut self, zone: Zone) {
        self.zones.push(zone);
    }

    /// Reports an allocator or runtime, and what it records about itself.
    pub fn runtime(&mut self, runtime: Runtime) {
        self.runtimes.push(runtime);
    }

    /// The memory that an allocator could have and that nothing claims yet: private, writable, without a file, and not the
    /// data of an image.
    pub fn open(&self) -> impl Iterator<Item = AddrRange> {
        let plain = self.regions.iter().filter(|region| is_plain(region));
        plain.flat_map(|region| self.unclaimed(region.range))
    }

    /// Remembers that a question was answered in full: what was not claimed is something else.
    pub fn settle(&mut self, question: &'static str) {
        if !self.settled.contains(&question) {
            self.settled.push(question);
        }
    }

    /// Counts the pages of the parts of each region that is not claimed as a whole.
    pub fn count(&mut self, target: &Target<'_>, detail: Detail) -> Result<()> {
        if detail < Detail::Resident {
            return Ok(());
        }
        for region in self.regions {
            let mut claims = self.by_start.range_mut(region.range.start()..region.range.end()).peekable();
            if claims.peek().is_none_or(|(_, claim)| claim.range == region.range) {
                continue;
            }
            let runs = match &region.pages {
                Some(runs) => runs.to_vec(),
                None => target.memory().pages(region.range)?,
            };
            for (_, claim) in claims {
                claim.counts = counts(&runs, claim.range);
            }
            let rest = self.unclaimed(region.range);
            self.rest.extend(rest.into_iter().map(|range| Unclaimed::new(range, counts(&runs, range))));
        }
        Ok(())
    }

    /// Drops the claims on parts of regions, whose pages can't be counted.
    pub fn keep_whole(&mut self) {
        let is_whole = |claim: &Claim| self.regions.iter().any(|region| region.range == claim.range);
        self.by_start.retain(|_, claim| is_whole(claim));
        self.rest.clear();
    }

    pub fn finish(self) -> Findings {
        let mut inspection = Inspection::default();
        inspection.settled = self.settled.into_iter().map(Into::into).collect();
        let mut findings = Findings::default();
        findings.claims = self.by_start.into_values().collect();
        findings.unclaimed = self.rest;
        findings.zones = self.zones;
        findings.runtimes = self.runtimes;
        findings.inspection = Some(inspection);
        findings
    }
}

/// How much of `part` is resident and swapped, by the states of its pages.
fn counts(runs: &[PageRun], part: AddrRange) -> PageCounts {
    let first = runs.partition_point(|run| run.range.end() <= part.start());
    let inside = || runs[first..].iter().take_while(|run| run.range.start() < part.end());
    let sum = |is_counted: fn(PageState) -> bool| -> Bytes {
        let counted = inside().filter(|run| is_counted(run.state));
        counted.filter_map(|run| run.range.overlap(part)).map(AddrRange::size).sum()
    };
    let mut counts = PageCounts::UNMEASURED;
    counts.resident = Some(sum(PageState::is_resident));
    counts.swapped = Some(sum(PageState::is_swapped));
    counts
}
