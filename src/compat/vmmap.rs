//! vmmap.
use super::{Call, OpenTarget};
use std::io::{self, Write};
/// x
pub fn run(
    _call: &Call,
    _open: &OpenTarget<'_>,
    _out: &mut dyn Write,
    _err: &mut dyn Write,
) -> io::Result<u8> {
    Ok(255)
}
