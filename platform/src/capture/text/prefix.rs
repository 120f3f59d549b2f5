//! What a paste, a log or a mail puts before each line: a quote, an indent, a line number, the time and the name of a program.

use std::fmt;

/// How many places of a line may be the start of a row.
const MOST_STARTS: usize = 12;

/// How far into a line a row may start.
const LONGEST_PREFIX: usize = 256;

/// A part of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// These very bytes.
    Text(Vec<u8>),
    /// Any number: times, line numbers, process IDs.
    Digits,
    /// Any blanks: numbers are padded.
    Blanks,
}

/// What stands before each line of a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefix {
    tokens: Vec<Token>,
    /// That of the first row.
    sample: Vec<u8>,
}

impl Prefix {
    /// The prefix that `sample` is an example of.
    pub fn of(sample: &[u8]) -> Prefix {
        let class = |byte: &u8| match byte {
            b'0'..=b'9' => 0,
            b' ' | b'\t' => 1,
            _ => 2,
        };
        let tokens = sample.chunk_by(|one, next| class(one) == class(next)).map(|run| match class(&run[0]) {
            0 => Token::Digits,
            1 => Token::Blanks,
            _ => Token::Text(run.to_vec()),
        });
        Prefix { tokens: tokens.collect(), sample: sample.to_vec() }
    }

    /// The line without its prefix; `None` if it has another one.
    pub fn strip<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = line;
        for (index, token) in self.tokens.iter().enumerate() {
            let length = match token {
                Token::Text(text) => {
                    let is_same = |(one, other): (&u8, &u8)| {
                        // `grep -n` writes a hyphen for the colon before lines of context.
                        one == other || (*one, *other) == (b':', b'-')
                    };
                    let has = rest.len() >= text.len() && text.iter().zip(rest).all(is_same);
                    has.then_some(text.len())?
                }
                Token::Digits => Some(count(rest, u8::is_ascii_digit)).filter(|count| *count > 0)?,
                Token::Blanks => {
                    let count = count(rest, |byte| matches!(byte, b' ' | b'\t'));
                    // A longer number takes the place of blanks, and editors strip those at the end of a line.
                    let is_optional = index == 0 || rest.is_empty() || index + 1 == self.tokens.len();
                    (count > 0 || is_optional).then_some(count)?
                }
            };
            rest = &rest[length..];
        }
        Some(rest)
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// What it is, for a message.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_number = |token: &Token| !matches!(token, Token::Text(_));
        let text = || String::from_utf8_lossy(self.sample.trim_ascii_end()).escape_debug().to_string();
        if self.tokens.iter().all(|token| *token == Token::Blanks) {
            f.write_str("the indent")
        } else if self.tokens.iter().all(is_number) {
            f.write_str("the line numbers")
        } else if self.tokens.contains(&Token::Digits) {
            write!(f, "prefixes like `{}`", text())
        } else {
            write!(f, "the prefix `{}`", text())
        }
    }
}

fn count(bytes: &[u8], is_wanted: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is_wanted(byte)).count()
}

/// Where a row can start in a line: at words that begin like an address, and behind the marks of a quotation.
pub(super) fn starts(line: &[u8]) -> impl Iterator<Item = usize> {
    let looked_at = &line[..line.len().min(LONGEST_PREFIX)];
    // A row may begin with a word behind the marks of a quotation.
    let quoted = looked_at.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'>' | b'|')).unwrap_or(0);
    let mut is_inside = false;
    let inner = looked_at.iter().enumerate().filter_map(move |(index, byte)| {
        let was_inside = std::mem::replace(&mut is_inside, byte.is_ascii_alphanumeric());
        let rest = &looked_at[index..];
        let is_start = !was_inside && (is_address(rest) || rest.starts_with(b"[0x"));
        (index > 0 && (is_start || index == quoted)).then_some(index)
    });
    std::iter::once(0).chain(inner).take(MOST_STARTS)
}

/// Whether a word begins like an address: with at least four hexadecimal digits, or with `0x`.
fn is_address(word: &[u8]) -> bool {
    word.starts_with(b"0x") || (word.len() >= 4 && word[..4].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "00400000-00401000 r-xp 00000000 08:01 7 /bin/x";

    /// The prefix of a row, and what is left of another line.
    fn rest<'a>(before: &str, line: &'a str) -> Option<&'a str> {
        let rest = Prefix::of(before.as_bytes()).strip(line.as_bytes())?;
        Some(std::str::from_utf8(rest).unwrap())
    }

    #[test]
    fn a_prefix_is_taken_off_lines_with_other_numbers() {
        for (before, line, expected) in [
            ("> ", "> Rss: 4 kB", "Rss: 4 kB"),
            ("> ", ">", ""),
            ("    ", "    Rss: 4 kB", "Rss: 4 kB"),
            ("     9\t", "    10\tRss: 4 kB", "Rss: 4 kB"),
            ("99999\t", "100000\tRss: 4 kB", "Rss: 4 kB"),
            ("/proc/7/maps:", "/proc/12/maps:x", "x"),
            ("12:", "13-Rss: 4 kB", "Rss: 4 kB"),
            (
                "06-01 12:00:59.999  1234  1240 F DEBUG   : ",
                "06-01 12:01:00.000  1234  1240 F DEBUG   :     x",
                "x",
            ),
            ("Jun  9 01:02:03 host app[77]: ", "Jun 10 01:02:04 host app[77]: Rss: 4 kB", "Rss: 4 kB"),
            ("web_1  | ", "web_1  | Rss: 4 kB", "Rss: 4 kB"),
            ("2024-06-01T12:34:56.789012345Z ", "2024-06-01T12:34:57.1Z Rss: 4 kB", "Rss: 4 kB"),
        ] {
            assert_eq!(rest(before, line), Some(expected), "{before:?} {line:?}");
        }
    }

    #[test]
    fn another_prefix_is_none() {
        for (before, line) in
            [("> ", "Rss: 4 kB"), ("12:", "x:"), ("web_1  | ", "db_1   | x"), ("a b ", "ab x")]
        {
            assert_eq!(rest(before, line), None, "{before:?} {line:?}");
        }
        assert_eq!(rest("", "x"), Some("x"));
    }

    #[test]
    fn a_row_is_found_behind_any_prefix() {
        for before in ["", "> ", "12:", "deadbeef ", "06-01 12:00:59.999 1234 F DEBUG : ", "[anon] | "] {
            let line = format!("{before}{ROW}");
            assert!(starts(line.as_bytes()).any(|start| start == before.len()), "{before:?}");
        }
        assert_eq!(starts(b"").collect::<Vec<_>>(), [0]);
    }
}
