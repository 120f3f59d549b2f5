//! Reads the regions around an address one by one: a few dozen look-ups of a microsecond each, however many regions the
//! process has.

use std::fs::File;

use super::query::{self, Answer};
use crate::model::Region;
use crate::source::{AROUND_AFTER, AROUND_BEFORE};

/// A region, and whether its name is ambiguous.
type Found = (Region, bool);

/// The region at `address` or the next one, with some before and after it, ordered by address. `None` if this kernel can't
/// answer, or if there is nothing at or after the address.
pub(super) fn regions(maps: &File, address: u64) -> Option<Vec<Found>> {
    let first = from(maps, address)?;
    let mut before = Vec::new();
    let mut start = first.0.range.start();
    while before.len() < AROUND_BEFORE
        && let Some(found) = last_before(maps, start)?
    {
        start = found.0.range.start();
        before.push(found);
    }
    let mut regions: Vec<_> = before.into_iter().rev().collect();
    let mut end = first.0.range.end();
    regions.push(first);
    for _ in 0..AROUND_AFTER {
        match query::region_from(maps, end) {
            Answer::Region(found) => {
                end = found.0.range.end();
                regions.push(*found);
            }
            Answer::Hole => break,
            Answer::Unknown => return None,
        }
    }
    Some(regions)
}

/// The region at `address`, or the next one.
fn from(maps: &File, address: u64) -> Option<Found> {
    match query::region_from(maps, address) {
        Answer::Region(found) => Some(*found),
        _ => None,
    }
}

/// The last region that starts before `start`. The kernel searches forwards only, so this searches backwards: first in
/// growing steps, then by bisection.
fn last_before(maps: &File, start: u64) -> Option<Option<Found>> {
    let is_before = |found: &Found| found.0.range.start() < start;
    let mut high = start;
    let mut step = 1;
    let mut found = loop {
        if high == 0 {
            return Some(None);
        }
        let probe = start.saturating_sub(step);
        let found = from(maps, probe)?;
        if is_before(&found) {
            break found;
        }
        high = probe;
        step = step.saturating_mul(16);
    };
    // There may be others between the end of the one found and `high`; there are none from `high` to `start`.
    while found.0.range.end() < high {
        let middle = found.0.range.end() + (high - found.0.range.end()) / 2;
        let next = from(maps, middle)?;
        if is_before(&next) {
            found = next;
        } else if middle == found.0.range.end() {
            break;
        } else {
            high = middle;
        }
    }
    Some(Some(found))
}
