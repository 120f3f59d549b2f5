//! Paths and names in a check: globs, or literal text.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use crate::criteria::PathGlob;

/// A path or a name: a glob with the syntax of [`PathGlob`], which also matches itself byte by byte.
#[derive(Clone, Debug)]
pub struct Pattern {
    bytes: Vec<u8>,
    glob: Option<PathGlob>,
    is_whole: bool,
}

/// Compares the source text only.
impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.bytes == other.bytes
    }
}

impl Pattern {
    /// Compiles a glob. A text that is not a valid glob, such as `a[`, matches only itself.
    pub fn new(bytes: Vec<u8>) -> Pattern {
        let has_wildcard = bytes.iter().any(|byte| b"*?[{\\".contains(byte));
        let glob =
            std::str::from_utf8(&bytes).ok().filter(|_| has_wildcard).and_then(|text| text.parse().ok());
        Pattern { is_whole: bytes.contains(&b'/'), glob, bytes }
    }

    /// The source text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The compiled glob; `None` if the text has no wildcard or is not a valid glob.
    pub fn glob(&self) -> Option<&PathGlob> {
        self.glob.as_ref()
    }

    /// Whether it has a slash, and thus applies to whole paths.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The text after the last slash.
    pub fn last_part(&self) -> &[u8] {
        let slash = self.bytes.iter().rposition(|&byte| byte == b'/');
        &self.bytes[slash.map_or(0, |slash| slash + 1)..]
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Quoted(self.bytes()))
    }
}

/// A type as tables show it, or a case-insensitive glob over those.
#[derive(Clone, Debug)]
pub struct TypeGlob {
    text: String,
    glob: Option<GlobMatcher>,
}

/// Compares the source text only.
impl PartialEq for TypeGlob {
    fn eq(&self, other: &TypeGlob) -> bool {
        self.text == other.text
    }
}

impl TypeGlob {
    /// Compiles a glob. A text that is not a valid glob matches only itself.
    pub fn new(text: &str) -> TypeGlob {
        let glob = text
            .contains(['*', '?', '[', '{'])
            .then(|| GlobBuilder::new(text).case_insensitive(true).build());
        let glob = glob.and_then(Result::ok).map(|glob| glob.compile_matcher());
        TypeGlob { text: text.to_owned(), glob }
    }

    /// The source text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches the title of a type.
    pub fn matches(&self, title: &str) -> bool {
        self.text.eq_ignore_ascii_case(title) || self.glob.as_ref().is_some_and(|glob| glob.is_match(title))
    }
}

/// Displays bytes as a quoted string that parses to the same bytes.
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\\' | '"' => write!(f, "\\{letter}"),
                    '\n' => f.write_str("\\n"),
                    '\t' => f.write_str("\\t"),
                    '\0'..='\x1f' | '\x7f' => write!(f, "\\x{:02x}", letter as u32),
                    _ => write!(f, "{letter}"),
                }?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}
