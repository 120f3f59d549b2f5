//! The meaning of the last column of maps.
//!
//! The kernel writes a path with newlines as `\012` and nothing else escaped (`seq_path(…, "\n")`), and appends ` (deleted)`
//! to the path of an unlinked file. The name of a file that really contains `\012`, or really ends in ` (deleted)`, therefore
//! looks like another one. [`Parsed::is_ambiguous`] reports that, and a live source then queries the kernel.

use crate::model::{Device, Name, NameKind};

const DELETED: &[u8] = b" (deleted)";
const ESCAPED_NEWLINE: &[u8] = b"\\012";

/// A name from the text of maps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parsed {
    /// The most likely name.
    pub name: Name,
    /// Whether the text may also mean another name.
    pub is_ambiguous: bool,
}

/// Parses the last column of a line of maps. `None` for an unnamed region. `device` is that of the line.
pub fn parse(text: &[u8], device: Device) -> Option<Parsed> {
    if text.is_empty() {
        return None;
    }
    let unescaped = unescape(text);
    let has_escape = unescaped.len() != text.len();
    let Parsed { name, is_ambiguous } = parse_exact(&unescaped, device)?;
    Some(Parsed { is_ambiguous: is_ambiguous || (has_escape && name.is_file()), name })
}

/// Parses a name that is not escaped (from PROCMAP_QUERY or a link in `map_files`).
///
/// It is still ambiguous if it ends in ` (deleted)`, which the kernel appends there too.
pub fn parse_exact(bytes: &[u8], device: Device) -> Option<Parsed> {
    let sure = |name| Some(Parsed { name, is_ambiguous: false });
    if bytes.is_empty() {
        return None;
    }
    if bytes[0] == b'[' {
        return sure(bracketed(bytes));
    }
    if bytes[0] != b'/' {
        let is_inode = bytes.starts_with(b"anon_inode:") || bytes.ends_with(b"]");
        let kind = if is_inode { NameKind::AnonInode } else { NameKind::Other };
        return sure(Name::new(kind, bytes));
    }
    match bytes.strip_suffix(DELETED) {
        None => sure(Name::file(bytes)),
        Some(path) if is_memory_object(path, device) => sure(Name::new(NameKind::MemoryObject, path)),
        Some(path) => Some(Parsed { name: Name::file(path).deleted(), is_ambiguous: true }),
    }
}

/// The same text, as a name that was not unlinked but really ends in ` (deleted)`.
pub fn literal(name: &Name) -> Name {
    if !name.is_deleted() {
        return name.clone();
    }
    Name::new(name.kind(), [name.bytes(), DELETED].concat())
}

/// The text that the kernel prints for a name.
pub fn escape(name: &Name) -> Vec<u8> {
    let wrap = |prefix: &[u8]| [prefix, name.bytes(), b"]"].concat();
    let mut text = match name.kind() {
        NameKind::Given => return wrap(b"[anon:"),
        NameKind::GivenShared => return wrap(b"[anon_shmem:"),
        _ => Vec::with_capacity(name.bytes().len()),
    };
    for &byte in name.bytes() {
        match byte {
            b'\n' => text.extend_from_slice(ESCAPED_NEWLINE),
            _ => text.push(byte),
        }
    }
    if name.is_deleted() || name.kind() == NameKind::MemoryObject {
        text.extend_from_slice(DELETED);
    }
    text
}

fn bracketed(bytes: &[u8]) -> Name {
    let given = |prefix: &[u8]| bytes.strip_prefix(prefix)?.strip_suffix(b"]");
    if let Some(name) = given(b"[anon:") {
        Name::new(NameKind::Given, name)
    } else if let Some(name) = given(b"[anon_shmem:") {
        Name::new(NameKind::GivenShared, name)
    } else {
        Name::new(NameKind::Kernel, bytes)
    }
}

