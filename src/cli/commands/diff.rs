//! Showing what is different between two targets, or between one and itself some time later.

use std::io::Write;
use std::time::Duration;

use mmview_platform::{Detail, RegionSource, Warning};

use crate::cli::plan::{Plan, Sides, usage};
use crate::cli::show::{note_warnings, refuse};
use crate::cli::target::Target;
use crate::cli::{Exit, UNWRITABLE, report, tell_warnings};
use crate::diff::Diff;
use crate::render::renderer;
use crate::snapshot::Snapshot;
use crate::view::diff::Comparison;
use anyhow::Context as _;

/// Compares what `sides` names.
pub(in crate::cli) fn compare(plan: &Plan, sides: &Sides, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let read = match sides {
        Sides::Two(before, after) => read(plan, before).and_then(|first| Ok((first, read(plan, after)?))),
        Sides::Later(target, interval) => read_twice(plan, target, *interval),
    };
    let mut render = renderer(plan.format, plan.style, false, out);
    let (before, after) = match read {
        Ok(snapshots) => snapshots,
        Err(Unreadable { target, error }) => {
            refuse(plan.format, &target, &error, render.as_mut()).context(UNWRITABLE)?;
            report(&error, Some(&target.title()));
            render.finish().context(UNWRITABLE)?;
            return Ok(Exit::of(&error));
        }
    };
    let diff = Diff::between(&before, &after);
    let comparison = Comparison::new(&before, &after, &diff, plan.style.units);
    let warnings: Vec<Warning> = before.warnings.iter().chain(&after.warnings).cloned().collect();
    let mut draw = || {
        render.begin(&comparison.head())?;
        for (index, records) in comparison.records().into_iter().enumerate() {
            if index > 0 {
                render.next_table()?;
            }
            for record in records {
                render.row(record.as_ref())?;
            }
        }
        let mut tail = comparison.tail(&warnings);
        note_warnings(&mut tail, &warnings);
        render.end(&tail)?;
        render.finish()
    };
    draw().context(UNWRITABLE)?;
    Ok(Exit::Done)
}

/// Which target can't be read, and why.
struct Unreadable {
    target: Target,
    error: anyhow::Error,
}

fn read(plan: &Plan, target: &Target) -> Result<Snapshot, Unreadable> {
    let open = || read_from(plan, target, target.open(&plan.open)?.as_mut());
    open().map_err(|error| Unreadable { target: target.clone(), error })
}

fn read_twice(plan: &Plan, target: &Target, interval: Duration) -> Result<(Snapshot, Snapshot), Unreadable> {
    let read = || {
        let mut source = target.open(&plan.open)?;
        if !source.info().capabilities.live {
            return usage("a saved map is the same some time later: write two targets to compare");
        }
        let before = read_from(plan, target, source.as_mut())?;
        std::thread::sleep(interval);
        Ok((before, read_from(plan, target, source.as_mut())?))
    };
    read().map_err(|error| Unreadable { target: target.clone(), error })
}

fn read_from(plan: &Plan, target: &Target, source: &mut dyn RegionSource) -> anyhow::Result<Snapshot> {
    let snapshot = Snapshot::read(source, plan.detail(Detail::Counts))?;
    tell_warnings(&target.title(), &snapshot.warnings);
    Ok(snapshot)
}
