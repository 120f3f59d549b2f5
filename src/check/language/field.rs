//! The fields of a region, and conditions on them.

use std::fmt;

use mmview_platform::{AddrRange, Bytes};

use super::literal::{Number, Op, Perm, Share};
use super::pattern::{Pattern, Quoted, TypeGlob};
use crate::kind::RegionKind;

/// A size of a region that can be added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    Size,
    Resident,
    Dirty,
    Swapped,
    Pss,
    Unique,
}

impl Measure {
    pub const ALL: [Measure; 6] =
        [Measure::Size, Measure::Resident, Measure::Dirty, Measure::Swapped, Measure::Pss, Measure::Unique];

    pub fn name(self) -> &'static str {
        match self {
            Measure::Size => "size",
            Measure::Resident => "resident",
            Measure::Dirty => "dirty",
            Measure::Swapped => "swapped",
            Measure::Pss => "pss",
            Measure::Unique => "unique",
        }
    }

    pub fn named(name: &str) -> Option<Measure> {
        Measure::ALL.into_iter().find(|measure| measure.name() == name)
    }
}

/// The name of every field.
pub const FIELDS: [&str; 17] = [
    "kind", "type", "path", "name", "perm", "share", "size", "resident", "dirty", "swapped", "pss", "unique",
    "offset", "start", "end", "addr", "deleted",
];

/// The names that other tools use, for suggestions.
pub const ALIASES: [(&str, &str); 14] = [
    ("protection", "perm"),
    ("prot", "perm"),
    ("permissions", "perm"),
    ("mode", "perm"),
    ("rss", "resident"),
    ("rsdnt", "resident"),
    ("swap", "swapped"),
    ("uss", "unique"),
    ("proportional", "pss"),
    ("file", "path"),
    ("address", "addr"),
    ("vsize", "size"),
    ("virtual", "size"),
    ("length", "size"),
];

/// A condition on one field of a region.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    /// Whether the test must fail.
    pub is_negated: bool,
    pub test: Test,
}

/// A field, and what it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The kind is one of these: those that a word means ([`RegionKind::named`]).
    Kind(&'static [RegionKind]),
    Type(TypeGlob),
    Path(Pattern),
    Name(Pattern),
    Perm(Perm),
    Share(Share),
    /// Never [`Op::Unequal`]: that is a negated [`Op::Equal`].
    Measured(Measure, Op, Number),
    Offset(Op, Number),
    Start(Op, u64),
    End(Op, u64),
    /// The region overlaps this range.
    Addr(AddrRange),
    Deleted,
}

impl Test {
    /// The name of the field.
    pub fn field(&self) -> &'static str {
        match self {
            Test::Kind(..) => "kind",
            Test::Type(_) => "type",
            Test::Path(_) => "path",
            Test::Name(_) => "name",
            Test::Perm(_) => "perm",
            Test::Share(_) => "share",
            Test::Measured(measure, ..) => measure.name(),
            Test::Offset(..) => "offset",
            Test::Start(..) => "start",
            Test::End(..) => "end",
            Test::Addr(_) => "addr",
            Test::Deleted => "deleted",
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.test.field();
        let equal = if self.is_negated { "!=" } else { "=" };
        let sign = |op: &Op| if *op == Op::Equal { equal } else { op.as_str() };
        match &self.test {
            Test::Kind(kinds) => write!(f, "{field}{equal}{}", kinds[0].id()),
            Test::Type(glob) => write!(f, "{field}{equal}{}", Quoted(glob.text().as_bytes())),
            Test::Path(pattern) | Test::Name(pattern) => write!(f, "{field}{equal}{pattern}"),
            Test::Perm(perm) => write!(f, "{field}{equal}{}", perm.text),
            Test::Share(share) => write!(f, "{field}{equal}{}", share.word()),
            Test::Measured(_, op, number) | Test::Offset(op, number) => {
                write!(f, "{field}{}{}", sign(op), number.text)
            }
            Test::Start(op, address) | Test::End(op, address) => write!(f, "{field}{}{address:#x}", sign(op)),
            Test::Addr(range) if range.size() == Bytes(1) => write!(f, "{field}{equal}{:#x}", range.start()),
            Test::Addr(range) => write!(f, "{field}{equal}{range}"),
            Test::Deleted if self.is_negated => write!(f, "{field}=false"),
            Test::Deleted => f.write_str(field),
        }
    }
}
