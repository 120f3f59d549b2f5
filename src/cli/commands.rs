//! The commands, one file each, named after the command.

mod address;
mod check;
mod columns;
mod completions;
mod cores;
mod crash;
mod demo;
mod diff;
mod explain;
mod heap;
mod man;
mod pmap;
mod regions;
mod run;
mod snapshot;
mod summary;
mod vmmap;
mod watch;

use std::ffi::OsString;

use super::args::{Args, Command, GroupingChoice};
use super::exit::Exit;
use super::options::{Options, usage};
use super::session::Session;
use super::target::Target;
use crate::compat::Call;
use crate::error::Result;
use crate::field::Place;

/// What to do.
#[derive(Debug)]
pub(super) enum Task {
    Summary(summary::Plan),
    Address(Vec<Target>, u64),
    Columns(Place),
    Regions(regions::Plan),
    Heap(heap::Plan),
    Explain(explain::Plan),
    Cores(std::path::PathBuf),
    Crash(Vec<Target>),
    Check(check::Plan),
    Snapshot(snapshot::Plan),
    Diff(diff::Plan),
    Watch(watch::Plan),
    Run(run::Plan),
    Demo(crate::demo::Options),
    Lessons,
    Pmap(Call),
    Vmmap(Call),
    Completions(clap_complete::Shell),
    Man(Option<String>),
}

impl Task {
    /// Whether it catches signals itself, to end in an orderly way.
    pub fn catches_signals(&self) -> bool {
        matches!(self, Task::Watch(_) | Task::Run(_) | Task::Demo(_))
    }
}

/// Resolves the command line. `tool_arguments` are the arguments of an imitated tool, if the command line was split.
pub(super) fn plan(args: Args, tool_arguments: Option<&[OsString]>) -> Result<(Task, Options)> {
    if args.command.is_some() && !args.targets.is_empty() {
        return usage(
            "a command comes before its targets, as in `mmview regions 4242`; use --name for a process that has the name \
             of a command",
        );
    }
    if args.command.is_some() && args.by != GroupingChoice::default() {
        return usage(
            "--by before a command is about the summary; `heap --by` is another option, after the command",
        );
    }
    if args.command.is_some() && !args.rows.is_usual() {
        return usage(
            "--columns, --sort and --reverse before a command are about the summary: write them after it",
        );
    }
    let options = Options::resolve(args.common);
    let call = |typed: Vec<OsString>| {
        let arguments = tool_arguments.map_or(typed, <[OsString]>::to_vec);
        let open = options.open.clone();
        Call { arguments, open, terminal_width: options.style.width }
    };
    let task = match args.command {
        None if crash::is_asked(&args.targets) => crash::plan_of_targets(args.targets)?,
        None => summary::plan(args.targets, args.by.into(), args.rows)?,
        Some(Command::Regions(args)) => regions::plan(args)?,
        Some(Command::Heap(args)) => heap::plan(args)?,
        Some(Command::Explain(args)) => explain::plan(args)?,
        Some(Command::Cores(args)) => cores::plan(args),
        Some(Command::Crash(args)) => crash::plan(args)?,
        Some(Command::Check(args)) => check::plan(args)?,
        Some(Command::Snapshot(args)) => snapshot::plan(args)?,
        Some(Command::Diff(args)) => diff::plan(args)?,
        Some(Command::Watch(args)) => watch::plan(args)?,
        Some(Command::Run(args)) => run::plan(args)?,
        Some(Command::Demo(args)) => demo::plan(args, options.is_terminal)?,
        Some(Command::Pmap(args)) => Task::Pmap(call(args.arguments)),
        Some(Command::Vmmap(args)) => Task::Vmmap(call(args.arguments)),
        Some(Command::Completions { shell }) => Task::Completions(shell),
        Some(Command::Man { command }) => Task::Man(command),
    };
    Ok((task, options))
}

/// Does it.
pub(super) fn run(task: &Task, session: &mut Session<'_>) -> Result<Exit> {
    match task {
        Task::Summary(plan) => summary::run(plan, session),
        Task::Address(targets, address) => address::run(targets, *address, session),
        Task::Columns(place) => columns::run(*place, session),
        Task::Regions(plan) => regions::run(plan, session),
        Task::Heap(plan) => heap::run(plan, session),
        Task::Explain(plan) => explain::run(plan, session),
        Task::Cores(directory) => cores::run(directory, session),
        Task::Crash(targets) => crash::run(targets, session),
        Task::Check(plan) => check::run(plan, session),
        Task::Snapshot(plan) => snapshot::run(plan, session),
        Task::Diff(plan) => diff::run(plan, session),
        Task::Watch(plan) => watch::run(plan, session),
        Task::Run(plan) => run::run(plan, session),
        Task::Demo(options) => demo::run(options, session),
        Task::Lessons => demo::list(session),
        Task::Pmap(call) => pmap::run(call, session),
        Task::Vmmap(call) => vmmap::run(call, session),
        Task::Completions(shell) => completions::run(*shell, session),
        Task::Man(command) => man::run(command.as_deref(), session),
    }
}
