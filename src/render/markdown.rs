//! Markdown tables.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::Render;
use super::style::Style;
use super::words::{self, clock, date, remedy, signed};
use crate::text::printable;
use crate::view::{Cell, Head, Record, Role, Shows, Spec, Table, Tail};

pub(super) struct Markdown<'a> {
    out: &'a mut dyn Write,
    style: Style,
    columns: Vec<Spec>,
    /// The tables that have not begun.
    tables: VecDeque<Table>,
    is_one_of_several: bool,
    has_titles: bool,
    is_first: bool,
}

impl<'a> Markdown<'a> {
    pub fn new(out: &'a mut dyn Write, style: Style) -> Markdown<'a> {
        Markdown {
            out,
            style,
            columns: Vec::new(),
            tables: VecDeque::new(),
            is_one_of_several: false,
            has_titles: false,
            is_first: true,
        }
    }

    fn text(&self, cell: &Cell<'_>) -> String {
        let units = self.style.units;
        match cell {
            Cell::Text(text) => escape(&printable(text.as_bytes())),
            Cell::Name(name) => escape(&printable(name)),
            Cell::Size(size) => units.format_measured(*size),
            Cell::Delta(delta) => units.format_delta(*delta),
            Cell::CountDelta(delta) => signed(*delta),
            Cell::Count(count) => count.to_string(),
            Cell::Address(address) => format!("`{address:x}`"),
            Cell::Kind(kind) => escape(kind.id()),
            Cell::Protection(protection) => protection.to_string(),
            Cell::Share(share) => share.code().to_owned(),
            Cell::Time(time) => clock(*time),
            Cell::Date(time) => date(*time),
            Cell::Change(change) => escape(&printable(&words::sentence(change, units))),
            Cell::Found(sentence, None) => escape(&printable(sentence.as_bytes())),
            Cell::Found(sentence, Some(hint)) => {
                escape(&printable(format!("{sentence} ({})", remedy(hint)).as_bytes()))
            }
            Cell::Remedy(hint) => escape(&remedy(hint)),
            Cell::Unknown => "-".to_owned(),
            Cell::Empty | Cell::Absent => String::new(),
            Cell::Record(_) | Cell::Records(_) | Cell::Value(_) | Cell::Data(_) => String::new(),
        }
    }

    fn begin_table(&mut self) -> io::Result<()> {
        let Some(table) = self.tables.pop_front() else { return Ok(()) };
        self.columns = table.columns;
        self.has_titles = false;
        if self.is_one_of_several { Ok(()) } else { self.titles() }
    }

    /// Writes the titles: at once where the table is the only one, else with its first row.
    fn titles(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_titles, true) {
            return Ok(());
        }
        if self.is_one_of_several {
            writeln!(self.out)?;
        }
        let shown: Vec<_> = self.columns.iter().filter(|column| shows(column)).copied().collect();
        self.line(shown.iter().map(title))?;
        self.line(shown.iter().map(|column| if column.is_right_aligned() { "--:" } else { "---" }))
    }

    fn line<T: AsRef<str>>(&mut self, cells: impl Iterator<Item = T>) -> io::Result<()> {
        write!(self.out, "|")?;
        for cell in cells {
            write!(self.out, " {} |", cell.as_ref())?;
        }
        writeln!(self.out)
    }
}

/// Escapes what Markdown, and the HTML in it, would take for markup.
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

fn shows(column: &Spec) -> bool {
    !matches!(column.shows, Shows::Machines | Shows::Asked)
}

fn title(column: &Spec) -> String {
    column.title.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Render for Markdown<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            writeln!(self.out)?;
        }
        let mut has_text = false;
        for text in head.sections.iter().flat_map(|section| words::lines(section, self.style.units)) {
            if !text.is_empty() {
                has_text = true;
                writeln!(self.out, "- {}", escape(&text))?;
            }
        }
        self.is_one_of_several = head.tables.len() > 1;
        if has_text && !self.is_one_of_several {
            writeln!(self.out)?;
        }
        self.tables = head.tables.clone().into();
        self.begin_table()
    }

    fn row(&mut self, record: &dyn Record) -> io::Result<()> {
        if record.role() == Role::Rule {
            return Ok(());
        }
        self.titles()?;
        let is_strong = matches!(record.role(), Role::Total | Role::Hit);
        let texts: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| shows(column))
            .map(|(place, _)| match self.text(&record.cell(place)) {
                text if is_strong && !text.is_empty() => format!("**{text}**"),
                text => text,
            })
            .collect();
        self.line(texts.iter())
    }

    fn next_table(&mut self) -> io::Result<()> {
        self.begin_table()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, tail: &Tail) -> io::Result<()> {
        for note in &tail.notes {
            writeln!(self.out, "\n{}", escape(&words::note(note, self.style.units)))?;
        }
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
