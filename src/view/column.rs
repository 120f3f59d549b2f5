//! Typed columns: one definition for the table, CSV, Markdown, JSON and the schema.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use mmview_platform::{Bytes, Evidence, Protection, ShareMode};
use serde_json::Value;

use super::note::Remedy;
use super::{Record, Role};
use crate::diff::Change;
use crate::field::{Class, Field};
use crate::kind::{Group, RegionKind};

/// A column of rows of type `R`.
pub struct Column<R: 'static> {
    spec: Spec,
    get: Get<R>,
}

/// How to get the cells of a column.
enum Get<R: 'static> {
    /// In its own way.
    Own(for<'a> fn(&'a R) -> Cell<'a>),
    /// As the value of a field.
    Field(&'static Field, for<'a> fn(&'a R, &'static Field) -> Cell<'a>),
}

impl<R> Clone for Get<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Get<R> {}

impl<R> Clone for Column<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Column<R> {}

/// A column without its rows: what the renderers need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its identifier in machine formats.
    pub id: &'static str,
    /// Its title, in one or two lines; empty if it has none.
    pub title: &'static str,
    /// The type of its values.
    pub value: ValueType,
    /// Where it is shown.
    pub shows: Shows,
    /// How it is joined to the column before it.
    pub joint: Joint,
    /// When it is left out of a small table that has no room for it: 1 goes first, 0 never goes.
    pub rank: u8,
    /// What the schema says about it.
    pub about: &'static str,
}

impl Spec {
    /// Whether its values are aligned on the right: numbers, but not the end of a range.
    pub fn is_right_aligned(&self) -> bool {
        self.value.is_number() && self.joint != Joint::Range
    }
}

/// The type of a column's values. Widths, alignment and the schema follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// The identifier of a region's kind.
    Kind,
    /// The name of a region's type.
    Type,
    /// An address.
    Address,
    /// A size that is always known.
    Size,
    /// A size that may not have been measured.
    Measured,
    /// An offset in a file, if known.
    Offset,
    /// A number of regions or blocks.
    Count,
    /// The same, if known.
    OptionalCount,
    /// True or false.
    Truth,
    /// A signed difference of sizes.
    Delta,
    /// A signed difference of counts.
    CountDelta,
    /// The same, if known.
    OptionalCountDelta,
    /// Three letters, such as `rw-`.
    Protection,
    /// The same, if known.
    OptionalProtection,
    /// Who sees writes: a code in tables, an identifier in JSON.
    Share,
    /// Text.
    Text,
    /// The same, if known.
    OptionalText,
    /// One of these identifiers.
    Word(&'static [&'static str]),
    /// A short label before the rest of the row.
    Label,
    /// A name out of another process.
    Name,
    /// The same, or nothing.
    OptionalName,
    /// A time: the time of day in tables, RFC 3339 in JSON.
    Time,
    /// A time: the date and the time of day in tables, RFC 3339 in JSON.
    Date,
    /// The mark of a change: `+`, `-` or `~`.
    Mark,
    /// A JSON value that the schema defines under this name.
    Object(&'static str),
    /// The same, or null.
    OptionalObject(&'static str),
    /// An array of such values.
    List(&'static str),
}

impl ValueType {
    /// Whether the values are numbers.
    const fn is_number(self) -> bool {
        use ValueType::{
            Address, Count, CountDelta, Delta, Measured, Offset, OptionalCount, OptionalCountDelta, Size,
        };
        matches!(
            self,
            Address
                | Size
                | Measured
                | Offset
                | Count
                | OptionalCount
                | Delta
                | CountDelta
                | OptionalCountDelta
        )
    }
}

/// Where a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// In every tabular format.
    Always,
    /// In every tabular format, but not in a narrow table.
    Wide,
    /// In CSV, and in tables if everything is asked for.
    Asked,
    /// In tables and Markdown only: CSV has it in parts.
    People,
    /// In CSV only.
    Machines,
}

/// How a column is joined to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// By a blank.
    Blank,
    /// By two: something else begins.
    Wide,
    /// The column before is the start of a range, this one its end.
    Range,
    /// The column before is a value, this one the most that it can be.
    Limit,
    /// Sizes begin, in brackets.
    Open,
    /// Sizes end.
    Close,
}

/// Whose names the types of regions have. Apple's are longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// Those of ELF and of this program.
    Elf,
    /// Those of vmmap.
    Vmmap,
}

