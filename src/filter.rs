//! Which regions to list, and in which order.

use std::cmp::Ordering;
use std::str::FromStr;

use clap::ValueEnum;
use globset::{GlobBuilder, GlobMatcher};
use mmview_platform::{AddrRange, Bytes, Name};

use crate::kind::RegionKind;
use crate::region::Classified;

/// Which regions to list: those that every part lets through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of one of these kinds, or of any where there are none.
    pub kinds: Vec<RegionKind>,
    /// With a name that one of these matches, or any where there are none.
    pub paths: Vec<PathGlob>,
    /// With this protection.
    pub permissions: Option<Permissions>,
    /// Overlapping this range.
    pub addresses: Option<AddrRange>,
    /// At least this large.
    pub min_size: Option<Bytes>,
}

impl Filter {
    /// Whether a region is to be listed.
    pub fn lets_through(&self, classified: &Classified) -> bool {
        let region = classified.facts();
        (self.kinds.is_empty() || self.kinds.contains(&classified.kind()))
            && (self.paths.is_empty() || self.paths.iter().any(|glob| glob.matches(classified)))
            && self.permissions.is_none_or(|permissions| permissions.match_region(classified))
            && self.addresses.is_none_or(|range| range.overlaps(region.range))
            && self.min_size.is_none_or(|least| region.size() >= least)
    }
}

/// A glob over the names of regions: over whole paths where it has a slash, else over their last part.
#[derive(Clone, Debug)]
pub struct PathGlob {
    matcher: GlobMatcher,
    is_whole: bool,
}

impl FromStr for PathGlob {
    type Err = String;

    fn from_str(text: &str) -> Result<PathGlob, String> {
        let glob = GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build();
        let glob = glob.map_err(|error| error.kind().to_string())?;
        Ok(PathGlob { matcher: glob.compile_matcher(), is_whole: text.contains('/') })
    }
}

impl PathGlob {
    fn matches(&self, classified: &Classified) -> bool {
        classified.name().is_some_and(|name| self.matches_name(name))
    }

    /// Whether a name matches: of a path its last part, unless the glob is over whole paths.
    pub fn matches_name(&self, name: &Name) -> bool {
        let subject = if self.is_whole { name.bytes() } else { last_part(name) };
        self.matcher.is_match(as_path(subject))
    }

    /// Whether it is over whole paths.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// The last part of a name that is a path, else the name.
pub(crate) fn last_part(name: &Name) -> &[u8] {
    let bytes = name.bytes();
    match bytes.iter().rposition(|&byte| byte == b'/') {
        Some(slash) if name.path().is_some() => &bytes[slash + 1..],
        _ => bytes,
    }
}

#[cfg(unix)]
pub(crate) fn as_path(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

/// What protection to ask for: exactly, as `rw-` or `rw-p`, or some of the letters, as `w` or `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Each place as given; the fourth is `p` or `s`.
    Exactly([Option<u8>; 4]),
    /// At least these letters of `rwxps`.
    AtLeast([bool; 5]),
}

const LETTERS: [u8; 5] = *b"rwxps";

impl FromStr for Permissions {
    type Err = String;

    fn from_str(text: &str) -> Result<Permissions, String> {
        let wrong = || {
            format!(
                "`{text}` is no protection: write it whole, as rw- or r-xp, or some of its letters, as w or rx"
            )
        };
        let bytes = text.as_bytes();
        if text.contains('-') || text.contains('?') {
            let mut places = [None; 4];
            if !(3..=4).contains(&bytes.len()) {
                return Err(wrong());
            }
            for (index, &byte) in bytes.iter().enumerate() {
                let is_right = match index {
                    3 => matches!(byte, b'p' | b's' | b'?'),
                    _ => byte == LETTERS[index] || matches!(byte, b'-' | b'?'),
                };
                if !is_right {
                    return Err(wrong());
                }
                places[index] = (byte != b'?').then_some(byte);
            }
            return Ok(Permissions::Exactly(places));
        }
        let mut letters = [false; 5];
        for byte in bytes {
            letters[LETTERS.iter().position(|letter| letter == byte).ok_or_else(wrong)?] = true;
        }
        if bytes.is_empty() {
            return Err(wrong());
        }
        Ok(Permissions::AtLeast(letters))
    }
}

impl Permissions {
    pub(crate) fn match_region(self, classified: &Classified) -> bool {
        let region = classified.facts();
        let protection = region.protection.as_str().as_bytes();
        let share = if region.share.is_shared() { b's' } else { b'p' };
        match self {
            Permissions::Exactly(places) => places.iter().enumerate().all(|(index, place)| {
                place.is_none_or(|byte| byte == if index == 3 { share } else { protection[index] })
            }),
            Permissions::AtLeast(letters) => LETTERS
                .iter()
                .zip(letters)
                .all(|(letter, is_asked)| !is_asked || protection.contains(letter) || share == *letter),
        }
    }
}

/// Reads an address in hexadecimal, with `0x` or without.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse_address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    u64::from_str_radix(digits, 16)
        .map_err(|_| format!("`{text}` is not an address: write it in hexadecimal, such as 0x7ffd1000"))
}

