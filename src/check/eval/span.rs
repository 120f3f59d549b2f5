//! Numbers that are partly known.

use mmview_platform::Bytes;

use super::evidence::Evidence;
use super::region::passes;
use super::verdict::Verdict;
use crate::check::language::{Allocated, Op, TypeGlob, Value};

/// What is known of a number: the least that it can be, and the most if there is a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub least: u64,
    pub most: Option<u64>,
}

impl Span {
    /// Nothing is known.
    pub const UNKNOWN: Span = Span { least: 0, most: None };

    /// Computes a value. A size that was not measured can be any size: a sum grows by it, or stays.
    pub fn of(value: &Value, evidence: Evidence<'_>) -> Span {
        let (field, filter) = match value {
            Value::Number(number) => return Span { least: number.value, most: Some(number.value) },
            Value::Allocated(what, zone) => return Span::of_zones(*what, zone.as_ref(), evidence),
            Value::Count(filter) => (None, filter),
            Value::Sum(field, filter) | Value::Max(field, filter) => (Some(*field), filter),
        };
        let join = if matches!(value, Value::Max(..)) { u64::max } else { u64::saturating_add };
        let evidence = evidence.for_filter(filter.as_ref());
        let mut span = Span { least: 0, most: evidence.missing.is_none().then_some(0) };
        for region in evidence.regions {
            let verdict = passes(filter.as_ref(), region);
            if verdict == Verdict::Fails {
                continue;
            }
            let one = field.map_or(Some(1), |field| field.number(region));
            if verdict == Verdict::Holds {
                span.least = join(span.least, one.unwrap_or(0));
            }
            span.most = span.most.zip(one).map(|(most, one)| join(most, one));
        }
        span
    }

    /// Adds up zones. A zone without the figure leaves the sum open.
    fn of_zones(what: Allocated, name: Option<&TypeGlob>, evidence: Evidence<'_>) -> Span {
        let Some(zones) = evidence.zones else { return Span::UNKNOWN };
        let mut span = Span { least: 0, most: Some(0) };
        for zone in zones.iter().filter(|zone| name.is_none_or(|name| name.matches(&zone.name))) {
            let one = match what {
                Allocated::Bytes => zone.allocated.map(|Bytes(size)| size),
                Allocated::Blocks => zone.allocations,
            };
            span.least = span.least.saturating_add(one.unwrap_or(0));
            span.most = span.most.zip(one).map(|(most, one)| most.saturating_add(one));
        }
        span
    }

    /// The number, if it is known exactly.
    pub fn exact(self) -> Option<u64> {
        self.most.filter(|most| *most == self.least)
    }

    /// Compares two numbers as far as they are known.
    pub fn compare(self, op: Op, other: Span) -> Verdict {
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
                // The two extremes: as far apart as possible, in either direction.
                let surely = self.most.is_some_and(|most| op.compare(most, other.least));
                let possibly = other.most.is_none_or(|most| op.compare(self.least, most));
                match (surely, possibly) {
                    (true, _) => Verdict::Holds,
                    (false, true) => Verdict::Unknown,
                    (false, false) => Verdict::Fails,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spans() -> impl Strategy<Value = Span> {
        (0u64..6, prop_oneof![Just(None), (0u64..4).prop_map(Some)])
            .prop_map(|(least, more)| Span { least, most: more.map(|more| least + more) })
    }

    proptest! {
        /// A comparison of spans holds or fails only if it does for all numbers in them.
        #[test]
        fn a_comparison_of_spans_is_one_of_all_their_numbers(one in spans(), other in spans()) {
            // Larger than every bound in this test, in place of infinity.
            let numbers = |span: Span| span.least..=span.most.unwrap_or(20);
            for op in [Op::Equal, Op::Unequal, Op::Less, Op::AtMost, Op::Greater, Op::AtLeast] {
                let mut results = numbers(one).flat_map(|a| numbers(other).map(move |b| op.compare(a, b)));
                let first = results.next().unwrap();
                let expected = if results.all(|result| result == first) { Verdict::from(first) } else { Verdict::Unknown };
                prop_assert_eq!(one.compare(op, other), expected, "{:?}", op);
            }
        }
    }
}
