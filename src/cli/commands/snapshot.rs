//! `mmview snapshot`: saving a map in an archive.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use mmview_platform::{Detail, MemoryMap, write_archive};

use super::Task;
use crate::archive;
use crate::cli::args::SnapshotArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{one_target, usage};
use crate::cli::session::Session;
use crate::cli::shown::refuse;
use crate::cli::target::Target;
use crate::error::{Error, Result};
use crate::render::renderer;
use crate::sample::retry;
use crate::snapshot::Snapshot;
use crate::view;

#[derive(Debug)]
pub struct Plan {
    target: Target,
    output: PathBuf,
}

pub(super) fn plan(args: SnapshotArgs) -> Result<Task> {
    let target = one_target(args.targets, "snapshot")?;
    Ok(Task::Snapshot(Plan { target, output: args.output }))
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    if plan.output.as_os_str() != "-" {
        return save(plan, session);
    }
    if io::stdout().is_terminal() {
        return usage("an archive is not text for a terminal: use -o FILE, or `-o -` into a pipe");
    }
    let map = read(plan, session)?;
    write_archive(&map, &mut *session.out).and_then(|()| session.out.flush()).map_err(Error::output)?;
    Ok(Exit::Done)
}

fn read(plan: &Plan, session: &Session<'_>) -> Result<MemoryMap> {
    let mut source = plan.target.open(&session.options.open)?;
    let map = retry::map(source.as_mut(), session.options.detail(Detail::Counts), session.options.wanted())?;
    session.diagnostics.warnings(&plan.target.title(), &map.warnings);
    Ok(map)
}

fn save(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    let saved = read(plan, session).and_then(|map| Ok((archive::save(&map, &plan.output)?, map)));
    let mut render = renderer(session.options.format, session.options.style, false, session.out);
    match saved {
        Ok((bytes, map)) => {
            let (head, tail) = view::snapshot::saved(&Snapshot::from(map), &plan.output, bytes);
            let drawn = render.begin(&head).and_then(|()| render.end(&tail)).and_then(|()| render.finish());
            drawn.map_err(Error::output)?;
            Ok(Exit::Done)
        }
        Err(error) => {
            refuse(session.options, &plan.target, &error, render.as_mut())?;
            session.diagnostics.error(None, &error);
            Ok(Exit::of(&error))
        }
    }
}
