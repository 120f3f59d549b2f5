//! `mmview crash`: why a process ended.

use mmview_platform::Detail;

use super::Task;
use crate::cli::args::{CrashArgs, Targets};
use crate::cli::exit::Exit;
use crate::cli::options::no_address;
use crate::cli::session::Session;
use crate::cli::shown::{Shown, each};
use crate::cli::target::Target;
use crate::crash::CrashReport;
use crate::error::{Error, ErrorKind, Result};
use crate::view;

pub(super) fn plan(args: CrashArgs) -> Result<Task> {
    Ok(Task::Crash(no_address(args.targets, "crash")?))
}

/// Whether the targets of a summary end in the word `crash`, which asks for this.
pub(super) fn is_asked(args: &Targets) -> bool {
    args.targets.len() > 1 && args.targets.last().is_some_and(|last| last == "crash")
}

/// The plan for such targets.
pub(super) fn plan_of_targets(mut args: Targets) -> Result<Task> {
    args.targets.pop();
    plan(CrashArgs { targets: args })
}

pub(super) fn run(targets: &[Target], session: &mut Session<'_>) -> Result<Exit> {
    each(session, targets, show)
}

fn show(shown: &mut Shown<'_>) -> Result<Exit> {
    let (detail, wanted) = (shown.options.detail(Detail::Counts), shown.options.wanted());
    let (origins, regions) =
        shown.read(detail, wanted, |regions| regions.collect::<mmview_platform::Result<Vec<_>>>())?;
    if !origins.source.is_dump() {
        let text = format!("{} is not a memory dump: only those show why a process ended", origins.target());
        return shown.refused(Error::new(ErrorKind::Malformed, text), Some(&origins));
    }
    let report = CrashReport::new(&origins.process, &regions);
    let warnings = shown.take_warnings();
    let mut tail = view::crash::tail(&warnings);
    shown.remark(&mut tail, &origins, &warnings);
    let mut head = view::crash::head(&origins, &report);
    head.sections.splice(0..0, view::crash::partial(&origins, &warnings));
    let draw = shown.render.begin(&head).and_then(|()| shown.render.end(&tail));
    draw.map_err(Error::output)?;
    Ok(Exit::Done)
}
