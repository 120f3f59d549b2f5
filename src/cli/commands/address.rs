//! `mmview TARGET ADDRESS`: the region at an address.
//!
//! It is explained from the whole map, as a listing explains it: neighbors, images and runtimes far away count.

use mmview_platform::Detail;

use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::shown::{Shown, each};
use crate::cli::target::Target;
use crate::error::{Error, Result};
use crate::view::address::Place;

pub(super) fn run(targets: &[Target], address: u64, session: &mut Session<'_>) -> Result<Exit> {
    each(session, targets, |shown| show(shown, address))
}

fn show(shown: &mut Shown<'_>, address: u64) -> Result<Exit> {
    let detail = shown.options.detail(Detail::Counts);
    let wanted = shown.options.wanted();
    let (origins, place) = shown.read(detail, wanted, |regions| Place::find(address, regions))?;
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
