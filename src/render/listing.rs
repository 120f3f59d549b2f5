//! Tables of any number of rows, each drawn as it comes: columns of fixed widths, written into one line that is used again.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::style::Style;
use crate::kind::Group;
use crate::text::{cut_middle, push_printable, signed, width};
use crate::view::{Align, Cell, Column, Record, Role, Shows, Table};

/// A table narrower than this leaves out what can be done without.
const NARROW: usize = 100;

/// No column of a narrow table is wider than this, but for the last.
const NARROW_COLUMN: usize = 15;

/// The detail of a region is never cut shorter than this, so that a very narrow terminal wraps instead.
const SHORTEST_DETAIL: usize = 8;

/// Stands before the row that was asked for.
const ARROW: &str = "--> ";

/// No column is wider.
const BLANKS: &str = "                                ";

/// The column of a change's mark, which is drawn in the colour of that.
const MARK: &str = "mark";

pub(super) struct Listing {
    style: Style,
    /// The columns that are shown, each with its place among the cells.
    columns: Vec<(usize, Column)>,
    is_narrow: bool,
    has_arrows: bool,
    /// What stands before each line.
    indent: usize,
    line: String,
    text: String,
}

impl Listing {
    /// `has_arrows` says that a row may be marked as the one that was asked for.
    pub fn new(table: &Table, has_arrows: bool, style: Style) -> Listing {
        Listing { has_arrows, ..Listing::of(&table.columns, style, 0) }
    }

    /// Rows under `columns` that stand in by `indent`.
    pub fn of(columns: &[Column], style: Style, indent: usize) -> Listing {
        let is_narrow = style.width.is_some_and(|width| width < NARROW);
        let shows = |column: &Column| match column.shows {
            Shows::Always | Shows::TableOnly => true,
            Shows::Wide => !is_narrow,
            Shows::MachineOnly => false,
        };
        let narrowed = |column: Column| match is_narrow {
            true => Column { width: column.width.min(NARROW_COLUMN), ..column },
            false => column,
        };
        let columns = columns.iter().enumerate().filter(|(_, column)| shows(column));
        let columns = columns.map(|(place, column)| (place, narrowed(*column)));
        Listing {
            style,
            columns: columns.collect(),
            is_narrow,
            has_arrows: false,
            indent: indent.min(BLANKS.len()),
            line: String::new(),
            text: String::new(),
        }
    }

    pub fn titles(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let last = self.columns.last().map_or(0, |(place, _)| place + 1);
        let mut titles = vec![Cell::Empty; last];
        for (place, column) in &self.columns {
            titles[*place] = Cell::Text(Cow::Borrowed(column.title));
        }
        self.draw(&titles, None, false, out)
    }

    pub fn row(&mut self, record: &dyn Record, out: &mut dyn Write) -> io::Result<()> {
        let is_hit = matches!(record.role(), Role::Hit | Role::Gap(_));
        self.draw(&record.cells(), record.group(), is_hit, out)
    }

    fn draw(
        &mut self,
        cells: &[Cell<'_>],
        group: Option<Group>,
        is_hit: bool,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.line.clear();
        self.line.push_str(&BLANKS[..self.indent]);
        let mut used = self.indent;
        if self.has_arrows {
            self.line.push_str(if is_hit { ARROW } else { "    " });
            used += ARROW.len();
        }
        let count = self.columns.len();
        for (index, (place, column)) in self.columns.iter().enumerate() {
            let (is_first, is_last) = (index == 0, index + 1 == count);
            self.text.clear();
            push_cell(&mut self.text, &cells[*place], self.style);
            let before = match column.before {
                _ if is_first => "",
                "/" if self.text.is_empty() => " ",
                _ if self.is_narrow => " ",
                before => before,
            };
            self.line.push_str(before);
            used += before.len();
            let room = match self.style.width {
                Some(columns) if is_last => columns.saturating_sub(used).max(SHORTEST_DETAIL),
                Some(_) if column.align == Align::Left => column.width.max(1),
                _ => usize::MAX,
            };
            let text =
                if room == usize::MAX { Cow::Borrowed(&*self.text) } else { cut_middle(&self.text, room) };
            // Nothing is counted from the end of the last column.
            let text_width = if is_last { 0 } else { width(&text) };
            let padding = if is_last { 0 } else { column.width.saturating_sub(text_width) };
            let padding = padding.min(BLANKS.len());
            used += text_width + padding;
            if column.align == Align::Right {
                self.line.push_str(&BLANKS[..padding]);
            }
            match (group, text.chars().next()) {
                (Some(group), _) if is_first && self.style.color => {
                    self.line.push_str(&self.style.paint(Some(group), &text))
                }
                (_, Some(mark)) if column.id == MARK => {
                    let color = self.style.mark(mark);
                    let _ = write!(self.line, "{color}{text}{color:#}");
                }
                _ => self.line.push_str(&text),
            }
            if column.align == Align::Left {
                self.line.push_str(&BLANKS[..padding]);
            }
        }
        self.line.truncate(self.line.trim_end().len());
        self.line.push('\n');
        out.write_all(self.line.as_bytes())
    }
}

/// Writes what stands in a cell.
pub(super) fn push_cell(text: &mut String, cell: &Cell<'_>, style: Style) {
    match cell {
        Cell::Empty | Cell::Rule => {}
        Cell::Text(words) if words.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            text.push_str(words)
        }
        Cell::Text(words) => push_printable(text, words.as_bytes()),
        Cell::Name(name) => push_printable(text, name),
        Cell::Size(Some(size)) => style.units.push(text, *size),
        Cell::Size(None) => text.push('-'),
        Cell::Delta(delta) => text.push_str(&style.units.format_delta(*delta)),
        Cell::CountDelta(delta) => text.push_str(&signed(*delta)),
        Cell::Count(count) => write!(text, "{count}").expect("a string can be written"),
        Cell::Address(address) => push_address(text, *address),
    }
}

/// Writes an address in hexadecimal. In a listing of 40,000 regions the standard library's formatting shows.
fn push_address(text: &mut String, address: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let count = (u64::BITS - address.leading_zeros()).div_ceil(4).max(1) as usize;
    let mut digits = [0; 16];
    for (place, digit) in digits[..count].iter_mut().rev().enumerate() {
        *digit = DIGITS[(address >> (place * 4)) as usize & 0xf];
    }
    text.push_str(std::str::from_utf8(&digits[..count]).expect("digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_hexadecimal() {
        for address in [0, 1, 0xf, 0x10, 0x7f3b_418f_f000, u64::MAX] {
            let mut text = String::new();
            push_address(&mut text, address);
            assert_eq!(text, format!("{address:x}"));
        }
    }
}
