//! Whether a region passes a filter.

use mmview_platform::{Bytes, Native, ShareMode};

use super::verdict::Verdict;
use crate::check::language::{Filter, Measure, Predicate, Share, Test};
use crate::kind::RegionKind;
use crate::region::Classified;

/// Whether a region passes a filter. Every region passes no filter.
pub fn passes(filter: Option<&Filter>, region: &Classified) -> Verdict {
    filter.map_or(Verdict::Holds, |filter| filter.verdict(&mut |predicate| predicate.verdict(region)))
}

/// Kinds that only the flags in smaps identify for sure on Linux.
pub(super) const NEED_FLAGS: [RegionKind; 3] =
    [RegionKind::ShadowStack, RegionKind::HugePages, RegionKind::Device];

impl Predicate {
    /// Whether a region meets the condition.
    pub fn verdict(&self, region: &Classified) -> Verdict {
        let verdict = self.test.verdict(region);
        if self.is_negated { !verdict } else { verdict }
    }
}

impl Test {
    fn verdict(&self, region: &Classified) -> Verdict {
        match self {
            Test::Kind(kinds) if kinds.contains(&region.kind()) => Verdict::Holds,
            Test::Kind(kinds) => may_be(region, |kind| kinds.contains(&kind)),
            Test::Type(glob) if glob.matches(region.title()) => Verdict::Holds,
            Test::Type(glob) => may_be(region, |kind| glob.matches(kind.title())),
            Test::Path(pattern) => pattern.matches_path(region),
            Test::Name(pattern) => pattern.matches_name(region),
            Test::Perm(perm) => perm.permissions.matches(region).into(),
            // A listing without protections doesn't say who shares a region either.
            Test::Share(_) if !region.protection().is_known() => Verdict::Unknown,
            Test::Share(share) => share.matches(region.share()).into(),
            Test::Measured(measure, op, number) => match measure.of(region) {
                Some(size) => op.compare(size, number.value).into(),
                None => Verdict::Unknown,
            },
            Test::Offset(..) if !has_offset(region) => Verdict::Unknown,
            Test::Offset(op, number) => op.compare(region.offset(), number.value).into(),
            Test::Start(op, address) => op.compare(region.range().start(), *address).into(),
            Test::End(op, address) => op.compare(region.range().end(), *address).into(),
            Test::Addr(range) => range.overlaps(region.range()).into(),
            Test::Deleted if !shows_deletion(region) => Verdict::Unknown,
            Test::Deleted => region.name().is_some_and(|name| name.is_deleted()).into(),
        }
    }
}

impl Measure {
    /// The size in bytes, or `None` if it was not measured.
    pub fn of(self, region: &Classified) -> Option<u64> {
        let counts = region.counts();
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
}

impl Share {
    fn matches(self, mode: ShareMode) -> bool {
        match self {
            Share::IsShared(is_shared) => mode.is_shared() == is_shared,
            Share::Exactly(exactly) => mode == exactly,
            Share::Code(code) => mode.code() == code,
        }
    }
}

/// Whether a region that is not known to be of a kind may be of it after all, because its flags were not read.
fn may_be(region: &Classified, is_asked: impl Fn(RegionKind) -> bool) -> Verdict {
    let Native::Linux(native) = region.native() else { return Verdict::Fails };
    if native.vm_flags.is_some() || !native.smaps.is_empty() {
        return Verdict::Fails;
    }
    let may_be = (region.is_unnamed() && is_asked(RegionKind::ShadowStack))
        || ((region.is_unnamed() || region.path().is_some()) && is_asked(RegionKind::HugePages))
        || (region.is_file_backed() && is_asked(RegionKind::Device));
    if may_be { Verdict::Unknown } else { Verdict::Fails }
}

/// Whether the offset of a region is known. A report of vmmap has none.
fn has_offset(region: &Classified) -> bool {
    region.native().macos().is_none_or(|native| native.printed_type.is_none())
}

/// Whether it is known if the file of a region has been unlinked. On macOS it is not.
fn shows_deletion(region: &Classified) -> bool {
    region.native().macos().is_none() || !region.is_file_backed()
}
