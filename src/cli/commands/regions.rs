//! `mmview regions`: every region.

use std::io;

use mmview_platform::{AddrRange, Detail};

use super::Task;
use crate::cli::args::RegionsArgs;
use crate::cli::columns::Columns;
use crate::cli::diagnostics::sentence;
use crate::cli::exit::Exit;
use crate::cli::options::{resolve_targets, usage};
use crate::cli::session::Session;
use crate::cli::shown::{Shown, classified, each, error_value};
use crate::cli::target::Target;
use crate::error::{Error, Result};
use crate::field::{self, Place};
use crate::filter::Filter;
use crate::order::Order;
use crate::region::Classified;
use crate::render::Render;
use crate::view::chosen::Chosen;
use crate::view::origins::Origins;
use crate::view::regions::Likely;
use crate::view::{self, Note, Tail};

#[derive(Debug)]
pub struct Plan {
    targets: Vec<Target>,
    filter: Filter,
    columns: Option<Chosen>,
    order: Option<Order>,
    has_gaps: bool,
    has_parts: bool,
}

pub(super) fn plan(args: RegionsArgs) -> Result<Task> {
    let columns = match args.columns {
        Some(Columns::Help) => return Ok(Task::Columns(Place::Listing)),
        Some(Columns::These(choice)) => Some(Chosen::new(&choice)),
        None => None,
    };
    let (targets, address) = resolve_targets(args.targets)?;
    if let Some(address) = address {
        return usage(format!(
            "`mmview regions` takes no ADDRESS: use --addr {address:#x}, or `mmview TARGET {address:#x}`"
        ));
    }
    let filter = Filter {
        kinds: args.kind.concat(),
        paths: args.path,
        permissions: args.perm,
        addresses: args.addr,
        min_size: args.min_size,
    };
    let key = args.sort.or(args.reverse.then_some(&field::ADDRESS));
    let order = key.map(|field| Order { field, is_reversed: args.reverse });
    Ok(Task::Regions(Plan { targets, filter, columns, order, has_gaps: args.gaps, has_parts: args.parts }))
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    each(session, &plan.targets, |shown| match plan.order {
        Some(order) => sorted(shown, plan, order),
        None => streamed(shown, plan),
    })
}

/// Lists the regions as they are read.
fn streamed(shown: &mut Shown<'_>, plan: &Plan) -> Result<Exit> {
    let mut origins = shown.origins(shown.options.detail(Detail::Counts))?;
    let mut gaps = plan.has_gaps.then(Gaps::default);
    let mut likely = Likely::default();
    let failure = match stream(shown, &mut origins, plan, gaps.as_mut(), &mut likely) {
        Ok(()) => None,
        Err(Failure::Midway(error)) => Some(error),
        Err(Failure::Start(error)) => return shown.refused(error.into(), Some(&origins)),
        Err(Failure::Output(error)) => return Err(Error::output(error)),
    };
    let warnings = shown.take_warnings();
    let mut tail = view::regions::tail(&warnings, gaps.map(|gaps| gaps.largest));
    tail.notes.extend(likely.note());
    shown.remark(&mut tail, &origins, &warnings);
    end(shown, tail, failure)
}

/// Where a listing failed: before its first line, among its lines, or in the output.
enum Failure {
    Start(mmview_platform::Error),
    Midway(mmview_platform::Error),
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

fn stream(
    shown: &mut Shown<'_>,
    origins: &mut Origins,
    plan: &Plan,
    mut gaps: Option<&mut Gaps>,
    likely: &mut Likely,
) -> Result<(), Failure> {
    let filter = &plan.filter;
    let wanted = shown.options.wanted();
    let regions = classified(shown.source, origins, wanted, &mut shown.warnings).map_err(Failure::Start)?;
    shown.render.begin(&view::regions::head(origins, plan.columns.as_ref().map(Chosen::specs)))?;
    for region in regions {
        let region = region.map_err(Failure::Midway)?;
        let gap = gaps.as_mut().and_then(|gaps| gaps.before(&region));
        if let Some(gap) = gap
            && filter.addresses.is_none_or(|range| range.overlaps(gap))
        {
            let row = view::regions::gap(&gap);
            match &plan.columns {
                Some(columns) => shown.render.row(&columns.gap(row)),
                None => shown.render.row(&row),
            }?;
        }
        if filter.lets_through(&region) {
            list(shown.render, &region, plan)?;
            likely.add(&region);
        }
    }
    Ok(())
}

/// Lists a region, and its parts if they are wanted.
fn list(render: &mut dyn Render, region: &Classified, plan: &Plan) -> io::Result<()> {
    let row = view::regions::row(region);
    let mut parts = plan.has_parts.then(|| view::regions::parts(region)).into_iter().flatten();
    match &plan.columns {
        Some(columns) => {
            render.row(&columns.region(row))?;
            parts.try_for_each(|part| render.row(&columns.part(part)))
        }
        None => {
            render.row(&row)?;
            parts.try_for_each(|part| render.row(&part))
        }
    }
}

/// Lists the regions once all of them are read and sorted.
fn sorted(shown: &mut Shown<'_>, plan: &Plan, order: Order) -> Result<Exit> {
    let (detail, wanted) = (shown.options.detail(Detail::Counts), shown.options.wanted());
    let (origins, mut regions) = shown.read(detail, wanted, |regions| {
        let is_listed = |region: &mmview_platform::Result<Classified>| {
            region.as_ref().map_or(true, |region| plan.filter.lets_through(region))
        };
        regions.filter(is_listed).collect::<mmview_platform::Result<Vec<_>>>()
    })?;
    order.sort_regions(&mut regions);
    let warnings = shown.take_warnings();
    let mut tail = view::regions::tail(&warnings, None);
    let mut likely = Likely::default();
    regions.iter().for_each(|region| likely.add(region));
    tail.notes.extend(likely.note());
    shown.remark(&mut tail, &origins, &warnings);
    let mut draw = || {
        shown.render.begin(&view::regions::head(&origins, plan.columns.as_ref().map(Chosen::specs)))?;
        regions.iter().try_for_each(|region| list(shown.render, region, plan))
    };
    draw().map_err(Error::output)?;
    end(shown, tail, None)
}

/// Ends a listing. One that was cut short says so at its end.
fn end(shown: &mut Shown<'_>, mut tail: Tail, failure: Option<mmview_platform::Error>) -> Result<Exit> {
    let failure = failure.map(Error::from);
    if let Some(error) = &failure {
        tail.notes.push(Note::Incomplete(sentence(error)));
        tail.fields.insert("error".to_owned(), error_value(error));
    }
    shown.render.end(&tail).map_err(Error::output)?;
    failure.map_or(Ok(Exit::Done), Err)
}

/// The gaps between regions, and the largest of them.
#[derive(Default)]
struct Gaps {
    last: Option<AddrRange>,
    largest: Option<AddrRange>,
}

impl Gaps {
    /// The gap before `region`.
    fn before(&mut self, region: &Classified) -> Option<AddrRange> {
        let range = region.range();
        let gap = self.last.replace(range)?.gap_before(range)?;
        if self.largest.is_none_or(|largest| gap.size() > largest.size()) {
            self.largest = Some(gap);
        }
        Some(gap)
    }
}
