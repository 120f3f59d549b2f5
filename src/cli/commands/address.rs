//! `mmview TARGET ADDRESS`: the region at an address.

use mmview_platform::{Detail, Evidence, RegionSource};

use crate::classify::{Classify, Context};
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::shown::{Shown, classified, each};
use crate::cli::target::Target;
use crate::error::{Error, Result};
use crate::owners::{Wanted, can_inspect};
use crate::view::address::Place;
use crate::view::origins::Origins;

pub(super) fn run(targets: &[Target], address: u64, session: &mut Session<'_>) -> Result<Exit> {
    each(session, targets, |shown| show(shown, address))
}

fn show(shown: &mut Shown<'_>, address: u64) -> Result<Exit> {
    let usual = if shown.is_live() { Detail::Layout } else { Detail::Counts };
    let detail = shown.options.detail.unwrap_or(usual);
    let wanted = shown.options.wanted();
    let (origins, place) = shown.read_with(detail, |source, origins, warnings| {
        // Reading the memory needs all of the map.
        let is_enough = wanted.level < Evidence::Memory || !can_inspect(source);
        match origins.detail {
            Detail::Layout if is_enough && source.findings().is_none() => {
                around(source, origins, wanted, address)
            }
            _ => Place::find(address, classified(source, origins, wanted, warnings)?),
        }
    })?;
    let warnings = shown.take_warnings();
    let mut tail = place.tail(&warnings);
    shown.remark(&mut tail, &origins, &warnings);
    let mut draw = || {
        shown.render.begin(&place.head(&origins))?;
        for record in place.records() {
            shown.render.row(record.as_ref())?;
        }
        shown.render.end(&tail)
    };
    draw().map_err(Error::output)?;
    Ok(Exit::Done)
}

/// Finds the region and its neighbors by single look-ups.
fn around(
    source: &mut dyn RegionSource,
    origins: &Origins,
    wanted: Wanted,
    address: u64,
) -> mmview_platform::Result<Place> {
    let context = Context::new(&origins.process, &origins.source).up_to(wanted.level);
    let regions = source.around(address)?;
    Place::find(address, Classify::new(regions.into_iter().map(Ok), context))
}
