//! The summary: a row for each type of region.

use std::borrow::Cow;

use mmview_platform::{Bytes, PrintedSummary, Warning};
use serde_json::json;

use super::process::{Origins, footprint_text, warnings_value};
use super::{Cell, Column, Head, Layout, Record, Role, Shows, Table, Tail};
use crate::kind::{Group, RegionKind};
use crate::summary::{Libraries, Purgeable, Row, Sum, Summary, Totals, Writable};
use crate::text::printable;
use crate::units::{Units, percent};

const COLUMNS: [Column; 13] = [
    Column::text("kind", "", 0).shown(Shows::MachineOnly),
    Column::text("type", "\nREGION TYPE", 0),
    Column::number("virtual", "VIRTUAL\nSIZE", 0),
    Column::number("resident", "RESIDENT\nSIZE", 0),
    Column::number("dirty", "DIRTY\nSIZE", 0),
    Column::number("swapped", "SWAPPED\nSIZE", 0),
    Column::number("proportional", "PSS\nSIZE", 0),
    Column::number("unique", "", 0).shown(Shows::MachineOnly),
    Column::number("volatile", "VOLATILE\nSIZE", 0),
    Column::number("nonvolatile", "NONVOL\nSIZE", 0),
    Column::number("empty", "EMPTY\nSIZE", 0),
    Column::number("regions", "REGION\nCOUNT", 0),
    Column::text("note", "", 0).shown(Shows::TableOnly),
];

/// The columns that the target's system has something for: proportional shares on Linux, purgeable memory on macOS.
fn columns(os: &str) -> Vec<Column> {
    let for_machines = |column: Column| match (os, column.id) {
        ("macos", "proportional") | ("linux", "volatile" | "nonvolatile" | "empty") => {
            column.shown(Shows::MachineOnly)
        }
        _ => column,
    };
    COLUMNS.map(for_machines).to_vec()
}

/// What stands before the rows. `printed` is the report's own summary, where it is one of the regions that are shown: vmmap
/// saw the bytes of which its listing shows rounded sizes, so its two lines stand as they are.
pub fn head(origins: &Origins, summary: &Summary, printed: Option<&PrintedSummary>, units: Units) -> Head {
    let mut text = origins.header(Some(summary.mappings));
    text.push(String::new());
    text.extend(footprint_text(&origins.process, summary.footprint, units));
    text.extend(["----".to_owned(), String::new()]);
    let printed_line = |start: &str| {
        let line = printed?.text.lines().find(|line| line.starts_with(start))?;
        Some(printable(line.trim_end().as_bytes()))
    };
    let libraries = printed_line("ReadOnly portion of Libraries:");
    text.push(libraries.unwrap_or_else(|| libraries_line(&summary.libraries, units)));
    let writable = printed_line("Writable regions:");
    text.push(writable.unwrap_or_else(|| writable_line(&summary.writable, units)));
    text.push(String::new());
    Head {
        view: "summary",
        target: origins.target(),
        text,
        fields: origins.fields("summary"),
        tables: vec![Table {
            rows: ("rows", "row"),
            columns: columns(origins.source.os),
            layout: Layout::Fitted,
        }],
    }
}

/// The summary of a report that lists no regions: its own, as it was printed.
pub fn printed_head(origins: &Origins, printed: &PrintedSummary, units: Units) -> Head {
    let mut text = origins.header(None);
    text.push(String::new());
    text.extend(footprint_text(&origins.process, origins.process.totals.footprint, units));
    text.extend(["----".to_owned(), String::new()]);
    text.extend(printed.text.lines().map(|line| printable(line.trim_end().as_bytes())));
    text.push(String::new());
    text.push("The report lists no regions: its own summary is shown as it was printed.".to_owned());
    Head {
        view: "summary",
        target: origins.target(),
        text,
        fields: origins.fields("summary"),
        tables: Vec::new(),
    }
}

/// The rows, and for people the totals after them.
pub fn records(summary: &Summary) -> Vec<Box<dyn Record + '_>> {
    let rows = summary.rows.iter().map(|row| Box::new(row) as Box<dyn Record>);
    let total = Line::Total("TOTAL", &summary.total);
    let unreserved =
        summary.total_unreserved.as_ref().map(|totals| Line::Total("TOTAL, minus reserved VM space", totals));
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
        notes.push("- was not measured: this is the layout of the map only.".to_owned());
    } else if summary.total.dirty.value().is_none() {
        notes.push("- was not measured: --detail counts does, by reading more.".to_owned());
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

/// The line on the read-only portion of libraries, as vmmap has it.
pub fn libraries_line(libraries: &Libraries, units: Units) -> String {
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

/// The line on writable regions, as vmmap has it.
pub fn writable_line(writable: &Writable, units: Units) -> String {
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
    let purgeable = |of: fn(Purgeable) -> Sum| Cell::Size(totals.purgeable.map(of).and_then(Sum::value));
    vec![
        kind.map_or(Cell::Empty, |kind| Cell::Text(Cow::Borrowed(kind.id()))),
        Cell::Text(Cow::Borrowed(title)),
        Cell::Size(Some(totals.virtual_size)),
        size(totals.resident),
        size(totals.dirty),
        size(totals.swapped),
        size(totals.proportional),
        size(totals.unique),
        purgeable(|purgeable| purgeable.volatile),
        purgeable(|purgeable| purgeable.nonvolatile),
        purgeable(|purgeable| purgeable.empty),
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
enum Line<'a> {
    Total(&'static str, &'a Totals),
    Rule,
}

impl Record for Line<'_> {
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
