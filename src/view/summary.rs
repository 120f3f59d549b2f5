//! The summary: a row for each type of region.

use std::borrow::Cow;

use mmview_platform::{Bytes, Warning};
use serde_json::json;

use super::process::{Origins, warnings_value};
use super::{Cell, Column, Head, Layout, Record, Role, Tail};
use crate::kind::{Group, RegionKind};
use crate::summary::{Libraries, Row, Sum, Summary, Totals, Writable};
use crate::units::{Units, percent};

const COLUMNS: [Column; 10] = [
    Column::text("kind", "", 0).shown(super::Shows::MachineOnly),
    Column::text("type", "\nREGION TYPE", 0),
    Column::number("virtual", "VIRTUAL\nSIZE", 0),
    Column::number("resident", "RESIDENT\nSIZE", 0),
    Column::number("dirty", "DIRTY\nSIZE", 0),
    Column::number("swapped", "SWAPPED\nSIZE", 0),
    Column::number("proportional", "PSS\nSIZE", 0),
    Column::number("unique", "", 0).shown(super::Shows::MachineOnly),
    Column::number("regions", "REGION\nCOUNT", 0),
    Column::text("note", "", 0).shown(super::Shows::TableOnly),
];

/// What stands before the rows.
pub fn head(origins: &Origins, summary: &Summary, units: Units) -> Head {
    let mut text = origins.header(Some(summary.mappings));
    text.push(String::new());
    let footprint = units.format_measured(summary.footprint.value());
    text.push(format!("{:<28}{footprint}", "Physical footprint:"));
    if let Some(peak) = origins.process.totals.footprint_peak {
        text.push(format!("{:<28}{}", "Physical footprint (peak):", units.format(peak)));
    }
    if let Some(peak) = origins.process.totals.resident_peak {
        text.push(format!("{:<28}{}", "Resident (peak):", units.format(peak)));
    }
    text.extend(["----".to_owned(), String::new()]);
    text.push(libraries_line(&summary.libraries, units));
    text.push(writable_line(&summary.writable, units));
    text.push(String::new());
    Head {
        view: "summary",
        rows: ("rows", "row"),
        target: origins.target(),
        text,
        fields: origins.fields("summary"),
        columns: COLUMNS.to_vec(),
        layout: Layout::Fitted,
    }
}

/// The rows, and for people the totals after them.
pub fn records(summary: &Summary) -> Vec<Box<dyn Record + '_>> {
    let rows = summary.rows.iter().map(|row| Box::new(row) as Box<dyn Record>);
    let total = Line::Total("TOTAL", summary.total);
    let unreserved =
        summary.total_unreserved.map(|totals| Line::Total("TOTAL, minus reserved VM space", totals));
    let lines = [Line::Rule, total].into_iter().chain(unreserved);
    std::iter::once(Box::new(Line::Rule) as Box<dyn Record>)
        .chain(rows)
        .chain(lines.map(|line| Box::new(line) as Box<dyn Record>))
        .collect()
}

/// What stands after the rows.
pub fn tail(summary: &Summary, warnings: &[Warning], limit: Option<u64>, units: Units) -> Tail {
    let mut notes = Vec::new();
    if summary.hugetlb > Bytes::ZERO {
        notes.push(format!(
            "{} in huge pages (hugetlb), which the kernel doesn't count as resident.",
            units.format(summary.hugetlb)
        ));
    }
    if summary.is_partial() {
        notes.push("Sizes leave out what was not measured of some regions.".to_owned());
    } else if summary.total.resident.value().is_none() {
        notes.push("- was not measured: the source has the layout of the map only.".to_owned());
    }
    if let Some(limit) = limit
        && summary.mappings >= limit - limit / 10
    {
        notes.push(format!(
            "{} of {limit} mappings are used: at the limit (vm.max_map_count) mmap fails with ENOMEM.",
            summary.mappings
        ));
    }
    let fields = json!({
        "total": summary.total,
        "total_minus_reserved": summary.total_unreserved.unwrap_or(summary.total),
        "libraries": summary.libraries,
        "writable": summary.writable,
        "footprint": summary.footprint,
        "hugetlb": summary.hugetlb,
        "warnings": warnings_value(warnings),
    });
    let serde_json::Value::Object(fields) = fields else { unreachable!("an object literal is an object") };
    Tail { fields, notes }
}

fn libraries_line(libraries: &Libraries, units: Units) -> String {
    let total = libraries.total;
    let Some(resident) = libraries.resident.value() else {
        return format!("ReadOnly portion of Libraries: Total={} resident=-", units.format(total));
    };
    let rest = total.saturating_sub(resident);
    format!(
        "ReadOnly portion of Libraries: Total={} resident={}({}) swapped_out_or_unallocated={}({})",
        units.format(total),
        units.format(resident),
        percent(resident, total),
        units.format(rest),
        percent(rest, total),
    )
}

fn writable_line(writable: &Writable, units: Units) -> String {
    let total = writable.total;
    let part = |size: Option<Bytes>| match size {
        Some(size) => format!("{}({})", units.format(size), percent(size, total)),
        None => "-".to_owned(),
    };
    format!(
        "Writable regions: Total={} written={} resident={} swapped_out={} unallocated={}",
        units.format(total),
        part(writable.written.value()),
        part(writable.resident.value()),
        part(writable.swapped.value()),
        part(writable.unallocated),
    )
}

fn cells<'a>(kind: Option<RegionKind>, title: &'a str, totals: &Totals, note: &'a str) -> Vec<Cell<'a>> {
    let size = |sum: Sum| Cell::Size(sum.value());
    vec![
        kind.map_or(Cell::Empty, |kind| Cell::Text(Cow::Borrowed(kind.id()))),
        Cell::Text(Cow::Borrowed(title)),
        Cell::Size(Some(totals.virtual_size)),
        size(totals.resident),
        size(totals.dirty),
        size(totals.swapped),
        size(totals.proportional),
        size(totals.unique),
        Cell::Count(totals.regions),
        if note.is_empty() { Cell::Empty } else { Cell::Text(Cow::Borrowed(note)) },
    ]
}

impl Record for &Row {
    fn cells(&self) -> Vec<Cell<'_>> {
        let note = if self.kind.is_reserved() { "reserved VM address space (unallocated)" } else { "" };
        cells(Some(self.kind), &self.title, &self.totals, note)
    }

    fn group(&self) -> Option<Group> {
        Some(self.kind.group())
    }
}

/// A line for people: a sum, or a rule.
#[derive(serde::Serialize)]
enum Line {
    Total(&'static str, Totals),
    Rule,
}

impl Record for Line {
    fn cells(&self) -> Vec<Cell<'_>> {
        match self {
            Line::Total(title, totals) => cells(None, title, totals, ""),
            Line::Rule => COLUMNS.iter().map(|_| Cell::Rule).collect(),
        }
    }

    fn role(&self) -> Role {
        Role::Total
    }
}
