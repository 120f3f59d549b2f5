//! Text that is safe to draw: names come from other processes, and may hold anything.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A name as it can be drawn on one line of a terminal: control characters, directional overrides and invalid bytes as
/// escapes (`\n`, `\x1b`, `\u{202e}`, `\xff`), a backslash doubled, a blank at the end as `\x20`, the rest as it is.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    push_printable(&mut text, bytes);
    text
}

/// Writes a name as [`printable`] does.
pub fn push_printable(text: &mut String, bytes: &[u8]) {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    if bytes.iter().all(is_plain) && !bytes.ends_with(b" ") {
        text.push_str(std::str::from_utf8(bytes).expect("ASCII is UTF-8"));
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '\0'..='\x1f' | '\x7f' => text.push_str(&format!("\\x{:02x}", letter as u32)),
                _ if is_deceptive(letter) => text.extend(letter.escape_unicode()),
                _ => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if bytes.ends_with(b" ") {
        text.pop();
        text.push_str("\\x20");
    }
}

/// A sentence of our own that has names in it: as [`printable`], but what is escaped already stays as it is.
pub fn printable_line(text: &str) -> String {
    printable(text.as_bytes()).replace("\\\\", "\\")
}

/// Characters that change how the rest of the line is drawn, or can't be seen: C1 controls, line separators, directional
/// marks and overrides, zero-width ones, and tags.
pub(crate) fn is_deceptive(letter: char) -> bool {
    matches!(letter,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// How many columns of a terminal `text` takes.
pub fn width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.width()
}

/// Below this, a cut keeps the end only.
const END_ONLY: usize = 24;

/// `text` cut in the middle to at most `columns`, the end kept longer than the start, and alone where there is little room:
/// the last part of a path tells most.
pub fn cut_middle(text: &str, columns: usize) -> Cow<'_, str> {
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

/// How many of the first `letters` fit in `columns`.
fn fitting(letters: impl Iterator<Item = char>, columns: usize) -> usize {
    let mut used = 0;
    letters
        .take_while(|letter| {
            used += letter.width().unwrap_or(0);
            used <= columns
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_is_drawn() {
        assert_eq!(printable(b"a\x1b[31mb\x07\n\x7f"), r"a\x1b[31mb\x07\n\x7f");
        assert_eq!(printable("\u{9b}31m\u{202e}gpj.exe".as_bytes()), r"\u{9b}31m\u{202e}gpj.exe");
        assert_eq!(printable(b"a\\n\xff"), r"a\\n\xff");
        assert_eq!(printable("grüße 日本".as_bytes()), "grüße 日本");
        assert_eq!(printable(b"a  "), r"a \x20");
    }

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
}
