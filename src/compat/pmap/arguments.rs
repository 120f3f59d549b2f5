//! pmap's command line, parsed as getopt_long does: options may be combined, abbreviated and follow PIDs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Show maps.
    Show(Arguments),
    /// Write a new configuration, to this file or to the default one.
    CreateRc(Option<PathBuf>),
    /// `-h`
    Help,
    /// `-V`
    Version,
}

/// Which maps to show, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The columns.
    pub layout: Layout,
    /// `-q`: no header and no totals.
    pub quiet: bool,
    /// `-p`: complete paths.
    pub show_path: bool,
    /// `-k`: the kernel's names, unchanged.
    pub kernel_names: bool,
    /// `-A`: only regions that hold an address of this range, both ends included.
    pub range: Option<(u64, u64)>,
    /// The number of `-r` options, each ignored with a message.
    pub ignored: usize,
    /// The processes and files to show.
    pub operands: Vec<Operand>,
}

/// The columns to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Address, size, mode, name.
    Plain,
    /// `-x`
    Extended,
    /// `-d`
    Device,
    /// `-X`, and `-XX` with `everything`.
    Fields {
        /// Whether to show the rarely used columns too.
        everything: bool,
    },
    /// `-c`, and `-C` with a file.
    Configured(Option<PathBuf>),
}

/// An argument that is no option: a process or a saved map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A process, or a thread of it.
    Pid(u32),
    /// A saved map.
    File(PathBuf),
    /// A path under `/proc` that is not a process.
    NoProcess(OsString),
}

/// An error in the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The message; `None` if pmap prints only the usage.
    pub message: Option<String>,
    /// Whether the usage follows.
    pub usage: bool,
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { message: Some(message.into()), usage: false })
}

fn misused<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { message: Some(message.into()), usage: true })
}

struct LongOption {
    name: &'static str,
    letter: u8,
    takes_value: bool,
}

const fn long(name: &'static str, letter: u8, takes_value: bool) -> LongOption {
    LongOption { name, letter, takes_value }
}

/// The order is that in which the message about an ambiguous abbreviation lists them.
const LONG_OPTIONS: &[LongOption] = &[
    long("extended", b'x', false),
    long("device", b'd', false),
    long("quiet", b'q', false),
    long("show-path", b'p', false),
    long("range", b'A', true),
    long("help", b'h', false),
    long("version", b'V', false),
    long("read-rc", b'c', false),
    long("read-rc-from", b'C', true),
    long("create-rc", b'n', false),
    long("create-rc-to", b'N', true),
    long("use-kernel-name", b'k', false),
];

const LETTERS: &[u8] = b"xXrdqphVcnkACN";

/// The options parsed so far.
#[derive(Default)]
struct Options {
    extended: bool,
    device: bool,
    fields: usize,
    read_rc: bool,
    read_rc_from: Option<PathBuf>,
    create_rc: bool,
    create_rc_to: Option<PathBuf>,
    quiet: bool,
    show_path: bool,
    kernel_names: bool,
    range: Option<(u64, u64)>,
    ignored: usize,
    /// `-h` or `-V`, which end the parsing.
    immediate: Option<Request>,
}

/// Parses the arguments after the tool's name.
///
/// # Errors
///
/// Returns what pmap refuses, with pmap's message.
pub fn parse(arguments: &[OsString]) -> Result<Request, Refusal> {
    if arguments.is_empty() {
        return Err(Refusal { message: None, usage: true });
    }
    let mut options = Options::default();
    let mut operands = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let bytes = argument.as_bytes();
        if bytes == b"--" {
            operands.extend(rest.by_ref());
        } else if let Some(name) = bytes.strip_prefix(b"--") {
            options.long(name, &mut rest)?;
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            options.short(&bytes[1..], &mut rest)?;
        } else {
            operands.push(argument);
        }
        if let Some(request) = options.immediate.take() {
            return Ok(request);
        }
    }
    options.finish(&operands)
}

