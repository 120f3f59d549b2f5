//! `mmview crash`: why a process ended.

use mmview_platform::Detail;

use super::Task;
use crate::cli::args::CrashArgs;
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

pub(super) fn run(targets: &[Target], session: &mut Session<'_>) -> Result<Exit> {
    each(session, targets, show)
}

fn show(shown: &mut Shown<'_>) -> Result<Exit> {
    let (detail, wanted) = (shown.options.detail(Detail::Counts), shown.options.wanted());
    let (origins, regions) =
        shown.read(detail, wanted, |regions| regions.collect::<mmview_platform::Result<Vec<_>>>())?;
    let Some(report) = CrashReport::new(&origins.process, &regions) else {
        let text = "the target is no dump of a process that crashed";
        return shown.refused(Error::new(ErrorKind::Malformed, text), Some(&origins));
    };
    let warnings = shown.take_warnings();
    let mut tail = view::crash::tail(&warnings);
    shown.remark(&mut tail, &origins, &warnings);
    let head = view::crash::head(&origins, &report);
    let draw = shown.render.begin(&head).and_then(|()| shown.render.end(&tail));
    draw.map_err(Error::output)?;
    Ok(Exit::Done)
}
