//! Reading a map again and again: `retry` reads one whole map, [`watch`] reports what changes, `peak` keeps the largest.

#[cfg(feature = "cli")]
pub(crate) mod peak;
mod read;
pub(crate) mod retry;
pub mod watch;
