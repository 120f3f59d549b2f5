//! The summary: a row for each type of region.

use std::borrow::Cow;

use mmview_platform::{Bytes, Evidence, PrintedSummary, Warning};
use serde_json::json;

use super::column::{Column, Columns, Row, Shows, Spec, ValueType};
use super::origins::{Origins, footprint, warnings_value};
use super::{
    Cell, Head, Layout, Line, Note, Record, Role, Section, SectionKind, Table, Tail, ViewKind, Vocabulary,
    fields,
};
use crate::kind::RegionKind;
use crate::summary::{Certainty, Grouping, Purgeable, Sum, Summary, Totals};

/// A line of the table: the sums of a type, or a total.
#[derive(Clone, Debug)]
pub struct TypeRow {
    kind: Option<RegionKind>,
    title: Cow<'static, str>,
    evidence: Certainty,
    totals: Totals,
}

type TypeColumn = Column<TypeRow>;

fn sum(sum: Sum) -> Cell<'static> {
    Cell::Size(sum.value())
}

/// A sum of purgeable memory: in a table nothing if there is none, and then no field in JSON.
fn purgeable(row: &TypeRow, of: fn(Purgeable) -> Sum) -> Cell<'static> {
    row.totals.purgeable.map_or(Cell::Absent, |purgeable| sum(of(purgeable)))
}

const KIND: TypeColumn =
    TypeColumn::machine("kind", ValueType::Kind, |row| row.kind.map_or(Cell::Empty, Cell::Kind));
const TYPE: TypeColumn =
    TypeColumn::new("type", "\nREGION TYPE", ValueType::Type, |row| Cell::text(&*row.title));
const OWNER: TypeColumn = TypeColumn::new("owner", "\nOWNER", ValueType::Type, |row| Cell::text(&*row.title))
    .about("The allocator or runtime, or else what the memory is for, such as `stacks`.");
const VIRTUAL: TypeColumn = TypeColumn::new("virtual", "VIRTUAL\nSIZE", ValueType::Size, |row| {
    Cell::Size(Some(row.totals.virtual_size))
});
const RESIDENT: TypeColumn =
    TypeColumn::new("resident", "RESIDENT\nSIZE", ValueType::Measured, |row| sum(row.totals.resident));
const DIRTY: TypeColumn =
    TypeColumn::new("dirty", "DIRTY\nSIZE", ValueType::Measured, |row| sum(row.totals.dirty));
const SWAPPED: TypeColumn =
    TypeColumn::new("swapped", "SWAPPED\nSIZE", ValueType::Measured, |row| sum(row.totals.swapped));
const PROPORTIONAL: TypeColumn =
    TypeColumn::new("proportional", "PSS\nSIZE", ValueType::Measured, |row| sum(row.totals.proportional));
const UNIQUE: TypeColumn = TypeColumn::machine("unique", ValueType::Measured, |row| sum(row.totals.unique));
const VOLATILE: TypeColumn = TypeColumn::new("volatile", "VOLATILE\nSIZE", ValueType::Measured, |row| {
    purgeable(row, |purgeable| purgeable.volatile)
})
.about("macOS: resident memory that the system may reclaim.");
const NONVOLATILE: TypeColumn = TypeColumn::new("nonvolatile", "NONVOL\nSIZE", ValueType::Measured, |row| {
    purgeable(row, |purgeable| purgeable.nonvolatile)
})
.about("macOS: resident purgeable memory in use.");
const EMPTY: TypeColumn = TypeColumn::new("empty", "EMPTY\nSIZE", ValueType::Measured, |row| {
    purgeable(row, |purgeable| purgeable.empty)
})
.about("macOS: purgeable memory whose pages the system reclaimed.");
const REGIONS: TypeColumn =
    TypeColumn::new("regions", "REGION\nCOUNT", ValueType::Count, |row| Cell::Count(row.totals.regions));
const EVIDENCE: TypeColumn = TypeColumn::machine("evidence", ValueType::OptionalText, |row| {
    row.evidence.evidence().map_or(Cell::Empty, |evidence| Cell::text(evidence.id()))
})
.about("How the purpose of these regions is known; `shape` if that of any is only likely.");
const NOTE: TypeColumn = TypeColumn::new("note", "", ValueType::Text, |row| match row.kind {
    Some(kind) if kind.is_reserved() => Cell::text("reserved VM address space (unallocated)"),
    _ => Cell::Empty,
})
.shown(Shows::People);

/// The columns.
pub const COLUMNS: Columns<TypeRow> = Columns {
    tabular: &[
        KIND,
        TYPE,
        VIRTUAL,
        RESIDENT,
        DIRTY,
        SWAPPED,
        PROPORTIONAL,
        UNIQUE,
        VOLATILE,
        NONVOLATILE,
        EMPTY,
        REGIONS,
        NOTE,
        EVIDENCE,
    ],
    json: &[
        KIND,
        TYPE,
        EVIDENCE,
        REGIONS,
        VIRTUAL,
        RESIDENT,
        DIRTY,
        SWAPPED,
        PROPORTIONAL,
        UNIQUE,
        VOLATILE,
        NONVOLATILE,
        EMPTY,
    ],
};

/// The columns of a row for each owner.
pub const BY_OWNER: Columns<TypeRow> = Columns {
    tabular: &[OWNER, VIRTUAL, RESIDENT, DIRTY, SWAPPED, PROPORTIONAL, UNIQUE, REGIONS, EVIDENCE],
    json: &[OWNER, EVIDENCE, REGIONS, VIRTUAL, RESIDENT, DIRTY, SWAPPED, PROPORTIONAL, UNIQUE],
};

