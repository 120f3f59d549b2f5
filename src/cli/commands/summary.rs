//! `mmview TARGET`: the summary.

use mmview_platform::{Detail, RegionSource, Warning};

use super::Task;
use crate::cli::args::{SummaryRows, Targets};
use crate::cli::columns::Columns;
use crate::cli::exit::Exit;
use crate::cli::options::{resolve_targets, usage};
use crate::cli::session::Session;
use crate::cli::shown::{Shown, classified, each};
use crate::cli::target::Target;
use crate::completeness::miscounted;
use crate::crash::CrashReport;
use crate::error::{Error, Result};
use crate::field::{self, Choice, Place};
use crate::heap::{self, Zones};
use crate::order::Order;
use crate::owners::Wanted;
use crate::render::Audience;
use crate::summary::{Builder, Grouping, Summary};
use crate::units::Units;
use crate::view::origins::Origins;
use crate::view::summary::Look;
use crate::view::{self, Note, Tail};

#[derive(Debug)]
pub struct Plan {
    targets: Vec<Target>,
    grouping: Grouping,
    rows: Rows,
}

/// The columns and the order of a summary.
#[derive(Debug)]
pub struct Rows {
    columns: Option<Choice>,
    order: Option<Order>,
}

impl Rows {
    /// Resolves the options; `None` if they ask for the list of columns.
    pub fn resolve(args: SummaryRows, grouping: Grouping) -> Option<Rows> {
        let columns = match args.columns {
            Some(Columns::Help) => return None,
            Some(Columns::These(choice)) => Some(choice),
            None => None,
        };
        let usual = match grouping {
            Grouping::Type => &field::TYPE,
            Grouping::Owner => &field::RESIDENT,
        };
        let key = args.sort.or(args.reverse.then_some(usual));
        Some(Rows { columns, order: key.map(|field| Order { field, is_reversed: args.reverse }) })
    }

    /// The columns for maps of a system.
    pub fn look(&self, os: &str, grouping: Grouping) -> Look {
        Look::new(os, grouping, self.columns.as_ref())
    }

    /// Puts the rows in order.
    pub fn sort(&self, summary: &mut Summary) {
        if let Some(order) = self.order {
            order.sort_rows(&mut summary.rows);
        }
    }

    /// Whether tables have these columns and nothing else.
    fn is_narrowed(&self) -> bool {
        self.columns.as_ref().is_some_and(|choice| !choice.is_added)
    }
}

pub(super) fn plan(args: Targets, grouping: Grouping, rows: SummaryRows) -> Result<Task> {
    let is_usual = rows.is_usual();
    let Some(rows) = Rows::resolve(rows, grouping) else { return Ok(Task::Columns(Place::Summary)) };
    Ok(match resolve_targets(args)? {
        (targets, None) => Task::Summary(Plan { targets, grouping, rows }),
        (_, Some(_)) if !is_usual => {
            return usage("--columns, --sort and --reverse are about the summary: leave out the ADDRESS");
        }
        (_, Some(_)) if grouping != Grouping::default() => {
            return usage("--by is about the summary: leave out the ADDRESS");
        }
        (targets, Some(address)) => Task::Address(targets, address),
    })
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    each(session, &plan.targets, |shown| show(shown, plan))
}

fn show(shown: &mut Shown<'_>, plan: &Plan) -> Result<Exit> {
    let grouping = plan.grouping;
    let (detail, wanted) = (shown.options.detail(Detail::Counts), shown.options.wanted());
    let (origins, (summary, zones, crash)) = shown
        .read_with(detail, |source, origins, warnings| add_up(source, origins, wanted, grouping, warnings))?;
    let by = match grouping {
        Grouping::Owner => view::heap::By::Owner,
        Grouping::Type => view::heap::By::Zone,
    };
    let zones = if by == view::heap::By::Owner { zones.by_owner() } else { zones };
    let warnings = shown.take_warnings();
    let printed = shown.source.printed().cloned();
    let lists_regions = !summary.rows.is_empty();
    let look = plan.rows.look(origins.source.os, grouping);
    let is_for_program = shown.options.format.audience() == Audience::Program;
    // JSON has the zones in any case.
    let zones_table = view::heap::table(&zones, by).filter(|_| is_for_program || !plan.rows.is_narrowed());
    let (head, mut tail, summary) = match &printed {
        // People see the summary of a report that lists no regions as it was printed.
        Some(printed) if !lists_regions && shown.options.format.audience() == Audience::Terminal => {
            (view::summary::printed_head(&origins, printed), Tail::default(), None)
        }
        printed => {
            let mut summary = match printed {
                Some(printed) if !lists_regions => Summary::printed(printed, &origins.process),
                _ => summary,
            };
            plan.rows.sort(&mut summary);
            let unlisted = printed.as_ref().and_then(|printed| miscounted(printed, &summary));
            let is_exact = unlisted.is_none() && shown.options.style.units == Units::Auto;
            let mut head =
                view::summary::head(&origins, &summary, &look, printed.as_ref().filter(|_| is_exact));
            if let Some(report) = &crash {
                head.sections.insert(0, view::crash::cause(&origins, report));
                head.fields.insert("crash".to_owned(), view::crash::value(report, origins.source.os));
            }
            head.sections.splice(0..0, view::crash::partial(&origins, &warnings));
            head.tables.extend(zones_table.clone());
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
        for record in summary.iter().flat_map(|summary| view::summary::records(summary, &look)) {
            shown.render.row(record.as_ref())?;
        }
        if summary.is_some() && zones_table.is_some() {
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

/// Adds up the regions and the zones. No region is kept, but to say where a process crashed.
fn add_up(
    source: &mut dyn RegionSource,
    origins: &mut Origins,
    wanted: Wanted,
    grouping: Grouping,
    warnings: &mut Vec<Warning>,
) -> mmview_platform::Result<(Summary, Zones, Option<CrashReport>)> {
    let mut summary = Builder::by(grouping);
    let mut zones = heap::Builder::default();
    let mut of_dump = Vec::new();
    let is_dump = origins.process.crash.is_some();
    for region in classified(source, origins, wanted, warnings)? {
        let region = region?;
        summary.add(&region);
        zones.add(&region);
        of_dump.extend(is_dump.then_some(region));
    }
    for row in source.printed().map(|printed| printed.off_map.as_slice()).unwrap_or_default() {
        summary.add_off_map(row);
    }
    let crash = is_dump.then(|| CrashReport::new(&origins.process, &of_dump));
    Ok((summary.finish(&origins.process), zones.finish(&origins.findings.zones), crash))
}
