//! Markdown tables.

use std::io::{self, Write};

use super::Render;
use super::style::Style;
use super::text::printable;
use crate::view::{Align, Cell, Column, Head, Record, Role, Shows, Tail};

pub(super) struct Markdown<'a> {
    out: &'a mut dyn Write,
    style: Style,
    columns: Vec<Column>,
    is_first: bool,
}

impl<'a> Markdown<'a> {
    pub fn new(out: &'a mut dyn Write, style: Style) -> Markdown<'a> {
        Markdown { out, style, columns: Vec::new(), is_first: true }
    }

    fn text(&self, cell: &Cell<'_>) -> String {
        match cell {
            Cell::Empty | Cell::Rule => String::new(),
            Cell::Text(text) => escape(&printable(text.as_bytes())),
            Cell::Name(name) => escape(&printable(name)),
            Cell::Size(size) => self.style.units.format_measured(*size),
            Cell::Count(count) => count.to_string(),
            Cell::Address(address) => format!("`{address:x}`"),
        }
    }

    fn line<T: AsRef<str>>(&mut self, cells: impl Iterator<Item = T>) -> io::Result<()> {
        write!(self.out, "|")?;
        for cell in cells {
            write!(self.out, " {} |", cell.as_ref())?;
        }
        writeln!(self.out)
    }
}

/// What Markdown and the HTML that it may hold would take for markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '~' => escaped.extend(['\\', letter]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

fn title(column: &Column) -> String {
    column.title.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Render for Markdown<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            writeln!(self.out)?;
        }
        let text: Vec<_> = head.text.iter().filter(|line| !line.is_empty() && *line != "----").collect();
        for line in &text {
            writeln!(self.out, "- {}", escape(line))?;
        }
        if !text.is_empty() {
            writeln!(self.out)?;
        }
        self.columns = head.columns.clone();
        self.columns.retain(|column| !matches!(column.shows, Shows::MachineOnly));
        if self.columns.is_empty() {
            return Ok(());
        }
        let titles: Vec<_> = self.columns.iter().map(title).collect();
        self.line(titles.iter())?;
        let rules: Vec<_> = self
            .columns
            .iter()
            .map(|column| match column.align {
                Align::Left => "---",
                Align::Right => "--:",
            })
            .collect();
        self.line(rules.iter())?;
        self.columns = head.columns.clone();
        Ok(())
    }

    fn row(&mut self, record: &dyn Record) -> io::Result<()> {
        let cells = record.cells();
        if cells.contains(&Cell::Rule) {
            return Ok(());
        }
        let is_strong = matches!(record.role(), Role::Total | Role::Hit);
        let texts: Vec<_> = self
            .columns
            .iter()
            .zip(&cells)
            .filter(|(column, _)| !matches!(column.shows, Shows::MachineOnly))
            .map(|(_, cell)| match self.text(cell) {
                text if is_strong && !text.is_empty() => format!("**{text}**"),
                text => text,
            })
            .collect();
        self.line(texts.iter())
    }

    fn end(&mut self, tail: &Tail) -> io::Result<()> {
        for note in &tail.notes {
            writeln!(self.out, "\n{}", escape(note))?;
        }
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
