//! Showing one target: its summary, its regions, or what lies at an address.

use std::io;

use mmview_platform::{AddrRange, Detail, Error, PrintedSummary, RegionSource, Regions, Warning};
use serde_json::{Value, json};

use super::plan::{Plan, ViewPlan};
use super::target::{Ambiguous, NoSuchName, Target};
use super::{Exit, sentence, tell_warnings, ways_out};
use crate::classify::{Classify, Context};
use crate::completeness::miscounted;
use crate::filter::Filter;
use crate::region::Classified;
use crate::render::{Format, Render};
use crate::summary::{self, Summary};
use crate::units::Units;
use crate::view::address::Place;
use crate::view::process::{Origins, totals_text};
use crate::view::regions::{GapRecord, RegionRecord};
use crate::view::{self, Head, Tail};

/// Why a target could not be shown: for its own sake, so that the next one has its turn; or because nobody takes the output.
pub(super) enum Failure {
    Target(anyhow::Error),
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

pub(super) fn show(
    plan: &Plan,
    target: &Target,
    view: &ViewPlan,
    render: &mut dyn Render,
) -> Result<Exit, Failure> {
    let mut source = match target.open(&plan.open) {
        Ok(source) => source,
        Err(error) => {
            refuse(plan.format, target, &error, render)?;
            return Err(Failure::Target(error));
        }
    };
    let mut shown = Shown { plan, source: source.as_mut(), render, target };
    match view {
        ViewPlan::Summary => shown.summary(),
        ViewPlan::Address(address) => shown.address(*address),
        ViewPlan::Regions { filter, sort: Some(sort), reverse, .. } => {
            shown.sorted_regions(filter, |regions| sort.sort(regions, *reverse))
        }
        ViewPlan::Regions { filter, sort: None, gaps, .. } => shown.regions(filter, *gaps),
        ViewPlan::Check { checks, quiet } => return shown.check(checks, *quiet),
    }
    .map(|()| Exit::Done)
}

/// Says in a machine format why a target can't be shown.
pub(super) fn refuse(
    format: Format,
    target: &Target,
    error: &anyhow::Error,
    render: &mut dyn Render,
) -> io::Result<()> {
    if format.is_for_machines() {
        render.begin(&head_of_error(target))?;
        render.end(&tail_of_error(error, &[]))?;
    }
    Ok(())
}

/// What a machine format says of a target that can't even be opened.
fn head_of_error(target: &Target) -> Head {
    let Value::Object(fields) = json!({
        "schema": view::SCHEMA,
        "view": "error",
        "target": target.title(),
    }) else {
        unreachable!("an object literal is an object")
    };
    Head { view: "error", target: target.title(), text: Vec::new(), fields, tables: Vec::new() }
}

/// An error in the machine formats.
pub(crate) fn error_value(error: &anyhow::Error) -> Value {
    json!({
        "kind": error_kind(error),
        "message": sentence(error),
        "way_out": ways_out(error),
    })
}

fn tail_of_error(error: &anyhow::Error, warnings: &[Warning]) -> Tail {
    let mut tail = Tail::default();
    tail.fields.insert("error".to_owned(), error_value(error));
    tail.fields.insert("warnings".to_owned(), view::process::warnings_value(warnings));
    tail
}

fn error_kind(error: &anyhow::Error) -> &'static str {
    if error.is::<Ambiguous>() {
        return "ambiguous";
    }
    if error.is::<NoSuchName>() {
        return "no-such-process";
    }
    match error.downcast_ref::<Error>() {
        Some(Error::NoSuchProcess { .. }) => "no-such-process",
        Some(Error::Vanished { .. }) => "vanished",
        Some(Error::Zombie { .. }) => "zombie",
        Some(Error::Replaced { .. }) => "replaced",
        Some(Error::NotPermitted { .. }) => "not-permitted",
        Some(Error::Malformed { .. }) => "malformed",
        Some(Error::Unsupported { .. }) => "unsupported",
        _ => "unreadable",
    }
}

