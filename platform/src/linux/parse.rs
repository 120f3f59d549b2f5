//! Parsers for the text of `/proc/PID`. They take bytes and compile on every host.

pub(crate) mod assembler;
pub(crate) mod counts;
pub(crate) mod lines;
pub mod maps;
pub mod names;
pub mod smaps;
// Only the live half reads it. Other hosts build it to test it.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) mod status;
