//! `mmview man`: the manual pages.

use std::ffi::OsStr;
use std::io::{self, Write};

use crate::cli::args::command;
use crate::cli::exit::Exit;
use crate::cli::options::usage;
use crate::cli::session::Session;
use crate::compat::{Tool, pmap, vmmap};
use crate::error::{Error, Result};

pub(super) fn run(name: Option<&str>, session: &mut Session<'_>) -> Result<Exit> {
    let mut page = command();
    page.build();
    let written = match name {
        None => clap_mangen::Man::new(page).render(session.out),
        Some(name) => match (Tool::named(OsStr::new(name)), page.find_subcommand(name)) {
            (Some(tool), _) => page_of_tool(tool, session.out),
            (None, Some(subcommand)) => clap_mangen::Man::new(subcommand.clone()).render(session.out),
            (None, None) => {
                let names: Vec<_> = page.get_subcommands().map(clap::Command::get_name).collect();
                return usage(format!("there is no command `{name}`; the commands are {}", names.join(", ")));
            }
        },
    };
    written.and_then(|()| session.out.flush()).map_err(Error::output)?;
    Ok(Exit::Done)
}

/// The page of an imitated tool: its own help. mmview's options don't apply there.
fn page_of_tool(tool: Tool, out: &mut dyn Write) -> io::Result<()> {
    let name = tool.name();
    writeln!(
        out,
        ".TH mmview\\-{name} 1\n.SH NAME\nmmview\\-{name} \\- {name}'s own options and layout, by mmview"
    )?;
    writeln!(out, ".SH SYNOPSIS\n\\fBmmview {name}\\fR [options of {name}] ...\n.SH DESCRIPTION\n.nf")?;
    let help = match tool {
        Tool::Pmap => pmap::help(),
        Tool::Vmmap => vmmap::help(),
    };
    for line in help.lines() {
        writeln!(out, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    writeln!(out, ".fi")
}
