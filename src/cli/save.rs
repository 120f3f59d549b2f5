//! Saving a target's map in an archive.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::Context as _;
use mmview_platform::{Detail, write_archive};

use super::plan::Plan;
use super::target::Target;
use super::{Exit, UNWRITABLE, tell_warnings};
use crate::archive;
use crate::render::Format;
use crate::render::text::printable;

/// Reads `target` and saves what it says in `output`.
pub(super) fn save(plan: &Plan, target: &Target, output: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let is_stdout = output.as_os_str() == "-";
    if is_stdout && io::stdout().is_terminal() {
        anyhow::bail!("an archive is not for a terminal: write -o FILE, or `-o -` into a pipe");
    }
    let mut source = target.open(&plan.open)?;
    let snapshot = source.snapshot(plan.detail(Detail::Counts))?;
    tell_warnings(target, &snapshot.warnings);
    if is_stdout {
        write_archive(&snapshot, out).context(UNWRITABLE)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    let size = archive::save(&snapshot, output)?;
    if plan.format == Format::Table {
        let name = snapshot.process.name.as_deref().map(|name| format!(" of {}", printable(name)));
        let pid = snapshot.process.pid.map(|pid| format!(" [{pid}]"));
        writeln!(
            out,
            "Saved {} regions{}{} in {} ({} bytes)",
            snapshot.regions.len(),
            name.unwrap_or_default(),
            pid.unwrap_or_default(),
            printable(output.as_os_str().as_encoded_bytes()),
            size,
        )?;
        out.flush()?;
    }
    Ok(Exit::Done)
}