impl Vocabulary {
    /// The vocabulary for the maps of a system.
    pub fn of(os: &str) -> Vocabulary {
        if os == "macos" { Vocabulary::Vmmap } else { Vocabulary::Elf }
    }
}

/// What is under a column in a row.
pub enum Cell<'a> {
    /// Nothing; null in JSON.
    Empty,
    /// Nothing; JSON leaves the field out.
    Absent,
    /// What was not measured and is no size.
    Unknown,
    /// Text.
    Text(Cow<'a, str>),
    /// A name or path, which may be cut in the middle to fit.
    Name(Cow<'a, [u8]>),
    /// A size; `None` if it was not measured.
    Size(Option<Bytes>),
    /// By how many bytes a size differs; `None` if it was not measured.
    Delta(Option<i64>),
    /// A count.
    Count(u64),
    /// By how much a count differs.
    CountDelta(i64),
    /// An address.
    Address(u64),
    /// The kind of a region.
    Kind(RegionKind),
    /// Allowed accesses.
    Protection(Protection),
    /// Who sees writes.
    Share(ShareMode),
    /// A time of which the day is known.
    Time(SystemTime),
    /// A time of any day.
    Date(SystemTime),
    /// A change, in words.
    Change(&'a Change),
    /// What a check found, not escaped, and what would help.
    Found(String, Option<Remedy>),
    /// What would help, in words.
    Remedy(Remedy),
    /// A JSON object of its own.
    Record(Box<dyn Record + 'a>),
    /// An array of them.
    Records(Vec<Box<dyn Record + 'a>>),
    /// A JSON value.
    Value(Value),
    /// A value that serializes itself.
    Data(&'a dyn erased_serde::Serialize),
}

/// The identifiers of evidence.
pub const EVIDENCE_IDS: &[&str] = &[Evidence::Kernel.id(), Evidence::Shape.id(), Evidence::Memory.id()];

impl<'a> Cell<'a> {
    /// A name or path, if there is one.
    pub fn name(name: Option<&'a [u8]>) -> Cell<'a> {
        name.map_or(Cell::Empty, |name| Cell::Name(Cow::Borrowed(name)))
    }

    /// Text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
        Cell::Text(text.into())
    }
}

impl<R> fmt::Debug for Column<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

impl<R> Column<R> {
    /// A column of this type, shown everywhere if it has a title.
    pub const fn new(
        id: &'static str,
        title: &'static str,
        value: ValueType,
        get: for<'a> fn(&'a R) -> Cell<'a>,
    ) -> Column<R> {
        let spec = Spec { id, title, value, shows: Shows::Always, joint: Joint::Blank, rank: 0, about: "" };
        Column { spec, get: Get::Own(get) }
    }

    /// The column of a field, shown everywhere.
    pub const fn of(
        field: &'static Field,
        title: &'static str,
        get: for<'a> fn(&'a R, &'static Field) -> Cell<'a>,
    ) -> Column<R> {
        let value = match field.class {
            Class::Sum | Class::Size => ValueType::Measured,
            Class::Count | Class::Number => ValueType::OptionalCount,
            Class::Address => ValueType::Address,
            Class::Truth => ValueType::Truth,
            Class::Words | Class::Name => ValueType::OptionalName,
            Class::Text => ValueType::OptionalText,
            Class::Kind => ValueType::Kind,
            Class::Type => ValueType::Type,
            Class::Protection => ValueType::Protection,
            Class::Share => ValueType::Share,
            Class::Evidence => ValueType::Word(EVIDENCE_IDS),
        };
        let shows = Shows::Always;
        let (id, about) = (field.id, field.about);
        let spec = Spec { id, title, value, shows, joint: Joint::Blank, rank: 0, about };
        Column { spec, get: Get::Field(field, get) }
    }

    /// A column without a title, for machine formats.
    pub const fn machine(
        id: &'static str,
        value: ValueType,
        get: for<'a> fn(&'a R) -> Cell<'a>,
    ) -> Column<R> {
        Column::new(id, "", value, get).shown(Shows::Machines)
    }

    /// The same column with another title.
    #[must_use]
    pub const fn titled(self, title: &'static str) -> Column<R> {
        Column { spec: Spec { title, ..self.spec }, ..self }
    }

    /// The same column, shown elsewhere.
    #[must_use]
    pub const fn shown(self, shows: Shows) -> Column<R> {
        Column { spec: Spec { shows, ..self.spec }, ..self }
    }

    /// The same column, joined in another way.
    #[must_use]
    pub const fn joined(self, joint: Joint) -> Column<R> {
        Column { spec: Spec { joint, ..self.spec }, ..self }
    }

    /// The same column, left out of a small table that has no room for it; 1 goes first.
    #[must_use]
    pub const fn dispensable(self, rank: u8) -> Column<R> {
        Column { spec: Spec { rank, ..self.spec }, ..self }
    }

    /// The same column with values of another type.
    #[must_use]
    pub const fn typed(self, value: ValueType) -> Column<R> {
        Column { spec: Spec { value, ..self.spec }, ..self }
    }

    /// The column without its rows.
    pub const fn spec(&self) -> Spec {
        self.spec
    }

    /// Its cell in a row.
    fn cell<'a>(&self, row: &'a R) -> Cell<'a> {
        match self.get {
            Get::Own(get) => get(row),
            Get::Field(field, get) => get(row, field),
        }
    }

    /// The same column with a description for the schema.
    #[must_use]
    pub const fn about(self, about: &'static str) -> Column<R> {
        Column { spec: Spec { about, ..self.spec }, ..self }
    }
}

/// The columns of a table, in the orders in which the formats have them.
pub struct Columns<R: 'static> {
    /// Those of the tabular formats.
    pub tabular: &'static [Column<R>],
    /// The fields of a row's JSON object.
    pub json: &'static [Column<R>],
}

