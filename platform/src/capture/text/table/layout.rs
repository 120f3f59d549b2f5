//! Where the cells of a row are.

use std::borrow::Cow;

use super::super::cells::{self, Cells};
use super::Record;
use super::record::Field;

/// No layout has more columns.
const MOST_COLUMNS: usize = 64;

/// The type of a region has no more words, each before its addresses.
const MOST_WORDS_OF_TYPE: usize = 8;

/// The layout of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The table for terminals.
    Text(Vec<Field>),
    Markdown(Vec<Field>),
    Csv(Vec<Field>),
}

impl Default for Layout {
    /// The usual table, for rows without a head.
    fn default() -> Layout {
        use Field::{
            Detail, Dirty, End, MaxProtection, Protection, Resident, Share, Size, Start, Swapped, Type,
        };
        Layout::Text(vec![
            Type,
            Start,
            End,
            Size,
            Resident,
            Dirty,
            Swapped,
            Protection,
            MaxProtection,
            Share,
            Detail,
        ])
    }
}

impl Layout {
    /// The layout that a head shows. A paste may have put something before it.
    pub fn of_head(line: &[u8]) -> Option<Layout> {
        if memchr::memmem::find(line, b",type,start,end,").is_some() {
            let fields = csv(line.trim_ascii())?.iter().map(|title| Field::of_column(title)).collect();
            return Some(Layout::Csv(fields));
        }
        let at = memchr::memmem::find(line, b"REGION TYPE")?;
        let (before, titles) = line.split_at(at);
        if before.ends_with(b"| ") {
            let fields: Vec<_> =
                markdown(&line[at - 2..])?.map(|title| Field::of_title(title.trim_ascii())).collect();
            return fields.contains(&Field::Start).then_some(Layout::Markdown(fields));
        }
        text_head(&titles[b"REGION TYPE".len()..]).map(Layout::Text)
    }

    /// The cells of a row.
    pub fn row<'a>(&self, line: &'a [u8]) -> Option<Record<'a>> {
        match self {
            Layout::Text(fields) => text(fields, line),
            Layout::Markdown(fields) => {
                let mut record = Record::markdown();
                let mut cells = markdown(line.trim_ascii())?;
                for field in fields {
                    record.set(*field, Cow::Borrowed(cells.next()?.trim_ascii()));
                }
                cells.next().is_none().then_some(record)
            }
            Layout::Csv(fields) => {
                let cells = csv(line.trim_ascii_start())?;
                let mut record = Record::default();
                (cells.len() == fields.len()).then_some(())?;
                fields.iter().zip(cells).for_each(|(field, cell)| record.set(*field, cell));
                Some(record)
            }
        }
    }

    /// Whether a line is the rule below the head of a Markdown table.
    pub fn is_rule(&self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        matches!(self, Layout::Markdown(_))
            && line.starts_with(b"| --")
            && line.iter().all(|byte| matches!(byte, b'|' | b'-' | b':' | b' '))
    }
}

/// The columns of a table for terminals, after that of the type.
fn text_head(titles: &[u8]) -> Option<Vec<Field>> {
    let mut fields = vec![Field::Type];
    let mut cells = Cells::new(titles);
    while let Some(title) = cells.next() {
        // `[ VSIZE  RSDNT]`: sizes stand in brackets.
        let title = title.strip_prefix(b"[").unwrap_or(title);
        let title = title.strip_suffix(b"]").unwrap_or(title);
        match title {
            b"" => {}
            b"START-END" => fields.extend([Field::Start, Field::End]),
            b"PRT/MAX" => fields.extend([Field::Protection, Field::MaxProtection]),
            b"REGION" | b"BUILD" => {
                let title = [title, b" ", cells.next()?].concat();
                fields.push(Field::of_title(&title));
            }
            _ => fields.push(Field::of_title(title)),
        }
        if fields.len() > MOST_COLUMNS {
            return None;
        }
    }
    let has = |field| fields.contains(&field);
    (has(Field::Start) && has(Field::Protection) && has(Field::Share)).then_some(fields)
}

