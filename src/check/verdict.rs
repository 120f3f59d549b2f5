//! Whether a check holds: three-valued, since what was not measured can't be told.

use std::ops::{AddAssign, Not};

use super::field::compare;
use super::tree::{Atom, Expr, Filter, Op, Quantity, Value, What};
use crate::completeness::Missing;
use crate::region::{Classified, region_at};
use crate::snapshot::Snapshot;

/// What a check comes to. Ordered so that `and` is the least and `or` the greatest of its parts (Kleene's strong logic).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is not so.
    Fails,
    /// It can't be told: what would tell was not measured.
    Unknown,
    /// It is so.
    Holds,
}

impl Verdict {
    /// The identifier in machine formats.
    pub const fn id(self) -> &'static str {
        match self {
            Verdict::Fails => "fails",
            Verdict::Unknown => "unknown",
            Verdict::Holds => "holds",
        }
    }
}

impl From<bool> for Verdict {
    fn from(is_so: bool) -> Verdict {
        if is_so { Verdict::Holds } else { Verdict::Fails }
    }
}

impl Not for Verdict {
    type Output = Verdict;

    fn not(self) -> Verdict {
        match self {
            Verdict::Fails => Verdict::Holds,
            Verdict::Unknown => Verdict::Unknown,
            Verdict::Holds => Verdict::Fails,
        }
    }
}

/// What a check is decided by: the regions of a map, by address, and whether there may be others.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The regions that were read, by address.
    pub regions: &'a [Classified],
    /// Why there may be regions that were not read. Then nothing is known *not* to be there.
    pub missing: Option<Missing<'a>>,
}

impl<'a> From<&'a Snapshot> for Evidence<'a> {
    fn from(snapshot: &'a Snapshot) -> Evidence<'a> {
        Evidence { regions: &snapshot.regions, missing: snapshot.missing() }
    }
}

impl<'a> From<&'a [Classified]> for Evidence<'a> {
    fn from(regions: &'a [Classified]) -> Evidence<'a> {
        Evidence { regions, missing: None }
    }
}

impl<'a> From<&'a Vec<Classified>> for Evidence<'a> {
    fn from(regions: &'a Vec<Classified>) -> Evidence<'a> {
        Evidence::from(&regions[..])
    }
}

impl<'a> Evidence<'a> {
    /// The region that holds `address`. Costs a binary search.
    pub(super) fn at(self, address: u64) -> Option<&'a Classified> {
        region_at(self.regions, address)
    }

    /// The place of the first region that ends after `address`.
    pub(super) fn after(self, address: u64) -> usize {
        self.regions.partition_point(|classified| classified.range().end() <= address)
    }

    /// What is known of regions that were not read.
    fn unread(self) -> Verdict {
        if self.missing.is_some() { Verdict::Unknown } else { Verdict::Fails }
    }

    /// Whether there is a region for which `of` holds.
    pub(super) fn any(self, mut of: impl FnMut(&Classified) -> Verdict) -> Verdict {
        let mut verdict = self.unread();
        for classified in self.regions {
            verdict = verdict.max(of(classified));
            if verdict == Verdict::Holds {
                break;
            }
        }
        verdict
    }
}

/// Whether a region passes a filter; it does where there is none.
pub(super) fn passes(filter: Option<&Filter>, classified: &Classified) -> Verdict {
    filter.map_or(Verdict::Holds, |filter| filter.verdict(&mut |predicate| predicate.verdict(classified)))
}

pub(super) fn decide(expr: &Expr, evidence: Evidence<'_>) -> Verdict {
    expr.verdict(&mut |atom| decide_atom(atom, evidence))
}

pub(super) fn decide_atom(atom: &Atom, evidence: Evidence<'_>) -> Verdict {
    match atom {
        Atom::Mapped(pattern) => evidence.any(|classified| pattern.matches_path(classified.facts())),
        Atom::Regions(Quantity::Any, filter) => {
            evidence.any(|classified| passes(filter.as_ref(), classified))
        }
        Atom::Regions(Quantity::None, filter) => {
            !evidence.any(|classified| passes(filter.as_ref(), classified))
        }
        Atom::Regions(Quantity::All, filter) => {
            !evidence.any(|classified| !passes(filter.as_ref(), classified))
        }
        Atom::Compare(left, op, right) => Span::of(left, evidence).compare(*op, Span::of(right, evidence)),
        Atom::At(address, what) => match evidence.at(*address) {
            Some(classified) => is_at(what, classified),
            None => match what {
                What::Unmapped => !evidence.unread(),
                _ => evidence.unread(),
            },
        },
    }
}

