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
use crate::field::{self, Choice, Field, NATIVE_SUMS};
use crate::kind::RegionKind;
use crate::summary::{Certainty, Grouping, Summary, Totals};

/// A line of the table: the sums of a type, or a total.
#[derive(Clone, Debug)]
pub struct TypeRow {
    kind: Option<RegionKind>,
    title: Cow<'static, str>,
    evidence: Certainty,
    totals: Totals,
}

type TypeColumn = Column<TypeRow>;

/// The sum of a size.
fn total(row: &TypeRow, field: &'static Field) -> Cell<'static> {
    Cell::Size(row.totals.sum(field))
}

/// The same, and no field in JSON if the system doesn't report it.
fn total_if_reported(row: &TypeRow, field: &'static Field) -> Cell<'static> {
    if row.totals.reports(field) { total(row, field) } else { Cell::Absent }
}

/// The column of a size.
const fn column(field: &'static Field) -> TypeColumn {
    TypeColumn::of(field, field.heading, total)
}

/// A sum of purgeable memory: in a table nothing if there is none, and then no field in JSON.
fn purgeable(row: &TypeRow, field: &'static Field) -> Cell<'static> {
    if row.totals.purgeable.is_some() { total(row, field) } else { Cell::Absent }
}

const KIND: TypeColumn =
    TypeColumn::machine("kind", ValueType::Kind, |row| row.kind.map_or(Cell::Empty, Cell::Kind));
const TYPE: TypeColumn =
    TypeColumn::new("type", "\nREGION TYPE", ValueType::Type, |row| Cell::text(&*row.title));
const OWNER: TypeColumn = TypeColumn::new("owner", "\nOWNER", ValueType::Type, |row| Cell::text(&*row.title))
    .about("The allocator or runtime, or else what the memory is for, such as `stacks`.");
const VIRTUAL: TypeColumn = TypeColumn::new("virtual", "VIRTUAL\nSIZE", ValueType::Measured, |row| {
    Cell::Size(row.totals.virtual_size.value())
});
const RESIDENT: TypeColumn = column(&field::RESIDENT);
const DIRTY: TypeColumn = column(&field::DIRTY);
const SWAPPED: TypeColumn = column(&field::SWAPPED);
const PROPORTIONAL: TypeColumn = column(&field::PSS);
const UNIQUE: TypeColumn = column(&field::UNIQUE).shown(Shows::Machines);
const VOLATILE: TypeColumn = TypeColumn::of(&field::VOLATILE, field::VOLATILE.heading, purgeable);
const NONVOLATILE: TypeColumn = TypeColumn::of(&field::NONVOLATILE, field::NONVOLATILE.heading, purgeable);
const EMPTY: TypeColumn = TypeColumn::of(&field::EMPTY, field::EMPTY.heading, purgeable);
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

/// How many sizes only one system reports.
const NATIVE: usize = NATIVE_SUMS.len();

/// The fields of JSON with those that only one system reports.
const fn with_native<const OWN: usize, const ALL: usize>(own: [TypeColumn; OWN]) -> [TypeColumn; ALL] {
    assert!(ALL == OWN + NATIVE);
    let mut all = [KIND; ALL];
    let mut index = 0;
    while index < ALL {
        all[index] = match index < OWN {
            true => own[index],
            false => TypeColumn::of(NATIVE_SUMS[index - OWN], "", total_if_reported),
        };
        index += 1;
    }
    all
}

const TYPE_FIELDS: [TypeColumn; 13 + NATIVE] = with_native([
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
]);

const OWNER_FIELDS: [TypeColumn; 9 + NATIVE] =
    with_native([OWNER, EVIDENCE, REGIONS, VIRTUAL, RESIDENT, DIRTY, SWAPPED, PROPORTIONAL, UNIQUE]);

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
    json: &TYPE_FIELDS,
};

/// The columns of a row for each owner.
pub const BY_OWNER: Columns<TypeRow> = Columns {
    tabular: &[OWNER, VIRTUAL, RESIDENT, DIRTY, SWAPPED, PROPORTIONAL, UNIQUE, REGIONS, EVIDENCE],
    json: &OWNER_FIELDS,
};

const fn columns(grouping: Grouping) -> &'static Columns<TypeRow> {
    match grouping {
        Grouping::Type => &COLUMNS,
        Grouping::Owner => &BY_OWNER,
    }
}

/// The columns of a summary in the tabular formats.
#[derive(Debug)]
pub struct Look {
    columns: Vec<TypeColumn>,
    is_chosen: bool,
}

impl Look {
    /// The columns of `choice`, after the name of the row if they leave it out; or the usual ones for maps of a system.
    pub fn new(os: &str, grouping: Grouping, choice: Option<&Choice>) -> Look {
        let Some(choice) = choice else { return Look { columns: usual(os, grouping), is_chosen: false } };
        let names = choice.fields.contains(&&field::TYPE) && !choice.is_added;
        let fields = choice.fields.iter().filter(|field| names || **field != &field::TYPE);
        let chosen: Vec<_> = fields.map(|field| chosen(field, grouping)).collect();
        let columns = match (choice.is_added, names) {
            (true, _) => added(usual(os, grouping), chosen),
            (false, true) => chosen,
            (false, false) => [vec![name(grouping)], chosen].concat(),
        };
        Look { columns, is_chosen: true }
    }

    fn specs(&self) -> Vec<Spec> {
        self.columns.iter().map(Column::spec).collect()
    }
}

/// The usual columns for a system: people see proportional shares on Linux, purgeable memory on macOS.
fn usual(os: &str, grouping: Grouping) -> Vec<TypeColumn> {
    let hidden: &[&str] = match os {
        "macos" => &[field::PSS.id],
        "linux" => &[field::VOLATILE.id, field::NONVOLATILE.id, field::EMPTY.id],
        _ => &[],
    };
    let shown = |column: &TypeColumn| match hidden.contains(&column.spec().id) {
        true => column.shown(Shows::Machines),
        false => *column,
    };
    columns(grouping).tabular.iter().map(shown).collect()
}

/// Columns before the number of regions.
fn added(usual: Vec<TypeColumn>, chosen: Vec<TypeColumn>) -> Vec<TypeColumn> {
    let is_other = |column: &TypeColumn| chosen.iter().all(|other| other.spec().id != column.spec().id);
    let mut columns: Vec<_> = usual.into_iter().filter(is_other).collect();
    let ends = [REGIONS.spec().id, NOTE.spec().id];
    let place = columns.iter().position(|column| ends.contains(&column.spec().id)).unwrap_or(columns.len());
    columns.splice(place..place, chosen);
    columns
}

/// The column that names a row.
fn name(grouping: Grouping) -> TypeColumn {
    match grouping {
        Grouping::Type => TYPE,
        Grouping::Owner => OWNER,
    }
}

/// The column of a field.
fn chosen(field: &'static Field, grouping: Grouping) -> TypeColumn {
    match () {
        () if *field == field::TYPE => name(grouping),
        () if *field == field::KIND => KIND.titled(field.heading).shown(Shows::Always),
        () if *field == field::EVIDENCE => EVIDENCE.titled(field.heading).shown(Shows::Always),
        () if *field == field::REGIONS => REGIONS,
        () if *field == field::SIZE => VIRTUAL,
        () => column(field),
    }
}

/// What comes before the rows. `printed` is the report's own summary if it is a summary of the regions that are shown: vmmap
/// computed its two lines from exact sizes, where its listing has rounded ones.
pub fn head(origins: &Origins, summary: &Summary, look: &Look, printed: Option<&PrintedSummary>) -> Head {
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
        tables: vec![Table {
            columns: look.specs(),
            vocabulary: Vocabulary::of(os),
            is_chosen: look.is_chosen,
            ..table
        }],
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
pub fn records<'a>(summary: &'a Summary, look: &'a Look) -> Vec<Box<dyn Record + 'a>> {
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
        boxed(Row::owned(columns, nothing).under(&look.columns).role(Role::Rule))
    };
    let total = |title: &'static str, totals: &Totals| {
        let row = TypeRow {
            kind: None,
            title: Cow::Borrowed(title),
            evidence: Certainty::default(),
            totals: *totals,
        };
        boxed(Row::owned(columns, row).under(&look.columns).role(Role::Total))
    };
    let rows = summary.rows.iter().map(|row| {
        let line = TypeRow {
            kind: Some(row.kind),
            title: row.title.clone(),
            evidence: row.evidence,
            totals: row.totals,
        };
        boxed(Row::owned(columns, line).under(&look.columns).group(row.kind.group()))
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
    notes.extend(much(&summary.total, &[&field::LAZYFREE]).map(Note::LazyFree));
    notes.extend(much(&summary.total, &[&field::LOCKED]).map(Note::Locked));
    let huge = [&field::THP, &field::SHMEM_THP, &field::FILE_THP];
    notes.extend(much(&summary.total, &huge).map(Note::TransparentHuge));
    let is_swap_only = summary.total.resident.value().is_none() && summary.total.swapped.value().is_some();
    if summary.is_partial() || is_swap_only {
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

/// The sum of some sizes, if it is at least a hundredth of what is resident.
fn much(total: &Totals, fields: &[&Field]) -> Option<Bytes> {
    let resident = total.resident.value()?;
    let size = fields.iter().filter_map(|field| total.sum(field)).fold(Bytes::ZERO, |sum, size| sum + size);
    (size > Bytes::ZERO && size.0 >= resident.0 / 100).then_some(size)
}
