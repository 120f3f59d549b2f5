//! What is wrong with the text of a check, and where.

use std::fmt;

use unicode_width::UnicodeWidthChar;

use crate::text::{is_deceptive, printable_line};

/// What is wrong with the text of a check: what was read, what would be right there, and the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    text: String,
    /// Where, in bytes, at the start of a character or at the end.
    at: usize,
    what: String,
}

impl SyntaxError {
    pub(super) fn new(text: &str, at: usize, what: impl Into<String>) -> SyntaxError {
        SyntaxError { text: text.to_owned(), at, what: what.into() }
    }

    /// The column, in characters from 1.
    pub fn column(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    /// What is wrong, without the place. Not escaped.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The check as it was written, safe to draw, and under it a caret at the place. Of a long check, what is around it.
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

/// Writes a part of a check so that it is safe to draw, and returns how many columns that takes.
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

/// One line, safe to draw; [`SyntaxError::picture`] has the place.
impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the check is not understood at column {}: {}", self.column(), printable_line(&self.what))
    }
}

impl std::error::Error for SyntaxError {}

/// `; did you mean …?` where one of `known` is close to `word`, else what there is, as `; the THINGS are …`.
pub(super) fn suggestion(word: &str, known: &[&str], things: &str) -> String {
    match nearest(word, known) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; the {things} are {}", known.join(", ")),
    }
}

/// The one of `known` that `word` is likely to be a slip of.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &name.to_lowercase());
    // Longer words are not slips, and comparing costs the product of the lengths.
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
    fn the_caret_stands_under_the_place() {
        let error = SyntaxError::new("日本 x\ty", "日本 x\t".len(), "wrong");
        assert_eq!(error.column(), 6);
        assert_eq!(error.picture(), ["日本 x\\ty".to_owned(), "        ^".to_owned()]);
        let error = SyntaxError::new("ab", 2, "the end");
        assert_eq!(error.picture(), ["ab".to_owned(), "  ^".to_owned()]);
    }

    #[test]
    fn nothing_raw_is_drawn() {
        let error = SyntaxError::new("a\x1b[31m\u{202e}b", 0, "there is no `\x1b\u{9b}`");
        let said = format!("{error}{}", error.picture().concat());
        assert!(!said.contains(|letter: char| letter.is_control() || is_deceptive(letter)), "{said:?}");
    }

    #[test]
    fn of_a_long_check_the_surroundings_are_drawn() {
        let text = "x".repeat(1000);
        let [line, caret] = SyntaxError::new(&text, 500, "wrong").picture();
        assert_eq!((line.chars().count(), caret.chars().count()), (61 + 1 + 40 + 1, 63));
        assert!(line.starts_with('…') && line.ends_with('…'));
    }

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        assert_eq!(nearest("sise", &["size", "share"]), Some("size"));
        assert_eq!(nearest("NOT", &["not", "at"]), Some("not"));
        assert_eq!(nearest("elephant", &["size", "share"]), None);
        assert_eq!(nearest("xx", &["at", "or"]), None);
    }
}
