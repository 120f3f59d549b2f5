//! `mmview completions`: a completion script.

use crate::cli::args::command;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::error::{Error, Result};

pub(super) fn run(shell: clap_complete::Shell, session: &mut Session<'_>) -> Result<Exit> {
    // The generator panics if it can't write, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "mmview", &mut script);
    session.out.write_all(&script).and_then(|()| session.out.flush()).map_err(Error::output)?;
    Ok(Exit::Done)
}
