//! Tables for people.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement};

use super::Render;
use super::style::Style;
use super::text::{cut_middle, printable, width};
use crate::kind::Group;
use crate::view::{Align, Cell, Column, Head, Layout, Record, Role, Shows, Tail};

/// A streamed table narrower than this leaves out what can be done without.
const NARROW: usize = 100;

/// The detail of a region is never cut shorter than this, so that a very narrow terminal wraps instead.
const SHORTEST_DETAIL: usize = 8;

/// Columns of numbers are at least this wide, the blank before them included, so that tables of small and of large processes
/// look alike.
const NUMBERS: ColumnConstraint = ColumnConstraint::LowerBoundary(comfy_table::Width::Fixed(8));

/// Stands before the row that was asked for.
const ARROW: &str = "--> ";

pub(super) struct Table<'a> {
    out: &'a mut dyn Write,
    style: Style,
    columns: Vec<Column>,
    layout: Layout,
    /// The rows of a fitted table, until all are there.
    rows: Vec<(Vec<String>, Option<Group>)>,
    has_arrows: bool,
    is_first: bool,
}

impl<'a> Table<'a> {
    pub fn new(out: &'a mut dyn Write, style: Style) -> Table<'a> {
        Table {
            out,
            style,
            columns: Vec::new(),
            layout: Layout::Fitted,
            rows: Vec::new(),
            has_arrows: false,
            is_first: true,
        }
    }

    fn is_narrow(&self) -> bool {
        self.layout == Layout::Streamed && self.style.width.is_some_and(|width| width < NARROW)
    }

    fn shows(&self, column: &Column) -> bool {
        match column.shows {
            Shows::Always | Shows::TableOnly => true,
            Shows::Wide => !self.is_narrow(),
            Shows::MachineOnly => false,
        }
    }

    fn text(&self, cell: &Cell<'_>) -> String {
        match cell {
            Cell::Empty => String::new(),
            Cell::Text(text) => printable(text.as_bytes()),
            Cell::Name(name) => printable(name),
            Cell::Size(size) => self.style.units.format_measured(*size),
            Cell::Count(count) => count.to_string(),
            Cell::Address(address) => format!("{address:x}"),
            Cell::Rule => "=".to_owned(),
        }
    }

    /// Writes a line of text, folded where the terminal is narrower.
    fn write_folded(&mut self, line: &str) -> io::Result<()> {
        match self.style.width {
            Some(columns) if width(line) > columns => {
                let options = textwrap::Options::new(columns).subsequent_indent("    ");
                for part in textwrap::wrap(line, options) {
                    writeln!(self.out, "{part}")?;
                }
                Ok(())
            }
            _ => writeln!(self.out, "{line}"),
        }
    }

    /// One line of a streamed table, each column filled up to its width; the last takes what is left.
    fn line(&self, cells: &[String], group: Option<Group>, arrow: &str) -> String {
        let mut line = String::new();
        let mut used = 0;
        let shown: Vec<_> = self.columns.iter().zip(cells).filter(|(column, _)| self.shows(column)).collect();
        for (index, (column, text)) in shown.iter().enumerate() {
            let is_first = index == 0;
            let is_last = index + 1 == shown.len();
            let room = column.width;
            let is_plain = self.is_narrow() || (text.is_empty() && column.before == "/");
            let before = if is_plain && !is_first { " " } else { column.before };
            let text = match self.style.width {
                Some(columns) if is_last => {
                    let left = columns.saturating_sub(used + width(before)).max(SHORTEST_DETAIL);
                    cut_middle(text, left).into_owned()
                }
                Some(_) if column.align == Align::Left => cut_middle(text, room.max(1)).into_owned(),
                _ => (*text).clone(),
            };
            let padding = " ".repeat(if is_last { 0 } else { room.saturating_sub(width(&text)) });
            let (left, right) = match column.align {
                Align::Left => ("", padding.as_str()),
                Align::Right => (padding.as_str(), ""),
            };
            let before = if is_first { arrow } else { before };
            used += width(before) + width(&text) + width(&padding);
            let text = if is_first { self.style.paint(group, &text) } else { text };
            line.push_str(before);
            line.push_str(left);
            line.push_str(&text);
            line.push_str(right);
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn fitted(&self) -> Vec<String> {
        let shown: Vec<_> = self.columns.iter().filter(|column| self.shows(column)).collect();
        let mut table = comfy_table::Table::new();
        table
            .load_style(comfy_table::presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(shown.iter().map(|column| column.title));
        for (cells, _) in &self.rows {
            table.add_row(cells.iter().zip(&shown).map(|(cell, column)| match cell.as_str() {
                "=" if column.title.is_empty() => String::new(),
                "=" => "=".repeat(column.title.lines().map(width).max().unwrap_or(0)),
                text => text.to_owned(),
            }));
        }
        for (index, column) in shown.iter().enumerate() {
            if let Some(cells) = table.column_mut(index) {
                cells.set_padding((u16::from(index > 0), 0));
                if column.align == Align::Right {
                    cells.set_constraint(NUMBERS);
                }
                cells.set_cell_alignment(match column.align {
                    Align::Left => CellAlignment::Left,
                    Align::Right => CellAlignment::Right,
                });
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Draws a fitted table, each row's first column in its colour; a note that doesn't fit is left out.
    fn draw_fitted(&mut self) -> io::Result<()> {
        let lines = self.fitted();
        let header_lines = lines.len() - self.rows.len();
        for (index, line) in lines.iter().enumerate() {
            let row = index.checked_sub(header_lines).and_then(|row| self.rows.get(row));
            let line = match row {
                Some((cells, Some(group))) => {
                    let title = &cells[0];
                    let rest = line.strip_prefix(title.as_str()).unwrap_or(line);
                    self.style.paint(Some(*group), title) + rest
                }
                _ => line.clone(),
            };
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }
}

impl Render for Table<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            writeln!(self.out)?;
        }
        self.columns = head.columns.clone();
        self.layout = head.layout;
        self.has_arrows = head.view == "address";
        self.rows.clear();
        for line in &head.text {
            self.write_folded(line)?;
        }
        if head.layout == Layout::Streamed && !head.columns.is_empty() {
            let titles: Vec<_> = head.columns.iter().map(|column| column.title.to_owned()).collect();
            let arrow = if self.has_arrows { " ".repeat(ARROW.len()) } else { String::new() };
            writeln!(self.out, "{}", self.line(&titles, None, &arrow))?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn row(&mut self, record: &dyn Record) -> io::Result<()> {
        let cells = record.cells();
        let group = record.group();
        match self.layout {
            Layout::Fitted => {
                let narrow_notes = self.style.width.is_some_and(|width| width < NARROW + 20);
                let shown = self.columns.iter().zip(&cells).filter(|(column, _)| self.shows(column));
                let texts = shown
                    .map(|(column, cell)| match column.shows {
                        Shows::TableOnly if narrow_notes => String::new(),
                        _ => self.text(cell),
                    })
                    .collect();
                self.rows.push((texts, group));
                Ok(())
            }
            Layout::Streamed => {
                let texts: Vec<_> = cells
                    .iter()
                    .map(|cell| match cell {
                        Cell::Empty => String::new(),
                        cell => self.text(cell),
                    })
                    .collect();
                let arrow = match record.role() {
                    Role::Hit => ARROW.to_owned(),
                    Role::Gap(_) if self.has_arrows => ARROW.to_owned(),
                    _ if self.has_arrows => " ".repeat(ARROW.len()),
                    _ => String::new(),
                };
                writeln!(self.out, "{}", self.line(&texts, group, &arrow))
            }
        }
    }

    fn end(&mut self, tail: &Tail) -> io::Result<()> {
        if self.layout == Layout::Fitted && !self.rows.is_empty() {
            self.draw_fitted()?;
        }
        for (index, note) in tail.notes.iter().enumerate() {
            if index == 0 {
                writeln!(self.out)?;
            }
            self.write_folded(note)?;
        }
        if let Some(legend) = self.style.legend().filter(|_| !self.columns.is_empty()) {
            writeln!(self.out, "\n{legend}")?;
        }
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
