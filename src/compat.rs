//! The personalities of the tools that mmview takes the place of: their command lines, their layouts, their exit statuses,
//! from mmview's own model.
//!
//! Each is reached as a command (`mmview pmap …`) and by the name that mmview is called by: a link `pmap` to it is a `pmap`.

pub mod pmap;
pub mod vmmap;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use mmview_platform::{OpenOptions, RegionSource, Warning};

use crate::text::printable_line;

/// A tool that mmview takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Linux's, from procps-ng.
    Pmap,
    /// macOS'.
    Vmmap,
}

impl Tool {
    /// The tool of that name.
    pub fn named(name: &OsStr) -> Option<Tool> {
        [Tool::Pmap, Tool::Vmmap].into_iter().find(|tool| name == tool.name())
    }

    /// The tool that a program is called as, by the last part of its path.
    pub fn called(program: &OsStr) -> Option<Tool> {
        Tool::named(Path::new(program).file_name()?)
    }

    /// Its name, which its messages begin with.
    pub const fn name(self) -> &'static str {
        match self {
            Tool::Pmap => "pmap",
            Tool::Vmmap => "vmmap",
        }
    }
}

/// A call of one of the tools.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which tool.
    pub tool: Tool,
    /// What follows its name.
    pub arguments: Vec<OsString>,
    /// How to find processes.
    pub open: OpenOptions,
    /// How many columns the terminal has that is written to.
    pub terminal_width: Option<usize>,
}

/// Opens what a word of a command line stands for: a PID, a name, a file.
pub type OpenTarget<'a> = dyn Fn(&OsStr) -> crate::Result<Box<dyn RegionSource>> + 'a;

/// Does what the tool would do, and returns its exit status.
///
/// # Errors
///
/// Those of `out`. All other failures have been told on `err`, and are in the status.
pub fn run(
    call: &Call,
    open_target: &OpenTarget<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let status = match call.tool {
        Tool::Pmap => pmap::run(call, out, err)?,
        Tool::Vmmap => vmmap::run(call, open_target, out, err)?,
    };
    out.flush()?;
    Ok(status)
}

/// What the tool's `--help` prints: its options, and what is different.
pub fn help(tool: Tool) -> String {
    match tool {
        Tool::Pmap => pmap::help(),
        Tool::Vmmap => vmmap::help(),
    }
}

/// Tells the doubts about what was read. Which process a thread belongs to and that the kernel's threads have no map is no
/// doubt: the tools show that without a word.
fn tell_warnings(tool: Tool, source: &mut dyn RegionSource, err: &mut dyn Write) {
    for warning in source.take_warnings() {
        if !matches!(warning, Warning::ThreadOf { .. } | Warning::KernelThread { .. }) {
            tell(err, tool, &format!("warning: {warning}"));
        }
    }
}

/// Tells something on standard error; where even that fails, nothing is left to do.
fn tell(err: &mut dyn Write, tool: Tool, text: &str) {
    let _ = writeln!(err, "{}: {}", tool.name(), printable_line(text));
}

/// Tells why something failed, and what would help.
fn tell_error(err: &mut dyn Write, tool: Tool, error: &crate::Error) {
    tell(err, tool, &format!("{error:#}"));
    for hint in error.hints() {
        let _ = writeln!(err, "  {hint}");
    }
}
