//! Lessons: each makes real mappings and shows, step by step, what becomes of them in this process's own map.

mod mapped_file;

use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::SystemTime;

use mmview_platform::{Bytes, Detail, OpenOptions, RegionSource, open_self};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::classify::{Classified, classify};
use crate::cli::{DemoPlan, Pace};
use crate::render::text::printable;
use crate::render::{Format, Style, renderer};
use crate::view::process::Origins;
use crate::view::regions::RegionRecord;
use crate::view::{Cell, Column, Head, Layout, Record, Shows, Table, Tail};

/// Sentences are folded at this column at the latest.
const LINE: usize = 100;

/// A lesson.
pub struct Lesson {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    run: fn(&DemoPlan, &mut Stage<'_>) -> anyhow::Result<()>,
}

/// All lessons. The first is the one that runs where none is named.
pub const LESSONS: &[Lesson] = &[Lesson {
    name: "mapped-file",
    about: "a file is mapped, read, written, flushed and closed; its region appears and vanishes",
    run: mapped_file::run,
}];

/// Runs a lesson.
///
/// # Errors
///
/// There is no such lesson; what the lesson needs can't be done; the output fails.
pub fn run(plan: &DemoPlan, format: Format, style: Style, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(lesson) = LESSONS.iter().find(|lesson| lesson.name == plan.lesson) else {
        let names: Vec<_> = LESSONS.iter().map(|lesson| lesson.name).collect();
        anyhow::bail!("there is no lesson `{}`; the lessons are {}", plan.lesson, names.join(", "));
    };
    let mut stage = Stage {
        source: open_self(&OpenOptions::default())?,
        lesson,
        pace: if format == Format::Table { plan.pace } else { Pace::Straight },
        format,
        style,
        out,
        steps: Vec::new(),
    };
    stage.begin()?;
    (lesson.run)(plan, &mut stage)?;
    stage.end()
}

/// Where a lesson happens: this process's map, and somebody who looks on.
pub(crate) struct Stage<'a> {
    source: Box<dyn RegionSource>,
    lesson: &'static Lesson,
    pace: Pace,
    format: Format,
    style: Style,
    out: &'a mut dyn Write,
    steps: Vec<Step>,
}

/// A step of a lesson: what was done, what it changed, and why.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// What it is called.
    pub name: &'static str,
    /// The call that was made, and the system call that it comes to.
    pub call: String,
    /// The region before the step.
    pub before: Option<Classified>,
    /// The region after it.
    pub after: Option<Classified>,
    /// Why, in a sentence.
    pub why: String,
}

impl Stage<'_> {
    /// The region that holds `address` now.
    pub fn region_at(&mut self, address: u64) -> anyhow::Result<Option<Classified>> {
        let snapshot = self.source.snapshot(Detail::Counts)?;
        Ok(classify(&snapshot).into_iter().find(|classified| classified.region.range.contains(address)))
    }

    /// The regions of the file at `path` now.
    pub fn regions_of(&mut self, path: &[u8]) -> anyhow::Result<Vec<Classified>> {
        let snapshot = self.source.snapshot(Detail::Counts)?;
        let is_of_file = |classified: &Classified| {
            classified.region.name.as_ref().is_some_and(|name| name.is_file() && name.bytes() == path)
        };
        Ok(classify(&snapshot).into_iter().filter(is_of_file).collect())
    }

    /// How sizes are written.
    pub fn size(&self, size: Bytes) -> String {
        self.style.units.format(size)
    }

    /// Shows a step, and waits.
    pub fn show(&mut self, step: Step) -> anyhow::Result<()> {
        self.steps.push(step);
        if self.format == Format::Table {
            self.draw_last()?;
            self.wait()?;
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.format != Format::Table {
            return Ok(());
        }
        let pid = std::process::id();
        writeln!(self.out, "Lesson {}: {}.", self.lesson.name, self.lesson.about)?;
        writeln!(self.out, "This is process {pid}. To look on from a second terminal:  mmview {pid}")?;
        self.out.flush()
    }

    fn draw_last(&mut self) -> io::Result<()> {
        let Some(step) = self.steps.last() else { return Ok(()) };
        let mut text = Vec::new();
        writeln!(text, "\n{}. {}: {}", self.steps.len(), step.name, step.call)?;
        let rows = step.rows();
        if !rows.is_empty() {
            draw_regions(&rows, self.style, &mut text)?;
        }
        for change in step.changes(self.style) {
            writeln!(text, "     {change}")?;
        }
        let columns = self.style.width.unwrap_or(LINE).min(LINE);
        let options = textwrap::Options::new(columns).initial_indent("   ").subsequent_indent("   ");
        for line in textwrap::wrap(&step.why, options) {
            writeln!(text, "{line}")?;
        }
        self.out.write_all(&text)?;
        self.out.flush()
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.pace {
            Pace::Straight => Ok(()),
            Pace::Hold(time) => {
                std::thread::sleep(time);
                Ok(())
            }
            Pace::Enter => {
                write!(self.out, "   [Enter] ")?;
                self.out.flush()?;
                let mut line = String::new();
                let read = io::stdin().lock().read_line(&mut line)?;
                if read == 0 || !io::stdin().is_terminal() {
                    self.pace = Pace::Straight;
                    writeln!(self.out)?;
                }
                Ok(())
            }
        }
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self.format == Format::Table {
            self.out.flush()?;
            return Ok(());
        }
        let process = self.source.process()?;
        let source = self.source.info().clone();
        let origins = Origins { source, process, taken: Some(SystemTime::now()), detail: Detail::Counts };
        let mut fields = origins.fields("demo");
        fields.insert("lesson".to_owned(), self.lesson.name.into());
        let head = Head {
            view: "demo",
            target: origins.target(),
            text: Vec::new(),
            fields,
            tables: vec![Table {
                rows: ("steps", "step"),
                columns: COLUMNS.to_vec(),
                layout: Layout::Streamed,
            }],
        };
        let mut render = renderer(self.format, self.style, false, self.out);
        render.begin(&head)?;
        for step in &self.steps {
            render.row(step)?;
        }
        render.end(&Tail::default())?;
        render.finish()?;
        Ok(())
    }
}

