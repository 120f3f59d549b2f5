//! vmmap's command line: whole words with one hyphen or two, before or after the target.

use std::ffi::{OsStr, OsString};

use crate::criteria::parse_address;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Show a map.
    Show(Arguments),
    /// `-h`
    Help,
}

/// Which map to show, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `-s`: sort by size (dirty + swapped) instead of by address.
    pub sort_by_size: bool,
    /// `-w`: never shorten details.
    pub wide: bool,
    /// `-pages`: print pages instead of bytes.
    pub pages: bool,
    /// `-interleaved`: print writable and non-writable regions in one section.
    pub interleaved: bool,
    /// `-allSplitLibs`: also print unused data in the shared cache.
    pub all_split_libs: bool,
    /// `-noCoalesce`: don't merge adjacent regions with the same attributes.
    pub no_coalesce: bool,
    /// `-summary`: print no listing.
    pub summary: bool,
    /// The process or file: a PID, a name or a path.
    pub target: OsString,
    /// Print only the region at this address, and its neighbors.
    pub address: Option<u64>,
}

/// Parses the arguments after the tool's name.
///
/// # Errors
///
/// Returns a message about the first error.
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
            // The listing always has the parts of submaps; submaps themselves are no regions.
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
        [] => return Err("which process? Give its PID, a part of its name, or a file".to_owned()),
        [target] => arguments.target = target.into(),
        [target, address] => {
            arguments.target = target.into();
            let text = address.to_string_lossy();
            let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(&text);
            arguments.address =
                Some(parse_address(&format!("0x{digits}")).map_err(|error| error.to_string())?);
        }
        [_, _, extra, ..] => {
            return Err(format!(
                "too many arguments: `{}`; give one process and at most one address",
                extra.display()
            ));
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
            other => panic!("`{line}` is parsed as {other:?}"),
        }
    }

    #[test]
    fn options_have_one_hyphen_or_two_in_any_place() {
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
    fn errors_name_the_argument() {
        assert!(parsed("-bogus 7").unwrap_err().contains("-bogus"));
        assert!(parsed("").unwrap_err().starts_with("which process"));
        assert_eq!(parsed("-x -h"), Err("unrecognized option '-x'".to_owned()));
        assert_eq!(parsed("-h"), Ok(Request::Help));
    }
}
