//! Explains a verdict: what a map has instead, for a reader who has only a log.

mod files;
mod finding;
mod instead;
mod miss;
mod nearest;
mod place;
mod report;
mod unknown;
mod value;

pub use finding::{Finding, Found, FoundRegion};
pub use report::explain;