/// Whether the region at an address is as it is said to be.
pub(super) fn is_at(what: &What, classified: &Classified) -> Verdict {
    match what {
        What::Mapped => Verdict::Holds,
        What::Unmapped => Verdict::Fails,
        What::Perm(perm) => perm.permissions.match_region(classified).into(),
        What::Filter(filter) => passes(Some(filter), classified),
    }
}

/// What is known of a number: the least that it can be, and the most, where there is a most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub least: u64,
    pub most: Option<u64>,
}

impl Span {
    /// Nothing is known.
    pub const UNKNOWN: Span = Span { least: 0, most: None };

    /// What a value comes to. What was not measured can be any size; a sum can only grow by it.
    pub fn of(value: &Value, evidence: Evidence<'_>) -> Span {
        let (measure, filter) = match value {
            Value::Number(number) => return Span { least: number.value, most: Some(number.value) },
            Value::Count(filter) => (None, filter),
            Value::Sum(measure, filter) | Value::Max(measure, filter) => (Some(*measure), filter),
        };
        let join = if matches!(value, Value::Max(..)) { u64::max } else { u64::saturating_add };
        let mut span = Span { least: 0, most: evidence.missing.is_none().then_some(0) };
        for classified in evidence.regions {
            let verdict = passes(filter.as_ref(), classified);
            if verdict == Verdict::Fails {
                continue;
            }
            let one = measure.map_or(Some(1), |measure| measure.of(classified));
            if verdict == Verdict::Holds {
                span.least = join(span.least, one.unwrap_or(0));
            }
            span.most = span.most.zip(one).map(|(most, one)| join(most, one));
        }
        span
    }

    /// The number, where it is known.
    pub fn exact(self) -> Option<u64> {
        self.most.filter(|most| *most == self.least)
    }

    fn compare(self, op: Op, other: Span) -> Verdict {
        let is_below = |one: Span, other: Span| one.most.is_some_and(|most| most < other.least);
        match op {
            Op::Equal | Op::Unequal => {
                let verdict = match (self.exact(), other.exact()) {
                    (Some(one), Some(other)) => Verdict::from(one == other),
                    _ if is_below(self, other) || is_below(other, self) => Verdict::Fails,
                    _ => Verdict::Unknown,
                };
                if op == Op::Equal { verdict } else { !verdict }
            }
            Op::Greater => other.compare(Op::Less, self),
            Op::AtLeast => other.compare(Op::AtMost, self),
            Op::Less | Op::AtMost => {
                // As far apart as they can be, either way.
                let surely = self.most.is_some_and(|most| compare(most, op, other.least));
                let possibly = other.most.is_none_or(|most| compare(self.least, op, most));
                match (surely, possibly) {
                    (true, _) => Verdict::Holds,
                    (false, true) => Verdict::Unknown,
                    (false, false) => Verdict::Fails,
                }
            }
        }
    }
}

/// How many, and how large in all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub count: usize,
    pub size: mmview_platform::Bytes,
}

impl AddAssign<&Classified> for Tally {
    fn add_assign(&mut self, classified: &Classified) {
        self.count += 1;
        self.size += classified.size();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn and_or_not_are_kleenes() {
        use Verdict::{Fails, Holds, Unknown};
        let all = [Fails, Unknown, Holds];
        for a in all {
            assert_eq!(!!a, a);
            for b in all {
                assert_eq!(!(a.min(b)), (!a).max(!b));
                assert_eq!(!(a.max(b)), (!a).min(!b));
            }
        }
        assert_eq!(Unknown.min(Fails), Fails);
        assert_eq!(Unknown.max(Holds), Holds);
        assert_eq!(!Unknown, Unknown);
    }

    fn spans() -> impl Strategy<Value = Span> {
        (0u64..6, prop_oneof![Just(None), (0u64..4).prop_map(Some)])
            .prop_map(|(least, more)| Span { least, most: more.map(|more| least + more) })
    }

    proptest! {
        /// What is said of what is partly known is so of every number that it can be.
        #[test]
        fn a_comparison_of_spans_is_one_of_all_their_numbers(one in spans(), other in spans()) {
            // More than any bound: stands for all that have no most.
            let numbers = |span: Span| span.least..=span.most.unwrap_or(20);
            for op in [Op::Equal, Op::Unequal, Op::Less, Op::AtMost, Op::Greater, Op::AtLeast] {
                let mut so = numbers(one).flat_map(|a| numbers(other).map(move |b| compare(a, op, b)));
                let first = so.next().unwrap();
                let expected = if so.all(|is_so| is_so == first) { Verdict::from(first) } else { Verdict::Unknown };
                prop_assert_eq!(one.compare(op, other), expected, "{:?}", op);
            }
        }
    }
}
