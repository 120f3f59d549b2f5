//! Comma-separated values (RFC 4180): sizes in bytes, empty if not measured, one header for all targets.
//!
//! If a view has several tables, the header has the columns of all of them, and each row begins with the name of its table.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::Render;
use super::words::{clock, date, remedy};
use crate::text::printable;
use crate::view::{Cell, Head, Record, Role, Shows, Spec, Table, Tail};

pub(super) struct Csv<'a> {
    out: csv::Writer<&'a mut dyn Write>,
    /// The identifiers of the header, once it is written.
    header: Vec<&'static str>,
    /// Which cell of the current table's rows is under each of them.
    places: Vec<Option<usize>>,
    has_tables: bool,
    /// The tables of the view from the current one on.
    tables: VecDeque<Table>,
    target: String,
}

impl<'a> Csv<'a> {
    pub fn new(out: &'a mut dyn Write) -> Csv<'a> {
        Csv {
            out: csv::Writer::from_writer(out),
            header: Vec::new(),
            places: Vec::new(),
            has_tables: false,
            tables: VecDeque::new(),
            target: String::new(),
        }
    }

    fn find_places(&mut self) {
        let columns = self.tables.front().map(|table| table.columns.as_slice()).unwrap_or_default();
        let place = |id: &&str| columns.iter().position(|column| column.id == *id && is_shown(column));
        self.places = self.header.iter().map(place).collect();
    }
}

fn text(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Text(text) => printable(text.as_bytes()),
        Cell::Name(name) => printable(name),
        Cell::Size(size) => size.map_or_else(String::new, |size| size.0.to_string()),
        Cell::Delta(delta) => delta.map_or_else(String::new, |delta| delta.to_string()),
        Cell::CountDelta(delta) => delta.to_string(),
        Cell::Count(count) => count.to_string(),
        Cell::Address(address) => format!("{address:#x}"),
        Cell::Kind(kind) => kind.id().to_owned(),
        Cell::Protection(protection) if protection.is_known() => protection.to_string(),
        Cell::Protection(_) => String::new(),
        Cell::Share(share) if share.is_known() => share.code().to_owned(),
        Cell::Share(_) => String::new(),
        Cell::Time(time) => clock(*time),
        Cell::Date(time) => date(*time),
        Cell::Found(sentence, None) => printable(sentence.as_bytes()),
        Cell::Found(sentence, Some(hint)) => printable(format!("{sentence} ({})", remedy(hint)).as_bytes()),
        Cell::Remedy(hint) => remedy(hint),
        Cell::Empty | Cell::Absent | Cell::Unknown | Cell::Change(_) => String::new(),
        Cell::Record(_) | Cell::Records(_) | Cell::Value(_) | Cell::Data(_) => String::new(),
    }
}

fn is_shown(column: &Spec) -> bool {
    column.shows != Shows::People
}

impl Render for Csv<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        self.target = head.target.clone();
        self.tables = head.tables.clone().into();
        if self.header.is_empty() && !head.tables.is_empty() {
            for column in head.tables.iter().flat_map(|table| &table.columns) {
                if is_shown(column) && !self.header.contains(&column.id) {
                    self.header.push(column.id);
                }
            }
            self.has_tables = head.tables.len() > 1;
            let record = self.has_tables.then_some("record");
            self.out.write_record(record.into_iter().chain(["target"]).chain(self.header.iter().copied()))?;
        }
        self.find_places();
        Ok(())
    }

    fn row(&mut self, record: &dyn Record) -> io::Result<()> {
        if matches!(record.role(), Role::Total | Role::Rule | Role::Part) {
            return Ok(());
        }
        let Some(table) = self.tables.front() else { return Ok(()) };
        let texts =
            self.places.iter().map(|place| place.map_or_else(String::new, |place| text(&record.cell(place))));
        let name = self.has_tables.then(|| table.rows.1.to_owned());
        self.out.write_record(name.into_iter().chain([self.target.clone()]).chain(texts))?;
        Ok(())
    }

    fn next_table(&mut self) -> io::Result<()> {
        self.tables.pop_front();
        self.find_places();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, _tail: &Tail) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
