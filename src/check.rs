//! Checks: a small language over the regions of a map, for tests and CI.
//!
//! [`Check`] is read from text ([`FromStr`]), tells how much has to be read to decide it ([`Check::needs`]), and decides it
//! ([`Check::verdict`]), as often as one likes: that is cheap. What was found instead ([`Check::explain`]) costs more and is for
//! checks that were not passed.
//!
//! ```
//! # use mmview::{check::{Check, Verdict}, classify::classify, platform::{Detail, OpenOptions, RegionSource, open_self}};
//! let check: Check = "any(kind=stack and perm=rw-) and none(perm=rwx)".parse()?;
//! let regions = classify(&open_self(&OpenOptions::default())?.read(check.needs())?);
//! if check.verdict(&regions) != Verdict::Holds {
//!     eprintln!("{}", check.explain(&regions).sentence());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
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

mod field;
mod found;
mod lexer;
mod nearest;
mod parser;
mod pattern;
#[cfg(test)]
mod properties;
mod syntax;
#[cfg(test)]
mod tests;
mod tree;
mod verdict;

use std::fmt;
use std::str::FromStr;

use mmview_platform::Detail;

use crate::region::Classified;
use crate::snapshot::Snapshot;

pub use found::{Finding, Found, FoundRegion};
pub use syntax::SyntaxError;
pub use verdict::{Evidence, Verdict};

/// The language, as help describes it.
pub const LANGUAGE: &str = include_str!("check/language.txt");

/// Something that is said of a map. Equal to another that was read to the same, whatever the blanks.
#[derive(Clone, Debug)]
pub struct Check {
    text: String,
    expr: tree::Expr,
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
        Ok(Check::new(text.trim().to_owned(), parser::parse(text)?))
    }
}

/// In its own words: blanks and parentheses where they belong. Reading it gives the same check.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }
}

impl Check {
    fn new(text: String, expr: tree::Expr) -> Check {
        let mut needs = Detail::Layout;
        expr.atoms(&mut |atom| needs = needs.max(atom.needs()));
        Check { text, expr, needs }
    }

    /// As it was written. May hold anything: not escaped.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The least that has to be read of each region to decide it.
    pub fn needs(&self) -> Detail {
        self.needs
    }

    /// Whether it holds. Looks at each region once for each of its parts, and stops where it is decided.
    pub fn verdict<'a>(&self, evidence: impl Into<Evidence<'a>>) -> Verdict {
        verdict::decide(&self.expr, evidence.into())
    }

    /// What makes it hold or fail, with the regions that do, or that come nearest. Costs several looks at each region.
    pub fn explain<'a>(&self, evidence: impl Into<Evidence<'a>>) -> Found<'a> {
        found::explain(&self.expr, evidence.into())
    }

    /// Both.
    pub fn evaluate<'a>(&self, regions: &'a [Classified]) -> Outcome<'a> {
        Outcome { verdict: self.verdict(regions), found: self.explain(regions) }
    }
}

impl Snapshot {
    /// Parses a check and decides it on this map.
    ///
    /// # Errors
    ///
    /// The check can't be parsed.
    pub fn check(&self, text: &str) -> Result<Verdict, SyntaxError> {
        Ok(self.verdict(&text.parse()?))
    }

    /// Decides a check on this map.
    pub fn verdict(&self, check: &Check) -> Verdict {
        check.verdict(Evidence::from(self))
    }

    /// Explains the verdict of a check: what decides it, and the regions that come nearest.
    pub fn explain(&self, check: &Check) -> Found<'_> {
        check.explain(Evidence::from(self))
    }
}

/// What a check came to, and why.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// Whether it holds.
    pub verdict: Verdict,
    /// What makes it so.
    pub found: Found<'a>,
}
