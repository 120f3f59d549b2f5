//! Tables for people.

use std::collections::VecDeque;
use std::io::{self, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement};

use super::Render;
use super::fit::width;
use super::listing::{Listing, push_cell};
use super::style::Style;
use super::words;
use crate::check::Verdict;
use crate::kind::Group;
use crate::text::printable_line;
use crate::view::{self, Block, Head, Layout, Record, Role, SectionKind, Shows, Spec, Tail, ViewKind};

/// In a table narrower than this, notes behind the numbers are left out.
const ROOM_FOR_NOTES: usize = 120;

/// Columns of numbers are at least this wide, the blank before them included, so that tables of small and of large processes
/// look alike.
const NUMBERS: ColumnConstraint = ColumnConstraint::LowerBoundary(comfy_table::Width::Fixed(8));

/// Text is not folded into less.
const SHORTEST_TEXT: usize = 20;

/// How far the text of a check and what was found are indented, and the rows below that.
const TEXT_INDENT: usize = 6;
const ROW_INDENT: usize = 8;

pub(super) struct Table<'a> {
    out: &'a mut dyn Write,
    style: Style,
    columns: Vec<Spec>,
    /// The tables that have not begun.
    tables: VecDeque<view::Table>,
    /// Whether there are several: then one without rows is left out, and a blank line comes before each.
    is_one_of_several: bool,
    has_titles: bool,
    /// Whether something was colored by its group.
    has_groups: bool,
    has_arrows: bool,
    /// The table that is drawn as its rows come, if the view has that layout.
    listing: Option<Listing>,
    /// The rows of a fitted table, until all are there.
    rows: Vec<FittedRow>,
    layout: Layout,
    is_first: bool,
}

/// A row of a fitted table: its cells, or a rule.
enum FittedRow {
    Cells(Vec<String>, Option<Group>),
    Rule,
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

