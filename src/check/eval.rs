//! Decides a check on the regions of a map. Three-valued: a check on something that was not measured is unknown.

mod decide;
mod evidence;
mod needs;
mod pattern;
mod region;
mod span;
mod verdict;

pub use decide::{decide, decide_atom, meets};
pub use evidence::Evidence;
pub use needs::needs;
pub use pattern::is_shortened;
pub use region::passes;
pub use span::Span;
pub use verdict::Verdict;
