//! Tables of any number of rows, each drawn as it comes: columns of fixed widths, written into one line that is used again.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::fit::{cut_middle, width};
use super::style::Style;
use super::words::{clock, date, remedy, sentence, signed};
use crate::kind::Group;
use crate::text::push_printable;
use crate::view::{Cell, Joint, Record, Role, Shows, Spec, Table, ValueType, Vocabulary};

/// A table narrower than this leaves out what people can do without.
const NARROW: usize = 100;

/// No column of a narrow table but the last is wider than this.
const NARROW_COLUMN: usize = 15;

/// The last column is never cut shorter than this, so that a very narrow terminal wraps instead.
const SHORTEST_LAST: usize = 8;

/// The same for columns that the user chose: what doesn't fit wraps.
const SHORTEST_CHOSEN: usize = 24;

/// Marks the row that was asked for.
const ARROW: &str = "--> ";

/// No column is wider.
const BLANKS: &str = "                                ";

pub(super) struct Listing {
    style: Style,
    /// The columns that are shown.
    columns: Vec<Drawn>,
    is_narrow: bool,
    has_arrows: bool,
    /// Whether the user chose the columns: nothing but the last is cut.
    is_chosen: bool,
    /// How far each line is indented.
    indent: usize,
    line: String,
    text: String,
}

/// A column as it is drawn.
struct Drawn {
    /// Its place among the cells.
    place: usize,
    spec: Spec,
    width: usize,
}

impl Listing {
    /// `has_arrows` announces that a row may be marked as the one that was asked for.
    pub fn new(table: &Table, has_arrows: bool, style: Style) -> Listing {
        let width = |spec: &Spec| width_of(spec, table.vocabulary);
        if table.is_chosen {
            let width = |spec: &Spec| chosen_width(spec, table.vocabulary);
            let listing = Listing::with_widths(&table.columns, width, false, style, 0);
            return Listing { has_arrows, is_chosen: true, ..listing };
        }
        let is_narrow = is_narrow(style);
        Listing { has_arrows, ..Listing::with_widths(&table.columns, width, is_narrow, style, 0) }
    }

    /// Rows under `columns`, indented by `indent`.
    pub fn of(columns: &[Spec], style: Style, indent: usize) -> Listing {
        Listing::with_widths(columns, |spec| width_of(spec, Vocabulary::Elf), is_narrow(style), style, indent)
    }

    fn with_widths(
        columns: &[Spec],
        width: impl Fn(&Spec) -> usize,
        is_narrow: bool,
        style: Style,
        indent: usize,
    ) -> Listing {
        let is_shown = |spec: &Spec| match spec.shows {
            Shows::Always | Shows::People => true,
            Shows::Wide => !is_narrow,
            Shows::Asked => style.is_wide,
            Shows::Machines => false,
        };
        let widest = if is_narrow { NARROW_COLUMN } else { BLANKS.len() };
        let columns = columns.iter().enumerate().filter(|(_, spec)| is_shown(spec));
        let drawn =
            |(place, spec): (usize, &Spec)| Drawn { place, spec: *spec, width: width(spec).min(widest) };
        Listing {
            style,
            columns: columns.map(drawn).collect(),
            is_narrow,
            has_arrows: false,
            is_chosen: false,
            indent: indent.min(BLANKS.len()),
            line: String::new(),
            text: String::new(),
        }
    }

    /// Leaves out columns that can be left out until the rest fits, or none is left.
    fn leave_out(&mut self, records: &[&dyn Record], room: usize) {
        let style = self.style;
        let needed = |column: &Drawn, is_last: bool| {
            let widest = |place| {
                let mut text = String::new();
                let widths = records.iter().map(|record| {
                    text.clear();
                    push_cell(&mut text, &record.cell(place), style);
                    width(&text)
                });
                widths.max().unwrap_or(0)
            };
            match () {
                () if is_last && column.width == 0 => SHORTEST_LAST,
                // Numbers are never cut.
                () if column.spec.is_right_aligned() => widest(column.place).max(column.width),
                () => column.width,
            }
        };
        for rank in 1..=u8::MAX {
            let last = self.columns.len() - 1;
            let columns = self.columns.iter().enumerate();
            let sum: usize = columns.map(|(index, column)| 1 + needed(column, index == last)).sum();
            // No blank comes before the first column.
            if sum <= room + 1 || self.columns.iter().all(|column| column.spec.rank < rank) {
                return;
            }
            self.columns.retain(|column| column.spec.rank != rank);
        }
    }

    pub fn titles(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let last = self.columns.last().map_or(0, |column| column.place + 1);
        let mut titles = vec![""; last];
        for column in &self.columns {
            titles[column.place] = column.spec.title;
        }
        self.draw(|place| Cell::Text(Cow::Borrowed(titles[place])), None, false, out)
    }

    pub fn row(&mut self, record: &dyn Record, out: &mut dyn Write) -> io::Result<()> {
        let is_hit = matches!(record.role(), Role::Hit | Role::Gap(_));
        self.draw(|place| record.cell(place), record.group(), is_hit, out)
    }

