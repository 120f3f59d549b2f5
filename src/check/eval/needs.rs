//! How much of each region a check needs.

use mmview_platform::Detail;

use super::region::NEED_FLAGS;
use crate::check::language::{Atom, Condition, Expr, Filter, Predicate, Test, Value};

/// The least detail that can decide a check.
pub fn needs(expr: &Expr) -> Detail {
    let mut least = Detail::Layout;
    expr.for_each_atom(&mut |atom| least = least.max(of_atom(atom)));
    least
}

fn of_atom(atom: &Atom) -> Detail {
    match atom {
        Atom::Regions(_, filter) => of_optional(filter),
        Atom::Compare(left, _, right) => of_value(left).max(of_value(right)),
        // What is at one address is as exact as in a listing, which has flags for the purpose of any region.
        Atom::At(_, Condition::Filter(filter)) if asks_for_purpose(filter) => Detail::Counts,
        Atom::At(_, Condition::Filter(filter)) => of_filter(filter),
        Atom::Mapped(_) | Atom::At(..) => Detail::Layout,
    }
}

fn of_value(value: &Value) -> Detail {
    match value {
        Value::Sum(field, filter) | Value::Max(field, filter) => field.detail.max(of_optional(filter)),
        Value::Count(filter) => of_optional(filter),
        Value::Number(_) | Value::Allocated(..) => Detail::Layout,
    }
}

fn of_optional(filter: &Option<Filter>) -> Detail {
    filter.as_ref().map_or(Detail::Layout, of_filter)
}

fn of_filter(filter: &Filter) -> Detail {
    let mut least = Detail::Layout;
    filter.for_each_atom(&mut |predicate| least = least.max(of_predicate(predicate)));
    least
}

/// Whether a filter asks for the purpose of regions.
pub(super) fn asks_for_purpose(filter: &Filter) -> bool {
    let mut asks = false;
    filter.for_each_atom(&mut |predicate| asks |= predicate.test.field().is_purpose());
    asks
}

fn of_predicate(predicate: &Predicate) -> Detail {
    match &predicate.test {
        Test::Kind(kinds) if kinds.iter().any(|kind| NEED_FLAGS.contains(kind)) => Detail::Counts,
        Test::Type(glob) if NEED_FLAGS.iter().any(|kind| glob.matches(kind.title())) => Detail::Counts,
        test => test.field().detail,
    }
}
