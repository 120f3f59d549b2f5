//! Formats: each draws any view, one file per format. None knows another.

mod csv;
mod fit;
mod json;
mod listing;
mod markdown;
mod ndjson;
mod style;
mod table;
pub mod words;

use std::io::{self, Write};

pub use fit::picture;
#[cfg(test)]
pub(crate) use fit::width;
pub use listing::inset;
pub use style::Style;

use crate::view::{Head, Record, Tail};

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON value per line
    Ndjson,
    /// Comma-separated values, sizes in bytes
    Csv,
    /// A Markdown table
    Markdown,
}

/// Who reads a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A person at a terminal: text around the tables, as it happens.
    Terminal,
    /// A person reading a document.
    Document,
    /// A spreadsheet: rows only.
    Spreadsheet,
    /// A program: everything, and errors among the data.
    Program,
}

impl Format {
    /// Who reads it.
    pub const fn audience(self) -> Audience {
        match self {
            Format::Table => Audience::Terminal,
            Format::Markdown => Audience::Document,
            Format::Csv => Audience::Spreadsheet,
            Format::Json | Format::Ndjson => Audience::Program,
        }
    }
}

/// Draws views in one format: for each a head, the rows of its tables as they come, and a tail.
///
/// Every method fails if the output does.
pub trait Render {
    /// Begins a view.
    fn begin(&mut self, head: &Head) -> io::Result<()>;

    /// Draws a row.
    fn row(&mut self, record: &dyn Record) -> io::Result<()>;

    /// Ends the table and begins the view's next.
    fn next_table(&mut self) -> io::Result<()>;

    /// Makes what was drawn visible.
    fn flush(&mut self) -> io::Result<()>;

    /// Ends the view.
    fn end(&mut self, tail: &Tail) -> io::Result<()>;

    /// Ends the output, after the last view.
    fn finish(&mut self) -> io::Result<()>;
}

/// A renderer for `format`. `is_list` announces several views, which JSON puts into an array.
pub fn renderer<'a>(
    format: Format,
    style: Style,
    is_list: bool,
    out: &'a mut dyn Write,
) -> Box<dyn Render + 'a> {
    match format {
        Format::Table => Box::new(table::Table::new(out, style)),
        Format::Json => Box::new(json::Json::new(out, style.units, is_list)),
        Format::Ndjson => Box::new(ndjson::Ndjson::new(out, style.units)),
        Format::Csv => Box::new(csv::Csv::new(out)),
        Format::Markdown => Box::new(markdown::Markdown::new(out, style)),
    }
}