/// The cells of a row of a table for terminals.
fn text<'a>(fields: &[Field], line: &'a [u8]) -> Option<Record<'a>> {
    let line = line.strip_prefix(b"-->").unwrap_or(line);
    let mut after_type = Cells::new(line);
    let mut words = 0;
    let has_end = fields.contains(&Field::End);
    let (start, end, type_length) = loop {
        let before = after_type.remaining();
        let cell = after_type.next()?;
        words += 1;
        let hyphen = memchr::memchr(b'-', cell);
        match hyphen.filter(|_| has_end).map_or((cell, None), |at| (&cell[..at], Some(&cell[at + 1..]))) {
            (start, Some(end))
                if cells::hexadecimal(start).is_some() && cells::hexadecimal(end).is_some() =>
            {
                break (start, Some(end), line.len() - before);
            }
            (start, None) if !has_end && is_before_sizes(start, &after_type) => {
                break (start, None, line.len() - before);
            }
            _ if words > MOST_WORDS_OF_TYPE => return None,
            _ => {}
        }
    };
    let is_bracketed = after_type.rest().starts_with(b"[");
    if has_end && !is_bracketed {
        return None;
    }
    let mut cells = after_type;
    if is_bracketed {
        cells = Cells::new(&cells.rest()[1..]);
    }
    let mut record = Record::default();
    record.set(Field::Type, Cow::Borrowed(line[..type_length].trim_ascii()));
    record.set(Field::Start, Cow::Borrowed(start));
    end.into_iter().for_each(|end| record.set(Field::End, Cow::Borrowed(end)));
    let after = fields.iter().filter(|field| !matches!(field, Field::Type | Field::Start | Field::End));
    let mut is_open = is_bracketed;
    for field in after {
        let is_in_brackets = field.is_size();
        if is_open && !is_in_brackets {
            // Rows of gaps have only a size, and blanks up to the bracket.
            cells = Cells::new(cells.rest().strip_prefix(b"]").unwrap_or(cells.rest()));
            is_open = false;
        }
        match field {
            Field::Detail => {
                record.set(Field::Detail, Cow::Borrowed(cells.rest()));
                break;
            }
            _ if is_open && cells.rest().starts_with(b"]") => {}
            Field::MaxProtection => {}
            Field::Protection => {
                // Parts of regions have none.
                let Some(cell) = cells.next().filter(|cell| is_protection(cell)) else { break };
                let slash = memchr::memchr(b'/', cell).unwrap_or(cell.len());
                record.set(Field::Protection, Cow::Borrowed(&cell[..slash]));
                let max = cell.get(slash + 1..).unwrap_or_default();
                record.set(Field::MaxProtection, Cow::Borrowed(max));
            }
            _ => {
                let Some(cell) = cells.next() else { break };
                let (cell, is_last) = match cell.strip_suffix(b"]") {
                    Some(cell) if is_open => (cell, true),
                    _ => (cell, false),
                };
                is_open &= !is_last;
                record.set(*field, Cow::Borrowed(cell));
            }
        }
    }
    if fields.contains(&Field::BuildId) {
        record.split_build_id();
    }
    Some(record)
}

/// Whether a cell is `rw-`, or `rw-/rwx` with the maximum.
fn is_protection(cell: &[u8]) -> bool {
    let is_letter = |byte: &u8| matches!(byte, b'r' | b'w' | b'x' | b'-' | b'?' | b'/');
    matches!(cell.len(), 3 | 4 | 7) && cell.iter().all(is_letter)
}

/// Whether a cell is a start address: a size follows it.
fn is_before_sizes(cell: &[u8], after: &Cells<'_>) -> bool {
    let is_size = |cell: &[u8]| crate::model::parse_size(cell).is_some();
    cells::hexadecimal(cell).is_some() && after.clone().next().is_some_and(is_size)
}

/// The cells of a line of a Markdown table.
fn markdown(line: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut rest = line.strip_prefix(b"|")?.strip_suffix(b"|")?;
    let mut is_done = false;
    Some(std::iter::from_fn(move || {
        if is_done {
            return None;
        }
        let mut is_escaped = false;
        let end = rest.iter().position(|byte| {
            let is_end = *byte == b'|' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            is_end
        });
        let (cell, after) = rest.split_at(end.unwrap_or(rest.len()));
        is_done = end.is_none();
        rest = after.get(1..).unwrap_or_default();
        Some(cell)
    }))
}

/// The cells of a line of CSV. `None` if quotes don't match.
fn csv(line: &[u8]) -> Option<Vec<Cow<'_, [u8]>>> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let (cell, after) = match rest.strip_prefix(b"\"") {
            None => {
                let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), &rest[end..])
            }
            Some(mut quoted) => {
                let mut cell = Vec::new();
                loop {
                    let end = memchr::memchr(b'"', quoted)?;
                    cell.extend_from_slice(&quoted[..end]);
                    quoted = &quoted[end + 1..];
                    match quoted.strip_prefix(b"\"") {
                        Some(after) => {
                            cell.push(b'"');
                            quoted = after;
                        }
                        None => break,
                    }
                }
                (Cow::Owned(cell), quoted)
            }
        };
        cells.push(cell);
        match after.split_first() {
            None => return Some(cells),
            Some((b',', after)) if cells.len() < MOST_COLUMNS => rest = after,
            Some(_) => return None,
        }
    }
}
