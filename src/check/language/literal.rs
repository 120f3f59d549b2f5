//! Operators, and the values that fields are compared with.

use mmview_platform::ShareMode;

use crate::criteria::Permissions;

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Op {
    /// Whether it depends on which operand is larger.
    pub fn is_order(self) -> bool {
        !matches!(self, Op::Equal | Op::Unequal)
    }

    /// The same comparison with its operands swapped.
    pub fn mirrored(self) -> Op {
        match self {
            Op::Less => Op::Greater,
            Op::AtMost => Op::AtLeast,
            Op::Greater => Op::Less,
            Op::AtLeast => Op::AtMost,
            equal => equal,
        }
    }

    /// Compares two numbers.
    pub fn compare(self, left: u64, right: u64) -> bool {
        match self {
            Op::Equal => left == right,
            Op::Unequal => left != right,
            Op::Less => left < right,
            Op::AtMost => left <= right,
            Op::Greater => left > right,
            Op::AtLeast => left >= right,
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

/// A number or a size, with its spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    pub text: String,
    pub value: u64,
}

/// A protection, with its spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perm {
    pub text: String,
    pub permissions: Permissions,
}

/// What the share mode of a region is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Whether another mapping sees a write.
    IsShared(bool),
    /// This mode only.
    Exactly(ShareMode),
    /// The modes that vmmap shows with this code.
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

    /// Every word that [`Share::named`] accepts.
    pub fn words() -> Vec<&'static str> {
        let mut words: Vec<_> = ShareMode::ALL.iter().map(|mode| mode.id()).collect();
        words.extend(ShareMode::ALL.iter().map(|mode| mode.code()));
        words.dedup();
        words
    }

    pub fn word(self) -> &'static str {
        match self {
            Share::IsShared(true) => "shared",
            Share::IsShared(false) => "private",
            Share::Exactly(mode) => mode.id(),
            Share::Code(code) => code,
        }
    }
}