fn draw_regions(regions: &[&Classified], style: Style, out: &mut Vec<u8>) -> io::Result<()> {
    let indent = "   ";
    let mut text = Vec::new();
    let style = Style { width: style.width.map(|width| width.saturating_sub(indent.len())), ..style };
    let mut render = renderer(Format::Table, style, false, &mut text);
    render.begin(&crate::view::regions::bare_head())?;
    for region in regions {
        render.row(&RegionRecord::new(region))?;
    }
    drop(render);
    for line in String::from_utf8_lossy(&text).lines() {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

impl Step {
    /// The region as it is now; none where it is gone.
    fn rows(&self) -> Vec<&Classified> {
        self.after.iter().collect()
    }

    fn change(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, None) => "none",
            (None, Some(_)) => "appeared",
            (Some(_), None) => "gone",
            (Some(before), Some(after)) if before == after => "unchanged",
            (Some(_), Some(_)) => "changed",
        }
    }

    /// What is different now, in words.
    fn changes(&self, style: Style) -> Vec<String> {
        let name = |classified: &Classified| {
            let detail = printable(&crate::view::regions::detail(classified));
            format!("{} {}  {detail}", classified.meaning.title, style.units.format(classified.region.size()))
        };
        match (&self.before, &self.after) {
            (None, Some(after)) => vec![format!("+ {}", name(after))],
            (Some(before), None) => vec![format!("- {}", name(before))],
            (Some(before), Some(after)) => {
                let counts = |classified: &Classified| {
                    let counts = &classified.region.counts;
                    [("resident", counts.resident), ("dirty", counts.dirty), ("swapped", counts.swapped)]
                };
                let changed: Vec<_> = counts(before)
                    .into_iter()
                    .zip(counts(after))
                    .filter(|((_, before), (_, after))| before != after)
                    .map(|((name, before), (_, after))| {
                        let size = |size| style.units.format_measured(size);
                        format!("~ {name} {} → {}", size(before), size(after))
                    })
                    .collect();
                if changed.is_empty() { vec!["= no change".to_owned()] } else { changed }
            }
            (None, None) => Vec::new(),
        }
    }
}

const COLUMNS: [Column; 9] = [
    Column::text("step", "STEP", 14).after(""),
    Column::text("change", "CHANGE", 10),
    Column::text("type", "REGION TYPE", 14),
    Column::number("size", "VSIZE", 6),
    Column::number("resident", "RSDNT", 6),
    Column::number("dirty", "DIRTY", 6),
    Column::number("swapped", "SWAP", 6),
    Column::text("call", "CALL", 0),
    Column::text("why", "", 0).shown(Shows::MachineOnly),
];

impl Record for Step {
    fn cells(&self) -> Vec<Cell<'_>> {
        let region = self.after.as_ref().map(|after| &after.region);
        let size = |size: Option<Bytes>| if region.is_some() { Cell::Size(size) } else { Cell::Empty };
        let counts = region.map(|region| region.counts).unwrap_or_default();
        vec![
            Cell::Text(Cow::Borrowed(self.name)),
            Cell::Text(Cow::Borrowed(self.change())),
            self.after.as_ref().map_or(Cell::Empty, |after| Cell::Text(Cow::Borrowed(&after.meaning.title))),
            size(region.map(|region| region.size())),
            size(counts.resident),
            size(counts.dirty),
            size(counts.swapped),
            Cell::Text(Cow::Borrowed(&self.call)),
            Cell::Text(Cow::Borrowed(&self.why)),
        ]
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("step", self.name)?;
        map.serialize_entry("call", &self.call)?;
        map.serialize_entry("change", self.change())?;
        map.serialize_entry("region", &self.after.as_ref().map(RegionRecord::new))?;
        map.serialize_entry("why", &self.why)?;
        map.end()
    }
}
