//! Labels in pasted maps, without what was written behind them.

/// What starts a comment. No label of the kernel does.
const COMMENTS: [&[u8]; 8] = [b"#", b"// ", b"<-", b"<=", b"--", b"/*", b"=>", "\u{2190}".as_bytes()];

/// The end of the path of an unlinked file.
const DELETED: &[u8] = b" (deleted)";

/// The name without what a paste has added behind it. A path may really end in blanks, so its blanks stay.
pub(super) fn tidy(name: &[u8], has_file: bool) -> &[u8] {
    if let Some(end) = bracketed(name) {
        return &name[..end];
    }
    if name.starts_with(b"/") {
        // What follows ` (deleted)` is no part of the path, if it is blank or a comment.
        let end = memchr::memmem::rfind(name, DELETED).map(|at| at + DELETED.len());
        return match end {
            Some(end) if is_added(&name[end..]) => &name[..end],
            _ => name,
        };
    }
    // A region without a file has no other name.
    if !has_file && is_comment(name) { &[] } else { name.trim_ascii_end() }
}

/// Where the label in brackets at the start of a name ends.
fn bracketed(name: &[u8]) -> Option<usize> {
    if !name.starts_with(b"[") {
        return None;
    }
    let ends = || name.iter().enumerate().filter(|(_, byte)| **byte == b']').map(|(at, _)| at + 1);
    // A given name may have brackets itself.
    let mut fitting = ends().filter(|end| is_added(&name[*end..]));
    if name.starts_with(b"[anon") { fitting.next() } else { ends().next() }
}

/// Whether the rest of a line was added to a label: blanks, or blanks and a comment.
fn is_added(rest: &[u8]) -> bool {
    let text = rest.trim_ascii();
    text.is_empty() || (rest[0].is_ascii_whitespace() && is_comment(text))
}

fn is_comment(text: &[u8]) -> bool {
    COMMENTS.iter().any(|start| text.starts_with(start))
        || (text.starts_with(b"(") && text != DELETED.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_no_part_of_a_label() {
        for (name, label) in [
            ("[heap] ", "[heap]"),
            ("[stack]\t", "[stack]"),
            ("[heap]   # grows", "[heap]"),
            ("[heap] my heap", "[heap]"),
            ("[anon:x] ", "[anon:x]"),
            ("[anon:x [y]] ", "[anon:x [y]]"),
            ("[anon:x]y]", "[anon:x]y]"),
            ("[anon:x]   <- this one", "[anon:x]"),
            ("/memfd:x (deleted) ", "/memfd:x (deleted)"),
            ("/tmp/x (deleted)  # why?", "/tmp/x (deleted)"),
            ("anon_inode:[eventpoll]  ", "anon_inode:[eventpoll]"),
            ("# no name", ""),
            ("<--- big", ""),
        ] {
            assert_eq!(tidy(name.as_bytes(), false), label.as_bytes(), "{name:?}");
        }
    }

    #[test]
    fn a_path_keeps_its_blanks() {
        for path in ["/tmp/x  ", "/tmp/a b", "/tmp/x (deleted) copy", "/tmp/[x] ", "/tmp/# x"] {
            assert_eq!(tidy(path.as_bytes(), true), path.as_bytes());
        }
    }
}
