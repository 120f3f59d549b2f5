//! Saving a target's map in an archive.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::Context as _;
use mmview_platform::{Detail, write_archive};

use crate::archive;
use crate::cli::plan::{Plan, usage};
use crate::cli::show::refuse;
use crate::cli::target::Target;
use crate::cli::{Exit, UNWRITABLE, report, tell_warnings};
use crate::render::renderer;
use crate::snapshot::Snapshot;
use crate::view;

/// Reads `target` and saves what it says in `output`.
pub(in crate::cli) fn save(
    plan: &Plan,
    target: &Target,
    output: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let is_stdout = output.as_os_str() == "-";
    if is_stdout && io::stdout().is_terminal() {
        return usage("an archive is not for a terminal: write -o FILE, or `-o -` into a pipe");
    }
    let read = || {
        let mut source = target.open(&plan.open)?;
        let snapshot = source.read(plan.detail(Detail::Counts))?;
        tell_warnings(&target.title(), &snapshot.warnings);
        Ok(snapshot)
    };
    if is_stdout {
        write_archive(&read()?, out).context(UNWRITABLE)?;
        out.flush().context(UNWRITABLE)?;
        return Ok(Exit::Done);
    }
    let saved = read().and_then(|snapshot| Ok((archive::save(&snapshot, output)?, snapshot)));
    let mut render = renderer(plan.format, plan.style, false, out);
    match saved {
        Ok((bytes, snapshot)) => {
            let snapshot = Snapshot::from(snapshot);
            let (head, tail) = view::snapshot::saved(&snapshot, output, bytes);
            render.begin(&head).and_then(|()| render.end(&tail)).context(UNWRITABLE)?;
            render.finish().context(UNWRITABLE)?;
            Ok(Exit::Done)
        }
        Err(error) => {
            refuse(plan.format, target, &error, render.as_mut()).context(UNWRITABLE)?;
            report(&error, None);
            Ok(Exit::of(&error))
        }
    }
}
