//! mmview's own listings of regions of Linux: the table, its narrow layout, Markdown and CSV.
//!
//! The table and Markdown have names and what explains them in one column, and sizes with few digits. The size of a region
//! follows from its addresses where both are there.

mod layout;
pub(super) mod record;
mod unescape;

use self::layout::Layout;
use self::record::{Record, Row};
use super::cells::{self, Cells};
use super::form::{Form, Line};
use crate::model::ProcessInfo;

/// Longer lines are no heads of columns.
const LONGEST_HEAD: usize = 1024;

/// mmview's own listings.
#[derive(Debug, Default)]
pub(super) struct Table {
    layout: Layout,
    has_head: bool,
    process: Option<ProcessInfo>,
    is_of_another_system: bool,
    has_rows: bool,
    lacks_offsets: bool,
    has_rounded_sizes: bool,
}

impl Form for Table {
    fn line(&mut self, line: &[u8]) -> Line {
        if line.len() <= LONGEST_HEAD {
            if let Some(layout) = Layout::of_head(line) {
                self.layout = layout;
                self.has_head = true;
                return Line::Known;
            }
            if self.is_head_of_report(line) {
                return Line::Known;
            }
        }
        if self.is_of_another_system {
            return Line::Unknown;
        }
        match self.layout.row(line).and_then(Record::into_row) {
            Some(Row::Region(row)) => {
                self.has_rows = true;
                self.lacks_offsets |= !row.region.has_offset();
                self.has_rounded_sizes |= row.is_size_rounded;
                Line::Region(Box::new(row.region))
            }
            Some(Row::Other) if self.has_head || self.has_rows => Line::Known,
            None if self.layout.is_rule(line) || (self.has_rows && is_rest(line)) => Line::Known,
            _ => Line::Unknown,
        }
    }

    fn id(&self) -> &'static str {
        "mmview"
    }

    fn lack(&self) -> Option<&'static str> {
        if self.has_rounded_sizes {
            Some("the narrow table of mmview rounds large sizes and has no end addresses")
        } else if self.lacks_offsets {
            Some(
                "a table of mmview has no offsets, and large sizes in it are rounded; `mmview snapshot` keeps everything",
            )
        } else {
            None
        }
    }

    fn process(&self) -> Option<ProcessInfo> {
        self.process.clone()
    }
}

impl Table {
    /// Reads a line above the table, such as `Process:         sleep [42]`.
    fn is_head_of_report(&mut self, line: &[u8]) -> bool {
        let is_markdown = line.starts_with(b"- ");
        let line = line.strip_prefix(b"- ").unwrap_or(line).trim_ascii();
        let value = |key: &[u8]| line.strip_prefix(key)?.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        if let Some(text) = value(b"Process") {
            let Some(process) = process(text, is_markdown) else { return false };
            self.process = Some(process);
            self.is_of_another_system = false;
            self.has_rows = false;
            return true;
        }
        let Some(process) = self.process.as_mut().filter(|_| !self.has_rows) else { return false };
        let text = |text| unescape::name(text, is_markdown);
        if let Some(path) = value(b"Path") {
            process.path = Some(text(path).into());
        } else if let Some(command) = value(b"Command") {
            process.command = Cells::new(&text(command)).map(Box::from).collect();
        } else if let Some(system) = value(b"OS Version") {
            self.is_of_another_system = !system.starts_with(b"Linux");
            process.system = Some(String::from_utf8_lossy(&text(system)).into());
        } else {
            return HEADS.iter().any(|head| value(head).is_some());
        }
        true
    }
}

/// Other lines above a table.
const HEADS: [&[u8]; 6] = [b"User", b"Parent Process", b"State", b"Date/Time", b"Launch Time", b"Page size"];

/// The process in `sleep [42]`.
fn process(text: &[u8], is_markdown: bool) -> Option<ProcessInfo> {
    let text = unescape::name(text, is_markdown);
    let text = text.trim_ascii_end().strip_suffix(b"]")?;
    let open = memchr::memrchr(b'[', text)?;
    let pid = cells::decimal(&text[open + 1..])?.try_into().ok()?;
    let name = text[..open].trim_ascii_end();
    Some(ProcessInfo { pid: Some(pid), name: Some(name.into()), ..ProcessInfo::default() })
}

/// Whether a line stands below a table.
fn is_rest(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    line.starts_with(b"Largest gap: ") || line.starts_with(b"Likely, ")
}

#[cfg(test)]
mod tests;
