//! The forms of listings that are no text of the kernel's: what a line of each says.

use crate::model::{ProcessInfo, Region};

/// What a line of a listing is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    /// A row about a region. Its range is empty if the row has no size.
    Region(Box<Region>),
    /// A line of the form without a region: heads of columns, totals, rules.
    Known,
    /// Anything else.
    Unknown,
}

/// A form of listing. It sees each line of a text, without what a paste has put before it, and remembers heads of columns.
pub(super) trait Form {
    /// What the line is. It must be cheap to reject a line: logs have millions of others.
    fn line(&mut self, line: &[u8]) -> Line;

    /// The identifier in machine formats.
    fn id(&self) -> &'static str;

    /// What the form lacks, as a sentence for a warning; `None` if nothing.
    fn lack(&self) -> Option<&'static str> {
        None
    }

    /// The process, if the form says whose map it is: that of the last region.
    fn process(&self) -> Option<ProcessInfo> {
        None
    }
}
