//! Syntax errors of checks.

use std::fmt;

use unicode_width::UnicodeWidthChar;

use crate::text::{is_deceptive, printable_line};

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

    /// Returns two lines, safe to print: the check, and a caret below the error. A long check is cut to the part around
    /// the error.
    pub fn picture(&self) -> [String; 2] {
        const BEFORE: usize = 60;
        const AFTER: usize = 40;
        let start = self.text[..self.at].char_indices().rev().nth(BEFORE).map_or(0, |(at, _)| at);
        let end =
            self.text[self.at..].char_indices().nth(AFTER).map_or(self.text.len(), |(at, _)| self.at + at);
        let (mut line, mut caret) = (String::new(), 0);
        if start > 0 {
            line.push('…');
            caret += 1;
        }
        caret += draw(&mut line, &self.text[start..self.at]);
        draw(&mut line, &self.text[self.at..end]);
        if end < self.text.len() {
            line.push('…');
        }
        [line, " ".repeat(caret) + "^"]
    }
}

/// Appends a part of a check, escaped for a terminal, and returns its width in columns.
fn draw(line: &mut String, text: &str) -> usize {
    let mut columns = 0;
    for letter in text.chars() {
        if letter.is_control() || is_deceptive(letter) {
            let escaped: String = letter.escape_default().collect();
            columns += escaped.len();
            line.push_str(&escaped);
        } else {
            columns += letter.width().unwrap_or(0);
            line.push(letter);
        }
    }
    columns
}

/// One line, safe to print. [`SyntaxError::picture`] shows the position.
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
    fn the_caret_is_below_the_error() {
        let error = SyntaxError::new("日本 x\ty", "日本 x\t".len(), "wrong");
        assert_eq!(error.column(), 6);
        assert_eq!(error.picture(), ["日本 x\\ty".to_owned(), "        ^".to_owned()]);
        let error = SyntaxError::new("ab", 2, "the end");
        assert_eq!(error.picture(), ["ab".to_owned(), "  ^".to_owned()]);
    }

    #[test]
    fn control_characters_are_escaped() {
        let error = SyntaxError::new("a\x1b[31m\u{202e}b", 0, "there is no `\x1b\u{9b}`");
        let said = format!("{error}{}", error.picture().concat());
        assert!(!said.contains(|letter: char| letter.is_control() || is_deceptive(letter)), "{said:?}");
    }

    #[test]
    fn a_long_check_is_cut_around_the_error() {
        let text = "x".repeat(1000);
        let [line, caret] = SyntaxError::new(&text, 500, "wrong").picture();
        assert_eq!((line.chars().count(), caret.chars().count()), (61 + 1 + 40 + 1, 63));
        assert!(line.starts_with('…') && line.ends_with('…'));
    }

    #[test]
    fn typos_are_recognised_and_other_words_are_not() {
        assert_eq!(nearest("sise", &["size", "share"]), Some("size"));
        assert_eq!(nearest("NOT", &["not", "at"]), Some("not"));
        assert_eq!(nearest("elephant", &["size", "share"]), None);
        assert_eq!(nearest("xx", &["at", "or"]), None);
    }
}
