//! Formats and parses sizes.

use std::fmt::{self, Write};

use mmview_platform::Bytes;

/// The unit of sizes in tables. Machine formats always use bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Units {
    /// As in vmmap: `812`, `132K`, `15.2M`, `1.1G`
    #[default]
    Auto,
    /// Bytes
    Bytes,
    /// KiB, rounded
    K,
    /// MiB, one decimal
    M,
    /// GiB, one decimal
    G,
}

impl Units {
    /// Formats a size.
    pub fn format(self, size: Bytes) -> String {
        let mut text = String::new();
        self.push(&mut text, size);
        text
    }

    /// Appends a formatted size.
    pub fn push(self, text: &mut String, size: Bytes) {
        let written = match self {
            Units::Auto => push_vmmap(text, size),
            Units::Bytes => write!(text, "{}", size.0),
            Units::K => write!(text, "{:.0}K", in_units_of(size, 10)),
            Units::M => write!(text, "{:.1}M", in_units_of(size, 20)),
            Units::G => write!(text, "{:.1}G", in_units_of(size, 30)),
        };
        written.expect("writing to a string never fails");
    }

    /// Formats a size, or `-` if it was not measured.
    pub fn format_measured(self, size: Option<Bytes>) -> String {
        size.map_or_else(|| "-".to_owned(), |size| self.format(size))
    }

    /// Formats the change of a size with its sign: `+132K`, `-4K`, `0K`; `-` if it was not measured.
    pub fn format_delta(self, delta: Option<i64>) -> String {
        let Some(delta) = delta else { return "-".to_owned() };
        let sign = match delta {
            0 => "",
            1.. => "+",
            _ => "-",
        };
        sign.to_owned() + &self.format(Bytes(delta.unsigned_abs()))
    }
}

/// The number format of macOS' vmmap: bytes below 4096, then K without decimals up to 9999K (half to even), then M, G and T
/// with one decimal.
fn push_vmmap(text: &mut String, size: Bytes) -> fmt::Result {
    const GIB: u64 = 1 << 30;
    const TIB: u64 = 1 << 40;
    match size.0 {
        0 => text.write_str("0K"),
        n if n < 4096 => write!(text, "{n}"),
        // Nearly all sizes are whole kibibytes and need no rounding.
        n if n % 1024 == 0 && n < 10_000 << 10 => write!(text, "{}K", n / 1024),
        _ if in_units_of(size, 10) < 9999.5 => write!(text, "{:.0}K", in_units_of(size, 10)),
        n if n < GIB => write!(text, "{:.1}M", in_units_of(size, 20)),
        n if n < TIB => write!(text, "{:.1}G", in_units_of(size, 30)),
        _ => write!(text, "{:.1}T", in_units_of(size, 40)),
    }
}

fn in_units_of(size: Bytes, bits: u32) -> f64 {
    size.0 as f64 / (1u64 << bits) as f64
}

/// The text is not a size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidSize {
    text: String,
}

impl fmt::Display for InvalidSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        write!(f, "invalid size `{text}`: write bytes, or a number with K, M, G or T, such as 64K")
    }
}

impl std::error::Error for InvalidSize {}

/// Parses a size such as `4096`, `64K`, `1.5M` or `2G`.
///
/// # Errors
///
/// The text has another form, or the size does not fit in 64 bits.
pub fn parse_size(text: &str) -> Result<Bytes, InvalidSize> {
    let invalid = || InvalidSize { text: text.to_owned() };
    let (number, bits) = match text.trim_end_matches(['B', 'b']).trim_end_matches("i") {
        number if number.ends_with(|letter: char| letter.is_ascii_digit()) => (number, 0),
        suffixed => {
            let mut letters = suffixed.chars();
            let bits = match letters.next_back() {
                Some('K' | 'k') => 10,
                Some('M' | 'm') => 20,
                Some('G' | 'g') => 30,
                Some('T' | 't') => 40,
                _ => return Err(invalid()),
            };
            (letters.as_str(), bits)
        }
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << bits).map(Bytes).ok_or_else(invalid);
    }
    match number.parse::<f64>() {
        Ok(fraction) if fraction >= 0.0 && fraction < (1u64 << 22) as f64 && bits > 0 => {
            Ok(Bytes((fraction * (1u64 << bits) as f64) as u64))
        }
        _ => Err(invalid()),
    }
}

/// Formats a part of a whole in percent, rounded as in vmmap: `12%`. A part of nothing is `0%`.
pub fn percent(part: Bytes, whole: Bytes) -> String {
    if whole == Bytes::ZERO {
        return "0%".to_owned();
    }
    format!("{:.0}%", part.0 as f64 * 100.0 / whole.0 as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_vmmap_writes_them() {
        for (bytes, text) in [
            (0, "0K"),
            (1, "1"),
            (1024, "1024"),
            (3072, "3072"),
            (4095, "4095"),
            (4096, "4K"),
            (4608, "4K"),
            (5632, "6K"),
            (8704, "8K"),
            (10752, "10K"),
            (9999 << 10, "9999K"),
            (10_000 << 10, "9.8M"),
            (10 << 20, "10.0M"),
            (1_029_911_347, "982.2M"),
            (1 << 30, "1.0G"),
            (1_503_238_553, "1.4G"),
            (1 << 40, "1.0T"),
            (u64::MAX, "16777216.0T"),
        ] {
            assert_eq!(Units::Auto.format(Bytes(bytes)), text, "{bytes}");
        }
    }

    #[test]
    fn other_units_are_the_callers_choice() {
        assert_eq!(Units::Bytes.format(Bytes(4096)), "4096");
        assert_eq!(Units::K.format(Bytes(10 << 20)), "10240K");
        assert_eq!(Units::M.format(Bytes(1 << 19)), "0.5M");
        assert_eq!(Units::G.format(Bytes(3 << 29)), "1.5G");
        assert_eq!(Units::K.format_measured(None), "-");
    }

    #[test]
    fn differences_have_signs() {
        assert_eq!(Units::Auto.format_delta(Some(132 << 10)), "+132K");
        assert_eq!(Units::Auto.format_delta(Some(-4096)), "-4K");
        assert_eq!(Units::Auto.format_delta(Some(0)), "0K");
        assert_eq!(Units::Auto.format_delta(None), "-");
        assert_eq!(Units::Bytes.format_delta(Some(i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn sizes_are_read_with_suffixes() {
        for (text, bytes) in
            [("4096", 4096), ("64K", 65536), ("64KiB", 65536), ("1.5M", 3 << 19), ("2g", 2 << 30)]
        {
            assert_eq!(parse_size(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "K", "4X", "-1", "1.5", "99999999999T", "1e9G", "NaNK", "7¥"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percent_of_nothing_is_nothing() {
        assert_eq!(percent(Bytes(0), Bytes(0)), "0%");
        assert_eq!(percent(Bytes(1), Bytes(8)), "12%");
        assert_eq!(percent(Bytes(3), Bytes(3)), "100%");
    }
}
