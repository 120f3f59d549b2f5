//! `mmview cores`: the dumps that systemd-coredump keeps.

use std::path::Path;

use mmview_platform::kept_dumps;

use super::Task;
use crate::cli::args::CoresArgs;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::error::{Error, Result};
use crate::render::renderer;
use crate::view;

pub(super) fn plan(args: CoresArgs) -> Task {
    Task::Cores(args.directory)
}

pub(super) fn run(directory: &Path, session: &mut Session<'_>) -> Result<Exit> {
    let dumps = kept_dumps(directory)?;
    let mut render = renderer(session.options.format, session.options.style, false, session.out);
    let mut draw = || {
        render.begin(&view::cores::head())?;
        dumps.iter().try_for_each(|dump| render.row(&view::cores::row(dump)))?;
        render.end(&view::cores::tail(dumps.len(), directory))?;
        render.finish()
    };
    draw().map_err(Error::output)?;
    Ok(Exit::Done)
}
