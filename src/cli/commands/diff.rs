//! `mmview diff`: the differences between two targets, or between a target and itself some time later.

use std::time::Duration;

use mmview_platform::{Detail, RegionSource, Warning};

use super::Task;
use crate::cli::args::DiffArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{no_address, usage};
use crate::cli::session::Session;
use crate::cli::shown::refuse;
use crate::cli::target::Target;
use crate::diff::Diff;
use crate::error::{Error, Result};
use crate::render::renderer;
use crate::sample::retry;
use crate::snapshot::Snapshot;
use crate::view::diff::Comparison;
use crate::view::origins::note_warnings;

/// What to compare.
#[derive(Debug)]
pub enum Plan {
    /// One target with another.
    Two(Target, Target),
    /// One target with itself, this much later.
    Later(Target, Duration),
}

pub(super) fn plan(args: DiffArgs) -> Result<Task> {
    let mut targets = no_address(args.targets, "diff")?.into_iter();
    let plan = match (targets.next(), targets.next(), targets.next(), args.interval) {
        (Some(before), Some(after), None, None) => Plan::Two(before, after),
        (Some(target), None, None, Some(interval)) => Plan::Later(target, interval),
        (Some(_), None, None, None) => {
            return usage(
                "compare it with what? Write a second target, or --interval 5s to compare it with itself",
            );
        }
        (_, _, None, Some(_)) => {
            return usage("--interval compares one target with itself; leave it out, or the second target");
        }
        _ => return usage("`mmview diff` compares two targets, before and after: there is a third"),
    };
    Ok(Task::Diff(plan))
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    let read = match plan {
        Plan::Two(before, after) => {
            read(session, before).and_then(|first| Ok((first, read(session, after)?)))
        }
        Plan::Later(target, interval) => read_twice(session, target, *interval),
    };
    let mut render = renderer(session.options.format, session.options.style, false, session.out);
    let (before, after) = match read {
        Ok(snapshots) => snapshots,
        Err((target, error)) => {
            refuse(session.options, target, &error, render.as_mut())?;
            session.diagnostics.error(Some(&target.title()), &error);
            render.finish().map_err(Error::output)?;
            return Ok(Exit::of(&error));
        }
    };
    let (before, after) = alike(before, after);
    let diff = Diff::between(&before, &after);
    let comparison = Comparison::new(&before, &after, &diff);
    let warnings: Vec<Warning> = before.warnings.iter().chain(&after.warnings).cloned().collect();
    let mut tail = comparison.tail(&warnings);
    note_warnings(&mut tail, &warnings);
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
        render.end(&tail)?;
        render.finish()
    };
    draw().map_err(Error::output)?;
    Ok(Exit::Done)
}

/// Two maps with the same evidence: if the memory of only one was read, it decides nothing.
fn alike(before: Snapshot, after: Snapshot) -> (Snapshot, Snapshot) {
    let was_read = |snapshot: &Snapshot| snapshot.findings.inspection.is_some();
    match (was_read(&before), was_read(&after)) {
        (true, false) => (before.without_findings(), after),
        (false, true) => (before, after.without_findings()),
        _ => (before, after),
    }
}

/// Reads a target; an error comes with the target.
fn read<'a>(session: &Session<'_>, target: &'a Target) -> Result<Snapshot, (&'a Target, Error)> {
    let read = || snapshot(session, target, target.open(&session.options.open)?.as_mut());
    read().map_err(|error| (target, error))
}

fn read_twice<'a>(
    session: &Session<'_>,
    target: &'a Target,
    interval: Duration,
) -> Result<(Snapshot, Snapshot), (&'a Target, Error)> {
    let read = || {
        let mut source = target.open(&session.options.open)?;
        if !source.info().capabilities.live {
            return usage("a saved map doesn't change: write two targets to compare");
        }
        let before = snapshot(session, target, source.as_mut())?;
        std::thread::sleep(interval);
        Ok((before, snapshot(session, target, source.as_mut())?))
    };
    read().map_err(|error| (target, error))
}

fn snapshot(session: &Session<'_>, target: &Target, source: &mut dyn RegionSource) -> Result<Snapshot> {
    let wanted = session.options.wanted();
    let map = retry::map(source, session.options.detail(Detail::Counts), wanted)?;
    session.diagnostics.warnings(&target.title(), &map.warnings);
    Ok(Snapshot::explained(map, wanted.level))
}