impl Options {
    fn long<'a>(
        &mut self,
        text: &[u8],
        rest: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), Refusal> {
        let (name, value) = match text.iter().position(|&byte| byte == b'=') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let shown = String::from_utf8_lossy(name);
        let exact = LONG_OPTIONS.iter().find(|option| option.name.as_bytes() == name);
        let begun: Vec<_> =
            LONG_OPTIONS.iter().filter(|option| option.name.as_bytes().starts_with(name)).collect();
        let option = match (exact, begun.as_slice()) {
            (Some(option), _) | (None, &[option]) => option,
            (None, []) => return misused(format!("unrecognized option '--{shown}'")),
            (None, many) => {
                let names: String = many.iter().map(|option| format!(" '--{}'", option.name)).collect();
                return misused(format!("option '--{shown}' is ambiguous; possibilities:{names}"));
            }
        };
        let value = match (option.takes_value, value) {
            (false, Some(_)) => {
                return misused(format!("option '--{}' doesn't allow an argument", option.name));
            }
            (false, None) => None,
            (true, Some(value)) => Some(value.to_vec()),
            (true, None) => match rest.next() {
                Some(value) => Some(value.as_bytes().to_vec()),
                None => return misused(format!("option '--{}' requires an argument", option.name)),
            },
        };
        self.take(option.letter, value)
    }

    fn short<'a>(
        &mut self,
        letters: &[u8],
        rest: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), Refusal> {
        for (at, &letter) in letters.iter().enumerate() {
            if !LETTERS.contains(&letter) {
                return misused(format!("invalid option -- '{}'", char::from(letter)));
            }
            if !matches!(letter, b'A' | b'C' | b'N') {
                self.take(letter, None)?;
                if self.immediate.is_some() {
                    return Ok(());
                }
                continue;
            }
            let value = match &letters[at + 1..] {
                [] => rest.next().map(|value| value.as_bytes()),
                value => Some(value),
            };
            let Some(value) = value else {
                return misused(format!("option requires an argument -- '{}'", char::from(letter)));
            };
            return self.take(letter, Some(value.to_vec()));
        }
        Ok(())
    }

    fn take(&mut self, letter: u8, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        let value = value.unwrap_or_default();
        match letter {
            b'x' => self.extended = true,
            b'X' => self.fields += 1,
            b'd' => self.device = true,
            b'q' => self.quiet = true,
            b'p' => self.show_path = true,
            b'k' => self.kernel_names = true,
            b'r' => self.ignored += 1,
            b'c' => self.read_rc = true,
            b'C' => self.read_rc_from = Some(OsString::from_vec(value).into()),
            b'n' => self.create_rc = true,
            b'N' => self.create_rc_to = Some(OsString::from_vec(value).into()),
            b'A' => self.range = Some(parse_range(&value)?),
            b'h' => self.immediate = Some(Request::Help),
            _ => self.immediate = Some(Request::Version),
        }
        Ok(())
    }

    fn finish(self, words: &[&OsString]) -> Result<Request, Refusal> {
        let creates = self.create_rc || self.create_rc_to.is_some();
        let modes = [
            self.read_rc,
            self.read_rc_from.is_some(),
            self.device,
            self.create_rc,
            self.create_rc_to.is_some(),
            self.extended,
            self.fields > 0,
        ];
        if modes.into_iter().filter(|&mode| mode).count() > 1 {
            return refuse("options -c, -C, -d, -n, -N, -x, -X are mutually exclusive");
        }
        if creates && (self.quiet || self.show_path) {
            return refuse("options -p, -q are mutually exclusive with -n, -N");
        }
        if creates {
            if !words.is_empty() {
                return refuse("too many arguments");
            }
            return Ok(Request::CreateRc(self.create_rc_to));
        }
        if words.is_empty() {
            return refuse("argument missing");
        }
        let layout = match (self.read_rc_from, self.read_rc) {
            (Some(file), _) => Layout::Configured(Some(file)),
            (None, true) => Layout::Configured(None),
            _ if self.extended => Layout::Extended,
            _ if self.device => Layout::Device,
            _ if self.fields > 0 => Layout::Fields { everything: self.fields > 1 },
            _ => Layout::Plain,
        };
        let operands = words.iter().map(|word| operand(word)).collect::<Option<_>>();
        let Some(operands) = operands else { return Err(Refusal { message: None, usage: true }) };
        Ok(Request::Show(Arguments {
            layout,
            quiet: self.quiet,
            show_path: self.show_path,
            kernel_names: self.kernel_names,
            range: self.range,
            ignored: self.ignored,
            operands,
        }))
    }
}

/// Parses an operand: a PID in decimal, hexadecimal (`0x`) or octal (`0`), with or without `/proc/` before it; otherwise an
/// existing file. Returns `None` if it is neither.
fn operand(word: &OsStr) -> Option<Operand> {
    let bytes = word.as_bytes();
    let in_proc = bytes.strip_prefix(b"/proc/");
    if let Some(pid) = number(in_proc.unwrap_or(bytes)) {
        let is_possible = (1..=i32::MAX as u64).contains(&pid);
        return is_possible.then_some(Operand::Pid(pid as u32));
    }
    if std::fs::metadata(word).is_ok_and(|file| !file.is_dir()) {
        return Some(Operand::File(word.into()));
    }
    let is_process_like = in_proc.is_some_and(|rest| !rest.contains(&b'/'));
    is_process_like.then(|| Operand::NoProcess(word.into()))
}

