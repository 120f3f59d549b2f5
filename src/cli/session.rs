//! What every command works with.

use std::io::Write;

use super::diagnostics::Diagnostics;
use super::options::Options;

/// The options, where messages go, and where the output goes.
pub(super) struct Session<'a> {
    pub options: &'a Options,
    pub diagnostics: &'a dyn Diagnostics,
    pub out: &'a mut dyn Write,
}
