//! `mmview demo --list`: the lessons.

use std::io::{self, Write};

use serde_json::json;

use super::{LESSONS, Lesson};
use crate::render::{Audience, Format, Style, renderer};
use crate::view::{self, Cell, Column, Columns, Head, Layout, Row, Table, Tail, ValueType, ViewKind};

/// Writes the name and the subject of each lesson.
///
/// # Errors
///
/// Returns the errors of `out`.
pub(crate) fn list(format: Format, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if format.audience() == Audience::Terminal {
        let width = LESSONS.iter().map(|lesson| lesson.name.len()).max().unwrap_or_default() + 1;
        let indent = " ".repeat(width + 1);
        for lesson in LESSONS {
            let line = format!("{:<width$} {}", lesson.name, lesson.about);
            let options =
                textwrap::Options::new(style.width.unwrap_or(usize::MAX)).subsequent_indent(&indent);
            for line in textwrap::wrap(&line, options) {
                writeln!(out, "{line}")?;
            }
        }
        return out.flush();
    }
    let fields = view::fields(json!({ "schema": view::SCHEMA, "view": ViewKind::Lessons.id() }));
    let head = Head {
        view: ViewKind::Lessons,
        target: String::new(),
        sections: Vec::new(),
        fields,
        tables: vec![Table::new(("lessons", "lesson"), &COLUMNS, Layout::Fitted)],
    };
    let mut render = renderer(format, style, false, out);
    render.begin(&head)?;
    for lesson in LESSONS {
        render.row(&Row::new(&COLUMNS, lesson))?;
    }
    render.end(&Tail::default())?;
    render.finish()
}

const LESSON: Column<Lesson> =
    Column::new("lesson", "LESSON", ValueType::Text, |lesson| Cell::text(lesson.name));
const ABOUT: Column<Lesson> =
    Column::new("about", "SHOWS", ValueType::Text, |lesson| Cell::text(lesson.about));

/// The columns of a lesson.
pub(crate) const COLUMNS: Columns<Lesson> = Columns { tabular: &[LESSON, ABOUT], json: &[LESSON, ABOUT] };
