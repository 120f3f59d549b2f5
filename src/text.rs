//! Text that is safe to print. Names come from other processes and can contain anything.

/// Escapes a name for one line of a terminal: control characters, directional overrides and invalid bytes become escapes
/// (`\n`, `\x1b`, `\u{202e}`, `\xff`), a backslash is doubled, and a blank at the end becomes `\x20`.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    push_printable(&mut text, bytes);
    text
}

/// Appends a name, escaped as [`printable`] does.
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

/// Escapes a sentence of our own with names in it, as [`printable`] does, but leaves escapes as they are.
pub fn printable_line(text: &str) -> String {
    printable(text.as_bytes()).replace("\\\\", "\\")
}

/// Whether a character changes how the rest of the line is drawn, or is invisible: C1 controls, line separators, directional
/// marks and overrides, zero-width characters, and tags.
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
    fn control_characters_are_escaped() {
        assert_eq!(printable(b"a\x1b[31mb\x07\n\x7f"), r"a\x1b[31mb\x07\n\x7f");
        assert_eq!(printable("\u{9b}31m\u{202e}gpj.exe".as_bytes()), r"\u{9b}31m\u{202e}gpj.exe");
        assert_eq!(printable(b"a\\n\xff"), r"a\\n\xff");
        assert_eq!(printable("grüße 日本".as_bytes()), "grüße 日本");
        assert_eq!(printable(b"a  "), r"a \x20");
    }

    #[test]
    fn typos_are_recognized_and_other_words_are_not() {
        assert_eq!(nearest("sise", &["size", "share"]), Some("size"));
        assert_eq!(nearest("NOT", &["not", "at"]), Some("not"));
        assert_eq!(nearest("elephant", &["size", "share"]), None);
        assert_eq!(nearest("xx", &["at", "or"]), None);
    }
}
