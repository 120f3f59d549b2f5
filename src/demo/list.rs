//! `mmview demo --list`: the lessons.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Map;

use super::{LESSONS, Lesson};
use crate::render::{Format, Style, renderer};
use crate::view::{self, Cell, Column, Head, Layout, Record, Table, Tail};

/// Writes the name and the subject of each lesson.
///
/// # Errors
///
/// Returns the errors of `out`.
pub(crate) fn list(format: Format, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if format == Format::Table {
        let indent = " ".repeat(NAME + 1);
        for lesson in LESSONS {
            let line = format!("{:<NAME$} {}", lesson.name, lesson.about);
            let options =
                textwrap::Options::new(style.width.unwrap_or(usize::MAX)).subsequent_indent(&indent);
            for line in textwrap::wrap(&line, options) {
                writeln!(out, "{line}")?;
            }
        }
        return out.flush();
    }
    let fields =
        Map::from_iter([("schema".to_owned(), view::SCHEMA.into()), ("view".to_owned(), "lessons".into())]);
    let head = Head {
        view: "lessons",
        target: String::new(),
        text: Vec::new(),
        fields,
        tables: vec![Table {
            rows: ("lessons", "lesson"),
            columns: vec![Column::text("lesson", "LESSON", NAME), Column::text("about", "SHOWS", 0)],
            layout: Layout::Fitted,
        }],
    };
    let mut render = renderer(format, style, false, out);
    render.begin(&head)?;
    for lesson in LESSONS {
        render.row(lesson)?;
    }
    render.end(&Tail::default())?;
    render.finish()
}

/// The width of the column of names.
const NAME: usize = 18;

impl Record for Lesson {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![Cell::Text(Cow::Borrowed(self.name)), Cell::Text(Cow::Borrowed(self.about))]
    }
}

impl Serialize for Lesson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("lesson", self.name)?;
        map.serialize_entry("about", self.about)?;
        map.end()
    }
}