/// Parses a number as `strtoul` does with base 0, with nothing after it.
fn number(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    if !text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let parse = |digits: &str, radix| {
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| char::from(byte).is_digit(radix));
        is_plain.then(|| u64::from_str_radix(digits, radix).unwrap_or(u64::MAX))
    };
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => parse(digits, 16),
        None if text.len() > 1 && text.starts_with('0') => parse(&text[1..], 8),
        None => parse(text, 10),
    }
}

/// Parses `LOW[,HIGH]`: each may be empty, and without a comma they are the same.
fn parse_range(text: &[u8]) -> Result<(u64, u64), Refusal> {
    let wrong = || refuse(format!("failed to parse argument: '{}'", String::from_utf8_lossy(text)));
    if text.is_empty() {
        return Ok((0, u64::MAX));
    }
    let (low, high) = match text.iter().position(|&byte| byte == b',') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let bound = |text: &[u8], open: u64| if text.is_empty() { Some(open) } else { hexadecimal(text) };
    let Some(low) = bound(low, 0) else { return wrong() };
    match high {
        None => Ok((low, low)),
        Some(high) => bound(high, u64::MAX).map_or_else(wrong, |high| Ok((low, high))),
    }
}

/// Parses a number as `strtoul` does with base 16: with leading blanks, a sign and `0x`; one that is too large saturates.
fn hexadecimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_start();
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let value = u64::from_str_radix(digits, 16).unwrap_or(u64::MAX);
    Some(if is_negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, Refusal> {
        parse(&line.split_ascii_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn shown(line: &str) -> Arguments {
        match parsed(line) {
            Ok(Request::Show(arguments)) => arguments,
            other => panic!("`{line}` is parsed as {other:?}"),
        }
    }

    fn refused(line: &str) -> (String, bool) {
        let refusal = parsed(line).unwrap_err();
        (refusal.message.unwrap_or_default(), refusal.usage)
    }

    #[test]
    fn short_options_combine_in_any_place() {
        let arguments = shown("7 -qpx -A7f,8 0x10");
        assert_eq!(arguments.layout, Layout::Extended);
        assert!(arguments.quiet && arguments.show_path);
        assert_eq!(arguments.range, Some((0x7f, 8)));
        assert_eq!(arguments.operands, [Operand::Pid(7), Operand::Pid(16)]);
        assert_eq!(shown("-XX 1").layout, Layout::Fields { everything: true });
        assert_eq!(shown("-X -q -X 1").layout, Layout::Fields { everything: true });
    }

    #[test]
    fn long_options_may_be_abbreviated_unless_ambiguous() {
        assert_eq!(shown("--ext 1").layout, Layout::Extended);
        assert_eq!(shown("--read-rc-from=x 1").layout, Layout::Configured(Some("x".into())));
        assert_eq!(shown("--read-rc 1").layout, Layout::Configured(None), "a whole name is not ambiguous");
        assert_eq!(
            refused("--r 1"),
            ("option '--r' is ambiguous; possibilities: '--range' '--read-rc' '--read-rc-from'".into(), true)
        );
        assert_eq!(refused("--quiet=3 1"), ("option '--quiet' doesn't allow an argument".into(), true));
    }

    #[test]
    fn ids_are_decimal_hexadecimal_or_octal() {
        let pids = shown("10 0x10 010 /proc/10").operands;
        assert_eq!(pids, [Operand::Pid(10), Operand::Pid(16), Operand::Pid(8), Operand::Pid(10)]);
        for wrong in ["abc", "0", "1x", "0x", "-- -5", "4294967297", "08", "+1"] {
            assert_eq!(refused(wrong), (String::new(), true), "{wrong}");
        }
    }

    #[test]
    fn ranges_may_be_open() {
        let range = |text: &str| shown(&format!("-A {text} 1")).range.unwrap();
        assert_eq!(range("7f"), (0x7f, 0x7f));
        assert_eq!(range("0x7f,"), (0x7f, u64::MAX));
        assert_eq!(range(",7f"), (0, 0x7f));
        assert_eq!(range(","), (0, u64::MAX));
        assert_eq!(refused("-A zz 1"), ("failed to parse argument: 'zz'".into(), false));
        assert_eq!(refused("-A 1,2,3 1"), ("failed to parse argument: '1,2,3'".into(), false));
    }

    #[test]
    fn exclusions_have_pmaps_words() {
        let exclusive = "options -c, -C, -d, -n, -N, -x, -X are mutually exclusive";
        for line in ["-x -d 1", "-xX 1", "-d -c 1", "-n -x", "-c -C x 1"] {
            assert_eq!(refused(line), (exclusive.into(), false), "{line}");
        }
        assert_eq!(refused("-p -n").0, "options -p, -q are mutually exclusive with -n, -N");
        assert_eq!(refused("-n 1").0, "too many arguments");
        assert_eq!(refused("-x").0, "argument missing");
        assert_eq!(parsed("-x -d -h"), Ok(Request::Help), "help comes before everything");
    }
}
