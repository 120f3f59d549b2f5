//! Checks: a small language for statements about a memory map, made for tests and CI.
//!
//! A test parses and decides a check in one step with [`Snapshot::check`]:
//!
//! ```
//! use mmview::Snapshot;
//! use mmview::check::Verdict;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let snapshot = Snapshot::of_self()?;
//! assert_eq!(snapshot.check("any(kind=stack and perm=rw-)")?, Verdict::Holds);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Check`] is parsed once and decided often, which is cheap. [`Snapshot::explain`] says what the map has instead, for the
//! message of a failure:
//!
//! ```
//! # use mmview::Snapshot;
//! use mmview::check::{Check, Verdict};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let snapshot = Snapshot::of_self()?;
//! let check: Check = "none(perm=rwx)".parse()?;
//! assert_eq!(snapshot.verdict(&check), Verdict::Holds, "{}", snapshot.explain(&check));
//! # Ok(())
//! # }
//! ```
//!
//! # The language
//!
//! ```text
#![doc = include_str!("check/language.txt")]
//! ```
//!
//! Its grammar:
//!
//! ```text
//! expr    := and ("or" and)*          and  := unary ("and" unary)*          unary := "not" unary | atom
//! atom    := "(" expr ")" | "mapped" STRING | ("any" | "all" | "none") "(" [filter] ")"
//!          | value OP value | "at" ADDRESS "is" (PERM | "mapped" | "unmapped" | "(" filter ")")
//! value   := ("sum" | "max") "(" FIELD ["," filter] ")" | "count" "(" [filter] ")" | NUMBER
//! filter  := as expr, its atoms FIELD OP LITERAL or "deleted"
//! ```

mod eval;
mod explain;
mod language;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use mmview_platform::Detail;

use crate::error::{Error, ErrorKind};
use crate::snapshot::Snapshot;

pub use eval::{Evidence, Verdict};
pub use explain::{Finding, Found, FoundRegion};
pub use language::SyntaxError;

/// The description of the language, for help texts.
pub const LANGUAGE: &str = include_str!("check/language.txt");

/// A statement about a memory map. Two checks are equal if they parse to the same tree, whatever their spacing.
#[derive(Clone, Debug)]
pub struct Check {
    text: String,
    expr: language::Expr,
    needs: Detail,
}

impl PartialEq for Check {
    fn eq(&self, other: &Check) -> bool {
        self.expr == other.expr
    }
}

impl FromStr for Check {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Check, SyntaxError> {
        Ok(Check::new(text.trim().to_owned(), language::parse(text)?))
    }
}

impl From<SyntaxError> for Error {
    fn from(error: SyntaxError) -> Error {
        Error::from_cause(ErrorKind::Syntax, error)
    }
}

/// In canonical form: with uniform spacing, and only the parentheses that are needed. Parses to the same check.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }
}

impl Check {
    fn new(text: String, expr: language::Expr) -> Check {
        Check { text, needs: eval::needs(&expr), expr }
    }

    /// The source text. Not escaped.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The least detail that can decide it.
    pub fn needs(&self) -> Detail {
        self.needs
    }

    /// Whether it asks for what is allocated, which shows in the memory of a process, not in its map.
    pub fn needs_zones(&self) -> bool {
        let mut needs = false;
        self.expr.for_each_atom(&mut |atom| {
            if let language::Atom::Compare(left, _, right) = atom {
                needs |=
                    [left, right].into_iter().any(|value| matches!(value, language::Value::Allocated(..)));
            }
        });
        needs
    }

    /// Decides it. Looks at each region at most once for each part of the check.
    pub fn verdict<'a>(&self, evidence: impl Into<Evidence<'a>>) -> Verdict {
        eval::decide(&self.expr, evidence.into())
    }

    /// Explains the verdict: what decides it, and the regions that come nearest. Costs more than [`Check::verdict`].
    pub fn explain<'a>(&self, evidence: impl Into<Evidence<'a>>) -> Found<'a> {
        explain::explain(&self.expr, evidence.into())
    }
}

impl Snapshot {
    /// Parses a check and decides it on this map. The language is described in [`check`](crate::check).
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the check can't be parsed.
    pub fn check(&self, text: &str) -> Result<Verdict, SyntaxError> {
        Ok(self.verdict(&text.parse()?))
    }

    /// Decides a check on this map.
    pub fn verdict(&self, check: &Check) -> Verdict {
        check.verdict(self)
    }

    /// Explains the verdict of a check on this map: what decides it, and the regions that come nearest.
    pub fn explain(&self, check: &Check) -> Found<'_> {
        check.explain(self)
    }
}
