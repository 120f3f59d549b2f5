//! The command line: what was typed (`args`), resolved (`options`, `target`), and the `commands`, one file each.

mod args;
mod columns;
mod commands;
mod diagnostics;
mod exit;
mod options;
mod session;
mod shown;
mod target;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, BufWriter};
use std::process::ExitCode;

use clap::Parser;

use crate::compat::Tool;
use crate::error::{ErrorKind, Result};
use args::Args;
use commands::Task;
use diagnostics::{Diagnostics, Stderr};
use exit::Exit;
use options::Options;
use session::Session;

/// How much of the output is buffered.
const BUFFER: usize = 64 << 10;

/// Ends a color (ECMA-48, SGR 0).
const NO_COLOR: &[u8] = b"\x1b[0m";

/// Runs the program.
pub fn main() -> ExitCode {
    let diagnostics = Stderr;
    let exit = match plan(std::env::args_os(), &diagnostics) {
        Ok((task, options)) => {
            env_logger::Builder::new().filter_level(options.log_level()).parse_default_env().init();
            execute(&task, &options, &diagnostics)
        }
        Err(exit) => exit,
    };
    exit.code().into()
}

/// Reads the command line. An error is how the program ends immediately, after a message: help or a version (status 0), a wrong
/// command line (2), a file of checks that can't be read (5).
fn plan(
    arguments: impl IntoIterator<Item = OsString>,
    diagnostics: &dyn Diagnostics,
) -> Result<(Task, Options), Exit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let (ours, tools) = split(&arguments);
    let args = match Args::try_parse_from(ours.as_ref()) {
        Ok(args) => args,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // If even that can't be written, nothing is left to do.
            let _ = error.print();
            return Err(exit);
        }
    };
    commands::plan(args, tools).map_err(|error| {
        diagnostics.error(None, &error);
        Exit::of(&error)
    })
}

/// Splits the command line into mmview's part and the arguments of a tool that mmview imitates: that tool's options look like
/// mmview's own and mean something else.
///
/// If options of mmview come before the tool's name, the line is not split: mmview reads all of it.
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

/// Runs a command. A closed pipe is no error.
fn execute(task: &Task, options: &Options, diagnostics: &dyn Diagnostics) -> Exit {
    if options.is_terminal && options.style.color && !task.catches_signals() {
        // Without the handler, a signal in the middle of a line leaves its color behind. That is no reason to fail.
        if let Err(error) = mmview_platform::restore_on_signal(NO_COLOR) {
            log::debug!("failed to install a signal handler: {error}");
        }
    }
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let mut session = Session { options, diagnostics, out: &mut out };
    match commands::run(task, &mut session) {
        Ok(exit) => exit,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            diagnostics.error(None, &error);
            Exit::of(&error)
        }
    }
}
