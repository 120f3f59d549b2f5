//! A lesson as it runs: its steps so far, and the output that shows them.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Instant;

use mmview_platform::own::{Mapping, Sharing, has_input};
use mmview_platform::{Bytes, Detail, Findings, OpenOptions, Protection, RegionSource, open_self};

use super::error::{Error, Result};
use super::rows;
use super::step::{COLUMNS, Step, size_text};
use super::{Lesson, Pace};
use crate::error::Context as _;
use crate::interrupt::{Interrupt, NAP};
use crate::render::Style;
use crate::view::origins::Origins;
use crate::view::{Head, Layout, Note, Section, Table, ViewKind};

/// The longest line of prose, in columns.
const LINE: usize = 100;

/// What failed if Enter can't be read.
const UNREADABLE: &str = "failed to read standard input";

/// The indent of everything in a step below its title.
const INDENT: &str = "   ";

/// A lesson as it runs.
pub(crate) struct Stage<'a> {
    source: Box<dyn RegionSource>,
    lesson: &'static Lesson,
    pace: Pace,
    style: Style,
    /// The reader's terminal; `None` if the caller writes all steps at the end.
    out: Option<&'a mut dyn Write>,
    interrupt: Interrupt,
    steps: Vec<Step>,
}

impl<'a> Stage<'a> {
    pub fn new(
        lesson: &'static Lesson,
        pace: Pace,
        style: Style,
        out: Option<&'a mut dyn Write>,
        interrupt: Interrupt,
    ) -> Result<Stage<'a>> {
        let source = open_self(&OpenOptions::default())?;
        Ok(Stage { source, lesson, pace, style, out, interrupt, steps: Vec::new() })
    }

    /// Formats a size in the reader's units.
    pub fn size(&self, size: Bytes) -> String {
        size_text(self.style.units, size)
    }

    /// The operating system, such as `linux`.
    pub fn os(&self) -> &'static str {
        self.source.info().os
    }

    /// The size of a page.
    pub fn page(&self) -> crate::error::Result<Bytes> {
        let size = self.source.info().page_size.map(|size| size.bytes());
        size.context("the page size of this system is unknown, and the lesson counts pages")
    }

    /// Maps private, readable and writable memory; rounds `size` up to whole pages.
    pub fn memory(&self, size: Bytes) -> crate::error::Result<Mapping> {
        let access = Protection::READ.with(Protection::WRITE);
        Mapping::anonymous(size, Sharing::Private, access)
            .with_context(|| format!("failed to map {} of memory", self.size(size)))
    }

    /// The steps so far.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How to wait from here on: after the end of standard input, no step waits for Enter.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Writes the lesson's title; before the first lesson also how to watch from another terminal.
    pub fn begin(&mut self, is_first: bool) -> io::Result<()> {
        let (bold, lesson) = (self.style.bold(), self.lesson);
        let title = format!("Lesson {}: {}.", lesson.name, lesson.about);
        let pid = std::process::id();
        let note = format!("This is process {pid}. To watch it from another terminal:  mmview {pid}");
        let lines = self.fold(&title, "", "");
        let note = self.fold(&note, "", "");
        let Some(out) = &mut self.out else { return Ok(()) };
        for line in lines {
            writeln!(out, "{bold}{line}{bold:#}")?;
        }
        for line in note.iter().filter(|_| is_first) {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    /// Shows a step, and waits.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] and [`Error::Output`]. The lesson can recover from neither.
    pub fn show(&mut self, step: Step) -> Result<()> {
        self.steps.push(Step { lesson: self.lesson.name, ..step });
        if self.out.is_some() {
            self.draw_last().map_err(Error::Output)?;
            self.wait()?;
        }
        Ok(self.interrupt.check()?)
    }

    fn fold(&self, text: &str, first: &str, then: &str) -> Vec<String> {
        let columns = self.style.width.unwrap_or(LINE).min(LINE);
        let options = textwrap::Options::new(columns)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .initial_indent(first)
            .subsequent_indent(then);
        textwrap::wrap(text, options).into_iter().map(|line| line.into_owned()).collect()
    }

    /// Folds a change on a terminal; elsewhere it stays one line.
    fn change_lines(&self, change: &str) -> Vec<String> {
        const BELOW: usize = "  ".len();
        let Some(columns) = self.style.width else { return vec![change.to_owned()] };
        let options = textwrap::Options::new(columns.saturating_sub(INDENT.len() + BELOW))
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .subsequent_indent("    ");
        textwrap::wrap(change, options).into_iter().map(|line| line.into_owned()).collect()
    }

    fn draw_last(&mut self) -> io::Result<()> {
        let Some(step) = self.steps.last() else { return Ok(()) };
        let mut text = Vec::new();
        writeln!(text)?;
        let bold = self.style.bold();
        let title = format!("{}. {}", self.steps.len(), step.name);
        let lines = self.fold(&format!("{title}: {}", step.call), "", INDENT);
        for (index, line) in lines.iter().enumerate() {
            match line.strip_prefix(&title) {
                Some(call) if index == 0 => writeln!(text, "{bold}{title}{bold:#}{call}")?,
                _ => writeln!(text, "{line}")?,
            }
        }
        rows::draw(&step.regions, self.os(), self.style, INDENT, &mut text)?;
        for (mark, change) in step.changes(self.style.units) {
            let color = self.style.mark(mark);
            for line in self.change_lines(&format!("{mark} {change}")) {
                writeln!(text, "{INDENT}  {color}{line}{color:#}")?;
            }
        }
        for fact in &step.facts {
            for line in self.fold(&fact.text, &format!("{INDENT}  · "), &format!("{INDENT}    ")) {
                writeln!(text, "{line}")?;
            }
        }
        for line in self.fold(&step.why, INDENT, INDENT) {
            writeln!(text, "{line}")?;
        }
        let Some(out) = &mut self.out else { return Ok(()) };
        out.write_all(&text)?;
        out.flush()
    }

    fn wait(&mut self) -> Result<()> {
        match self.pace {
            Pace::Straight => Ok(()),
            Pace::Hold(time) => Ok(self.interrupt.sleep_until(Instant::now() + time)?),
            Pace::Enter => self.wait_for_enter(),
        }
    }

    fn wait_for_enter(&mut self) -> Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        write!(out, "{INDENT}[Enter] ").and_then(|()| out.flush()).map_err(Error::Output)?;
        // A terminal delivers whole lines; polling it lets Ctrl-C end the lesson meanwhile.
        while io::stdin().is_terminal() && !has_input(NAP).context(UNREADABLE)? {
            self.interrupt.check()?;
        }
        let read = io::stdin().lock().read_line(&mut String::new()).context(UNREADABLE)?;
        if read == 0 {
            self.pace = Pace::Straight;
            writeln!(out).map_err(Error::Output)?;
        }
        Ok(())
    }

    /// The head of the lesson in every format but the table for people.
    pub fn head(&mut self) -> Result<Head> {
        let process = self.source.process()?;
        let source = self.source.info().clone();
        let origins = Origins {
            taken: source.time(),
            source,
            process,
            detail: Detail::Counts,
            findings: Findings::default(),
        };
        let mut fields = origins.fields(ViewKind::Demo);
        let Lesson { name, about, .. } = *self.lesson;
        fields.insert("lesson".to_owned(), name.into());
        Ok(Head {
            view: ViewKind::Demo,
            target: origins.target(),
            sections: vec![Section::note(Note::Lesson { name, about })],
            fields,
            tables: vec![Table::new(("steps", "step"), &COLUMNS, Layout::Streamed)],
        })
    }
}
