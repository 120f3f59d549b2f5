//! Syntax errors of checks.

use std::fmt;

use crate::text::{nearest, printable_line};

/// A check that can't be parsed: what is wrong, what was expected, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    text: String,
    /// The position in bytes: on a character boundary.
    at: usize,
    message: String,
}

impl SyntaxError {
    pub(super) fn new(text: &str, at: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError { text: text.to_owned(), at, message: message.into() }
    }

    /// The column of the error, in characters, from 1.
    pub fn column(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    /// What is wrong, without the position. Not escaped.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The text before the error, and the text from there on. Not escaped.
    pub fn parts(&self) -> (&str, &str) {
        self.text.split_at(self.at)
    }
}

/// One line, safe to print.
impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid check at column {}: {}", self.column(), printable_line(&self.message))
    }
}

impl std::error::Error for SyntaxError {}

/// Returns `; did you mean …?` if one of `known` is close to `word`, else `; the THINGS are …`.
pub fn suggestion(word: &str, known: &[&str], things: &str) -> String {
    match nearest(word, known) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; the {things} are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_counts_characters() {
        let error = SyntaxError::new("日本 x\ty", "日本 x\t".len(), "wrong");
        assert_eq!(error.column(), 6);
        assert_eq!(error.parts(), ("日本 x\t", "y"));
        assert_eq!(SyntaxError::new("ab", 2, "the end").parts(), ("ab", ""));
    }
}