/// A target being shown.
pub(super) struct Shown<'a> {
    pub plan: &'a Plan,
    pub source: &'a mut dyn RegionSource,
    pub render: &'a mut dyn Render,
    target: &'a Target,
}

impl Shown<'_> {
    fn units(&self) -> Units {
        self.plan.style.units
    }

    /// The facts of the process, before its map is read.
    pub(super) fn origins(&mut self, detail: Detail) -> Result<Origins, Failure> {
        let process = match self.source.process() {
            Ok(process) => process,
            Err(error) => return Err(self.refused(error.into(), None)?),
        };
        let source = self.source.info().clone();
        let detail = detail.min(source.capabilities.detail);
        Ok(Origins { taken: source.time(), source, process, detail })
    }

    /// Shows what is known of a target whose map can't be read, and why it can't.
    pub(super) fn refused(
        &mut self,
        error: anyhow::Error,
        origins: Option<&Origins>,
    ) -> Result<Failure, Failure> {
        let warnings = self.take_warnings();
        match origins {
            Some(origins) => {
                let mut text = origins.header(None);
                text.push(String::new());
                text.extend(totals_text(&origins.process, self.units()));
                let head = Head {
                    text,
                    fields: origins.fields("error"),
                    target: origins.target(),
                    ..head_of_error(self.target)
                };
                self.render.begin(&head)?;
                self.render.end(&tail_of_error(&error, &warnings))?;
            }
            None if self.plan.format.is_for_machines() => {
                self.render.begin(&head_of_error(self.target))?;
                self.render.end(&tail_of_error(&error, &warnings))?;
            }
            None => {}
        }
        Ok(Failure::Target(error))
    }

    /// The doubts so far, told on standard error.
    pub(super) fn take_warnings(&mut self) -> Vec<Warning> {
        let warnings = self.source.take_warnings();
        tell_warnings(&self.target.title(), &warnings);
        warnings
    }

    /// Reads the facts of the process, and by `read` its map; again where it starts another program meanwhile.
    pub(super) fn read<T>(
        &mut self,
        detail: Detail,
        read: impl Fn(&mut dyn RegionSource, &mut Origins) -> mmview_platform::Result<T>,
    ) -> Result<(Origins, T), Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut origins = self.origins(detail)?;
            match read(self.source, &mut origins) {
                Ok(read) => return Ok((origins, read)),
                Err(Error::Replaced { .. }) if attempts < 3 => {
                    self.source.take_warnings();
                }
                Err(error) => return Err(self.refused(error.into(), Some(&origins))?),
            }
        }
    }

    fn summary(&mut self) -> Result<(), Failure> {
        let (origins, summary) = self.read(self.plan.detail(Detail::Counts), add_up)?;
        let warnings = self.take_warnings();
        let units = self.units();
        let printed = self.source.printed().cloned();
        let summary = match &printed {
            Some(printed) if summary.rows.is_empty() => {
                if self.plan.format == Format::Table {
                    return self.printed_summary(&origins, printed, &warnings);
                }
                Summary::printed(printed, &origins.process)
            }
            _ => summary,
        };
        let unlisted = printed.as_ref().and_then(|printed| unlisted(printed, &summary));
        let whole = printed.as_ref().filter(|_| unlisted.is_none() && units == Units::Auto);
        self.render.begin(&view::summary::head(&origins, &summary, whole, units))?;
        for record in view::summary::records(&summary) {
            self.render.row(record.as_ref())?;
        }
        let mut tail = view::summary::tail(&summary, &warnings, origins.process.mapping_limit, units);
        tail.notes.extend(unlisted);
        note_warnings(&mut tail, &warnings);
        self.note_reading(&mut tail);
        self.render.end(&tail)?;
        Ok(())
    }

    /// Tells how gently the map was read, where that was asked for.
    pub(super) fn note_reading(&self, tail: &mut Tail) {
        if let Some(reading) = self.source.reading().filter(|reading| reading.budget.is_some()) {
            view::process::note_reading(tail, &reading);
        }
    }

    /// Shows the summary of a report that lists no regions as it was printed.
    fn printed_summary(
        &mut self,
        origins: &Origins,
        printed: &PrintedSummary,
        warnings: &[Warning],
    ) -> Result<(), Failure> {
        self.render.begin(&view::summary::printed_head(origins, printed, self.units()))?;
        let mut tail = Tail::default();
        note_warnings(&mut tail, warnings);
        self.render.end(&tail)?;
        Ok(())
    }

    fn address(&mut self, address: u64) -> Result<(), Failure> {
        // A capture has been read already: then everything costs nothing.
        let is_live = self.source.info().capabilities.live;
        let unsaid = if is_live { Detail::Layout } else { Detail::Counts };
        let mut origins = self.origins(self.plan.detail.unwrap_or(unsaid))?;
        let place = match origins.detail {
            Detail::Layout => around(self.source, &origins, address),
            _ => classified(self.source, &mut origins).and_then(|regions| Place::find(address, regions)),
        };
        let place = match place {
            Ok(place) => place,
            Err(error) => return Err(self.refused(error.into(), Some(&origins))?),
        };
        let warnings = self.take_warnings();
        let units = self.units();
        self.render.begin(&place.head(&origins, units))?;
        for record in place.records() {
            self.render.row(record.as_ref())?;
        }
        let mut tail = place.tail(&warnings, units);
        note_warnings(&mut tail, &warnings);
        self.render.end(&tail)?;
        Ok(())
    }

    /// Lists the regions as they are read.
    fn regions(&mut self, filter: &Filter, has_gaps: bool) -> Result<(), Failure> {
        let mut origins = self.origins(self.plan.detail(Detail::Counts))?;
        let mut gaps = has_gaps.then(Gaps::default);
        let failure = match self.stream(&mut origins, filter, gaps.as_mut()) {
            Ok(()) => None,
            Err(Stopped::Midway(error)) => Some(error),
            Err(Stopped::AtOnce(error)) => return Err(self.refused(error.into(), Some(&origins))?),
            Err(Stopped::Output(error)) => return Err(error.into()),
        };
        let warnings = self.take_warnings();
        let mut tail = view::regions::tail(&warnings, gaps.map(|gaps| gaps.largest), self.units());
        note_warnings(&mut tail, &warnings);
        self.note_reading(&mut tail);
        self.end_listing(tail, failure)
    }

    fn stream(
        &mut self,
        origins: &mut Origins,
        filter: &Filter,
        mut gaps: Option<&mut Gaps>,
    ) -> Result<(), Stopped> {
        let regions = classified(self.source, origins).map_err(Stopped::AtOnce)?;
        self.render.begin(&view::regions::head(origins))?;
        for region in regions {
            let region = region.map_err(Stopped::Midway)?;
            let gap = gaps.as_mut().and_then(|gaps| gaps.before(&region));
            if let Some(gap) = gap
                && filter.addresses.is_none_or(|range| range.overlaps(gap))
            {
                self.render.row(&GapRecord(gap))?;
            }
            if filter.lets_through(&region) {
                self.render.row(&RegionRecord::new(&region))?;
            }
        }
        Ok(())
    }

    /// Lists the regions once all are read and in order.
    fn sorted_regions(
        &mut self,
        filter: &Filter,
        sort: impl FnOnce(&mut [Classified]),
    ) -> Result<(), Failure> {
        let mut origins = self.origins(self.plan.detail(Detail::Counts))?;
        let regions = classified(self.source, &mut origins).and_then(|regions| {
            let listed = |region: &Result<Classified, Error>| {
                region.as_ref().map_or(true, |region| filter.lets_through(region))
            };
            regions.filter(listed).collect::<Result<Vec<_>, _>>()
        });
        let mut regions = match regions {
            Ok(regions) => regions,
            Err(error) => return Err(self.refused(error.into(), Some(&origins))?),
        };
        sort(&mut regions);
        let warnings = self.take_warnings();
        self.render.begin(&view::regions::head(&origins))?;
        for region in &regions {
            self.render.row(&RegionRecord::new(region))?;
        }
        let mut tail = view::regions::tail(&warnings, None, self.units());
        note_warnings(&mut tail, &warnings);
        self.end_listing(tail, None)
    }

    /// Ends a listing; one that was cut short says so where it ends.
    fn end_listing(&mut self, mut tail: Tail, failure: Option<Error>) -> Result<(), Failure> {
        let Some(error) = failure else {
            self.render.end(&tail)?;
            return Ok(());
        };
        let error = anyhow::Error::from(error);
        tail.notes.push(format!("INCOMPLETE: {}.", sentence(&error)));
        let error_tail = tail_of_error(&error, &[]);
        tail.fields.insert("error".to_owned(), error_tail.fields["error"].clone());
        self.render.end(&tail)?;
        Err(Failure::Target(error))
    }
}

