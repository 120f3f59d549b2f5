//! A line of output, built without an allocation per cell: a listing can have tens of thousands of lines.

use mmview_platform::{Bytes, Protection, Region};

/// A line under construction.
#[derive(Debug, Default)]
pub struct Line(Vec<u8>);

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Line {
    /// Returns the line with a newline. Call [`Line::clear`] before the next one.
    pub fn finish(&mut self) -> &[u8] {
        self.0.push(b'\n');
        &self.0
    }

    /// Empties the line.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Writes bytes unchanged.
    pub fn text(&mut self, text: &[u8]) -> &mut Line {
        self.0.extend_from_slice(text);
        self
    }

    /// Writes text, right-aligned in `width` columns.
    pub fn right(&mut self, text: &[u8], width: usize) -> &mut Line {
        self.pad(text.len(), width).text(text)
    }

    /// Writes the blanks that pad `length` bytes to `width`.
    pub fn pad(&mut self, length: usize, width: usize) -> &mut Line {
        self.0.resize(self.0.len() + width.saturating_sub(length), b' ');
        self
    }

    /// Writes a byte `count` times.
    pub fn repeat(&mut self, byte: u8, count: usize) -> &mut Line {
        self.0.resize(self.0.len() + count, byte);
        self
    }

    /// Writes a hexadecimal number with at least `digits` digits.
    pub fn hexadecimal(&mut self, value: u64, digits: usize) -> &mut Line {
        let digits = hexadecimal_digits(value).max(digits);
        let start = self.0.len();
        self.0.resize(start + digits, b'0');
        let mut rest = value;
        for byte in self.0[start..].iter_mut().rev() {
            *byte = HEX[(rest & 15) as usize];
            rest >>= 4;
        }
        self
    }

    /// Writes a number, right-aligned in `width` columns.
    pub fn number(&mut self, value: u64, width: usize) -> &mut Line {
        let digits = decimal_digits(value);
        self.pad(digits, width);
        let start = self.0.len();
        self.0.resize(start + digits, b'0');
        let mut rest = value;
        for byte in self.0[start..].iter_mut().rev() {
            *byte = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self
    }

    /// Writes a size in KiB, right-aligned in `width` columns; `-` if it was not measured.
    pub fn kib(&mut self, size: Option<Bytes>, width: usize) -> &mut Line {
        match size {
            Some(size) => self.number(kib(size), width),
            None => self.right(b"-", width),
        }
    }

    /// Writes pmap's five letters: the protection, `s` if shared, and a hyphen where pmap of Solaris has an `R`.
    pub fn mode(&mut self, region: &Region) -> &mut Line {
        self.text(region.protection.as_str().as_bytes());
        self.text(if region.share.is_shared() { b"s-" } else { b"--" })
    }

    /// Writes the kernel's four letters.
    pub fn permissions(&mut self, protection: Protection, is_shared: bool) -> &mut Line {
        self.text(protection.as_str().as_bytes()).text(if is_shared { b"s" } else { b"p" })
    }
}

/// Converts a size to whole KiB.
pub fn kib(size: Bytes) -> u64 {
    size.0 >> 10
}

/// Counts the decimal digits of a number.
pub fn decimal_digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |power| power as usize + 1)
}

/// Counts the hexadecimal digits of a number.
pub fn hexadecimal_digits(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()).div_ceil(4).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_printf_writes_them() {
        for value in [0, 1, 9, 10, 99, 100, 0xfff, 0x1000, u64::MAX] {
            let mut line = Line::default();
            line.number(value, 7).text(b"|").hexadecimal(value, 4);
            assert_eq!(line.0, format!("{value:>7}|{value:04x}").into_bytes());
            assert_eq!(decimal_digits(value), value.to_string().len());
            assert_eq!(hexadecimal_digits(value), format!("{value:x}").len());
        }
    }

    #[test]
    fn what_was_not_measured_is_a_hyphen() {
        let mut line = Line::default();
        line.kib(None, 3).kib(Some(Bytes(4096)), 3);
        assert_eq!(line.finish(), b"  -  4\n");
    }
}