    fn draw<'c>(
        &mut self,
        cell: impl Fn(usize) -> Cell<'c>,
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
        for (index, column) in self.columns.iter().enumerate() {
            let (is_first, is_last) = (index == 0, index + 1 == count);
            self.text.clear();
            push_cell(&mut self.text, &cell(column.place), self.style);
            let joint = match column.spec.joint {
                _ if is_first => "",
                Joint::Limit if self.text.is_empty() => " ",
                _ if self.is_narrow => " ",
                Joint::Blank => " ",
                Joint::Wide => "  ",
                Joint::Range => "-",
                Joint::Limit => "/",
                Joint::Open => " [",
                Joint::Close => "] ",
            };
            self.line.push_str(joint);
            used += joint.len();
            let is_right_aligned = column.spec.is_right_aligned();
            let room = match self.style.width {
                _ if is_right_aligned => usize::MAX,
                Some(columns) if is_last => {
                    let shortest = if self.is_chosen { SHORTEST_CHOSEN } else { SHORTEST_LAST };
                    columns.saturating_sub(used).max(shortest)
                }
                Some(_) if self.is_chosen => usize::MAX,
                Some(_) => column.width.max(1),
                _ => usize::MAX,
            };
            let text =
                if room == usize::MAX { Cow::Borrowed(&*self.text) } else { cut_middle(&self.text, room) };
            // Nothing is counted from the end of the last column.
            let is_end = is_last && !is_right_aligned;
            let text_width = if is_end { 0 } else { width(&text) };
            let padding = if is_end { 0 } else { column.width.saturating_sub(text_width) };
            used += text_width + padding;
            if is_right_aligned {
                self.line.push_str(&BLANKS[..padding]);
            }
            match (group, text.chars().next()) {
                (Some(group), _) if is_first && self.style.color => {
                    self.line.push_str(&self.style.paint(Some(group), &text))
                }
                (_, Some(mark)) if column.spec.value == ValueType::Mark => {
                    let color = self.style.mark(mark);
                    let _ = write!(self.line, "{color}{text}{color:#}");
                }
                _ => self.line.push_str(&text),
            }
            if !is_right_aligned {
                self.line.push_str(&BLANKS[..padding]);
            }
        }
        self.line.truncate(self.line.trim_end().len());
        self.line.push('\n');
        out.write_all(self.line.as_bytes())
    }
}

/// Draws a small table below other text: narrower columns, and on a narrow terminal fewer of them.
pub fn inset(
    specs: &[Spec],
    vocabulary: Vocabulary,
    records: &[&dyn Record],
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let width = |spec: &Spec| inset_width(spec, vocabulary);
    let mut listing = Listing::with_widths(specs, width, is_narrow(style), style, 0);
    if let Some(room) = style.width {
        listing.leave_out(records, room);
    }
    listing.titles(out)?;
    records.iter().try_for_each(|record| listing.row(*record, out))
}

/// Whether the terminal is narrow.
fn is_narrow(style: Style) -> bool {
    style.width.is_some_and(|width| width < NARROW)
}

/// How wide a column is that the user chose: it has a title, and any column may follow it.
fn chosen_width(spec: &Spec, vocabulary: Vocabulary) -> usize {
    let values = match spec.value {
        ValueType::Word(words) => words.iter().map(|word| word.len()).max().unwrap_or(0),
        ValueType::Kind | ValueType::OptionalText => 16,
        ValueType::OptionalName => BLANKS.len(),
        _ => width_of(spec, vocabulary),
    };
    values.max(width(spec.title))
}

/// How wide the values of a column are, as a rule.
fn width_of(spec: &Spec, vocabulary: Vocabulary) -> usize {
    match spec.value {
        ValueType::Type if vocabulary == Vocabulary::Vmmap => 23,
        ValueType::Type => 17,
        ValueType::Address | ValueType::Time => 12,
        ValueType::Size | ValueType::Measured | ValueType::CountDelta => 6,
        ValueType::Delta => 9,
        ValueType::Protection | ValueType::OptionalProtection | ValueType::Share => 3,
        ValueType::Mark => 1,
        ValueType::Label => 7,
        _ => 0,
    }
}

/// The same below other text, where there is less room.
fn inset_width(spec: &Spec, vocabulary: Vocabulary) -> usize {
    match spec.value {
        ValueType::Type if vocabulary == Vocabulary::Vmmap => 22,
        ValueType::Size | ValueType::Measured => 5,
        _ => width_of(spec, vocabulary),
    }
}

/// Writes the content of a cell.
pub(super) fn push_cell(text: &mut String, cell: &Cell<'_>, style: Style) {
    match cell {
        Cell::Text(words) if words.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            text.push_str(words)
        }
        Cell::Text(words) => push_printable(text, words.as_bytes()),
        Cell::Name(name) => push_printable(text, name),
        Cell::Size(Some(size)) => style.units.push(text, *size),
        Cell::Size(None) | Cell::Unknown => text.push('-'),
        Cell::Delta(delta) => text.push_str(&style.units.format_delta(*delta)),
        Cell::CountDelta(delta) => text.push_str(&signed(*delta)),
        Cell::Count(count) => write!(text, "{count}").expect("a string can be written"),
        Cell::Address(address) => push_address(text, *address),
        Cell::Kind(kind) => text.push_str(kind.id()),
        Cell::Protection(protection) => text.push_str(protection.as_str()),
        Cell::Share(share) => text.push_str(share.code()),
        Cell::Time(time) => text.push_str(&clock(*time)),
        Cell::Date(time) => text.push_str(&date(*time)),
        Cell::Change(change) => push_printable(text, &sentence(change, style.units)),
        Cell::Found(found, _) => push_printable(text, found.as_bytes()),
        Cell::Remedy(hint) => text.push_str(&remedy(hint)),
        Cell::Empty | Cell::Absent => {}
        Cell::Record(_) | Cell::Records(_) | Cell::Value(_) | Cell::Data(_) => {}
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
