//! Views as data: what a view says, apart from how any format draws it.
//!
//! A view is a [`Head`], rows that are [`Record`]s in one table or several, and a [`Tail`]. The tabular formats are written once, over the columns
//! and cells; JSON and ndjson once, over what is serialisable. A new view costs no new format, a new format no new view.

pub mod address;
pub mod change;
pub mod check;
pub mod diff;
pub mod process;
pub mod regions;
pub mod run;
pub mod snapshot;
pub mod summary;
pub mod watch;

use std::borrow::Cow;

use mmview_platform::{AddrRange, Bytes, Text};
use serde_json::{Map, Value};

use crate::kind::Group;

/// The identifier of the machine-readable output's format. Its schema is `src/render/mmview-1.schema.json`.
pub const SCHEMA: &str = "mmview/1";

/// What stands before the rows.
#[derive(Clone, Debug)]
pub struct Head {
    /// The identifier of the view.
    pub view: &'static str,
    /// The target, short: a PID or a path.
    pub target: String,
    /// Lines of text before the table, one item a line, escaped by whoever draws them.
    pub text: Vec<String>,
    /// What the machine formats say before the rows.
    pub fields: Map<String, Value>,
    /// The tables of rows, in their order; none where the view is text alone.
    pub tables: Vec<Table>,
}

/// A table of rows: what its format needs to know before they come.
#[derive(Clone, Debug)]
pub struct Table {
    /// What the machine formats call the rows, in the plural and in the singular.
    pub rows: (&'static str, &'static str),
    /// The columns of the tabular formats.
    pub columns: Vec<Column>,
    /// How it is drawn.
    pub layout: Layout,
}

/// How a table is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Few rows: columns as wide as what is in them.
    Fitted,
    /// Any number of rows, each drawn as it comes: columns of fixed widths.
    Streamed,
    /// No table: each row tells itself in lines of its own ([`Record::told`]).
    Told,
}

/// A part of a row that tells itself.
pub enum Told<'a> {
    /// A line of text, folded where the terminal is narrower.
    Line {
        /// A word before it, and how it is coloured.
        lead: Option<(&'static str, Tone)>,
        /// How many columns the text stands in, the lead included.
        indent: usize,
        /// The text, escaped by whoever made it.
        text: String,
    },
    /// A row of a streamed table without titles.
    Row {
        /// How many columns it stands in.
        indent: usize,
        /// Its columns.
        columns: &'a [Column],
        /// The row.
        record: Box<dyn Record + 'a>,
    },
}

/// What a word says of what follows, by its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It is well.
    Good,
    /// It is not.
    Bad,
    /// It is doubtful.
    Doubtful,
}

/// What stands after the rows.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// What the machine formats say after the rows.
    pub fields: Map<String, Value>,
    /// Lines of text after the table.
    pub notes: Vec<String>,
}

/// A column of the tabular formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its identifier, for machines.
    pub id: &'static str,
    /// Its title, in one or two lines.
    pub title: &'static str,
    /// Where it shows.
    pub shows: Shows,
    /// On which side it is filled up.
    pub align: Align,
    /// Its width in a streamed table, where it is not the last.
    pub width: usize,
    /// What stands before it in a streamed table.
    pub before: &'static str,
}

/// Where a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Everywhere.
    Always,
    /// Everywhere but in a narrow table.
    Wide,
    /// In tables only, since machine formats have it in parts.
    TableOnly,
    /// In machine formats only.
    MachineOnly,
}

/// On which side the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Left: text.
    Left,
    /// Right: numbers.
    Right,
}

impl Column {
    /// A column of text.
    pub const fn text(id: &'static str, title: &'static str, width: usize) -> Column {
        Column { id, title, shows: Shows::Always, align: Align::Left, width, before: " " }
    }

    /// A column of sizes or counts.
    pub const fn number(id: &'static str, title: &'static str, width: usize) -> Column {
        Column { id, title, shows: Shows::Always, align: Align::Right, width, before: " " }
    }

    /// The same column, shown elsewhere.
    #[must_use]
    pub const fn shown(self, shows: Shows) -> Column {
        Column { shows, ..self }
    }

    /// The same column, with something else before it.
    #[must_use]
    pub const fn after(self, before: &'static str) -> Column {
        Column { before, ..self }
    }
}

/// What stands in a row under a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Nothing.
    Empty,
    /// Text.
    Text(Cow<'a, str>),
    /// A name or path, which may be cut in the middle to fit.
    Name(Cow<'a, [u8]>),
    /// A size; `None` where it was not measured.
    Size(Option<Bytes>),
    /// By how many bytes a size is different; `None` where it was not measured.
    Delta(Option<i64>),
    /// A count.
    Count(u64),
    /// By how much a count is different.
    CountDelta(i64),
    /// An address.
    Address(u64),
    /// A rule under the column's title.
    Rule,
}

/// A row of a view: drawn by its cells in the tabular formats, serialised in JSON and ndjson.
pub trait Record: erased_serde::Serialize {
    /// Its cells, one a column of the head.
    fn cells(&self) -> Vec<Cell<'_>>;

    /// What it says in a table of [`Layout::Told`].
    fn told(&self) -> Vec<Told<'_>> {
        Vec::new()
    }

    /// What it is in the view.
    fn role(&self) -> Role {
        Role::Row
    }

    /// The group by which it is coloured.
    fn group(&self) -> Option<Group> {
        None
    }
}

erased_serde::serialize_trait_object!(Record);

/// What a record is in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One of the rows.
    Row,
    /// The row that was asked for, among its neighbours.
    Hit,
    /// An unmapped hole between two regions.
    Gap(AddrRange),
    /// A sum or a rule, for people only: machine formats have it among the fields of the tail.
    Total,
}

/// A name in JSON: a string, or `{"bytes": "<base64>"}` where it is not UTF-8.
pub fn name_value(bytes: &[u8]) -> Value {
    serde_json::to_value(Text(bytes)).expect("a name is a string or an object of one")
}

/// An address in JSON: a string, since numbers above 2^53 don't survive every reader.
pub fn address_value(address: u64) -> Value {
    format!("{address:#x}").into()
}
