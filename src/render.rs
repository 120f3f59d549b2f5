//! Formats: each writes any view, one file a format; none knows another.

mod csv;
mod json;
mod listing;
mod markdown;
mod ndjson;
mod style;
mod table;

use std::io::{self, Write};

use clap::ValueEnum;

pub use style::Style;

use crate::view::{Head, Record, Tail};

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON value a line
    Ndjson,
    /// Comma-separated values, sizes in bytes
    Csv,
    /// A Markdown table
    Markdown,
}

impl Format {
    /// Whether it is for machines: sizes in bytes, errors among the data.
    pub fn is_for_machines(self) -> bool {
        matches!(self, Format::Json | Format::Ndjson)
    }
}

/// Writes views in one format: for each a head, the rows of its tables as they come, and a tail.
pub trait Render {
    /// Begins a view.
    ///
    /// # Errors
    ///
    /// Those of the output, here and below.
    fn begin(&mut self, head: &Head) -> io::Result<()>;

    /// Writes a row.
    ///
    /// # Errors
    ///
    /// Those of the output.
    fn row(&mut self, record: &dyn Record) -> io::Result<()>;

    /// Ends the table and begins the view's next.
    ///
    /// # Errors
    ///
    /// Those of the output.
    fn next_table(&mut self) -> io::Result<()>;

    /// Sees to it that what was written is there for whoever looks.
    ///
    /// # Errors
    ///
    /// Those of the output.
    fn flush(&mut self) -> io::Result<()>;

    /// Ends the view.
    ///
    /// # Errors
    ///
    /// Those of the output.
    fn end(&mut self, tail: &Tail) -> io::Result<()>;

    /// Ends the output, after the last view.
    ///
    /// # Errors
    ///
    /// Those of the output.
    fn finish(&mut self) -> io::Result<()>;
}

/// A writer of `format`. `is_list` says that several views follow, which JSON puts into an array.
pub fn renderer<'a>(
    format: Format,
    style: Style,
    is_list: bool,
    out: &'a mut dyn Write,
) -> Box<dyn Render + 'a> {
    match format {
        Format::Table => Box::new(table::Table::new(out, style)),
        Format::Json => Box::new(json::Json::new(out, is_list)),
        Format::Ndjson => Box::new(ndjson::Ndjson::new(out)),
        Format::Csv => Box::new(csv::Csv::new(out)),
        Format::Markdown => Box::new(markdown::Markdown::new(out, style)),
    }
}
