//! Syntax errors of checks.

use std::fmt;

use crate::text::printable_line;

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

/// Returns the one of `known` that `word` is probably a typo of.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &name.to_lowercase());
    // Longer words are not typos, and the comparison costs the product of the lengths.
    let most = if word.len() > 40 { return None } else { (word.chars().count() / 3).clamp(1, 3) };
    known
        .iter()
        .map(|name| (distance(name), *name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= most && *distance < name.chars().count())
        .map(|(_, name)| name)
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

    #[test]
    fn typos_are_recognized_and_other_words_are_not() {
        assert_eq!(nearest("sise", &["size", "share"]), Some("size"));
        assert_eq!(nearest("NOT", &["not", "at"]), Some("not"));
        assert_eq!(nearest("elephant", &["size", "share"]), None);
        assert_eq!(nearest("xx", &["at", "or"]), None);
    }
}
