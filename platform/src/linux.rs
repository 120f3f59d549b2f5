//! Linux: the text of `/proc/PID/maps` and `smaps`, and live processes.
//!
//! The parsers ([`maps`], [`smaps`], [`names`]) are pure and compile on every host. The live half exists on Linux only.

#[cfg(target_os = "linux")]
pub(crate) mod live;
pub(crate) mod parse;

pub use parse::{maps, names, smaps};
