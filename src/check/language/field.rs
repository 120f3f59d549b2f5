//! The fields of a region, and conditions on them.

use std::fmt;

use mmview_platform::{AddrRange, Bytes};

use super::literal::{Number, Op, Perm, Share};
use super::pattern::{Pattern, Quoted, TypeGlob};
use crate::field::{self, Class, Field};
use crate::kind::RegionKind;

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
    Number(&'static Field, Op, Number),
    /// The text, or one of the words.
    Text(&'static Field, TypeGlob),
    Truth(&'static Field),
    Start(Op, u64),
    End(Op, u64),
    /// The region overlaps this range.
    Addr(AddrRange),
}

impl Test {
    /// The field.
    pub fn field(&self) -> &'static Field {
        match self {
            Test::Kind(..) => &field::KIND,
            Test::Type(_) => &field::TYPE,
            Test::Path(_) => &field::PATH,
            Test::Name(_) => &field::NAME,
            Test::Perm(_) => &field::PERM,
            Test::Share(_) => &field::SHARE,
            Test::Number(field, ..) | Test::Text(field, _) | Test::Truth(field) => field,
            Test::Start(..) => &field::START,
            Test::End(..) => &field::END,
            Test::Addr(_) => &field::ADDRESS,
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.test.field().name;
        let equal = if self.is_negated { "!=" } else { "=" };
        let sign = |op: &Op| if *op == Op::Equal { equal } else { op.as_str() };
        match &self.test {
            Test::Kind(kinds) => write!(f, "{field}{equal}{}", kinds[0].id()),
            Test::Type(glob) | Test::Text(_, glob) => {
                write!(f, "{field}{equal}{}", Quoted(glob.text().as_bytes()))
            }
            Test::Path(pattern) | Test::Name(pattern) => write!(f, "{field}{equal}{pattern}"),
            Test::Perm(perm) => write!(f, "{field}{equal}{}", perm.text),
            Test::Share(share) => write!(f, "{field}{equal}{}", share.word()),
            Test::Number(_, op, number) => write!(f, "{field}{}{}", sign(op), number.text),
            Test::Start(op, address) | Test::End(op, address) => write!(f, "{field}{}{address:#x}", sign(op)),
            Test::Addr(range) if range.size() == Bytes(1) => write!(f, "{field}{equal}{:#x}", range.start()),
            Test::Addr(range) => write!(f, "{field}{equal}{range}"),
            Test::Truth(_) if self.is_negated => write!(f, "{field}=false"),
            Test::Truth(_) => f.write_str(field),
        }
    }
}

/// The field of this name, if regions have it.
pub fn field_named(word: &str) -> Option<&'static Field> {
    Field::named(word).filter(|field| field.is_of_region())
}

/// The names of some fields.
pub fn names(is_wanted: fn(&Field) -> bool) -> Vec<&'static str> {
    Field::all().filter(|field| is_wanted(field)).map(|field| field.name).collect()
}

/// An example of a condition on a field.
pub fn example(field: &Field) -> String {
    let value = match (field.name, field.class) {
        ("kind", _) => "mapped-file",
        ("type", _) => "\"Heap\"",
        ("path", _) => "\"*.so\"",
        ("name", _) => "\"[heap]\"",
        ("share", _) => "shared",
        ("evidence", _) => "memory",
        ("flags", _) => "lo",
        (_, Class::Protection) => "rw-",
        (_, Class::Address) => "0x7f0000000000",
        (_, Class::Truth) => "true",
        (_, Class::Sum | Class::Size) => "4K",
        (_, Class::Count | Class::Number) => "1",
        _ => "\"…\"",
    };
    format!("{}={value}", field.name)
}
