//! Undoes what mmview does to names in its tables.

/// The bytes of a name that was escaped for a line of a terminal, and for Markdown too if `is_markdown`.
pub(super) fn name(text: &[u8], is_markdown: bool) -> Vec<u8> {
    if is_markdown { escapes(&markdown(text)) } else { escapes(text) }
}

/// Takes Markdown's backslashes and entities off.
fn markdown(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let entity = ENTITIES.iter().find_map(|(entity, byte)| Some((*byte, rest.strip_prefix(*entity)?)));
        let (byte, after) = match (first, after.split_first()) {
            (b'\\', Some((next, after))) if next.is_ascii_punctuation() => (*next, after),
            _ => entity.unwrap_or((first, after)),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

const ENTITIES: [(&[u8], u8); 3] = [(b"&lt;", b'<'), (b"&gt;", b'>'), (b"&amp;", b'&')];

/// Takes the escapes of control characters and other bytes off: `\\`, `\n`, `\x1b`, `\u{202e}`.
fn escapes(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match escape(first, after) {
            Some((escaped, after)) => {
                bytes.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            None => match byte(first, after) {
                Some((byte, after)) => {
                    bytes.push(byte);
                    rest = after;
                }
                None => bytes.push(first),
            },
        }
    }
    bytes
}

fn escape(first: u8, after: &[u8]) -> Option<(char, &[u8])> {
    let (kind, after) = after.split_first().filter(|_| first == b'\\')?;
    let letter = match kind {
        b'\\' => '\\',
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'u' => {
            let digits = after.strip_prefix(b"{")?;
            let end = digits.iter().take(7).position(|byte| *byte == b'}')?;
            let letter = char::from_u32(hexadecimal(&digits[..end])?)?;
            return Some((letter, &digits[end + 1..]));
        }
        _ => return None,
    };
    Some((letter, after))
}

fn byte(first: u8, after: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = after.strip_prefix(b"x").filter(|_| first == b'\\')?.split_at_checked(2)?;
    Some((hexadecimal(digits)?.try_into().ok()?, after))
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    super::super::cells::hexadecimal(digits).filter(|_| !digits.starts_with(b"0x"))?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_off() {
        for (text, bytes) in [
            ("/tmp/a b", &b"/tmp/a b"[..]),
            (r"/tmp/a\\n", br"/tmp/a\n"),
            (r"/tmp/a\nb\x1b\xff\x20", b"/tmp/a\nb\x1b\xff "),
            (r"/tmp/\u{202e}x", "/tmp/\u{202e}x".as_bytes()),
            (r"/tmp/\u{}\u{zz}\q\", br"/tmp/\u{}\u{zz}\q\"),
            (r"\x", br"\x"),
        ] {
            assert_eq!(name(text.as_bytes(), false), bytes, "{text}");
        }
        assert_eq!(name(br"\[heap\] &lt;a&gt; &amp;\_ a\\\\b", true), br"[heap] <a> &_ a\b");
    }
}
