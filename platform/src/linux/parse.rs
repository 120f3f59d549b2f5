//! Parsers for the text of `/proc/PID`: bytes in, facts out, on every host.

pub mod maps;
pub mod names;
pub mod smaps;
