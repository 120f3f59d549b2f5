//! Decides the kind of each region, from its own facts and from its neighbors.
//!
//! One pass with a short look-ahead, so that a listing streams. Each rule documents what it recognizes and where it stops; the
//! tests have an example of both.

mod again;
mod ahead;
mod context;
mod image;
mod linux;
pub(crate) mod macos;
mod manner;
mod names;
mod overlay;
mod past;
mod runtimes;
mod shapes;
#[cfg(test)]
pub(crate) mod tests;
mod windows;

use std::fmt;

use mmview_platform::{Native, Region, Result};

use crate::region::Classified;

pub(crate) use again::explain_again;
use ahead::Ahead;
pub use context::Context;
use past::Past;

/// Classifies regions as they are read. Holds back a short run of them at most.
pub struct Classify<I: Iterator<Item = Result<Region>>> {
    ahead: Ahead<I>,
    context: Context,
    past: Past,
}

impl<I: Iterator<Item = Result<Region>>> Classify<I> {
    /// Classifies `regions`, which are sorted by address.
    pub fn new(regions: I, context: Context) -> Classify<I> {
        Classify { ahead: Ahead::new(regions), context, past: Past::default() }
    }

    /// Goes on with `regions` after earlier ones, which `past` remembers.
    fn resume(regions: I, context: Context, past: Past) -> Classify<I> {
        Classify { past, ..Classify::new(regions, context) }
    }
}

impl<I: Iterator<Item = Result<Region>>> fmt::Debug for Classify<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classify").field("context", &self.context).finish_non_exhaustive()
    }
}

impl<I: Iterator<Item = Result<Region>>> Iterator for Classify<I> {
    type Item = Result<Classified>;

    fn next(&mut self) -> Option<Self::Item> {
        let region = match self.ahead.next()? {
            Ok(region) => region,
            Err(error) => return Some(Err(error)),
        };
        let meaning = match &region.native {
            Native::Macos(native) => macos::explain(&mut self.ahead, &self.context, &region, native),
            Native::Windows(native) => windows::explain(&mut self.ahead, &self.context, &region, native),
            _ => linux::explain(&mut self.ahead, &mut self.past, &self.context, &region),
        };
        self.past.remember(&region, meaning.kind);
        Some(Ok(self.context.overlay.explain(region, meaning, &self.context)))
    }
}

/// Classifies the regions of a whole map.
#[cfg(feature = "cli")]
pub(crate) fn classify(map: &mmview_platform::MemoryMap) -> Vec<Classified> {
    let context = Context::new(&map.process, &map.source).with_map(&map.regions).with_findings(&map.findings);
    let regions = map.regions.iter().cloned().map(Ok);
    Classify::new(regions, context).filter_map(Result::ok).collect()
}
