//! The options of every command and its targets, resolved with the terminal and the environment.

use std::io::IsTerminal;

use log::LevelFilter;
use mmview_platform::{Detail, Evidence, OpenOptions};

use super::args::{ColorChoice, Common, Targets};
use super::target::Target;
use crate::criteria::parse_address;
use crate::error::{Error, ErrorKind, Result};
use crate::owners::Wanted;
use crate::render::{Format, Style};

/// The options of every command.
#[derive(Debug)]
pub(super) struct Options {
    pub format: Format,
    pub style: Style,
    pub open: OpenOptions,
    /// How much to read of each region, if given.
    pub detail: Option<Detail>,
    /// How far to go for the purpose of memory.
    pub evidence: Evidence,
    verbose: u8,
    /// Whether the output is a terminal.
    pub is_terminal: bool,
}

impl Options {
    pub fn resolve(common: Common) -> Options {
        let Common {
            format,
            json,
            units,
            color,
            wide,
            detail,
            evidence,
            gentle,
            max_stall,
            part,
            procfs,
            verbose,
        } = common;
        let is_terminal = std::io::stdout().is_terminal();
        let style = Style {
            color: match color {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => is_terminal && wants_color(),
            },
            is_wide: wide,
            width: (is_terminal && !wide).then(terminal_width).flatten(),
            units: units.into(),
        };
        Options {
            format: if json { Format::Json } else { format },
            style,
            open: OpenOptions::new().procfs(procfs).part(part).max_stall(gentle.then_some(max_stall)),
            detail: detail.map(Detail::from),
            evidence: evidence
                .map_or(if gentle { Evidence::Shape } else { Evidence::Memory }, Evidence::from),
            verbose,
            is_terminal,
        }
    }

    /// How much to read of each region for a view that usually needs `usual`: what was given, else that, or as much as gentle
    /// reading can have.
    pub fn detail(&self, usual: Detail) -> Detail {
        let default = if self.open.max_stall.is_some() { Detail::Resident } else { usual };
        self.detail.unwrap_or(default)
    }

    /// What to look for in the memory of a process.
    pub fn wanted(&self) -> Wanted {
        Wanted::up_to(self.evidence)
    }

    /// Whether to say how the memory was read.
    pub fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// How much to log.
    pub fn log_level(&self) -> LevelFilter {
        match self.verbose {
            0 => LevelFilter::Warn,
            1 => LevelFilter::Info,
            2 => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        }
    }
}

/// A wrong command line.
pub(super) fn usage<T>(text: impl Into<String>) -> Result<T> {
    Err(usage_error(text))
}

/// The error for a wrong command line.
pub(super) fn usage_error(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, text)
}

/// The targets of a command that takes no address.
pub(super) fn no_address(args: Targets, command: &str) -> Result<Vec<Target>> {
    match resolve_targets(args)? {
        (targets, None) => Ok(targets),
        (_, Some(_)) => usage(format!("`mmview {command}` takes no ADDRESS")),
    }
}

/// The target of a command that takes one.
pub(super) fn one_target(args: Targets, command: &str) -> Result<Target> {
    let mut targets = no_address(args, command)?;
    match targets.len() {
        1 => Ok(targets.remove(0)),
        _ => usage(format!("`mmview {command}` takes one target")),
    }
}

/// The targets in the order of the command line, and the address after them.
pub(super) fn resolve_targets(args: Targets) -> Result<(Vec<Target>, Option<u64>)> {
    let mut targets = Vec::new();
    let mut address = None;
    for text in args.targets {
        match text.to_str().filter(|text| text.starts_with("0x") || text.starts_with("0X")) {
            Some(text) if address.is_none() => {
                address = Some(parse_address(text).map_err(|error| usage_error(error.to_string()))?);
            }
            Some(text) => return usage(format!("only one ADDRESS is possible: `{text}` is the second")),
            None => targets.push(Target::resolve(text)),
        }
    }
    targets.extend(args.pid.into_iter().map(Target::Pid));
    targets.extend(args.file.into_iter().map(Target::file));
    targets.extend(args.name.into_iter().map(Target::Name));
    if targets.is_empty() {
        return usage(match address {
            Some(address) => {
                format!("{address:#x} in which process? Write its PID, name or file before the address")
            }
            None => "which process? Write a PID, a name or a file; see `mmview --help`".to_owned(),
        });
    }
    Ok((targets, address))
}

/// See https://no-color.org; `TERM=dumb` says that the terminal has no colors.
fn wants_color() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| width.0.into()).filter(|&width| width > 0)
}
