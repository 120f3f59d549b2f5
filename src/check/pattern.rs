//! Paths and names to compare with: a glob, or literally.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use mmview_platform::{Name, NameKind, Region};

use super::verdict::Verdict;
use crate::filter::{PathGlob, as_path, last_part};

/// What is compared with a path or a name: a glob, as [`PathGlob`] reads it, or the same bytes.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    bytes: Vec<u8>,
    /// `None` where nothing but the same bytes can match: without a wildcard, or where it is no glob.
    glob: Option<PathGlob>,
    is_whole: bool,
}

/// By the text that it was read from.
impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.bytes == other.bytes
    }
}

/// What stands after the name of a file that has been unlinked, in listings.
const DELETED: &[u8] = b" (deleted)";

impl Pattern {
    /// A glob; what is none, such as `a[`, stands for itself.
    pub fn new(bytes: Vec<u8>) -> Pattern {
        let has_wildcard = bytes.iter().any(|byte| b"*?[{\\".contains(byte));
        let glob =
            std::str::from_utf8(&bytes).ok().filter(|_| has_wildcard).and_then(|text| text.parse().ok());
        Pattern { is_whole: bytes.contains(&b'/'), glob, bytes }
    }

    /// What it was read from.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The last part of it, where it is a path.
    pub fn last_part(&self) -> &[u8] {
        let slash = self.bytes.iter().rposition(|&byte| byte == b'/');
        &self.bytes[slash.map_or(0, |slash| slash + 1)..]
    }

    /// Whether a region's path matches: that of a file or of a memory object.
    pub fn matches_path(&self, region: &Region) -> Verdict {
        let Some(name) = region.name.as_ref().filter(|name| name.path().is_some()) else {
            return Verdict::Fails;
        };
        self.matches(name, region)
    }

    /// Whether a region's name matches, whatever it names: as it is, or as listings show it.
    pub fn matches_name(&self, region: &Region) -> Verdict {
        let Some(name) = &region.name else { return Verdict::Fails };
        let prefix: &[u8] = match name.kind() {
            NameKind::Given => b"[anon:",
            NameKind::GivenShared => b"[anon_shmem:",
            _ => return self.matches(name, region),
        };
        let inner = self.bytes.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(b"]"));
        Verdict::from(inner == Some(name.bytes())).max(self.matches(name, region))
    }

    fn matches(&self, name: &Name, region: &Region) -> Verdict {
        let subject = if self.is_whole { name.bytes() } else { last_part(name) };
        let is_same = subject == self.bytes
            || (name.is_deleted() && self.bytes.strip_suffix(DELETED).is_some_and(|bytes| bytes == subject));
        if is_same || self.glob.as_ref().is_some_and(|glob| glob.matches_name(name)) {
            return Verdict::Holds;
        }
        if self.is_whole && is_shortened(name, region) && self.may_be(name) {
            return Verdict::Unknown;
        }
        Verdict::Fails
    }

    /// Whether a path of which a report has only a part may be this.
    fn may_be(&self, shortened: &Name) -> bool {
        let path = shortened.bytes();
        let path = path.strip_prefix(b"...").map_or_else(|| path.to_vec(), |end| [b"*", end].concat());
        if self.glob.is_some() {
            let is_wild = |byte: &u8| b"*?[{\\".contains(byte);
            return ends_agree(&self.bytes, &path, is_wild);
        }
        let Ok(glob) = std::str::from_utf8(&path) else { return true };
        let glob = GlobBuilder::new(glob).literal_separator(false).backslash_escape(false).build();
        glob.map_or(true, |glob| glob.compile_matcher().is_match(as_path(&self.bytes)))
    }
}

/// Whether two globs begin and end alike, as far as both are literal: if not, nothing matches both.
fn ends_agree(one: &[u8], other: &[u8], is_wild: impl Fn(&u8) -> bool) -> bool {
    let agree = |one: &mut dyn Iterator<Item = &u8>, other: &mut dyn Iterator<Item = &u8>| {
        one.zip(other)
            .take_while(|(one, other)| !is_wild(one) && !is_wild(other))
            .all(|(one, other)| one == other)
    };
    // A class or a choice ends in a letter that is none of its own: only what comes before it is compared.
    let is_simple = !one.iter().any(|byte| b"]}\\".contains(byte));
    agree(&mut one.iter(), &mut other.iter())
        && (!is_simple || agree(&mut one.iter().rev(), &mut other.iter().rev()))
}

