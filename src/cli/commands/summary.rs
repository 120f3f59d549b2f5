//! `mmview TARGET`: the summary.

use mmview_platform::{Detail, RegionSource, Warning};

use super::Task;
use crate::cli::args::Targets;
use crate::cli::exit::Exit;
use crate::cli::options::{resolve_targets, usage};
use crate::cli::session::Session;
use crate::cli::shown::{Shown, classified, each};
use crate::cli::target::Target;
use crate::completeness::miscounted;
use crate::error::{Error, Result};
use crate::heap::{self, Zones};
use crate::owners::Wanted;
use crate::render::Audience;
use crate::summary::{Builder, Grouping, Summary};
use crate::units::Units;
use crate::view::origins::Origins;
use crate::view::{self, Note, Tail};

#[derive(Debug)]
pub struct Plan {
    targets: Vec<Target>,
    grouping: Grouping,
}

pub(super) fn plan(args: Targets, grouping: Grouping) -> Result<Task> {
    Ok(match resolve_targets(args)? {
        (targets, None) => Task::Summary(Plan { targets, grouping }),
        (_, Some(_)) if grouping != Grouping::default() => {
            return usage("--by is about the summary: leave out the ADDRESS");
        }
        (targets, Some(address)) => Task::Address(targets, address),
    })
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    each(session, &plan.targets, |shown| show(shown, plan.grouping))
}

fn show(shown: &mut Shown<'_>, grouping: Grouping) -> Result<Exit> {
    let (detail, wanted) = (shown.options.detail(Detail::Counts), shown.options.wanted());
    let (origins, (summary, zones)) = shown
        .read_with(detail, |source, origins, warnings| add_up(source, origins, wanted, grouping, warnings))?;
    let by = match grouping {
        Grouping::Owner => view::heap::By::Owner,
        Grouping::Type => view::heap::By::Zone,
    };
    let zones = if by == view::heap::By::Owner { zones.by_owner() } else { zones };
    let warnings = shown.take_warnings();
    let printed = shown.source.printed().cloned();
    let lists_regions = !summary.rows.is_empty();
    let (head, mut tail, summary) = match &printed {
        // People see the summary of a report that lists no regions as it was printed.
        Some(printed) if !lists_regions && shown.options.format.audience() == Audience::Terminal => {
            (view::summary::printed_head(&origins, printed), Tail::default(), None)
        }
        printed => {
            let summary = match printed {
                Some(printed) if !lists_regions => Summary::printed(printed, &origins.process),
                _ => summary,
            };
            let unlisted = printed.as_ref().and_then(|printed| miscounted(printed, &summary));
            let is_exact = unlisted.is_none() && shown.options.style.units == Units::Auto;
            let mut head = view::summary::head(&origins, &summary, printed.as_ref().filter(|_| is_exact));
            head.tables.extend(view::heap::table(&zones, by));
            let mut tail = view::summary::tail(&summary, &warnings, origins.process.mapping_limit);
            let listed = summary.total.regions;
            tail.notes.extend(unlisted.map(|counted| Note::Unlisted { listed, counted }));
            view::heap::add_to_summary(&mut tail, &zones);
            (head, tail, Some(summary))
        }
    };
    shown.remark(&mut tail, &origins, &warnings);
    let mut draw = || {
        shown.render.begin(&head)?;
        for record in summary.iter().flat_map(view::summary::records) {
            shown.render.row(record.as_ref())?;
        }
        if summary.is_some() && view::heap::table(&zones, by).is_some() {
            shown.render.next_table()?;
            for record in view::heap::records(&zones, by) {
                shown.render.row(record.as_ref())?;
            }
        }
        shown.render.end(&tail)
    };
    draw().map_err(Error::output)?;
    Ok(Exit::Done)
}

/// Adds up the regions and the zones: no region is kept.
fn add_up(
    source: &mut dyn RegionSource,
    origins: &mut Origins,
    wanted: Wanted,
    grouping: Grouping,
    warnings: &mut Vec<Warning>,
) -> mmview_platform::Result<(Summary, Zones)> {
    let mut summary = Builder::by(grouping);
    let mut zones = heap::Builder::default();
    for region in classified(source, origins, wanted, warnings)? {
        let region = region?;
        summary.add(&region);
        zones.add(&region);
    }
    for row in source.printed().map(|printed| printed.off_map.as_slice()).unwrap_or_default() {
        summary.add_off_map(row);
    }
    Ok((summary.finish(&origins.process), zones.finish(&origins.findings.zones)))
}