/// Where a listing stopped: before its first line, among them, or because nobody takes the output.
enum Stopped {
    AtOnce(Error),
    Midway(Error),
    Output(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        Stopped::Output(error)
    }
}

/// What there is to say where a report's own table counts other regions than the report lists: somebody left lines out.
fn unlisted(printed: &PrintedSummary, summary: &Summary) -> Option<String> {
    let listed = summary.total.regions;
    miscounted(printed, summary).map(|counted| {
        format!("This adds up the {listed} regions that the report lists; its own table counts {counted}.")
    })
}

/// The footnote of a table about which there are doubts.
pub(super) fn note_warnings(tail: &mut Tail, warnings: &[Warning]) {
    match warnings.len() {
        0 => {}
        1 => tail.notes.push("There is a warning about this map on standard error.".to_owned()),
        count => tail.notes.push(format!("There are {count} warnings about this map on standard error.")),
    }
}

/// The regions of a source, explained as they are read; `origins` is told the detail that they have.
pub(super) fn classified<'a>(
    source: &'a mut dyn RegionSource,
    origins: &mut Origins,
) -> mmview_platform::Result<Classify<Regions<'a>>> {
    let context = Context::new(&origins.process, &origins.source);
    let regions = source.regions(origins.detail)?;
    origins.detail = regions.detail();
    Ok(Classify::new(regions, context))
}

