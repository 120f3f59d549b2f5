//! Whether a region's path or name matches a pattern.

use globset::GlobBuilder;
use mmview_platform::{Name, NameKind};

use super::verdict::Verdict;
use crate::check::language::Pattern;
use crate::criteria::{as_path, last_part};
use crate::region::Classified;

/// What listings append to the name of an unlinked file.
const DELETED: &[u8] = b" (deleted)";

impl Pattern {
    /// Whether a region's path matches: that of a file or of a memory object.
    pub fn matches_path(&self, region: &Classified) -> Verdict {
        match region.name().filter(|name| name.path().is_some()) {
            Some(name) => self.matches(name, region),
            None => Verdict::Fails,
        }
    }

    /// Whether a region's name matches, be it a path, a label or a given name: with or without the brackets that listings
    /// put around a given name.
    pub fn matches_name(&self, region: &Classified) -> Verdict {
        let Some(name) = region.name() else { return Verdict::Fails };
        let prefix: &[u8] = match name.kind() {
            NameKind::Given => b"[anon:",
            NameKind::GivenShared => b"[anon_shmem:",
            _ => return self.matches(name, region),
        };
        let inner = self.bytes().strip_prefix(prefix).and_then(|rest| rest.strip_suffix(b"]"));
        Verdict::from(inner == Some(name.bytes())).max(self.matches(name, region))
    }

    fn matches(&self, name: &Name, region: &Classified) -> Verdict {
        let subject = if self.is_whole() { name.bytes() } else { last_part(name) };
        let is_same = subject == self.bytes()
            || (name.is_deleted()
                && self.bytes().strip_suffix(DELETED).is_some_and(|bytes| bytes == subject));
        if is_same || self.glob().is_some_and(|glob| glob.matches_name(name)) {
            return Verdict::Holds;
        }
        if self.is_whole() && is_shortened(name, region) && self.may_be(name) {
            return Verdict::Unknown;
        }
        Verdict::Fails
    }

    /// Whether the full form of a path that a report shortened can match.
    fn may_be(&self, shortened: &Name) -> bool {
        let path = shortened.bytes();
        let path = path.strip_prefix(b"...").map_or_else(|| path.to_vec(), |end| [b"*", end].concat());
        if self.glob().is_some() {
            let is_wild = |byte: &u8| b"*?[{\\".contains(byte);
            return ends_agree(self.bytes(), &path, is_wild);
        }
        let Ok(glob) = std::str::from_utf8(&path) else { return true };
        let glob = GlobBuilder::new(glob).literal_separator(false).backslash_escape(false).build();
        glob.map_or(true, |glob| glob.compile_matcher().is_match(as_path(self.bytes())))
    }
}

/// Whether the literal start and the literal end of two globs agree. If not, no text matches both.
fn ends_agree(one: &[u8], other: &[u8], is_wild: impl Fn(&u8) -> bool) -> bool {
    let agree = |one: &mut dyn Iterator<Item = &u8>, other: &mut dyn Iterator<Item = &u8>| {
        one.zip(other)
            .take_while(|(one, other)| !is_wild(one) && !is_wild(other))
            .all(|(one, other)| one == other)
    };
    // The last characters of a class, an alternation or an escape are not literal: compare the start only.
    let is_simple = !one.iter().any(|byte| b"]}\\".contains(byte));
    agree(&mut one.iter(), &mut other.iter())
        && (!is_simple || agree(&mut one.iter().rev(), &mut other.iter().rev()))
}

/// Whether a report of vmmap shows only a part of a path: `...` and its end, or `*` for some components.
pub fn is_shortened(name: &Name, region: &Classified) -> bool {
    let is_printed = region.native().macos().is_some_and(|native| native.printed_type.is_some());
    is_printed && (name.bytes().starts_with(b"...") || name.bytes().contains(&b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::classified;

    fn matches(pattern: &str, name: &str) -> Verdict {
        let regions = classified(&format!("1000-2000 r--p 0 08:01 7 {name}"));
        Pattern::new(pattern.into()).matches_path(&regions[0])
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
    fn a_shortened_path_may_match() {
        let may_be =
            |pattern: &str, path: &str| Pattern::new(pattern.into()).may_be(&Name::file(path.as_bytes()));
        assert!(may_be("/Users/me/x/a.dylib", "/Users/*/a.dylib"));
        assert!(!may_be("/Users/me/x/b.dylib", "/Users/*/a.dylib"));
        assert!(may_be("/Applications/a/x", "...a/x") && !may_be("/Applications/a/y", "...a/x"));
        assert!(may_be("/Users/me/*", "/Users/*/a.dylib") && !may_be("/Applications/*", "/Users/*/a.dylib"));
        assert!(may_be("/Applications/*", "...a/x") && !may_be("/*.so", "...a/x.dylib"));
        assert!(may_be("/U{s,t}ers/*.[ab]", "/Users/*/x.c"), "what is not compared may match");
    }

    #[test]
    fn any_name_is_a_name() {
        let matches = |pattern: &str, name: &str| {
            let regions = classified(&format!("1000-2000 rw-p 0 00:00 0 {name}"));
            Pattern::new(pattern.into()).matches_name(&regions[0])
        };
        assert_eq!(matches("[heap]", "[heap]"), Verdict::Holds);
        assert_eq!(matches("libc_malloc", "[anon:libc_malloc]"), Verdict::Holds);
        assert_eq!(matches("[anon:libc_malloc]", "[anon:libc_malloc]"), Verdict::Holds);
        assert_eq!(matches("libc_*", "[anon:libc_malloc]"), Verdict::Holds);
        assert_eq!(matches("heap", "[heap]"), Verdict::Fails);
        assert_eq!(matches("x", ""), Verdict::Fails);
    }
}
