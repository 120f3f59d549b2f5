//! How complete a map is, and why regions may be missing from it.

use std::fmt;

use mmview_platform::{PrintedSummary, ProcessInfo, Warning};

use crate::region::Classified;
use crate::snapshot::Snapshot;
use crate::summary::Summary;

/// Why a map may lack regions that its process had. `Display` writes it as a clause, such as
/// `the report counts 36 regions and lists 4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing<'a> {
    /// The source said so: the capture is cut off, has lines that could not be parsed, or was read by a call that doesn't
    /// look into submaps.
    Warned(&'a Warning),
    /// A report that neither lists nor counts regions.
    Excerpt,
    /// A report that counts more regions than it lists.
    Unlisted {
        /// How many regions its own table counts.
        counted: u64,
        /// How many it lists.
        listed: u64,
    },
}

impl<'a> Missing<'a> {
    /// Returns why regions may be missing from `regions`, or `None` if the list is complete.
    ///
    /// `printed` is the report's own summary, if it has one. A map that changed while it was read
    /// ([`Warning::Torn`]) is complete: every region in it existed.
    pub(crate) fn from_map(
        regions: &[Classified],
        printed: Option<&PrintedSummary>,
        warnings: &'a [Warning],
    ) -> Option<Missing<'a>> {
        let is_doubt = |warning: &&Warning| {
            matches!(
                warning,
                Warning::Truncated { .. }
                    | Warning::Malformed { .. }
                    | Warning::Missing { .. }
                    | Warning::Limited { .. }
            )
        };
        if let Some(warning) = warnings.iter().find(is_doubt) {
            return Some(Missing::Warned(warning));
        }
        let printed = printed?;
        let counted = match regions {
            [] => counted(printed),
            _ => miscounted(printed, &Summary::listed(regions, Some(printed), &ProcessInfo::default()))?,
        };
        Missing::from_counts(regions.len() as u64, counted)
    }

    /// Compares the length of a listing with the count in the report's own table. vmmap's own count can be one too low.
    fn from_counts(listed: u64, counted: u64) -> Option<Missing<'a>> {
        match counted {
            0 => Some(Missing::Excerpt),
            _ if counted > listed => Some(Missing::Unlisted { counted, listed }),
            _ => None,
        }
    }
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Warned(warning) => write!(f, "{warning}"),
            Missing::Excerpt => f.write_str("the report is an excerpt or a summary, and lists no regions"),
            Missing::Unlisted { counted, listed: 0 } => {
                write!(f, "the report is a summary of {counted} regions and lists none")
            }
            Missing::Unlisted { counted, listed } => {
                write!(f, "the report counts {counted} regions and lists {listed}")
            }
        }
    }
}

/// Returns the number of regions in a report's own table if it differs from the number in `listed`, the summary of the
/// regions that the report lists: someone removed lines from it.
pub(crate) fn miscounted(printed: &PrintedSummary, listed: &Summary) -> Option<u64> {
    let counted = counted(printed);
    (counted != 0 && counted != listed.total.regions).then_some(counted)
}

fn counted(printed: &PrintedSummary) -> u64 {
    Summary::printed(printed, &ProcessInfo::default()).total.regions
}

impl Snapshot {
    /// Returns why regions may be missing, or `None` if the map is complete.
    pub fn missing(&self) -> Option<Missing<'_>> {
        Missing::from_map(&self.regions, self.printed.as_ref(), &self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_missing_is_what_was_not_read() {
        let truncated = Warning::Truncated { why: "it ends".into() };
        let unsorted = Warning::Unsorted { regions: 1 };
        let warned =
            |warnings: &[Warning]| Missing::from_map(&[], None, warnings).map(|missing| missing.to_string());
        let counted =
            |listed, counted| Missing::from_counts(listed, counted).map(|missing| missing.to_string());
        assert!(warned(&[unsorted.clone(), truncated]).unwrap().contains("cut off"));
        assert_eq!(warned(&[unsorted]), None);
        assert_eq!(counted(5, 5), None);
        assert!(counted(0, 5).unwrap().contains("lists none"));
        assert!(counted(4, 5).unwrap().contains("counts 5 regions and lists 4"));
        assert_eq!(counted(5, 4), None, "a count one too low is vmmap's own");
    }
}
