//! What the command line comes to, once the terminal and the environment have been asked.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use mmview_platform::{Detail, OpenOptions};

use super::args::{
    Args, ColorChoice, Command, Common, DemoArgs, DiffArgs, RegionsArgs, RunArgs, SnapshotArgs, Targets,
    WatchArgs,
};
use super::target::Target;
use crate::check::Check;
use crate::compat::{Call, Tool};
use crate::demo::{self, LESSONS, Pace};
use crate::filter::{Filter, SortKey, parse_address};
use crate::render::{Format, Style};

/// What to do, and how it is to look.
#[derive(Debug)]
pub struct Plan {
    pub(super) task: Task,
    pub(super) format: Format,
    pub(super) style: Style,
    pub(super) open: OpenOptions,
    /// How much is to be read of each region, where that was said.
    pub(super) detail: Option<Detail>,
    verbose: u8,
}

#[derive(Debug)]
pub(super) enum Task {
    Show { targets: Vec<Target>, view: ViewPlan },
    Save { target: Target, output: PathBuf },
    Compare(Sides),
    Watch(WatchPlan),
    Launch(LaunchPlan),
    Demo(demo::Options),
    Imitate(Call),
    ListLessons,
    Completions(clap_complete::Shell),
    Man(Option<String>),
}

#[derive(Debug)]
pub(super) enum ViewPlan {
    Summary,
    Address(u64),
    Regions { filter: Filter, sort: Option<SortKey>, reverse: bool, gaps: bool },
    Check { checks: Vec<Check>, quiet: bool },
}

/// What is to be compared.
#[derive(Debug)]
pub(super) enum Sides {
    /// One target with another.
    Two(Target, Target),
    /// One target with itself, so long after.
    Later(Target, Duration),
}

/// What to watch, and for how long.
#[derive(Debug)]
pub(super) struct WatchPlan {
    pub target: Target,
    pub interval: Duration,
    pub limit: Option<Duration>,
    pub until: Option<Check>,
}

/// What to start, and what to show of it.
#[derive(Debug)]
pub(super) struct LaunchPlan {
    pub command: Vec<OsString>,
    pub at_exit: bool,
    pub until: Option<Check>,
    pub interval: Duration,
    pub output: Option<PathBuf>,
    pub traced: bool,
}

/// The command line is wrong in a way that only shows in the whole.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub(super) String);

impl Plan {
    pub(super) fn resolve(args: Args) -> anyhow::Result<Plan> {
        let Common { format, json, units, color, wide, detail, gentle, max_stall, procfs, verbose } =
            args.common;
        let is_terminal = std::io::stdout().is_terminal();
        let style = Style {
            color: match color {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => is_terminal && wants_color(),
            },
            width: (is_terminal && !wide).then(terminal_width).flatten(),
            units,
        };
        let open = OpenOptions { procfs, max_stall: gentle.then_some(max_stall), ..OpenOptions::default() };
        let imitate = |tool, arguments| {
            Task::Imitate(Call { tool, arguments, open: open.clone(), terminal_width: style.width })
        };
        if args.command.is_some() && !args.targets.is_empty() {
            let text = "the targets of a command stand after it, as in `mmview regions 4242`; \
                        a process that is called like a command is meant by --name";
            return Err(Usage(text.to_owned()).into());
        }
        let task = match args.command {
            None => summary(args.targets)?,
            Some(Command::Regions(args)) => regions(args)?,
            Some(Command::Snapshot(args)) => save(args)?,
            Some(Command::Diff(args)) => compare(args)?,
            Some(Command::Watch(args)) => watch(args)?,
            Some(Command::Run(args)) => launch(args)?,
            Some(Command::Check(args)) => super::commands::check::plan(args)?,
            Some(Command::Demo(args)) if args.list => Task::ListLessons,
            Some(Command::Demo(args)) => demo(args, is_terminal)?,
            Some(Command::Pmap(args)) => imitate(Tool::Pmap, args.arguments),
            Some(Command::Vmmap(args)) => imitate(Tool::Vmmap, args.arguments),
            Some(Command::Completions { shell }) => Task::Completions(shell),
            Some(Command::Man { command }) => Task::Man(command),
        };
        Ok(Plan {
            task,
            format: if json { Format::Json } else { format },
            style,
            open,
            detail: detail.map(Detail::from),
            verbose,
        })
    }

    /// With what follows the tool's name, where the plan is to take the place of another tool.
    pub(super) fn with_tool_arguments(mut self, arguments: Option<&[OsString]>) -> Plan {
        if let (Task::Imitate(call), Some(arguments)) = (&mut self.task, arguments) {
            call.arguments = arguments.to_vec();
        }
        self
    }

    /// How much is to be read of each region for a view that usually has `usual`: as much as was said, else that, or what a
    /// gentle reading can tell.
    pub(super) fn detail(&self, usual: Detail) -> Detail {
        let unsaid = if self.open.max_stall.is_some() { Detail::Resident } else { usual };
        self.detail.unwrap_or(unsaid)
    }

    /// How much is to be logged.
    pub fn log_level(&self) -> LevelFilter {
        match self.verbose {
            0 => LevelFilter::Warn,
            1 => LevelFilter::Info,
            2 => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        }
    }
}

