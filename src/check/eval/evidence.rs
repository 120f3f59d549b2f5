//! What a check is decided on.

use mmview_platform::Zone;

use super::needs::asks_for_purpose;
use super::verdict::Verdict;
use crate::check::language::Filter;
use crate::completeness::Missing;
use crate::region::{Classified, region_at};
use crate::snapshot::Snapshot;

/// What a check is decided on: the regions of a map by address, and whether there may be others.
///
/// [`Evidence::from`] takes a [`Snapshot`], or a list of regions that is complete.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Evidence<'a> {
    /// The regions that were read, by address.
    pub regions: &'a [Classified],
    /// The same, each part of a region as a region of its own: what a condition on the purpose applies to.
    pub parts: &'a [Classified],
    /// What is allocated in the zones of the process; `None` if its memory was not read.
    pub zones: Option<&'a [Zone]>,
    /// Why regions may be missing. If some may, no check can conclude that a region does *not* exist.
    pub missing: Option<Missing<'a>>,
}

impl<'a> From<&'a Snapshot> for Evidence<'a> {
    fn from(snapshot: &'a Snapshot) -> Evidence<'a> {
        Evidence {
            regions: &snapshot.regions,
            parts: snapshot.pieces(),
            zones: snapshot.findings.inspection.is_some().then_some(&snapshot.findings.zones),
            missing: snapshot.missing(),
        }
    }
}

impl<'a> From<&'a [Classified]> for Evidence<'a> {
    fn from(regions: &'a [Classified]) -> Evidence<'a> {
        Evidence { regions, parts: regions, zones: None, missing: None }
    }
}

impl<'a> From<&'a Vec<Classified>> for Evidence<'a> {
    fn from(regions: &'a Vec<Classified>) -> Evidence<'a> {
        Evidence::from(&regions[..])
    }
}

impl<'a> Evidence<'a> {
    /// The evidence for a filter: the parts of regions if it asks for their purpose, else whole regions.
    pub(crate) fn for_filter(self, filter: Option<&Filter>) -> Evidence<'a> {
        if filter.is_some_and(asks_for_purpose) { Evidence { regions: self.parts, ..self } } else { self }
    }

    /// The region that holds `address`. Costs a binary search.
    pub(crate) fn at(self, address: u64) -> Option<&'a Classified> {
        region_at(self.regions, address)
    }

    /// The index of the first region that ends after `address`.
    pub(crate) fn after(self, address: u64) -> usize {
        self.regions.partition_point(|region| region.range().end() <= address)
    }

    /// Whether a region exists that was not read.
    pub(super) fn unread(self) -> Verdict {
        if self.missing.is_some() { Verdict::Unknown } else { Verdict::Fails }
    }

    /// Whether `of` holds for some region.
    pub(super) fn any(self, mut of: impl FnMut(&Classified) -> Verdict) -> Verdict {
        let mut verdict = self.unread();
        for region in self.regions {
            verdict = verdict.max(of(region));
            if verdict == Verdict::Holds {
                break;
            }
        }
        verdict
    }
}
