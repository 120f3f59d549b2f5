//! The fields of a region, and what is said of one.

use std::fmt;

use mmview_platform::{AddrRange, Bytes, Detail, Native, ShareMode};

use super::pattern::{Pattern, Quoted, TypeGlob, is_shortened};
use super::tree::{Number, Op, Perm};
use super::verdict::Verdict;
use crate::kind::RegionKind;
use crate::region::Classified;

/// A size of a region that can be added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Measure {
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

    /// The size; `None` where it was not measured.
    pub fn of(self, classified: &Classified) -> Option<u64> {
        let region = classified.facts();
        let counts = &region.counts;
        let size = match self {
            Measure::Size => Some(region.size()),
            Measure::Resident => counts.resident,
            Measure::Dirty => counts.dirty,
            Measure::Swapped => counts.swapped,
            Measure::Pss => counts.proportional,
            Measure::Unique => counts.unique,
        };
        size.map(|Bytes(size)| size)
    }

    pub fn needs(self) -> Detail {
        match self {
            Measure::Size => Detail::Layout,
            Measure::Resident | Measure::Swapped => Detail::Resident,
            Measure::Dirty | Measure::Pss | Measure::Unique => Detail::Counts,
        }
    }
}

/// Every field, by its name.
pub(super) const FIELDS: [&str; 17] = [
    "kind", "type", "path", "name", "perm", "share", "size", "resident", "dirty", "swapped", "pss", "unique",
    "offset", "start", "end", "addr", "deleted",
];

/// What other tools call them.
pub(super) const ALIASES: [(&str, &str); 14] = [
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

/// What is said of a region: its field, compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Predicate {
    /// Whether it is to be otherwise.
    pub is_negated: bool,
    pub test: Test,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// One of these: what a word stands for ([`RegionKind::named`]).
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
    Holds(AddrRange),
    Deleted,
}

/// Who sees a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Another mapping, or none.
    IsShared(bool),
    /// Exactly this mode.
    Exactly(ShareMode),
    /// What vmmap writes with this code.
    Code(&'static str),
}

impl Share {
    pub fn named(word: &str) -> Option<Share> {
        match word {
            "shared" => return Some(Share::IsShared(true)),
            "private" => return Some(Share::IsShared(false)),
            _ => {}
        }
        let exactly = ShareMode::ALL.iter().find(|mode| mode.id() == word).map(|mode| Share::Exactly(*mode));
        let code =
            || ShareMode::ALL.iter().map(|mode| mode.code()).find(|code| code.eq_ignore_ascii_case(word));
        exactly.or_else(|| code().map(Share::Code))
    }

    /// The words that there are.
    pub fn words() -> Vec<&'static str> {
        let mut words: Vec<_> = ShareMode::ALL.iter().map(|mode| mode.id()).collect();
        words.extend(ShareMode::ALL.iter().map(|mode| mode.code()));
        words.dedup();
        words
    }

    fn word(self) -> &'static str {
        match self {
            Share::IsShared(true) => "shared",
            Share::IsShared(false) => "private",
            Share::Exactly(mode) => mode.id(),
            Share::Code(code) => code,
        }
    }

    fn matches(self, mode: ShareMode) -> bool {
        match self {
            Share::IsShared(is_shared) => mode.is_shared() == is_shared,
            Share::Exactly(exactly) => mode == exactly,
            Share::Code(code) => mode.code() == code,
        }
    }
}

/// Compares two numbers.
pub(super) fn compare(left: u64, op: Op, right: u64) -> bool {
    match op {
        Op::Equal => left == right,
        Op::Unequal => left != right,
        Op::Less => left < right,
        Op::AtMost => left <= right,
        Op::Greater => left > right,
        Op::AtLeast => left >= right,
    }
}

/// Kinds that on Linux only the flags of smaps tell for sure.
const BY_FLAGS: [RegionKind; 3] = [RegionKind::ShadowStack, RegionKind::HugePages, RegionKind::Device];

impl Predicate {
    /// Whether the row of a region shows what it is about.
    pub fn shows(&self) -> bool {
        !matches!(self.test, Test::Measured(measure, ..) if measure != Measure::Size)
            && !matches!(self.test, Test::Offset(..))
    }

    /// What it comes to for a region.
    pub fn verdict(&self, classified: &Classified) -> Verdict {
        let verdict = self.test.verdict(classified);
        if self.is_negated { !verdict } else { verdict }
    }

