//! How far a region is from passing a filter.

use super::files::path_difference;
use crate::check::eval::Verdict;
use crate::check::language::{Filter, Logic, Predicate, Test};
use crate::region::Classified;

/// The weight of a field that doesn't identify a region.
pub const LIGHT: u32 = 2;

/// How far a region is from passing a filter. The order is by distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Miss {
    /// The total weight of the conditions that fail.
    pub cost: u32,
    /// The total difference of numbers, to choose among equal costs.
    pub distance: u64,
    /// The weight of the heaviest condition that fails, other than on a number.
    missed: u32,
    /// The weight of the heaviest condition that holds.
    pub met: u32,
}

impl Miss {
    /// Whether the region is related to the filter: what identifies it matches, or it differs only in numbers.
    pub fn is_near(self) -> bool {
        (self.met > 0 && self.met >= self.missed) || (self.distance > 0 && self.missed <= LIGHT)
    }

    fn and(self, other: Miss) -> Miss {
        Miss {
            cost: self.cost + other.cost,
            distance: self.distance.saturating_add(other.distance),
            missed: self.missed.max(other.missed),
            met: self.met.max(other.met),
        }
    }
}

/// Measures how far a region is from passing a filter, or from failing it if it `is_wanted` to fail.
pub fn miss(filter: &Filter, region: &Classified, is_wanted: bool) -> Miss {
    match (filter, is_wanted) {
        (Logic::Not(inner), _) => miss(inner, region, !is_wanted),
        (Logic::And(parts), true) | (Logic::Or(parts), false) => {
            parts.iter().map(|part| miss(part, region, is_wanted)).fold(Miss::default(), Miss::and)
        }
        (Logic::And(parts) | Logic::Or(parts), _) => {
            parts.iter().map(|part| miss(part, region, is_wanted)).min().unwrap_or_default()
        }
        (Logic::Atom(predicate), _) => miss_of(predicate, region, is_wanted),
    }
}

fn miss_of(predicate: &Predicate, region: &Classified, is_wanted: bool) -> Miss {
    let whole = weight(&predicate.test);
    let is_unwanted = predicate.is_negated == is_wanted;
    if predicate.verdict(region) == Verdict::from(is_wanted) {
        // Most regions are *not* something: that relates none of them to the filter.
        return Miss { met: if is_unwanted { 0 } else { whole }, ..Miss::default() };
    }
    if is_unwanted {
        return Miss { cost: whole, missed: whole, ..Miss::default() };
    }
    let path_difference = match &predicate.test {
        Test::Path(path) => path_difference(path, region),
        _ => None,
    };
    match (path_difference, distance(&predicate.test, region)) {
        (Some(0), _) => Miss { cost: 1, distance: 0, missed: 1, met: whole - 1 },
        (Some(difference), _) => {
            Miss { cost: whole / 2, distance: difference as u64, missed: whole / 2, met: whole / 2 }
        }
        (None, 0) => Miss { cost: whole, distance: 0, missed: whole, met: 0 },
        (None, distance) => Miss { cost: whole, distance, missed: LIGHT, met: 0 },
    }
}

/// Fields that identify a region weigh more than those that describe its state.
fn weight(test: &Test) -> u32 {
    match test {
        Test::Path(_) | Test::Name(_) | Test::Start(..) | Test::End(..) | Test::Addr(_) => 8,
        Test::Kind(_) | Test::Type(_) => 4,
        _ => LIGHT,
    }
}

/// The difference between a field and the number that it is compared with; 0 for other fields.
fn distance(test: &Test, region: &Classified) -> u64 {
    match test {
        Test::Number(field, _, number) => {
            field.number(region).map_or(u64::MAX, |size| size.abs_diff(number.value))
        }
        Test::Start(_, address) => region.range().start().abs_diff(*address),
        Test::End(_, address) => region.range().end().abs_diff(*address),
        _ => 0,
    }
}
