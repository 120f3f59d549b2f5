//! ndjson: one JSON value per line. Each names what it is in `record`: `head`, then the rows (`row`, `region`, `gap`, `change`,
//! `event` …), then `end`.

use std::collections::VecDeque;
use std::io::{self, Write};

use serde_json::{Map, Value};

use super::Render;
use super::json::write_fields;
use crate::units::Units;
use crate::view::{Head, Record, Role, Table, Tail};

pub(super) struct Ndjson<'a> {
    out: &'a mut dyn Write,
    units: Units,
    row: &'static str,
    /// The tables that have not begun.
    tables: VecDeque<Table>,
}

impl<'a> Ndjson<'a> {
    pub fn new(out: &'a mut dyn Write, units: Units) -> Ndjson<'a> {
        Ndjson { out, units, row: "row", tables: VecDeque::new() }
    }

    fn object(&mut self, record: &str, fields: &Map<String, Value>) -> io::Result<()> {
        let mut object = Map::from_iter([("record".to_owned(), record.into())]);
        object.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
        writeln!(self.out, "{}", Value::Object(object))
    }
}

impl Render for Ndjson<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        self.tables = head.tables.clone().into();
        self.next_table()?;
        self.object("head", &head.fields)?;
        self.out.flush()
    }

    fn row(&mut self, record: &dyn Record) -> io::Result<()> {
        let kind = match record.role() {
            Role::Total | Role::Rule | Role::Part => return Ok(()),
            Role::Gap(_) => "gap",
            Role::Row | Role::Hit => self.row,
        };
        write!(self.out, "{{\"record\":\"{kind}\",")?;
        write_fields(self.out, record, self.units)?;
        writeln!(self.out)
    }

    fn next_table(&mut self) -> io::Result<()> {
        self.row = self.tables.pop_front().map_or("row", |table| table.rows.1);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, tail: &Tail) -> io::Result<()> {
        self.object("end", &tail.fields)?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
