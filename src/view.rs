//! Views as data: what a view shows, apart from how any format draws it.
//!
//! A view is a [`Head`], the rows of its tables, and a [`Tail`]. Heads hold sections of labels and values; tables hold typed
//! columns; everything that reads as a sentence is a [`Note`], which the renderers word. A column is defined once, and every
//! format (and the JSON schema) is derived from that definition. A new view needs no new format, and a new format no new view.

pub mod address;
pub mod check;
pub mod chosen;
mod column;
pub mod cores;
pub mod crash;
pub mod diff;
pub mod explain;
pub mod heap;
mod note;
pub mod origins;
pub mod regions;
pub mod run;
#[cfg(test)]
mod schema;
mod section;
pub mod snapshot;
pub mod summary;
pub mod watch;

use std::borrow::Cow;

use mmview_platform::{AddrRange, Text};
use serde_json::{Map, Value};

use crate::check::Verdict;
use crate::kind::Group;

pub use column::{Cell, Column, Columns, Joint, Row, Shows, Spec, ValueType, Vocabulary};
pub use note::{Note, Remedy, RemedySource, StopReason, Subject};
pub use section::{Fact, Label, Line, Section, SectionKind, Side};

/// The identifier of the machine-readable output's format. Its schema is `src/render/mmview-1.schema.json`.
pub const SCHEMA: &str = "mmview/1";

/// Which view it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// The types of regions and their sums.
    Summary,
    /// Every region.
    Regions,
    /// Zones of malloc.
    Heap,
    /// A process or a region, in words.
    Explain,
    /// The dumps that are kept.
    Cores,
    /// Why a process ended.
    Crash,
    /// The region at an address.
    Address,
    /// Checks and their verdicts.
    Check,
    /// A map that was saved.
    Snapshot,
    /// The differences between two maps.
    Diff,
    /// Changes as they happen.
    Watch,
    /// A lesson.
    Demo,
    /// The list of lessons.
    Lessons,
    /// A target that can't be shown.
    Error,
}

impl ViewKind {
    /// The identifier in machine formats: the name of the command.
    pub const fn id(self) -> &'static str {
        match self {
            ViewKind::Summary => "summary",
            ViewKind::Regions => "regions",
            ViewKind::Heap => "heap",
            ViewKind::Explain => "explain",
            ViewKind::Cores => "cores",
            ViewKind::Crash => "crash",
            ViewKind::Address => "address",
            ViewKind::Check => "check",
            ViewKind::Snapshot => "snapshot",
            ViewKind::Diff => "diff",
            ViewKind::Watch => "watch",
            ViewKind::Demo => "demo",
            ViewKind::Lessons => "lessons",
            ViewKind::Error => "error",
        }
    }
}

/// What comes before the rows.
#[derive(Clone, Debug)]
pub struct Head {
    /// Which view it is.
    pub view: ViewKind,
    /// The target, short: a PID or a path.
    pub target: String,
    /// What people read before the tables.
    pub sections: Vec<Section>,
    /// What the machine formats have before the rows.
    pub fields: Map<String, Value>,
    /// The tables, in order; none if the view is text only.
    pub tables: Vec<Table>,
}

/// A table: everything about it but its rows.
#[derive(Clone, Debug)]
pub struct Table {
    /// What the machine formats call the rows, in the plural and in the singular.
    pub rows: (&'static str, &'static str),
    /// The columns of the tabular formats.
    pub columns: Vec<Spec>,
    /// How it is drawn.
    pub layout: Layout,
    /// Whose names the types of regions have.
    pub vocabulary: Vocabulary,
    /// Whether the user chose the columns: all are shown, however wide the table becomes.
    pub is_chosen: bool,
}

impl Table {
    /// A table with these columns.
    pub fn new<R>(rows: (&'static str, &'static str), columns: &Columns<R>, layout: Layout) -> Table {
        Table { rows, columns: columns.specs(), layout, vocabulary: Vocabulary::Elf, is_chosen: false }
    }
}

/// How a table is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Few rows: columns as wide as their content.
    Fitted,
    /// Any number of rows, each drawn as it comes: columns of fixed widths.
    Streamed,
    /// No table: each row is a few blocks of text ([`Record::blocks`]).
    Blocks,
}

/// What comes after the rows.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// What the machine formats have after the rows.
    pub fields: Map<String, Value>,
    /// Remarks below the tables.
    pub notes: Vec<Note>,
}

/// A row of a table. [`Row`] implements it over the columns of its table.
pub trait Record {
    /// The cell under the tabular column of this index.
    fn cell(&self, column: usize) -> Cell<'_>;

    /// How many fields its JSON object has.
    fn field_count(&self) -> usize;

    /// The name and the value of a field of its JSON object.
    fn field(&self, index: usize) -> (&'static str, Cell<'_>);

    /// What it is among the rows.
    fn role(&self) -> Role {
        Role::Row
    }

    /// The group that determines its color.
    fn group(&self) -> Option<Group> {
        None
    }

    /// What it shows in a table of [`Layout::Blocks`].
    fn blocks(&self) -> Vec<Block<'_>> {
        Vec::new()
    }
}

/// What a row is among the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One of the rows.
    Row,
    /// The row that was asked for, among its neighbors.
    Hit,
    /// An unmapped gap between two regions.
    Gap(AddrRange),
    /// A part of the region before, for people only: machine formats have it among the fields of the region.
    Part,
    /// A sum, for people only: machine formats have it among the fields of the tail.
    Total,
    /// A rule between rows and sums, for people only.
    Rule,
}

/// A part of a row that is text rather than cells.
pub enum Block<'a> {
    /// A check and its verdict.
    Check {
        /// Whether it holds.
        verdict: Verdict,
        /// The check, not escaped.
        text: Cow<'a, str>,
        /// What to add in parentheses, not escaped.
        remark: Option<String>,
    },
    /// A sentence that was found, without its end; not escaped.
    Found {
        /// The sentence.
        sentence: Cow<'a, str>,
        /// Whether rows follow it.
        has_rows: bool,
    },
    /// A row of a table without titles.
    Row {
        /// Its columns.
        columns: Vec<Spec>,
        /// The row.
        record: Box<dyn Record + 'a>,
    },
    /// A remark on the row before; not escaped.
    Remark(String),
    /// How many more rows there are.
    More(usize),
    /// What would help.
    Remedy(Remedy),
}

/// A name in JSON: a string, or `{"bytes": "<base64>"}` if it is not UTF-8.
pub fn name_value(bytes: &[u8]) -> Value {
    serde_json::to_value(Text(bytes)).expect("a name is a string or an object of one")
}

/// An address in JSON: a string, because not every reader keeps numbers above 2^53.
pub fn address_value(address: u64) -> Value {
    format!("{address:#x}").into()
}

/// An object literal of [`serde_json::json`] as fields.
pub fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => unreachable!("callers pass an object literal"),
    }
}
