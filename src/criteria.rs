//! Globs, protections and addresses as users write them, in options and in checks.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use mmview_platform::{AddrRange, Name, Protection};

use crate::region::Classified;

/// A glob for the names of regions. With a slash it applies to whole paths, else to their last part; `*` matches slashes too.
#[derive(Clone, Debug)]
pub struct PathGlob {
    matcher: GlobMatcher,
    is_whole: bool,
}

/// The text is not a valid glob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidGlob {
    reason: String,
}

impl fmt::Display for InvalidGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for InvalidGlob {}

impl FromStr for PathGlob {
    type Err = InvalidGlob;

    fn from_str(text: &str) -> Result<PathGlob, InvalidGlob> {
        let glob = GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build();
        let glob = glob.map_err(|error| InvalidGlob { reason: error.kind().to_string() })?;
        Ok(PathGlob { matcher: glob.compile_matcher(), is_whole: text.contains('/') })
    }
}

impl PathGlob {
    /// Whether the name of a region matches.
    #[cfg(feature = "cli")]
    pub(crate) fn matches(&self, region: &Classified) -> bool {
        region.name().is_some_and(|name| self.matches_name(name))
    }

    /// Whether a name matches. Of a path only the last part counts, unless the glob has a slash.
    pub(crate) fn matches_name(&self, name: &Name) -> bool {
        let subject = if self.is_whole { name.bytes() } else { last_part(name) };
        self.matcher.is_match(as_path(subject))
    }
}

/// Returns the part of a path after the last slash; any other name as it is.
pub(crate) fn last_part(name: &Name) -> &[u8] {
    let bytes = name.bytes();
    match bytes.iter().rposition(|&byte| byte == b'/') {
        Some(slash) if name.path().is_some() => &bytes[slash + 1..],
        _ => bytes,
    }
}

pub(crate) fn as_path(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// A protection to search for: all of it, such as `rw-` or `rw-p`, or some letters, such as `w` or `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(Letters);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    /// Each place; `None` matches any letter. The fourth is `p` or `s`.
    Exactly([Option<u8>; 4]),
    /// At least these of [`LETTERS`].
    AtLeast([bool; 5]),
}

const LETTERS: [u8; 5] = *b"rwxps";

/// The text is not a protection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidPermissions {
    text: String,
}

impl fmt::Display for InvalidPermissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        write!(
            f,
            "invalid protection `{text}`: write all of it, such as rw- or r-xp, or some letters, such as w or rx"
        )
    }
}

impl Error for InvalidPermissions {}

impl FromStr for Permissions {
    type Err = InvalidPermissions;

    fn from_str(text: &str) -> Result<Permissions, InvalidPermissions> {
        let letters = if text.contains(['-', '?']) { exactly(text) } else { at_least(text) };
        letters.map(Permissions).ok_or_else(|| InvalidPermissions { text: text.to_owned() })
    }
}

fn exactly(text: &str) -> Option<Letters> {
    let bytes = text.as_bytes();
    if !(3..=4).contains(&bytes.len()) {
        return None;
    }
    let mut places = [None; 4];
    for (index, &byte) in bytes.iter().enumerate() {
        let is_valid = match index {
            3 => matches!(byte, b'p' | b's' | b'?'),
            _ => byte == LETTERS[index] || matches!(byte, b'-' | b'?'),
        };
        if !is_valid {
            return None;
        }
        places[index] = (byte != b'?').then_some(byte);
    }
    Some(Letters::Exactly(places))
}

fn at_least(text: &str) -> Option<Letters> {
    let mut letters = [false; 5];
    for byte in text.bytes() {
        letters[LETTERS.iter().position(|letter| *letter == byte)?] = true;
    }
    (!text.is_empty()).then_some(Letters::AtLeast(letters))
}

impl Permissions {
    /// Whether a region has this protection; `None` if that is unknown.
    pub(crate) fn matches(self, region: &Classified) -> Option<bool> {
        let protection = region.protection();
        let is_known = protection.is_known() && (region.share().is_known() || !self.ask_for_share());
        is_known.then(|| self.allow(protection, region))
    }

    /// Whether `p` or `s` is asked for.
    fn ask_for_share(self) -> bool {
        match self.0 {
            Letters::Exactly(places) => places[3].is_some(),
            Letters::AtLeast([.., private, shared]) => private || shared,
        }
    }

    fn allow(self, protection: Protection, region: &Classified) -> bool {
        let protection = protection.as_str().as_bytes();
        let share = if region.share().is_shared() { b's' } else { b'p' };
        match self.0 {
            Letters::Exactly(places) => places.iter().enumerate().all(|(index, place)| {
                place.is_none_or(|byte| byte == if index == 3 { share } else { protection[index] })
            }),
            Letters::AtLeast(letters) => LETTERS
                .iter()
                .zip(letters)
                .all(|(letter, is_asked)| !is_asked || protection.contains(letter) || share == *letter),
        }
    }
}

/// The text is not an address, or not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAddress {
    /// Not a hexadecimal number of at most 64 bits.
    NotHexadecimal(String),
    /// The last address, after which no range can end.
    Last(String),
    /// A range without an address.
    EmptyRange(String),
}

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidAddress::NotHexadecimal(text) => {
                write!(f, "invalid address `{text}`: write it in hexadecimal, such as 0x7ffd1000")
            }
            InvalidAddress::Last(text) => {
                write!(f, "invalid address `{text}`: it is the end of the address space")
            }
            InvalidAddress::EmptyRange(text) => {
                write!(f, "invalid range `{text}`: its end must be after its start")
            }
        }
    }
}

impl Error for InvalidAddress {}

/// Parses an address in hexadecimal, with or without `0x`.
///
/// # Errors
///
/// [`InvalidAddress::NotHexadecimal`].
pub fn parse_address(text: &str) -> Result<u64, InvalidAddress> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| InvalidAddress::NotHexadecimal(text.to_owned()))
}

/// Parses `A` or `A-B` in hexadecimal. `B` is the first address after the range.
///
/// # Errors
///
/// Either is not an address, or the range is empty.
pub fn parse_addresses(text: &str) -> Result<AddrRange, InvalidAddress> {
    let (start, end) = match text.split_once('-') {
        Some((start, end)) => (parse_address(start)?, parse_address(end)?),
        None => {
            let address = parse_address(text)?;
            (address, address.checked_add(1).ok_or_else(|| InvalidAddress::Last(text.to_owned()))?)
        }
    };
    AddrRange::new(start, end)
        .filter(|range| !range.is_empty())
        .ok_or_else(|| InvalidAddress::EmptyRange(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_protections_and_globs_are_errors() {
        for wrong in ["", "rw--x", "wr-", "q", "r-xq"] {
            assert!(wrong.parse::<Permissions>().is_err(), "{wrong}");
        }
        assert!("a[".parse::<PathGlob>().is_err());
    }

    #[test]
    fn addresses_are_hexadecimal_ranges() {
        let range = |text| parse_addresses(text).map(|range| (range.start(), range.end()));
        assert_eq!(range("0x1000"), Ok((0x1000, 0x1001)));
        assert_eq!(range("1000-0x2000"), Ok((0x1000, 0x2000)));
        for wrong in ["", "-", "0x", "2000-1000", "1000-1000", "zz", "ffffffffffffffff"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
