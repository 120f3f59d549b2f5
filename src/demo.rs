//! Lessons: each one makes real mappings and shows, step by step, how they change the memory map of this process and of a child.
//!
//! The explanation of a step depends on what the step observed: systems differ, and no sentence may claim what the rows above
//! it don't show.

mod advise;
mod close_early;
mod copy_on_write;
mod demand_paging;
mod error;
mod fork;
mod huge_pages;
mod list;
mod malloc;
mod mapped_file;
mod observer;
mod private_vs_shared;
mod protect;
mod rows;
mod scratch;
mod shared_memory;
mod stack;
mod stage;
mod step;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Context as _;
use serde_json::Value;
use stage::Stage;

use crate::interrupt::Interrupt;
use crate::render::{Format, Style, renderer};
use crate::view::{Row, Tail};

pub use error::Error;
#[cfg(test)]
pub(crate) use list::COLUMNS as LIST;
pub(crate) use list::list;
#[cfg(test)]
pub(crate) use step::{COLUMNS as STEPS, OBSERVATION as OBSERVATIONS};

/// Which lesson to run, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The name of the lesson; `None` for all of them.
    pub lesson: Option<String>,
    /// The reader's own file, for the one lesson that takes a file.
    pub file: Option<PathBuf>,
    /// How to wait between steps.
    pub pace: Pace,
}

/// How to wait between the steps of a lesson.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Don't wait.
    #[default]
    Straight,
    /// Wait for this long.
    Hold(Duration),
    /// Wait until the reader presses Enter.
    Enter,
}

/// Reports a lesson that failed while others follow, and returns the error as machine-readable formats show it.
pub type OnFailure<'a> = dyn FnMut(&Lesson, &crate::Error) -> Value + 'a;

/// A lesson.
#[derive(Clone, Copy, Debug)]
pub struct Lesson {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    run: fn(&Options, &mut Stage<'_>) -> Result<(), Error>,
}

/// All lessons; each builds on those before it. The first one is the default.
pub const LESSONS: &[Lesson] = &[
    Lesson {
        name: "mapped-file",
        about: "map a file, read it, write to it, flush it and unmap it; its region appears and disappears",
        run: mapped_file::run,
    },
    Lesson {
        name: "fork",
        about: "a child inherits a mapped file, reads it and unmaps it; the parent's mapping stays",
        run: fork::run,
    },
    Lesson {
        name: "close-early",
        about: "truncate a mapped file, unmap a file without flushing it, delete a mapped file",
        run: close_early::run,
    },
    Lesson {
        name: "private-vs-shared",
        about: "map one file with MAP_PRIVATE and with MAP_SHARED: which writes reach the file",
        run: private_vs_shared::run,
    },
    Lesson {
        name: "demand-paging",
        about: "reserve 64M of memory, which becomes resident page by page as it is touched",
        run: demand_paging::run,
    },
    Lesson {
        name: "copy-on-write",
        about: "after fork, parent and child share their memory until one of them writes to it",
        run: copy_on_write::run,
    },
    Lesson {
        name: "malloc",
        about: "allocate and free small and large blocks, in the main thread and in another one",
        run: malloc::run,
    },
    Lesson {
        name: "stack",
        about: "a stack grows; a thread has its own stack, with a guard below it; a stack overflows",
        run: stack::run,
    },
    Lesson {
        name: "protect",
        about: "make a page read-only: its region splits in three, and a write to the page raises a signal",
        run: protect::run,
    },
    Lesson {
        name: "shared-memory",
        about: "two processes map the same memory, which is no file on disk, and communicate through it",
        run: shared_memory::run,
    },
    Lesson { name: "huge-pages", about: "touch one byte and get a whole huge page", run: huge_pages::run },
    Lesson {
        name: "advise",
        about: "give memory back to the kernel, immediately or on demand; lock memory",
        run: advise::run,
    },
];

/// Runs one lesson, or all of them.
///
/// When all lessons run, one that fails is passed to `on_failure` and the next one starts.
///
/// # Errors
///
/// [`Error::NoSuchLesson`]; [`Error::Failed`] if the only lesson fails; [`Error::Interrupted`] and [`Error::Output`] always
/// end the demo.
pub fn run(
    options: &Options,
    format: Format,
    style: Style,
    out: &mut dyn Write,
    on_failure: &mut OnFailure<'_>,
) -> Result<(), Error> {
    let lessons = chosen(options)?;
    // A lesson removes its files even if a signal ends it.
    let interrupt = Interrupt::watch().context("failed to install signal handlers")?;
    let show = Show { options, lessons, style, interrupt };
    match format {
        Format::Table => show.for_people(out, on_failure),
        _ => show.for_machines(format, out, on_failure),
    }
}

/// The lessons to run, and how.
struct Show<'a> {
    options: &'a Options,
    lessons: &'static [Lesson],
    style: Style,
    interrupt: Interrupt,
}

impl Show<'_> {
    fn for_machines(
        &self,
        format: Format,
        out: &mut dyn Write,
        on_failure: &mut OnFailure<'_>,
    ) -> Result<(), Error> {
        let is_list = self.options.lesson.is_none();
        let mut render = renderer(format, self.style, is_list, out);
        for lesson in self.lessons {
            let mut stage = Stage::new(lesson, self.options.pace, self.style, None, self.interrupt.clone())?;
            let mut tail = Tail::default();
            match (lesson.run)(self.options, &mut stage) {
                Ok(()) => {}
                Err(Error::Failed(error)) if is_list => {
                    tail.fields.insert("error".to_owned(), on_failure(lesson, &error));
                }
                Err(error) => return Err(error),
            }
            render.begin(&stage.head()?).map_err(Error::Output)?;
            for step in stage.steps() {
                render.row(&Row::new(&step::COLUMNS, step)).map_err(Error::Output)?;
            }
            render.end(&tail).map_err(Error::Output)?;
        }
        render.finish().map_err(Error::Output)
    }

    fn for_people(&self, out: &mut dyn Write, on_failure: &mut OnFailure<'_>) -> Result<(), Error> {
        let mut pace = self.options.pace;
        for (index, lesson) in self.lessons.iter().enumerate() {
            if index > 0 {
                writeln!(out).map_err(Error::Output)?;
            }
            let mut stage = Stage::new(lesson, pace, self.style, Some(&mut *out), self.interrupt.clone())?;
            stage.begin(index == 0).map_err(Error::Output)?;
            let result = (lesson.run)(self.options, &mut stage);
            pace = stage.pace();
            match result {
                Ok(()) => {}
                Err(error @ Error::Interrupted(_)) => {
                    // The shell's prompt starts on its own line.
                    writeln!(out).map_err(Error::Output)?;
                    return Err(error);
                }
                Err(Error::Failed(error)) if self.lessons.len() > 1 => {
                    out.flush().map_err(Error::Output)?;
                    on_failure(lesson, &error);
                }
                Err(error) => return Err(error),
            }
        }
        out.flush().map_err(Error::Output)
    }
}

fn chosen(options: &Options) -> Result<&'static [Lesson], Error> {
    let Some(name) = &options.lesson else { return Ok(LESSONS) };
    let place = LESSONS.iter().position(|lesson| lesson.name == *name);
    let place = place.ok_or_else(|| Error::NoSuchLesson { name: name.clone() })?;
    Ok(&LESSONS[place..=place])
}

/// The names of all lessons, for a message.
fn names() -> String {
    let names: Vec<_> = LESSONS.iter().map(|lesson| lesson.name).collect();
    names.join(", ")
}