const fn columns(grouping: Grouping) -> &'static Columns<TypeRow> {
    match grouping {
        Grouping::Type => &COLUMNS,
        Grouping::Owner => &BY_OWNER,
    }
}

/// The columns for a system: people see proportional shares on Linux, purgeable memory on macOS.
fn specs(os: &str, grouping: Grouping) -> Vec<Spec> {
    let columns = columns(grouping);
    match os {
        "macos" => columns.specs_hiding(&[PROPORTIONAL.spec()]),
        "linux" => columns.specs_hiding(&[VOLATILE.spec(), NONVOLATILE.spec(), EMPTY.spec()]),
        _ => columns.specs(),
    }
}

/// What comes before the rows. `printed` is the report's own summary if it is a summary of the regions that are shown: vmmap
/// computed its two lines from exact sizes, where its listing has rounded ones.
pub fn head(origins: &Origins, summary: &Summary, printed: Option<&PrintedSummary>) -> Head {
    let printed_line = |start: &str| {
        let line = printed?.text.lines().find(|line| line.starts_with(start))?;
        Some(Line::Quoted(line.trim_end().into()))
    };
    let libraries = printed_line("ReadOnly portion of Libraries:");
    let writable = printed_line("Writable regions:");
    let totals = vec![
        libraries.unwrap_or(Line::Libraries(summary.libraries)),
        writable.unwrap_or(Line::Writable(summary.writable)),
    ];
    let table = Table::new(("rows", "row"), columns(summary.grouping), Layout::Fitted);
    let os = origins.source.os;
    let mut fields = origins.fields(ViewKind::Summary);
    let by = if summary.grouping == Grouping::Owner { "owner" } else { "type" };
    fields.insert("by".to_owned(), by.into());
    Head {
        view: ViewKind::Summary,
        target: origins.target(),
        sections: vec![
            origins.section(Some(summary.mappings)),
            footprint(&origins.process, summary.footprint),
            Section::new(SectionKind::Totals, totals),
        ],
        fields,
        tables: vec![Table { columns: specs(os, summary.grouping), vocabulary: Vocabulary::of(os), ..table }],
    }
}

/// The summary of a report that lists no regions: its own, as it was printed.
pub fn printed_head(origins: &Origins, printed: &PrintedSummary) -> Head {
    let lines = printed.text.lines().map(|line| Line::Quoted(line.trim_end().into()));
    Head {
        view: ViewKind::Summary,
        target: origins.target(),
        sections: vec![
            origins.section(None),
            footprint(&origins.process, origins.process.totals.footprint),
            Section::new(SectionKind::Totals, lines.collect()),
            Section::note(Note::PrintedSummary),
        ],
        fields: origins.fields(ViewKind::Summary),
        tables: Vec::new(),
    }
}

/// The rows, and for people the totals below them.
pub fn records(summary: &Summary) -> Vec<Box<dyn Record + '_>> {
    fn boxed<'a>(row: Row<'a, TypeRow>) -> Box<dyn Record + 'a> {
        Box::new(row)
    }
    let columns = columns(summary.grouping);
    let rule = || {
        let nothing = TypeRow {
            kind: None,
            title: Cow::Borrowed(""),
            evidence: Certainty::default(),
            totals: Totals::default(),
        };
        boxed(Row::owned(columns, nothing).role(Role::Rule))
    };
    let total = |title: &'static str, totals: &Totals| {
        let row = TypeRow {
            kind: None,
            title: Cow::Borrowed(title),
            evidence: Certainty::default(),
            totals: *totals,
        };
        boxed(Row::owned(columns, row).role(Role::Total))
    };
    let rows = summary.rows.iter().map(|row| {
        let line = TypeRow {
            kind: Some(row.kind),
            title: row.title.clone(),
            evidence: row.evidence,
            totals: row.totals,
        };
        boxed(Row::owned(columns, line).group(row.kind.group()))
    });
    let unreserved = summary.total_unreserved.iter();
    std::iter::once(rule())
        .chain(rows)
        .chain([rule(), total("TOTAL", &summary.total)])
        .chain(unreserved.map(|totals| total("TOTAL, minus reserved VM space", totals)))
        .collect()
}

/// What comes after the rows.
pub fn tail(summary: &Summary, warnings: &[Warning], limit: Option<u64>) -> Tail {
    let mut notes = Vec::new();
    if summary.hugetlb > Bytes::ZERO {
        notes.push(Note::HugePages(summary.hugetlb));
    }
    if summary.is_partial() {
        notes.push(Note::PartlyMeasured);
    } else if summary.total.resident.value().is_none() {
        notes.push(Note::LayoutOnly);
    } else if summary.total.dirty.value().is_none() {
        notes.push(Note::DirtyNotMeasured);
    }
    let is_by_shape = |row: &&crate::summary::Row| row.evidence.evidence() == Some(Evidence::Shape);
    let likely: Vec<_> = summary.rows.iter().filter(is_by_shape).map(|row| row.title.to_string()).collect();
    if !likely.is_empty() {
        notes.push(Note::ByShape(likely));
    }
    if summary.divided > 0 {
        notes.push(Note::Divided(summary.divided));
    }
    if let Some(limit) = limit
        && summary.mappings >= limit - limit / 10
    {
        notes.push(Note::MappingLimit { used: summary.mappings, limit });
    }
    let fields = fields(json!({
        "total": summary.total,
        "total_minus_reserved": summary.total_unreserved.unwrap_or(summary.total),
        "libraries": summary.libraries,
        "writable": summary.writable,
        "footprint": summary.footprint,
        "hugetlb": summary.hugetlb,
        "warnings": warnings_value(warnings),
    }));
    Tail { fields, notes }
}
