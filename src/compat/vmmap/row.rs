//! A row of the listing, column by column as vmmap prints it.

use std::borrow::Cow;
use std::io::{self, Write};

use mmview_platform::{AddrRange, Bytes, Native, OffMapRow, PageSize, ProcessInfo, Protection, Region};

use crate::region::Classified;
use crate::text::{printable, printable_line};
use crate::units::Units;
use crate::view::regions::detail;

/// The format of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// vmmap's format for bytes.
    Bytes,
    /// Numbers of pages.
    Pages(PageSize),
}

impl Sizes {
    /// Formats a cell: `-` for a size that was not measured.
    pub fn cell(self, size: Option<Bytes>) -> String {
        match (self, size) {
            (_, None) => "-".to_owned(),
            (Sizes::Bytes, Some(size)) => Units::Auto.format(size),
            (Sizes::Pages(page), Some(size)) => size.0.div_ceil(page.bytes().0).to_string(),
        }
    }
}

/// vmmap's row layouts, which depend on the system that the map is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowLayout {
    /// macOS 11 and later, and Linux: addresses without leading zeros.
    Modern,
    /// Mac OS X 10.12 to 10.15: sixteen digits.
    Long,
    /// The same for a 32-bit process: eight digits.
    Short,
}

impl RowLayout {
    /// Returns the layout for a process.
    pub fn of(process: &ProcessInfo) -> RowLayout {
        let system = process.system.as_deref().unwrap_or_default();
        let is_old = system.starts_with("Mac OS X 10.") || system.starts_with("macOS 10.");
        let is_32_bit = process
            .printed_header
            .iter()
            .any(|(label, value)| &**label == "Output report format" && value.contains("32-bit"));
        match (is_old, is_32_bit) {
            (false, _) => RowLayout::Modern,
            (true, false) => RowLayout::Long,
            (true, true) => RowLayout::Short,
        }
    }

    const fn title_width(self) -> usize {
        match self {
            RowLayout::Modern => 24,
            RowLayout::Long | RowLayout::Short => 22,
        }
    }

    /// The line above the rows.
    pub const fn head(self) -> &'static str {
        match self {
            RowLayout::Modern => {
                "REGION TYPE                    START - END         [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SHRMOD PURGE    REGION DETAIL"
            }
            RowLayout::Long => {
                "REGION TYPE                      START - END             [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SHRMOD PURGE    REGION DETAIL"
            }
            RowLayout::Short => {
                "REGION TYPE              START - END     [ VSIZE  RSDNT  DIRTY   SWAP] PRT/MAX SHRMOD PURGE    REGION DETAIL"
            }
        }
    }

    /// The number of columns before the detail.
    pub const fn detail_column(self) -> usize {
        const SIZES_AND_ACCESS: usize =
            " [%6s %6s %6s %6s] PRT/MAX SM=XXX PURGE=N  ".len() + 4 * (6 - "%6s".len());
        let addresses = match self {
            RowLayout::Modern => 25,
            RowLayout::Long => 33,
            RowLayout::Short => 17,
        };
        self.title_width() + 1 + addresses + SIZES_AND_ACCESS
    }

    fn addresses(self, range: AddrRange) -> String {
        let (start, end) = (range.start(), range.end());
        match self {
            RowLayout::Modern => {
                let end = format!("{end:x}");
                format!("{start:>12x}-{end:<12}")
            }
            RowLayout::Long => format!("{start:016x}-{end:016x}"),
            RowLayout::Short => format!("{start:08x}-{end:08x}"),
        }
    }
}

/// The format of all rows of a listing.
#[derive(Clone, Copy, Debug)]
pub struct RowStyle {
    /// The layout of the columns.
    pub layout: RowLayout,
    /// The format of sizes.
    pub sizes: Sizes,
    /// The width of the detail; a longer one is cut at its start.
    pub detail_width: Option<usize>,
}

impl RowStyle {
    /// Writes the row of a region.
    ///
    /// # Errors
    ///
    /// Returns the errors of `out`.
    pub fn write(self, classified: &Classified, out: &mut dyn Write) -> io::Result<()> {
        let region = classified.facts();
        let counts =
            [Some(region.size()), region.counts.resident, region.counts.dirty, region.counts.swapped];
        let max = region.max_protection.map_or("???", Protection::as_str);
        let access = format!("{}/{max} SM={}", region.protection, region.share.code());
        let addresses = self.layout.addresses(region.range);
        self.line(classified.title(), &addresses, counts, &access, purge(region), &detail_of(classified), out)
    }

    /// Writes the row of memory that is mapped nowhere.
    ///
    /// # Errors
    ///
    /// Returns the errors of `out`.
    pub fn write_off_map(self, row: &OffMapRow, out: &mut dyn Write) -> io::Result<()> {
        let addresses = format!("{:>12}-{:<12}", "kernel", "kernel");
        let counts = [Some(row.size), row.resident, row.dirty, row.swapped];
        let detail = row.detail.as_deref().unwrap_or_default();
        self.line(&row.kind, &addresses, counts, "---/--- SM=NUL", None, detail, out)
    }

    #[expect(clippy::too_many_arguments, reason = "one per column")]
    fn line(
        self,
        title: &str,
        addresses: &str,
        counts: [Option<Bytes>; 4],
        access: &str,
        purge: Option<char>,
        detail: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let width = self.layout.title_width();
        let title: String = printable_line(title).chars().take(width).collect();
        let [size, resident, dirty, swapped] = counts.map(|count| self.sizes.cell(count));
        write!(
            out,
            "{title:<width$} {addresses} [{size:>6} {resident:>6} {dirty:>6} {swapped:>6}] {access}"
        )?;
        if let Some(letter) = purge {
            return writeln!(out, " PURGE={letter}  {}", self.cut(detail));
        }
        match (detail, self.layout) {
            ("", RowLayout::Modern) => writeln!(out, "  "),
            _ => writeln!(out, "          {}", self.cut(detail)),
        }
    }

    /// Cuts a detail that is too long at its start, as vmmap does.
    fn cut(self, detail: &str) -> Cow<'_, str> {
        const DOTS: &str = "...";
        let letters = detail.chars().count();
        match self.detail_width {
            Some(width) if letters > width => {
                let kept = width.saturating_sub(DOTS.len());
                let end: String = detail.chars().skip(letters - kept).collect();
                Cow::Owned(format!("{DOTS}{end}"))
            }
            _ => Cow::Borrowed(detail),
        }
    }
}

fn purge(region: &Region) -> Option<char> {
    match &region.native {
        Native::Macos(native) => native.purge.map(|state| state.letter()),
        _ => None,
    }
}

/// The text below REGION DETAIL: for a saved report its own text, otherwise the name and its explanation.
pub fn detail_of(classified: &Classified) -> String {
    let is_printed = classified.native().macos().is_some_and(|native| native.printed_type.is_some());
    if !is_printed {
        return printable(&detail(classified));
    }
    let name = classified.name();
    name.map(|name| printable(name.bytes()).replace("\\\\", "\\")).unwrap_or_default()
}
