//! The cells of a row: words between blanks, the numbers and the names in them.

use crate::linux::names;
use crate::model::{AddrRange, Device, LinuxRegion, Name, Native, Protection, Region, ShareMode};

/// The cells of a line, from left to right. Blanks and tabs separate them.
#[derive(Clone, Debug)]
pub(super) struct Cells<'a> {
    rest: &'a [u8],
}

impl<'a> Cells<'a> {
    pub fn new(line: &'a [u8]) -> Cells<'a> {
        Cells { rest: line }
    }

    /// How many bytes follow.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What follows, without the blanks before it. Blanks at its end stay.
    pub fn rest(&self) -> &'a [u8] {
        let blanks = self.rest.iter().take_while(|byte| is_blank(**byte)).count();
        &self.rest[blanks..]
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest();
        let end = text.iter().position(|byte| is_blank(*byte)).unwrap_or(text.len());
        let (cell, rest) = text.split_at(end);
        self.rest = rest;
        (!cell.is_empty()).then_some(cell)
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A cell that is a hexadecimal number, with or without `0x`.
pub(super) fn hexadecimal(cell: &[u8]) -> Option<u64> {
    number(cell.strip_prefix(b"0x").unwrap_or(cell), 16)
}

/// A cell that is a hexadecimal number with `0x`.
pub(super) fn prefixed(cell: &[u8]) -> Option<u64> {
    number(cell.strip_prefix(b"0x")?, 16)
}

/// A cell that is a decimal number.
pub(super) fn decimal(cell: &[u8]) -> Option<u64> {
    number(cell, 10)
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let add = |value: u64, digit: &u8| {
        value.checked_mul(radix.into())?.checked_add(char::from(*digit).to_digit(radix)?.into())
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

/// The three letters of a protection.
pub(super) fn protection(letters: &[u8]) -> Option<Protection> {
    let &[read, write, execute] = letters else { return None };
    let is_set = |letter, set| match letter {
        b'-' => Some(false),
        _ if letter == set => Some(true),
        _ => None,
    };
    Some(Protection::from_rwx(is_set(read, b'r')?, is_set(write, b'w')?, is_set(execute, b'x')?))
}

/// The three letters of a protection and a fourth one, as the kernel prints them: `r-xp`.
pub(super) fn permissions(letters: &[u8]) -> Option<(Protection, ShareMode)> {
    let (letters, share) = letters.split_at_checked(3)?;
    let share = match share {
        b"s" => ShareMode::Shared,
        b"p" => ShareMode::Private,
        _ => return None,
    };
    Some((protection(letters)?, share))
}

/// A device number as maps prints it.
pub(super) fn device(cell: &[u8]) -> Option<Device> {
    let colon = memchr::memchr(b':', cell)?;
    let part = |digits| number(digits, 16)?.try_into().ok();
    Some(Device { major: part(&cell[..colon])?, minor: part(&cell[colon + 1..])? })
}

/// The name at the end of a row, as the kernel prints it. Blanks behind a label are no part of it.
pub(super) fn name(text: &[u8], device: Device) -> Option<Name> {
    let text = if text.starts_with(b"/") { text } else { text.trim_ascii_end() };
    names::parse(text, device).map(|parsed| parsed.name)
}

/// A region without a name and counts.
pub(super) fn region(
    range: AddrRange,
    protection: Protection,
    share: ShareMode,
    native: LinuxRegion,
) -> Region {
    Region::new(range, protection, share, Native::Linux(Box::new(native)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_separated_by_blanks_and_tabs() {
        let mut cells = Cells::new(b"  ab\tc \t d e  ");
        assert_eq!(cells.next(), Some(&b"ab"[..]));
        assert_eq!(cells.next(), Some(&b"c"[..]));
        assert_eq!(cells.rest(), b"d e  ");
        assert_eq!(Cells::new(b" \t").next(), None);
    }

    #[test]
    fn numbers_fit_or_are_none() {
        assert_eq!(hexadecimal(b"0x7Fff"), Some(0x7fff));
        assert_eq!(hexadecimal(b"ffffffffffffffff"), Some(u64::MAX));
        assert_eq!(hexadecimal(b"10000000000000000"), None);
        assert_eq!(prefixed(b"7fff"), None);
        assert_eq!(decimal(b"12"), Some(12));
        for no_number in [&b""[..], b"0x", b"+1", b"-1", b"1a", b"18446744073709551616"] {
            assert_eq!(decimal(no_number), None);
        }
    }

    #[test]
    fn letters_and_devices() {
        assert_eq!(
            permissions(b"r-xp"),
            Some((Protection::READ.with(Protection::EXECUTE), ShareMode::Private))
        );
        assert_eq!(permissions(b"r-x"), None);
        assert_eq!(permissions(b"rx-p"), None);
        assert_eq!(device(b"fe:01"), Some(Device { major: 0xfe, minor: 1 }));
        assert_eq!(device(b"fe:100000000"), None);
        assert_eq!(device(b"fe"), None);
    }

    #[test]
    fn labels_lose_their_blanks_and_paths_keep_them() {
        assert_eq!(name(b"[heap]  ", Device::default()).unwrap().bytes(), b"[heap]");
        assert_eq!(name(b"/tmp/x ", Device::default()).unwrap().bytes(), b"/tmp/x ");
        assert_eq!(name(b"  ", Device::default()), None);
    }
}
