//! The tools that mmview can replace, pmap and vmmap: their command lines, layouts and exit statuses, from mmview's own model.
//!
//! Run each as a command (`mmview pmap …`) or through a link to mmview that has the tool's name.

pub mod pmap;
pub mod vmmap;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;

use mmview_platform::{OpenOptions, RegionSource, Warning};

use crate::error::{Error, Result};
use crate::text::printable_line;

/// A tool that mmview can replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// pmap of Linux, from procps-ng.
    Pmap,
    /// vmmap of macOS.
    Vmmap,
}

impl Tool {
    /// Returns the tool of that name.
    pub fn named(name: &OsStr) -> Option<Tool> {
        [Tool::Pmap, Tool::Vmmap].into_iter().find(|tool| name == tool.name())
    }

    /// Returns the tool that a program runs as, by the last part of its path.
    pub fn called(program: &OsStr) -> Option<Tool> {
        Tool::named(Path::new(program).file_name()?)
    }

    /// The name of the tool, the prefix of its messages.
    pub const fn name(self) -> &'static str {
        match self {
            Tool::Pmap => "pmap",
            Tool::Vmmap => "vmmap",
        }
    }
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Call {
    /// The arguments after its name.
    pub arguments: Vec<OsString>,
    /// How to open processes.
    pub open: OpenOptions,
    /// The width of the terminal; `None` if the output is no terminal.
    pub terminal_width: Option<usize>,
}

/// Opens a target of the command line: a PID, a name or a file.
pub type OpenTarget<'a> = dyn Fn(&OsStr) -> Result<Box<dyn RegionSource>> + 'a;

/// Reports the warnings about a map. The tools don't mention that a PID is a thread's or that kernel threads have no map, so those
/// warnings are left out.
fn report_warnings(tool: Tool, source: &mut dyn RegionSource, err: &mut dyn Write) {
    for warning in source.take_warnings() {
        if !matches!(warning, Warning::ThreadOf { .. } | Warning::KernelThread { .. }) {
            report(err, tool, &format!("warning: {warning}"));
        }
    }
}

/// Writes a message to standard error. If even that fails, nothing is left to do.
fn report(err: &mut dyn Write, tool: Tool, text: &str) {
    let _ = writeln!(err, "{}: {}", tool.name(), printable_line(text));
}

/// Reports a failure, with hints.
fn report_failure(err: &mut dyn Write, tool: Tool, error: &Error) {
    report(err, tool, &format!("{error:#}"));
    for hint in error.hints() {
        let _ = writeln!(err, "  {hint}");
    }
}