    /// The least that has to be read of each region.
    pub fn needs(&self) -> Detail {
        match &self.test {
            Test::Measured(measure, ..) => measure.needs(),
            Test::Kind(kinds) if kinds.iter().any(|kind| BY_FLAGS.contains(kind)) => Detail::Counts,
            Test::Type(pattern) if BY_FLAGS.iter().any(|kind| pattern.matches(kind.title())) => {
                Detail::Counts
            }
            _ => Detail::Layout,
        }
    }
}

impl Test {
    fn verdict(&self, classified: &Classified) -> Verdict {
        let region = classified.facts();
        match self {
            Test::Kind(kinds) if kinds.contains(&classified.kind()) => Verdict::Holds,
            Test::Kind(kinds) => may_be(classified, |kind| kinds.contains(&kind)),
            Test::Type(pattern) if pattern.matches(classified.title()) => Verdict::Holds,
            Test::Type(pattern) => may_be(classified, |kind| pattern.matches(kind.title())),
            Test::Path(pattern) => pattern.matches_path(region),
            Test::Name(pattern) => pattern.matches_name(region),
            Test::Perm(perm) => perm.permissions.match_region(classified).into(),
            Test::Share(share) => share.matches(region.share).into(),
            Test::Measured(measure, op, number) => match measure.of(classified) {
                Some(size) => compare(size, *op, number.value).into(),
                None => Verdict::Unknown,
            },
            Test::Offset(..) if !tells_offset(classified) => Verdict::Unknown,
            Test::Offset(op, number) => compare(region.offset, *op, number.value).into(),
            Test::Start(op, address) => compare(region.range.start(), *op, *address).into(),
            Test::End(op, address) => compare(region.range.end(), *op, *address).into(),
            Test::Holds(range) => range.overlaps(region.range).into(),
            Test::Deleted if !tells_deleted(classified) => Verdict::Unknown,
            Test::Deleted => region.name.as_ref().is_some_and(|name| name.is_deleted()).into(),
        }
    }

    /// The field that it is about.
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
            Test::Holds(_) => "addr",
            Test::Deleted => "deleted",
        }
    }

    /// What was not measured of a region of which this can't be told.
    pub fn unmeasured(&self, classified: &Classified) -> &'static str {
        let name = classified.name();
        match self {
            Test::Kind(..) | Test::Type(_) => FLAGS,
            Test::Path(_) | Test::Name(_)
                if name.is_some_and(|name| is_shortened(name, classified.facts())) =>
            {
                PATH
            }
            test => test.field(),
        }
    }
}

/// What [`Test::unmeasured`] calls the flags that tell some kinds, and the rest of a path that a report cut.
pub(super) const FLAGS: &str = "VmFlags";
pub(super) const PATH: &str = "whole path";

/// Whether a region may be of a kind that is asked for though it is not known to be: the flags would tell, and were not read.
fn may_be(classified: &Classified, is_asked: impl Fn(RegionKind) -> bool) -> Verdict {
    let region = classified.facts();
    let Native::Linux(native) = &region.native else { return Verdict::Fails };
    if native.vm_flags.is_some() || !native.smaps.is_empty() {
        return Verdict::Fails;
    }
    let has_path = region.name.as_ref().is_some_and(|name| name.path().is_some());
    let may_be = (region.is_unnamed() && is_asked(RegionKind::ShadowStack))
        || ((region.is_unnamed() || has_path) && is_asked(RegionKind::HugePages))
        || (region.is_file_backed() && is_asked(RegionKind::Device));
    if may_be { Verdict::Unknown } else { Verdict::Fails }
}

/// Whether a region's offset is known: a report of vmmap has none.
fn tells_offset(classified: &Classified) -> bool {
    classified.native().macos().is_none_or(|native| native.printed_type.is_none())
}

/// Whether it is known if a region's file has been unlinked: macOS doesn't tell.
fn tells_deleted(classified: &Classified) -> bool {
    classified.native().macos().is_none() || !classified.facts().is_file_backed()
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
            Test::Holds(range) if range.size() == Bytes(1) => write!(f, "{field}{equal}{:#x}", range.start()),
            Test::Holds(range) => write!(f, "{field}{equal}{range}"),
            Test::Deleted if self.is_negated => write!(f, "{field}=false"),
            Test::Deleted => f.write_str(field),
        }
    }
}
