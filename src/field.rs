//! The facts of a region by name. Columns, sort keys and the fields of checks all come from [`GROUPS`].

#[cfg(feature = "cli")]
mod choice;
mod table;

use std::borrow::Cow;
use std::fmt;

use mmview_platform::{Bytes, Detail, Native, Protection, ShareMode};

use crate::kind::RegionKind;
use crate::region::Classified;
#[cfg(feature = "cli")]
pub use choice::{Choice, InvalidColumns, Place, UnknownName};
pub use table::*;

/// A fact that a region has.
pub struct Field {
    /// Its name in `--columns`, `--sort` and checks.
    pub name: &'static str,
    /// Its name in JSON and CSV, which is also understood.
    pub id: &'static str,
    /// Other names that are understood: those of the kernel and of other tools.
    pub aliases: &'static [&'static str],
    /// Its title in a listing.
    pub title: &'static str,
    /// Its title in a summary, in two lines; empty if a summary doesn't have it.
    pub heading: &'static str,
    /// What it means, in a few words.
    pub about: &'static str,
    /// The system that reports it; `None` if both do.
    pub os: Option<&'static str>,
    /// The least detail that has it.
    pub detail: Detail,
    /// What sort of value it is.
    pub class: Class,
    /// How to get it.
    pub read: Read,
}

/// What sort of value a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A size in bytes that adds up.
    Sum,
    /// A size in bytes that doesn't.
    Size,
    /// A number: the larger, the more.
    Count,
    /// A number that identifies something, or a place in a file.
    Number,
    /// An address.
    Address,
    /// Yes or no.
    Truth,
    /// Words, each a value of its own.
    Words,
    /// A short text.
    Text,
    /// A name or path, or other text of any length.
    Name,
    /// The identifier of a kind.
    Kind,
    /// The name of a type.
    Type,
    /// Three letters, such as `rw-`.
    Protection,
    /// Who sees a write.
    Share,
    /// How the purpose is known.
    Evidence,
}

/// How to get the value of a field.
#[derive(Clone, Copy)]
pub enum Read {
    /// From a region or from a part of one.
    Region(for<'a> fn(&'a Classified) -> Value<'a>),
    /// From what only one system reports about a whole region.
    Native(fn(&Native) -> Option<Bytes>),
    /// Only tables have it.
    Table,
}

/// The value of a field.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// It was not measured, or the system doesn't report it.
    Unmeasured,
    /// There is none: no name, no owner.
    Nothing,
    /// A size.
    Size(Bytes),
    /// A number.
    Number(u64),
    /// An address.
    Address(u64),
    /// Yes or no.
    Truth(bool),
    /// A text.
    Text(Cow<'a, [u8]>),
    /// A kind.
    Kind(RegionKind),
    /// A protection.
    Protection(Protection),
    /// Who sees a write.
    Share(ShareMode),
}

/// Names are unique.
impl PartialEq for Field {
    fn eq(&self, other: &Field) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Field {
    /// Every field.
    pub fn all() -> impl Iterator<Item = &'static Field> {
        GROUPS.iter().flat_map(|group| group.fields).copied()
    }

    /// The field of this name, in upper or lower case, with `-` or `_`.
    pub fn named(text: &str) -> Option<&'static Field> {
        let same = |name: &str| {
            let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
            name.len() == text.len() && name.bytes().map(plain).eq(text.bytes().map(plain))
        };
        Field::all()
            .find(|field| same(field.name) || same(field.id) || field.aliases.iter().any(|name| same(name)))
    }

    /// Whether it is a size that adds up.
    pub fn is_sum(&self) -> bool {
        self.class == Class::Sum
    }

    /// Whether it is a number that can be compared with another.
    pub fn is_number(&self) -> bool {
        matches!(self.class, Class::Sum | Class::Size | Class::Count | Class::Number)
    }

    /// Whether a region has it, and not only a table.
    pub fn is_of_region(&self) -> bool {
        !matches!(self.read, Read::Table)
    }

    /// Whether it says what memory is for: each part of a region has its own.
    pub fn is_purpose(&self) -> bool {
        matches!(self.class, Class::Kind | Class::Type | Class::Evidence) || *self == OWNER
    }

    /// Its value for a region.
    ///
    /// What is reported of a whole region is unknown of its parts, unless there is none of it.
    pub fn value<'a>(&self, region: &'a Classified) -> Value<'a> {
        match self.read {
            Read::Region(get) => get(region),
            Read::Native(get) => match get(region.native()) {
                Some(size) if !region.is_part() || size == Bytes::ZERO || !self.is_sum() => Value::Size(size),
                _ => Value::Unmeasured,
            },
            Read::Table => Value::Unmeasured,
        }
    }

    /// Its value for a region as a number.
    pub fn number(&self, region: &Classified) -> Option<u64> {
        self.value(region).number()
    }

    /// What its system alone reports about a region.
    pub fn native(&self, native: &Native) -> Option<Bytes> {
        match self.read {
            Read::Native(get) => get(native),
            Read::Region(_) | Read::Table => None,
        }
    }

    /// The order of two values: amounts from large to small, `yes` before `no`, anything else ascending.
    #[cfg(feature = "cli")]
    pub fn compare(&self, one: &Value<'_>, other: &Value<'_>) -> std::cmp::Ordering {
        match self.class {
            Class::Sum | Class::Size | Class::Count | Class::Truth => other.number().cmp(&one.number()),
            Class::Number | Class::Address => one.number().cmp(&other.number()),
            _ => one.bytes().cmp(&other.bytes()),
        }
    }
}

