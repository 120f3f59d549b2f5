//! `mmview demo`: runs lessons.

use std::io::Write;

use crate::cli::plan::Plan;
use crate::cli::show::error_value;
use crate::cli::{Exit, report};
use crate::demo::{self, Error, Options};

/// Runs the lessons, and reports those that fail; the first failure decides the exit status.
pub(in crate::cli) fn demo(plan: &Plan, options: &Options, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    let mut on_failure = |lesson: &demo::Lesson, error: &anyhow::Error| {
        if exit == Exit::Done {
            exit = Exit::of(error);
        }
        report(error, Some(&format!("lesson {}", lesson.name)));
        error_value(error)
    };
    match demo::run(options, plan.format, plan.style, out, &mut on_failure) {
        Ok(()) => Ok(exit),
        Err(Error::Interrupted(interrupted)) => Ok(Exit::Imitated(interrupted.shell_status())),
        Err(Error::Failed(error)) => Err(error),
        Err(error @ (Error::Output(_) | Error::NoSuchLesson { .. })) => Err(error.into()),
    }
}