    /// Draws what comes before the tables: a blank line after each section, and a rule after the footprint.
    fn sections(&mut self, head: &Head) -> io::Result<()> {
        let sections = || head.sections.iter().filter(|section| !section.lines.is_empty());
        let last = sections().count();
        for (index, section) in sections().enumerate() {
            for line in words::lines(section, self.style.units) {
                self.write_folded(&line)?;
            }
            if section.kind == SectionKind::Footprint {
                writeln!(self.out, "----")?;
            }
            // A single table follows directly; of several, each brings its own blank line.
            if index + 1 < last || head.tables.len() == 1 {
                writeln!(self.out)?;
            }
        }
        Ok(())
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

    /// Draws the titles of a streamed table: immediately if it is the only one, else with its first row.
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

    /// Writes a line of text, folded if the terminal is narrower.
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

    fn block(&mut self, block: Block<'_>) -> io::Result<()> {
        match block {
            Block::Check { verdict, text, remark } => {
                let remark = remark.map(|remark| format!("  ({})", printable_line(&remark)));
                let text = printable_line(&text) + &remark.unwrap_or_default();
                self.indented(Some(verdict), TEXT_INDENT, &text)
            }
            Block::Found { sentence, has_rows } => {
                let end = if has_rows { ":" } else { "." };
                self.indented(None, TEXT_INDENT, &printable_line(&format!("{sentence}{end}")))
            }
            Block::Row { columns, record } => {
                Listing::of(&columns, self.style, ROW_INDENT).row(record.as_ref(), self.out)
            }
            Block::Remark(remark) => self.indented(None, ROW_INDENT + 2, &printable_line(&remark)),
            Block::More(count) => self.indented(None, ROW_INDENT, &format!("and {count} more")),
            Block::Remedy(remedy) => {
                self.indented(None, TEXT_INDENT, &printable_line(&format!("{}.", words::remedy(&remedy))))
            }
        }
    }

    /// Writes text with all its lines indented, the first after a verdict.
    fn indented(&mut self, verdict: Option<Verdict>, indent: usize, text: &str) -> io::Result<()> {
        let blanks = " ".repeat(indent);
        let before = match verdict {
            Some(verdict) => {
                let word = verdict_word(verdict);
                self.style.tint(verdict, word) + blanks.get(word.len()..).unwrap_or(" ")
            }
            None => blanks.clone(),
        };
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

    /// The lines of a fitted table. If it is too wide, columns that can be left out go, the first rank first.
    fn fitted(&self) -> Vec<String> {
        let mut rank = 0;
        loop {
            let lines = self.fitted_without(rank);
            let is_too_wide = |limit| lines.iter().any(|line| width(line) > limit);
            let next = self.columns.iter().map(|column| column.rank).filter(|other| *other > rank).min();
            match (self.style.width, next) {
                (Some(limit), Some(next)) if is_too_wide(limit) => rank = next,
                _ => return lines,
            }
        }
    }

    /// The lines without the columns up to this rank; rank 0 stays.
    fn fitted_without(&self, rank: u8) -> Vec<String> {
        let shown = self.columns.iter().filter(|column| is_shown(column));
        let (places, shown): (Vec<usize>, Vec<&Spec>) =
            shown.enumerate().filter(|(_, column)| column.rank == 0 || column.rank > rank).unzip();
        let rule = |column: &Spec| "=".repeat(column.title.lines().map(width).max().unwrap_or(0));
        let mut table = comfy_table::Table::new();
        table
            .load_style(comfy_table::presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(shown.iter().map(|column| column.title));
        for row in &self.rows {
            match row {
                FittedRow::Cells(cells, _) => table.add_row(places.iter().map(|place| &cells[*place])),
                FittedRow::Rule => table.add_row(shown.iter().map(|column| rule(column))),
            };
        }
        for (index, column) in shown.iter().enumerate() {
            let is_right_aligned = column.is_right_aligned();
            if let Some(cells) = table.column_mut(index) {
                cells.set_padding((u16::from(index > 0), 0));
                if is_right_aligned {
                    cells.set_constraint(NUMBERS);
                }
                cells.set_cell_alignment(match is_right_aligned {
                    true => CellAlignment::Right,
                    false => CellAlignment::Left,
                });
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Draws a fitted table, the first column of each row in its color.
    fn draw_fitted(&mut self) -> io::Result<()> {
        let lines = self.fitted();
        let header_lines = lines.len() - self.rows.len();
        for (index, line) in lines.iter().enumerate() {
            let row = index.checked_sub(header_lines).and_then(|row| self.rows.get(row));
            let line = match row {
                Some(FittedRow::Cells(cells, Some(group))) => {
                    let title = &cells[0];
                    match line.strip_prefix(title.as_str()) {
                        Some(rest) => self.style.paint(Some(*group), title) + rest,
                        None => line.clone(),
                    }
                }
                _ => line.clone(),
            };
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }
}

/// Folds at blanks only: paths and words such as `shared-memory` stay whole if they can.
fn unhyphenated(columns: usize) -> textwrap::Options<'static> {
    textwrap::Options::new(columns).word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// Whether a fitted table shows a column where there is room.
fn is_shown(column: &Spec) -> bool {
    !matches!(column.shows, Shows::Machines | Shows::Asked)
}

/// The word before a check.
fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "ok",
        Verdict::Fails => "FAIL",
        Verdict::Unknown => "?",
    }
}

impl Render for Table<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            writeln!(self.out)?;
        }
        self.sections(head)?;
        self.tables = head.tables.clone().into();
        self.is_one_of_several = head.tables.len() > 1;
        self.has_groups = false;
        self.has_arrows = head.view == ViewKind::Address;
        self.begin_table()
    }

    fn row(&mut self, record: &dyn Record) -> io::Result<()> {
        self.titles()?;
        self.has_groups |= record.group().is_some();
        if let Some(listing) = &mut self.listing {
            return listing.row(record, self.out);
        }
        if self.layout == Layout::Blocks {
            return record.blocks().into_iter().try_for_each(|block| self.block(block));
        }
        if record.role() == Role::Rule {
            self.rows.push(FittedRow::Rule);
            return Ok(());
        }
        let has_notes = self.style.width.is_none_or(|width| width >= ROOM_FOR_NOTES);
        let shown = self.columns.iter().enumerate().filter(|(_, column)| is_shown(column));
        let texts = shown.map(|(place, column)| {
            let mut text = String::new();
            // A note that doesn't fit is left out.
            if has_notes || column.shows != Shows::People {
                push_cell(&mut text, &record.cell(place), self.style);
            }
            text
        });
        self.rows.push(FittedRow::Cells(texts.collect(), record.group()));
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
            self.write_folded(&words::note(note, self.style.units))?;
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
