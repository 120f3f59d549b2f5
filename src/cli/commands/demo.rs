//! `mmview demo`: the lessons.

use std::io::IsTerminal;

use super::Task;
use crate::cli::args::DemoArgs;
use crate::cli::exit::Exit;
use crate::cli::options::usage;
use crate::cli::session::Session;
use crate::cli::shown::error_value;
use crate::demo::{self, LESSONS, Options, Pace};
use crate::error::{Error, Result};

pub(super) fn plan(args: DemoArgs, is_terminal: bool) -> Result<Task> {
    if args.list {
        return Ok(Task::Lessons);
    }
    let first = LESSONS[0].name;
    if args.file.is_some() && !args.all && args.lesson != first {
        return usage(format!("--file is for the lesson {first}; {} makes its own files", args.lesson));
    }
    let pace = match args.hold {
        Some(time) => Pace::Hold(time),
        None if args.step || (is_terminal && std::io::stdin().is_terminal()) => Pace::Enter,
        None => Pace::Straight,
    };
    Ok(Task::Demo(Options { lesson: (!args.all).then_some(args.lesson), file: args.file, pace }))
}

/// Runs the lessons and reports those that fail; the first failure decides the exit status.
pub(super) fn run(options: &Options, session: &mut Session<'_>) -> Result<Exit> {
    let Session { options: common, diagnostics, out } = session;
    let mut exit = Exit::Done;
    let mut on_failure = |lesson: &demo::Lesson, error: &Error| {
        exit = exit.or(Exit::of(error));
        diagnostics.error(Some(&format!("lesson {}", lesson.name)), error);
        error_value(error)
    };
    match demo::run(options, common.format, common.style, *out, &mut on_failure) {
        Ok(()) => Ok(exit),
        Err(demo::Error::Interrupted(interrupted)) => Ok(Exit::Status(interrupted.shell_status())),
        Err(demo::Error::Output(error)) => Err(Error::output(error)),
        Err(demo::Error::Failed(error)) => Err(error),
        Err(error @ demo::Error::NoSuchLesson { .. }) => usage(error.to_string()),
    }
}

/// Lists the lessons.
pub(super) fn list(session: &mut Session<'_>) -> Result<Exit> {
    demo::list(session.options.format, session.options.style, session.out).map_err(Error::output)?;
    Ok(Exit::Done)
}
