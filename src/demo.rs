//! Lessons: each makes real mappings and shows, step by step, what becomes of them in the map of this process, and of a child.
//!
//! What a lesson says of a step is made from what was observed in it: systems differ, and no sentence may claim what the rows
//! above it don't show.

mod advise;
mod close_early;
mod copy_on_write;
mod demand_paging;
mod fork;
mod huge_pages;
mod list;
mod malloc;
mod mapped_file;
mod private_vs_shared;
mod protect;
mod rows;
mod scratch;
mod shared_memory;
mod stack;
mod stage;
mod step;
mod watch;

use std::io::Write;

use anyhow::Context as _;
use stage::Stage;

use crate::cli::{DemoPlan, Exit, report};
use crate::interrupt::{Interrupt, Interrupted};
use crate::render::{Format, Style, renderer};
use crate::view::Tail;

pub(crate) use list::list;

/// A lesson.
#[derive(Debug)]
pub struct Lesson {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    run: fn(&DemoPlan, &mut Stage<'_>) -> anyhow::Result<()>,
}

/// All lessons, each on top of those before it. The first is the one that runs where none is named.
pub const LESSONS: &[Lesson] = &[
    Lesson {
        name: "mapped-file",
        about: "a file is mapped, read, written, flushed and closed; its region appears and vanishes",
        run: mapped_file::run,
    },
    Lesson {
        name: "fork",
        about: "a child inherits a mapped file, reads and closes it; the parent's mapping lives on",
        run: fork::run,
    },
    Lesson {
        name: "close-early",
        about: "a file truncated under its mapping, a mapping closed before it is flushed, a file deleted",
        run: close_early::run,
    },
    Lesson {
        name: "private-vs-shared",
        about: "one file mapped MAP_PRIVATE and MAP_SHARED: who sees what is written",
        run: private_vs_shared::run,
    },
    Lesson {
        name: "demand-paging",
        about: "64M of memory is reserved, and becomes resident page by page as it is touched",
        run: demand_paging::run,
    },
    Lesson {
        name: "copy-on-write",
        about: "memory is shared after fork, until one of the two writes to it",
        run: copy_on_write::run,
    },
    Lesson {
        name: "malloc",
        about: "small and large blocks, freed again; and those of another thread",
        run: malloc::run,
    },
    Lesson {
        name: "stack",
        about: "a stack grows, a thread has its own with a guard below it, and one overflows",
        run: stack::run,
    },
    Lesson {
        name: "protect",
        about: "a page is made read-only, which splits its region in three; a write to it is punished",
        run: protect::run,
    },
    Lesson {
        name: "shared-memory",
        about: "two processes map one piece of memory that has no file, and talk through it",
        run: shared_memory::run,
    },
    Lesson {
        name: "huge-pages",
        about: "one byte is touched, and a whole huge page comes",
        run: huge_pages::run,
    },
    Lesson {
        name: "advise",
        about: "memory is given back at once, or when it is needed; and locked",
        run: advise::run,
    },
];

/// Runs a lesson, or all of them.
///
/// With all, one that fails says why, and the rest goes on; the first failure decides how it ends.
///
/// # Errors
///
/// There is no such lesson; what the only lesson needs can't be done; the output fails.
pub fn run(plan: &DemoPlan, format: Format, style: Style, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let lessons = chosen(plan)?;
    // What a lesson has made is removed, whenever it ends.
    let interrupt = Interrupt::watch().context("failed to wait for signals")?;
    let held = match format {
        Format::Table => run_for_people(plan, lessons, style, &interrupt, out),
        _ => run_for_machines(plan, lessons, format, style, &interrupt, out),
    };
    held.or_else(|error| match error.downcast_ref::<Interrupted>() {
        Some(interrupted) => Ok(Exit::Imitated(interrupted.shell_status())),
        None => Err(error),
    })
}

fn run_for_machines(
    plan: &DemoPlan,
    lessons: &'static [Lesson],
    format: Format,
    style: Style,
    interrupt: &Interrupt,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let is_list = plan.lesson.is_none();
    let mut render = renderer(format, style, is_list, out);
    let mut exit = Exit::Done;
    for lesson in lessons {
        let mut stage = Stage::new(lesson, plan.pace, style, None, interrupt.clone())?;
        let mut tail = Tail::default();
        match (lesson.run)(plan, &mut stage) {
            Ok(()) => {}
            Err(error) if is_list && !error.is::<Interrupted>() => {
                tail.fields.insert("error".to_owned(), crate::cli::error_value(&error));
                fail(lesson, &error, &mut exit);
            }
            Err(error) => return Err(error),
        }
        render.begin(&stage.head()?)?;
        for step in stage.steps() {
            render.row(step)?;
        }
        render.end(&tail)?;
    }
    render.finish()?;
    Ok(exit)
}

fn run_for_people(
    plan: &DemoPlan,
    lessons: &'static [Lesson],
    style: Style,
    interrupt: &Interrupt,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    let mut pace = plan.pace;
    for (index, lesson) in lessons.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let mut stage = Stage::new(lesson, pace, style, Some(&mut *out), interrupt.clone())?;
        stage.begin(index == 0)?;
        let result = (lesson.run)(plan, &mut stage);
        pace = stage.pace();
        match result {
            Ok(()) => {}
            Err(error) if error.is::<Interrupted>() => {
                writeln!(out)?;
                return Err(error);
            }
            Err(error) if lessons.len() > 1 && !crate::cli::is_broken_pipe(&error) => {
                out.flush()?;
                fail(lesson, &error, &mut exit);
            }
            Err(error) => return Err(error),
        }
    }
    out.flush()?;
    Ok(exit)
}

fn chosen(plan: &DemoPlan) -> anyhow::Result<&'static [Lesson]> {
    let Some(name) = &plan.lesson else { return Ok(LESSONS) };
    match LESSONS.iter().position(|lesson| lesson.name == *name) {
        Some(place) => Ok(&LESSONS[place..=place]),
        None => {
            let names: Vec<_> = LESSONS.iter().map(|lesson| lesson.name).collect();
            anyhow::bail!("there is no lesson `{name}`; the lessons are {}", names.join(", "))
        }
    }
}

/// Tells why a lesson could not be held to its end, where others follow.
fn fail(lesson: &Lesson, error: &anyhow::Error, exit: &mut Exit) {
    if *exit == Exit::Done {
        *exit = Exit::of(error);
    }
    report(error, Some(&format!("lesson {}", lesson.name)));
}
