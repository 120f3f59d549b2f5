//! The verdict of a check and of its parts.

use super::evidence::Evidence;
use super::region::passes;
use super::span::Span;
use super::verdict::Verdict;
use crate::check::language::{Atom, Condition, Expr, Quantity};
use crate::region::Classified;

/// Decides a check. Looks at no more regions than it has to.
pub fn decide(expr: &Expr, evidence: Evidence<'_>) -> Verdict {
    expr.verdict(&mut |atom| decide_atom(atom, evidence))
}

/// Decides one part of a check.
pub fn decide_atom(atom: &Atom, evidence: Evidence<'_>) -> Verdict {
    match atom {
        Atom::Mapped(pattern) => evidence.any(|region| pattern.matches_path(region)),
        Atom::Regions(quantity, filter) => {
            let filter = filter.as_ref();
            let evidence = evidence.for_filter(filter);
            match quantity {
                Quantity::Any => evidence.any(|region| passes(filter, region)),
                Quantity::None => !evidence.any(|region| passes(filter, region)),
                Quantity::All => !evidence.any(|region| !passes(filter, region)),
            }
        }
        Atom::Compare(left, op, right) => Span::of(left, evidence).compare(*op, Span::of(right, evidence)),
        Atom::At(address, condition) => match evidence.for_filter(condition.filter()).at(*address) {
            Some(region) => meets(condition, region),
            None => match condition {
                Condition::Unmapped => !evidence.unread(),
                _ => evidence.unread(),
            },
        },
    }
}

/// Whether the region at an address meets a condition on that place.
pub fn meets(condition: &Condition, region: &Classified) -> Verdict {
    match condition {
        Condition::Mapped => Verdict::Holds,
        Condition::Unmapped => Verdict::Fails,
        Condition::Perm(perm) => perm.permissions.matches(region).into(),
        Condition::Filter(filter) => passes(Some(filter), region),
    }
}
