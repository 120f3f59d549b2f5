//! `mmview run`: starting a program, and showing its memory at its peak or at its end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mmview_platform::{Detail, Ending, Program, has_terminal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::summary::Rows;
use super::{Task, check};
use crate::check::Check;
use crate::cli::args::RunArgs;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::error::{Context as _, Error, Result};
use crate::field::Place;
use crate::render::{Format, Style, renderer};
use crate::sample::peak::{self, Goal, Kept};
use crate::summary::Grouping;
use crate::text::printable;
use crate::view;
use crate::view::origins::{Origins, note_warnings};
use crate::view::run::Execution;

#[derive(Debug)]
pub struct Plan {
    command: Vec<OsString>,
    at_exit: bool,
    until: Option<Check>,
    interval: Duration,
    output: Option<PathBuf>,
    is_traced: bool,
    rows: Rows,
}

pub(super) fn plan(args: RunArgs) -> Result<Task> {
    let Some(rows) = Rows::resolve(args.rows, Grouping::Type) else {
        return Ok(Task::Columns(Place::Summary));
    };
    Ok(Task::Run(Plan {
        command: args.command,
        at_exit: args.at_exit,
        until: args.until.as_ref().map(check::from_word).transpose()?,
        interval: args.interval,
        output: args.output,
        is_traced: !args.no_trace,
        rows,
    }))
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    let mut output = match &plan.output {
        // What the file holds stays until there is something to write.
        Some(path) => {
            let file = File::options().write(true).create(true).truncate(false).open(path);
            let title = printable(path.as_os_str().as_encoded_bytes());
            Some(file.with_context(|| format!("failed to write `{title}`"))?)
        }
        None => None,
    };
    // They are caught before there is a program, so that none is lost in between.
    let signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2])
        .context("failed to wait for signals")?;
    let began = Instant::now();
    let mut command = Command::new(&plan.command[0]);
    command.args(&plan.command[1..]);
    let program = match Program::start(command, plan.is_traced) {
        Ok(program) => program,
        Err(error) => return Ok(not_started(plan, session, error)),
    };
    let forwarder = Forwarder::start(signals, &program);
    let needs = plan.until.as_ref().map_or(Detail::Layout, Check::needs);
    let goal = Goal {
        detail: needs.max(session.options.detail(Detail::Counts)),
        wanted: session.options.wanted(),
        at_exit: plan.at_exit,
        until: plan.until.clone(),
        interval: plan.interval,
    };
    let found = peak::sample(program, began, &goal, &session.options.open);
    drop(forwarder);
    let found = found?;

    let exit = match found.ending {
        Ending::Exited(0) if plan.until.is_some() && !found.has_held => Exit::CheckFailed,
        ending => Exit::Status(ending.shell_status()),
    };
    let kept = match found.kept {
        Ok(kept) => kept,
        Err(error) => {
            session.diagnostics.error(None, &error);
            return Ok(exit);
        }
    };
    let execution = Execution {
        command: &plan.command,
        when: kept.when,
        after: kept.after,
        at_exit: plan.at_exit,
        samples: found.samples,
        resident_peak: found.resident_peak,
        ending: found.ending,
        is_traced: found.is_traced,
        until: plan.until.as_ref().map(|check| (check, found.has_held)),
    };
    session.diagnostics.warnings(&title(plan), &kept.snapshot.warnings);
    let style = match output {
        // A file is no terminal.
        Some(_) => Style { color: false, width: None, ..session.options.style },
        None => session.options.style,
    };
    if let Some(file) = &output {
        // Only a regular file has a length to cut.
        let _ = file.set_len(0);
    }
    let out: &mut dyn Write = output.as_mut().map_or(&mut *session.out, |file| file);
    match show(session.options.format, style, &plan.rows, kept, &execution, out) {
        // The exit status is the program's all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(exit),
        shown => shown.map(|()| exit).map_err(Error::output),
    }
}

/// Reports that the program could not be started; the exit status is that of `env`.
fn not_started(plan: &Plan, session: &Session<'_>, error: io::Error) -> Exit {
    let status = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    let error = Error::from(error).context(format!("failed to start `{}`", title(plan)));
    session.diagnostics.error(None, &error);
    Exit::Status(status)
}

fn title(plan: &Plan) -> String {
    printable(plan.command[0].as_encoded_bytes())
}

fn show(
    format: Format,
    style: Style,
    rows: &Rows,
    kept: Kept,
    execution: &Execution<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (mut summary, snapshot) = (kept.summary, &*kept.snapshot);
    rows.sort(&mut summary);
    let summary = &summary;
    let mut render = renderer(format, style, false, out);
    let origins = Origins::from(snapshot);
    let look = rows.look(origins.source.os, summary.grouping);
    render.begin(&view::summary::head(&origins, summary, &look, None))?;
    for record in view::summary::records(summary, &look) {
        render.row(record.as_ref())?;
    }
    let mut tail = view::summary::tail(summary, &snapshot.warnings, snapshot.process.mapping_limit);
    note_warnings(&mut tail, &snapshot.warnings);
    view::run::add(&mut tail, execution, summary);
    render.end(&tail)?;
    render.finish()
}

/// The thread that passes signals on to the program. It ends when this is dropped.
struct Forwarder {
    signals: signal_hook::iterator::Handle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Forwarder {
    fn start(mut signals: Signals, program: &Program) -> Forwarder {
        let handle = signals.handle();
        let signaller = program.signaller();
        let thread = thread::spawn(move || {
            for signal in signals.forever() {
                // What is typed at the terminal reaches the program too: here it only must not end mmview.
                if !(matches!(signal, SIGINT | SIGQUIT) && has_terminal()) {
                    signaller.send(signal);
                }
            }
        });
        Forwarder { signals: handle, thread: Some(thread) }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.signals.close();
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, which was reported then.
            let _ = thread.join();
        }
    }
}