impl<R> Columns<R> {
    /// The tabular columns without their rows.
    pub fn specs(&self) -> Vec<Spec> {
        self.tabular.iter().map(|column| column.spec).collect()
    }

    /// The tabular columns, `hidden` ones for machines only.
    pub fn specs_hiding(&self, hidden: &[Spec]) -> Vec<Spec> {
        let shown = |spec: Spec| match hidden.contains(&spec) {
            true => Spec { shows: Shows::Machines, ..spec },
            false => spec,
        };
        self.specs().into_iter().map(shown).collect()
    }

    /// The fields of the JSON object.
    #[cfg(test)]
    pub fn fields(&self) -> impl Iterator<Item = Spec> {
        self.json.iter().map(|column| column.spec)
    }
}

/// A row over the columns of its table.
pub struct Row<'a, R: Clone + 'static> {
    tabular: &'a [Column<R>],
    json: &'static [Column<R>],
    row: Cow<'a, R>,
    role: Role,
    group: Option<Group>,
}

impl<'a, R: Clone> Row<'a, R> {
    /// A row of no group.
    pub fn new(columns: &'static Columns<R>, row: &'a R) -> Row<'a, R> {
        Row::of(columns, Cow::Borrowed(row))
    }

    /// A row that was made for the view.
    pub fn owned(columns: &'static Columns<R>, row: R) -> Row<'a, R> {
        Row::of(columns, Cow::Owned(row))
    }

    fn of(columns: &'static Columns<R>, row: Cow<'a, R>) -> Row<'a, R> {
        Row { tabular: columns.tabular, json: columns.json, row, role: Role::Row, group: None }
    }

    /// The same row under other columns of the tabular formats.
    #[must_use]
    pub fn under(self, tabular: &'a [Column<R>]) -> Row<'a, R> {
        Row { tabular, ..self }
    }

    /// The same row with another role.
    #[must_use]
    pub fn role(self, role: Role) -> Row<'a, R> {
        Row { role, ..self }
    }

    /// The same row in a group.
    #[must_use]
    pub fn group(self, group: impl Into<Option<Group>>) -> Row<'a, R> {
        Row { group: group.into(), ..self }
    }
}

impl<R: Clone> Record for Row<'_, R> {
    fn cell(&self, column: usize) -> Cell<'_> {
        self.tabular.get(column).map_or(Cell::Empty, |column| column.cell(&self.row))
    }

    fn field_count(&self) -> usize {
        self.json.len()
    }

    fn field(&self, index: usize) -> (&'static str, Cell<'_>) {
        let column = &self.json[index];
        (column.spec.id, column.cell(&self.row))
    }

    fn role(&self) -> Role {
        self.role
    }

    fn group(&self) -> Option<Group> {
        self.group
    }
}
