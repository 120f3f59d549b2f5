//! `--columns help`: the list of columns.

use crate::cli::columns::list;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::error::{Error, Result};
use crate::field::Place;

pub(super) fn run(place: Place, session: &mut Session<'_>) -> Result<Exit> {
    let written = session.out.write_all(list(place).as_bytes()).and_then(|()| session.out.flush());
    written.map(|()| Exit::Done).map_err(Error::output)
}
