//! Targets: which process or file is meant.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use mmview_platform::{
    OpenOptions, ProcessEntry, RegionSource, open_file, open_process, open_reader, processes,
};

use crate::error::{Error, ErrorKind, Result};
use crate::text::printable;

/// What stands for standard input, and its name in messages.
const INPUT: &str = "-";
const INPUT_NAME: &str = "standard input";

/// A process or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A process, by its id.
    Pid(u32),
    /// A number that is too large for a process id.
    ImpossiblePid(String),
    /// This process.
    Myself,
    /// A saved map.
    File(PathBuf),
    /// A saved map on standard input.
    Input,
    /// A process, by its name or a part of it.
    Name(OsString),
}

impl Target {
    /// The target that `text` means. In this order: a number is a PID; `self`; `-` is standard input; a path with a slash or the name of an existing
    /// file is a capture; anything else is a name.
    pub fn resolve(text: OsString) -> Target {
        let bytes = text.as_encoded_bytes();
        if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) {
            let digits = text.to_string_lossy();
            return digits.parse().map_or_else(|_| Target::ImpossiblePid(digits.to_string()), Target::Pid);
        }
        if text == OsStr::new("self") {
            return Target::Myself;
        }
        if text == OsStr::new(INPUT) {
            return Target::Input;
        }
        if bytes.contains(&b'/') || std::fs::metadata(&text).is_ok_and(|file| !file.is_dir()) {
            return Target::File(text.into());
        }
        Target::Name(text)
    }

    /// The capture at `path`; `-` is standard input.
    pub fn file(path: PathBuf) -> Target {
        if path == Path::new(INPUT) { Target::Input } else { Target::File(path) }
    }

    /// Its name in messages.
    pub fn title(&self) -> String {
        match self {
            Target::Pid(pid) => pid.to_string(),
            Target::ImpossiblePid(digits) => digits.clone(),
            Target::Myself => "self".to_owned(),
            Target::File(path) => printable(path.as_os_str().as_encoded_bytes()),
            Target::Input => INPUT_NAME.to_owned(),
            Target::Name(name) => printable(name.as_encoded_bytes()),
        }
    }

    /// Opens it.
    pub fn open(&self, options: &OpenOptions) -> Result<Box<dyn RegionSource>> {
        Ok(match self {
            Target::Pid(pid) => open_process(*pid, options)?,
            Target::ImpossiblePid(digits) => {
                return Err(Error::new(ErrorKind::NoSuchProcess, format!("no process with PID {digits}")));
            }
            Target::Myself => open_process(std::process::id(), options)?,
            Target::File(path) => open_file(path, options)?,
            Target::Input => open_reader(Path::new(INPUT_NAME), std::io::stdin().lock(), options)?,
            Target::Name(name) => open_process(find(name, processes(options)?)?, options)?,
        })
    }
}

/// Several processes match a name; the hints list them.
fn ambiguous(name: &str, entries: &[ProcessEntry]) -> Error {
    const SHOWN: usize = 20;
    let width = entries.iter().map(|entry| entry.pid.to_string().len()).max().unwrap_or(0);
    let line = |entry: &ProcessEntry| {
        let command: Vec<_> = entry.command.iter().map(|argument| printable(argument)).collect();
        let command: String = command.join(" ").chars().take(60).collect();
        let line = format!("{:>width$}  {:<15}  {command}", entry.pid, printable(&entry.name));
        line.trim_end().to_owned()
    };
    let mut lines: Vec<_> = entries.iter().take(SHOWN).map(line).collect();
    if entries.len() > SHOWN {
        lines.push(format!("and {} more", entries.len() - SHOWN));
    }
    let text = format!("{} processes match `{name}`; give the PID of one", entries.len());
    Error::new(ErrorKind::Ambiguous, text).with_hints(lines)
}

/// The process with this name; if there is none, the one with `name` as a part of its name. mmview itself doesn't count.
fn find(name: &OsStr, entries: Vec<ProcessEntry>) -> Result<u32> {
    let wanted = name.as_encoded_bytes();
    let others: Vec<_> = entries.into_iter().filter(|entry| entry.pid != std::process::id()).collect();
    let called = |matches: &dyn Fn(&[u8]) -> bool| {
        let is_called = |entry: &&ProcessEntry| matches(&entry.name) || entry.program().is_some_and(matches);
        others.iter().filter(is_called).cloned().collect::<Vec<_>>()
    };
    let contains = |name: &[u8]| !wanted.is_empty() && name.windows(wanted.len()).any(|part| part == wanted);
    let mut entries = called(&|name| name == wanted);
    if entries.is_empty() {
        entries = called(&contains);
    }
    let name = printable(wanted);
    match entries.as_slice() {
        [] => Err(Error::new(ErrorKind::NoSuchProcess, format!("no process or file matches `{name}`"))),
        [entry] => Ok(entry.pid),
        entries => Err(ambiguous(&name, entries)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: u32, name: &str, command: &str) -> ProcessEntry {
        let command = command.split(' ').filter(|argument| !argument.is_empty());
        let command = command.map(|argument| argument.as_bytes().into()).collect();
        ProcessEntry::new(pid, name.as_bytes(), command)
    }

    fn found(name: &str, entries: &[ProcessEntry]) -> std::result::Result<u32, String> {
        find(OsStr::new(name), entries.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_form_of_a_target_decides_what_it_is() {
        assert_eq!(Target::resolve("42".into()), Target::Pid(42));
        assert_eq!(Target::resolve("99999999999".into()), Target::ImpossiblePid("99999999999".into()));
        assert_eq!(Target::resolve("self".into()), Target::Myself);
        assert_eq!(Target::resolve("-".into()), Target::Input);
        assert_eq!(Target::resolve("./nowhere".into()), Target::File("./nowhere".into()));
        assert_eq!(Target::resolve("Cargo.toml".into()), Target::File("Cargo.toml".into()));
        assert_eq!(Target::resolve("nginx".into()), Target::Name("nginx".into()));
        assert_eq!(Target::resolve("src".into()), Target::Name("src".into()), "a directory is not a capture");
        assert_eq!(Target::resolve("".into()), Target::Name("".into()));
    }

    #[test]
    fn a_whole_name_has_priority_over_a_part() {
        let entries = [entry(1, "node", "node x.js"), entry(2, "node_exporter", "/bin/node_exporter")];
        assert_eq!(found("node", &entries), Ok(1));
        assert_eq!(found("export", &entries), Ok(2));
        assert!(found("no", &entries).unwrap_err().starts_with("2 processes"));
    }

    #[test]
    fn the_program_counts_if_the_short_name_is_cut() {
        let entries = [entry(7, "a-very-long-nam", "/opt/a-very-long-name --x")];
        assert_eq!(found("a-very-long-name", &entries), Ok(7));
    }

    #[test]
    fn an_empty_name_matches_nothing() {
        assert!(found("", &[entry(1, "init", "")]).is_err());
        assert!(found("x", &[entry(1, "init", "")]).is_err());
        assert!(found("init", &[entry(std::process::id(), "init", "")]).is_err());
    }
}