/// Whether a path with ` (deleted)` after it was never in a file system. That applies to objects of the kernel's internal
/// mounts, which have no device of their own (major 0).
fn is_memory_object(path: &[u8], device: Device) -> bool {
    if device.major != 0 {
        return false;
    }
    let is_system_v = || {
        path.strip_prefix(b"/SYSV").is_some_and(|key| key.len() == 8 && key.iter().all(u8::is_ascii_hexdigit))
    };
    path.starts_with(b"/memfd:")
        || is_system_v()
        || matches!(path, b"/dev/zero" | b"/anon_hugepage" | b"/secretmem" | b"/[aio]" | b"/i915")
        || path.starts_with(b"/drm mm object")
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, ESCAPED_NEWLINE) {
        bytes.extend_from_slice(&rest[..at]);
        bytes.push(b'\n');
        rest = &rest[at + ESCAPED_NEWLINE.len()..];
    }
    bytes.extend_from_slice(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Device = Device { major: 8, minor: 1 };
    const SHMEM: Device = Device { major: 0, minor: 1 };

    fn name(text: &str, device: Device) -> (NameKind, String, bool, bool) {
        let Parsed { name, is_ambiguous } = parse(text.as_bytes(), device).unwrap();
        let bytes = String::from_utf8(name.bytes().to_vec()).unwrap();
        (name.kind(), bytes, name.is_deleted(), is_ambiguous)
    }

    #[test]
    fn plain_path_is_sure() {
        assert_eq!(name("/bin/cat", DISK), (NameKind::File, "/bin/cat".into(), false, false));
    }

    #[test]
    fn deleted_is_likely_not_sure() {
        assert_eq!(name("/tmp/x (deleted)", DISK), (NameKind::File, "/tmp/x".into(), true, true));
        let tmpfs = Device { major: 0, minor: 0x2a };
        assert_eq!(name("/tmp/x (deleted)", tmpfs), (NameKind::File, "/tmp/x".into(), true, true));
    }

    #[test]
    fn only_one_deleted_is_the_kernels() {
        assert_eq!(
            name("/tmp/x (deleted) (deleted)", DISK),
            (NameKind::File, "/tmp/x (deleted)".into(), true, true)
        );
    }

    #[test]
    fn literal_deleted_can_be_had_back() {
        let parsed = parse(b"/tmp/x (deleted)", DISK).unwrap();
        let literal = literal(&parsed.name);
        assert_eq!(literal.bytes(), b"/tmp/x (deleted)");
        assert!(!literal.is_deleted());
    }

    #[test]
    fn newline_is_unescaped_and_only_newline() {
        assert_eq!(name(r"/tmp/two\012lines", DISK).1, "/tmp/two\nlines");
        assert!(name(r"/tmp/two\012lines", DISK).3, "a real backslash has the same text");
        assert_eq!(name(r"/tmp/tab\011", DISK), (NameKind::File, r"/tmp/tab\011".into(), false, false));
        assert_eq!(name(r"/tmp/\012\012", DISK).1, "/tmp/\n\n");
    }

    #[test]
    fn memory_objects_are_not_deleted_files() {
        for (text, path) in [
            ("/memfd:jit-cache (deleted)", "/memfd:jit-cache"),
            ("/memfd: (deleted)", "/memfd:"),
            ("/SYSV0001e240 (deleted)", "/SYSV0001e240"),
            ("/dev/zero (deleted)", "/dev/zero"),
            ("/anon_hugepage (deleted)", "/anon_hugepage"),
            ("/[aio] (deleted)", "/[aio]"),
        ] {
            assert_eq!(name(text, SHMEM), (NameKind::MemoryObject, path.into(), false, false));
        }
    }

    #[test]
    fn a_file_may_be_called_like_a_memory_object() {
        assert_eq!(name("/SYSV0001e240 (deleted)", DISK).0, NameKind::File);
        assert_eq!(name("/SYSVx (deleted)", SHMEM).0, NameKind::File);
        assert_eq!(name("/memfd:x (deleted)", DISK).0, NameKind::File);
        assert_eq!(name("/dev/zero", DISK).0, NameKind::File);
    }

    #[test]
    fn given_names_keep_slashes_and_blanks() {
        assert_eq!(
            name("[anon:dalvik-/system/framework/boot.art]", DISK),
            (NameKind::Given, "dalvik-/system/framework/boot.art".into(), false, false)
        );
        assert_eq!(name("[anon: glibc: malloc]", DISK).1, " glibc: malloc");
        assert_eq!(name("[anon_shmem:OTEL_CTX]", SHMEM).0, NameKind::GivenShared);
    }

    #[test]
    fn kernel_labels_keep_their_brackets() {
        assert_eq!(name("[heap]", DISK), (NameKind::Kernel, "[heap]".into(), false, false));
        assert_eq!(name("[stack:999]", DISK).1, "[stack:999]");
        assert_eq!(name("[anon:unfinished", DISK).0, NameKind::Kernel);
    }

    #[test]
    fn anon_inodes_and_sockets() {
        assert_eq!(name("anon_inode:[io_uring]", SHMEM).0, NameKind::AnonInode);
        assert_eq!(name("socket:[1234]", SHMEM).0, NameKind::AnonInode);
        assert_eq!(name("something", SHMEM).0, NameKind::Other);
    }

    #[test]
    fn exact_bytes_are_not_unescaped() {
        let parsed = parse_exact(br"/tmp/back\012slash", DISK).unwrap();
        assert_eq!(parsed.name.bytes(), br"/tmp/back\012slash");
        assert!(!parsed.is_ambiguous);
    }

    #[test]
    fn no_name_is_none() {
        assert_eq!(parse(b"", DISK), None);
    }
}
