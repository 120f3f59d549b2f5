//! The command line: what was typed (`args`), what it comes to (`plan`), and doing it (`run`, and a file a command).

mod args;
mod commands;
mod plan;
mod run;
mod show;
mod target;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};

use clap::Parser;

use crate::compat::Tool;

pub use args::command;
pub use plan::Plan;

/// What the program ended with, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// A check was not passed.
    CheckFailed,
    /// The command line was wrong, or a name stands for several processes.
    Usage,
    /// There is no such process, or no longer.
    NoSuchProcess,
    /// The system doesn't let this user look.
    NotPermitted,
    /// Something could not be read, or is malformed.
    Unreadable,
    /// As the tool ended whose place mmview took.
    Imitated(u8),
}

impl Exit {
    /// The status.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::CheckFailed => 1,
            Exit::Usage => 2,
            Exit::NoSuchProcess => 3,
            Exit::NotPermitted => 4,
            Exit::Unreadable => 5,
            Exit::Imitated(status) => status,
        }
    }

    /// The status that an error comes to.
    pub fn of(error: &anyhow::Error) -> Exit {
        use mmview_platform::Error;
        if error.downcast_ref::<target::Ambiguous>().is_some()
            || error.downcast_ref::<plan::Usage>().is_some()
            || commands::check::picture(error).is_some()
        {
            return Exit::Usage;
        }
        if error.downcast_ref::<target::NoSuchName>().is_some() {
            return Exit::NoSuchProcess;
        }
        match error.downcast_ref::<Error>() {
            Some(
                Error::NoSuchProcess { .. }
                | Error::Vanished { .. }
                | Error::Zombie { .. }
                | Error::Replaced { .. },
            ) => Exit::NoSuchProcess,
            Some(Error::NotPermitted { .. }) => Exit::NotPermitted,
            _ => Exit::Unreadable,
        }
    }
}

/// What the command line comes to.
///
/// # Errors
///
/// How it ends at once: after help or a version (status 0), or because the line is wrong (2) or a file
/// that it names can't be read (5). It has been said already.
pub fn plan(arguments: impl IntoIterator<Item = OsString>) -> Result<Plan, Exit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let (ours, tools) = split(&arguments);
    let args = match args::Args::try_parse_from(ours.as_ref()) {
        Ok(args) => args,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return Err(exit);
        }
    };
    Plan::resolve(args).map(|plan| plan.with_tool_arguments(tools)).map_err(|error| {
        report(&error, None);
        Exit::of(&error)
    })
}

/// The part of the line that is mmview's, and what is for the tool whose place it takes: that tool's options look like
/// mmview's own and mean something else.
///
/// Where options of mmview's stand before the tool's name, the line is not split: what follows is mmview's to read first.
fn split(arguments: &[OsString]) -> (Cow<'_, [OsString]>, Option<&[OsString]>) {
    let Some((program, rest)) = arguments.split_first() else { return (Cow::Borrowed(arguments), None) };
    if let Some(tool) = Tool::called(program) {
        return (Cow::Owned(vec!["mmview".into(), tool.name().into()]), Some(rest));
    }
    match rest.split_first() {
        Some((command, tools)) if Tool::named(command).is_some() => {
            (Cow::Borrowed(&arguments[..2]), Some(tools))
        }
        _ => (Cow::Borrowed(arguments), None),
    }
}

/// Does what was planned, and tells how it ended. Failures of single targets have been told.
///
/// # Errors
///
/// What ended it early: a failure of the output.
pub fn run(plan: Plan) -> anyhow::Result<Exit> {
    run::run(plan)
}

/// Tells an error on standard error: what, why, and the way out.
pub fn report(error: &anyhow::Error, about: Option<&str>) {
    let mut stderr = io::stderr().lock();
    let about = about.map(|about| format!("{about}: ")).unwrap_or_default();
    // Nothing is left to do where even this fails.
    let _ = writeln!(stderr, "mmview: {about}{}", sentence(error));
    for way in ways_out(error) {
        let _ = writeln!(stderr, "  {way}");
    }
}

/// Tells the doubts about what has this title on standard error.
fn tell_warnings(title: &str, warnings: &[mmview_platform::Warning]) {
    for warning in warnings {
        let text = crate::text::printable_line(&warning.to_string());
        // A warning that can't be written is still among the output's.
        let _ = writeln!(io::stderr(), "mmview: {title}: warning: {text}");
    }
}

/// What failed when nothing else did.
const UNWRITABLE: &str = "failed to write the output";

/// The error and its causes in a sentence, safe to draw.
fn sentence(error: &anyhow::Error) -> String {
    crate::text::printable_line(&format!("{error:#}"))
}

fn ways_out(error: &anyhow::Error) -> Vec<String> {
    if let Some(ambiguous) = error.downcast_ref::<target::Ambiguous>() {
        return ambiguous.candidates();
    }
    if let Some(picture) = commands::check::picture(error) {
        return picture.into();
    }
    let error = error.downcast_ref::<mmview_platform::Error>();
    error.map(|error| error.hints().to_vec()).unwrap_or_default()
}

/// Whether an error is that nobody reads the output any more.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            || cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind)
                == Some(io::ErrorKind::BrokenPipe)
    })
}
