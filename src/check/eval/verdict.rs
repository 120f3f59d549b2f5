//! Three-valued logic.

use std::ops::Not;

use crate::check::language::Logic;

/// The result of a check. Ordered so that `and` is the minimum and `or` the maximum of its parts (Kleene's strong logic).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The map doesn't meet the check.
    Fails,
    /// It can't be decided, because something was not measured or not read.
    Unknown,
    /// The map meets the check.
    Holds,
}

impl Verdict {
    /// The identifier in machine formats.
    pub const fn id(self) -> &'static str {
        match self {
            Verdict::Fails => "fails",
            Verdict::Unknown => "unknown",
            Verdict::Holds => "holds",
        }
    }
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Verdict {
        if holds { Verdict::Holds } else { Verdict::Fails }
    }
}

/// `None` is unknown.
impl From<Option<bool>> for Verdict {
    fn from(holds: Option<bool>) -> Verdict {
        holds.map_or(Verdict::Unknown, Verdict::from)
    }
}

impl Not for Verdict {
    type Output = Verdict;

    fn not(self) -> Verdict {
        match self {
            Verdict::Fails => Verdict::Holds,
            Verdict::Unknown => Verdict::Unknown,
            Verdict::Holds => Verdict::Fails,
        }
    }
}

impl<A> Logic<A> {
    /// Combines the verdicts of the atoms, and stops as soon as the result is certain.
    pub fn verdict(&self, of: &mut dyn FnMut(&A) -> Verdict) -> Verdict {
        match self {
            Logic::Atom(atom) => of(atom),
            Logic::Not(inner) => !inner.verdict(of),
            Logic::And(parts) => fold(parts, of, Verdict::Fails, Verdict::min),
            Logic::Or(parts) => fold(parts, of, Verdict::Holds, Verdict::max),
        }
    }
}

fn fold<A>(
    parts: &[Logic<A>],
    of: &mut dyn FnMut(&A) -> Verdict,
    decisive: Verdict,
    join: fn(Verdict, Verdict) -> Verdict,
) -> Verdict {
    let mut verdict = !decisive;
    for part in parts {
        verdict = join(verdict, part.verdict(of));
        if verdict == decisive {
            break;
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn and_or_not_are_kleenes() {
        use Verdict::{Fails, Holds, Unknown};
        let all = [Fails, Unknown, Holds];
        for a in all {
            assert_eq!(!!a, a);
            for b in all {
                assert_eq!(!(a.min(b)), (!a).max(!b));
                assert_eq!(!(a.max(b)), (!a).min(!b));
            }
        }
        assert_eq!(Unknown.min(Fails), Fails);
        assert_eq!(Unknown.max(Holds), Holds);
        assert_eq!(!Unknown, Unknown);
    }
}
