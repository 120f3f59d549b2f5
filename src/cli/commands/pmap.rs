//! `mmview pmap`: pmap's own options and layout.

use std::io;

use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::compat::{Call, pmap};
use crate::error::{Error, Result};

pub(super) fn run(call: &Call, session: &mut Session<'_>) -> Result<Exit> {
    let status = pmap::run(call, session.out, &mut io::stderr()).map_err(Error::output)?;
    session.out.flush().map_err(Error::output)?;
    Ok(Exit::Status(status))
}
