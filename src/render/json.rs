//! JSON: one object a target, in an array where several were asked for. Rows are written as they come.

use std::collections::VecDeque;
use std::io::{self, Write};

use serde_json::{Map, Value};

use super::Render;
use crate::view::{Head, Record, Role, Table, Tail};

pub(super) struct Json<'a> {
    out: &'a mut dyn Write,
    is_list: bool,
    views: usize,
    rows: usize,
    /// Gaps between regions, told after the regions.
    gaps: Vec<Value>,
    /// The tables that are not begun yet.
    tables: VecDeque<Table>,
    /// Whether one is.
    is_in_table: bool,
}

impl<'a> Json<'a> {
    pub fn new(out: &'a mut dyn Write, is_list: bool) -> Json<'a> {
        Json {
            out,
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
            Role::Total => return Ok(()),
            Role::Gap(_) => {
                self.gaps.push(serde_json::to_value(record)?);
                return Ok(());
            }
            Role::Row | Role::Hit => {}
        }
        write!(self.out, "{}\n    ", if self.rows == 0 { "" } else { "," })?;
        self.rows += 1;
        serde_json::to_writer(&mut *self.out, record)?;
        Ok(())
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
            let gaps = std::mem::take(&mut self.gaps);
            self.fields(&Map::from_iter([("gaps".to_owned(), gaps.into())]), false)?;
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
