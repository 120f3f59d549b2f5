//! pmap's names for a process and its regions.
//!
//! pmap 4.0.2 prints names in two ways. In the plain, `-x` and `-d` layouts, every byte that isn't printable ASCII becomes `?`.
//! In `-X` and its relatives, pmap prints every byte, terminal escapes included; this module prints UTF-8 there, and replaces
//! control characters and invalid bytes with `?`.

use std::borrow::Cow;

use mmview_platform::linux::names::escape;
use mmview_platform::{Name, NameKind, ProcessInfo, ProcessState, Region};

use crate::text::is_deceptive;

/// The tag of stacks on macOS (`VM_MEMORY_STACK`).
const TAG_STACK: u32 = 30;

const ANONYMOUS: &[u8] = b"  [ anon ]";
const STACK: &[u8] = b"  [ stack ]";

/// The options for names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Complete paths instead of their last part.
    pub show_path: bool,
    /// The kernel's names instead of `[ anon ]`.
    pub kernel_names: bool,
}

impl Naming {
    /// The last column of the plain, `-x` and `-d` layouts.
    pub fn mapping(self, region: &Region) -> Cow<'static, [u8]> {
        let Some(name) = &region.name else {
            let is_stack = region.native.macos().is_some_and(|native| native.user_tag == TAG_STACK);
            return Cow::Borrowed(if is_stack { STACK } else { ANONYMOUS });
        };
        if let Some(id) = system_v_id(region, name) {
            return format!("  [ shmid=0x{id:x} ]").into_bytes().into();
        }
        if let Some(path) = self.path(name) {
            return printable_ascii(path).into();
        }
        match name.kind() {
            NameKind::Kernel | NameKind::Given | NameKind::GivenShared if self.kernel_names => {
                printable_ascii(escape(name)).into()
            }
            NameKind::Kernel if name.bytes() == b"[stack]" => Cow::Borrowed(STACK),
            _ => Cow::Borrowed(ANONYMOUS),
        }
    }

    /// The last column of `-X` and its relatives: the kernel's text, for paths the last part.
    pub fn text(self, region: &Region) -> Vec<u8> {
        let Some(name) = &region.name else { return Vec::new() };
        printable_utf8(&self.path(name).unwrap_or_else(|| escape(name)))
    }

    /// The kernel's text of a path, complete or its last part.
    fn path(self, name: &Name) -> Option<Vec<u8>> {
        name.path()?;
        let mut text = escape(name);
        if !self.show_path
            && let Some(slash) = text.iter().rposition(|&byte| byte == b'/')
            && slash + 1 < text.len()
        {
            text.drain(..=slash);
        }
        Some(text)
    }
}

/// The id of a System V shared memory segment, which the kernel reports as its inode.
fn system_v_id(region: &Region, name: &Name) -> Option<u64> {
    let is_system_v = name.kind() == NameKind::MemoryObject && name.bytes().starts_with(b"/SYSV");
    is_system_v.then(|| region.native.linux().map(|native| native.inode))?
}

/// The arguments of a process, joined by blanks; without arguments, its short name in brackets.
///
/// Without a UTF-8 locale, pmap prints control characters as dots and bytes beyond ASCII as `?`.
pub fn command(process: &ProcessInfo, is_utf8: bool) -> Vec<u8> {
    let mut text = process.command.join(&b' ');
    let empty_end = process.command.iter().rev().take_while(|argument| argument.is_empty()).count();
    text.truncate(text.len().saturating_sub(empty_end));
    if process.command.is_empty() {
        let name = process.name.as_deref().or(process.path.as_deref()).unwrap_or(b"?");
        text = [b"[", name, b"]"].concat();
        if process.state == Some(ProcessState::Zombie) {
            text.extend_from_slice(b" <defunct>");
        }
    } else if text.is_empty() {
        text.push(b'?');
    }
    for byte in &mut text {
        match *byte {
            b'\n' => *byte = b' ',
            0..=0x1f | 0x7f if !is_utf8 => *byte = b'.',
            _ => {}
        }
    }
    if is_utf8 { printable_utf8(&text) } else { printable_ascii(text) }
}

