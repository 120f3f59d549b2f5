//! Fitting text into the columns of a terminal.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::check::SyntaxError;
use crate::text::is_deceptive;

/// The number of terminal columns that `text` takes.
pub(crate) fn width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.width()
}

/// Below this many columns, a cut keeps only the end.
const END_ONLY: usize = 24;

/// Cuts `text` in the middle to at most `columns`. The end stays longer than the start, because the last part of a path says
/// most; with little room only the end stays.
pub(super) fn cut_middle(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let Some(room) = columns.checked_sub(1) else { return Cow::Borrowed("") };
    let start_room = if columns < END_ONLY { 0 } else { room / 3 };
    let start = fitting(text.chars(), start_room);
    let end = fitting(text.chars().rev(), room - start_room);
    let start: String = text.chars().take(start).collect();
    let skipped = text.chars().count() - end;
    Cow::Owned(start + "…" + &text.chars().skip(skipped).collect::<String>())
}

/// The number of `letters` from the start that fit in `columns`.
fn fitting(letters: impl Iterator<Item = char>, columns: usize) -> usize {
    let mut used = 0;
    letters
        .take_while(|letter| {
            used += letter.width().unwrap_or(0);
            used <= columns
        })
        .count()
}

/// Returns two lines, safe to print: the check, and a caret below the error. A long check is cut to the part around the error.
pub fn picture(error: &SyntaxError) -> [String; 2] {
    const BEFORE: usize = 60;
    const AFTER: usize = 40;
    let (before, after) = error.parts();
    let start = before.char_indices().rev().nth(BEFORE).map_or(0, |(at, _)| at);
    let end = after.char_indices().nth(AFTER).map_or(after.len(), |(at, _)| at);
    let (mut line, mut caret) = (String::new(), 0);
    if start > 0 {
        line.push('…');
        caret += 1;
    }
    caret += draw(&mut line, &before[start..]);
    draw(&mut line, &after[..end]);
    if end < after.len() {
        line.push('…');
    }
    [line, " ".repeat(caret) + "^"]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::Check;

    #[test]
    fn paths_are_cut_in_the_middle() {
        assert_eq!(cut_middle("/usr/lib/libc.so.6", 18), "/usr/lib/libc.so.6");
        assert_eq!(cut_middle("/usr/lib/libc.so.6", 12), "…b/libc.so.6");
        assert_eq!(cut_middle("/usr/lib/x86_64-linux-gnu/libc.so.6", 25), "/usr/lib…ux-gnu/libc.so.6");
        assert_eq!(cut_middle("日本語日本語", 7), "…日本語");
        assert_eq!(cut_middle("abc", 1), "…");
        assert_eq!(cut_middle("abc", 0), "");
    }

    #[test]
    fn a_cut_never_exceeds_its_columns() {
        for columns in 0..20 {
            assert!(width(&cut_middle("/日本/x/yyyyyyy/語語語", columns)) <= columns);
        }
    }

    fn error(text: &str) -> SyntaxError {
        text.parse::<Check>().expect_err("an invalid check")
    }

    #[test]
    fn the_caret_is_below_the_error() {
        let wide = error("any(\"日本\" \tx)");
        let [line, caret] = picture(&wide);
        assert_eq!(line, "any(\"日本\" \\tx)");
        // Each of the wide letters takes two columns; the error is after them.
        assert_eq!(
            caret.find('^'),
            Some("any(\"日本\"".chars().count() + 2 - "\"日本\"".chars().count() - 2)
        );
    }

    #[test]
    fn control_characters_are_escaped() {
        let error = error("a\x1b[31m\u{202e}b");
        let printed = format!("{error}{}", picture(&error).concat());
        assert!(!printed.contains(|letter: char| letter.is_control() || is_deceptive(letter)), "{printed:?}");
    }

    proptest! {
        #[test]
        fn a_picture_never_has_control_characters(text in ".*") {
            if let Err(error) = text.parse::<Check>() {
                prop_assert!(!picture(&error).concat().contains(char::is_control));
            }
        }
    }

    #[test]
    fn a_long_check_is_cut_around_the_error() {
        let text = format!("{} {}", "not ".repeat(100), "x".repeat(1000));
        let [line, caret] = picture(&error(&text));
        assert!(line.starts_with('…') && line.ends_with('…'), "{line}");
        assert_eq!((line.chars().count(), caret.chars().count()), (61 + 1 + 40 + 1, 63));
    }
}
