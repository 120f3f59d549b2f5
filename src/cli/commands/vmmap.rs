//! `mmview vmmap`: vmmap's own options and layout.

use std::ffi::OsStr;
use std::io;

use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::target::Target;
use crate::compat::{Call, vmmap};
use crate::error::{Error, Result};

pub(super) fn run(call: &Call, session: &mut Session<'_>) -> Result<Exit> {
    let open = |text: &OsStr| Target::resolve(text.to_owned()).open(&call.open);
    let status = vmmap::run(call, &open, session.out, &mut io::stderr()).map_err(Error::output)?;
    session.out.flush().map_err(Error::output)?;
    Ok(Exit::Status(status))
}
