//! What an explanation consists of.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

use mmview_platform::Bytes;

use crate::region::Classified;
use crate::units::Units;

/// How many of the regions that match (or don't) a finding lists.
pub const MATCHES: usize = 10;

/// How many similar regions or files a finding lists.
pub const SIMILAR: usize = 3;

/// Why a check holds, fails or is unknown: a finding for each part that decides it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Found<'a> {
    /// The findings, in the order of the check.
    pub findings: Vec<Finding<'a>>,
    /// What was not measured although the check needs it: names of fields, `VmFlags` or `whole path`.
    pub unmeasured: BTreeSet<&'static str>,
}

/// A sentence, and the regions that it is about.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Finding<'a> {
    /// The sentence, without a full stop. Not escaped.
    pub sentence: String,
    /// The number that the check compares, in bytes or regions, if it is known exactly.
    pub value: Option<u64>,
    /// What is worth a remark although the check holds, such as the number, or that a file is deleted.
    pub remark: Option<String>,
    /// The first of the regions.
    pub regions: Vec<FoundRegion<'a>>,
    /// How many more regions there are.
    pub more: usize,
}

/// A region, and how it differs from what the check asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FoundRegion<'a> {
    /// The region.
    pub region: &'a Classified,
    /// The differences, each such as `size is 8K, not 4K`. Not escaped.
    pub instead: Vec<String>,
}

impl<'a> FoundRegion<'a> {
    pub(super) fn plain(region: &'a Classified) -> FoundRegion<'a> {
        FoundRegion { region, instead: Vec::new() }
    }
}

impl<'a> Finding<'a> {
    pub(super) fn new(sentence: impl Into<String>) -> Finding<'a> {
        Finding { sentence: sentence.into(), ..Finding::default() }
    }

    /// A finding about regions; only `first` are listed.
    pub(super) fn listing(sentence: String, first: Vec<&'a Classified>, tally: Tally) -> Finding<'a> {
        let more = tally.count - first.len();
        Finding {
            more,
            regions: first.into_iter().map(FoundRegion::plain).collect(),
            ..Finding::new(sentence)
        }
    }
}

impl Found<'_> {
    /// What is worth a remark although the check holds. Not escaped.
    pub fn remark(&self) -> Option<String> {
        let mut remarks: Vec<_> =
            self.findings.iter().filter_map(|finding| finding.remark.as_deref()).collect();
        remarks.dedup();
        (!remarks.is_empty()).then(|| remarks.join(", "))
    }
}

/// All sentences in one line. Not escaped.
impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}", finding.sentence)?;
        }
        Ok(())
    }
}

/// The number of some regions, and their total size.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub count: usize,
    pub size: Bytes,
}

impl AddAssign<&Classified> for Tally {
    fn add_assign(&mut self, region: &Classified) {
        self.count += 1;
        self.size += region.size();
    }
}

impl Tally {
    /// The size as tables show it.
    pub fn size(self) -> String {
        Units::Auto.format(self.size)
    }
}

/// Formats a size as tables show it, and adds the bytes if it would look like the size that it is compared with.
pub fn amount(size: u64, other: Option<u64>) -> String {
    let format = |size| Units::Auto.format(Bytes(size));
    let text = format(size);
    match other {
        Some(other) if other != size && format(other) == text => format!("{text} ({size} bytes)"),
        _ => text,
    }
}
