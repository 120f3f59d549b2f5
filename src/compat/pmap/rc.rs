//! pmap's configuration: the columns that `-c` and `-C` show.
//!
//! A section starts with its name in brackets, and has one entry per line. A word that begins with `#` starts a comment. Words
//! after an entry, and entries outside a section, are syntax errors: pmap reports and ignores them.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The names of the columns to show; the address is always shown.
    pub fields: HashSet<String>,
    /// Whether to show complete paths.
    pub show_path: bool,
}

/// The configuration that `-n` and `-N` write, with every entry disabled.
const TEMPLATE: &str = "\
# pmap's Config File

# All the entries are case sensitive.
# Unsupported entries are ignored!

[Fields Display]

# To enable a field uncomment its entry

#Perm
#Offset
#Device
#Inode
#Size
#Rss
#Pss
#Shared_Clean
#Shared_Dirty
#Private_Clean
#Private_Dirty
#Referenced
#Anonymous
#AnonHugePages
#Swap
#KernelPageSize
#MMUPageSize
#Locked
#VmFlags
#Mapping


[Mapping]

# to show paths in the mapping column uncomment the following line
#ShowPath

";

/// The path of the default configuration, `~/.pmaprc`; `None` without `HOME`.
pub fn default_path() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pmaprc"))
}

/// pmap's blanks. A carriage return is not one of them; pmap takes it as part of the entry.
const BLANKS: [char; 2] = [' ', '\t'];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    None,
    Fields,
    Mapping,
    Unsupported,
}

/// Parses a configuration. Returns it with a message for each error.
pub fn parse(text: &[u8]) -> (Config, Vec<String>) {
    let mut config = Config::default();
    let mut complaints = Vec::new();
    let mut section = Section::None;
    let text = String::from_utf8_lossy(text);
    for (number, line) in (1..).zip(text.split('\n')) {
        let line = without_comment(line).trim_matches(BLANKS);
        let mut syntax_error =
            || complaints.push(format!("syntax error found in the config - line {number}"));
        if line.is_empty() {
            continue;
        }
        let mut entry = line;
        if let Some(head) = line.strip_prefix('[') {
            let Some((name, behind)) = head.split_once(']') else {
                syntax_error();
                continue;
            };
            section = match name {
                "Fields Display" => Section::Fields,
                "Mapping" => Section::Mapping,
                _ => Section::Unsupported,
            };
            if !behind.is_empty() {
                syntax_error();
            }
            if section == Section::Unsupported {
                complaints.push(format!("unsupported section found in the config - line {number}"));
            }
            // pmap takes the misplaced text as an entry.
            entry = behind;
        } else if section == Section::None || line.contains(BLANKS) {
            syntax_error();
        }
        let Some(entry) = entry.split(BLANKS).find(|word| !word.is_empty()) else { continue };
        match section {
            Section::Fields => {
                config.fields.insert(entry.to_owned());
            }
            Section::Mapping if entry == "ShowPath" => config.show_path = true,
            _ => {}
        }
    }
    (config, complaints)
}

/// Removes a comment, which starts at a `#` at the start of a word.
fn without_comment(line: &str) -> &str {
    let is_start = |at: usize| line[..at].chars().next_back().is_none_or(|before| BLANKS.contains(&before));
    let comment = line.match_indices('#').find(|(at, _)| is_start(*at));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// Reads a configuration from a file.
///
/// # Errors
///
/// Returns the errors of reading the file.
pub fn read(path: &Path) -> io::Result<(Config, Vec<String>)> {
    Ok(parse(&std::fs::read(path)?))
}

/// Writes a configuration that shows the address only, with all other entries commented out.
///
/// # Errors
///
/// Returns the errors of writing the file, and one if the file exists.
pub fn create(path: &Path) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(TEMPLATE.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> (Vec<String>, usize) {
        let (config, complaints) = parse(text.as_bytes());
        let mut fields: Vec<_> = config.fields.into_iter().collect();
        fields.sort();
        (fields, complaints.len())
    }

    #[test]
    fn entries_belong_to_the_section_above_them() {
        assert_eq!(
            fields(" [Fields Display] #x\n  Rss #y\n Pss \t \n"),
            (vec!["Pss".into(), "Rss".into()], 0)
        );
        assert_eq!(fields("[Fields Display]\n[Mapping]\nRss\n"), (vec![], 0));
        assert!(parse(b"[Mapping]\nShowPath\n").0.show_path);
        assert!(!parse(b"[Fields Display]\nShowPath\n").0.show_path);
    }

    #[test]
    fn complaints_name_the_line() {
        let (config, complaints) = parse(b"Rss\n[Other]\nSize\n[Fields Display]\nSize Locked\nPss\n");
        assert_eq!(
            complaints,
            [
                "syntax error found in the config - line 1",
                "unsupported section found in the config - line 2",
                "syntax error found in the config - line 5",
            ]
        );
        assert_eq!(
            config.fields,
            HashSet::from(["Pss".to_owned(), "Size".to_owned()]),
            "the first word counts"
        );
    }

    #[test]
    fn the_template_enables_nothing() {
        assert_eq!(parse(TEMPLATE.as_bytes()), (Config::default(), Vec::new()));
    }
}