/// Whether a report of vmmap has only a part of a path: cut to `...` and its end, or with parts replaced by `*`.
pub(super) fn is_shortened(name: &Name, region: &Region) -> bool {
    let is_printed = region.native.macos().is_some_and(|native| native.printed_type.is_some());
    is_printed && (name.bytes().starts_with(b"...") || name.bytes().contains(&b'*'))
}

/// A name of types in tables, or a glob over those, case aside.
#[derive(Clone, Debug)]
pub(super) struct TypeGlob {
    text: String,
    glob: Option<GlobMatcher>,
}

/// By the text that it was read from.
impl PartialEq for TypeGlob {
    fn eq(&self, other: &TypeGlob) -> bool {
        self.text == other.text
    }
}

impl TypeGlob {
    /// A glob; what is none stands for itself.
    pub fn new(text: &str) -> TypeGlob {
        let glob = text
            .contains(['*', '?', '[', '{'])
            .then(|| GlobBuilder::new(text).case_insensitive(true).build());
        let glob = glob.and_then(Result::ok).map(|glob| glob.compile_matcher());
        TypeGlob { text: text.to_owned(), glob }
    }

    /// What it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is the name of the type.
    pub fn matches(&self, title: &str) -> bool {
        self.text.eq_ignore_ascii_case(title) || self.glob.as_ref().is_some_and(|glob| glob.is_match(title))
    }
}

/// Bytes in quotes, so that reading them gives the same bytes.
pub(super) struct Quoted<'a>(pub &'a [u8]);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::classified;

    fn matches(pattern: &str, name: &str) -> Verdict {
        let regions = classified(&format!("1000-2000 r--p 0 08:01 7 {name}"));
        Pattern::new(pattern.into()).matches_path(regions[0].facts())
    }

    #[test]
    fn globs_whole_paths_and_last_parts() {
        for (pattern, name) in [
            ("/tmp/x.txt", "/tmp/x.txt"),
            ("x.txt", "/tmp/x.txt"),
            ("*.txt", "/tmp/x.txt"),
            ("/tmp/*", "/tmp/a/x.txt"),
            ("/tmp/a[1].txt", "/tmp/a[1].txt"),
            ("a[1].txt", "/tmp/a[1].txt"),
            ("a[", "/tmp/a["),
            ("x.txt", "/tmp/x.txt (deleted)"),
            ("/tmp/x.txt (deleted)", "/tmp/x.txt (deleted)"),
        ] {
            assert_eq!(matches(pattern, name), Verdict::Holds, "{pattern} {name}");
        }
        for (pattern, name) in [("tmp", "/tmp/x.txt"), ("/x.txt", "/tmp/x.txt"), ("[heap]", "[heap]")] {
            assert_eq!(matches(pattern, name), Verdict::Fails, "{pattern} {name}");
        }
    }

    #[test]
    fn a_path_that_a_report_cut_may_be_what_is_asked_for() {
        let may_be =
            |pattern: &str, path: &str| Pattern::new(pattern.into()).may_be(&Name::file(path.as_bytes()));
        assert!(may_be("/Users/me/x/a.dylib", "/Users/*/a.dylib"));
        assert!(!may_be("/Users/me/x/b.dylib", "/Users/*/a.dylib"));
        assert!(may_be("/Applications/a/x", "...a/x") && !may_be("/Applications/a/y", "...a/x"));
        assert!(may_be("/Users/me/*", "/Users/*/a.dylib") && !may_be("/Applications/*", "/Users/*/a.dylib"));
        assert!(may_be("/Applications/*", "...a/x") && !may_be("/*.so", "...a/x.dylib"));
        assert!(may_be("/U{s,t}ers/*.[ab]", "/Users/*/x.c"), "what is not compared may be");
    }

    #[test]
    fn any_name_is_a_name() {
        let matches = |pattern: &str, name: &str| {
            let regions = classified(&format!("1000-2000 rw-p 0 00:00 0 {name}"));
            Pattern::new(pattern.into()).matches_name(regions[0].facts())
        };
        assert_eq!(matches("[heap]", "[heap]"), Verdict::Holds);
        assert_eq!(matches("libc_malloc", "[anon:libc_malloc]"), Verdict::Holds);
        assert_eq!(matches("[anon:libc_malloc]", "[anon:libc_malloc]"), Verdict::Holds);
        assert_eq!(matches("libc_*", "[anon:libc_malloc]"), Verdict::Holds);
        assert_eq!(matches("heap", "[heap]"), Verdict::Fails);
        assert_eq!(matches("x", ""), Verdict::Fails);
    }
}
