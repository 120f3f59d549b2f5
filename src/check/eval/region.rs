//! Whether a region passes a filter.

use mmview_platform::{Native, ShareMode};

use super::verdict::Verdict;
use crate::check::language::{Filter, Predicate, Share, Test, TypeGlob};
use crate::field::{Class, Field, Value};
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
            Test::Share(_) if !region.share().is_known() => Verdict::Unknown,
            Test::Share(share) => share.matches(region.share()).into(),
            Test::Number(field, op, number) => match field.number(region) {
                Some(size) => op.compare(size, number.value).into(),
                None => Verdict::Unknown,
            },
            Test::Text(field, glob) => match field.value(region) {
                Value::Unmeasured => Verdict::Unknown,
                value => value.bytes().is_some_and(|text| matches(field, glob, text)).into(),
            },
            Test::Truth(field) => match field.value(region) {
                Value::Truth(is_true) => is_true.into(),
                _ => Verdict::Unknown,
            },
            Test::Start(op, address) => op.compare(region.range().start(), *address).into(),
            Test::End(op, address) => op.compare(region.range().end(), *address).into(),
            Test::Addr(range) => range.overlaps(region.range()).into(),
        }
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

/// Whether a text matches: as a whole, or one of its words where each is a value of its own.
fn matches(field: &Field, glob: &TypeGlob, text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    match field.class {
        Class::Words => text.split(' ').any(|word| glob.matches(word)),
        _ => glob.matches(&text),
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
