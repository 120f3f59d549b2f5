//! Tables for people.

use std::collections::VecDeque;
use std::io::{self, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement};

use super::Render;
use super::listing::{Listing, push_cell};
use super::style::Style;
use crate::kind::Group;
use crate::text::width;
use crate::view::{self, Align, Cell, Column, Head, Layout, Record, Shows, Tail, Told, Tone};

/// In a table narrower than this, notes behind the numbers are left out.
const ROOM_FOR_NOTES: usize = 120;

/// Columns of numbers are at least this wide, the blank before them included, so that tables of small and of large processes
/// look alike.
const NUMBERS: ColumnConstraint = ColumnConstraint::LowerBoundary(comfy_table::Width::Fixed(8));

/// Text is not folded into less.
const SHORTEST_TEXT: usize = 20;

pub(super) struct Table<'a> {
    out: &'a mut dyn Write,
    style: Style,
    columns: Vec<Column>,
    /// The tables that are not begun yet.
    tables: VecDeque<view::Table>,
    /// Whether there are several: then one without rows is left out, and a blank line stands before each.
    is_one_of_several: bool,
    has_titles: bool,
    /// Whether something was coloured by what it is for.
    has_groups: bool,
    has_arrows: bool,
    /// The table that is drawn as its rows come, where the view has that layout.
    listing: Option<Listing>,
    /// The rows of a fitted table, until all are there.
    rows: Vec<(Vec<String>, Option<Group>)>,
    layout: Layout,
    is_first: bool,
}

impl<'a> Table<'a> {
    pub fn new(out: &'a mut dyn Write, style: Style) -> Table<'a> {
        Table {
            out,
            style,
            columns: Vec::new(),
            tables: VecDeque::new(),
            is_one_of_several: false,
            has_titles: false,
            has_groups: false,
            has_arrows: false,
            listing: None,
            rows: Vec::new(),
            layout: Layout::Fitted,
            is_first: true,
        }
    }

    fn begin_table(&mut self) -> io::Result<()> {
        self.rows.clear();
        self.listing = None;
        self.has_titles = false;
        let Some(table) = self.tables.pop_front() else {
            self.columns.clear();
            return Ok(());
        };
        if table.layout == Layout::Streamed {
            self.listing = Some(Listing::new(&table, self.has_arrows, self.style));
        }
        self.columns = table.columns;
        self.layout = table.layout;
        if self.is_one_of_several { Ok(()) } else { self.titles() }
    }

    /// Draws the titles of a streamed table: at once where it is the only one, else with its first row.
    fn titles(&mut self) -> io::Result<()> {
        let Some(listing) = &mut self.listing else { return Ok(()) };
        if std::mem::replace(&mut self.has_titles, true) {
            return Ok(());
        }
        if self.is_one_of_several {
            writeln!(self.out)?;
        }
        listing.titles(self.out)?;
        self.out.flush()
    }

    fn end_table(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        if self.is_one_of_several {
            writeln!(self.out)?;
        }
        self.draw_fitted()
    }

    /// Writes a line of text, folded where the terminal is narrower.
    fn write_folded(&mut self, line: &str) -> io::Result<()> {
        match self.style.width {
            Some(columns) if width(line) > columns => {
                let options = unhyphenated(columns).subsequent_indent("    ");
                for part in textwrap::wrap(line, options) {
                    writeln!(self.out, "{part}")?;
                }
                Ok(())
            }
            _ => writeln!(self.out, "{line}"),
        }
    }

    /// Writes what a row tells of itself.
    fn tell(&mut self, record: &dyn Record) -> io::Result<()> {
        for told in record.told() {
            match told {
                Told::Line { lead, indent, text } => self.tell_line(lead, indent, &text)?,
                Told::Row { indent, columns, record } => {
                    Listing::of(columns, self.style, indent).row(record.as_ref(), self.out)?
                }
            }
        }
        Ok(())
    }

    fn tell_line(&mut self, lead: Option<(&str, Tone)>, indent: usize, text: &str) -> io::Result<()> {
        let blanks = " ".repeat(indent);
        let mut before = blanks.clone();
        if let Some((word, tone)) = lead {
            before = self.style.tint(tone, word) + blanks.get(word.len()..).unwrap_or(" ");
        }
        // A very narrow terminal wraps by itself.
        match self.style.width.filter(|columns| *columns >= indent + SHORTEST_TEXT) {
            Some(columns) => {
                let options = unhyphenated(columns - indent);
                for (index, part) in textwrap::wrap(text, options).iter().enumerate() {
                    writeln!(self.out, "{}{part}", if index == 0 { &before } else { &blanks })?;
                }
                Ok(())
            }
            None => writeln!(self.out, "{before}{text}"),
        }
    }

    fn fitted(&self) -> Vec<String> {
        let shown: Vec<_> = self.columns.iter().filter(|column| shows(column)).collect();
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

/// Folds at blanks only: paths and words such as `shared-memory` stay whole where they can.
fn unhyphenated(columns: usize) -> textwrap::Options<'static> {
    textwrap::Options::new(columns).word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// Whether a fitted table shows a column; it is never so wide that it had to choose.
fn shows(column: &Column) -> bool {
    column.shows != Shows::MachineOnly
}

impl Render for Table<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            writeln!(self.out)?;
        }
        for line in &head.text {
            self.write_folded(line)?;
        }
        self.tables = head.tables.clone().into();
        self.is_one_of_several = head.tables.len() > 1;
        self.has_groups = false;
        self.has_arrows = head.view == "address";
        self.begin_table()
    }

    fn row(&mut self, record: &dyn Record) -> io::Result<()> {
        self.titles()?;
        self.has_groups |= record.group().is_some();
        if let Some(listing) = &mut self.listing {
            return listing.row(record, self.out);
        }
        if self.layout == Layout::Told {
            return self.tell(record);
        }
        let has_notes = self.style.width.is_none_or(|width| width >= ROOM_FOR_NOTES);
        let cells = record.cells();
        let texts =
            self.columns.iter().zip(&cells).filter(|(column, _)| shows(column)).map(|(column, cell)| {
                let mut text = String::new();
                match cell {
                    Cell::Rule => text.push('='),
                    cell if has_notes || column.shows != Shows::TableOnly => {
                        push_cell(&mut text, cell, self.style)
                    }
                    _ => {}
                }
                text
            });
        self.rows.push((texts.collect(), record.group()));
        Ok(())
    }

    fn next_table(&mut self) -> io::Result<()> {
        self.end_table()?;
        self.begin_table()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, tail: &Tail) -> io::Result<()> {
        self.end_table()?;
        for (index, note) in tail.notes.iter().enumerate() {
            if index == 0 {
                writeln!(self.out)?;
            }
            self.write_folded(note)?;
        }
        if let Some(legend) = self.style.legend().filter(|_| self.has_groups) {
            writeln!(self.out, "\n{legend}")?;
        }
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
