//! Doing what was planned.

use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};

use anyhow::Context as _;

use super::commands;
use super::plan::{Plan, Task, ViewPlan};
use super::show::{Failure, show};
use super::target::Target;
use super::{Exit, UNWRITABLE, report};
use crate::compat::{self, Tool};
use crate::demo;
use crate::render::renderer;

pub(super) fn run(plan: Plan) -> anyhow::Result<Exit> {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match &plan.task {
        Task::Show { targets, view } => show_all(&plan, targets, view, &mut out),
        Task::Save { target, output } => commands::snapshot::save(&plan, target, output, &mut out),
        Task::Compare(sides) => commands::diff::compare(&plan, sides, &mut out),
        Task::Watch(watch) => commands::watch::watch(&plan, watch, &mut out),
        Task::Launch(launch) => commands::run::launch(&plan, launch, &mut out),
        Task::Demo(options) => commands::demo::demo(&plan, options, &mut out),
        Task::Imitate(call) => {
            let open = |text: &OsStr| Target::resolve(text.to_owned()).open(&call.open);
            let status = compat::run(call, &open, &mut out, &mut io::stderr())?;
            Ok(if status == 0 { Exit::Done } else { Exit::Imitated(status) })
        }
        Task::ListLessons => {
            demo::list(plan.format, plan.style, &mut out)?;
            Ok(Exit::Done)
        }
        Task::Completions(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut super::command(), "mmview", &mut script);
            out.write_all(&script)?;
            out.flush()?;
            Ok(Exit::Done)
        }
        Task::Man(command) => man(command.as_deref(), &mut out),
    }
}

fn man(command: Option<&str>, out: &mut dyn Write) -> anyhow::Result<Exit> {
    if let Some(tool) = command.and_then(|name| Tool::named(OsStr::new(name))) {
        return man_of_tool(tool, out);
    }
    let mut page = super::command();
    page.build();
    if let Some(name) = command {
        let Some(subcommand) = page.find_subcommand(name) else {
            let names: Vec<_> = page.get_subcommands().map(clap::Command::get_name).collect();
            let error =
                anyhow::anyhow!("there is no command `{name}`; the commands are {}", names.join(", "));
            report(&error, None);
            return Ok(Exit::Usage);
        };
        page = subcommand.clone();
    }
    clap_mangen::Man::new(page).render(out)?;
    out.flush()?;
    Ok(Exit::Done)
}

/// The page of a tool whose place mmview takes: what the tool's own help says. None of mmview's options are options there.
fn man_of_tool(tool: Tool, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let name = tool.name();
    writeln!(
        out,
        ".TH mmview\\-{name} 1\n.SH NAME\nmmview\\-{name} \\- {name}'s own options and layout, by mmview"
    )?;
    writeln!(out, ".SH SYNOPSIS\n\\fBmmview {name}\\fR [options of {name}] ...\n.SH DESCRIPTION\n.nf")?;
    for line in compat::help(tool).lines() {
        writeln!(out, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    writeln!(out, ".fi")?;
    out.flush()?;
    Ok(Exit::Done)
}

/// Shows every target; the first failure decides how it ends.
fn show_all(plan: &Plan, targets: &[Target], view: &ViewPlan, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut render = renderer(plan.format, plan.style, targets.len() > 1, out);
    let mut exit = Exit::Done;
    for target in targets {
        let error = match show(plan, target, view, render.as_mut()) {
            Ok(ended) => {
                if exit == Exit::Done {
                    exit = ended;
                }
                continue;
            }
            Err(Failure::Target(error)) => error,
            Err(Failure::Output(error)) => return Err(anyhow::Error::from(error).context(UNWRITABLE)),
        };
        if exit == Exit::Done {
            exit = Exit::of(&error);
        }
        let about = (targets.len() > 1).then(|| target.title());
        report(&error, about.as_deref());
    }
    render.finish().context(UNWRITABLE)?;
    Ok(exit)
}
