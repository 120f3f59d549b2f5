//! JSON: one object per target, in an array if several were asked for. Rows are written as they come.

use std::collections::VecDeque;
use std::io::{self, Write};

use mmview_platform::Text;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Render;
use super::words::{remedy, sentence};
use crate::units::Units;
use crate::view::origins::timestamp;
use crate::view::{Cell, Head, Record, Role, Table, Tail};

pub(super) struct Json<'a> {
    out: &'a mut dyn Write,
    units: Units,
    is_list: bool,
    views: usize,
    rows: usize,
    /// Gaps between regions, written after the regions.
    gaps: Vec<u8>,
    /// The tables that have not begun.
    tables: VecDeque<Table>,
    is_in_table: bool,
}

impl<'a> Json<'a> {
    pub fn new(out: &'a mut dyn Write, units: Units, is_list: bool) -> Json<'a> {
        Json {
            out,
            units,
            is_list,
            views: 0,
            rows: 0,
            gaps: Vec::new(),
            tables: VecDeque::new(),
            is_in_table: false,
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>, is_first: bool) -> io::Result<()> {
        for (index, (key, value)) in fields.iter().enumerate() {
            let comma = if is_first && index == 0 { "" } else { "," };
            write!(self.out, "{comma}\n  {}: ", Value::from(key.as_str()))?;
            serde_json::to_writer(&mut *self.out, value)?;
        }
        Ok(())
    }
}

/// Writes a row as an object, without its opening brace.
pub(super) fn write_fields(out: &mut dyn Write, record: &dyn Record, units: Units) -> io::Result<()> {
    let mut comma = "";
    for index in 0..record.field_count() {
        let (id, cell) = record.field(index);
        if matches!(cell, Cell::Absent) {
            continue;
        }
        out.write_all(comma.as_bytes())?;
        comma = ",";
        // Identifiers need no escapes.
        out.write_all(b"\"")?;
        out.write_all(id.as_bytes())?;
        out.write_all(b"\":")?;
        write_cell(out, &cell, units)?;
    }
    out.write_all(b"}")
}

fn write_record(out: &mut dyn Write, record: &dyn Record, units: Units) -> io::Result<()> {
    out.write_all(b"{")?;
    write_fields(out, record, units)
}

fn write_cell(out: &mut dyn Write, cell: &Cell<'_>, units: Units) -> io::Result<()> {
    fn value(out: &mut dyn Write, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        Ok(serde_json::to_writer(out, value)?)
    }
    match cell {
        Cell::Empty | Cell::Absent | Cell::Unknown => out.write_all(b"null"),
        Cell::Text(text) => value(out, &**text),
        Cell::Name(name) => value(out, &Text(name)),
        Cell::Size(size) => value(out, size),
        Cell::Delta(delta) => value(out, delta),
        Cell::Count(count) => value(out, count),
        Cell::CountDelta(delta) => value(out, delta),
        Cell::Address(address) => write!(out, "\"{address:#x}\""),
        Cell::Kind(kind) => value(out, kind.id()),
        Cell::Protection(protection) => value(out, &protection.is_known().then_some(protection.as_str())),
        Cell::Share(share) => value(out, &share.is_known().then_some(share.id())),
        Cell::Time(time) | Cell::Date(time) => value(out, &timestamp(*time)),
        Cell::Change(change) => value(out, &Text(&sentence(change, units))),
        Cell::Found(found, _) => value(out, found),
        Cell::Remedy(hint) => value(out, &remedy(hint)),
        Cell::Record(record) => write_record(out, record.as_ref(), units),
        Cell::Records(records) => {
            out.write_all(b"[")?;
            for (index, record) in records.iter().enumerate() {
                out.write_all(if index == 0 { b"" } else { b"," })?;
                write_record(out, record.as_ref(), units)?;
            }
            out.write_all(b"]")
        }
        Cell::Value(json) => value(out, json),
        Cell::Data(data) => value(out, data),
    }
}

impl Render for Json<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        if self.is_list {
            write!(self.out, "{}", if self.views == 0 { "[" } else { ",\n" })?;
        }
        self.views += 1;
        self.gaps.clear();
        write!(self.out, "{{")?;
        self.fields(&head.fields, true)?;
        self.tables = head.tables.clone().into();
        self.next_table()?;
        self.out.flush()
    }

    fn row(&mut self, record: &dyn Record) -> io::Result<()> {
        match record.role() {
            Role::Total | Role::Rule | Role::Part => return Ok(()),
            Role::Gap(_) => {
                self.gaps.push(if self.gaps.is_empty() { b'[' } else { b',' });
                return write_record(&mut self.gaps, record, self.units);
            }
            Role::Row | Role::Hit => {}
        }
        write!(self.out, "{}\n    ", if self.rows == 0 { "" } else { "," })?;
        self.rows += 1;
        write_record(self.out, record, self.units)
    }

    fn next_table(&mut self) -> io::Result<()> {
        if self.is_in_table {
            write!(self.out, "{}]", if self.rows == 0 { "" } else { "\n  " })?;
        }
        let next = self.tables.pop_front();
        self.is_in_table = next.is_some();
        self.rows = 0;
        match next {
            Some(table) => write!(self.out, ",\n  \"{}\": [", table.rows.0),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, tail: &Tail) -> io::Result<()> {
        while self.is_in_table {
            self.next_table()?;
        }
        if !self.gaps.is_empty() {
            write!(self.out, ",\n  \"gaps\": ")?;
            self.out.write_all(&self.gaps)?;
            write!(self.out, "]")?;
        }
        self.fields(&tail.fields, false)?;
        write!(self.out, "\n}}")?;
        if !self.is_list {
            writeln!(self.out)?;
        }
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.is_list {
            writeln!(self.out, "{}", if self.views == 0 { "[]" } else { "]" })?;
        }
        self.out.flush()
    }
}