/// What lies at an address, found by single look-ups.
fn around(source: &mut dyn RegionSource, origins: &Origins, address: u64) -> mmview_platform::Result<Place> {
    let context = Context::new(&origins.process, &origins.source);
    let regions = source.around(address)?;
    Place::find(address, Classify::new(regions.into_iter().map(Ok), context))
}

fn add_up(source: &mut dyn RegionSource, origins: &mut Origins) -> mmview_platform::Result<Summary> {
    let mut summary = summary::Builder::default();
    for region in classified(source, origins)? {
        summary.add(&region?);
    }
    for row in source.printed().map(|printed| printed.off_map.as_slice()).unwrap_or_default() {
        summary.add_off_map(row);
    }
    Ok(summary.finish(&origins.process))
}

/// The holes between regions, and the largest of them.
#[derive(Default)]
struct Gaps {
    last: Option<AddrRange>,
    largest: Option<AddrRange>,
}

impl Gaps {
    /// The hole before `region`.
    fn before(&mut self, region: &Classified) -> Option<AddrRange> {
        let range = region.range();
        let gap = self.last.replace(range)?.gap_before(range)?;
        if self.largest.is_none_or(|largest| gap.size() > largest.size()) {
            self.largest = Some(gap);
        }
        Some(gap)
    }
}