impl<'a> Value<'a> {
    /// A size that may not have been measured.
    pub fn size(size: Option<Bytes>) -> Value<'a> {
        size.map_or(Value::Unmeasured, Value::Size)
    }

    /// A number that may be unknown.
    pub fn count(number: Option<u64>) -> Value<'a> {
        number.map_or(Value::Unmeasured, Value::Number)
    }

    /// A truth that may be unknown.
    pub fn truth(is_true: Option<bool>) -> Value<'a> {
        is_true.map_or(Value::Unmeasured, Value::Truth)
    }

    /// A text, if there is one.
    pub fn text(text: Option<&'a [u8]>) -> Value<'a> {
        text.map_or(Value::Nothing, |text| Value::Text(Cow::Borrowed(text)))
    }

    /// The value as a number, if it is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Size(Bytes(number)) | Value::Number(number) | Value::Address(number) => Some(*number),
            Value::Truth(is_true) => Some((*is_true).into()),
            _ => None,
        }
    }

    /// The value as text, if it is that.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Text(text) => Some(text),
            Value::Kind(kind) => Some(kind.id().as_bytes()),
            Value::Protection(protection) => Some(protection.as_str().as_bytes()),
            Value::Share(share) => Some(share.code().as_bytes()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mmview_platform::{AddrRange, PageCounts, SmapsField};

    use super::*;
    use crate::classify::tests::classified;
    use crate::region::{Meaning, Part};

    #[test]
    fn every_name_is_that_of_one_field() {
        let mut names = BTreeSet::new();
        for field in Field::all() {
            let own = [&[field.name, field.id], field.aliases].concat();
            let own: BTreeSet<_> = own.iter().map(|name| name.to_lowercase().replace('_', "-")).collect();
            for name in own {
                assert_eq!(Field::named(&name), Some(field));
                assert!(names.insert(name), "{field:?}");
            }
        }
    }

    #[test]
    fn the_kernels_names_are_understood() {
        for counter in SmapsField::ALL {
            assert!(Field::named(counter.key()).is_some(), "{}", counter.key());
        }
        assert_eq!(Field::named("AnonHugePages"), Some(&THP));
        assert_eq!(Field::named("PRIVATE-dirty"), Field::named("Private_Dirty"));
        assert_eq!(Field::named("lazyfre"), None);
    }

    #[test]
    fn what_was_not_measured_is_not_zero() {
        let regions = classified("1000-2000 rw-p 0 00:00 0\n2000-3000 rw-p 0 00:00 0\nLazyFree: 0 kB\n");
        assert_eq!(regions.iter().map(|region| LAZYFREE.number(region)).collect::<Vec<_>>(), [None, Some(0)]);
    }

    #[test]
    fn what_a_whole_region_has_is_not_that_of_a_part() {
        let text =
            "1000-3000 rw-p 0 00:00 0\nRss: 8 kB\nLazyFree: 4 kB\nLocked: 0 kB\nKernelPageSize: 4 kB\n";
        let whole = &classified(text)[0];
        let part = |start, end| {
            let range = AddrRange::new(start, end).unwrap();
            Part::new(range, Meaning::of(RegionKind::Heap), PageCounts::UNMEASURED)
        };
        let facts = whole.facts().clone();
        let region = Classified::of_parts(facts, vec![part(0x1000, 0x2000), part(0x2000, 0x3000)]);
        for part in region.divided() {
            let values = [&SIZE, &RESIDENT, &LAZYFREE, &LOCKED, &PAGE_SIZE].map(|field| field.number(&part));
            assert_eq!(values, [Some(4096), None, None, Some(0), Some(4096)]);
        }
        assert_eq!(LAZYFREE.number(&region), Some(4096));
    }
}
