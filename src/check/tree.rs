//! A check, understood. `Display` writes it so that reading it gives the same again.

use std::fmt;

use mmview_platform::Detail;

use super::field::{Measure, Predicate};
use super::pattern::{Pattern, Quoted};
use super::verdict::Verdict;
use crate::filter::Permissions;

/// Atoms joined by `and`, `or` and `not`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Logic<A> {
    Atom(A),
    Not(Box<Logic<A>>),
    /// At least two.
    And(Vec<Logic<A>>),
    /// At least two.
    Or(Vec<Logic<A>>),
}

/// What is said of a map.
pub(super) type Expr = Logic<Atom>;

/// What is said of a region.
pub(super) type Filter = Logic<Predicate>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Atom {
    Mapped(Pattern),
    Regions(Quantity, Option<Filter>),
    Compare(Value, Op, Value),
    At(u64, What),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    Any,
    All,
    None,
}

/// A number of a map's.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Sum(Measure, Option<Filter>),
    Max(Measure, Option<Filter>),
    Count(Option<Filter>),
    Number(Number),
}

/// A number or a size, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub text: String,
    pub value: u64,
}

/// What is at an address.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Mapped,
    Unmapped,
    Perm(Perm),
    Filter(Filter),
}

/// A protection, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Perm {
    pub text: String,
    pub permissions: Permissions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Op {
    /// Whether it asks which of two numbers is larger.
    pub fn is_order(self) -> bool {
        !matches!(self, Op::Equal | Op::Unequal)
    }

    /// The same comparison from the other side.
    pub fn mirrored(self) -> Op {
        match self {
            Op::Less => Op::Greater,
            Op::AtMost => Op::AtLeast,
            Op::Greater => Op::Less,
            Op::AtLeast => Op::AtMost,
            equal => equal,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Op::Equal => "==",
            Op::Unequal => "!=",
            Op::Less => "<",
            Op::AtMost => "<=",
            Op::Greater => ">",
            Op::AtLeast => ">=",
        }
    }
}

impl<A> Logic<A> {
    /// What comes of the atoms' verdicts, by Kleene's rules; asks no more of them than it has to.
    pub fn verdict(&self, of: &mut dyn FnMut(&A) -> Verdict) -> Verdict {
        match self {
            Logic::Atom(atom) => of(atom),
            Logic::Not(inner) => !inner.verdict(of),
            Logic::And(parts) => fold(parts, of, Verdict::Fails, Verdict::min),
            Logic::Or(parts) => fold(parts, of, Verdict::Holds, Verdict::max),
        }
    }

    /// The atoms.
    pub fn atoms<'a>(&'a self, tell: &mut dyn FnMut(&'a A)) {
        match self {
            Logic::Atom(atom) => tell(atom),
            Logic::Not(inner) => inner.atoms(tell),
            Logic::And(parts) | Logic::Or(parts) => parts.iter().for_each(|part| part.atoms(tell)),
        }
    }
}

fn fold<A>(
    parts: &[Logic<A>],
    of: &mut dyn FnMut(&A) -> Verdict,
    decides: Verdict,
    join: fn(Verdict, Verdict) -> Verdict,
) -> Verdict {
    let mut verdict = !decides;
    for part in parts {
        verdict = join(verdict, part.verdict(of));
        if verdict == decides {
            break;
        }
    }
    verdict
}

impl Atom {
    /// The least that has to be read of each region.
    pub fn needs(&self) -> Detail {
        let filter = |filter: &Option<Filter>| filter.as_ref().map_or(Detail::Layout, needs);
        let value = |value: &Value| match value {
            Value::Sum(measure, of) | Value::Max(measure, of) => measure.needs().max(filter(of)),
            Value::Count(of) => filter(of),
            Value::Number(_) => Detail::Layout,
        };
        match self {
            Atom::Regions(_, of) => filter(of),
            Atom::Compare(left, _, right) => value(left).max(value(right)),
            Atom::At(_, What::Filter(filter)) => needs(filter),
            Atom::Mapped(_) | Atom::At(..) => Detail::Layout,
        }
    }
}

/// The least that has to be read of each region to decide a filter.
fn needs(filter: &Filter) -> Detail {
    let mut least = Detail::Layout;
    filter.atoms(&mut |predicate| least = least.max(predicate.needs()));
    least
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
            Atom::At(address, what) => write!(f, "at {address:#x} is {what}"),
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
            |f: &mut fmt::Formatter<'_>, word: &str, measure: &Measure, filter: &Option<Filter>| match filter
            {
                None => write!(f, "{word}({})", measure.name()),
                Some(filter) => write!(f, "{word}({}, {filter})", measure.name()),
            };
        match self {
            Value::Sum(measure, filter) => filtered(f, "sum", measure, filter),
            Value::Max(measure, filter) => filtered(f, "max", measure, filter),
            Value::Count(None) => f.write_str("count()"),
            Value::Count(Some(filter)) => write!(f, "count({filter})"),
            Value::Number(number) => f.write_str(&number.text),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Mapped => f.write_str("mapped"),
            What::Unmapped => f.write_str("unmapped"),
            What::Perm(perm) => f.write_str(&perm.text),
            What::Filter(filter) => write!(f, "({filter})"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Quoted(self.bytes()))
    }
}
