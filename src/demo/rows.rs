//! The table of regions below a step.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::ser::{Serialize, Serializer};

use super::step::{Observation, Quantity, size_text};
use crate::kind::Group;
use crate::region::Classified;
use crate::render::{Format, Style, renderer};
use crate::units::Units;
use crate::view::regions::{RegionRecord, bare_head, detail};
use crate::view::{Align, Cell, Column, Record, Shows};

/// The columns of a listing, with the subjects of the lessons (proportional and unique size) in place of offsets and maximum
/// protection. At 80 columns the table leaves out those that [`Shows::Wide`] marks.
const COLUMNS: [Column; 13] = [
    Column::text("of", "", 7).after(""),
    Column::text("type", "REGION TYPE", 15),
    Column::number("start", "START", 12),
    Column::text("end", "END", 12).after("-").shown(Shows::Wide),
    Column::number("size", "VSIZE", 5).after(" ["),
    Column::number("resident", "RSDNT", 5),
    Column::number("dirty", "DIRTY", 5),
    Column::number("proportional", "PSS", 5),
    Column::number("unique", "UNIQ", 5).shown(Shows::Wide),
    Column::number("swapped", "SWAP", 5),
    Column::text("protection", "PRT", 3).after("] "),
    Column::text("share", "SHR", 3),
    Column::text("detail", "DETAIL", 0),
];

/// The columns to leave out, in this order, until the table fits a terminal narrower than 80 columns. The lines below the table
/// repeat the detail, and every change.
const DISPENSABLE: [&str; 5] = ["detail", "start", "share", "proportional", "dirty"];

/// The columns that the detail gets at least, unless it is left out. A shorter one says nothing.
const LEAST_DETAIL: usize = 8;

/// The width that a narrow listing gives the type.
const NARROW_TYPE: usize = 15;

const MACOS_TYPE_WIDTH: usize = 22;

/// Draws the regions that exist after a step.
pub(super) fn draw(
    regions: &[Observation],
    os: &'static str,
    style: Style,
    indent: &str,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let rows: Vec<_> = regions
        .iter()
        .filter_map(|observation| {
            Some(RegionRow { of: observation.of, region: observation.after.as_ref()?, units: style.units })
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let has_names = rows.iter().any(|row| !row.of.is_empty());
    // Only Linux reports proportional and unique sizes; no lesson there uses swap.
    let shows = |column: &Column| match column.id {
        "of" => has_names,
        "proportional" | "unique" => os != "macos",
        "swapped" => os == "macos",
        _ => true,
    };
    let columns = COLUMNS.map(|column| match column.id {
        _ if !shows(&column) => column.shown(Shows::MachineOnly),
        // vmmap's names of types are longer.
        "type" if os == "macos" => Column { width: MACOS_TYPE_WIDTH, ..column },
        _ => column,
    });
    let mut columns = columns;
    if let Some(width) = style.width {
        fit(&mut columns, &rows, width.saturating_sub(indent.len()));
    }
    let mut text = Vec::new();
    let style = Style { width: style.width.map(|width| width.saturating_sub(indent.len())), ..style };
    let mut render = renderer(Format::Table, style, false, &mut text);
    let mut head = bare_head();
    head.tables[0].columns = columns.to_vec();
    render.begin(&head)?;
    for row in &rows {
        render.row(row)?;
    }
    drop(render);
    for line in String::from_utf8_lossy(&text).lines() {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

/// Leaves out columns until the table fits `width`, or nothing is left that can be left out.
fn fit(columns: &mut [Column], rows: &[RegionRow<'_>], width: usize) {
    let cells: Vec<_> = rows.iter().map(RegionRow::cells).collect();
    for id in DISPENSABLE {
        let needed: usize = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.shows == Shows::Always)
            .map(|(place, column)| 1 + needed(column, cells.iter().map(|cells| &cells[place])))
            .sum();
        // No blank stands before the first column.
        if needed <= width + 1 {
            return;
        }
        for column in columns.iter_mut().filter(|column| column.id == id) {
            *column = column.shown(Shows::MachineOnly);
        }
    }
}

/// Returns how many columns of the terminal a column takes.
fn needed<'a>(column: &Column, cells: impl Iterator<Item = &'a Cell<'a>>) -> usize {
    match (column.id, column.align) {
        ("detail", _) => LEAST_DETAIL,
        ("type", _) => column.width.min(NARROW_TYPE),
        (_, Align::Left) => column.width,
        // Numbers are never cut.
        (_, Align::Right) => cells.map(cell_width).max().unwrap_or(0).max(column.width),
    }
}

fn cell_width(cell: &Cell<'_>) -> usize {
    match cell {
        Cell::Text(text) => text.len(),
        _ => 0,
    }
}

/// A region after a step.
struct RegionRow<'a> {
    of: &'static str,
    region: &'a Classified,
    units: Units,
}

impl Record for RegionRow<'_> {
    fn cells(&self) -> Vec<Cell<'_>> {
        let facts = self.region.facts();
        let size = |quantity: Quantity| match quantity.of(self.region) {
            Some(size) => Cell::Text(Cow::Owned(size_text(self.units, size))),
            None => Cell::Size(None),
        };
        let detail = detail(self.region);
        vec![
            Cell::Text(Cow::Borrowed(self.of)),
            Cell::Text(Cow::Borrowed(self.region.title())),
            Cell::Address(facts.range.start()),
            Cell::Address(facts.range.end()),
            size(Quantity::Size),
            size(Quantity::Resident),
            size(Quantity::Dirty),
            size(Quantity::Proportional),
            size(Quantity::Unique),
            size(Quantity::Swapped),
            Cell::Text(Cow::Borrowed(facts.protection.as_str())),
            Cell::Text(Cow::Borrowed(facts.share.code())),
            if detail.is_empty() { Cell::Empty } else { Cell::Name(detail) },
        ]
    }

    fn group(&self) -> Option<Group> {
        Some(self.region.kind().group())
    }
}

impl Serialize for RegionRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RegionRecord::new(self.region).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::width;

    fn drawn(columns: usize, units: Units) -> String {
        let snapshot = crate::Snapshot::of_self().expect("this process can be read");
        let regions = snapshot.regions.iter().take(3).map(|region| Observation {
            of: "parent",
            before: None,
            after: Some(region.clone()),
        });
        let regions: Vec<_> = regions.collect();
        let style = Style { width: Some(columns), units, ..Style::default() };
        let mut text = Vec::new();
        draw(&regions, "linux", style, "   ", &mut text).expect("memory can be written");
        String::from_utf8(text).expect("a table is UTF-8")
    }

    #[test]
    fn tables_fit_narrow_terminals() {
        for columns in 45..=120 {
            let text = drawn(columns, Units::Auto);
            for line in text.lines() {
                assert!(width(line) <= columns, "{columns}: {text}");
            }
        }
    }

    #[test]
    fn detail_is_the_first_to_go() {
        assert!(drawn(80, Units::Auto).contains("DETAIL"));
        let narrow = drawn(75, Units::Auto);
        assert!(!narrow.contains("DETAIL") && narrow.contains("START") && narrow.contains("SHR"), "{narrow}");
    }
}
