//! The end of a report: two lines of totals, the table of region types, the table of malloc zones.

use std::io::{self, Write};

use mmview_platform::{PrintedRow, PrintedSummary, PrintedTable};

use super::row::Sizes;
use crate::render::words;
use crate::summary::{Row, Summary, Totals};
use crate::text::printable_line;
use crate::units::Units;

const HEAD: [&str; 3] = [
    "                                VIRTUAL RESIDENT    DIRTY  SWAPPED VOLATILE   NONVOL    EMPTY   REGION ",
    "REGION TYPE                        SIZE     SIZE     SIZE     SIZE     SIZE     SIZE     SIZE    COUNT (non-coalesced) ",
    RULE,
];

const RULE: &str =
    "===========                     ======= ========    =====  ======= ========   ======    =====  ======= ";

const TOTAL: &str = "TOTAL";
const TOTAL_UNRESERVED: &str = "TOTAL, minus reserved VM space";

/// The number of sizes before the count.
const SIZES: usize = 7;

/// The summary of a map, and that of a saved report.
pub struct Tables<'a> {
    /// The totals of the regions.
    pub summary: &'a Summary,
    /// The saved report's own summary; `None` if the map is not from a report.
    pub printed: Option<&'a PrintedSummary>,
    /// The format of sizes.
    pub sizes: Sizes,
    /// Whether to sort zones by dirty and swapped size.
    pub sort_by_size: bool,
}

impl Tables<'_> {
    /// The saved report's own summary, if it covers exactly the listed regions.
    ///
    /// vmmap adds up bytes but prints rounded rows, so its own sums are better than sums of the rows. vmmap of 10.12 and 10.13
    /// counts one region too many in each row, but the total is correct.
    fn whole(&self) -> Option<(&PrintedSummary, &PrintedTable)> {
        let printed = self.printed.filter(|_| self.sizes == Sizes::Bytes)?;
        let types = printed.types.as_ref()?;
        let count = types.column("REGION COUNT")?;
        let total = types.totals.iter().find(|row| &*row.name == TOTAL)?;
        (total.count(count) == Some(self.summary.total.regions)).then_some((printed, types))
    }

    /// Writes the totals and all tables.
    ///
    /// # Errors
    ///
    /// Returns the errors of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let whole = self.whole();
        let printed_line = |start: &str| {
            let (printed, _) = whole?;
            printed.text.lines().find(|line| line.starts_with(start)).map(printable_line)
        };
        let libraries = printed_line("ReadOnly portion of Libraries:");
        let writable = printed_line("Writable regions:");
        writeln!(
            out,
            "{}",
            libraries.unwrap_or_else(|| words::libraries(&self.summary.libraries, Units::Auto))
        )?;
        writeln!(
            out,
            "{}",
            writable.unwrap_or_else(|| words::writable(&self.summary.writable, Units::Auto))
        )?;
        writeln!(out)?;
        for line in HEAD {
            writeln!(out, "{line}")?;
        }
        let table = whole.map(|(_, table)| table);
        let zones = self.printed.and_then(zone_lines);
        for row in &self.summary.rows {
            let printed = table.and_then(|table| table.row(&row.title));
            let note = note(row, zones.is_some());
            self.row(&row.title, &row.totals, printed, note, out)?;
        }
        writeln!(out, "{RULE}")?;
        let total = |name: &str| table?.totals.iter().find(|row| &*row.name == name);
        self.row(TOTAL, &self.summary.total, total(TOTAL), None, out)?;
        if let Some(unreserved) = &self.summary.total_unreserved {
            // vmmap subtracts the sizes of reserved regions, but not their count (14.1.1: 12542 in both lines).
            let mut unreserved = *unreserved;
            unreserved.regions = self.summary.total.regions;
            self.row(TOTAL_UNRESERVED, &unreserved, total(TOTAL_UNRESERVED), None, out)?;
        }
        writeln!(out)?;
        if let Some(zones) = zones {
            self.zones(&zones, out)?;
        }
        Ok(())
    }

    fn row(
        &self,
        name: &str,
        totals: &Totals,
        printed: Option<&PrintedRow>,
        note: Option<&str>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let purgeable = totals.purgeable.unwrap_or_default();
        let sums = [
            totals.resident,
            totals.dirty,
            totals.swapped,
            purgeable.volatile,
            purgeable.nonvolatile,
            purgeable.empty,
        ];
        let own = std::iter::once(totals.virtual_size.value()).chain(sums.map(|sum| sum.value()));
        let cells: Vec<String> = match printed.filter(|row| row.cells.len() > SIZES) {
            Some(row) => row.cells.iter().take(SIZES).map(|cell| printable_line(cell)).collect(),
            None => own.map(|size| self.sizes.cell(size)).collect(),
        };
        write!(out, "{:<31} {:>7}", printable_line(name), cells[0])?;
        for cell in &cells[1..] {
            write!(out, "{cell:>9}")?;
        }
        write!(out, "{:>9} ", totals.regions)?;
        match note {
            Some(note) => writeln!(out, "        {note}"),
            None => writeln!(out),
        }
    }

    /// Writes the report's table of malloc zones. Only vmmap can make one, since it asks the allocator.
    fn zones(&self, lines: &[&str], out: &mut dyn Write) -> io::Result<()> {
        let mut lines = lines.to_vec();
        let rules: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].starts_with("====")).collect();
        if self.sort_by_size
            && let Some(&first) = rules.first()
        {
            let end = rules.get(1).copied().unwrap_or(lines.len());
            let table = self.printed.and_then(|printed| printed.zones.as_ref());
            let cost = |line: &&str| table.map_or(0, |table| cost(table, line));
            lines[first + 1..end].sort_by_key(|line| std::cmp::Reverse(cost(line)));
        }
        for line in lines {
            writeln!(out, "{}", printable_line(line.trim_end()))?;
        }
        writeln!(out)
    }
}

/// The cost of a zone: its dirty and swapped size.
fn cost(table: &PrintedTable, line: &str) -> u64 {
    let row = table.rows.iter().find(|row| line.starts_with(&*row.name));
    let size = |title| Some(row?.size(table.column(title)?)?.0);
    size("DIRTY SIZE").unwrap_or(0) + size("SWAPPED SIZE").unwrap_or(0)
}

/// The lines of a report's table of malloc zones, with the two lines of its header.
fn zone_lines(printed: &PrintedSummary) -> Option<Vec<&str>> {
    let lines: Vec<&str> = printed.text.lines().collect();
    let head = lines.iter().position(|line| line.starts_with("MALLOC ZONE"))?;
    let table = lines[head..].iter().take_while(|line| !line.trim().is_empty());
    let above = head.checked_sub(1).map(|above| lines[above]).filter(|line| !line.trim().is_empty());
    Some(above.into_iter().chain(table.copied()).collect())
}

/// The note after a row.
fn note(row: &Row, has_zones: bool) -> Option<&'static str> {
    if row.kind.is_reserved() {
        return Some("reserved VM address space (unallocated)");
    }
    (has_zones && row.title.starts_with("MALLOC_")).then_some("see MALLOC ZONE table below")
}