/// Returns whether the environment asks for UTF-8, in the order of `setlocale`.
pub fn is_utf8_locale() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn printable_ascii(mut text: Vec<u8>) -> Vec<u8> {
    for byte in &mut text {
        if !matches!(byte, b' '..=b'~') {
            *byte = b'?';
        }
    }
    text
}

/// Keeps printable UTF-8, and replaces every other byte with `?`.
fn printable_utf8(text: &[u8]) -> Vec<u8> {
    let mut drawn = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let length = letter.len_utf8();
            if letter.is_control() || is_deceptive(letter) {
                drawn.resize(drawn.len() + length, b'?');
            } else {
                drawn.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        drawn.resize(drawn.len() + chunk.invalid().len(), b'?');
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmview_platform::linux::{maps::MapsLine, names};

    fn region(line: &str) -> Region {
        let parsed = MapsLine::parse(line.as_bytes()).unwrap();
        let name = names::parse(parsed.name, parsed.device).map(|parsed| parsed.name);
        parsed.into_region(name)
    }

    fn drawn(text: &str, naming: Naming) -> (String, String) {
        let region = region(&format!("1000-2000 rw-s 00000000 00:01 65578  {text}"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(naming.mapping(&region).into_owned()), text(naming.text(&region)))
    }

    fn plain(text: &str) -> (String, String) {
        drawn(text, Naming::default())
    }

    #[test]
    fn paths_are_their_last_part() {
        assert_eq!(plain("/a/b c (deleted)"), ("b c (deleted)".into(), "b c (deleted)".into()));
        assert_eq!(drawn("/a/b", Naming { show_path: true, ..Naming::default() }).0, "/a/b");
        assert_eq!(plain("/memfd:x (deleted)").0, "memfd:x (deleted)");
        assert_eq!(plain(r"/tmp/two\012lines").0, r"two\012lines");
    }

    #[test]
    fn memory_without_a_path_is_anonymous_or_the_stack() {
        for text in ["", "[heap]", "[vdso]", "[anon:dalvik-/a/b.art]", "anon_inode:[io_uring]"] {
            assert_eq!(plain(text).0, "  [ anon ]", "{text}");
        }
        assert_eq!(plain("[stack]"), ("  [ stack ]".into(), "[stack]".into()));
        let kernel = |text| drawn(text, Naming { kernel_names: true, ..Naming::default() }).0;
        assert_eq!(kernel("[heap]"), "[heap]");
        assert_eq!(kernel("[anon:dalvik-/a/b.art]"), "[anon:dalvik-/a/b.art]");
        assert_eq!(kernel(""), "  [ anon ]");
    }

    #[test]
    fn system_v_segments_show_their_id() {
        assert_eq!(
            plain("/SYSV00000000 (deleted)"),
            ("  [ shmid=0x1002a ]".into(), "SYSV00000000 (deleted)".into())
        );
        assert_eq!(plain("/tmp/SYSV00000000").0, "SYSV00000000");
    }

    #[test]
    fn control_characters_become_question_marks() {
        assert_eq!(plain("/x/a\u{1b}[1mü\u{9b}"), ("a?[1m????".into(), "a?[1mü??".into()));
        assert_eq!(plain("/x/a\u{202e}b").1, "a???b");
    }

    #[test]
    fn command_lines_are_joined_and_never_empty() {
        let command = |arguments: &[&str], is_utf8| {
            let mut process = ProcessInfo::default();
            process.command = arguments.iter().map(|argument| argument.as_bytes().into()).collect();
            process.name = Some(b"comm"[..].into());
            String::from_utf8(super::command(&process, is_utf8)).unwrap()
        };
        assert_eq!(command(&["a", "", "b c", ""], true), "a  b c");
        assert_eq!(command(&[""], true), "?");
        assert_eq!(command(&[], true), "[comm]");
        assert_eq!(command(&["ü\tx\ny"], true), "ü?x y");
        assert_eq!(command(&["ü\tx"], false), "??.x");
    }
}
