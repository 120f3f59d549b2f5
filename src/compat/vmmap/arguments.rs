//! vmmap's command line: options with one hyphen or two, whole words, before or behind the target.

use std::ffi::{OsStr, OsString};

use crate::filter::parse_address;

/// What the command line comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Show a map.
    Show(Arguments),
    /// `-h`
    Help,
}

/// How to show which map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `-s`: by size (dirty and swapped) rather than by address.
    pub sort_by_size: bool,
    /// `-w`: details are never cut.
    pub wide: bool,
    /// `-pages`: pages rather than bytes.
    pub pages: bool,
    /// `-interleaved`: one section, writable and not.
    pub interleaved: bool,
    /// `-allSplitLibs`: what lies in the shared cache and is not used, too.
    pub all_split_libs: bool,
    /// `-noCoalesce`: alike neighbours each for itself.
    pub no_coalesce: bool,
    /// `-summary`: no listing.
    pub summary: bool,
    /// The PID, name or file.
    pub target: OsString,
    /// Only what lies at this address and beside it.
    pub address: Option<u64>,
}

/// Reads what follows the tool's name.
///
/// # Errors
///
/// What is wrong with it, in a sentence.
pub fn parse(words: &[OsString]) -> Result<Request, String> {
    let mut arguments = Arguments::default();
    let mut operands: Vec<&OsStr> = Vec::new();
    let mut are_options_over = false;
    for word in words {
        let text = word.to_string_lossy();
        let option = text.strip_prefix("--").or_else(|| text.strip_prefix('-'));
        let Some(option) = option.filter(|_| !are_options_over && text.len() > 1) else {
            operands.push(word);
            continue;
        };
        match option {
            "" => are_options_over = true,
            "h" | "help" => return Ok(Request::Help),
            "s" | "sortBySize" => arguments.sort_by_size = true,
            "w" | "wide" => arguments.wide = true,
            "v" | "verbose" => {
                arguments.wide = true;
                arguments.all_split_libs = true;
                arguments.no_coalesce = true;
            }
            "pages" => arguments.pages = true,
            "interleaved" => arguments.interleaved = true,
            // The parts of submaps are always listed, and the submaps themselves are no regions.
            "submap" => {}
            "allSplitLibs" => arguments.all_split_libs = true,
            "noCoalesce" => arguments.no_coalesce = true,
            "summary" => arguments.summary = true,
            // Always shown since macOS 10.12.
            "resident" | "dirty" | "purge" => {}
            _ => return Err(format!("unrecognized option '{text}'")),
        }
    }
    match operands.as_slice() {
        [] => return Err("which process? Write its PID, a part of its name, or a file".to_owned()),
        [target] => arguments.target = target.into(),
        [target, address] => {
            arguments.target = target.into();
            let text = address.to_string_lossy();
            let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(&text);
            arguments.address =
                Some(parse_address(&format!("0x{digits}")).map_err(|error| error.to_string())?);
        }
        [_, _, extra, ..] => {
            return Err(format!("one process and one address at a time: `{}` is too much", extra.display()));
        }
    }
    Ok(Request::Show(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(&line.split_ascii_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn shown(line: &str) -> Arguments {
        match parsed(line) {
            Ok(Request::Show(arguments)) => arguments,
            other => panic!("`{line}` shows something, not {other:?}"),
        }
    }

    #[test]
    fn options_have_one_hyphen_or_two_and_stand_anywhere() {
        assert_eq!(shown("-w -summary 7"), shown("7 --summary --wide"));
        assert_eq!(shown("-s 7"), shown("--sortBySize 7"));
        assert_eq!(shown("-v 7"), shown("-w -submap -allSplitLibs -noCoalesce 7"));
        assert_eq!(shown("-- -7").target, "-7");
    }

    #[test]
    fn the_second_operand_is_an_address() {
        assert_eq!(shown("7 0x1000").address, Some(0x1000));
        assert_eq!(shown("7 1000").address, Some(0x1000));
        assert_eq!(shown("7").address, None);
        assert!(parsed("7 zz").is_err());
        assert!(parsed("7 1 2").is_err());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(parsed("-bogus 7").unwrap_err().contains("-bogus"));
        assert!(parsed("").unwrap_err().starts_with("which process"));
        assert_eq!(parsed("-x -h"), Err("unrecognized option '-x'".to_owned()));
        assert_eq!(parsed("-h"), Ok(Request::Help));
    }
}
