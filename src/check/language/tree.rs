//! The tree of a check. `Display` writes it in canonical form, which parses to the same tree.

use std::fmt;

use super::field::Predicate;
use super::literal::{Number, Op, Perm};
use super::pattern::{Pattern, Quoted, TypeGlob};
use crate::field::Field;

/// Atoms joined by `and`, `or` and `not`.
#[derive(Clone, Debug, PartialEq)]
pub enum Logic<A> {
    Atom(A),
    Not(Box<Logic<A>>),
    /// At least two.
    And(Vec<Logic<A>>),
    /// At least two.
    Or(Vec<Logic<A>>),
}

/// A check: conditions on a whole map.
pub type Expr = Logic<Atom>;

/// Conditions on one region.
pub type Filter = Logic<Predicate>;

#[derive(Clone, Debug, PartialEq)]
pub enum Atom {
    /// Some region maps this file.
    Mapped(Pattern),
    /// So many regions match; without a filter, every region does.
    Regions(Quantity, Option<Filter>),
    Compare(Value, Op, Value),
    /// The place at this address meets a condition.
    At(u64, Condition),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    Any,
    All,
    None,
}

/// A number that is computed from a map, or a literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Sum(&'static Field, Option<Filter>),
    Max(&'static Field, Option<Filter>),
    Count(Option<Filter>),
    /// What is allocated in all zones, or in those whose names match.
    Allocated(Allocated, Option<TypeGlob>),
    Number(Number),
}

/// What to add up of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocated {
    /// The bytes in blocks in use.
    Bytes,
    /// The number of those blocks.
    Blocks,
}

/// A condition on the place at an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Mapped,
    Unmapped,
    Perm(Perm),
    Filter(Filter),
}

impl Condition {
    /// The filter, if it is one.
    pub fn filter(&self) -> Option<&Filter> {
        match self {
            Condition::Filter(filter) => Some(filter),
            _ => None,
        }
    }
}

impl Value {
    /// The filter, if it has one.
    pub fn filter(&self) -> Option<&Filter> {
        match self {
            Value::Sum(_, filter) | Value::Max(_, filter) | Value::Count(filter) => filter.as_ref(),
            Value::Number(_) | Value::Allocated(..) => None,
        }
    }

    /// The size that it takes of each region, if it does.
    pub fn size(&self) -> Option<&'static Field> {
        match self {
            Value::Sum(field, _) | Value::Max(field, _) => Some(field),
            Value::Count(_) | Value::Number(_) | Value::Allocated(..) => None,
        }
    }
}

impl<A> Logic<A> {
    /// Calls `visit` for every atom, from left to right.
    pub fn for_each_atom<'a>(&'a self, visit: &mut dyn FnMut(&'a A)) {
        match self {
            Logic::Atom(atom) => visit(atom),
            Logic::Not(inner) => inner.for_each_atom(visit),
            Logic::And(parts) | Logic::Or(parts) => parts.iter().for_each(|part| part.for_each_atom(visit)),
        }
    }
}

impl<A: fmt::Display> fmt::Display for Logic<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joined = |parts: &[Logic<A>], word: &str, is_loose: fn(&Logic<A>) -> bool| {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                if is_loose(part) { write!(f, "({part})") } else { write!(f, "{part}") }?;
            }
            Ok(())
        };
        match self {
            Logic::And(parts) => joined(parts, "and", |part| matches!(part, Logic::And(_) | Logic::Or(_))),
            Logic::Or(parts) => joined(parts, "or", |part| matches!(part, Logic::Or(_))),
            Logic::Not(inner) if matches!(**inner, Logic::And(_) | Logic::Or(_)) => {
                write!(f, "not ({inner})")
            }
            Logic::Not(inner) => write!(f, "not {inner}"),
            Logic::Atom(atom) => write!(f, "{atom}"),
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Mapped(pattern) => write!(f, "mapped {pattern}"),
            Atom::Regions(quantity, None) => write!(f, "{quantity}()"),
            Atom::Regions(quantity, Some(filter)) => write!(f, "{quantity}({filter})"),
            Atom::Compare(left, op, right) => write!(f, "{left} {} {right}", op.as_str()),
            Atom::At(address, condition) => write!(f, "at {address:#x} is {condition}"),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Quantity::Any => "any",
            Quantity::All => "all",
            Quantity::None => "none",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filtered =
            |f: &mut fmt::Formatter<'_>, word: &str, field: &Field, filter: &Option<Filter>| match filter {
                None => write!(f, "{word}({})", field.name),
                Some(filter) => write!(f, "{word}({}, {filter})", field.name),
            };
        match self {
            Value::Sum(field, filter) => filtered(f, "sum", field, filter),
            Value::Max(field, filter) => filtered(f, "max", field, filter),
            Value::Count(None) => f.write_str("count()"),
            Value::Count(Some(filter)) => write!(f, "count({filter})"),
            Value::Allocated(what, zone) => {
                f.write_str(match what {
                    Allocated::Bytes => "sum(allocated",
                    Allocated::Blocks => "count(allocations",
                })?;
                if let Some(zone) = zone {
                    write!(f, ", zone={}", Quoted(zone.text().as_bytes()))?;
                }
                f.write_str(")")
            }
            Value::Number(number) => f.write_str(&number.text),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Mapped => f.write_str("mapped"),
            Condition::Unmapped => f.write_str("unmapped"),
            Condition::Perm(perm) => f.write_str(&perm.text),
            Condition::Filter(filter) => write!(f, "({filter})"),
        }
    }
}
