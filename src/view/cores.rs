//! The dumps that systemd-coredump keeps.

use std::path::Path;

use mmview_platform::KeptDump;
use serde_json::json;

use super::{
    Cell, Column, Columns, Head, Layout, Note, Record, Row, SCHEMA, Table, Tail, ValueType, ViewKind, fields,
};
use crate::crash::signal_name;

const TIME: Column<KeptDump> = Column::new("time", "TIME", ValueType::Date, |dump| Cell::Date(dump.time));
const PID: Column<KeptDump> =
    Column::new("pid", "PID", ValueType::Count, |dump| Cell::Count(dump.pid.into()));
const USER: Column<KeptDump> =
    Column::new("user", "UID", ValueType::Count, |dump| Cell::Count(dump.user.into()));
const SIGNAL: Column<KeptDump> = Column::new("signal", "SIGNAL", ValueType::OptionalCount, |dump| {
    dump.signal.and_then(|signal| u64::try_from(signal).ok()).map_or(Cell::Unknown, Cell::Count)
});
const SIGNAL_NAME: Column<KeptDump> = Column::new("signal_name", "SIGNAL", ValueType::OptionalText, |dump| {
    dump.signal.map_or(Cell::Unknown, |signal| Cell::Text(signal_name("linux", signal).into()))
});
const SIZE: Column<KeptDump> = Column::new("size", "SIZE", ValueType::Measured, |dump| Cell::Size(dump.size));
const NAME: Column<KeptDump> =
    Column::new("name", "NAME", ValueType::Name, |dump| Cell::name(Some(dump.name.as_bytes())));
const PATH: Column<KeptDump> = Column::new("path", "FILE", ValueType::Name, |dump| {
    Cell::name(Some(dump.path.as_os_str().as_encoded_bytes()))
});

/// The columns of a dump.
pub const COLUMNS: Columns<KeptDump> = Columns {
    tabular: &[TIME, PID, USER, SIGNAL_NAME, NAME, SIZE, PATH],
    json: &[TIME, PID, USER, SIGNAL, SIGNAL_NAME, NAME, SIZE, PATH],
};

/// What comes before the dumps.
pub fn head() -> Head {
    Head {
        view: ViewKind::Cores,
        target: String::new(),
        sections: Vec::new(),
        fields: fields(json!({ "schema": SCHEMA, "view": ViewKind::Cores.id() })),
        tables: vec![Table::new(("dumps", "dump"), &COLUMNS, Layout::Fitted)],
    }
}

/// A dump.
pub fn row(dump: &KeptDump) -> impl Record + '_ {
    Row::new(&COLUMNS, dump)
}

/// What comes after them.
pub fn tail(count: usize, directory: &Path) -> Tail {
    let mut tail = Tail::default();
    tail.notes.extend((count == 0).then(|| Note::NoDumps(directory.to_owned())));
    tail
}