/// Reads `A` or `A-B`, in hexadecimal; `B` is the first address after the range.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse_addresses(text: &str) -> Result<AddrRange, String> {
    let (start, end) = match text.split_once('-') {
        Some((start, end)) => (parse_address(start)?, parse_address(end)?),
        None => {
            let address = parse_address(text)?;
            (address, address.checked_add(1).ok_or_else(|| format!("`{text}` is past the last address"))?)
        }
    };
    AddrRange::new(start, end)
        .filter(|range| !range.is_empty())
        .ok_or_else(|| format!("`{text}` ends before it starts"))
}

/// Reads a word for kinds: see [`RegionKind::named`].
///
/// # Errors
///
/// The kinds that there are.
pub fn parse_kind(text: &str) -> Result<&'static [RegionKind], String> {
    RegionKind::named(text)
        .ok_or_else(|| format!("there is no kind `{text}`; the kinds are {}", RegionKind::ids().join(", ")))
}

/// By what to sort a listing. Sizes are sorted from large to small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    /// By address, as the source has it
    Address,
    /// By address space
    Size,
    /// By what is in memory
    Resident,
    /// By what is modified
    Dirty,
    /// By what is swapped out
    Swapped,
    /// By proportional share
    Pss,
    /// By type, then address
    Type,
    /// By name, then address
    Path,
}

impl SortKey {
    /// Sorts `regions`, equal ones by address.
    pub fn sort(self, regions: &mut [Classified], is_reversed: bool) {
        regions.sort_by(|one, other| {
            let order = self.compare(one, other);
            let order = if is_reversed { order.reverse() } else { order };
            order.then(one.range().cmp(&other.range()))
        });
    }

    fn compare(self, one: &Classified, other: &Classified) -> Ordering {
        let size = |of: fn(&Classified) -> Option<Bytes>| of(other).cmp(&of(one));
        match self {
            SortKey::Address => one.range().cmp(&other.range()),
            SortKey::Size => size(|classified| Some(classified.size())),
            SortKey::Resident => size(|classified| classified.counts().resident),
            SortKey::Dirty => size(|classified| classified.counts().dirty),
            SortKey::Swapped => size(|classified| classified.counts().swapped),
            SortKey::Pss => size(|classified| classified.counts().proportional),
            SortKey::Type => one.title().cmp(other.title()),
            SortKey::Path => {
                let name = |classified: &Classified| classified.name().map(|name| name.bytes().to_vec());
                name(one).cmp(&name(other))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::tests::classified;

    fn lets_through(filter: &Filter, line: &str) -> bool {
        filter.lets_through(&classified(line)[0])
    }

    #[test]
    fn permissions_are_exact_or_some_letters() {
        let matches = |permissions: &str, line: &str| {
            let filter = Filter { permissions: Some(permissions.parse().unwrap()), ..Filter::default() };
            lets_through(&filter, &format!("1000-2000 {line} 0 00:00 0"))
        };
        assert!(matches("rw-", "rw-p"));
        assert!(!matches("rw-", "rwxp"));
        assert!(matches("w", "rwxp"));
        assert!(!matches("x", "rw-p"));
        assert!(matches("rw-s", "rw-s"));
        assert!(!matches("rw-s", "rw-p"));
        assert!(matches("?w?", "-wxp"));
        assert!(matches("rwx", "rwxp"));
        for wrong in ["", "rw--x", "wr-", "q", "r-xq"] {
            assert!(wrong.parse::<Permissions>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn globs_match_paths_or_last_parts() {
        let matches = |glob: &str, name: &str| {
            let filter = Filter { paths: vec![glob.parse().unwrap()], ..Filter::default() };
            lets_through(&filter, &format!("1000-2000 r--p 0 08:01 7 {name}"))
        };
        assert!(matches("libc*", "/usr/lib/libc.so.6"));
        assert!(!matches("lib", "/usr/lib/libc.so.6"));
        assert!(matches("/usr/**", "/usr/lib/libc.so.6"));
        assert!(matches("*/lib/*", "/usr/lib/libc.so.6"));
        assert!(matches("[[]heap]", "[heap]"));
        assert!(matches("libc_malloc", "[anon:libc_malloc]"));
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

    #[test]
    fn sizes_are_sorted_from_large_to_small_and_equal_ones_by_address() {
        let mut regions =
            classified("1000-2000 r--s 0 00:00 0\n3000-5000 r--s 0 00:00 0\n6000-7000 r--s 0 00:00 0\n");
        let starts = |regions: &[Classified]| {
            regions.iter().map(|classified| classified.range().start()).collect::<Vec<_>>()
        };
        SortKey::Size.sort(&mut regions, false);
        assert_eq!(starts(&regions), [0x3000, 0x1000, 0x6000]);
        SortKey::Size.sort(&mut regions, true);
        assert_eq!(starts(&regions), [0x1000, 0x6000, 0x3000]);
    }
}