fn demo(args: DemoArgs, is_terminal: bool) -> anyhow::Result<Task> {
    if args.file.is_some() && !args.all && args.lesson != LESSONS[0].name {
        let text = format!(
            "--file is for the lesson {}; {} makes what it maps itself",
            LESSONS[0].name, args.lesson
        );
        return Err(Usage(text).into());
    }
    let pace = match args.hold {
        Some(time) => Pace::Hold(time),
        None if args.step || (is_terminal && std::io::stdin().is_terminal()) => Pace::Enter,
        None => Pace::Straight,
    };
    Ok(Task::Demo(demo::Options { lesson: (!args.all).then_some(args.lesson), file: args.file, pace }))
}

fn summary(args: Targets) -> anyhow::Result<Task> {
    let (targets, address) = resolve_targets(args)?;
    let view = address.map_or(ViewPlan::Summary, ViewPlan::Address);
    Ok(Task::Show { targets, view })
}

fn regions(args: RegionsArgs) -> anyhow::Result<Task> {
    let (targets, address) = resolve_targets(args.targets)?;
    if let Some(address) = address {
        let text = format!(
            "`mmview regions` takes no ADDRESS: write --addr {address:#x}, or `mmview TARGET {address:#x}`"
        );
        return Err(Usage(text).into());
    }
    let filter = Filter {
        kinds: args.kind.concat(),
        paths: args.path,
        permissions: args.perm,
        addresses: args.addr,
        min_size: args.min_size,
    };
    let sort = args.sort.or(args.reverse.then_some(SortKey::Address));
    let view = ViewPlan::Regions { filter, sort, reverse: args.reverse, gaps: args.gaps };
    Ok(Task::Show { targets, view })
}

fn save(args: SnapshotArgs) -> anyhow::Result<Task> {
    let target = one_target(args.targets, "snapshot")?;
    Ok(Task::Save { target, output: args.output })
}

fn compare(args: DiffArgs) -> anyhow::Result<Task> {
    let mut targets = no_address(args.targets, "diff")?.into_iter();
    let sides = match (targets.next(), targets.next(), targets.next(), args.interval) {
        (Some(before), Some(after), None, None) => Sides::Two(before, after),
        (Some(target), None, None, Some(interval)) => Sides::Later(target, interval),
        (Some(_), None, None, None) => {
            return usage(
                "compare it with what? Write a second target, or --interval 5s to compare it with itself",
            );
        }
        (_, _, None, Some(_)) => {
            return usage("--interval compares one target with itself; leave it out, or the second target");
        }
        _ => return usage("two targets are compared, before and after: there is a third"),
    };
    Ok(Task::Compare(sides))
}

fn watch(args: WatchArgs) -> anyhow::Result<Task> {
    let target = one_target(args.targets, "watch")?;
    let until = until(args.until)?;
    Ok(Task::Watch(WatchPlan { target, interval: args.interval, limit: args.r#for, until }))
}

fn launch(args: RunArgs) -> anyhow::Result<Task> {
    Ok(Task::Launch(LaunchPlan {
        command: args.command,
        at_exit: args.at_exit,
        until: until(args.until)?,
        interval: args.interval,
        output: args.output,
        traced: !args.no_trace,
    }))
}

fn until(word: Option<OsString>) -> anyhow::Result<Option<Check>> {
    word.as_ref().map(super::commands::check::from_word).transpose()
}

pub(super) fn usage<T>(text: &str) -> anyhow::Result<T> {
    Err(Usage(text.to_owned()).into())
}

/// The targets of a command that takes no address.
fn no_address(args: Targets, command: &str) -> anyhow::Result<Vec<Target>> {
    match resolve_targets(args)? {
        (targets, None) => Ok(targets),
        (_, Some(_)) => usage(&format!("`mmview {command}` takes no ADDRESS")),
    }
}

/// The target of a command that takes one.
fn one_target(args: Targets, command: &str) -> anyhow::Result<Target> {
    let mut targets = no_address(args, command)?;
    match targets.len() {
        1 => Ok(targets.remove(0)),
        _ => usage(&format!("`mmview {command}` takes one target at a time")),
    }
}

/// The targets in the order of the line, and the address after them.
fn resolve_targets(args: Targets) -> anyhow::Result<(Vec<Target>, Option<u64>)> {
    let mut targets = Vec::new();
    let mut address = None;
    for text in args.targets {
        match text.to_str().filter(|text| text.starts_with("0x") || text.starts_with("0X")) {
            Some(text) if address.is_none() => {
                address = Some(parse_address(text).map_err(|error| Usage(error.to_string()))?)
            }
            Some(text) => {
                return Err(Usage(format!("one ADDRESS at a time: `{text}` is the second")).into());
            }
            None => targets.push(Target::resolve(text)),
        }
    }
    targets.extend(args.pid.into_iter().map(Target::Pid));
    targets.extend(args.file.into_iter().map(Target::File));
    targets.extend(args.name.into_iter().map(Target::Name));
    if targets.is_empty() {
        let text = match address {
            Some(address) => {
                format!("{address:#x} in which process? Write its PID, name or file before the address")
            }
            None => "which process? Write a PID, a name or a file; `mmview --help` tells more".to_owned(),
        };
        return Err(Usage(text).into());
    }
    Ok((targets, address))
}

/// https://no-color.org, and terminals that say they can't.
fn wants_color() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| width.0.into()).filter(|&width| width > 0)
}
