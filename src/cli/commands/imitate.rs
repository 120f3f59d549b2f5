//! `mmview pmap` and `mmview vmmap`: the tools' own options and layouts.

use std::ffi::OsStr;
use std::io;

use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::target::Target;
use crate::compat::{self, Call};
use crate::error::{Error, Result};

pub(super) fn run(call: &Call, session: &mut Session<'_>) -> Result<Exit> {
    let open = |text: &OsStr| Target::resolve(text.to_owned()).open(&call.open);
    let status = compat::run(call, &open, session.out, &mut io::stderr()).map_err(Error::output)?;
    Ok(if status == 0 { Exit::Done } else { Exit::Status(status) })
}
