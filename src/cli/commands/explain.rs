//! `mmview explain`: what a process or a region is made of, in words.

use mmview_platform::Detail;

use super::Task;
use crate::cli::args::ExplainArgs;
use crate::cli::exit::Exit;
use crate::cli::options::resolve_targets;
use crate::cli::session::Session;
use crate::cli::shown::{Shown, each};
use crate::cli::target::Target;
use crate::error::{Error, Result};
use crate::explain::Builder;
use crate::heap::{self, HeapZone};
use crate::view::address::Place;
use crate::view::{self, Head};

#[derive(Debug)]
pub struct Plan {
    targets: Vec<Target>,
    address: Option<u64>,
}

pub(super) fn plan(args: ExplainArgs) -> Result<Task> {
    let (targets, address) = resolve_targets(args.targets)?;
    Ok(Task::Explain(Plan { targets, address }))
}

pub(super) fn run(plan: &Plan, session: &mut Session<'_>) -> Result<Exit> {
    each(session, &plan.targets, |shown| {
        let (origins, head) = match plan.address {
            None => process(shown)?,
            Some(address) => at(shown, address)?,
        };
        let warnings = shown.take_warnings();
        let mut tail = view::explain::tail(&warnings);
        shown.remark(&mut tail, &origins, &warnings);
        let draw = shown.render.begin(&head).and_then(|()| shown.render.end(&tail));
        draw.map_err(Error::output)?;
        Ok(Exit::Done)
    })
}

fn process(shown: &mut Shown<'_>) -> Result<(view::origins::Origins, Head)> {
    let (detail, wanted) = (shown.options.detail(Detail::Counts), shown.options.wanted());
    let (origins, explained) = shown.read(detail, wanted, |regions| {
        let mut explained = Builder::default();
        for region in regions {
            explained.add(&region?);
        }
        Ok(explained)
    })?;
    let explanation = explained.finish(&origins.process, &origins.findings);
    let head = view::explain::process(&origins, &explanation);
    Ok((origins, head))
}

/// The address alone needs less of the map; the zone that it lies in needs all of it.
fn at(shown: &mut Shown<'_>, address: u64) -> Result<(view::origins::Origins, Head)> {
    let (detail, wanted) = (shown.options.detail(Detail::Counts), shown.options.wanted());
    let (origins, (place, heap)) = shown.read(detail, wanted, |regions| {
        let mut heap = heap::Builder::default();
        let regions: Vec<_> = regions.collect::<mmview_platform::Result<_>>()?;
        regions.iter().for_each(|region| heap.add(region));
        Ok((Place::find(address, regions.into_iter().map(Ok))?, heap))
    })?;
    let zones = heap.finish(&origins.findings.zones).zones;
    let name = place.hit.as_ref().and_then(|region| {
        let part = region.part_at(address).cloned().unwrap_or_else(|| region.as_part());
        part.zone().map(str::to_owned)
    });
    let is_its = |zone: &HeapZone| Some(&*zone.zone.name) == name.as_deref();
    let head = view::explain::address(&origins, &place, zones.into_iter().find(is_its));
    Ok((origins, head))
}
