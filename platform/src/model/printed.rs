//! The summary in a saved vmmap report.

use serde::{Deserialize, Serialize};

use super::Bytes;

/// The summary of a saved vmmap report: totals that vmmap computed, as it printed them.
///
/// If the report lists its regions, they have the same facts more exactly. If not (`vmmap -summary`, a crash report), this is
/// all there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PrintedSummary {
    /// The whole printed summary; lines end with `\n`.
    pub text: Box<str>,
    /// The line `ReadOnly portion of Libraries`.
    pub libraries: Option<PrintedLibraries>,
    /// The line `Writable regions`.
    pub writable: Option<PrintedWritable>,
    /// The table of region types.
    pub types: Option<PrintedTable>,
    /// The table of malloc zones. Only vmmap can make it, because it queries the allocator inside the process.
    pub zones: Option<PrintedTable>,
    /// Rows of the listing without addresses. The table of region types counts them.
    pub off_map: Vec<OffMapRow>,
}

/// `ReadOnly portion of Libraries`, in bytes, with the precision of the printed digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PrintedLibraries {
    /// `Total`.
    pub total: Bytes,
    /// `resident`.
    pub resident: Bytes,
    /// `swapped_out_or_unallocated`.
    pub swapped_out_or_unallocated: Bytes,
}

/// `Writable regions`, in bytes, with the precision of the printed digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PrintedWritable {
    /// `Total`.
    pub total: Bytes,
    /// `written`.
    pub written: Bytes,
    /// `resident`.
    pub resident: Bytes,
    /// `swapped_out`.
    pub swapped_out: Bytes,
    /// `unallocated`.
    pub unallocated: Bytes,
}

/// A printed table, cell by cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PrintedTable {
    /// The titles of the cells, both lines joined: `VIRTUAL SIZE`, `REGION COUNT`. The column of names has none.
    pub columns: Vec<Box<str>>,
    /// The rows, in their order.
    pub rows: Vec<PrintedRow>,
    /// The rows under the last rule: `TOTAL`, `TOTAL, minus reserved VM space`.
    pub totals: Vec<PrintedRow>,
}

impl PrintedTable {
    /// The index of the cell under `title`.
    pub fn column(&self, title: &str) -> Option<usize> {
        self.columns.iter().position(|column| &**column == title)
    }

    /// The row with that name.
    pub fn row(&self, name: &str) -> Option<&PrintedRow> {
        self.rows.iter().find(|row| &*row.name == name)
    }
}

/// A row of a printed table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PrintedRow {
    /// The subject of the row: a region type, a malloc zone, `TOTAL`.
    pub name: Box<str>,
    /// The printed cells, one for each column, empty if nothing was printed.
    pub cells: Vec<Box<str>>,
    /// The text after the cells, such as `see MALLOC ZONE table below`.
    pub note: Option<Box<str>>,
}

impl PrintedRow {
    /// The cell as a size, with the precision of the printed digits; `None` if it is not a size.
    pub fn size(&self, column: usize) -> Option<Bytes> {
        parse_size(self.cells.get(column)?.as_bytes())
    }

    /// The cell as a number.
    pub fn count(&self, column: usize) -> Option<u64> {
        self.cells.get(column)?.parse().ok()
    }
}

/// A row of the listing without addresses: memory that is charged to the process but not mapped in it, such as `page table in
/// kernel`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OffMapRow {
    /// The text under `REGION TYPE`.
    pub kind: Box<str>,
    /// `VSIZE`.
    pub size: Bytes,
    /// `RSDNT`.
    pub resident: Option<Bytes>,
    /// `DIRTY`.
    pub dirty: Option<Bytes>,
    /// `SWAP`.
    pub swapped: Option<Bytes>,
    /// The text under `REGION DETAIL`.
    pub detail: Option<Box<str>>,
}

/// A size as vmmap prints it: `0K`, `1024` (bytes), `92K`, `28.0G`, `6092KB`. Its precision is that of the printed digits.
pub(crate) fn parse_size(text: &[u8]) -> Option<Bytes> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.strip_suffix(b"B").unwrap_or(unit) {
        b"" => 0,
        b"K" => 10,
        b"M" => 20,
        b"G" => 30,
        b"T" => 40,
        _ => return None,
    };
    let mut parts = number.splitn(2, |byte| *byte == b'.');
    let whole = decimal(parts.next()?)?;
    let unit = 1u64 << shift;
    let fraction = match parts.next() {
        None => 0,
        Some(fraction) if fraction.len() <= 6 => {
            let scale = 10u64.pow(fraction.len() as u32);
            (decimal(fraction)?.checked_mul(unit)? + scale / 2) / scale
        }
        Some(_) => return None,
    };
    Some(Bytes(whole.checked_mul(unit)?.checked_add(fraction)?))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_vmmap_prints_them() {
        let size = |text: &str| parse_size(text.as_bytes()).map(|size| size.0);
        assert_eq!(size("0K"), Some(0));
        assert_eq!(size("1024"), Some(1024));
        assert_eq!(size("92K"), Some(92 << 10));
        assert_eq!(size("28.0G"), Some(28 << 30));
        assert_eq!(size("1.5M"), Some(3 << 19));
        assert_eq!(size("6092KB"), Some(6092 << 10));
        assert_eq!(size("1.4T"), Some((14 * (1u64 << 40) + 5) / 10));
        for no_size in ["", "K", "-", "1.2.3M", "12X", "1.K", ".5K", "99999999999999999999", "1.1234567M"] {
            assert_eq!(size(no_size), None, "{no_size}");
        }
    }
}
