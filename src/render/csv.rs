//! Comma-separated values (RFC 4180): sizes in bytes, empty where not measured, one header for all targets.

use std::io::{self, Write};

use super::Render;
use super::text::printable;
use crate::view::{Cell, Column, Head, Record, Role, Shows, Tail};

pub(super) struct Csv<'a> {
    out: csv::Writer<&'a mut dyn Write>,
    columns: Vec<Column>,
    target: String,
}

impl<'a> Csv<'a> {
    pub fn new(out: &'a mut dyn Write) -> Csv<'a> {
        Csv { out: csv::Writer::from_writer(out), columns: Vec::new(), target: String::new() }
    }
}

fn text(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Empty | Cell::Rule => String::new(),
        Cell::Text(text) => printable(text.as_bytes()),
        Cell::Name(name) => printable(name),
        Cell::Size(size) => size.map_or_else(String::new, |size| size.0.to_string()),
        Cell::Count(count) => count.to_string(),
        Cell::Address(address) => format!("{address:#x}"),
    }
}

fn shows(column: &Column) -> bool {
    column.shows != Shows::TableOnly
}

impl Render for Csv<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        self.target = head.target.clone();
        if self.columns.is_empty() && !head.columns.is_empty() {
            let ids = head.columns.iter().filter(|column| shows(column)).map(|column| column.id);
            self.out.write_record(std::iter::once("target").chain(ids))?;
            self.columns = head.columns.clone();
        }
        Ok(())
    }

    fn row(&mut self, record: &dyn Record) -> io::Result<()> {
        if record.role() == Role::Total {
            return Ok(());
        }
        let cells = record.cells();
        let texts =
            self.columns.iter().zip(&cells).filter(|(column, _)| shows(column)).map(|(_, cell)| text(cell));
        self.out.write_record(std::iter::once(self.target.clone()).chain(texts))?;
        Ok(())
    }

    fn end(&mut self, _tail: &Tail) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
