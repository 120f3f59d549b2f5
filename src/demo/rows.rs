//! The rows of regions under a step.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::ser::{Serialize, Serializer};

use super::step::{Measure, Seen, size_text};
use crate::kind::Group;
use crate::region::Classified;
use crate::render::{Format, Style, renderer};
use crate::units::Units;
use crate::view::regions::{RegionRecord, bare_head, detail};
use crate::view::{Cell, Column, Record, Shows};

/// The columns: those of a listing, with what the lessons are about (PSS and what is unique) in the place of what they are not
/// (offsets, the most that may be allowed). Narrow enough for 80 columns.
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

const MACOS_TYPE_WIDTH: usize = 22;

/// Draws the regions that there are after a step.
pub(super) fn draw(
    regions: &[Seen],
    os: &'static str,
    style: Style,
    indent: &str,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let rows: Vec<_> = regions
        .iter()
        .filter_map(|seen| Some(Row { of: seen.of, is_of: seen.after.as_ref()?, units: style.units }))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let has_names = rows.iter().any(|row| !row.of.is_empty());
    // Only Linux counts PSS and what is unique; there, a lesson never gets as far as swap.
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

struct Row<'a> {
    of: &'static str,
    is_of: &'a Classified,
    units: Units,
}

impl Record for Row<'_> {
    fn cells(&self) -> Vec<Cell<'_>> {
        let region = self.is_of.facts();
        let size = |measure: Measure| match measure.of(self.is_of) {
            Some(size) => Cell::Text(Cow::Owned(size_text(self.units, size))),
            None => Cell::Size(None),
        };
        let detail = detail(self.is_of);
        vec![
            Cell::Text(Cow::Borrowed(self.of)),
            Cell::Text(Cow::Borrowed(self.is_of.title())),
            Cell::Address(region.range.start()),
            Cell::Address(region.range.end()),
            size(Measure::Size),
            size(Measure::Resident),
            size(Measure::Dirty),
            size(Measure::Proportional),
            size(Measure::Unique),
            size(Measure::Swapped),
            Cell::Text(Cow::Borrowed(region.protection.as_str())),
            Cell::Text(Cow::Borrowed(region.share.code())),
            if detail.is_empty() { Cell::Empty } else { Cell::Name(detail) },
        ]
    }

    fn group(&self) -> Option<Group> {
        Some(self.is_of.kind().group())
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RegionRecord::new(self.is_of).serialize(serializer)
    }
}
